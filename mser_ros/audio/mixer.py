"""From the channels of a source to one: some would cancel each other, say nothing, or are clipped."""

from __future__ import annotations

import math

import numpy as np

from ..types import SAMPLE_RATE
from .waveform import StreamResampler, to_float

#: Channels are judged by the last seconds, loud ones above all, anew with each frame of so many seconds.
_MEMORY_S, _FRAME_S = 2.0, 0.02
#: Two channels of a correlation below this have opposite phase: a lead was swapped.
_OPPOSITE = -0.6
#: A channel with less than this share of the power of the loudest one, where voices are, is silent.
_SILENT = 0.01
#: What voices are made of is told from hum and rumble by differences of samples that lie so far apart [s]: of two in a
#: row little is left of 50 Hz, and much of what lies above 300 Hz.
_LAG_S = 0.0005
#: A channel whose power is so many times what is left of it hums, if it is louder than this (square of 16-bit samples).
_HUM, _HUM_FLOOR = 50, 100.0**2
#: 16-bit samples that lie so far out are at full scale.
_FULL = 32_767
#: A channel of which more than this share is at full scale is clipped.
_CLIPPED = 0.005


#: What comes of some audio: int16 (m,), and float32 (m,), the share of what each sample was made of that lay at full
#: scale, which resampling would hide.
Conditioned = tuple[np.ndarray, np.ndarray]


class Conditioner:
    """From any source to 16 kHz mono: mixes its channels, resamples, and tells which samples had been clipped.

    What it gives does not depend on how the audio is cut. `mixer`: what it does with the channels now.
    """

    def __init__(self, channels: int, sample_rate: int) -> None:
        self.mixer = ChannelMixer(channels, sample_rate)
        self._rate = sample_rate
        self._resampler = StreamResampler(sample_rate)
        #: Which of the source's samples are clipped, from the one that the next sample begins with, and its number.
        self._full, self._first, self._given = np.zeros(0, bool), 0, 0

    def push(self, samples: np.ndarray) -> Conditioned:
        """Take int16 (n, channels) that follow those before."""
        mono = self.mixer.push(samples)
        return self._give(self._resampler.push(mono), self.mixer.clipped)

    def skip(self, samples: int) -> Conditioned:
        """Take so many samples of silence in place of what was lost."""
        return self._give(self._resampler.push(np.zeros(samples, np.float32)), np.zeros(samples, bool))

    def end(self) -> Conditioned:
        """The source is over. It must not be used again."""
        return self._give(self._resampler.push(np.zeros(0, np.float32), last=True), np.zeros(0, bool))

    def _give(self, out: np.ndarray, full: np.ndarray) -> Conditioned:
        self._full = np.concatenate([self._full, full])
        clipped = self._shares(len(out)) if self._full.any() else np.zeros(len(out), np.float32)
        self._given += len(out)
        next_first = self._given * self._rate // SAMPLE_RATE
        self._full, self._first = self._full[next_first - self._first :], next_first
        return out, clipped

    def _shares(self, count: int) -> np.ndarray:
        """Of what each of the next samples is made of, how much is clipped."""
        edges = np.arange(self._given, self._given + count + 1, dtype=np.int64) * self._rate // SAMPLE_RATE
        first = np.minimum(edges[:-1] - self._first, len(self._full) - 1)
        last = np.maximum(edges[1:] - self._first, first + 1)
        until = np.concatenate([[0], np.cumsum(self._full)])
        return ((until[np.minimum(last, len(self._full))] - until[first]) / (last - first)).astype(np.float32)


