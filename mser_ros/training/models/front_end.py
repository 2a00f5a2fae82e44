"""What is heard, frame by frame, as a network layer: log-mel and pitch; in an exported graph by convolutions alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...types import SAMPLE_RATE
from .torchaudio_guard import torchaudio

#: One frame each 16 ms; the window of the spectrum is 32 ms long, that of the pitch 64 ms.
HOP = 256
WINDOW = 512
PITCH_WINDOW = 1024
#: Mel power is floored this far below the utterance's own level [dB].
FLOOR_DB = -55.0
#: Mean and standard deviation of log-mel power over speech [dB], so that a network sees numbers around 0.
MEAN_DB = 7.0
STD_DB = 16.0
#: Pitches that are looked for [Hz], evenly spaced in logarithm, and up to which frequency their harmonics count [Hz].
LOWEST_HZ, HIGHEST_HZ, PITCHES = 60.0, 500.0, 72
HARMONICS_HZ = 2000.0
#: How much more likely the best pitch is than the next one; what an octave up is worth, as a periodic sound correlates
#: as well at every multiple of its period; and the octave that counts as 0.
_SHARPNESS = 80.0
_OCTAVE_BONUS = 0.05
_MIDDLE_OCTAVE = math.log2(180.0)
EXTRA = 3


class FrontEnd(nn.Module):
    """Frames of an utterance at its own level: gain does not change them, noise far below it is hidden.

    A frame holds the log-mel powers, then log2 pitch about 180 Hz, voicing (the normalised autocorrelation at that
    pitch, about 0..1), and the frame's level. `exporting`: Fourier transforms become strided convolutions, which every
    ONNX runtime has and quantising leaves alone.
    """

    def __init__(self, mels: int = 64) -> None:
        super().__init__()
        self.exporting = False
        self.mels = mels
        self.width = mels + EXTRA
        self.window: Tensor
        self.pitch_window: Tensor
        self.banks: Tensor
        self.lags: Tensor
        self.octaves: Tensor
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("pitch_window", torch.hann_window(PITCH_WINDOW), persistent=False)
        banks = torchaudio.functional.melscale_fbanks(WINDOW // 2 + 1, 50.0, SAMPLE_RATE / 2, mels, SAMPLE_RATE)
        self.register_buffer("banks", banks, persistent=False)
        self.floor = 10 ** (FLOOR_DB / 10) * float(self.window.square().sum())
        octaves = torch.linspace(math.log2(LOWEST_HZ), math.log2(HIGHEST_HZ), PITCHES)
        self.register_buffer("octaves", octaves - _MIDDLE_OCTAVE, persistent=False)
        self.register_buffer("lags", _lag_basis(2.0**octaves, self.pitch_window), persistent=False)

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """waveform (B, samples), lengths (B,) in samples or None -> frames (B, T, mels + 3), mask (B, T) bool.

        Frames that reach into an utterance's padding are masked and 0; there is always at least one.
        """
        batch, samples = waveform.shape
        if lengths is None:
            lengths = torch.full((batch,), samples, device=waveform.device)
        energy = waveform.square().sum(1) / lengths.clamp(min=1)
        waveform = waveform / (energy.sqrt() + 1e-6)[:, None]
        margin = (PITCH_WINDOW - WINDOW) // 2  # both windows of a frame share their middle
        waveform = nn.functional.pad(waveform, (margin, WINDOW + margin))
        spectrum = self._power(waveform[:, margin:-margin], self.window, WINDOW, WINDOW // 2 + 1)
        mel = nn.functional.conv1d(spectrum, self.banks.T[:, :, None])
        log_mel = (10 * torch.log10(mel + self.floor) - MEAN_DB) / STD_DB
        harmonics = self._power(waveform, self.pitch_window, 2 * PITCH_WINDOW, self.lags.shape[1])
        frames = torch.cat([log_mel, self._pitch(harmonics), log_mel.mean(1, keepdim=True)], 1).transpose(1, 2)
        count = (lengths - WINDOW).clamp(min=0) // HOP + 1
        mask = torch.arange(frames.shape[1], device=frames.device)[None] < count[:, None]
        return frames * mask[..., None], mask

    def _pitch(self, harmonics: Tensor) -> Tensor:
        """(B, bins, T) -> octaves from 180 Hz and voicing (B, 2, T)."""
        total = harmonics[:, :1] + 2 * harmonics[:, 1:].sum(1, keepdim=True)
        correlation = nn.functional.conv1d(harmonics, self.lags[:, :, None]) / (total + 1e-3)
        likely = ((correlation + _OCTAVE_BONUS * self.octaves[:, None]) * _SHARPNESS).softmax(1)
        octave = (likely * self.octaves[:, None]).sum(1)
        voicing = (likely * correlation).sum(1)
        return torch.stack([octave, voicing], 1)

    def _power(self, waveform: Tensor, window: Tensor, size: int, bins: int) -> Tensor:
        """Power spectrum of every frame, the lowest `bins` of a transform of `size`: (B, samples) -> (B, bins, T)."""
        if not self.exporting:
            spectrum = torch.fft.rfft((waveform.unfold(1, len(window), HOP) * window).float(), size)[..., :bins]
            return (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
        angle = torch.arange(bins)[:, None].double() * torch.arange(len(window))[None] * (2 * math.pi / size)
        basis = torch.cat([angle.cos(), -angle.sin()]).float() * window
        parts = nn.functional.conv1d(waveform[:, None], basis[:, None], stride=HOP)
        return parts[:, :bins].square() + parts[:, bins:].square()


def _lag_basis(pitches_hz: Tensor, window: Tensor) -> Tensor:
    """Filters (pitches, bins) that turn a power spectrum into autocorrelation at each pitch's period.

    The window's own autocorrelation is divided out (Boersma 1993), or low pitches would look unvoiced.
    """
    size = 2 * PITCH_WINDOW
    bins = round(HARMONICS_HZ / SAMPLE_RATE * size)
    lags = SAMPLE_RATE / pitches_hz.double()
    basis = torch.cos(2 * math.pi / size * lags[:, None] * torch.arange(bins)[None])
    basis[:, 1:] *= 2
    own = torch.fft.irfft(torch.fft.rfft(window.double(), size).abs().square())
    whole = lags.floor().long()
    share = lags - whole
    decay = (own[whole] * (1 - share) + own[whole + 1] * share) / own[0]
    return (basis / decay[:, None]).float()


def mask_frames(frames: Tensor, *, bands: int, time: int, mels: int) -> Tensor:
    """SpecAugment (Park et al. 2019): two stretches of mel bands and two of time become 0. (B, T, D) -> the same."""
    mel, rest = frames[..., :mels], frames[..., mels:]
    for _ in range(2):
        if bands:
            mel = torchaudio.functional.mask_along_axis_iid(mel[:, None], bands, 0.0, 3)[:, 0]
    frames = torch.cat([mel, rest], 2)
    for _ in range(2):
        if time:
            frames = torchaudio.functional.mask_along_axis_iid(frames[:, None], time, 0.0, 2)[:, 0]
    return frames
