"""The bootstrap over people: whole clusters are drawn, because items of one person resemble each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np

from ..corpora.base import BETWEEN_PEOPLE

#: Weights that are held at a time: few enough that what is computed of them stays in the processor's cache.
_CHUNK = 200_000


def replicates(clusters: np.ndarray, *, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Weights of every item in every bootstrap replicate: arrays (R, N) that add up to `resamples` rows.

    As many clusters are drawn as there are, with replacement; an item weighs as often as its cluster was drawn. Items
    with several sources (source people of a synthetic item, joined by ' + ') weigh the product over their sources, each
    kind drawn by itself: the pigeonhole bootstrap (Owen 2007), which is a little too wide rather than too narrow. Items
    with fewer sources than others weigh by those that they have.
    The same seed and clusters give the same weights.
    """
    kinds = _kinds(clusters)
    rng = np.random.default_rng(seed)
    done = 0
    while done < resamples:
        rows = min(resamples - done, max(1, _CHUNK // max(len(clusters), 1)))
        weights = np.ones((rows, len(clusters)))
        for row in weights:
            for codes, count in kinds:
                drawn = np.bincount(rng.integers(count, size=count), minlength=count)
                row *= np.append(drawn, 1)[codes]
        yield weights
        done += rows


def is_alone(clusters: np.ndarray) -> bool:
    """Whether all items are of one cluster: drawn again and again, it tells nothing of how others differ from it."""
    return len(set(clusters.tolist())) == 1


def units(clusters: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Every cluster's name and the mask of its items, sorted by name; of several sources, those of the first kind."""
    first = np.array([name.split(BETWEEN_PEOPLE)[0] for name in clusters.tolist()])
    return [(name, first == name) for name in sorted(set(first.tolist()))]


def _kinds(clusters: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """For each kind of source the code of every item, (N,), and how many codes there are; an item without such a source
    has the one behind them."""
    columns = zip_longest(*(name.split(BETWEEN_PEOPLE) for name in clusters.tolist()))
    kinds = []
    for column in columns:
        place = {name: code for code, name in enumerate(sorted({name for name in column if name is not None}))}
        kinds.append((np.array([place.get(name, len(place)) for name in column]), len(place)))
    return kinds
