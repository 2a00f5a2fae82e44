"""Fitting what the planner is told beside a posterior: label sets that hold the truth as often as promised, and when
modalities contradict each other.

Fitted on out-of-fold predictions: of separately trained modalities on fused ones of combinations (see `fusion_fit`),
where every figure is measured on one half of each modality's people with what was fitted on the other, the mean of
several divisions; of modalities that were trained together on what was predicted of each set of them, where each part
of the people is judged by what was fitted on the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...corpora.base import BETWEEN_PEOPLE
from ...evaluation.calibration import FusionFit
from ...labels import LABELS
from ...recognition.decision import NEUTRAL, contradiction, subset_name, with_neutral_share
from ...recognition.posteriors import softmax
from ...types import Modalities, subsets_of
from ..runs.predictions import OutOfFold
from .fusion_fit import MOSTLY_NEUTRAL, Combined, Trial, fused
from .temperatures import balanced_temperature, parts_of

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
        matched = contradiction(list(combined.posteriors.values()), prior)
        entry["incongruent_above"] = _threshold(matched)
    return entry


def largest_miss(misses: np.ndarray, people: np.ndarray) -> float:
    """The quantile of 1 - p of the truth, (N,), below which new people's lie with probability `COVERAGE`.

    Everybody in `people` (N,) counts alike, however much they said: the quantile of the mean of their distributions
    (pooled CDFs, Dunn et al. 2023), which new people keep on the average. Of so few that such a share of them is
    nobody, the worst item decides.
    """
    names, index, counts = np.unique(people, return_inverse=True, return_counts=True)
    order = np.argsort(misses)
    share: np.ndarray = 1 / (counts * len(names))
    weight = np.cumsum(share[index[order]])
    level = COVERAGE if len(names) * (1 - COVERAGE) >= 1 - 1e-9 else 1.0
    place = min(int(np.searchsorted(weight, level - 1e-9)), len(misses) - 1)
    return float(np.sort(misses)[place])


def measure_decision(trials: Sequence[Trial], prior: np.ndarray) -> dict[str, Any]:
    """What becomes of the promises on other people: coverage and mean size of the sets, AUROC and alarms; the mean of
    all divisions of the people."""
    found = [_measure(fit_decision(trial.known, trial.fit, prior), trial, prior) for trial in trials]
    figures: dict[str, Any] = {"sets": {name: _mean([one["sets"][name] for one in found]) for name in found[0]["sets"]}}
    if "incongruent" in found[0]:
        figures["incongruent"] = _mean([one["incongruent"] for one in found])
    return figures


def _measure(entry: Mapping[str, Any], trial: Trial, prior: np.ndarray) -> dict[str, Any]:
    met = trial.met
    sets = {}
    for subset in subsets_of(list(met.posteriors)):
        posterior, miss = fused(met, subset, trial.fit, prior), entry["largest_miss"][subset_name(subset)]
        sets[subset_name(subset)] = {
            **_set_figures(_inside(posterior, miss), met.truth),
            "mostly_neutral": _round(_in_daily_life(posterior, met.truth, miss)),
        }
    found: dict[str, Any] = {"sets": sets}
    if "incongruent_above" in entry:
        matched = contradiction(list(met.posteriors.values()), prior)
        mismatched = _mismatched(met.posteriors, met.truth, prior)
        threshold = entry["incongruent_above"]
        found["incongruent"] = _alarm_figures(matched, mismatched, matched > threshold, mismatched > threshold)
    return found


def _in_daily_life(posterior: np.ndarray, truth: np.ndarray, miss: float) -> float:
    """How often sets hold the truth where most of what is said is neutral, and `neutral_share` says so."""
    inside = _inside(with_neutral_share(posterior, LABELS, MOSTLY_NEUTRAL), miss)
    is_neutral = truth == LABELS.index(NEUTRAL)
    held = inside[np.arange(len(truth)), truth]
    return float(MOSTLY_NEUTRAL * held[is_neutral].mean() + (1 - MOSTLY_NEUTRAL) * held[~is_neutral].mean())


def _mean(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: _round(float(np.mean([one[name] for one in figures]))) for name in figures[0]}


def fit_joint_decision(
    rows: Mapping[Modalities, OutOfFold], temperature: float, heads: Mapping[str, float], prior: np.ndarray
) -> dict[str, Any]:
    """The same entry, with its figures, for modalities that were trained together. `rows`: what was predicted of each
    set of them. `temperature`: of the fused. `heads`: those of modalities that speak for themselves as well.

    Of the parts of the people as `temperatures.parts_of` has them, each is judged by what was fitted on the others.
    """
    misses, sets = {}, {}
    for subset, found in rows.items():
        if not len(found):
            continue
        misses[subset_name(subset)] = round(_largest_miss(found, temperature), 4)
        parts = parts_of(found)[0]
        inside = np.zeros(found.logits.shape, bool)
        for part in np.unique(parts):
            mine = parts == part
            others = found if mine.all() else found.select(~mine)
            hot = balanced_temperature(others)
            inside[mine] = _inside(softmax(found.believed[mine] / hot), _largest_miss(others, hot))
        sets[subset_name(subset)] = _set_figures(inside, found.label)
    entry: dict[str, Any] = {"coverage": COVERAGE, "largest_miss": misses}
    figures: dict[str, Any] = {"sets": sets}
    if len(heads) > 1:
        alone = _same_items({name: rows[(name,)] for name in heads})
        posteriors = {name: softmax(found.believed / heads[name]) for name, found in alone.items()}
        first = next(iter(alone.values()))
        matched = contradiction(list(posteriors.values()), prior)
        mismatched = _mismatched(posteriors, first.label, prior)
        entry["incongruent_above"] = _threshold(matched)
        thresholds = _held_out_thresholds(matched, parts_of(first)[0])
        found_out = mismatched.reshape(-1, len(matched)) > thresholds
        figures["incongruent"] = _alarm_figures(matched, mismatched, matched > thresholds, found_out)
    return {**entry, "metrics": figures}


def _held_out_thresholds(matched: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Of each item, (N,), the threshold without its own part."""
    thresholds = np.full(len(matched), _threshold(matched))
    if len(np.unique(parts)) > 1:
        for part in np.unique(parts):
            thresholds[parts == part] = _threshold(matched[parts != part])
    return thresholds


