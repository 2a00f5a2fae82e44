"""How voices differ from each other, from out-of-fold predictions, and what it is worth to know it of a new voice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...evaluation.metrics import Predictions, score
from ...recognition.baseline import BaselineSpec, VoiceBaseline
from ...recognition.posteriors import softmax
from ..runs.predictions import OutOfFold

#: Utterances that a voice has said before those on which it is judged.
_HEARD = ((0, 1), (1, 4), (4, 12), (12, 24), (24, 1000))


def fit_baseline(rows: OutOfFold) -> dict[str, list[list[float]]] | None:
    """The manifest's entry; None where fewer than three people can be compared."""
    spec = _spec(rows)
    if spec is None:
        return None
    return {name: np.round(getattr(spec, name), 4).tolist() for name in ("means", "between", "within")}


def measure_baseline(rows: OutOfFold) -> dict[str, Any]:
    """UA with an offset that is learned on the way, utterances in random order and sorted by class, by how many the
    voice had said before; everybody is judged by what was fitted on the others."""
    found: dict[str, Any] = {}
    for source in rows.sources:
        part = rows.of(source)
        found[source] = {"none": _ua(part, part.logits), "order": {}}
        for order in ("random", "sorted"):
            corrected, heard = _talk(rows, part, order)
            by_heard = {
                f"after {low}": _ua(part.select(chosen), corrected[chosen])
                for low, high in _HEARD
                if len(set(part.label[chosen := (heard >= low) & (heard < high)].tolist()))
                == len(set(part.label.tolist()))
            }
            found[source]["order"][order] = {"all": _ua(part, corrected), **by_heard}
    return found


def _talk(rows: OutOfFold, part: OutOfFold, order: str) -> tuple[np.ndarray, np.ndarray]:
    """Corrected logits of each row of `part` and how many utterances its voice had said before."""
    corrected, heard = part.logits.astype(np.float64), np.zeros(len(part), int)
    for person in np.unique(part.person):
        spec = _spec(rows.select((rows.person != person) | (rows.corpora != part.corpora[0])))
        if spec is None:
            continue
        rng = np.random.default_rng(0)
        mine = rng.permutation(np.flatnonzero(part.person == person))
        if order == "sorted":
            ranks = rng.permutation(part.logits.shape[1])
            mine = mine[np.argsort(ranks[part.label[mine]], kind="stable")]
        voice = VoiceBaseline(spec)
        for row in mine:
            heard[row] = voice.utterances
            corrected[row] = voice.correct(part.logits[row].astype(np.float64))
            voice.learn(part.logits[row].astype(np.float64))
    return corrected, heard


def _spec(rows: OutOfFold) -> BaselineSpec | None:
    """Every person counts alike in the means and between voices."""
    logits = rows.logits.astype(np.float64)
    logits = logits - logits.mean(1, keepdims=True)
    names = np.char.add(np.char.add(rows.source, "/"), rows.person)
    people = [np.flatnonzero(names == name) for name in np.unique(names)]
    classes = range(logits.shape[1])
    if len(people) < 3 or any(not (rows.label == kind).any() for kind in classes):
        return None
    means = np.stack([_mean_of_means(logits, people, rows.label == kind) for kind in classes])
    rest = logits - means[rows.label]
    offsets = np.stack([rest[mine].mean(0) for mine in people])
    within = np.concatenate([rest[mine] - rest[mine].mean(0) for mine in people])
    return BaselineSpec(means, np.cov(offsets.T), within.T @ within / len(within))


def _mean_of_means(logits: np.ndarray, people: Sequence[np.ndarray], of_class: np.ndarray) -> np.ndarray:
    return np.mean([logits[mine[of_class[mine]]].mean(0) for mine in people if of_class[mine].any()], axis=0)


def _ua(rows: OutOfFold, logits: np.ndarray) -> float:
    return round(score(Predictions(rows.label, softmax(logits), rows.cluster), resamples=0).values["ua"], 4)
