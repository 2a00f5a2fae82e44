"""What the planner is told of a posterior: exact on numbers that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.labels import LABELS
from mser_ros.recognition.decision import (
    DecisionSpec,
    contradiction,
    label_set,
    parse_decision,
    subset_name,
    with_neutral_share,
)

EVEN = np.full(4, 0.25)
posteriors = st.lists(st.floats(0.001, 1), min_size=4, max_size=4).map(lambda values: np.array(values) / sum(values))


def test_a_neutral_life_makes_neutral_likelier_by_bayes_rule() -> None:
    found = with_neutral_share(np.array([0.5, 0.1, 0.1, 0.3]), LABELS, 0.7)
    expected = np.array([0.5 * 0.1, 0.1 * 0.1, 0.1 * 0.1, 0.3 * 0.7])
    np.testing.assert_allclose(found, expected / expected.sum())


@given(posteriors)
def test_an_even_life_changes_nothing(posterior: np.ndarray) -> None:
    np.testing.assert_allclose(with_neutral_share(posterior, LABELS, 0.25), posterior)


def test_without_a_neutral_class_nothing_is_corrected() -> None:
    posterior = np.array([0.4, 0.6])
    assert with_neutral_share(posterior, ("afraid", "calm"), 0.9) is posterior


def test_a_set_holds_the_classes_that_are_likely_enough_the_likeliest_first() -> None:
    posterior = np.array([0.3, 0.05, 0.2, 0.45])
    assert label_set(posterior, LABELS, 0.75) == ("neutral", "angry")
    assert label_set(posterior, LABELS, 0.0) == ("neutral",)
    assert label_set(posterior, LABELS, 1.0) == ("neutral", "angry", "sad", "happy")


@given(posteriors, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_miss_never_takes_a_class_away(posterior: np.ndarray, one: float, other: float) -> None:
    small, large = (label_set(posterior, LABELS, miss) for miss in sorted((one, other)))
    assert set(small) <= set(large)


def test_modalities_that_are_sure_of_different_classes_contradict_each_other() -> None:
    angry, happy = np.array([0.97, 0.01, 0.01, 0.01]), np.array([0.01, 0.97, 0.01, 0.01])
    assert contradiction([angry, happy], EVEN) == pytest.approx(-np.log(4 * (2 * 0.97 * 0.01 + 2 * 0.0001)))
    assert contradiction([angry, angry], EVEN) < 0
    assert contradiction([angry, EVEN], EVEN) == pytest.approx(0)
    assert contradiction([angry, angry, happy], EVEN) == contradiction([angry, happy], EVEN)
    assert contradiction([angry], EVEN) == 0


def test_the_order_of_modalities_does_not_matter() -> None:
    assert subset_name(("text", "speech")) == subset_name(("speech", "text")) == "speech+text"


def test_a_bundle_without_a_decision_promises_nothing() -> None:
    assert parse_decision({}) == DecisionSpec()


@pytest.mark.parametrize(
    "entry", [{"coverage": 1.5}, {"largest_miss": {"speech": -0.1}}, {"incongruent_above": -1}, {"coverage": "much"}]
)
def test_a_decision_out_of_range_is_refused(entry: dict) -> None:
    with pytest.raises(ValueError, match=r"out of range|could not convert"):
        parse_decision(entry)
