"""From an `Utterance` to what a network is fed with: the same steps as the robot's recogniser, and batches of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from ...audio.waveform import centred, to_float, to_int16, trim
from ...errors import CorpusError, SettingsError
from ...mocap.canonical import canonicalise
from ...mocap.layouts import JOINTS, MARKER_BINS, MARKER_LAYOUT, MARKERS
from ...recognition.readers import last_seconds, make_tokenizer, normalise, spoken
from ...types import SAMPLE_RATE, Utterance
from ..config.settings import ExperimentConfig, InputConfig

#: Files that a tokenizer can be read from.
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model", "*.spm", "*.bpe")


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What is kept of one item in memory; a modality that is missing or not asked for is None.

    `speech`: int16, (samples,) at 16 kHz. `text`: the transcript. `positions`: float32 (T, 15, 3) with
    `seen`: bool (T, 15); of IEMOCAP's markers (200, 63, 3) and (200, 63). `confidence`: the recogniser's, of the text.
    `affect`: valence and arousal, -1..1. `frames`: files with the features that a frozen encoder gave, by modality.
    `spectra`: float16 (T, D), what the speech front end gave of the voice as it is, then of changed copies of it.
    `person`: whose it is, '' where that is not known. `weight`: how much it counts in the regression of a probe.
    """

    label: int
    speech: np.ndarray | None = None
    text: str | None = None
    positions: np.ndarray | None = None
    seen: np.ndarray | None = None
    confidence: float = 1.0
    affect: tuple[float, float] | None = None
    frames: Mapping[str, Path] = field(default_factory=dict)
    spectra: tuple[np.ndarray, ...] = ()
    person: str = ""
    weight: float = 1.0

    def has(self, modality: str) -> bool:
        return getattr(self, "positions" if modality == "mocap" else modality) is not None


def prepare(
    utterance: Utterance, label: int, *, modalities: Sequence[str], inputs: InputConfig, markers: bool = False
) -> Sample:
    """Keep of an utterance what the model needs. Raises `CorpusError` for audio at another rate than 16 kHz.

    `markers`: the mocap encoder reads IEMOCAP's 200 bins of markers; else it reads bodies. One is never made of the
    other.
    """
    sample = Sample(label)
    if "speech" in modalities and utterance.audio is not None:
        audio = utterance.audio
        if audio.sample_rate != SAMPLE_RATE:
            raise CorpusError(
                f"{utterance.utterance_id} has {audio.sample_rate} Hz, not {SAMPLE_RATE}: resample the corpus"
            )
        speech = trim(centred(audio.samples), inputs.trim_db, SAMPLE_RATE)
        speech = to_int16(last_seconds(speech, inputs.max_s, SAMPLE_RATE))
        sample = dataclasses.replace(sample, speech=speech)
    if "text" in modalities and utterance.transcript is not None and (text := spoken(utterance.transcript.text)):
        confidence = utterance.transcript.confidence
        sample = dataclasses.replace(sample, text=text, confidence=1.0 if confidence is None else confidence)
    skeleton = utterance.skeleton if "mocap" in modalities else None
    if skeleton is None or not len(skeleton.stamps_ns) or (skeleton.layout == MARKER_LAYOUT) != markers:
        return sample
    if markers:
        sample = dataclasses.replace(sample, positions=skeleton.positions, seen=skeleton.confidence > 0)
    else:
        end_ns = int(skeleton.stamps_ns[-1])
        motion = canonicalise(skeleton, rate_hz=inputs.rate_hz, window_s=inputs.window_s, end_ns=end_ns)
        if motion is not None:
            first = int(motion.mask.any(1).argmax())  # nothing is seen before: no need to keep it
            sample = dataclasses.replace(sample, positions=motion.positions[first:], seen=motion.mask[first:])
    return sample


