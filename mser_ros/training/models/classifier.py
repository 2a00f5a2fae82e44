"""From an encoder's frames to classes, and what every network gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from ...labels import LABELS
from .pooling import Encoded

Inputs = dict[str, dict[str, Tensor]]


class Output(NamedTuple):
    """`logits`: (B, C). `features`: (B, D), what stands before the classifier. `unimodal`: logits (B, C) of a head for
    each modality, if there are such heads. `affect`: valence and arousal (B, 2), -1..1, if they are estimated.
    `encoded`: the frames of the only encoder."""

    logits: Tensor
    features: Tensor
    unimodal: Mapping[str, Tensor] = {}
    affect: Tensor | None = None
    encoded: Encoded | None = None


class Classifier(nn.Module):
    """Pooling, an optional dense layer, classes."""

    def __init__(
        self, pooling: nn.Module, *, hidden: int, dropout: float, first_dropout: bool = True, norm: bool = False
    ) -> None:
        super().__init__()
        self.pooling = pooling
        width = int(pooling.width)  # type: ignore[arg-type]
        layers: list[nn.Module] = [nn.BatchNorm1d(width)] if norm else []
        layers += [nn.Dropout(dropout if first_dropout else 0.0)]
        if hidden:
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.dense = nn.Sequential(*layers)
        self.classes = nn.Linear(hidden or width, len(LABELS))

    def forward(self, encoded: Encoded) -> Output:
        """frames (B, T, D), mask (B, T) -> logits (B, C), features (B, H)."""
        features = self.dense(self.pooling(encoded.frames, encoded.mask))
        return Output(self.classes(features), features)
