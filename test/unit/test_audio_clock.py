"""The clock of counted samples: as good as the best of the stamps, never backwards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.audio.clock import SampleClock
from mser_ros.types import NS_PER_S, to_ns

RATE = 16_000
BLOCK = 1024
BLOCK_NS = BLOCK * NS_PER_S // RATE
T0 = 1_700_000_000 * NS_PER_S


def errors_ns(clock: SampleClock, late_ns: list[int] | np.ndarray, *, ppm: float = 0.0) -> list[int]:
    """How far the clock is ahead of the truth after each block. `late_ns`: of their stamps. `ppm`: of drift."""
    errors = []
    for number, late in enumerate(late_ns):
        true_ns = T0 + round(number * BLOCK_NS * (1 + ppm * 1e-6))
        clock.follow(true_ns + int(late), number * BLOCK, BLOCK)
        errors.append(clock.time_ns(number * BLOCK) - true_ns)
    return errors


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 96_000])
def test_stamps_that_are_right_to_the_sample_leave_it_alone(rate: int) -> None:
    clock = SampleClock(rate, T0)
    for number in range(1000):
        wobble_ns = (-1) ** number * 30_000
        assert clock.follow(T0 + number * 500 * NS_PER_S // rate + wobble_ns, number * 500, 500) == 0
    assert clock.time_ns(rate) == T0 + NS_PER_S


def test_a_first_block_that_came_late_is_forgotten_within_a_second() -> None:
    errors = errors_ns(SampleClock(RATE, T0 + to_ns(0.15)), [to_ns(0.15)] + [0] * 15)
    assert errors[0] == to_ns(0.15)
    assert errors[-1] == 0


def test_lateness_that_passes_is_not_followed() -> None:
    late = [0] * 20 + [to_ns(0.3)] * 50 + [0] * 100
    assert set(errors_ns(SampleClock(RATE, T0), late)) == {0}


def test_lateness_that_lasts_is_followed_in_the_end() -> None:
    errors = errors_ns(SampleClock(RATE, T0), [to_ns(0.3)] * 200)
    assert errors[0] == 0
    assert errors[-1] == to_ns(0.3)


@pytest.mark.parametrize("ppm", [-1000, -200, 200, 1000])
def test_drift_is_followed_closely(ppm: float) -> None:
    errors = errors_ns(SampleClock(RATE, T0), [0] * 20_000, ppm=ppm)
    assert max(abs(error) for error in errors) < 11e-6 * abs(ppm) * NS_PER_S


@pytest.mark.parametrize("most_s", [0.05, 0.15, 0.3])
@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_of_jitter_the_least_lateness_counts(most_s: float, ppm: float) -> None:
    late = np.random.default_rng(3).uniform(0, to_ns(most_s), 20_000)
    errors = np.array(errors_ns(SampleClock(RATE, T0 + int(late[0])), late, ppm=ppm))[160:]
    assert np.abs(errors).max() < to_ns(0.02 + 0.15 * most_s)
    assert np.abs(errors).mean() < to_ns(0.002 + 0.02 * most_s)


@given(st.lists(st.integers(-to_ns(1000), to_ns(1000)), max_size=50), st.lists(st.integers(1, 100_000), min_size=1))
def test_it_never_goes_back_and_never_runs_at_less_than_three_quarters_of_its_speed(
    wild_ns: list[int], sizes: list[int]
) -> None:
    clock, sample, before_ns = SampleClock(RATE, T0), 0, T0
    for number, stray_ns in enumerate(wild_ns):
        frames = sizes[number % len(sizes)]
        moved_ns = clock.follow(T0 + stray_ns, sample, frames)
        assert 4 * abs(moved_ns) <= clock.duration_ns(frames)
        sample += frames
        assert clock.time_ns(sample) - before_ns >= 3 * clock.duration_ns(frames) // 4
        before_ns = clock.time_ns(sample)
