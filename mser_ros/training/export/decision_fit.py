"""Fitting what the planner is told beside a posterior: label sets that hold the truth as often as promised, and when
modalities contradict each other.

Fitted on out-of-fold predictions, fused ones of combinations (see `fusion_fit`); every figure is measured on one half
of each modality's people with what was fitted on the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...evaluation.calibration import FusionFit
from ...recognition.decision import contradiction, subset_name
from ...types import subsets_of
from .fusion_fit import Combined, fused

#: Probability with which a label set holds the true class.
COVERAGE = 0.9
#: Share of modalities of one class that are told to contradict each other.
_FALSE_ALARMS = 0.05


def fit_decision(combined: Combined, fit: FusionFit, prior: np.ndarray) -> dict[str, Any]:
    """The manifest's entry: `coverage`, `largest_miss` by set of modalities and, of several, `incongruent_above`."""
    names = list(combined.posteriors)
    misses = {}
    for subset in subsets_of(names):
        posterior = fused(combined, subset, fit, prior)
        misses[subset_name(subset)] = round(
            largest_miss(_miss(posterior, combined.truth), _people(combined, subset)), 4
        )
    entry: dict[str, Any] = {"coverage": COVERAGE, "largest_miss": misses}
    if len(names) > 1:
        matched = _contradictions(combined.posteriors, prior)
        entry["incongruent_above"] = round(max(float(np.quantile(matched, 1 - _FALSE_ALARMS)), 1e-3), 4)
    return entry


def largest_miss(misses: np.ndarray, people: np.ndarray) -> float:
    """The quantile of 1 - p of the truth, (N,), below which new people's lie with probability `COVERAGE`.

    Everybody in `people` (N,) counts alike, however much they said; with few of them the quantile is a higher one, as
    one more person could be worse than all (Dunn et al. 2023).
    """
    names, index, counts = np.unique(people, return_inverse=True, return_counts=True)
    order = np.argsort(misses)
    share: np.ndarray = 1 / (counts * len(names))
    weight = np.cumsum(share[index[order]])
    level = min(COVERAGE * (1 + 1 / len(names)), 1.0)
    place = min(int(np.searchsorted(weight, level - 1e-9)), len(misses) - 1)
    return float(np.sort(misses)[place])


def measure_decision(entry: Mapping[str, Any], combined: Combined, fit: FusionFit, prior: np.ndarray) -> dict[str, Any]:
    """What became of the promises on other people: coverage and mean size of the sets, AUROC and alarms."""
    from sklearn.metrics import roc_auc_score

    sets = {}
    for subset in subsets_of(list(combined.posteriors)):
        posterior = fused(combined, subset, fit, prior)
        inside = 1 - posterior <= entry["largest_miss"][subset_name(subset)]
        inside[np.arange(len(posterior)), posterior.argmax(1)] = True
        held = inside[np.arange(len(posterior)), combined.truth]
        sets[subset_name(subset)] = {"coverage": _round(held.mean()), "size": _round(inside.sum(1).mean())}
    found: dict[str, Any] = {"sets": sets}
    if "incongruent_above" in entry:
        matched = _contradictions(combined.posteriors, prior)
        mismatched = np.concatenate([_contradictions(one, prior) for one in _mismatched(combined)])
        truth = np.arange(len(matched) + len(mismatched)) >= len(matched)
        found["incongruent"] = {
            "auroc": _round(roc_auc_score(truth, np.concatenate([matched, mismatched]))),
            "false_alarms": _round((matched > entry["incongruent_above"]).mean()),
            "found": _round((mismatched > entry["incongruent_above"]).mean()),
        }
    return found


def _miss(posterior: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return 1 - posterior[np.arange(len(truth)), truth]


def _people(combined: Combined, subset: tuple[str, ...]) -> np.ndarray:
    """Who stands for the group, (N,): the person of the modality with the fewest people."""
    return min((combined.people[name] for name in subset), key=lambda people: len(set(people.tolist())))


def _contradictions(posteriors: Mapping[str, np.ndarray], prior: np.ndarray) -> np.ndarray:
    return np.array([contradiction(list(row), prior) for row in zip(*posteriors.values(), strict=True)])


def _mismatched(combined: Combined) -> list[dict[str, np.ndarray]]:
    """The same combinations, with one modality of another class: each modality and each other class in turn."""
    names, classes = list(combined.posteriors), np.unique(combined.truth)
    step = len(combined.truth) // len(classes)  # rows are sorted by class, as many of each
    return [
        {**combined.posteriors, name: np.roll(combined.posteriors[name], step * shift, axis=0)}
        for name in names
        for shift in range(1, len(classes))
    ]


def _round(value: float) -> float:
    return round(float(value), 4)
