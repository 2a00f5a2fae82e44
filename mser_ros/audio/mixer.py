"""From the channels of a source to one: some would cancel each other, say nothing, or are clipped."""

from __future__ import annotations

import math

import numpy as np

from .waveform import to_float

#: Channels are judged by the last seconds, loud ones above all, anew with each frame of so many seconds.
_MEMORY_S, _FRAME_S = 2.0, 0.02
#: Two channels of a correlation below this have opposite phase: a lead was swapped.
_OPPOSITE = -0.6
#: A channel with less than this share of the power of the loudest one is silent.
_SILENT = 0.01
#: A channel of which more than this share is at full scale is clipped.
_CLIPPED = 0.005


class ChannelMixer:
    """Mixes the channels of one source: their mean, unless what was heard so far says that some of them do harm.

    A channel of opposite phase is turned round, a silent one is left out, and a clipped one where there is another.
    The result does not depend on how the audio is cut. `inverted`, `left_out`: how many channels are so now.
    """

    def __init__(self, channels: int, sample_rate: int) -> None:
        self._size = max(1, round(_FRAME_S * sample_rate))
        self._keeps = math.exp(-_FRAME_S / _MEMORY_S)
        self._filled = 0  # samples of the frame that has begun
        self._weights = np.full(channels, 1 / channels, np.float32)
        # Sums of the frame that has begun, exact, and of what was before, fading: samples, products, at full scale.
        self._begun = [np.zeros(channels, np.int64), np.zeros((channels, channels), np.int64), np.zeros(channels, int)]
        self._past = [np.zeros(channels), np.zeros((channels, channels)), np.zeros(channels)]
        self._count = 0.0
        self.inverted = self.left_out = 0

    def push(self, samples: np.ndarray) -> np.ndarray:
        """int16 (frames, channels) that follow those before -> float32 in -1..1, (frames,)."""
        if samples.shape[1] == 1:
            return to_float(samples[:, 0])
        mixed = []
        while len(samples):
            part, samples = np.split(samples, [self._size - self._filled])
            mixed.append(to_float(part) @ self._weights)
            self._note(part)
        return np.concatenate(mixed) if mixed else np.zeros(0, np.float32)

    def _note(self, part: np.ndarray) -> None:
        wide = part.astype(np.int64)
        for total, more in zip(self._begun, (wide.sum(0), wide.T @ wide, (np.abs(wide) >= 32_767).sum(0)), strict=True):
            total += more
        self._filled += len(part)
        if self._filled == self._size:
            for past, total in zip(self._past, self._begun, strict=True):
                past *= self._keeps
                past += total
                total[...] = 0
            self._count = self._count * self._keeps + self._size
            self._filled = 0
            self._weights = self._judge()

    def _judge(self) -> np.ndarray:
        sums, products, clipped = (past / self._count for past in self._past)
        covariance = products - np.outer(sums, sums)
        power = np.diag(covariance)
        reference = int(power.argmax())
        alike = covariance / np.maximum(np.sqrt(np.outer(power, power)), 1e-9)  # correlations
        heard = power > _SILENT * power[reference]
        clean = (clipped <= _CLIPPED) & (heard | (np.abs(alike[reference]) > -_OPPOSITE))
        if clean.any() and (clipped[heard] > _CLIPPED).any():
            heard = clean
            reference = int(np.where(clean, power, -1).argmax())
        if not heard.any():  # nothing but silence
            heard = np.ones(len(power), bool)
        opposite = heard & (alike[reference] < _OPPOSITE)
        self.inverted, self.left_out = int(opposite.sum()), int((~heard).sum())
        return np.where(opposite, -1, heard).astype(np.float32) / np.float32(heard.sum())
