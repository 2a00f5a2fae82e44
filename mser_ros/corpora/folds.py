"""Training, validation and test sets in which nobody is on two sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CorpusError, DependencyError
from .base import Item

#: `by_split` sets one in so many training people aside for validation where the corpus has no set for it.
_VALIDATION_PARTS = 10
_SETS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Fold:
    """Ascending indices into the items that were split; the three sets are disjoint, and so are their people."""

    name: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def by_people(items: Sequence[Item], *, k: int, seed: int) -> tuple[Fold, ...]:
    """`k` speaker-independent folds: every item is tested once, the next fold validates, the others train.

    Raises `CorpusError` where there are fewer than `k` people, or `k` is below 3, and for a person who is in two folds,
    as may be where one corpus is combined of another.
    """
    if k < 3:
        raise CorpusError(f"folds need at least 3 parts, for training, validation and test, not {k}")
    part = deal(items, k=k, seed=seed)
    names = [f"fold{number}" for number in part.tolist()]
    _check_people(items, names, cure="leave one of the corpora that share people out, or set its 'test' to false")
    return tuple(_fold(f"fold{number}", part, number, (number + 1) % k) for number in range(k))


def by_group(items: Sequence[Item]) -> tuple[Fold, ...]:
    """Leave one group (session) out: each is tested once, the next in alphabetical order validates.

    Raises `CorpusError` for fewer than 3 groups and for a person who is in two of them.
    """
    names = [f"{item.corpus}-{item.group}" for item in items]
    groups = sorted(set(names))
    if len(groups) < 3:
        raise CorpusError(f"leaving one group out needs at least 3 groups, there are {len(groups)}: split by people")
    part = np.array([groups.index(name) for name in names])
    _check_people(items, names)
    return tuple(_fold(name, part, number, (number + 1) % len(groups)) for number, name in enumerate(groups))


def by_split(items: Sequence[Item], *, seed: int) -> tuple[Fold, ...]:
    """The corpus's own sets, as one fold: 'test' is tested and 'dev' validates; without 'test', 'dev' is tested and a
    tenth of the people of 'train' validates.

    Raises `CorpusError` where a set is missing, for items that are in none and for a person who is in two of them.
    """
    splits = np.array([item.split for item in items])
    if not {"train", "dev"} <= set(splits.tolist()):
        raise CorpusError("this corpus has no 'train' and 'dev' sets of its own: split by people")
    nowhere = Counter(item.corpus for item in items if item.split not in _SETS)
    if nowhere:
        counts = ", ".join(f"{count} items of {corpus}" for corpus, count in nowhere.items())
        raise CorpusError(
            f"the corpora's own sets leave out what is in no set: {counts}: give them a 'split' ({', '.join(_SETS)}), "
            "or set 'test' of their corpus to false"
        )
    _check_people(items, splits.tolist())
    if "test" in splits:
        part = np.select([splits == "test", splits == "dev", splits == "train"], [0, 1, 2], 3)
    else:
        train = np.flatnonzero(splits == "train")
        validates = deal([items[index] for index in train.tolist()], k=_VALIDATION_PARTS, seed=seed) == 0
        part = np.where(splits == "dev", 0, 3)
        part[train] = np.where(validates, 1, 2)
    return (Fold("split", _indices(part == 2), _indices(part == 1), _indices(part == 0)),)


def deal(items: Sequence[Item], *, k: int, seed: int) -> np.ndarray:
    """The part 0..k-1 of each item, shape (items,): whole people, about the same share of every class of every corpus.

    Uses scikit-learn's StratifiedGroupKFold. Raises `CorpusError` where there are fewer than `k` people.
    """
    people = [f"{item.corpus}-{item.person}" for item in items]
    if len(set(people)) < k:
        raise CorpusError(f"{k} folds need {k} people or more, there are {len(set(people))}: ask for fewer folds")
    if k == 1:
        return np.zeros(len(items), np.int64)
    try:
        from sklearn.model_selection import StratifiedGroupKFold
    except ImportError:
        raise DependencyError("folds need scikit-learn: pip install 'mser_ros[train]'") from None
    classes = np.array([f"{item.corpus}-{item.label}" for item in items])
    # The splitter refuses more folds than members of the largest class and warns below those of the smallest: few
    # items in many classes then count as one class.
    if np.unique(classes, return_counts=True)[1].min() < k:
        classes = np.zeros(len(items), np.int64)
    part = np.empty(len(items), np.int64)
    splitter = StratifiedGroupKFold(k, shuffle=True, random_state=seed)
    for number, (_, members) in enumerate(splitter.split(classes, classes, np.array(people))):
        part[members] = number
    return part


def _fold(name: str, part: np.ndarray, test: int, validation: int) -> Fold:
    return Fold(
        name,
        train=_indices((part != test) & (part != validation)),
        validation=_indices(part == validation),
        test=_indices(part == test),
    )


def _indices(chosen: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(chosen).tolist())


def _check_people(items: Sequence[Item], sides: Sequence[str], *, cure: str = "split by people") -> None:
    """Raise `CorpusError` for somebody who would be on two sides."""
    side_of: dict[tuple[str, str], str] = {}
    for item, side in zip(items, sides, strict=True):
        for person in item.people:
            if side_of.setdefault(person, side) != side:
                raise CorpusError(
                    f"{person[1]} of corpus '{person[0]}' is in '{side_of[person]}' and in '{side}': {cure}"
                )
