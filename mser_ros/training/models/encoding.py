"""Running an encoder: live, or by its features that were kept on disk."""

from __future__ import annotations

from torch import Tensor, nn

from .pooling import Encoded


def encode(encoder: nn.Module, inputs: dict[str, Tensor]) -> Encoded:
    """One modality's inputs by name -> frames (B, T, D), mask (B, T); `frames` among them stand for the encoder's."""
    if "frames" in inputs:
        return Encoded(inputs["frames"], inputs["mask"])
    return encoder(**inputs)


def is_frozen(encoder: nn.Module) -> bool:
    return not any(weight.requires_grad for weight in encoder.parameters())


def settle(encoder: nn.Module) -> None:
    """A frozen encoder has no dropout and keeps its statistics, in training too."""
    if is_frozen(encoder):
        encoder.eval()
