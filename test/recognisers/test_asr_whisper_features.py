"""Whisper's features are those that it was trained on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from clips import noise, silence

from mser_ros.asr.whisper_features import log_mel
from mser_ros.mel import mel_filters


def slaney_hertz(mel: float) -> float:
    """By the definition: 15 mels up to 1 kHz, from there 27 mels for a factor of 6.4."""
    return mel * 200 / 3 if mel < 15 else 1000 * math.exp(math.log(6.4) / 27 * (mel - 15))


@pytest.mark.parametrize("mels", [80, 128])
def test_the_filters_are_slaneys(mels: int) -> None:
    """Each rises from the centre of the one before, falls to that of the one behind, and has an area of one."""
    top = 15 + math.log(8000 / 1000) * 27 / math.log(6.4)
    edges = [slaney_hertz(top * number / (mels + 1)) for number in range(mels + 2)]
    found = mel_filters(mels)
    assert found.shape == (mels, 201)
    for number, (low, centre, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for bin_, hertz in enumerate(np.arange(201) * 40.0):
            part = (hertz - low) / (centre - low) if hertz <= centre else (high - hertz) / (high - centre)
            assert found[number, bin_] == pytest.approx(max(0.0, part) * 2 / (high - low), abs=1e-7)


def test_a_frame_is_what_the_definition_gives() -> None:
    """The transform as a sum over samples, for frames at the mirrored beginning, inside, and in the silence behind."""
    samples = noise(0.1, 3000)
    found = log_mel(samples, 60)
    assert (found.shape, found.dtype) == ((80, 60), np.float32)
    wave = np.concatenate([samples[1:201][::-1], samples, np.zeros(16000)]) / 32768
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(201), np.arange(400)) / 400)
    every = np.array([np.abs(turns @ (wave[160 * t : 160 * t + 400] * window)) ** 2 for t in range(60)])
    decades = np.log10(np.maximum(every @ mel_filters(80).T, 1e-10))
    expected = (np.maximum(decades, decades.max() - 8) + 4) / 4
    np.testing.assert_allclose(found, expected.T, atol=1e-4)


@pytest.mark.parametrize("length", [0, 1, 160, 399, 16_001])
def test_silence_behind_a_clip_does_not_depend_on_how_much_is_asked_for(length: int) -> None:
    samples = noise(2.0, 3000)[:length]
    np.testing.assert_allclose(log_mel(samples, 3000)[:, :150], log_mel(samples, 150), atol=1e-6)


def test_silence_has_features() -> None:
    np.testing.assert_allclose(log_mel(silence(1), 100), -1.5, atol=1e-5)


def test_the_features_are_those_of_the_published_code() -> None:
    pytest.importorskip("torch", reason="transformers' audio needs torch: make setup-dev")
    pytest.importorskip("mser_ros.training.models.torchaudio_guard")
    from transformers import WhisperFeatureExtractor

    published = WhisperFeatureExtractor()
    for length in (200, 16_000, 54_321):
        samples = noise(4.0, 3000, seed=length)[:length]
        wave = samples.astype(np.float32) / 32768
        expected = published(wave, sampling_rate=16_000, return_tensors="np")["input_features"][0]
        np.testing.assert_allclose(log_mel(samples, 400), expected[:, :400], atol=1e-4)
