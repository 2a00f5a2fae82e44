"""How good predictions are, and how sure one can be of that.

Everything is a statistic of weighted items, so that a bootstrap replicate is a row of weights and all replicates are
computed at once. Items without an answer (the recogniser abstained) count as wrong, come last in the risk-coverage
curve, and have no part in calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..labels import LABELS
from ..recognition.posteriors import FLOOR
from .resampling import is_alone, replicates

#: Bins of the calibration error; each holds the same number of items.
ECE_BINS = 10
#: Share of items that is answered in 'accuracy_at_70'.
COVERAGE = 0.7
#: Level of every interval.
LEVEL = 0.95


@dataclass(frozen=True, eq=False)
class Predictions:
    """Items and what was said of them.

    `truth`: int, (N,), index into `labels`. `probabilities`: float, (N, C), rows sum to 1. `answered`: bool, (N,).
    `clusters`: str, (N,): the bootstrap's unit of each item; several (of a synthetic item) are joined by ' + '.
    """

    truth: np.ndarray
    probabilities: np.ndarray
    clusters: np.ndarray
    answered: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    labels: tuple[str, ...] = LABELS

    def __post_init__(self) -> None:
        if not len(self.answered):
            object.__setattr__(self, "answered", np.ones(len(self.truth), bool))

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def guesses(self) -> np.ndarray:
        """Most probable class, int, (N,); -1 where there is no answer."""
        return np.where(self.answered, self.probabilities.argmax(axis=1), -1)

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the guess, (N,); 0 where there is no answer."""
        return np.where(self.answered, self.probabilities.max(axis=1), 0.0)

    def select(self, rows: np.ndarray) -> Predictions:
        """Some items, by mask or index."""
        return Predictions(
            self.truth[rows], self.probabilities[rows], self.clusters[rows], self.answered[rows], self.labels
        )


