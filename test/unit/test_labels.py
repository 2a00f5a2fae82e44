"""The classes and where they lie on the plane of valence and arousal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros import labels
from mser_ros.labels import GOEMOTIONS, IEMOCAP, LABELS, MELD, UNKNOWN, VALENCE_AROUSAL, valence_arousal


def test_the_classes_are_those_of_four_class_iemocap() -> None:
    assert LABELS == ("angry", "happy", "sad", "neutral")
    assert UNKNOWN not in LABELS


@pytest.mark.parametrize("mapping", [IEMOCAP, GOEMOTIONS, MELD], ids=["iemocap", "goemotions", "meld"])
def test_every_corpus_names_every_class_and_no_other(mapping: dict[str, str]) -> None:
    assert set(mapping.values()) == set(LABELS)


def test_the_maps_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        labels.VALENCE_AROUSAL["angry"] = (0.0, 0.0)  # type: ignore[index]


@pytest.mark.parametrize(
    ("label", "valence", "arousal"), [("angry", -1, 1), ("happy", 1, 1), ("sad", -1, -1), ("neutral", 0, 0)]
)
def test_each_class_lies_in_its_quadrant_of_the_circumplex(label: str, valence: int, arousal: int) -> None:
    place = VALENCE_AROUSAL[label]
    assert (np.sign(place[0]), np.sign(place[1])) == (valence, arousal)
    assert valence_arousal(LABELS, np.eye(4)[LABELS.index(label)]) == pytest.approx(place)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda values: sum(values) > 0.01))
def test_a_posterior_lies_within_the_plane(weights: list[float]) -> None:
    valence, arousal = valence_arousal(LABELS, np.array(weights) / sum(weights))
    assert -1 <= valence <= 1
    assert -1 <= arousal <= 1


def test_the_order_of_labels_is_that_of_the_probabilities() -> None:
    posterior = np.array([0.1, 0.2, 0.3, 0.4])
    order = [2, 0, 3, 1]
    assert valence_arousal([LABELS[i] for i in order], posterior[order]) == pytest.approx(
        valence_arousal(LABELS, posterior)
    )


def test_a_class_without_a_place_counts_as_the_origin() -> None:
    assert valence_arousal(["happy", "surprised"], np.array([0.5, 0.5])) == pytest.approx((0.45, 0.2))
