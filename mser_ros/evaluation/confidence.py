"""Whether a recogniser's confidence means what it says: of words with confidence 0.8, 80 % should be right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from ..asr.transcriber import Transcriber
from ..corpora.base import Item
from .loading import load_each
from .noise import babble, in_noise
from .words import HeardWords, judge

#: Edges of the bins of a reliability table.
BINS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def hear(
    transcriber: Transcriber,
    items: Sequence[Item],
    noises: Sequence[Item],
    snrs_db: Sequence[float],
    *,
    seed: int = 0,
    track: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> list[HeardWords]:
    """Every item as it is, and in the babble of `noises` at each ratio. Raises `CorpusError` for items that cannot be
    loaded."""
    rng = np.random.default_rng(seed)
    voices = [utterance.audio.samples for _, utterance in load_each(noises) if utterance.audio is not None]
    found = []
    for item, utterance in load_each(track(items)):
        if utterance.audio is None or utterance.transcript is None:
            continue
        speech = utterance.audio.samples
        for snr_db in (np.inf, *snrs_db):
            condition = "quiet" if snr_db == np.inf else f"{snr_db:.0f} dB"
            transcriber.start(0)
            transcriber.accept(in_noise(speech, babble(voices, len(speech), rng), snr_db))
            heard = judge(transcriber.finish(), utterance.transcript.text)
            found.append(replace(heard, person=item.person, condition=condition))
    return found


@dataclass(frozen=True)
class Bin:
    """Words with a confidence between `low` and `high`: how many, its mean, the share of right ones."""

    low: float
    high: float
    count: int
    confidence: float
    right: float


def reliability(confidence: np.ndarray, right: np.ndarray, edges: Sequence[float] = BINS) -> list[Bin]:
    """Bins that hold any of the words (or utterances, whose `right` is the share of right words): both float, (N,)."""
    bins = []
    where = np.clip(np.digitize(confidence, edges[1:-1]), 0, len(edges) - 2)
    for number, (low, high) in enumerate(pairwise(edges)):
        rows = where == number
        if rows.any():
            bins.append(Bin(low, high, int(rows.sum()), float(confidence[rows].mean()), float(np.mean(right[rows]))))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error over bins: how far confidence and share of right ones lie apart, in the mean."""
    total = sum(item.count for item in bins)
    return sum(item.count * abs(item.confidence - item.right) for item in bins) / total if total else 0.0


def words(heard: Iterable[HeardWords]) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and rightness of every word: float and bool, (N,)."""
    heard = list(heard)
    return (
        np.array([value for item in heard for value in item.confidence], float),
        np.array([value for item in heard for value in item.right], bool),
    )


def utterances(heard: Iterable[HeardWords]) -> tuple[np.ndarray, np.ndarray]:
    """Mean confidence of each utterance's words, and the share of right ones: float, (N,)."""
    spoken = [item for item in heard if item.confidence]
    return (
        np.array([np.mean(item.confidence) for item in spoken], float),
        np.array([np.mean(item.right) for item in spoken], float),
    )
