"""Encoders that are trained from scratch: one modality's input to frames of features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import EncoderConfig, InputConfig, SpeechAugmentConfig
from .front_end import HOP, SAMPLE_RATE, LogMel, mask_spectrogram
from .pooling import Encoded


class SpeechConvolutions(nn.Module):
    """Waveform -> log-mel -> a small residual network over frequency and time."""

    def __init__(self, config: EncoderConfig, augment: SpeechAugmentConfig) -> None:
        super().__init__()
        self.front_end = LogMel(config.mels)
        self.augment = augment
        quarter, half, full = config.width // 4, config.width // 2, config.width
        self.stem = nn.Sequential(
            nn.Conv2d(1, quarter, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(quarter), nn.ReLU()
        )
        self.blocks = nn.ModuleList(
            [
                ResidualBlock2d(quarter, half, stride=(2, 1), dropout=config.dropout),
                ResidualBlock2d(half, full, stride=(2, 2), dropout=config.dropout),
                ResidualBlock2d(full, full, stride=(2, 1), dropout=config.dropout),
            ]
        )
        self.width = full * config.mels // 16

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Encoded:
        """waveform (B, samples) in -1..1 at 16 kHz, lengths (B,) -> frames (B, T, D), one each 64 ms."""
        log_mel, mask = self.front_end(waveform, lengths)
        if self.training:
            frames = round(self.augment.mask_s * SAMPLE_RATE / HOP)
            log_mel = mask_spectrogram(log_mel, bands=self.augment.mask_bands, frames=frames)
        mask = mask[:, ::2]
        hidden = self.stem(log_mel[:, None]) * mask[:, None, None]
        for block in self.blocks:
            hidden, mask = block(hidden, mask)
        return Encoded(hidden.flatten(1, 2).transpose(1, 2), mask)


class ResidualBlock2d(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al. 2016); masked after each, so that padding stays 0."""

    def __init__(self, inputs: int, outputs: int, *, stride: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, F, T), mask (B, T) -> (B, C', F', T'), mask (B, T')."""
        mask = mask[:, :: self.stride[1]]
        keep = mask[:, None, None]
        inner = torch.relu(self.norms[0](self.first(hidden))) * keep
        inner = self.norms[1](self.second(self.dropout(inner)))
        return torch.relu(inner + self.shortcut(hidden)) * keep, mask


class MotionConvolutions(nn.Module):
    """Canonical joints -> positions and velocities -> a small residual network over time."""

    def __init__(self, config: EncoderConfig, inputs: InputConfig, joints: int = 15) -> None:
        super().__init__()
        self.rate_hz = inputs.rate_hz
        self.width = config.width
        self.stem = nn.Conv1d(joints * 7, config.width, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.norms = nn.ModuleList(nn.BatchNorm1d(config.width) for _ in range(3))
        self.convolutions = nn.ModuleList(nn.Conv1d(config.width, config.width, 3, padding=1) for _ in range(2))

    def forward(self, positions: Tensor, mask: Tensor) -> Encoded:
        """positions (B, T, J, 3), 0 where masked; mask (B, T, J), 1 = seen -> frames (B, T, D), frame by frame."""
        seen = mask.to(positions.dtype)
        positions = positions * seen[..., None]
        both = seen[:, 1:] * seen[:, :-1]
        velocities = (positions[:, 1:] - positions[:, :-1]) * both[..., None] * self.rate_hz
        velocities = nn.functional.pad(velocities, (0, 0, 0, 0, 1, 0))
        features = torch.cat([positions.flatten(2), velocities.flatten(2), seen], 2).transpose(1, 2)
        frames = seen.amax(2) > 0
        keep = frames[:, None].to(positions.dtype)
        hidden = torch.relu(self.norms[0](self.stem(features))) * keep
        for norm, convolution in zip(self.norms[1:], self.convolutions, strict=True):
            hidden = (hidden + torch.relu(norm(convolution(self.dropout(hidden))))) * keep
        return Encoded(hidden.transpose(1, 2), frames)
