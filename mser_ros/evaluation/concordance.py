"""How well valence and arousal are estimated."""

from __future__ import annotations

import numpy as np

from .metrics import LEVEL
from .resampling import is_alone, replicates


def concordance(
    truth: np.ndarray, estimate: np.ndarray, clusters: np.ndarray, *, resamples: int = 1000
) -> list[tuple[float, float, float]]:
    """The concordance correlation coefficient (Lin 1989) of each column of (N, D), with both ends of its interval by
    cluster bootstrap, NaN where all are of one cluster; over the rows where both are known (not NaN)."""
    out = []
    for true, said in zip(truth.T.astype(np.float64), estimate.T.astype(np.float64), strict=True):
        known = np.isfinite(true) & np.isfinite(said)
        if not known.any():
            out.append((float("nan"),) * 3)
            continue
        pair = true[known], said[known]
        value = float(_concordance(*pair, np.ones((1, int(known.sum()))))[0])
        if is_alone(clusters[known]):
            out.append((value, np.nan, np.nan))
            continue
        drawn = [_concordance(*pair, w) for w in replicates(clusters[known], resamples=resamples, seed=0)]
        low, high = np.nanquantile(np.concatenate(drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        out.append((value, float(low), float(high)))
    return out


def _concordance(true: np.ndarray, said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,), (N,), weights (R, N) -> (R,)."""
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [(weights @ values) / total for values in (true, said)]
        spreads = [(weights @ values**2) / total - mean**2 for values, mean in zip((true, said), means, strict=True)]
        shared = (weights @ (true * said)) / total - means[0] * means[1]
        return 2 * shared / (spreads[0] + spreads[1] + (means[0] - means[1]) ** 2)
