"""Statistics of predictions: known answers, properties, and agreement with scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mser_ros.evaluation.comparison import paired_bootstrap
from mser_ros.evaluation.concordance import concordance
from mser_ros.evaluation.metrics import Predictions, Statistics, bracketed, risk_coverage, score
from mser_ros.evaluation.resampling import replicates, units


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def draw(items: int, *, seed: int, over_confidence: float = 1.0, clusters: int = 0) -> Predictions:
    """Predictions of a model that is perfectly calibrated before its logits are multiplied."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(items, 4))
    truth = (softmax(logits).cumsum(axis=1) < rng.random((items, 1))).sum(axis=1)
    names = np.arange(items) % (clusters or items)
    return Predictions(truth, softmax(logits * over_confidence), names.astype(str))


def certain(truth: list[int], guesses: list[int], *, confidence: float = 0.9) -> Predictions:
    """Guesses of one confidence; -1 is no answer."""
    said = np.array(guesses)
    rows = np.full((len(truth), 4), (1 - confidence) / 3)
    rows[np.arange(len(truth)), np.maximum(said, 0)] = confidence
    rows[said < 0] = 0.25
    return Predictions(np.array(truth), rows, np.arange(len(truth)).astype(str), said >= 0)


def values(predictions: Predictions) -> dict[str, float]:
    return {key: float(row[0]) for key, row in Statistics(predictions)(np.ones((1, len(predictions)))).items()}


def test_known_confusion_gives_known_accuracy_recall_and_f1() -> None:
    scores = score(certain([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2]), resamples=100)
    assert scores.values["wa"] == pytest.approx(4 / 6)
    assert scores.values["ua"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3), "the class that does not occur has no part"
    assert scores.values["macro_f1"] == pytest.approx((2 * 2 / 6 + 2 * 1 / 4 + 1) / 3)
    assert np.isnan(scores.values["recall_neutral"])
    assert scores.confusion.tolist() == [[2, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert scores.as_json()["recall"] == {"angry": 0.666667, "happy": 0.5, "sad": 1.0, "neutral": None}


def test_no_answer_counts_as_wrong_but_not_against_calibration() -> None:
    scores = score(certain([0, 0, 1, 1], [0, -1, 1, 1], confidence=0.7), resamples=100)
    assert (scores.items, scores.unanswered) == (4, 1)
    assert scores.values["wa"] == 0.75
    assert scores.values["ua"] == 0.75
    assert scores.confusion[0].tolist() == [1, 0, 0, 0, 1]
    assert scores.values["nll"] == pytest.approx(-np.log(0.7))
    assert scores.values["ece_15"] == pytest.approx(0.3)


def test_known_nll_and_brier() -> None:
    predictions = Predictions(np.array([0, 3]), np.array([[0.5, 0.5, 0, 0], [1.0, 0, 0, 0]]), np.array(["a", "b"]))
    found = values(predictions)
    assert found["nll"] == pytest.approx((-np.log(0.5) - np.log(1e-6)) / 2)
    assert found["brier"] == pytest.approx((0.5 + 2.0) / 2)


def test_known_risk_coverage() -> None:
    rows = np.array([[0.9, 0.1, 0, 0], [0.8, 0.2, 0, 0], [0.7, 0.3, 0, 0], [0.6, 0.4, 0, 0]])
    predictions = Predictions(np.array([0, 0, 1, 0]), rows, np.array(list("abcd")))
    coverage, risk = risk_coverage(predictions)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == [0, 0, pytest.approx(1 / 3), 0.25]
    assert values(predictions)["aurc"] == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)
    assert values(predictions)["accuracy_at_70"] == 1.0, "two of four items are answered"


def test_the_debiased_ece_is_near_zero_for_a_perfect_model_and_finds_a_known_error() -> None:
    perfect = np.mean([score(draw(504, seed=seed), resamples=100).values["ece"] for seed in range(40)])
    usual = np.mean([score(draw(504, seed=seed), resamples=100).values["ece_15"] for seed in range(40)])
    assert perfect < 0.025
    assert usual > 0.04, "the plug-in estimate shows an error that is not there"
    # Always 90 % sure and 60 % right: an error of 0.3.
    wrong = certain([0] * 1000, [0] * 600 + [1] * 400)
    assert score(wrong, resamples=100).values["ece"] == pytest.approx(0.3, abs=0.01)


def test_the_interval_of_the_ece_holds_the_true_error() -> None:
    truth = values(draw(200_000, seed=99, over_confidence=2))["squared_ece"] ** 0.5
    held = 0
    for seed in range(40):
        low, high = score(draw(504, seed=seed, over_confidence=2), resamples=200).intervals["ece"]
        held += low <= truth <= high
    assert held >= 35


def test_equal_confidences_do_not_depend_on_the_order_of_items() -> None:
    ordered = certain([0] * 50 + [1] * 50, [0] * 100, confidence=0.5)
    mixed = ordered.select(np.random.default_rng(0).permutation(100))
    for name, value in values(ordered).items():
        assert values(mixed)[name] == pytest.approx(value, nan_ok=True), name
    assert score(ordered, resamples=100).values["ece"] == 0.0


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), items=st.integers(2, 60))
def test_points_agree_with_scikit_learn(seed: int, items: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is missing: pip install 'mser_ros[train]'")
    predictions = draw(items, seed=seed)
    found, truth, guesses = values(predictions), predictions.truth, predictions.guesses
    present = np.unique(truth)
    assert found["wa"] == pytest.approx(metrics.accuracy_score(truth, guesses))
    recalls = metrics.recall_score(truth, guesses, labels=present, average="macro", zero_division=0)
    assert found["ua"] == pytest.approx(recalls)
    f1 = metrics.f1_score(truth, guesses, labels=present, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(f1)
    assert found["nll"] == pytest.approx(metrics.log_loss(truth, predictions.probabilities, labels=range(4)))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), items=st.integers(2, 40))
