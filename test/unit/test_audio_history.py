"""The newest audio of a voice: cut out to the sample, bounded in memory, safe when a clock is set back."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.audio.history import AudioHistory
from mser_ros.types import NS_PER_S, SAMPLE_NS, AudioChunk, to_ns
from mser_ros.types import SAMPLE_RATE as RATE

T0 = 1_700_000_000 * NS_PER_S


def chunk(first: int, count: int, *, start_ns: int = T0) -> AudioChunk:
    """Samples that tell their place: sample n of the stream has the value n modulo 30000."""
    samples = (np.arange(first, first + count) % 30_000).astype(np.int16)[:, np.newaxis]
    return AudioChunk(samples, RATE, start_ns + first * SAMPLE_NS, first)


def fill(history: AudioHistory, cuts: list[int], *, start_ns: int = T0) -> None:
    for first, last in pairwise(cuts):
        history.push(chunk(first, last - first, start_ns=start_ns))


def heard(history: AudioHistory, first: int, last: int) -> list[int]:
    cut = history.cut(T0 + first * SAMPLE_NS, T0 + last * SAMPLE_NS)
    return [] if cut is None else [round(value * 32768) for value in cut.samples]


def test_nothing_is_there_before_the_first_chunk() -> None:
    history = AudioHistory(10)
    assert history.newest_ns is None
    assert history.cut(T0, T0 + NS_PER_S) is None


@given(
    st.lists(st.integers(0, 2000), min_size=2, max_size=12, unique=True).map(sorted),
    st.integers(-100, 2100),
    st.integers(-100, 2100),
)
def test_a_cut_is_exact_to_the_sample_however_the_audio_came(cuts: list[int], first: int, last: int) -> None:
    history = AudioHistory(10)
    fill(history, cuts)
    there = range(max(first, cuts[0]), min(last, cuts[-1]))
    assert heard(history, first, last) == list(there)
    assert history.newest_ns == T0 + cuts[-1] * SAMPLE_NS


def test_a_cut_is_float_audio_at_the_rate_of_the_chunks() -> None:
    history = AudioHistory(10)
    history.push(AudioChunk(np.array([[-32768], [16384]], np.int16), RATE, T0))
    cut = history.cut(T0, T0 + NS_PER_S)
    assert cut is not None
    assert cut.sample_rate == RATE
    assert cut.samples.dtype == np.float32
    np.testing.assert_array_equal(cut.samples, [-1.0, 0.5])


def test_what_was_lost_is_left_out() -> None:
    history = AudioHistory(10)
    history.push(chunk(0, 100))
    history.push(chunk(300, 100))
    assert heard(history, 50, 350) == [*range(50, 100), *range(300, 350)]
    assert heard(history, 100, 300) == []


def test_audio_older_than_the_history_is_forgotten() -> None:
    history = AudioHistory(1.0)
    fill(history, list(range(0, 10 * RATE + 1, 1000)))
    assert heard(history, 0, 9 * RATE - 1000) == []
    assert len(heard(history, 9 * RATE, 10 * RATE)) == RATE


@pytest.mark.parametrize("step_ns", [64_000_000, 1, 0, -1, -NS_PER_S], ids=str)
def test_memory_is_bounded_whatever_the_stamps(step_ns: int) -> None:
    history = AudioHistory(1.0)
    start_ns = T0 if step_ns >= 0 else T0 - 100_000 * step_ns
    for number in range(2000):
        history.push(AudioChunk(np.zeros((1024, 1), np.int16), RATE, start_ns + number * step_ns, 0))
    held = history.cut(0, 2 * start_ns)
    assert held is not None
    assert len(held.samples) <= 2 * RATE


def test_a_clock_that_was_set_back_takes_nothing_from_before_its_new_time() -> None:
    history = AudioHistory(10)
    fill(history, [0, 4000, 8000])
    history.push(chunk(0, 1000, start_ns=T0 + 6000 * SAMPLE_NS))
    assert heard(history, 0, 8000) == [*range(6000), *range(1000)]
    assert history.newest_ns == T0 + 7000 * SAMPLE_NS


def test_a_clock_that_is_moved_back_slowly_takes_nothing_away() -> None:
    history = AudioHistory(10)
    for number in range(10):  # each chunk begins a quarter of its length before the last one ends
        history.push(replace(chunk(number * 1000, 1000), stamp_ns=T0 + number * 750 * SAMPLE_NS))
    assert heard(history, 0, 10_000) == list(range(10_000))
    assert history.newest_ns == T0 + (9 * 750 + 1000) * SAMPLE_NS


def test_a_bag_that_starts_again_is_heard_anew() -> None:
    history = AudioHistory(10)
    fill(history, [0, 4000, 8000])
    history.push(AudioChunk(np.full((4000, 1), 7, np.int16), RATE, T0))
    assert heard(history, 0, 8000) == [7] * 4000


def test_a_clock_that_jumps_ahead_forgets_the_past() -> None:
    history = AudioHistory(10)
    fill(history, [0, 4000])
    history.push(chunk(0, 1000, start_ns=T0 + to_ns(3600)))
    assert heard(history, 0, 4000) == []
