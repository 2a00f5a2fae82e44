"""Networks of several streams: paper A's concatenation, paper B's cross-modal attention, and ours on top of both."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...labels import LABELS
from ..config.settings import EncoderConfig, ExperimentConfig, FusionConfig
from ..runs.warm_start import load_head
from .classifier import Classifier, Inputs, Output
from .cross_modal_attention import CrossModalAttention
from .encoding import encode, hold_frozen
from .pooling import Encoded, StatisticsPooling, make_pooling


class Stream(NamedTuple):
    """What the joining half gets of one modality: `encoded`, frames (B, T, `width`) with their mask (B, T), and
    `logits` (B, C) of its own head, if there are heads."""

    encoded: Encoded
    logits: Tensor | None = None


class FusionNetwork(nn.Module):
    """Encoders, a bridge behind each, and what joins them. Subclasses say what a bridge is and how streams are joined.

    `stream` and `fuse` are the two halves that the robot runs as graphs of their own. `fold` as in `build_model`.
    """

    def __init__(self, encoders: dict[str, nn.Module], config: ExperimentConfig, *, fold: str = "") -> None:
        super().__init__()
        settings = config.model.fusion
        self.modalities = tuple(encoders)
        self.settings: FusionConfig = settings
        self.encoders = nn.ModuleDict(encoders)
        self.bridges = nn.ModuleDict(
            {
                name: self.make_bridge(getattr(config.model.streams, name).pooling, encoders[name], config)
                for name in encoders
            }
        )
        width = self.pooled_width(settings.width)
        #: What stands for a modality that is not there: learned, because zeros could be a measurement.
        self.absent = nn.ParameterDict({name: nn.Parameter(torch.zeros(width)) for name in encoders})
        hidden, dropout = config.model.hidden, config.model.dropout
        self.dense = nn.Sequential(
            nn.Dropout(dropout if config.model.first_dropout else 0.0),
            nn.Linear(width * len(encoders), hidden or width),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.classes = nn.Linear(hidden or width, len(LABELS))
        self.heads = nn.ModuleDict()
        if settings.auxiliary:
            self.heads.update({name: make_head(name, encoder, config, fold) for name, encoder in encoders.items()})
        #: Fitted after training, on held-out people (`stacking`): by how much each head's logits are scaled, and then
        #: what the joint classifier and what each head counts in company.
        self.joint_weight: Tensor
        self.head_weight: Tensor
        self.alone_weight: Tensor
        if self.heads:
            self.register_buffer("joint_weight", torch.ones(()))
            self.register_buffer("head_weight", torch.ones(len(encoders)))
            self.register_buffer("alone_weight", torch.ones(len(encoders)))
        self.affect = nn.Linear(hidden or width, 2) if settings.affect else None

    def make_bridge(self, pooling: str, encoder: nn.Module, config: ExperimentConfig) -> nn.Module:
        """From an encoder's frames to features (B, T, `width`)."""
        raise NotImplementedError

    def pooled_width(self, width: int) -> int:
        """Of one stream where the streams are joined."""
        raise NotImplementedError

    def join(self, features: dict[str, Encoded], present: Tensor, trust: Tensor) -> dict[str, Tensor]:
        """Each stream's vector (B, `pooled_width`). `present`, `trust`: (B, M), the latter 0..1."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> FusionNetwork:
        super().train(mode)
        for part in (*self.encoders.values(), *self.heads.values()):
            hold_frozen(part)
        return self

    def forward(self, inputs: Inputs, present: Tensor | None = None, confidence: Tensor | None = None) -> Output:
        """The graphs' inputs by modality and name, `present` (B, M) 0 or 1, `confidence` (B,) of the transcripts
        -> logits (B, C), features (B, H), unimodal logits (B, C) by modality, affect (B, 2)."""
        streams = {name: self.stream(name, inputs[name]) for name in self.modalities}
        frames = next(iter(streams.values())).encoded.frames
        if present is None:
            present = frames.new_ones(len(frames), len(self.modalities))
        if self.training and self.settings.modality_dropout:
            present = drop_modalities(present, self.settings.modality_dropout)
        return self.fuse(streams, present, confidence)

    def stream(self, modality: str, inputs: dict[str, Tensor]) -> Stream:
        """One modality's inputs by name -> what `fuse` needs of it."""
        encoded = encode(self.encoders[modality], inputs)
        bridged = self.bridges[modality](encoded)
        if modality not in self.heads:
            return Stream(bridged)
        scale = self.alone_weight[self.modalities.index(modality)]
        return Stream(bridged, self.heads[modality](encoded).logits * scale)

    def fuse(self, streams: dict[str, Stream], present: Tensor, confidence: Tensor | None = None) -> Output:
        """What `stream` gives by modality, present (B, M), confidence (B,) -> as `forward`.

        With heads, one modality alone speaks through its own, so that company in training costs it nothing; several
        add their heads' weighted logits to those of the joint classifier. Between the two, a transcript that is hardly
        trusted is hardly company. In training the joint classifier answers without the heads: each must learn to be
        right by itself.
        """
        trust = self._trust(present, confidence)
        vectors = self.join({name: stream.encoded for name, stream in streams.items()}, present, trust)
        parts = []
        for index, name in enumerate(self.modalities):
            share = (present * trust)[:, index, None]
            # `where` and not a product alone: what a missing modality holds must not even be able to be NaN.
            known = torch.where(share > 0, vectors[name], torch.zeros_like(vectors[name]))
            parts.append(known * share + self.absent[name] * (1 - share))
        hidden = self.dense(torch.cat(parts, 1))
        logits = self.classes(hidden)
        affect = None if self.affect is None else torch.tanh(self.affect(hidden))
        heads = {name: stream.logits for name, stream in streams.items() if stream.logits is not None}
        if heads and not self.training:
            logits = self._with_heads(logits, torch.stack(list(heads.values()), 1), present, trust)
        return Output(logits, hidden, heads, affect)

    def _with_heads(self, joint: Tensor, heads: Tensor, present: Tensor, trust: Tensor) -> Tensor:
        """joint (B, C), heads (B, M, C), present, trust (B, M) -> (B, C)."""
        heads = torch.where(present[..., None] > 0, heads, torch.zeros_like(heads))
        trusted = present * trust
        together = joint * self.joint_weight + (heads * (trusted * self.head_weight)[..., None]).sum(1)
        total = trusted.sum(1, keepdim=True)
        share = torch.where(
            total > 0, trusted / total.clamp(min=1e-6), present / present.sum(1, keepdim=True).clamp(min=1)
        )
        alone = (heads * share[..., None]).sum(1)
        company = (total - trusted.amax(1, keepdim=True)).clamp(0, 1)
        return together * company + alone * (1 - company)

    def _trust(self, present: Tensor, confidence: Tensor | None) -> Tensor:
        """How far each modality may be believed: 1, but of text the recogniser's confidence. (B, M)."""
        if confidence is None or not self.settings.gate_text or "text" not in self.modalities:
            return torch.ones_like(present)
        ones = torch.ones_like(confidence)
        columns = [confidence.clamp(0, 1) if name == "text" else ones for name in self.modalities]
        return torch.stack(columns, 1).to(present.dtype)


