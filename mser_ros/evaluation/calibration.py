"""Making posteriors mean what they say: temperatures and fusion weights, fitted on held-out data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

from ..asr.confidence import EDGE, ConfidenceMap
from ..errors import DependencyError
from ..recognition.posteriors import FLOOR, log_linear, softmax
from ..types import subsets_of

#: Temperatures that are considered.
_LOW, _HIGH = 0.05, 20.0
#: Largest exponent of a modality in the fusion.
_MAX_WEIGHT = 5.0


@dataclass(frozen=True)
class FusionFit:
    """What `inference.log_linear` needs: the exponent of each modality, and the temperature of the fused posterior."""

    weights: Mapping[str, float]
    temperature: float


def negative_log_likelihood(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean over items, in nats. `probabilities`: (N, C); `truth`: int, (N,)."""
    of_truth = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(of_truth, FLOOR)).mean())


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The divisor of held-out `logits` (N, C) with the least negative log likelihood (Guo et al. 2017)."""
    return _minimise(lambda temperature: negative_log_likelihood(softmax(logits / temperature), truth))


def fit_sum(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """How much each of K terms counts in a sum that is the logits: stacked generalisation (Wolpert 1992).

    `parts`: terms (N, K, C), 0 where one is missing, and truth (N,). The weights (K,), 0 or more, minimise the negative
    log likelihood, of every class and every part as much. A normal prior of deviation 1 keeps them small where too few
    items tell.
    """
    count = parts[0][0].shape[1]
    ridge = 1 / max(len(truth) for _, truth in parts)
    shares = []
    for _, truth in parts:
        frequency = np.bincount(truth)
        shares.append(1 / (frequency[truth] * (frequency > 0).sum() * len(parts)))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = ridge * float(weights @ weights) / 2, ridge * weights
        for (terms, truth), share in zip(parts, shares, strict=True):
            posterior = softmax(np.einsum("nkc,k->nc", terms, weights))
            rows = np.arange(len(truth))
            value -= float(share @ np.log(np.maximum(posterior[rows, truth], FLOOR)))
            posterior[rows, truth] -= 1
            slope += np.einsum("nkc,nc,n->k", terms, posterior, share)
        return value, slope

    start = np.full(count, 1 / count)
    bounds = [(0.0, _MAX_WEIGHT)] * count
    return _optimise().minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x


def fit_fusion(posteriors: Mapping[str, np.ndarray], truth: np.ndarray, *, prior: np.ndarray) -> FusionFit:
    """Exponents and temperature of the log-linear fusion, on held-out, calibrated posteriors.

    `posteriors`: (N, C) by modality; a row of NaN where the modality is missing. `prior`: (C,). The exponents minimise
    the negative log likelihood averaged over every set of two or more modalities, so that the fusion is good with
    whatever is there; the temperature then minimises that of all modalities together.
    """
    names = list(posteriors)
    if len(names) < 2:
        return FusionFit(dict.fromkeys(names, 1.0), 1.0)
    subsets = [subset for subset in sorted(subsets_of(names), key=len) if len(subset) > 1]
    parts = [_complete(posteriors, subset, truth) for subset in subsets]
    parts = [part for part in parts if len(part[1])]

    def loss(exponents: np.ndarray) -> float:
        weights = dict(zip(names, exponents.tolist(), strict=True))
        losses = [negative_log_likelihood(log_linear(rows, weights, prior), labels) for rows, labels in parts]
        return float(np.mean(losses))

    found = _optimise().minimize(loss, np.ones(len(names)), method="L-BFGS-B", bounds=[(0.0, _MAX_WEIGHT)] * len(names))
    weights = dict(zip(names, (float(exponent) for exponent in found.x), strict=True))
    rows, labels = parts[-1]
    temperature = _minimise(
        lambda value: negative_log_likelihood(log_linear(rows, weights, prior, temperature=value), labels)
    )
    return FusionFit(weights, temperature)


def fit_confidence(probabilities: np.ndarray, right: np.ndarray) -> ConfidenceMap:
    """The map with the least negative log likelihood of which words are right: float and bool, (N,).

    A normal prior keeps it near the map that changes nothing, as much as a few words do.
    """
    value = np.clip(probabilities, EDGE, 1 - EDGE)
    terms = np.stack([np.log(value), -np.log(1 - value), np.ones(len(value))], axis=1)
    unchanged = np.array([1.0, 1.0, 0.0])

    def loss(weights: np.ndarray) -> float:
        log_odds = terms @ weights
        wrong = np.logaddexp(0, np.where(right, -log_odds, log_odds)).sum()
        return float(wrong + np.sum((weights - unchanged) ** 2) / 2)

    bounds = [(0.0, None), (0.0, None), (None, None)]
    found = _optimise().minimize(loss, unchanged, method="L-BFGS-B", bounds=bounds)
    return ConfidenceMap(*(round(float(weight), 4) for weight in found.x))


def _complete(
    posteriors: Mapping[str, np.ndarray], subset: tuple[str, ...], truth: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The items that have every modality of the subset."""
    there = np.all([np.isfinite(posteriors[name]).all(axis=1) for name in subset], axis=0)
    return {name: posteriors[name][there] for name in subset}, truth[there]


def _minimise(loss: Callable[[float], float]) -> float:
    found = _optimise().minimize_scalar(
        lambda logarithm: loss(float(np.exp(logarithm))), bounds=(np.log(_LOW), np.log(_HIGH)), method="bounded"
    )
    return float(np.exp(found.x))


def _optimise() -> ModuleType:
    try:
        from scipy import optimize
    except ImportError:
        raise DependencyError("calibration needs scipy: pip install 'mser_ros[train]'") from None
    return optimize
