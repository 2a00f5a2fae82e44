"""Shipping a fine-tuning of low rank without the model that it belongs to: the graph leaves its large arrays to a file
that each machine makes of the published model (see `model_store.merging`)."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from ...errors import SettingsError
from ...model_store.catalogue import CATALOGUE
from ...model_store.merging import PAGE, SHARED, Part, merge, quantise, write_recipe, write_weights
from ...model_store.store import ModelStore
from ..models.low_rank import LowRankLinear
from ..models.pretrained import PretrainedEncoder

Factors = dict[str, np.ndarray]
#: What `quantise` calls an array and its scales, by the kind of part that it becomes.
_SUFFIXES = {"matrix": ("_quantized", "_scale"), "blocks": ("_Q8", "_scales"), "table": ("_int8", "_scale")}
#: Arrays with fewer values stay in the graph.
_LEAST = 100_000


def fold_low_rank(network: nn.Module) -> Factors:
    """Make the differences part of their matrices, as every machine will make them, and return their float16 factors by
    the names of `merging`; empty where there are none."""
    factors: Factors = {}
    for encoder in (module for module in network.modules() if isinstance(module, PretrainedEncoder)):
        for path, layer in list(encoder.model.named_modules()):
            if not isinstance(layer, LowRankLinear):
                continue
            down, up = (weight.detach().numpy().astype(np.float16) for weight in (layer.down, layer.up))
            factors |= {f"{path}.weight.down": down, f"{path}.weight.up": up}
            layer.base.weight.data = torch.from_numpy(merge(layer.base.weight.detach().numpy(), down, up))
            parent, _, name = path.rpartition(".")
            setattr(encoder.model.get_submodule(parent), name, layer.base)
    return factors


def leave_weights(
    graph: Path, fp32: onnx.ModelProto, network: nn.Module, factors: Factors, base: str, name: str
) -> dict[str, Any]:
    """Take the arrays of the int8 graph that can be made of the model `base` out of it, and write the recipe beside it;
    the manifest's entry `weights`. `fp32`: the graph before it was quantised. `name`: of the weights in `mser models`.

    Raises `SettingsError` where nothing can be left.
    """
    encoder = next(module for module in network.modules() if isinstance(module, PretrainedEncoder))
    weights = encoder.model.state_dict()
    known = _by_content(weights)
    model = onnx.load(graph)
    arrays = {item.name: item for item in model.graph.initializer}
    file, recipe, end = f"{graph.stem}.weights", graph.with_suffix(".recipe"), 0
    parts: list[Part] = []
    for item in fp32.graph.initializer:
        if item.data_type != onnx.TensorProto.FLOAT or len(item.dims) != 2 or np.prod(item.dims) < _LEAST:
            continue
        name_of = known.get(_digest(numpy_helper.to_array(item)))
        kind = next((kind for kind, (small, _) in _SUFFIXES.items() if item.name + small in arrays), "")
        if name_of is None or not kind:
            continue
        values = weights[name_of].numpy()
        if kind == "blocks" and values.shape[1] % SHARED:
            continue
        small, scales = (arrays[item.name + suffix] for suffix in _SUFFIXES[kind])
        whole, scale = quantise(values, kind)
        _replace(scales, scale)
        parts.append(Part(name_of, kind, end))
        _leave(small, whole, file, end)
        end += -(-whole.nbytes // PAGE) * PAGE
    if not parts:
        raise SettingsError("nothing of this graph can be left to the published model: export it whole")
    onnx.save(model, graph)
    write_recipe(recipe, factors, parts)
    source = ModelStore().require(base) / "model.safetensors"
    with tempfile.TemporaryDirectory(dir=graph.parent) as scratch:
        made = Path(scratch) / file
        write_weights(source, recipe, made, lambda what, done, total: None)
        digest, size = hashlib.sha256(made.read_bytes()).hexdigest(), made.stat().st_size
    return {
        "name": name,
        "base": CATALOGUE[base].name,
        "recipe": recipe.name,
        "file": file,
        "bytes": size,
        "sha256": digest,
    }


def _by_content(weights: Mapping[str, Tensor]) -> dict[bytes, str]:
    """The names of matrices by what is in them, as they are and transposed."""
    found: dict[bytes, str] = {}
    for name, weight in weights.items():
        if weight.ndim == 2:
            values = weight.detach().numpy()
            found |= {_digest(values): name, _digest(values.T): name}
    return found


def _digest(values: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).digest() + bytes(
        str(values.shape), "ascii"
    )


def _replace(item: onnx.TensorProto, values: np.ndarray) -> None:
    """New values of the same shape."""
    shaped = values.reshape(tuple(item.dims)).astype(np.float32)
    item.CopyFrom(numpy_helper.from_array(shaped, item.name))


def _leave(item: onnx.TensorProto, values: np.ndarray, file: str, offset: int) -> None:
    """Say that an array lies in a file."""
    if tuple(item.dims) != values.shape:
        raise SettingsError(f"{item.name} has another shape than the model's: report this")
    for field in ("raw_data", "int32_data"):
        item.ClearField(field)
    item.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", file), ("offset", offset), ("length", values.nbytes)):
        entry = item.external_data.add()
        entry.key, entry.value = key, str(value)
