"""Small deterministic stand-ins for the heavy parts, for tests of programs that use this package.

They are injected where the real parts go: ``SpeechStage(vad=FakeVad(), transcriber=FakeTranscriber())``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .labels import LABELS, UNKNOWN, valence_arousal
from .types import SAMPLE_NS, AbstainReason, EmotionEstimate, EstimateState, Transcript, Word


class FakeVad:
    """Voice wherever a frame's highest absolute sample reaches `level`."""

    def __init__(self, level: int = 1000) -> None:
        self.level = level
        self.resets = 0

    def probability(self, frame: np.ndarray) -> float:
        return 0.9 if np.abs(frame.astype(np.int32)).max() >= self.level else 0.1

    def reset(self) -> None:
        self.resets += 1


class FakeTranscriber:
    """Hears one word, `word`, in every half second of audio; remembers what it was given in `received`.

    `reads_ahead`: as a recogniser that reads an utterance as a whole, and does so in pauses; `read` counts how often.
    """

    language = "en"
    counters: Mapping[str, int] = {}

    def __init__(self, word: str = "word", confidence: float = 0.8, *, reads_ahead: bool = False) -> None:
        self.word = word
        self.confidence = confidence
        self.reads_ahead = reads_ahead
        self.read = 0
        self.received: list[int] = []
        self.closed = False
        self._start_ns = 0
        self._samples = self._read_samples = 0
        self._ahead: Transcript | None = None

    def start(self, start_ns: int) -> None:
        self.reset()
        self._start_ns = start_ns

    def accept(self, samples: np.ndarray) -> None:
        self._samples += len(samples)

    def partial(self) -> Transcript:
        return Transcript(" ".join([self.word] * (self._samples // 8000)), language=self.language, is_final=False)

    def pause(self, samples: int) -> Transcript:
        if not self.reads_ahead:
            return self.partial()
        self._ahead = self._read(samples)
        return self._ahead

    def finish(self, samples: int | None = None) -> Transcript:
        self.received.append(self._samples)
        whole = self._samples if samples is None or not self.reads_ahead else samples
        transcript = self._ahead if self._ahead and self._read_samples == whole else self._read(whole)
        self.reset()
        return transcript

    def _read(self, samples: int) -> Transcript:
        self.read += 1
        self._read_samples = samples
        count = samples // 8000
        step = 8000 * SAMPLE_NS
        words = tuple(
            Word(self.word, self._start_ns + i * step, self._start_ns + (i + 1) * step, self.confidence)
            for i in range(count)
        )
        return Transcript(" ".join([self.word] * count), self.confidence if count else None, words, self.language)

    def reset(self) -> None:
        self._samples = self._read_samples = 0
        self._ahead = None

    def another(self) -> FakeTranscriber:
        return FakeTranscriber(self.word, self.confidence, reads_ahead=self.reads_ahead)

    def close(self) -> None:
        self.closed = True


def make_estimate(label: str = "neutral", confidence: float = 0.7, **fields: Any) -> EmotionEstimate:
    """An estimate as the recogniser would give it, the rest of the probability spread evenly; 'unknown' abstains.

    `fields`: others of `EmotionEstimate`. Raises `ValueError` for a label that is no class.
    """
    if label == UNKNOWN:
        probabilities = np.full(len(LABELS), 1 / len(LABELS), np.float32)
        fields = {"abstain_reason": AbstainReason.NO_EVIDENCE, **fields}
        confidence = 0.0
    else:
        probabilities = np.full(len(LABELS), (1 - confidence) / (len(LABELS) - 1), np.float32)
        probabilities[LABELS.index(label)] = confidence
    valence, arousal = valence_arousal(LABELS, probabilities)
    known: dict[str, Any] = {
        "stamp_ns": 0,
        "state": EstimateState.FINAL,
        "labels": LABELS,
        "probabilities": probabilities,
        "label": label,
        "confidence": confidence,
        "valence": valence,
        "arousal": arousal,
    }
    return EmotionEstimate(**{**known, **fields})
