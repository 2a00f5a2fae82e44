"""Weights that are a published model's plus a fine-tuning of low rank, made once on the machine that uses them.

A recipe is a safetensors file: float16 factors 'NAME.down' (rank, in) and 'NAME.up' (out, rank) of what is added to the
matrix NAME of the base, and as metadata which of the base's matrices and tables are wanted and where in the file of
weights. What is made has the same bytes on every machine, so that its hash can be known before: sums go in a fixed
order, never through a library of linear algebra.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from ..errors import ModelError
from .transport import Progress

#: Bytes to which each part is aligned, so that it can be mapped into memory.
PAGE = 4096
#: Weights take seven of the eight bits: processors without VNNI saturate when full-range products are added in pairs.
_MATRIX_RANGE = 64
_RANGE = 127
#: Values of a matrix that share a scale in a part of kind 'blocks'.
SHARED = 128
_PARTS = "parts"


@dataclass(frozen=True)
class Part:
    """One array of bytes in a file of weights.

    `kind`: 'matrix', stored transposed as int8 (in, out) with a scale for each output; 'blocks', stored as uint8 (out,
    in / SHARED, SHARED), 128 for zero, with a scale for each block; or 'table', stored as int8 with a scale for each
    row. `offset`: its first byte.
    """

    name: str
    kind: str
    offset: int


def merge(base: np.ndarray, down: np.ndarray, up: np.ndarray) -> np.ndarray:
    """base (out, in) + up (out, rank) x down (rank, in), float32."""
    merged = base.astype(np.float32)
    for column, row in zip(up.astype(np.float32).T, down.astype(np.float32), strict=True):
        merged += column[:, None] * row[None]
    return merged


def quantise(values: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """float32 (rows, columns) to bytes as a part stores them, and the float32 scale of each row or block."""
    if kind == "blocks":
        values = values.reshape(len(values), -1, SHARED)
    full = _MATRIX_RANGE if kind == "matrix" else _RANGE
    scale = np.maximum(np.abs(values).max(-1) / np.float32(full), np.float32(1e-12)).astype(np.float32)
    whole = np.round(values / scale[..., None])
    if kind == "blocks":
        return (whole + 128).astype(np.uint8), scale
    whole = whole.astype(np.int8)
    return np.ascontiguousarray(whole.T) if kind == "matrix" else whole, scale


def write_recipe(path: Path, factors: Mapping[str, np.ndarray], parts: Sequence[Part]) -> None:
    """`factors`: by name, as float16."""
    from safetensors.numpy import save_file

    metadata = {_PARTS: json.dumps([asdict(part) for part in parts])}
    save_file({name: np.ascontiguousarray(value) for name, value in factors.items()}, path, metadata)
    path.chmod(0o644)  # for whoever installs it, and not for its writer alone


def write_weights(base: Path, recipe: Path, target: Path, progress: Progress) -> None:
    """Write the weights that `recipe` makes of the safetensors file `base`.

    Raises `ModelError` where one of them is damaged, or they do not belong together.
    """
    try:
        with safe_open(str(base), "np") as weights, safe_open(str(recipe), "np") as stored, target.open("wb") as file:
            factors = set(stored.keys())
            parts = [Part(**part) for part in json.loads(stored.metadata()[_PARTS])]
            for done, part in enumerate(parts):
                progress(f"merging {target.name}", done, len(parts))
                values = weights.get_tensor(part.name).astype(np.float32)
                if f"{part.name}.up" in factors:
                    values = merge(values, stored.get_tensor(f"{part.name}.down"), stored.get_tensor(f"{part.name}.up"))
                file.seek(part.offset)
                file.write(quantise(values, part.kind)[0].tobytes())
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{recipe} and {base} do not belong together ({error}): install this package again, and call 'mser models "
            "verify'"
        ) from None
