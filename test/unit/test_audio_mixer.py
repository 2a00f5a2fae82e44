"""From several channels to one: nothing that is said gets lost by the way."""

from __future__ import annotations

import numpy as np
import pytest
from clips import demo_sentences
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.audio.mixer import ChannelMixer, Conditioner
from mser_ros.audio.stream import AudioStream
from mser_ros.audio.waveform import clipped_share, to_float
from mser_ros.types import NS_PER_S, AudioChunk
from mser_ros.types import SAMPLE_RATE as RATE


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return demo_sentences()[4][0].astype(np.float64)


def mixed(*channels: np.ndarray, rate: int = RATE) -> tuple[np.ndarray, ChannelMixer]:
    mixer = ChannelMixer(len(channels), rate)
    samples = np.clip(np.rint(np.stack(channels, 1)), -32_768, 32_767).astype(np.int16)
    return mixer.push(samples), mixer


def power(samples: np.ndarray) -> float:
    return float(np.square(samples[RATE // 2 :]).mean())  # once it knows


def noise(like: np.ndarray, level: float) -> np.ndarray:
    return np.random.default_rng(2).normal(0, level, like.shape)


def test_one_channel_is_left_as_it_is(voice: np.ndarray) -> None:
    out, mixer = mixed(voice)
    np.testing.assert_array_equal(out, to_float(voice.astype(np.int16)))
    assert (mixer.inverted, mixer.left_out) == (0, 0)


def test_like_channels_become_their_mean(voice: np.ndarray) -> None:
    out, mixer = mixed(voice + noise(voice, 30), voice * 0.5)
    expected = (voice + noise(voice, 30) + voice * 0.5) / 2 / 32_768
    np.testing.assert_allclose(out, expected, atol=1 / 32_768)
    assert (mixer.inverted, mixer.left_out) == (0, 0)


@pytest.mark.parametrize("offset", [0, 1_500])
def test_channels_of_opposite_phase_do_not_cancel_each_other(voice: np.ndarray, offset: int) -> None:
    out, mixer = mixed(voice + noise(voice, 20) + offset, -0.8 * voice + offset)
    assert mixer.inverted == 1
    assert power(out - out.mean()) == pytest.approx(power(0.9 * voice / 32_768), rel=0.15)


def test_a_silent_channel_makes_the_other_no_softer(voice: np.ndarray) -> None:
    out, mixer = mixed(noise(voice, 3), voice)
    assert (mixer.inverted, mixer.left_out) == (0, 1)
    assert power(out) == pytest.approx(power(voice / 32_768), rel=0.05)


def test_where_one_channel_is_clipped_the_good_one_is_taken(voice: np.ndarray) -> None:
    out, mixer = mixed(40 * voice, voice)
    assert mixer.left_out == 1
    assert clipped_share(out[RATE // 2 :]) == 0
    assert power(out) == pytest.approx(power(voice / 32_768), rel=0.05)


def test_clipping_stays_visible_where_there_is_no_good_channel(voice: np.ndarray) -> None:
    alone, _ = mixed(40 * voice)
    for other in (np.zeros_like(voice), 40 * voice):
        out, _ = mixed(40 * voice, other)
        assert clipped_share(out[RATE // 2 :]) == pytest.approx(clipped_share(alone[RATE // 2 :]), rel=0.05)


@pytest.mark.parametrize("hertz", [40, 50, 60])
@pytest.mark.parametrize("level", [2_000, 20_000])
def test_a_channel_that_hums_is_left_out_where_there_is_a_good_one(voice: np.ndarray, hertz: int, level: int) -> None:
    """A cable that nobody is at the other end of, or the bass of a film with six channels."""
    hum = level * np.sin(2 * np.pi * hertz * np.arange(len(voice)) / RATE)
    out, mixer = mixed(hum, voice)
    assert mixer.left_out == 1
    assert power(out) == pytest.approx(power(to_float(voice.astype(np.int16))), rel=0.05)
    out, mixer = mixed(voice / 3, voice / 3, voice, hum, voice / 5, voice / 5)
    assert mixer.left_out == 1
    alone = power(to_float((voice * (1 + 2 / 3 + 2 / 5) / 5).astype(np.int16)))
    assert power(out) == pytest.approx(alone, rel=0.05), "the mean of the others"


def test_hum_is_no_reason_where_nothing_else_is_heard(voice: np.ndarray) -> None:
    hum = 20_000 * np.sin(2 * np.pi * 50 * np.arange(len(voice)) / RATE)
    out, alone = mixed(hum + voice, np.zeros_like(voice))[0], mixed(hum + voice)[0]
    np.testing.assert_allclose(out[RATE:], alone[RATE:], atol=1e-4)  # once it knows


def test_silence_in_all_channels_is_silence() -> None:
    out, mixer = mixed(np.zeros(RATE), np.zeros(RATE), np.zeros(RATE))
    assert not out.any()
    assert (mixer.inverted, mixer.left_out) == (0, 0)


@given(
    cuts=st.lists(st.integers(0, RATE), max_size=20),
    rate=st.sampled_from([8_000, 16_000, 44_100]),
    seed=st.integers(0, 9),
)
def test_the_mixture_does_not_depend_on_how_the_audio_is_cut(cuts: list[int], rate: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 3_000, RATE) * (np.arange(RATE) % 8_000 < 5_000)
    channels = [shared, -shared + rng.normal(0, 100, shared.shape), rng.normal(0, 50, shared.shape)]
    samples = np.clip(np.stack(channels, 1), -32_768, 32_767).astype(np.int16)
    whole = ChannelMixer(3, rate).push(samples)
    mixer = ChannelMixer(3, rate)
    pieces = np.concatenate([mixer.push(piece) for piece in np.split(samples, sorted(cuts))])
    np.testing.assert_allclose(pieces, whole, atol=1e-7)


def test_the_stream_counts_what_was_turned_round_and_left_out(voice: np.ndarray) -> None:
    stream = AudioStream()
    samples = np.stack([voice, -voice, np.zeros_like(voice)], 1).astype(np.int16)
    for first in range(0, len(samples), 1024):
        stream.push(AudioChunk(samples[first : first + 1024], RATE, NS_PER_S + first * NS_PER_S // RATE, first))
    assert stream.counters.inverted_samples > len(samples) / 2
    assert stream.counters.left_out_samples > len(samples) / 2


# -- clipped samples, counted where they are


def overdriven(rate: int, share: float) -> np.ndarray:
    """Two seconds of a tone, of which that share lies at full scale: int16 (n,)."""
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)
    gain = 1 / np.quantile(np.abs(tone), 1 - share)
    return np.clip(np.rint(tone * gain * 32767), -32768, 32767).astype(np.int16)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_the_clipped_share_is_that_of_the_source_at_any_rate(rate: int) -> None:
    """Resampling rounds the flat tops off: hardly any sample of what comes out lies at full scale."""
    samples = overdriven(rate, 0.2)
    conditioner = Conditioner(1, rate)
    (first, told_first), (last, told_last) = conditioner.push(samples[:, None]), conditioner.end()
    told = np.concatenate([told_first, told_last])
    assert len(told) == len(first) + len(last) == pytest.approx(2 * RATE, abs=1)
    assert told.mean() == pytest.approx(np.mean(np.abs(samples.astype(int)) >= 32767), abs=0.01)
    assert told.mean() == pytest.approx(0.2, abs=0.02)


def test_clipped_samples_are_told_at_their_time() -> None:
    samples = np.zeros(48_000, np.int16)
    samples[24_000:24_030] = 32767
    conditioner = Conditioner(1, 48_000)
    told = np.concatenate([conditioner.push(samples[:, None])[1], conditioner.end()[1]])
    assert np.flatnonzero(told).tolist() == list(range(8_000, 8_010))
    assert (told[8_000:8_010] == 1).all()


@given(
    rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]),
    cuts=st.lists(st.integers(0, 12_000), max_size=8),
    channels=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_what_is_told_of_clipping_does_not_depend_on_how_the_input_is_cut(
    rate: int, cuts: list[int], channels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    samples = np.clip(rng.normal(scale=20_000, size=(12_000, channels)), -32768, 32767).astype(np.int16)
    found = []
    for pieces in ([samples], np.split(samples, sorted(cuts))):
        conditioner = Conditioner(channels, rate)
        shares = [conditioner.push(piece)[1] for piece in pieces]
        found.append(np.concatenate([*shares, conditioner.end()[1]]))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(("other", "expected"), [("silent", 0.2), ("clean", 0.0), ("clipped", 0.2)])
def test_a_clipped_channel_counts_as_far_as_it_is_mixed_in(other: str, expected: float) -> None:
    loud = overdriven(RATE, 0.2)
    beside = {"silent": loud * 0, "clean": loud // 2, "clipped": loud}[other]
    _, clipped = Conditioner(2, RATE).push(np.stack([loud, beside], axis=1))
    assert clipped[RATE // 2 :].mean() == pytest.approx(expected, abs=0.02)