def make_head(modality: str, encoder: nn.Module, config: ExperimentConfig, fold: str) -> Classifier:
    """A classifier of one stream alone; that of the run which its encoder comes from, if that run had no other stream,
    so that nothing is lost where the other modalities are missing."""
    settings: EncoderConfig = getattr(config.model.streams, modality)
    head = Classifier(
        make_pooling(settings.pooling or config.model.pooling, encoder),
        hidden=settings.head_hidden or config.model.hidden,
        dropout=config.model.dropout,
        norm=settings.head_norm,
    )
    if settings.weights and fold and load_head(head, modality, config, fold) and settings.train == "none":
        head.requires_grad_(False)
    return head


class ConcatFusion(FusionNetwork):
    """Paper A: every stream is pooled and projected, the projections stand side by side."""

    def make_bridge(self, pooling: str, encoder: nn.Module, config: ExperimentConfig) -> nn.Module:
        return PooledProjection(make_pooling(pooling or config.model.pooling, encoder), config.model.fusion.width)

    def pooled_width(self, width: int) -> int:
        return width

    def join(self, features: dict[str, Encoded], present: Tensor, trust: Tensor) -> dict[str, Tensor]:
        return {name: encoded.frames[:, 0] for name, encoded in features.items()}


class AttentionFusion(FusionNetwork):
    """Paper B, for two streams or more: every stream attends to every other, then mean and deviation over time."""

    def __init__(self, encoders: dict[str, nn.Module], config: ExperimentConfig, *, fold: str = "") -> None:
        super().__init__(encoders, config, fold=fold)
        self.attention = CrossModalAttention(
            self.modalities,
            width=self.settings.width,
            heads=self.settings.heads,
            dropout=config.model.dropout,
        )
        self.pooling = StatisticsPooling(self.settings.width)

    def make_bridge(self, pooling: str, encoder: nn.Module, config: ExperimentConfig) -> nn.Module:
        return FrameProjection(int(encoder.width), config.model.fusion.width)  # type: ignore[arg-type]

    def pooled_width(self, width: int) -> int:
        return 2 * width

    def join(self, features: dict[str, Encoded], present: Tensor, trust: Tensor) -> dict[str, Tensor]:
        attended = self.attention(features, present * trust)
        return {name: self.pooling(encoded.frames, encoded.mask) for name, encoded in attended.items()}


class PooledProjection(nn.Module):
    """Frames (B, T, D) -> one frame (B, 1, width)."""

    def __init__(self, pooling: nn.Module, width: int) -> None:
        super().__init__()
        self.pooling = pooling
        self.projection = nn.Linear(int(pooling.width), width)  # type: ignore[arg-type]

    def forward(self, encoded: Encoded) -> Encoded:
        frames = torch.relu(self.projection(self.pooling(encoded.frames, encoded.mask)))[:, None]
        return Encoded(frames, torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device))


class FrameProjection(nn.Module):
    """Frames (B, T, D) -> frames (B, T, width), each normalised."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(inputs, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, encoded: Encoded) -> Encoded:
        return Encoded(self.norm(self.projection(encoded.frames)), encoded.mask)


FUSIONS: dict[str, type[FusionNetwork]] = {"concat": ConcatFusion, "cross_attention": AttentionFusion}


def drop_modalities(present: Tensor, probability: float) -> Tensor:
    """Hide modalities at random, never all that a row has. (B, M) -> (B, M)."""
    kept = present * (torch.rand_like(present) >= probability)
    return torch.where(kept.sum(1, keepdim=True) > 0, kept, present)
