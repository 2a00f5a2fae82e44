"""Running an encoder: live, or by its features that were kept on disk."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import torch
from torch import Tensor, nn

from .pooling import Encoded


def encode(encoder: nn.Module, inputs: dict[str, Tensor]) -> Encoded:
    """One modality's inputs by name -> frames (B, T, D), mask (B, T); `frames` among them stand for the encoder's."""
    if "frames" in inputs:
        return Encoded(inputs["frames"], inputs["mask"])
    return encoder(**inputs)


def is_frozen(encoder: nn.Module) -> bool:
    return not any(weight.requires_grad for weight in encoder.parameters())


def hold_frozen(encoder: nn.Module) -> None:
    """A frozen encoder has no dropout and keeps its statistics, in training too."""
    if is_frozen(encoder):
        encoder.eval()


def fingerprint(encoder: nn.Module) -> str:
    """A hash of what an encoder is: its parts, their settings and constants, and every weight and buffer, also those
    that its weights' file leaves out. What the code does with them is not in it, nor is dropout, which a frozen encoder
    has none of."""
    digest = hashlib.sha256()
    for name, part in encoder.named_modules():
        if isinstance(part, nn.Dropout):
            continue
        digest.update(repr((name, type(part).__qualname__, part.extra_repr(), _numbers(part))).encode())
    for name, tensor in (*encoder.named_parameters(), *encoder.named_buffers()):
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _numbers(part: nn.Module) -> list[tuple[str, Any]]:
    """The numbers and texts that a module of this package computes with: its own, its class's and its file's."""
    kind = type(part)
    if kind.__module__.split(".")[0] != __name__.split(".")[0]:
        return []
    constants = {**vars(sys.modules[kind.__module__]), **vars(kind)}
    held = {name: value for name, value in constants.items() if name.isupper()}
    held |= {name: value for name, value in vars(part).items() if not name.startswith("_") and name != "training"}
    return sorted((name, value) for name, value in held.items() if isinstance(value, (bool, int, float, str, tuple)))
