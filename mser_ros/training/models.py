"""Whole networks: encoders, pooling and classifier, built from an experiment's settings."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import SettingsError
from ..labels import LABELS
from .config import EncoderConfig, ExperimentConfig
from .encoders import MotionConvolutions, SpeechConvolutions
from .pooling import POOLING, Encoded

Inputs = dict[str, dict[str, Tensor]]


class Output(NamedTuple):
    """`logits`: (B, C). `features`: (B, D), what stands before the classifier."""

    logits: Tensor
    features: Tensor


class Classifier(nn.Module):
    """Pooling, an optional dense layer, classes."""

    def __init__(self, width: int, *, pooling: str, hidden: int, dropout: float) -> None:
        super().__init__()
        pool = POOLING[pooling](width)
        self.pooling: nn.Module = pool
        width = pool.width
        layers: list[nn.Module] = [nn.Dropout(dropout)]
        if hidden:
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]
        self.dense = nn.Sequential(*layers)
        self.classes = nn.Linear(hidden or width, len(LABELS))

    def forward(self, encoded: Encoded) -> Output:
        """frames (B, T, D), mask (B, T) -> logits (B, C), features (B, H)."""
        features = self.dense(self.pooling(encoded.frames, encoded.mask))
        return Output(self.classes(features), features)


class UnimodalModel(nn.Module):
    """One modality alone: an encoder and a classifier."""

    def __init__(self, modality: str, encoder: nn.Module, classifier: Classifier) -> None:
        super().__init__()
        self.modality = modality
        self.encoder = encoder
        self.classifier = classifier

    def forward(self, inputs: Inputs, present: Tensor | None = None) -> Output:
        """The graph's inputs of this modality, by name, plus `lengths` -> logits (B, C), features (B, H)."""
        return self.classifier(self.encoder(**inputs[self.modality]))


class Ensemble(nn.Module):
    """The mean of several networks' logits: steadier than one where the data is small."""

    def __init__(self, members: list[UnimodalModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Inputs, present: Tensor | None = None) -> Output:
        """As the members; features are those of the members side by side."""
        outputs = [member(inputs) for member in self.members]
        return Output(torch.stack([o.logits for o in outputs]).mean(0), torch.cat([o.features for o in outputs], 1))


def build_encoder(modality: str, config: EncoderConfig, experiment: ExperimentConfig) -> nn.Module:
    """The encoder of one modality; `width` is its features per frame."""
    if modality == "speech" and config.kind == "log_mel":
        return SpeechConvolutions(config, experiment.augment.speech)
    if modality == "mocap" and config.kind == "motion":
        return MotionConvolutions(config, experiment.inputs)
    if modality in ("speech", "text") and config.kind == "pretrained":
        from .pretrained import PretrainedEncoder

        return PretrainedEncoder(modality, config)
    raise SettingsError(f"model.streams.{modality}.kind cannot be '{config.kind}': that encoder reads another modality")


def build_model(config: ExperimentConfig) -> nn.Module:
    """The network that an experiment trains."""
    modality = config.modalities[0]
    members = []
    for _ in range(config.model.ensemble):
        encoder = build_encoder(modality, getattr(config.model.streams, modality), config)
        classifier = Classifier(
            encoder.width,  # type: ignore[arg-type]
            pooling=config.model.pooling,
            hidden=config.model.hidden,
            dropout=config.model.dropout,
        )
        members.append(UnimodalModel(modality, encoder, classifier))
    return members[0] if len(members) == 1 else Ensemble(members)
