"""Checkpoints without pickle: tensors as safetensors, the rest of the trainer's state as JSON in the same file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...errors import SettingsError

_STATE = "state"


class SafeCheckpoints(CheckpointIO):
    """Lightning's whole state (weights, optimiser, schedule, loops, callbacks) in one safetensors file."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        tensors: dict[str, Tensor] = {}
        state = json.dumps(_pack(checkpoint, tensors))
        _write(tensors, Path(path), {_STATE: state})

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Raises `SettingsError` for a file that is damaged."""
        try:
            with safe_open(str(path), "pt") as stored:
                state = json.loads((stored.metadata() or {})[_STATE])
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  not a dict
        except (SafetensorError, KeyError, ValueError) as error:
            raise SettingsError(
                f"{path} is damaged ({error}): delete it, this training then begins from its start"
            ) from None
        return _unpack(state, tensors)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def _write(tensors: dict[str, Tensor], target: Path, metadata: dict[str, str] | None = None) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    save_file(tensors, part, metadata)
    os.replace(part, target)  # a kill while writing leaves the older file whole


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON of a nested value; tensors are put aside under a running name."""
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[_pack(key, tensors), _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_pack(item, tensors) for item in value]}
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def _unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def save_weights(network: nn.Module, path: Path) -> None:
    """The weights alone."""
    _write({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Raises `SettingsError` where the file is missing or damaged."""
    if not path.is_file():
        raise SettingsError(f"there are no trained weights {path}: finish the run with 'mser train'")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise SettingsError(f"{path} is damaged ({error}): delete its folder and train again") from None


def load_weights(network: nn.Module, path: Path) -> None:
    """Raises `SettingsError` where the file is missing, damaged or of another network."""
    stored = read_weights(path)
    try:
        network.load_state_dict(
            {name: value.to(torch.float32) if value.is_floating_point() else value for name, value in stored.items()}
        )
    except RuntimeError as error:
        raise SettingsError(f"{path} holds another network than its config.yaml ({error}): train again") from None
