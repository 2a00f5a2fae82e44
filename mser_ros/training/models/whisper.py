"""The lower layers of Whisper's encoder (Radford et al. 2022) as an encoder of voices, from CTranslate2's weights.

The published model pads every clip to 30 s. Its layers take any length when the position table is cut to it, which
makes them cheap on utterances of a few seconds, and what they give does not depend on padding.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import ModelError, SettingsError
from ...mel import mel_filters
from ...model_store.catalogue import CATALOGUE
from ...model_store.store import ModelStore
from ...types import SAMPLE_RATE
from ..config.settings import EncoderConfig, SpeechAugmentConfig
from .front_end import mask_frames
from .pooling import Encoded

#: Whisper's spectrum: frames each 10 ms of 25 ms, 80 mel bands up to 8 kHz.
HOP, WINDOW, MELS = 160, 400, 80
#: Log-mel power is floored this far below the loudest of the utterance [decades].
_RANGE = 8.0
_WEIGHTS = "model.bin"
#: CTranslate2's binary format that is read here, and its types of numbers.
_VERSION = 6
_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class WhisperSpectrum(nn.Module):
    """waveform (B, samples) -> log-mel (B, 80, T) as Whisper normalises it: relative to the utterance's loudest band.

    Fourier transforms are strided convolutions, which every ONNX runtime has and quantising leaves alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.basis: Tensor
        self.banks: Tensor
        self.register_buffer("basis", _fourier_basis(), persistent=False)
        self.register_buffer("banks", torch.tensor(mel_filters(MELS)), persistent=False)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """lengths (B,) in samples -> log-mel (B, 80, T), 0 in padding, and its mask (B, T) bool."""
        padded = nn.functional.pad(waveform, (WINDOW // 2, WINDOW // 2))
        parts = nn.functional.conv1d(padded[:, None], self.basis, stride=HOP)
        bins = WINDOW // 2 + 1
        power = parts[:, :bins].square() + parts[:, bins:].square()
        mel = nn.functional.conv1d(power, self.banks[:, :, None])
        # An even number of frames: the second convolution takes them in pairs.
        count = (lengths // (2 * HOP)).clamp(min=1) * 2
        mask = torch.arange(mel.shape[2], device=mel.device)[None] < count[:, None]
        log_mel = torch.log10(mel.clamp(min=1e-10))
        loudest = torch.where(mask[:, None], log_mel, -torch.inf).amax((1, 2), keepdim=True)
        log_mel = (torch.maximum(log_mel, loudest - _RANGE) + 4.0) / 4.0
        return log_mel * mask[:, None], mask


class WhisperLayer(nn.Module):
    """One pre-norm transformer layer. The projection of keys has no bias."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """(B, T, D), mask (B, 1, 1, T) bool -> (B, T, D)."""
        batch, frames, width = hidden.shape
        parts = self.query_key_value(self.attention_norm(hidden))
        split = parts.view(batch, frames, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(split[0], split[1], split[2], attn_mask=mask)
        hidden = hidden + self.dropout(self.output(attended.transpose(1, 2).reshape(batch, frames, width)))
        inner = nn.functional.gelu(self.up(self.norm(hidden)))
        return hidden + self.dropout(self.down(self.dropout(inner)))


class WhisperEncoder(nn.Module):
    """Waveform -> the lowest `depth` layers of Whisper's encoder -> what each gives, normalised, in a learned mixture,
    or the highest of them side by side.

    `config.source`: the name of a model of `mser models`, or a folder that holds CTranslate2's `model.bin`. Raises
    `SettingsError` where it cannot be read.
    """

    def __init__(self, config: EncoderConfig, augment: SpeechAugmentConfig) -> None:
        super().__init__()
        stored = read_ctranslate2(whisper_folder(config.source) / _WEIGHTS)
        self.augment = augment
        width, mels = stored["encoder/conv1/weight"].shape[:2]
        heads = int(stored["encoder/num_heads"])
        self.joined = config.joined
        self.width = width * max(1, config.joined)
        self.spectrum = WhisperSpectrum()
        self.convolutions = nn.ModuleList(
            [nn.Conv1d(mels, width, 3, padding=1), nn.Conv1d(width, width, 3, stride=2, padding=1)]
        )
        self.layers = nn.ModuleList(WhisperLayer(width, heads, config.dropout) for _ in range(config.depth))
        self.positions: Tensor
        self.register_buffer("positions", torch.zeros(stored["encoder/position_encodings/encodings"].shape))
        self.layer_scores = None if config.joined else nn.Parameter(torch.zeros(config.depth + 1))
        self._load(stored)
        kept = {"all": 0, "top": max(0, config.depth - config.top_layers), "none": config.depth}[config.train]
        if config.train != "all":
            for part in (*self.convolutions, *self.layers[:kept]):
                part.requires_grad_(False)

    def from_the_top(self) -> list[nn.Module]:
        """Its parts, the highest layer first: what lies deeper is more general and may learn more slowly."""
        return [*reversed(self.layers), *reversed(self.convolutions)]

    def forward(self, waveform: Tensor, lengths: Tensor | None = None) -> Encoded:
        """waveform (B, samples) in -1..1 at 16 kHz, lengths (B,) -> frames (B, T, D), one each 20 ms."""
        shortest = 2 * HOP
        waveform = nn.functional.pad(waveform, (0, max(0, shortest - waveform.shape[1])))
        if lengths is None:
            lengths = torch.full((len(waveform),), waveform.shape[1], device=waveform.device)
        mel, mask = self.spectrum(waveform, lengths)
        if self.training:
            time = round(self.augment.mask_s * SAMPLE_RATE / HOP)
            mel = mask_frames(mel.transpose(1, 2), bands=self.augment.mask_bands, time=time, mels=MELS).transpose(1, 2)
        keep = mask[:, None].to(mel.dtype)
        hidden = nn.functional.gelu(self.convolutions[0](mel)) * keep
        mask = mask[:, ::2]
        hidden = nn.functional.gelu(self.convolutions[1](hidden)).transpose(1, 2)[:, : mask.shape[1]]
        mask = mask[:, : hidden.shape[1]]
        hidden = hidden + self.positions[: hidden.shape[1]]
        states = [hidden]
        for layer in self.layers:
            states.append(layer(states[-1], mask[:, None, None]))
        normed = [nn.functional.layer_norm(state, state.shape[-1:]) for state in states]
        if self.layer_scores is None:
            frames = torch.cat(normed[-self.joined :], -1)
        else:
            shares = self.layer_scores.softmax(0)
            frames = torch.stack([share * state for share, state in zip(shares, normed, strict=True)]).sum(0)
        return Encoded(frames * mask[..., None].to(frames.dtype), mask)

    def _load(self, stored: dict[str, np.ndarray]) -> None:
        self.positions.copy_(_tensor(stored, "position_encodings/encodings"))
        for number, convolution in enumerate(self.convolutions, 1):
            _put(convolution, stored, f"conv{number}", ("weight", "bias"))
        for number, layer in enumerate(self.layers):
            for name, module in layer.named_children():
                if name in _NAMES:
                    place, norm = _NAMES[name]
                    kinds = ("gamma", "beta") if norm else ("weight", "bias")
                    _put(module, stored, f"layer_{number}/{place}", kinds)


#: Where CTranslate2 keeps what a layer holds, and whether that is a normalisation.
_NAMES = {
    "attention_norm": ("self_attention/layer_norm", True),
    "query_key_value": ("self_attention/linear_0", False),
    "output": ("self_attention/linear_1", False),
    "norm": ("ffn/layer_norm", True),
    "up": ("ffn/linear_0", False),
    "down": ("ffn/linear_1", False),
}


def _put(module: nn.Module, stored: dict[str, np.ndarray], place: str, kinds: tuple[str, str]) -> None:
    for parameter, kind in zip(module.parameters(), kinds, strict=True):
        parameter.data.copy_(_tensor(stored, f"{place}/{kind}"))


def _tensor(stored: dict[str, np.ndarray], name: str) -> Tensor:
    return torch.from_numpy(stored[f"encoder/{name}"].astype(np.float32))


def whisper_folder(source: str) -> Path:
    """The folder of a Whisper model, by its path or its name of `mser models`. Raises `SettingsError` for none."""
    if source in CATALOGUE:
        try:
            return ModelStore().require(source)
        except ModelError as error:
            raise SettingsError(str(error)) from None
    folder = Path(source).expanduser()
    if not (folder / _WEIGHTS).is_file():
        raise SettingsError(f"there is no Whisper model in {folder}: name a folder that holds CTranslate2's {_WEIGHTS}")
    return folder


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """Every variable of a CTranslate2 model by its name. Raises `SettingsError` for a file of another kind."""
    data = memoryview(path.read_bytes())
    at = 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(form)
        return value

    def text() -> str:
        nonlocal at
        size = take("H")
        value = bytes(data[at : at + size - 1]).decode()
        at += size
        return value

    try:
        if take("I") != _VERSION:
            raise ValueError("another version")
        if text() != "WhisperSpec":
            raise ValueError("another kind of model")
        take("I")
        variables = {}
        for _ in range(take("I")):
            name = text()
            shape = [take("I") for _ in range(take("B"))]
            kind, size = _TYPES[take("B")], take("I")
            variables[name] = np.frombuffer(data[at : at + size], kind).reshape(shape)
            at += size
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no Whisper model of CTranslate2 ({error}): get it again") from None
    return variables


def _fourier_basis() -> Tensor:
    """Windowed cosines, then sines, of every bin: (402, 1, 400)."""
    angle = torch.arange(WINDOW // 2 + 1)[:, None].double() * torch.arange(WINDOW)[None] * (2 * math.pi / WINDOW)
    return (torch.cat([angle.cos(), -angle.sin()]) * torch.hann_window(WINDOW, dtype=torch.float64)).float()[:, None]
