"""Temperatures from out-of-fold predictions: the one that ships, and those by which its calibration is judged.

What ships is fitted on every row. An error of calibration on the rows that a temperature was fitted on would flatter
it, so each row is judged by a temperature that was fitted without its own part: without its fold, or where there is one
fold only, without its half of the people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...corpora.base import BETWEEN_PEOPLE
from ...evaluation.calibration import fit_temperature
from ...evaluation.metrics import Predictions
from ...recognition.posteriors import softmax
from ..runs.predictions import OutOfFold


@dataclass(frozen=True, eq=False)
class Temperatures:
    """`shipped`: fitted on all rows. `held_out`: by source and item, fitted without the item's part. `told`: what a
    reader of the figures must know of the latter."""

    shipped: float
    held_out: Mapping[tuple[str, str], float]
    method: str

    def predictions(self, rows: OutOfFold) -> Predictions:
        """`rows`, or what other modalities said of the same items, each by its held-out temperature."""
        keys = zip(rows.source.tolist(), rows.item_id.tolist(), strict=True)
        temperatures = np.array([self.held_out[key] for key in keys])
        posteriors = softmax(rows.believed / temperatures[:, None])
        return Predictions(rows.label, posteriors, rows.clusters, answered=rows.answered)


def fit_temperatures(rows: OutOfFold) -> Temperatures:
    """Fit the temperature that ships, and one for each part of the rows without that part."""
    shipped = balanced_temperature(rows)
    parts, others = parts_of(rows)
    method = f"a temperature fitted on the other {others}"
    if len(np.unique(parts)) == 1:
        method = "the temperature that was fitted on them, since they are all of one person: it is too good"
    held_out = {}
    for part in np.unique(parts):
        mine = parts == part
        temperature = shipped if mine.all() else balanced_temperature(rows.select(~mine))
        keys = zip(rows.source[mine].tolist(), rows.item_id[mine].tolist(), strict=True)
        held_out.update(dict.fromkeys(keys, temperature))
    return Temperatures(shipped, held_out, method)


def shipped(rows: OutOfFold, temperature: float) -> Predictions:
    """What the robot says of rows that no temperature was fitted on."""
    return Predictions(rows.label, softmax(rows.believed / temperature), rows.clusters, answered=rows.answered)


def balanced_temperature(rows: OutOfFold) -> float:
    """The temperature that fits best when every source counts alike."""
    counts = [len(rows.of(source)) for source in rows.sources]
    parts = []
    for source, count in zip(rows.sources, counts, strict=True):
        part = rows.of(source)
        parts.append(part.select(np.arange(max(counts)) % count))
    together = OutOfFold.join(parts)
    together = together.select(together.answered)
    return fit_temperature(together.believed.astype(np.float64), together.label)


def parts_of(rows: OutOfFold) -> tuple[np.ndarray, str]:
    """The part of each row, (N,), that is to be judged by what was fitted on the others, and what the parts are."""
    if len(set(rows.fold.tolist())) > 1:
        return rows.fold, "folds"
    return halves(rows), "half of the people"


def halves(rows: OutOfFold, *, seed: int = 0) -> np.ndarray:
    """0 or 1 for each row, (N,): the same for all rows of one person, each half with half of every corpus's people.

    A block of synthetic items is one person: where there is only that, the source people of the first kind are halved.
    """
    corpora, people = rows.corpora, rows.person
    if len(np.unique(rows.who)) == 1:
        people = np.array([cluster.split(BETWEEN_PEOPLE)[0] for cluster in rows.cluster.tolist()])
    names, index = np.unique(np.char.add(np.char.add(corpora, ":"), people), return_inverse=True)
    corpus_of = np.array([name.split(":")[0] for name in names.tolist()])
    rng = np.random.default_rng(seed)
    order = [rng.permutation(np.flatnonzero(corpus_of == corpus)) for corpus in np.unique(corpus_of)]
    half = np.zeros(len(names), int)
    half[np.concatenate(order)[1::2]] = 1
    return half[index]
