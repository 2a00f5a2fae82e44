"""From an `Utterance` to what a network is fed with: the same steps as the robot's recogniser, and batches of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CorpusError
from ..mocap.canonical import canonicalise
from ..types import Utterance
from .config import ExperimentConfig, InputConfig
from .front_end import SAMPLE_RATE


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What is kept of one item in memory; a modality that is missing or not asked for is None.

    `speech`: int16, (samples,) at 16 kHz. `text`: the transcript. `positions`: float32 (T, 15, 3) with
    `seen`: bool (T, 15).
    """

    label: int
    speech: np.ndarray | None = None
    text: str | None = None
    positions: np.ndarray | None = None
    seen: np.ndarray | None = None

    def has(self, modality: str) -> bool:
        return getattr(self, "positions" if modality == "mocap" else modality) is not None


def prepare(utterance: Utterance, label: int, *, modalities: Sequence[str], inputs: InputConfig) -> Sample:
    """Keep of an utterance what the model needs. Raises `CorpusError` for audio at another rate than 16 kHz."""
    sample = Sample(label)
    if "speech" in modalities and utterance.audio is not None:
        audio = utterance.audio
        if audio.sample_rate != SAMPLE_RATE:
            raise CorpusError(f"{utterance.utterance_id} has {audio.sample_rate} Hz, not 16000: resample the corpus")
        samples = audio.samples[-round(inputs.max_s * SAMPLE_RATE) :]
        speech = np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)
        sample = dataclasses.replace(sample, speech=speech)
    if "text" in modalities and utterance.transcript is not None and utterance.transcript.text.strip():
        sample = dataclasses.replace(sample, text=utterance.transcript.text)
    if "mocap" in modalities and utterance.skeleton is not None and len(utterance.skeleton.stamps_ns):
        end_ns = int(utterance.skeleton.stamps_ns[-1])
        motion = canonicalise(utterance.skeleton, rate_hz=inputs.rate_hz, window_s=inputs.window_s, end_ns=end_ns)
        if motion is not None:
            first = int(motion.mask.any(1).argmax())  # nothing is seen before: no need to keep it
            sample = dataclasses.replace(sample, positions=motion.positions[first:], seen=motion.mask[first:])
    return sample


@dataclass
class Batch:
    """`inputs`: by modality, the graph's inputs by name. `present`: (B, M). `labels`, `index`: (B,) int64."""

    inputs: dict[str, dict[str, Tensor]]
    present: Tensor
    labels: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def normalise(samples: np.ndarray) -> np.ndarray:
    """Zero mean, unit variance over the utterance, as wav2vec 2.0 wants and the recogniser does."""
    return (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)


class Collator:
    """Puts samples into one padded batch; padding is told by `lengths`, `attention_mask` and `mask`."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.modalities = config.modalities
        self.inputs = config.inputs
        self.tokenizer = load_tokenizer(config) if "text" in self.modalities else None

    def __call__(self, samples: Sequence[tuple[int, Sample]]) -> Batch:
        """`samples`: (index, sample) pairs."""
        stack = {"speech": self._speech, "text": self._text, "mocap": self._mocap}
        parts = [sample for _, sample in samples]
        return Batch(
            inputs={modality: stack[modality](parts) for modality in self.modalities},
            present=torch.tensor([[float(part.has(modality)) for modality in self.modalities] for part in parts]),
            labels=torch.tensor([part.label for part in parts]),
            index=torch.tensor([index for index, _ in samples]),
        )

    def _speech(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        waves = [np.zeros(1) if s.speech is None else s.speech.astype(np.float32) / 32768 for s in samples]
        if self.inputs.normalise:
            waves = [normalise(wave) for wave in waves]
        lengths = [len(wave) for wave in waves]
        waveform = np.zeros((len(waves), max(lengths)), np.float32)
        for row, wave in zip(waveform, waves, strict=True):
            row[: len(wave)] = wave
        return {"waveform": torch.from_numpy(waveform), "lengths": torch.tensor(lengths)}

    def _text(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        assert self.tokenizer is not None
        ids = [self.tokenizer.encode(sample.text or "").ids for sample in samples]
        longest = max(len(row) for row in ids)
        return {
            "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in ids]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids]),
        }

    def _mocap(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        frames = max([1] + [len(s.positions) for s in samples if s.positions is not None])
        joints = next((s.positions.shape[1] for s in samples if s.positions is not None), 15)
        positions = np.zeros((len(samples), frames, joints, 3), np.float32)
        seen = np.zeros((len(samples), frames, joints), np.float32)
        for row, sample in enumerate(samples):
            if sample.positions is not None and sample.seen is not None:
                positions[row, : len(sample.positions)] = sample.positions
                seen[row, : len(sample.seen)] = sample.seen
        return {"positions": torch.from_numpy(positions), "mask": torch.from_numpy(seen)}


def tokenizer_json(config: ExperimentConfig) -> str:
    """The text encoder's tokenizer as the JSON that the bundle carries."""
    from .pretrained import model_source

    source = model_source(config.model.streams.text.source)
    file = Path(source) / "tokenizer.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source).backend_tokenizer.to_str()


def load_tokenizer(config: ExperimentConfig) -> Any:
    """The tokenizer as the recogniser sets it up."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_json(config))
    tokenizer.no_padding()
    tokenizer.enable_truncation(config.inputs.max_tokens)
    return tokenizer