def test_a_weight_counts_as_that_many_copies(seed: int, items: int) -> None:
    rng = np.random.default_rng(seed)
    predictions = draw(items, seed=seed)
    weights = rng.integers(0, 4, items)
    if not weights.any():
        weights[0] = 1
    copies = predictions.select(np.repeat(np.arange(items), weights))
    weighted = Statistics(predictions)(weights[None].astype(float))
    for name in ("wa", "ua", "macro_f1", "nll", "brier", "ece_15", "recall_sad"):
        assert weighted[name][0] == pytest.approx(values(copies)[name], nan_ok=True), name


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), items=st.integers(4, 60), clusters=st.integers(2, 6))
def test_every_statistic_lies_in_its_range_and_its_interval_around_the_data(
    seed: int, items: int, clusters: int
) -> None:
    scores = score(draw(items, seed=seed, clusters=clusters), resamples=100, seed=seed)
    for name in ("wa", "ua", "macro_f1", "aurc", "accuracy_at_70", "ece", "ece_15"):
        low, high = scores.intervals[name]
        assert 0 <= scores.values[name] <= 1 + 1e-9
        assert -1e-9 <= low <= high <= 1 + 1e-9
    assert scores.confusion.sum() == items


def test_the_same_seed_gives_the_same_figures() -> None:
    predictions = draw(100, seed=0, clusters=10)
    first, again, other = (score(predictions, resamples=200, seed=seed) for seed in (1, 1, 2))
    assert first.as_json() == again.as_json()
    assert first.intervals != other.intervals
    assert first.values == other.values


def test_clusters_are_drawn_whole() -> None:
    clusters = np.array(["a", "a", "b", "c", "c", "c"])
    for weights in replicates(clusters, resamples=200, seed=0):
        assert (weights[:, 0] == weights[:, 1]).all()
        assert (weights[:, 3] == weights[:, 5]).all()
        assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_source_people_are_drawn_each_by_themselves() -> None:
    clusters = np.array([f"voice:{v} + line:{n} + walk:{w}" for n, (v, w) in enumerate(np.ndindex(3, 4))])
    (weights,) = replicates(clusters, resamples=500, seed=0)
    assert weights.mean() == pytest.approx(1.0, abs=0.1)
    grid = weights.reshape(500, 3, 4)
    one_voice_missing = (grid == 0).all(axis=2).any(axis=1)
    assert 0.5 < one_voice_missing.mean() < 1, "a voice that is not drawn takes all its items along"


