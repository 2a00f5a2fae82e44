"""Promises of `training/folds.py`."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.corpora import Item
from mser_ros.corpora.folds import Fold, by_group, by_people, by_split
from mser_ros.errors import CorpusError
from mser_ros.labels import LABELS

# Each worker of pytest reads every file of tests, and to import scikit-learn takes it longer than all others together.
pytestmark = pytest.mark.skipif(
    find_spec("sklearn") is None, reason="scikit-learn is missing: pip install 'mser_ros[train]'"
)


def item(person: str, label: str, *, group: str = "", split: str = "", corpus: str = "c", number: int = 0) -> Item:
    return Item(
        corpus, f"{person}-{number}", label, person, group or person, person, loader=lambda _: None, split=split
    )


@st.composite
def corpora(draw: st.DrawFn) -> list[Item]:
    """Items of 3 to 12 people in 1 or 2 corpora, in any order, with any imbalance of classes."""
    people = draw(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), min_size=3, max_size=12, unique=True))
    rows = [(person, draw(st.sampled_from(LABELS))) for person in people for _ in range(draw(st.integers(1, 6)))]
    order = draw(st.permutations(range(len(rows))))
    return [
        item(str(rows[i][0][1]), rows[i][1], group=f"g{rows[i][0][1] % 4}", corpus=rows[i][0][0], number=i)
        for i in order
    ]


def check(items: list[Item], folds: tuple[Fold, ...], *, tested: bool = True) -> None:
    for fold in folds:
        sides = [{items[i].people for i in side} for side in (fold.train, fold.validation, fold.test)]
        assert all(sides), "every side has somebody"
        assert not sides[0] & sides[1]
        assert not sides[0] & sides[2]
        assert not sides[1] & sides[2]
        assert sorted(fold.train + fold.validation + fold.test) == list(range(len(items)))
    if tested:
        assert sorted(i for fold in folds for i in fold.test) == list(range(len(items)))


@given(items=corpora(), seed=st.integers(0, 99), k=st.integers(3, 6))
def test_nobody_is_on_two_sides_and_everybody_is_tested_once(items: list[Item], seed: int, k: int) -> None:
    if len({i.people for i in items}) < k:
        with pytest.raises(CorpusError, match="fewer folds"):
            by_people(items, k=k, seed=seed)
    else:
        check(items, by_people(items, k=k, seed=seed))


@given(items=corpora())
def test_a_group_is_left_out_once(items: list[Item]) -> None:
    groups = {(i.corpus, i.group) for i in items}
    if len(groups) < 3:
        with pytest.raises(CorpusError, match="by people"):
            by_group(items)
    else:
        folds = by_group(items)
        check(items, folds)
        assert len(folds) == len(groups)


def balanced(people: int) -> list[Item]:
    return [item(f"p{p:02d}", label, number=n) for p in range(people) for label in LABELS for n in range(5)]


def test_a_seed_gives_the_same_folds_and_another_seed_others() -> None:
    items = balanced(15)
    assert by_people(items, k=5, seed=1) == by_people(items, k=5, seed=1)
    assert by_people(items, k=5, seed=1) != by_people(items, k=5, seed=2)


def test_folds_are_of_equal_size_and_balanced() -> None:
    items = balanced(15)
    for fold in by_people(items, k=5, seed=0):
        assert [sum(items[i].label == label for i in fold.test) for label in LABELS] == [15] * 4


def test_the_corpus_s_own_sets_are_kept() -> None:
    items = [item(f"p{n}", LABELS[n % 4], split="dev" if n % 3 == 0 else "train", number=n) for n in range(300)]
    (fold,) = by_split(items, seed=0)
    check(items, (fold,), tested=False)
    assert fold.test == tuple(range(0, 300, 3))
    assert 15 <= len(fold.validation) <= 25
    items = [replace(one, split="test") if n < 30 else one for n, one in enumerate(items)]
    (fold,) = by_split(items, seed=0)
    assert fold.test == tuple(range(30))
    assert fold.validation == tuple(range(30, 300, 3))


def test_items_that_are_in_no_set_are_refused() -> None:
    items = [item(f"p{n}", LABELS[n % 4], split=("train", "dev", "test")[n % 3], number=n) for n in range(12)]
    lost = [item("q", "sad", corpus="extra", number=n) for n in range(2)]
    with pytest.raises(CorpusError, match=r"in no set: 2 items of extra: give them .*, or set 'test' of"):
        by_split([*items, *lost], seed=0)
    with pytest.raises(CorpusError, match="in no set: 1 items of c"):
        by_split([*items[:-1], replace(items[-1], split="")], seed=0)


def test_a_person_in_two_groups_or_sets_is_refused() -> None:
    items = [item("p", "sad", group="s1"), item("p", "sad", group="s2"), item("q", "sad", group="s3")]
    with pytest.raises(CorpusError, match="p of corpus 'c' is in 'c-s1' and in 'c-s2'"):
        by_group(items)
    with pytest.raises(CorpusError, match="by people"):
        by_split([item("p", "sad", split="dev"), item("p", "sad", split="train")], seed=0)


def test_people_of_a_corpus_and_of_one_that_is_combined_of_it_are_refused() -> None:
    plain = balanced(5)
    combined = [
        replace(one, corpus="pseudo", person=f"block{n % 5}", sources=(one, item(f"w{n % 5}", one.label, corpus="w")))
        for n, one in enumerate(plain)
    ]
    with pytest.raises(CorpusError, match=r"of corpus 'c' is in 'fold\d' and in 'fold\d': leave one .* out, or set"):
        by_people([*plain, *combined], k=3, seed=0)
    twice = [*plain, *(replace(one, item_id=f"{one.item_id}-again") for one in plain)]
    check(twice, by_people(twice, k=3, seed=0))


def test_too_few_folds_or_sets_are_refused() -> None:
    with pytest.raises(CorpusError, match="at least 3"):
        by_people(balanced(5), k=2, seed=0)
    with pytest.raises(CorpusError, match="'dev'"):
        by_split(balanced(5), seed=0)
