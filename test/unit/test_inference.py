"""The arithmetic of fusion, and graphs that are run as they are asked to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mser_ros.errors import BundleError
from mser_ros.recognition.graph import Graph
from mser_ros.recognition.posteriors import FLOOR, despite_plain_words, log_linear, softmax

PRIOR = np.array([0.4, 0.3, 0.2, 0.1])
logits = arrays(np.float64, 4, elements=st.floats(-50, 50))


@given(logits)
def test_softmax_is_a_posterior_that_does_not_depend_on_an_offset(scores: np.ndarray) -> None:
    posterior = softmax(scores)
    assert posterior.sum() == pytest.approx(1)
    assert np.all(posterior >= 0)
    np.testing.assert_allclose(softmax(scores + 1000), posterior, atol=1e-9)
    assert posterior[np.argmax(scores)] == posterior.max()


def test_softmax_of_huge_scores_does_not_overflow() -> None:
    np.testing.assert_allclose(softmax(np.array([1e30, 0, -1e30], np.float32)), [1, 0, 0])


def test_plain_words_say_little_and_words_of_feeling_what_they_said() -> None:
    """Against the same by Bayes' rule over two ways of speaking."""
    shown = softmax(np.random.default_rng(0).normal(size=(50, 4)) * 3)
    share, neutral = 0.4, 3
    found = despite_plain_words(shown, PRIOR, neutral, share)
    for row, told in zip(shown, found, strict=True):
        likelihood = row / PRIOR
        joint = [PRIOR[k] * ((1 - share) * likelihood[k] + share * likelihood[neutral]) for k in range(3)]
        joint.append(PRIOR[neutral] * likelihood[neutral])
        np.testing.assert_allclose(told, np.array(joint) / sum(joint))
    np.testing.assert_allclose(despite_plain_words(shown, PRIOR, neutral, 0.0), shown)
    plain, angry = np.array([0.01, 0.01, 0.01, 0.97]), np.array([0.97, 0.01, 0.01, 0.01])
    assert despite_plain_words(plain, PRIOR, neutral, share)[neutral] < 0.5
    assert despite_plain_words(angry, PRIOR, neutral, share)[0] > 0.9


def test_log_linear_fusion_of_independent_evidence_is_bayes_rule() -> None:
    likelihoods = {"a": np.array([0.5, 0.2, 0.2, 0.1]), "b": np.array([0.1, 0.6, 0.1, 0.2])}
    posteriors = {name: PRIOR * value / (PRIOR * value).sum() for name, value in likelihoods.items()}
    exact = PRIOR * likelihoods["a"] * likelihoods["b"]
    fused = log_linear(posteriors, {"a": 1.0, "b": 1.0}, PRIOR)
    np.testing.assert_allclose(fused, exact / exact.sum(), rtol=1e-9)


def test_a_modality_of_weight_zero_says_nothing() -> None:
    posteriors = {"a": np.array([0.7, 0.1, 0.1, 0.1]), "b": np.array([0.0, 0.0, 0.0, 1.0])}
    np.testing.assert_allclose(log_linear(posteriors, {"a": 1.0, "b": 0.0}, PRIOR), posteriors["a"])


def test_without_weights_the_prior_is_left() -> None:
    np.testing.assert_allclose(log_linear({"a": np.array([1.0, 0, 0, 0])}, {"a": 0.0}, PRIOR), PRIOR)


def test_one_confident_mistake_does_not_silence_the_others() -> None:
    sure = {"wrong": np.array([1.0, 0.0, 0.0, 0.0])} | {f"right{i}": np.array([0.0, 1.0, 0.0, 0.0]) for i in range(2)}
    fused = log_linear(sure, dict.fromkeys(sure, 1.0), PRIOR)
    assert np.argmax(fused) == 1
    assert np.all(np.isfinite(fused))


def test_temperature_flattens_what_is_fused() -> None:
    posterior = {"a": np.array([0.6, 0.2, 0.1, 0.1])}
    sharp, flat = (log_linear(posterior, {"a": 1.0}, PRIOR, temperature=t) for t in (1.0, 3.0))
    np.testing.assert_allclose(flat, softmax(np.log(sharp) / 3), rtol=1e-9)


def test_rows_of_posteriors_are_fused_row_by_row() -> None:
    rows = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4]])
    together = log_linear({"a": rows, "b": rows[::-1]}, {"a": 0.5, "b": 0.8}, PRIOR)
    apart = [log_linear({"a": rows[i], "b": rows[1 - i]}, {"a": 0.5, "b": 0.8}, PRIOR) for i in range(2)]
    np.testing.assert_allclose(together, apart)


@given(st.lists(logits, min_size=1, max_size=4), st.data())
def test_fusion_is_a_posterior_whatever_goes_in_and_in_whatever_order(scores: list[np.ndarray], data) -> None:
    posteriors = {str(number): softmax(score) for number, score in enumerate(scores)}
    weights = {name: data.draw(st.floats(0, 3)) for name in posteriors}
    order = data.draw(st.permutations(list(posteriors)))
    fused = log_linear(posteriors, weights, PRIOR)
    assert np.all(np.isfinite(fused))
    assert fused.sum() == pytest.approx(1)
    np.testing.assert_allclose(log_linear({name: posteriors[name] for name in order}, weights, PRIOR), fused)


def test_no_probability_below_the_floor_enters_a_logarithm() -> None:
    at_floor = log_linear({"a": np.array([1.0, FLOOR, FLOOR, FLOOR])}, {"a": 1.0}, PRIOR)
    np.testing.assert_allclose(log_linear({"a": np.array([1.0, 0.0, 0.0, 0.0])}, {"a": 1.0}, PRIOR), at_floor)


def test_a_graph_gives_its_outputs_by_name(tiny_bundle: Path) -> None:
    graph = Graph(tiny_bundle / "speech.onnx")
    assert list(graph.inputs) == ["waveform"]
    outputs = graph(waveform=np.full((1, 8), 0.5, np.float32))
    np.testing.assert_allclose(outputs["logits"], [[20, 5, -10, -5]])


def test_a_missing_graph_is_refused_with_the_cure(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="cannot be loaded: export the bundle again"):
        Graph(tiny_bundle / "nowhere.onnx")


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"sound": np.zeros((1, 8), np.float32)},
        {"waveform": np.zeros((1, 8), np.float64)},
        {"waveform": np.zeros((2, 8), np.float32)},
        {"waveform": np.zeros(8, np.float32)},
    ],
    ids=["nothing", "another name", "another type", "another batch", "another rank"],
)
def test_a_graph_that_is_fed_wrongly_says_so_in_one_line(tiny_bundle: Path, feeds: dict[str, np.ndarray]) -> None:
    with pytest.raises(BundleError, match="does not run") as caught:
        Graph(tiny_bundle / "speech.onnx")(**feeds)
    assert "\n" not in str(caught.value)


def test_the_engine_takes_the_threads_it_is_given_and_never_spins(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    seen: list[onnxruntime.SessionOptions] = []
    session = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda path, options, **rest: seen.append(options) or session(path, options)
    )
    Graph(tiny_bundle / "speech.onnx", threads=3)
    assert seen[0].intra_op_num_threads == 3
    assert seen[0].get_session_config_entry("session.intra_op.allow_spinning") == "0"
