"""Frames to one vector, with masks: a padded frame never counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import SettingsError


class Encoded(NamedTuple):
    """What an encoder gives. `frames`: (B, T, D). `mask`: (B, T) bool, True where a frame is real."""

    frames: Tensor
    mask: Tensor


def masked_mean(frames: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D), (B, T) -> (B, D)."""
    weight = mask.to(frames.dtype)[..., None]
    return (frames * weight).sum(1) / weight.sum(1).clamp(min=1)


def average_frames(encoded: Encoded, count: int) -> Encoded:
    """The mean of each `count` neighbouring frames: (B, T, D) -> (B, T / count rounded up, D)."""
    if count == 1:
        return encoded
    # Padded by a constant and cut by the pooling itself: an exported graph must work for every length.
    weight = nn.functional.pad(encoded.mask.to(encoded.frames.dtype)[:, None], (0, count - 1))
    frames = nn.functional.pad(encoded.frames.transpose(1, 2), (0, count - 1))
    share = nn.functional.avg_pool1d(weight, count)
    mean = nn.functional.avg_pool1d(frames * weight, count) / share.clamp(min=1 / (2 * count))
    return Encoded(mean.transpose(1, 2), share[:, 0] > 0)


class MeanPooling(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, D)."""
        return masked_mean(frames, mask)


class FirstPooling(MeanPooling):
    """The first frame alone: BERT's CLS."""

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, D)."""
        return frames[:, 0]


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time (paper B; Snyder et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = 2 * width

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, 2D)."""
        mean = masked_mean(frames, mask)
        variance = masked_mean((frames - mean[:, None]).square(), mask)
        return torch.cat([mean, (variance + 1e-6).sqrt()], 1)


class AttentivePooling(nn.Module):
    """Weighted mean and standard deviation; the weights are learned (Okabe et al. 2018)."""

    def __init__(self, width: int, attention: int = 64) -> None:
        super().__init__()
        self.width = 2 * width
        self.score = nn.Sequential(nn.Linear(width, attention), nn.Tanh(), nn.Linear(attention, 1))

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, 2D)."""
        score = self.score(frames)[..., 0].float().masked_fill(~mask, -1e4)
        weight = (score.softmax(1) * mask)[..., None].to(frames.dtype)
        mean = (frames * weight).sum(1)
        variance = ((frames - mean[:, None]).square() * weight).sum(1)
        return torch.cat([mean, (variance + 1e-6).sqrt()], 1)


class FlattenPooling(nn.Module):
    """All frames side by side (paper A): only for streams of a fixed number of frames; padding counts."""

    def __init__(self, width: int, frames: int) -> None:
        super().__init__()
        self.width = width * frames

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), (B, T) -> (B, T x D)."""
        return frames.flatten(1)


def make_pooling(name: str, encoder: nn.Module) -> nn.Module:
    """The pooling of an encoder's frames. Raises `SettingsError` where 'flatten' meets a free number of frames."""
    width = int(encoder.width)  # type: ignore[arg-type]
    if name != "flatten":
        return POOLING[name](width)
    frames = int(getattr(encoder, "fixed_frames", 0))
    if not frames:
        raise SettingsError("pooling 'flatten' needs utterances of one length: set inputs.fixed_s, or pool otherwise")
    return FlattenPooling(width, frames)


POOLING: dict[str, Callable[[int], MeanPooling | StatisticsPooling | AttentivePooling]] = {
    "mean": MeanPooling,
    "first": FirstPooling,
    "statistics": StatisticsPooling,
    "attentive": AttentivePooling,
}
