"""Encoders that are trained from scratch: one modality's input to frames of features."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ...types import SAMPLE_RATE
from ..config.settings import EncoderConfig, InputConfig, SpeechAugmentConfig
from .front_end import HOP, FrontEnd, mask_frames
from .pooling import Encoded


class SpeechConvolutions(nn.Module):
    """Waveform -> log-mel and pitch -> a small residual network over time, with the frames themselves beside it."""

    def __init__(self, config: EncoderConfig, augment: SpeechAugmentConfig) -> None:
        super().__init__()
        self.front_end = FrontEnd(config.mels)
        self.augment = augment
        self.stem = nn.Conv1d(self.front_end.width, config.width, 5, stride=2, padding=2, bias=False)
        self.norm = nn.BatchNorm1d(config.width)
        self.blocks = nn.ModuleList(ResidualBlock(config.width, config.dropout) for _ in range(config.depth))
        self.width = config.width + self.front_end.width

    def forward(
        self,
        waveform: Tensor | None = None,
        lengths: Tensor | None = None,
        spectra: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Encoded:
        """waveform (B, samples) in -1..1 at 16 kHz, lengths (B,) -> frames (B, T, D), one each 32 ms.

        Or `spectra` (B, 2T, mels + 3) and its `mask` (B, 2T): what the front end gave of it.
        """
        if spectra is None or mask is None:
            assert waveform is not None
            spectra, mask = self.front_end(waveform, lengths)
        if self.training:
            time = round(self.augment.mask_s * SAMPLE_RATE / HOP)
            spectra = mask_frames(spectra, bands=self.augment.mask_bands, time=time, mels=self.front_end.mels)
        keep = mask[:, None, ::2]
        hidden = torch.relu(self.norm(self.stem(spectra.transpose(1, 2)))) * keep
        for block in self.blocks:
            hidden = block(hidden, keep)
        return Encoded(torch.cat([hidden.transpose(1, 2), spectra[:, ::2]], 2), mask[:, ::2])


class ResidualBlock(nn.Module):
    """Two convolutions over time with a shortcut (He et al. 2016); masked after each, so that padding stays 0."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, keep: Tensor) -> Tensor:
        """(B, D, T), mask (B, 1, T) -> (B, D, T)."""
        inner = torch.relu(self.norms[0](self.convolutions[0](hidden))) * keep
        inner = self.norms[1](self.convolutions[1](self.dropout(inner)))
        return torch.relu(hidden + inner) * keep


class MotionConvolutions(nn.Module):
    """Canonical joints -> positions, velocities, speeds -> a small residual network over time, with them beside it."""

    def __init__(self, config: EncoderConfig, inputs: InputConfig) -> None:
        super().__init__()
        self.rate_hz = inputs.rate_hz
        seen = 15 * (3 + 3 + 1 + 1)  # of each joint: place, velocity, speed, and whether it is seen
        self.scale = nn.BatchNorm1d(seen)
        self.stem = nn.Conv1d(seen, config.width, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.norms = nn.ModuleList(nn.BatchNorm1d(config.width) for _ in range(config.depth + 1))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.width, config.width, 3, padding=1) for _ in range(config.depth)
        )
        self.width = config.width + seen

    def forward(self, positions: Tensor, mask: Tensor) -> Encoded:
        """positions (B, T, J, 3), 0 where masked; mask (B, T, J), 1 = seen -> frames (B, T, D), frame by frame."""
        seen = mask.to(positions.dtype)
        positions = positions * seen[..., None]
        both = seen[:, 1:] * seen[:, :-1]
        velocities = (positions[:, 1:] - positions[:, :-1]) * both[..., None] * self.rate_hz
        velocities = nn.functional.pad(velocities, (0, 0, 0, 0, 1, 0))
        speeds = (velocities.square().sum(3) + 1e-6).sqrt()
        features = torch.cat([positions.flatten(2), velocities.flatten(2), speeds, seen], 2).transpose(1, 2)
        frames = seen.amax(2) > 0
        keep = frames[:, None].to(positions.dtype)
        features = self.scale(features) * keep
        hidden = torch.relu(self.norms[0](self.stem(features))) * keep
        for norm, convolution in zip(self.norms[1:], self.convolutions, strict=True):
            hidden = (hidden + torch.relu(norm(convolution(self.dropout(hidden))))) * keep
        return Encoded(torch.cat([hidden, features], 1).transpose(1, 2), frames)


class MarkerConvolutions(nn.Module):
    """Paper A's network on 200 bins of 63 markers: four 3x3 convolutions of stride 2 over time and coordinates."""

    #: Bins of an utterance, and values of a bin.
    SIZE = (200, 189)
    #: Markers come in millimetres, angles in degrees: a unit in which both are about 1.
    UNIT = 100.0

    def __init__(self) -> None:
        super().__init__()
        channels = (1, 16, 32, 64, 75)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1) for inputs, outputs in pairwise(channels)
        )
        frames, values = self.SIZE
        for _ in self.convolutions:
            frames, values = -(-frames // 2), -(-values // 2)
        self.fixed_frames = frames
        self.width = channels[-1] * values

    def forward(self, positions: Tensor, mask: Tensor) -> Encoded:
        """positions (B, 200, 63, 3), 0 where masked; mask (B, 200, 63), 1 = seen -> frames (B, 13, 900), all real."""
        seen = mask.to(positions.dtype)[..., None]
        hidden = (positions * seen / self.UNIT).flatten(2)[:, None]
        for convolution in self.convolutions:
            hidden = torch.relu(convolution(hidden))
        frames = hidden.transpose(1, 2).flatten(2)
        return Encoded(frames, torch.ones(frames.shape[:2], dtype=torch.bool, device=frames.device))
