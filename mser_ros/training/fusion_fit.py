"""Fusing separately trained modalities: weights and figures from pseudo-multimodal combinations.

No corpus here holds all modalities, so out-of-fold predictions of different people that share a class are put
together. They agree on the class and on nothing else, which flatters fusion: every figure is marked synthetic. The
people of each modality are split into two halves first; weights are fitted on one and measured on the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..evaluation.calibration import FusionFit, fit_fusion, fit_temperature
from ..evaluation.metrics import Predictions, score
from ..evaluation.resampling import SOURCES
from ..inference import log_linear, softmax
from ..labels import LABELS
from .predictions import OutOfFold

#: Combinations per class and half.
_COMBINATIONS = 500
NOTE = (
    "SYNTHETIC: out-of-fold predictions of one class but of different people, combined; it shows that fusion works, "
    "not how well it would work on one real person"
)


@dataclass(frozen=True, eq=False)
class Combined:
    """`posteriors`: (N, C) by modality, calibrated. `truth`: (N,). `clusters`: (N,) source people."""

    posteriors: Mapping[str, np.ndarray]
    truth: np.ndarray
    clusters: np.ndarray


def balanced_temperature(rows: OutOfFold) -> float:
    """The temperature that fits best when every source counts alike."""
    counts = [len(rows.of(source)) for source in rows.sources]
    parts = []
    for source, count in zip(rows.sources, counts, strict=True):
        part = rows.of(source)
        parts.append(part.select(np.arange(max(counts)) % count))
    together = OutOfFold.join(parts)
    return fit_temperature(together.logits.astype(np.float64), together.label)


def combine(rows: Mapping[str, OutOfFold], temperatures: Mapping[str, float], *, half: int, seed: int = 0) -> Combined:
    """Combinations of one half (0 or 1) of each modality's people."""
    rng = np.random.default_rng((seed, half))
    posteriors: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    people: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    for name, predictions in rows.items():
        part = predictions.select(_half(predictions, seed) == half)
        probabilities = softmax(part.logits / temperatures[name])
        for label in range(len(LABELS)):
            chosen = _draw(part, label, rng)
            posteriors[name].append(probabilities[chosen])
            people[name].append(part.person[chosen])
    names = [np.concatenate(people[name]) for name in rows]
    return Combined(
        {name: np.concatenate(parts) for name, parts in posteriors.items()},
        np.repeat(np.arange(len(LABELS)), _COMBINATIONS),
        np.array([SOURCES.join(group) for group in zip(*names, strict=True)]),
    )


def fuse(combined: Combined, prior: np.ndarray) -> FusionFit:
    """Exponents and temperature of the log-linear fusion."""
    return fit_fusion(combined.posteriors, combined.truth, prior=prior)


def measure(combined: Combined, fit: FusionFit, prior: np.ndarray) -> dict[str, Any]:
    """Figures of every set of modalities, as the recogniser fuses it."""
    names = list(combined.posteriors)
    out = {}
    for size in range(1, len(names) + 1):
        for chosen in combinations(names, size):
            posteriors = {name: combined.posteriors[name] for name in chosen}
            fused = (
                posteriors[chosen[0]]
                if size == 1
                else log_linear(posteriors, fit.weights, prior, temperature=fit.temperature)
            )
            columns = [names.index(name) for name in chosen]
            clusters = [SOURCES.join(np.array(row.split(SOURCES))[columns]) for row in combined.clusters]
            scores = score(Predictions(combined.truth, fused, np.array(clusters)))
            out["+".join(chosen)] = figures(scores)
    return {"synthetic": True, "note": NOTE, "subsets": out}


def figures(scores: Any) -> dict[str, Any]:
    """What the manifest keeps of an evaluation."""
    flat = scores.as_json()
    kept = {name: flat[name] for name in ("n", "ua", "wa", "macro_f1", "ece", "recall")}
    return {**kept, "intervals": {name: flat["intervals"][name] for name in ("ua", "wa", "ece")}}


def _half(rows: OutOfFold, seed: int) -> np.ndarray:
    """0 or 1 for each row, the same for all rows of one person."""
    people = np.array(
        [f"{source.split(':')[0]}:{person}" for source, person in zip(rows.source, rows.person, strict=True)]
    )
    names, index = np.unique(people, return_inverse=True)
    corpora = np.array([name.split(":")[0] for name in names])
    halves = np.zeros(len(names), int)
    rng = np.random.default_rng(seed)
    for corpus in np.unique(corpora):
        members = rng.permutation(np.flatnonzero(corpora == corpus))
        halves[members[: len(members) // 2]] = 1
    return halves[index]


def _draw(rows: OutOfFold, label: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of one class, every source as often."""
    pools = [np.flatnonzero((rows.label == label) & (rows.source == source)) for source in rows.sources]
    pools = [pool for pool in pools if len(pool)]
    drawn = [rng.choice(pools[number % len(pools)]) for number in range(_COMBINATIONS)]
    return np.array(drawn)
