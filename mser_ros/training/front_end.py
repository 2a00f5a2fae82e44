"""Log-mel spectrograms as a network layer: with an FFT in training, as one convolution in an exported graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .torchaudio_guard import torchaudio

SAMPLE_RATE = 16000
WINDOW = 512
HOP = 256
#: Mel power is floored this far below the utterance's own level [dB].
FLOOR_DB = -55.0
#: Mean and standard deviation of log-mel power over speech [dB], so that a network sees numbers around 0.
MEAN_DB = 10.0
STD_DB = 14.0


class LogMel(nn.Module):
    """Log-mel spectrogram of an utterance at its own level: gain does not change it, noise far below it is hidden.

    The waveform is divided by its root mean square; frames of 32 ms every 16 ms; the result has about zero mean and
    unit variance over typical speech. `exporting`: the Fourier transform becomes a strided convolution, which every
    ONNX runtime has.
    """

    def __init__(self, mels: int = 64) -> None:
        super().__init__()
        self.exporting = False
        self.window: Tensor
        self.banks: Tensor
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=True), persistent=False)
        banks = torchaudio.functional.melscale_fbanks(WINDOW // 2 + 1, 50.0, SAMPLE_RATE / 2, mels, SAMPLE_RATE)
        self.register_buffer("banks", banks, persistent=False)
        self.floor = 10 ** (FLOOR_DB / 10) * float(self.window.square().sum())

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """waveform (B, samples), lengths (B,) in samples or None -> log-mel (B, mels, T), mask (B, T) bool.

        Shorter than one window: padded with silence. Frames that reach into an utterance's padding are masked and 0.
        """
        batch, samples = waveform.shape
        if lengths is None:
            lengths = torch.full((batch,), samples, device=waveform.device)
        energy = waveform.square().sum(1) / lengths.clamp(min=1)
        waveform = waveform / (energy.sqrt() + 1e-6)[:, None]
        waveform = nn.functional.pad(waveform, (0, WINDOW))  # so that a window always fits
        if self.exporting:
            # Convolutions and not MatMuls: quantising must leave the front end alone.
            mel = nn.functional.conv1d(self._power_by_convolution(waveform), self.banks.T[:, :, None])
        else:
            mel = self.banks.T @ self._power_by_fft(waveform).float()
        count = (lengths - WINDOW).clamp(min=0) // HOP + 1
        mask = torch.arange(mel.shape[-1], device=mel.device)[None] < count[:, None]
        log_mel = (10 * torch.log10(mel + self.floor) - MEAN_DB) / STD_DB
        return log_mel * mask[:, None], mask

    def _power_by_fft(self, waveform: Tensor) -> Tensor:
        spectrum = torch.fft.rfft((waveform.unfold(1, WINDOW, HOP) * self.window).float())
        return (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)

    def _power_by_convolution(self, waveform: Tensor) -> Tensor:
        """The windowed basis of the Fourier transform as filters: (B, samples) -> (B, bins, T)."""
        bins = WINDOW // 2 + 1
        angle = 2 * math.pi / WINDOW * torch.arange(bins)[:, None].double() * torch.arange(WINDOW)[None].double()
        basis = torch.cat([angle.cos(), -angle.sin()]).float() * self.window
        parts = nn.functional.conv1d(waveform[:, None], basis[:, None], stride=HOP)
        return parts[:, :bins].square() + parts[:, bins:].square()


def mask_spectrogram(log_mel: Tensor, *, bands: int, frames: int) -> Tensor:
    """SpecAugment (Park et al. 2019): two bands and two stretches of time become 0. (B, mels, T) -> the same."""
    for _ in range(2):
        if bands:
            log_mel = torchaudio.functional.mask_along_axis_iid(log_mel[:, None], bands, 0.0, 2)[:, 0]
        if frames:
            log_mel = torchaudio.functional.mask_along_axis_iid(log_mel[:, None], frames, 0.0, 3)[:, 0]
    return log_mel
