"""Temperatures and fusion weights: what was built in is found again."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is missing: pip install 'mser_ros[train]'")

from mser_ros.evaluation.calibration import fit_fusion, fit_sum, fit_temperature, negative_log_likelihood
from mser_ros.recognition.posteriors import log_linear, softmax

PRIOR = np.full(4, 0.25)


def draw(items: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated logits and the truth drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(items, 4)) * scale
    return logits, (softmax(logits).cumsum(axis=1) < rng.random((items, 1))).sum(axis=1)


def independent(items: int, seed: int, scales: dict[str, float]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Posteriors of modalities that are independent given the class, each exactly calibrated."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, items)
    posteriors = {}
    for name, scale in scales.items():
        seen = rng.normal(size=(items, 4)) + scale * np.eye(4)[truth]
        posteriors[name] = softmax(scale * seen)
    return posteriors, truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_temperature_that_was_built_in_is_found(temperature: float) -> None:
    logits, truth = draw(20_000, seed=0)
    assert fit_temperature(logits * temperature, truth) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_never_makes_held_in_likelihood_worse() -> None:
    for seed in range(5):
        logits, truth = draw(60, seed=seed, scale=3.0)
        before = negative_log_likelihood(softmax(logits), truth)
        assert negative_log_likelihood(softmax(logits / fit_temperature(logits, truth)), truth) <= before + 1e-6


def test_independent_calibrated_modalities_get_weight_one() -> None:
    posteriors, truth = independent(8000, 1, {"speech": 1.2, "text": 0.8, "mocap": 0.5})
    fit = fit_fusion(posteriors, truth, prior=PRIOR)
    assert list(fit.weights.values()) == [pytest.approx(1.0, abs=0.15)] * 3
    assert fit.temperature == pytest.approx(1.0, abs=0.1)


def test_a_modality_said_twice_is_discounted_and_noise_is_ignored() -> None:
    posteriors, truth = independent(8000, 2, {"speech": 1.2})
    rng = np.random.default_rng(0)
    posteriors["text"] = posteriors["speech"]
    twice = fit_fusion(posteriors, truth, prior=PRIOR)
    assert sum(twice.weights.values()) * 1 / twice.temperature == pytest.approx(1.0, abs=0.1)
    posteriors["text"] = softmax(rng.normal(size=(8000, 4)) * 2)
    noise = fit_fusion(posteriors, truth, prior=PRIOR)
    assert noise.weights["text"] < 0.1
    assert noise.weights["speech"] == pytest.approx(1.0, abs=0.1)


def test_missing_modalities_are_left_out_of_the_fit() -> None:
    posteriors, truth = independent(6000, 3, {"speech": 1.2, "text": 0.8})
    holes = posteriors["text"].copy()
    holes[::3] = np.nan
    fit = fit_fusion({"speech": posteriors["speech"], "text": holes}, truth, prior=PRIOR)
    fused = log_linear(posteriors, fit.weights, PRIOR, temperature=fit.temperature)
    assert np.isfinite(list(fit.weights.values())).all()
    assert negative_log_likelihood(fused, truth) < negative_log_likelihood(posteriors["speech"], truth)


def test_one_modality_alone_needs_no_fit() -> None:
    posteriors, truth = independent(10, 4, {"speech": 1.0})
    assert fit_fusion(posteriors, truth, prior=PRIOR).weights == {"speech": 1.0}


def test_the_weights_of_a_sum_are_found_again():
    rng = np.random.default_rng(0)
    terms = rng.normal(scale=2.0, size=(20000, 3, 4))
    wanted = np.array([1.5, 0.0, 0.5])
    posterior = softmax(np.einsum("nkc,k->nc", terms, wanted))
    truth = (posterior.cumsum(axis=1) < rng.random((len(terms), 1))).sum(axis=1)
    np.testing.assert_allclose(fit_sum([(terms, truth)]), wanted, atol=0.05)
    halves = [(terms[:15000], truth[:15000]), (terms[15000:], truth[15000:])]
    np.testing.assert_allclose(fit_sum(halves), wanted, atol=0.08)
