"""Whole networks: encoders, pooling and classifier, built from an experiment's settings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import SettingsError
from ...types import SAMPLE_RATE
from ..config.settings import EncoderConfig, ExperimentConfig
from ..runs.warm_start import load_encoder
from .classifier import Classifier, Inputs, Output
from .encoders import MarkerConvolutions, MotionConvolutions, SpeechConvolutions
from .encoding import encode, hold_frozen
from .fusion import FUSIONS
from .pooling import make_pooling
from .whisper import WhisperEncoder


class UnimodalModel(nn.Module):
    """One modality alone: an encoder and a classifier."""

    def __init__(self, modality: str, encoder: nn.Module, classifier: Classifier) -> None:
        super().__init__()
        self.modality = modality
        self.encoder = encoder
        self.classifier = classifier

    def train(self, mode: bool = True) -> UnimodalModel:
        super().train(mode)
        hold_frozen(self.encoder)
        return self

    def forward(self, inputs: Inputs, present: Tensor | None = None, confidence: Tensor | None = None) -> Output:
        """The graph's inputs of this modality, by name, plus `lengths` -> logits (B, C), features (B, H)."""
        encoded = encode(self.encoder, inputs[self.modality])
        return self.classifier(encoded)._replace(encoded=encoded)


class Ensemble(nn.Module):
    """The mean of several networks' logits: steadier than one where the data is small."""

    def __init__(self, members: list[UnimodalModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Inputs, present: Tensor | None = None, confidence: Tensor | None = None) -> Output:
        """As the members; features are those of the members side by side, frames those of the first."""
        outputs = [member(inputs) for member in self.members]
        return Output(
            torch.stack([o.logits for o in outputs]).mean(0),
            torch.cat([o.features for o in outputs], 1),
            encoded=outputs[0].encoded,
        )


def build_encoder(modality: str, experiment: ExperimentConfig, *, fold: str = "") -> nn.Module:
    """The encoder of one modality; `width` is its features per frame.

    `fold`: folder of the runs from which trained encoders are taken ('fold0' ... 'final'); empty: from none of them.
    """
    config: EncoderConfig = getattr(experiment.model.streams, modality)
    encoder = _make_encoder(modality, config, experiment)
    if config.weights and fold:
        load_encoder(encoder, modality, experiment, fold)
    if config.train == "none" and config.kind not in (
        "pretrained",
        "whisper",
    ):  # these keep the weights of its layers free
        encoder.requires_grad_(False)
    return encoder


def _make_encoder(modality: str, config: EncoderConfig, experiment: ExperimentConfig) -> nn.Module:
    if modality == "speech" and config.kind == "log_mel":
        return SpeechConvolutions(config, experiment.augment.speech)
    if modality == "speech" and config.kind == "whisper":
        return WhisperEncoder(config, experiment.augment.speech)
    if modality == "mocap" and config.kind == "motion":
        return MotionConvolutions(config, experiment.inputs)
    if modality == "mocap" and config.kind == "paper_a_mocap":
        return MarkerConvolutions()
    if modality in ("speech", "text") and config.kind == "pretrained":
        from .pretrained import PretrainedEncoder

        fixed = round(experiment.inputs.fixed_s * SAMPLE_RATE) if modality == "speech" else 0
        return PretrainedEncoder(modality, config, fixed=fixed)
    raise SettingsError(f"model.streams.{modality}.kind cannot be '{config.kind}': that encoder reads another modality")


def build_model(config: ExperimentConfig, *, fold: str = "") -> nn.Module:
    """The network that an experiment trains; `fold` as in `build_encoder`."""
    if config.model.fusion.kind:
        encoders = {name: build_encoder(name, config, fold=fold) for name in config.modalities}
        return FUSIONS[config.model.fusion.kind](encoders, config, fold=fold)
    modality = config.modalities[0]
    pooling = getattr(config.model.streams, modality).pooling or config.model.pooling
    members = []
    for _ in range(config.model.ensemble):
        encoder = build_encoder(modality, config, fold=fold)
        classifier = Classifier(
            make_pooling(pooling, encoder),
            hidden=config.model.hidden,
            dropout=config.model.dropout,
            first_dropout=config.model.first_dropout,
            norm=config.model.norm,
        )
        members.append(UnimodalModel(modality, encoder, classifier))
    return members[0] if len(members) == 1 else Ensemble(members)