@dataclass
class Batch:
    """`inputs`: by modality, the graph's inputs by name, or `frames` (B, T, D) and `mask` (B, T) of a frozen encoder.

    `present`: (B, M). `confidence`: (B,), of the text. `affect`: (B, 2), NaN: unknown. `labels`, `index`: int64 (B,).
    """

    inputs: dict[str, dict[str, Tensor]]
    present: Tensor
    confidence: Tensor
    affect: Tensor
    labels: Tensor
    index: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class Collator:
    """Puts samples into one padded batch; padding is told by `lengths`, `attention_mask` and `mask`."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.modalities = config.modalities
        self.inputs = config.inputs
        self.markers = config.reads_markers
        self.tokenizer = load_tokenizer(config) if "text" in self.modalities else None

    def __call__(self, samples: Sequence[tuple[int, Sample]]) -> Batch:
        """`samples`: (index, sample) pairs."""
        parts = [sample for _, sample in samples]
        unknown = (float("nan"), float("nan"))
        return Batch(
            inputs={modality: self.stack(modality, parts) for modality in self.modalities},
            present=torch.tensor([[float(part.has(modality)) for modality in self.modalities] for part in parts]),
            confidence=torch.tensor([part.confidence for part in parts], dtype=torch.float32),
            affect=torch.tensor([part.affect or unknown for part in parts], dtype=torch.float32),
            labels=torch.tensor([part.label for part in parts]),
            index=torch.tensor([index for index, _ in samples]),
        )

    def stack(self, modality: str, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """What the encoder of one modality is fed with, by name."""
        if any(modality in sample.frames for sample in samples):
            files = [sample.frames.get(modality) for sample in samples]
            frames, mask = stack_rows([None if file is None else np.load(file) for file in files])
            return {"frames": frames, "mask": mask}
        stack: dict[str, Callable[[Sequence[Sample]], dict[str, Tensor]]] = {
            "speech": self._speech,
            "text": self._text,
            "mocap": self._mocap,
        }
        return stack[modality](samples)

    def _speech(self, samples: Sequence[Sample]) -> dict[str, Tensor]:
        if any(sample.spectra for sample in samples):
            frames, mask = stack_rows([sample.spectra[0] if sample.spectra else None for sample in samples])
            return {"spectra": frames, "mask": mask}
        waves = [np.zeros(1, np.float32) if s.speech is None else to_float(s.speech) for s in samples]
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
        joints = len(JOINTS)
        if self.markers:
            frames, joints = MARKER_BINS, MARKERS
        positions = np.zeros((len(samples), frames, joints, 3), np.float32)
        seen = np.zeros((len(samples), frames, joints), np.float32)
        for row, sample in enumerate(samples):
            if sample.positions is not None and sample.seen is not None:
                positions[row, : len(sample.positions)] = sample.positions
                seen[row, : len(sample.seen)] = sample.seen
        return {"positions": torch.from_numpy(positions), "mask": torch.from_numpy(seen)}


def stack_rows(parts: Sequence[np.ndarray | None]) -> tuple[Tensor, Tensor]:
    """Features (T, D) as one padded batch: float32 (B, T, D), mask bool (B, T); what is missing has no frame."""
    there = [part for part in parts if part is not None]
    longest, width = max(len(part) for part in there), there[0].shape[1]
    frames = np.zeros((len(parts), longest, width), np.float32)
    mask = np.zeros((len(parts), longest), bool)
    for row, part in enumerate(parts):
        if part is not None:
            frames[row, : len(part)] = part
            mask[row, : len(part)] = True
    return torch.from_numpy(frames), torch.from_numpy(mask)


def how_fed(config: ExperimentConfig, modality: str) -> dict[str, Any]:
    """How the recogniser must feed a modality's graph, as the fields of `ModalitySpec`."""
    inputs = config.inputs
    if modality == "speech":
        fed = {"sample_rate": SAMPLE_RATE, "max_s": inputs.max_s, "trim_db": inputs.trim_db}
        fed |= {"normalise": inputs.normalise}
        return {"representation": "waveform", **fed}
    if modality == "text":
        return {"representation": "tokens", "tokenizer": "tokenizer.json", "max_tokens": inputs.max_tokens}
    if config.reads_markers:
        return {"representation": MARKER_LAYOUT}
    fed = {"rate_hz": inputs.rate_hz, "window_s": inputs.window_s, "min_s": inputs.min_s}
    return {"representation": "canonical15", **fed}


def tokenizer_json(config: ExperimentConfig) -> str:
    """The text encoder's tokenizer as the JSON that the bundle carries.

    Raises `SettingsError` where its model has none: transformers would make one up that knows no word.
    """
    from ..models.pretrained import model_source

    source = model_source(config.model.streams.text.source)
    folder = Path(source)
    file = folder / "tokenizer.json"
    if folder.is_dir() and not any(path for pattern in _TOKENIZERS for path in folder.glob(pattern)):
        raise _no_tokenizer(source, "there is no tokenizer.json")
    try:
        if file.is_file():
            return file.read_text(encoding="utf-8")
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
            raise _no_tokenizer(source, "its tokenizer knows no word")
        return tokenizer.backend_tokenizer.to_str()
    except (OSError, ValueError, AttributeError) as error:
        raise _no_tokenizer(source, str(error).strip().splitlines()[0]) from None


def _no_tokenizer(source: str, reason: str) -> SettingsError:
    return SettingsError(
        f"the model '{source}' has no usable tokenizer ({reason}): put the tokenizer.json that it was trained with "
        "into its folder"
    )


def load_tokenizer(config: ExperimentConfig) -> Tokenizer:
    """The tokenizer as the recogniser sets it up. Raises `SettingsError` where there is none that can be used."""
    try:
        return make_tokenizer(tokenizer_json(config), config.inputs.max_tokens)
    except ValueError as error:
        raise _no_tokenizer(config.model.streams.text.source, str(error)) from None
