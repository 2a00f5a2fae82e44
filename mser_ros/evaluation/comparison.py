"""Is one system better than another on the same items?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .metrics import LEVEL, Predictions, Statistics
from .resampling import is_alone, replicates


@dataclass(frozen=True)
class Difference:
    """`value`: the second system's UA minus the first one's; `low`, `high`: its 95 % bootstrap interval;
    `p_value`: two-sided, for no difference. These are NaN where all items are of one cluster."""

    value: float
    low: float
    high: float
    p_value: float


def paired_bootstrap(first: Predictions, second: Predictions, *, resamples: int = 1000, seed: int = 0) -> Difference:
    """Compare the UA of two systems by resampling the same clusters for both (Efron & Tibshirani 1993).

    Raises `ValueError` where the two do not hold the same items in the same order.
    """
    if not np.array_equal(first.truth, second.truth) or not np.array_equal(first.clusters, second.clusters):
        raise ValueError("a paired comparison needs the predictions of two systems for the same items in one order")
    one, other = Statistics(first), Statistics(second)

    def difference(weights: np.ndarray) -> np.ndarray:
        return other(weights)["ua"] - one(weights)["ua"]

    value = float(difference(np.ones((1, len(first))))[0])
    if is_alone(first.clusters):
        return Difference(value, np.nan, np.nan, np.nan)
    drawn = np.concatenate([difference(w) for w in replicates(first.clusters, resamples=resamples, seed=seed)])
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # With one added, a p-value is never 0: it cannot be finer than the number of replicates (Davison & Hinkley 1997).
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(value, float(low), float(high), min(1.0, float(2 * (tail + 1) / (len(drawn) + 1))))
