"""From a fused posterior to what the planner is told: a prior, classes that hold the truth, contradiction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from .posteriors import FLOOR

NEUTRAL = "neutral"


@dataclass(frozen=True)
class DecisionSpec:
    """What a bundle was fitted to decide by.

    `coverage`: probability with which a label set holds the true class; 0: no label sets. `largest_miss`: by set of
    modalities joined by '+', the largest 1 - p of a class that belongs to it (split conformal prediction, Vovk et al.
    2005). `incongruent_above`: a larger contradiction between modalities is told; 0: never.
    """

    coverage: float = 0.0
    largest_miss: Mapping[str, float] = field(default_factory=dict)
    incongruent_above: float = 0.0


def parse_decision(entry: Mapping[str, Any]) -> DecisionSpec:
    """From a manifest. Raises `ValueError` for numbers out of range."""
    spec = DecisionSpec(
        float(entry.get("coverage", 0.0)),
        {str(name): float(value) for name, value in dict(entry.get("largest_miss", {})).items()},
        float(entry.get("incongruent_above", 0.0)),
    )
    shares = [spec.coverage, *spec.largest_miss.values()]
    if not all(0 <= share <= 1 for share in shares) or not 0 <= spec.incongruent_above < np.inf:
        raise ValueError("a number of the decision is out of range")
    return spec


def subset_name(modalities: Sequence[str]) -> str:
    """The name of a set of modalities in a manifest, whatever their order."""
    return "+".join(sorted(modalities))


def with_neutral_share(posterior: np.ndarray, labels: Sequence[str], share: float) -> np.ndarray:
    """A posterior (..., C) that supposes even classes, corrected for a life in which this share is neutral and the
    other classes are even (Saerens et al. 2002). Unchanged without such a class."""
    if NEUTRAL not in labels or len(labels) < 2:
        return posterior
    prior = np.full(len(labels), (1 - share) / (len(labels) - 1))
    prior[list(labels).index(NEUTRAL)] = share
    corrected = posterior * prior
    result: np.ndarray = corrected / corrected.sum(-1, keepdims=True)
    return result


def label_set(posterior: np.ndarray, labels: Sequence[str], largest_miss: float) -> tuple[str, ...]:
    """The classes that belong to the set, the most probable first; that one always does."""
    order = np.argsort(-posterior, kind="stable")
    kept = [index for place, index in enumerate(order) if place == 0 or 1 - posterior[index] <= largest_miss]
    return tuple(labels[index] for index in kept)


def contradiction(posteriors: Sequence[np.ndarray], prior: np.ndarray) -> np.ndarray:
    """How much the two modalities that agree least contradict each other, in nats: minus the logarithm of how much
    likelier one class behind both is than by chance. Below 0 they agree; near 0 one of them says nothing.
    Posteriors (..., C) -> (...)."""
    shares = np.asarray(prior, np.float64) / np.sum(prior)
    agreements = [(one * other / shares).sum(-1) for one, other in combinations(posteriors, 2)]
    least = np.min(agreements, axis=0) if agreements else np.ones(posteriors[0].shape[:-1])
    return -np.log(np.maximum(least, FLOOR))
