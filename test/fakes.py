"""Small deterministic stand-ins for the heavy parts, to be injected in tests."""

from __future__ import annotations

import numpy as np

from mser_ros.types import Transcript, Word

NS_PER_SAMPLE = 62_500


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
    """Hears one word, `word`, in every half second of audio; remembers what it was given in `heard`."""

    language = "en"

    def __init__(self, word: str = "word", confidence: float = 0.8) -> None:
        self.word = word
        self.confidence = confidence
        self.heard: list[int] = []
        self.closed = False
        self._start_ns = 0
        self._samples = 0

    def start(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._samples = 0

    def accept(self, samples: np.ndarray) -> None:
        self._samples += len(samples)

    def partial(self) -> Transcript:
        return Transcript(" ".join([self.word] * (self._samples // 8000)), language=self.language, is_final=False)

    def finish(self) -> Transcript:
        self.heard.append(self._samples)
        count = self._samples // 8000
        step = 8000 * NS_PER_SAMPLE
        words = tuple(
            Word(self.word, self._start_ns + i * step, self._start_ns + (i + 1) * step, self.confidence)
            for i in range(count)
        )
        self._samples = 0
        return Transcript(" ".join([self.word] * count), self.confidence if count else None, words, self.language)

    def reset(self) -> None:
        self._samples = 0

    def close(self) -> None:
        self.closed = True