def _largest_miss(rows: OutOfFold, temperature: float) -> float:
    return largest_miss(_miss(softmax(rows.believed / temperature), rows.label), _speakers(rows))


def _speakers(rows: OutOfFold) -> np.ndarray:
    """Who stands for the group, (N,): the person; of synthetic items that of their modality with the fewest people."""
    columns = np.array(
        [cluster.split(BETWEEN_PEOPLE) for cluster in rows.cluster.tolist() if BETWEEN_PEOPLE in cluster]
    )
    if len(columns) < len(rows):
        return rows.who
    return min(columns.T, key=lambda people: len(set(people.tolist())))


def _same_items(rows: Mapping[str, OutOfFold]) -> dict[str, OutOfFold]:
    """Those items that all of them are of, in one order."""
    keys = {name: list(zip(one.source.tolist(), one.item_id.tolist(), strict=True)) for name, one in rows.items()}
    shared = sorted(set.intersection(*map(set, keys.values())))
    places = {name: {key: number for number, key in enumerate(found)} for name, found in keys.items()}
    return {name: one.select(np.array([places[name][key] for key in shared], int)) for name, one in rows.items()}


def _inside(posterior: np.ndarray, miss: float) -> np.ndarray:
    """Which classes belong to the sets, bool (N, C)."""
    inside: np.ndarray = 1 - posterior <= miss
    inside[np.arange(len(posterior)), posterior.argmax(1)] = True
    return inside


def _set_figures(inside: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    held = inside[np.arange(len(truth)), truth]
    return {"coverage": _round(held.mean()), "size": _round(inside.sum(1).mean())}


def _alarm_figures(
    matched: np.ndarray, mismatched: np.ndarray, alarms: np.ndarray, found: np.ndarray
) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    truth = np.arange(len(matched) + len(mismatched)) >= len(matched)
    return {
        "auroc": _round(roc_auc_score(truth, np.concatenate([matched, mismatched]))),
        "false_alarms": _round(alarms.mean()),
        "found": _round(found.mean()),
    }


def _threshold(matched: np.ndarray) -> float:
    return round(max(float(np.quantile(matched, 1 - _FALSE_ALARMS)), 1e-3), 4)


def _miss(posterior: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return 1 - posterior[np.arange(len(truth)), truth]


def _people(combined: Combined, subset: tuple[str, ...]) -> np.ndarray:
    """Who stands for the group, (N,): the person of the modality with the fewest people."""
    return min((combined.people[name] for name in subset), key=lambda people: len(set(people.tolist())))


def _mismatched(posteriors: Mapping[str, np.ndarray], truth: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Contradictions, (M * N,), of the same items with one modality of an item of another class: each modality and
    each other class in turn."""
    classes, place = np.unique(truth, return_inverse=True)
    pools = [np.flatnonzero(place == number) for number in range(len(classes))]
    rank = np.empty(len(truth), int)
    for pool in pools:
        rank[pool] = np.arange(len(pool))
    found = []
    for name in posteriors:
        for shift in range(1, len(classes)):
            others = [pools[number] for number in (place - shift) % len(classes)]
            chosen = np.array([other[number % len(other)] for other, number in zip(others, rank, strict=True)])
            swapped = {**posteriors, name: posteriors[name][chosen]}
            found.append(contradiction(list(swapped.values()), prior))
    return np.concatenate(found)


def _round(value: float) -> float:
    return round(float(value), 4)
