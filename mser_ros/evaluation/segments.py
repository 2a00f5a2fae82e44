"""How well segments of speech are found in a stream: clips of people in silence, and in steady noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..audio.segmenter import Ended, Segmenter
from ..audio.vad import VoiceActivityDetector
from ..audio.waveform import to_int16
from ..errors import DependencyError
from ..settings import SegmenterSettings
from ..types import SAMPLE_NS, SAMPLE_RATE, AudioChunk
from .noise import in_noise, rms

#: Between two people lies so much that is no speech [s].
_GAP_S = (1.0, 2.5)
#: A person is heard where 20 ms are no more than 35 dB quieter than the loudest, from the first to the last.
_FRAME, _QUIET_DB = SAMPLE_RATE // 50, 35.0
#: Level of every person's voice, RMS of full scale.
LEVEL = 0.05
#: A segment is right if what it shares with a person's is at least half of both together (Jaccard index).
_OVERLAP = 0.5
#: So close to an edge of speech nothing counts in what is scored by time, as in NIST's evaluations of speech activity
#: detection: where speech ends exactly, people do not agree on [s].
_COLLAR_S = 0.25

Span = tuple[int, int]


@dataclass(frozen=True)
class SegmentScores:
    """Shares (0..1): of found segments that are right, of people who are found; and the same of the time."""

    precision: float
    recall: float
    time_precision: float
    time_recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall of the segments."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def in_a_row(
    clips: Sequence[np.ndarray], rng: np.random.Generator, *, whole: bool = False
) -> tuple[np.ndarray, tuple[Span, ...]]:
    """Clips (float32, (n,)) as loud as each other with silence between them; where in it people speak. `whole`: with
    the silence at their ends."""
    parts, spans, at = [], [], 0
    for clip in clips:
        first, last = voiced(clip)
        begin, end = (0, len(clip)) if whole else (first, last)
        at += int(rng.uniform(*_GAP_S) * SAMPLE_RATE)
        parts.append((at, clip[begin:end] * np.float32(LEVEL / max(rms(clip[first:last]), 1e-9))))
        spans.append((at + first - begin, at + last - begin))
        at += end - begin
    row = np.zeros(at + SAMPLE_RATE, np.float32)
    for begin, part in parts:
        row[begin : begin + len(part)] = part
    return row, tuple(spans)


def voiced(clip: np.ndarray) -> Span:
    """From the first to the last sound of a clip that was recorded in a quiet room."""
    frames = clip[: len(clip) // _FRAME * _FRAME].reshape(-1, _FRAME)
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(level > level.max(initial=0.0) * 10 ** (-_QUIET_DB / 20))
    return (int(loud[0]) * _FRAME, int(loud[-1] + 1) * _FRAME) if len(loud) else (0, len(clip))


def stream(speech: np.ndarray, noise: np.ndarray | None, snr_db: float) -> np.ndarray:
    """What is heard: int16 (n,) at 16 kHz. `noise`: None for silence; the ratio is that of the power where people
    speak."""
    return to_int16(speech) if noise is None else in_noise(speech, noise, snr_db, level=LEVEL)


def find(samples: np.ndarray, vad: VoiceActivityDetector | None = None) -> list[Span]:
    """The segments that the speech node would make utterances of, with another detector if one is given."""
    segmenter = Segmenter(SegmenterSettings(), vad)
    found = []
    for first in range(0, len(samples), SAMPLE_RATE):
        piece = samples[first : first + SAMPLE_RATE, np.newaxis]
        found += [*segmenter.push(AudioChunk(piece, SAMPLE_RATE, first * SAMPLE_NS, first))]
    found += [*segmenter.flush()]
    return [(e.start_ns // SAMPLE_NS, e.end_ns // SAMPLE_NS) for e in found if isinstance(e, Ended)]


def score(true: Sequence[Span], found: Sequence[Span], samples: int) -> SegmentScores:
    """Each segment that is found counts for one person at most, and the other way round."""
    matches, open_spans = 0, list(found)
    for span in true:
        best = max(open_spans, key=lambda other: _overlap(span, other), default=None)
        if best is not None and _overlap(span, best) >= _OVERLAP:
            matches += 1
            open_spans.remove(best)
    said, heard, counts = np.zeros(samples, bool), np.zeros(samples, bool), np.ones(samples, bool)
    collar = round(_COLLAR_S * SAMPLE_RATE)
    for first, last in true:
        said[first:last] = True
        for edge in (first, last):
            counts[max(0, edge - collar) : edge + collar] = False
    for first, last in found:
        heard[first:last] = True
    both = float((said & heard & counts).sum())
    return SegmentScores(
        precision=matches / len(found) if found else 0.0,
        recall=matches / len(true) if true else 0.0,
        time_precision=both / max(1.0, float((heard & counts).sum())),
        time_recall=both / max(1.0, float((said & counts).sum())),
    )


def _overlap(one: Span, other: Span) -> float:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(0, shared) / (max(one[1], other[1]) - min(one[0], other[0]))


class WebRtcVad:
    """The detector of WebRTC in place of ours, to compare with. Raises `DependencyError` where it is not installed."""

    _SIZE = 480  # 30 ms, the longest that it takes

    def __init__(self, mode: int) -> None:
        """`mode`: 0 (hears much) to 3 (hears little)."""
        try:
            import webrtcvad
        except ImportError:
            raise DependencyError("webrtcvad is not installed: pip install webrtcvad-wheels") from None
        self._new: Any = lambda: webrtcvad.Vad(mode)
        self._held = np.zeros(0, np.int16)
        self.reset()

    def probability(self, frame: np.ndarray) -> float:
        """Share of the 30 ms that end in this frame which hold speech."""
        held = np.concatenate([self._held, frame])
        whole = len(held) - len(held) % self._SIZE
        self._held = held[whole:]
        said = [self._vad.is_speech(part.tobytes(), SAMPLE_RATE) for part in held[:whole].reshape(-1, self._SIZE)]
        return float(np.mean(said))

    def reset(self) -> None:
        self._vad = self._new()
        self._held = np.zeros(0, np.int16)