class ChannelMixer:
    """Mixes the channels of one source: their mean, unless what was heard so far says that some of them do harm.

    A channel of opposite phase is turned round, a silent one is left out, and so is one that is clipped or hums where
    there is another.
    The result does not depend on how the audio is cut. `inverted`, `left_out`: how many channels are so now.
    `clipped`: bool (frames,), which of the samples that were mixed last lie at full scale in a channel that counted.
    """

    def __init__(self, channels: int, sample_rate: int) -> None:
        self._size = max(1, round(_FRAME_S * sample_rate))
        self._keeps = math.exp(-_FRAME_S / _MEMORY_S)
        self._filled = 0  # samples of the frame that has begun
        self._signs = np.ones(channels, np.int32)  # -1: turned round, 0: left out
        self._lag = max(1, round(_LAG_S * sample_rate))
        self._last: np.ndarray | None = None  # samples (2 * lag, channels) before those that come
        # Sums of the frame that has begun, exact, and of what was before, fading: samples, products, at full scale, and
        # squares of differences.
        shapes = (channels, (channels, channels), channels, channels)
        self._begun = [np.zeros(shape, np.int64) for shape in shapes]
        self._past = [np.zeros(shape) for shape in shapes]
        self._count = 0.0
        self.inverted = self.left_out = 0
        self.clipped = np.zeros(0, bool)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """int16 (frames, channels) that follow those before -> float32 in -1..1, (frames,)."""
        is_full = (samples >= _FULL) | (samples <= -_FULL)
        if samples.shape[1] == 1:
            self.clipped = is_full[:, 0]
            return to_float(samples[:, 0])
        mixed, clipped, first = [], [], 0
        while first < len(samples):
            span = slice(first, first + self._size - self._filled)
            part, first = samples[span], span.stop
            # In whole numbers: a sum of floats is rounded differently as the block is longer or shorter.
            mixed.append(to_float((part * self._signs).sum(axis=1) / np.abs(self._signs).sum()))
            clipped.append((is_full[span] & (self._signs != 0)).any(axis=1))
            self._note(part, is_full[span])
        self.clipped = np.concatenate(clipped) if clipped else np.zeros(0, bool)
        return np.concatenate(mixed) if mixed else np.zeros(0, np.float32)

    def _note(self, part: np.ndarray, is_full: np.ndarray) -> None:
        wide = part.astype(np.int64)
        if self._last is None:
            self._last = np.repeat(wide[:1], 2 * self._lag, axis=0)
        both = np.concatenate([self._last, wide])
        self._last = both[-2 * self._lag :]
        sharp = both[2 * self._lag :] - 2 * both[self._lag : -self._lag] + both[: -2 * self._lag]
        found = wide.sum(0), wide.T @ wide, is_full.sum(0), np.square(sharp).sum(0)
        for total, more in zip(self._begun, found, strict=True):
            total += more
        self._filled += len(part)
        if self._filled == self._size:
            for past, total in zip(self._past, self._begun, strict=True):
                past *= self._keeps
                past += total
                total[...] = 0
            self._count = self._count * self._keeps + self._size
            self._filled = 0
            self._signs = self._judge()

    def _judge(self) -> np.ndarray:
        sums, products, clipped, voiced = (past / self._count for past in self._past)
        covariance = products - np.outer(sums, sums)
        power = np.diag(covariance)
        hums = (power > _HUM * voiced) & (power > _HUM_FLOOR)
        if not (~hums & (voiced > max(_SILENT * voiced.max(), 1.0))).any():
            hums[:] = False
        reference = int(np.where(hums, -1, voiced).argmax())
        alike = covariance / np.maximum(np.sqrt(np.outer(power, power)), 1e-9)  # correlations
        heard = ~hums & (voiced > _SILENT * voiced[reference])
        clean = (clipped <= _CLIPPED) & (heard | (np.abs(alike[reference]) > -_OPPOSITE))
        if clean.any() and (clipped[heard] > _CLIPPED).any():
            heard = clean
            reference = int(np.where(clean, power, -1).argmax())
        if not heard.any():  # nothing but silence
            heard = np.ones(len(power), bool)
        opposite = heard & (alike[reference] < _OPPOSITE)
        self.inverted, self.left_out = int(opposite.sum()), int((~heard).sum())
        return np.where(opposite, -1, heard).astype(np.int32)