def test_people_who_stand_alone_are_scored_beside_people_who_are_combined() -> None:
    clusters = np.array(["a", "a", "b", "c", *(f"{voice} + {walk}" for voice in "de" for walk in "xy")])
    (weights,) = replicates(clusters, resamples=500, seed=0)
    assert (weights[:, :4] @ [0.5, 0.5, 1, 1] <= 5).all(), "as often as they are drawn, whoever else is"
    assert weights.mean(0) == pytest.approx(np.ones(8), abs=0.15)
    alone = draw(8, seed=0)
    scores = score(Predictions(alone.truth, alone.probabilities, clusters), resamples=100)
    assert np.isfinite(scores.intervals["wa"]).all()


def test_fewer_people_give_wider_intervals() -> None:
    rng = np.random.default_rng(0)
    skill = rng.random(10)
    person = np.arange(1000) % 10
    right = rng.random(1000) < skill[person]
    truth = np.zeros(1000, int)
    guesses = np.where(right, 0, 1)
    single = certain(truth.tolist(), guesses.tolist())
    grouped = Predictions(single.truth, single.probabilities, person.astype(str))
    width = {name: np.ptp(score(p, resamples=300).intervals["wa"]) for name, p in (("1", single), ("10", grouped))}
    assert width["10"] > 3 * width["1"]


def test_of_one_person_there_is_no_interval() -> None:
    several = draw(40, seed=0)
    one = Predictions(several.truth, several.probabilities, np.full(40, "a"))
    scores = score(one, resamples=100)
    assert scores.values["ua"] == score(several, resamples=100).values["ua"]
    assert np.isnan(list(scores.intervals.values())).all()
    assert json.loads(json.dumps(scores.as_json(), allow_nan=False))["intervals"]["ua"] == [None, None]
    gap = paired_bootstrap(one, one)
    assert gap.value == 0
    assert np.isnan([gap.low, gap.high, gap.p_value]).all()
    ((value, low, high),) = concordance(np.eye(40)[:, :1], np.eye(40)[:, :1], one.clusters)
    assert value == 1
    assert np.isnan([low, high]).all()
    assert (bracketed(low, high), bracketed(None, None), bracketed(0, 0.5, "+.1f")) == ("[–]", "[–]", "[+0.0, +0.5]")


def test_units_are_the_clusters_or_the_first_sources() -> None:
    found = units(np.array(["b + x", "a + x", "b + y"]))
    assert [(name, rows.tolist()) for name, rows in found] == [("a", [False, True, False]), ("b", [True, False, True])]


def test_paired_bootstrap_finds_a_real_difference_and_no_false_one() -> None:
    better = draw(600, seed=3, clusters=30)
    rng = np.random.default_rng(0)
    shuffled = better.probabilities[rng.permutation(600)]
    worse = Predictions(
        better.truth, np.where(rng.random((600, 1)) < 0.5, shuffled, better.probabilities), better.clusters
    )
    difference = paired_bootstrap(worse, better)
    assert difference.value > 0
    assert difference.low > 0
    assert difference.p_value < 0.01
    same = paired_bootstrap(better, better)
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    back = paired_bootstrap(better, worse)
    assert back.value == pytest.approx(-difference.value)
    with pytest.raises(ValueError, match="same items"):
        paired_bootstrap(better, draw(600, seed=4))


def test_concordance_punishes_shift_and_scale_which_correlation_forgives():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(400, 2))
    clusters = np.repeat([f"p{number}" for number in range(40)], 10)
    shifted = truth * [1.0, 2.0] + [1.0, 0.0]
    (valence, low, high), (arousal, *_) = concordance(truth, shifted, clusters)
    spread = truth.var(axis=0)
    assert valence == pytest.approx(2 * spread[0] / (2 * spread[0] + 1))
    assert low < valence < high
    assert arousal == pytest.approx(4 * spread[1] / (5 * spread[1] + truth[:, 1].mean() ** 2))
    assert concordance(truth, truth, clusters)[0] == pytest.approx((1, 1, 1))


def test_concordance_leaves_out_what_is_not_known():
    truth = np.array([[0.0], [1.0], [np.nan], [2.0]])
    estimate = np.array([[0.0], [1.0], [5.0], [2.0]])
    clusters = np.array(["a", "b", "c", "d"])
    assert concordance(truth, estimate, clusters)[0][0] == pytest.approx(1)
    assert np.isnan(concordance(np.full((4, 1), np.nan), estimate, clusters)[0][0])