@dataclass(frozen=True)
class Scores:
    """`values`: each statistic; `intervals`: its 95 % bootstrap interval, NaN where all items are of one cluster;
    `confusion`: counts, a row per true class, a column per said class and a last one for no answer."""

    items: int
    unanswered: int
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    confusion: np.ndarray
    labels: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values; numbers that do not exist (the recall of a class that does not occur) are None."""
        flat = {name: plain(value) for name, value in self.values.items() if not name.startswith("recall_")}
        return {
            "n": self.items,
            "abstained": self.unanswered,
            **flat,
            "recall": {label: plain(self.values[f"recall_{label}"]) for label in self.labels},
            "intervals": {name: [plain(low), plain(high)] for name, (low, high) in self.intervals.items()},
            "labels": list(self.labels),
            "confusion_matrix": self.confusion.tolist(),
        }


def score(predictions: Predictions, *, resamples: int = 1000, seed: int = 0) -> Scores:
    """Every statistic of `Statistics` with its interval by cluster bootstrap (percentiles; see `_ece_interval`)."""
    statistics = Statistics(predictions)
    values = {name: float(row[0]) for name, row in statistics(np.ones((1, len(predictions)))).items()}
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in values}
    resamples = 0 if is_alone(predictions.clusters) else resamples
    for weights in replicates(predictions.clusters, resamples=resamples, seed=seed):
        for name, row in statistics(weights).items():
            drawn[name].append(row)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    intervals = {}
    for name, rows in drawn.items():
        values_drawn = np.concatenate(rows) if rows else np.array([np.nan])
        finite = values_drawn[np.isfinite(values_drawn)]
        low, high = np.quantile(finite, ends) if len(finite) else (np.nan, np.nan)
        intervals[name] = (float(low), float(high))
    intervals["ece"] = _ece_interval(values, intervals)
    values["ece"] = _root(values["squared_ece"])
    for hidden in ("squared_ece", "squared_ece_plugin"):
        del values[hidden], intervals[hidden]
    return Scores(
        items=len(predictions),
        unanswered=int((~predictions.answered).sum()),
        values=values,
        intervals=intervals,
        confusion=statistics.confusion(np.ones((1, len(predictions))))[0].astype(int),
        labels=predictions.labels,
    )


class Statistics:
    """The statistics of weighted predictions; called with weights (R, N), it gives arrays (R,) by name.

    wa: weighted accuracy, the share of items that are right. ua: unweighted average recall over the classes that occur.
    macro_f1: mean F1 over the same classes. recall_<label>. nll: negative log likelihood (nats, probabilities floored
    at 1e-6). brier: sum over classes of the squared error, mean over items (0..2). aurc: area under the risk-coverage
    curve (Geifman & El-Yaniv 2017), items of equal confidence sharing their mean risk. accuracy_at_70: accuracy of the
    70 % most confident items. squared_ece: the debiased estimate of the squared calibration error of the top class
    (Kumar, Liang & Ma 2019, 'Verified uncertainty calibration'), in 10 bins of equal count; its root is `ece`. Unlike
    the plug-in estimate, which shows 0.05 for a perfect model at 500 items, it is about unbiased at any size. ece_15:
    that usual plug-in ECE with 15 bins of equal width (Guo et al. 2017), for comparison with other reports.
    """

    def __init__(self, predictions: Predictions) -> None:
        truth, guesses = predictions.truth, predictions.guesses
        probabilities = np.asarray(predictions.probabilities, np.float64)
        self.labels = predictions.labels
        classes, rows = len(self.labels), np.arange(len(truth))
        # A cell of the confusion matrix per item; the last column is for no answer.
        cell = truth * (classes + 1) + np.where(guesses < 0, classes, guesses)
        self._cells = np.zeros((len(truth), classes * (classes + 1)))
        self._cells[rows, cell] = 1
        self._answered = predictions.answered.astype(np.float64)
        of_truth = np.maximum(probabilities[rows, truth], FLOOR)
        self._nll = -np.log(of_truth)
        self._brier = ((probabilities - np.eye(classes)[truth]) ** 2).sum(axis=1)
        wrong, confidence = (guesses != truth).astype(np.float64), predictions.confidence
        self._order = np.argsort(-confidence, kind="stable")
        ties = np.unique(confidence, return_inverse=True)[1]
        self._risk = (np.bincount(ties, wrong) / np.bincount(ties))[ties][self._order]
        self._hit, self._confidence = 1 - wrong, confidence
        self._equal_count = self._bins(equal_count_bins(confidence, predictions.answered, ECE_BINS), ECE_BINS)
        self._equal_width = self._bins(np.minimum((confidence * 15).astype(int), 14), 15)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        counts = self.confusion(weights)
        with np.errstate(invalid="ignore", divide="ignore"):
            right = np.diagonal(counts, axis1=1, axis2=2)
            true, said = counts.sum(axis=2), counts[:, :, :-1].sum(axis=1)
            recall = right / true
            f1 = np.where(true > 0, 2 * right / (true + said), np.nan)
            total, answered = weights.sum(axis=1), weights @ self._answered
            squared, squared_plugin = self._squared_ece(weights)
            result = {
                "wa": right.sum(axis=1) / total,
                "ua": _mean_of_known(recall),
                "macro_f1": _mean_of_known(f1),
                **{f"recall_{label}": recall[:, number] for number, label in enumerate(self.labels)},
                "nll": weights @ (self._nll * self._answered) / answered,
                "brier": weights @ (self._brier * self._answered) / answered,
                "squared_ece": squared,
                "squared_ece_plugin": squared_plugin,
                "ece_15": self._ece_15(weights),
            }
            ordered = weights[:, self._order]
            seen = ordered.cumsum(axis=1)
            risk = (ordered * self._risk).cumsum(axis=1) / seen
            result["aurc"] = np.nansum(ordered * risk, axis=1) / total
            first = np.maximum((seen <= COVERAGE * total[:, None] + 1e-9).sum(axis=1) - 1, 0)
            result["accuracy_at_70"] = 1 - risk[np.arange(len(weights)), first]
        return result

    def confusion(self, weights: np.ndarray) -> np.ndarray:
        """(R, C, C + 1): true class, said class; the last column is for no answer."""
        return (weights @ self._cells).reshape(len(weights), len(self.labels), len(self.labels) + 1)

    def _bins(self, bin_of: np.ndarray, bins: int) -> np.ndarray:
        """(N, 3 bins): in the bin, right in the bin, confidence in the bin; items without an answer are in none."""
        member = np.eye(bins)[bin_of] * self._answered[:, None]
        return np.hstack([member, member * self._hit[:, None], member * self._confidence[:, None]])

    def _squared_ece(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        count, hits, confidence = np.split(weights @ self._equal_count, 3, axis=1)
        accuracy = hits / count
        gap = (accuracy - confidence / count) ** 2
        share = count / count.sum(axis=1, keepdims=True)
        noise = accuracy * (1 - accuracy) / np.maximum(count - 1, 1)
        return np.nansum(share * (gap - noise), axis=1), np.nansum(share * gap, axis=1)

    def _ece_15(self, weights: np.ndarray) -> np.ndarray:
        count, hits, confidence = np.split(weights @ self._equal_width, 3, axis=1)
        return np.abs(hits - confidence).sum(axis=1) / count.sum(axis=1)


def risk_coverage(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """The curve: coverage, and the share of errors among so many most confident items; both (N,)."""
    statistics = Statistics(predictions)
    count = np.arange(1, len(predictions) + 1)
    return count / len(predictions), statistics._risk.cumsum() / count


def equal_count_bins(confidence: np.ndarray, answered: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each item, (N,), by rank of confidence among the answered ones; equal confidences share a bin."""
    ranked = np.sort(confidence[answered])
    rank = np.searchsorted(ranked, confidence, side="left")
    return np.minimum(rank * bins // max(len(ranked), 1), bins - 1)


def _ece_interval(values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """A replicate scatters about the plug-in squared error of the sample, not about its debiased estimate: the
    percentiles are shifted by the difference before the root is taken."""
    shift = values["squared_ece"] - values["squared_ece_plugin"]
    low, high = intervals["squared_ece"]
    return _root(low + shift), _root(high + shift)


def _root(square: float) -> float:
    return float(np.sqrt(max(square, 0.0))) if np.isfinite(square) else float("nan")


def _mean_of_known(rows: np.ndarray) -> np.ndarray:
    """Mean over the classes that occur, (R,)."""
    known = np.isfinite(rows)
    return np.where(known, rows, 0).sum(axis=1) / known.sum(axis=1)


def plain(value: float, digits: int = 6) -> float | None:
    """A figure for JSON, which knows no NaN."""
    return round(float(value), digits) if np.isfinite(value) else None


def bracketed(low: float | None, high: float | None, form: str = ".3f") -> str:
    """Both ends of an interval, to be printed; a dash where there is none."""
    there = low is not None and high is not None and np.isfinite([low, high]).all()
    return f"[{low:{form}}, {high:{form}}]" if there else "[–]"
