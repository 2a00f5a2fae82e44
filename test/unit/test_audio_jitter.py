"""Audio whose blocks come late, from sources that count or not, that stamp or not: what is heard does not change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.audio.stream import AudioStream, Discontinuity
from mser_ros.settings import StreamSettings
from mser_ros.types import NS_PER_S, SAMPLE_NS, AudioChunk, to_ns
from mser_ros.types import SAMPLE_RATE as RATE

T0 = 1_700_000_000 * NS_PER_S
BLOCK = 1024
BLOCK_NS = BLOCK * SAMPLE_NS
MOST_NS = to_ns(0.3)


@dataclass(frozen=True)
class Kind:
    """What a source tells of its blocks."""

    counts: bool
    stamps: bool

    def __str__(self) -> str:
        return f"{'counted' if self.counts else 'uncounted'}-{'stamped' if self.stamps else 'unstamped'}"


KINDS = [Kind(counts, stamps) for counts in (True, False) for stamps in (True, False)]
each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
Pushed = tuple[AudioChunk, int]


def recording(blocks: int) -> np.ndarray:
    return np.random.default_rng(0).integers(-20_000, 20_000, (blocks * BLOCK, 1)).astype(np.int16)


def sent(
    kind: Kind, samples: np.ndarray, late_ns: Iterable[int], *, size: int = BLOCK, start_ns: int = T0
) -> list[Pushed]:
    """Blocks of a source with the times of their arrival. A source that stamps does so as late as a block arrives."""
    pushed = []
    for first, late in zip(range(0, len(samples), size), late_ns, strict=True):
        block = samples[first : first + size]
        true_ns = start_ns + first * SAMPLE_NS
        stamp_ns = true_ns + int(late) if kind.stamps else 0
        chunk = AudioChunk(block, RATE, stamp_ns, first if kind.counts else 0, "v", "mic")
        pushed.append((chunk, true_ns + len(block) * SAMPLE_NS + int(late)))
    return pushed


def in_order(late_ns: Sequence[int], *, size: int = BLOCK) -> list[int]:
    """Lateness of blocks that do not overtake each other."""
    arrivals = np.maximum.accumulate(np.asarray(late_ns, np.int64) + np.arange(len(late_ns)) * size * SAMPLE_NS)
    return [int(late) for late in arrivals - np.arange(len(late_ns)) * size * SAMPLE_NS]


def hear(pushed: Iterable[Pushed], stream: AudioStream | None = None) -> list[list[AudioChunk]]:
    """What comes out, one list for each run between discontinuities, each checked to go on without a gap."""
    stream = stream or AudioStream()
    runs: list[list[AudioChunk]] = [[]]
    for item in [*(item for pair in pushed for item in stream.push(*pair)), *stream.flush()]:
        if isinstance(item, Discontinuity):
            runs.append([])
        else:
            runs[-1].append(item)
    for run in runs:
        for before, after in pairwise(run):
            assert after.first_sample == before.first_sample + before.frames
            assert after.stamp_ns > before.stamp_ns
    return runs


def joined(run: Iterable[AudioChunk]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int16), *(item.samples[:, 0] for item in run)])


def errors_ns(run: Sequence[AudioChunk], *, start_ns: int = T0) -> list[int]:
    """How much later than the truth each chunk of the first run is stamped."""
    return [item.stamp_ns - start_ns - item.first_sample * SAMPLE_NS for item in run]


def assert_unchanged(pushed: list[Pushed], samples: np.ndarray) -> None:
    stream = AudioStream()
    (run,) = hear(pushed, stream)
    assert np.array_equal(joined(run), samples[:, 0])
    counters = stream.counters
    assert (counters.duplicates, counters.lost_samples, counters.discontinuities, counters.clock_steps) == (0, 0, 0, 0)
    assert -SAMPLE_NS <= min(errors_ns(run)) <= max(errors_ns(run)) <= MOST_NS + SAMPLE_NS


lateness = st.lists(st.integers(0, MOST_NS), min_size=40, max_size=40)
coarse_lateness = st.lists(st.sampled_from([0, MOST_NS // 2, MOST_NS]), min_size=40, max_size=40)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.counts or not kind.stamps], ids=str)
@given(late=lateness | coarse_lateness | lateness.map(in_order))
def test_no_jitter_changes_what_is_heard(kind: Kind, late: list[int]) -> None:
    samples = recording(40)
    assert_unchanged(sent(kind, samples, late), samples)


@given(late=lateness | coarse_lateness, on_time=st.integers(0, 7))
def test_without_a_count_jitter_that_passes_changes_nothing(late: list[int], on_time: int) -> None:
    # Stamps are all there is: that blocks stay late for 0.75 s, all by the same, is how a loss looks.
    late[on_time::8] = [0] * len(late[on_time::8])
    samples = recording(40)
    assert_unchanged(sent(Kind(counts=False, stamps=True), samples, late), samples)


@given(
    late=st.lists(st.integers(0, MOST_NS), min_size=12, max_size=12),
    size=st.integers(200, 5000),
    kind=st.sampled_from(KINDS),
)
def test_the_size_of_late_blocks_does_not_matter(late: list[int], size: int, kind: Kind) -> None:
    late[::3] = [0] * 4
    samples = recording(60)[: 12 * size]
    assert_unchanged(sent(kind, samples, late[: -(-len(samples) // size)], size=size), samples)


@each_kind
@pytest.mark.parametrize(("most_s", "size"), [(0.15, 640), (0.3, 1024), (0.3, 3200)])
def test_minutes_of_random_lateness_are_one_run_on_the_right_clock(kind: Kind, most_s: float, size: int) -> None:
    count = 180 * RATE // size
    late = np.random.default_rng(5).uniform(0, to_ns(most_s), count).astype(np.int64)
    silence = np.zeros((count * size, 1), np.int16)
    stream = AudioStream()
    (run,) = hear(sent(kind, silence, late, size=size), stream)
    assert sum(item.frames for item in run) == len(silence)
    assert stream.counters.duplicates == stream.counters.lost_samples == 0
    settled = [error for item, error in zip(run, errors_ns(run), strict=True) if item.first_sample > 6 * RATE]
    assert np.mean(settled) < to_ns(0.03 * most_s * max(1, size / BLOCK) + 0.002)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.stamps], ids=str)
@pytest.mark.parametrize("late_ms", [150, 90, 30])
def test_blocks_without_stamps_that_come_late_are_stamped_by_counting(kind: Kind, late_ms: int) -> None:
    samples = recording(100)
    late = [to_ns(late_ms / 1000) if number % 5 == 2 else 0 for number in range(100)]
    stream = AudioStream()
    (run,) = hear(sent(kind, samples, late), stream)
    assert np.array_equal(joined(run), samples[:, 0])
    assert set(errors_ns(run)) == {0}
    assert stream.counters.unstamped == 100
    assert stream.counters.filled_samples == stream.counters.slewed_ns == 0


@pytest.mark.parametrize(("kind", "most_s", "ppm"), [(KINDS[0], 0.0, 200), (KINDS[-1], 0.1, -200)], ids=str)
def test_an_hour_on_a_clock_that_drifts_is_one_run_and_stays_right(kind: Kind, most_s: float, ppm: int) -> None:
    block = np.zeros((1600, 1), np.int16)
    stream = AudioStream()
    rng = np.random.default_rng(1)
    worst_ns = 0
    for number in range(36_000):
        # The source's second is longer by `ppm` than a second of the clock that stamps.
        true_ns = T0 + round(number * 100_000_000 * (1 + ppm * 1e-6))
        late_ns = int(rng.uniform(0, most_s) * NS_PER_S) if number else 0
        chunk = AudioChunk(block, RATE, true_ns + late_ns if kind.stamps else 0, number * 1600 if kind.counts else 0)
        for item in stream.push(chunk, true_ns + late_ns + 100_000_000):
            assert isinstance(item, AudioChunk)
            heard_ns = T0 + round(item.first_sample * SAMPLE_NS * (1 + ppm * 1e-6))
            worst_ns = max(worst_ns, abs(item.stamp_ns - heard_ns))
    counters = stream.counters
    assert (counters.discontinuities, counters.lost_samples, counters.duplicates) == (0, 0, 0)
    assert counters.slewed_ns == pytest.approx(ppm * 3600 * 1000, abs=to_ns(0.02))
    assert worst_ns < to_ns(0.02)


def late_by(seed: int, count: int, most_s: float) -> list[int]:
    late = np.random.default_rng(seed).uniform(0, to_ns(most_s), count).astype(np.int64)
    late[0] = 0
    return [int(value) for value in late]


@pytest.mark.parametrize("stamps", [True, False])
@pytest.mark.parametrize("lost", [1, 3])
def test_a_counted_loss_becomes_silence_in_its_place_however_late_the_blocks(stamps: bool, lost: int) -> None:
    samples = recording(100)
    pushed = sent(Kind(counts=True, stamps=stamps), samples, late_by(2, 100, 0.3))
    expected = samples[:, 0].copy()
    expected[50 * BLOCK : (50 + lost) * BLOCK] = 0
    stream = AudioStream()
    (run,) = hear(pushed[:50] + pushed[50 + lost :], stream)
    assert np.array_equal(joined(run), expected)
    assert stream.counters.lost_samples == stream.counters.filled_samples == lost * BLOCK


@pytest.mark.parametrize("stamps", [True, False])
def test_a_long_counted_loss_is_seen_at_once_and_told_by_the_count(stamps: bool) -> None:
    samples = recording(200)
    late = late_by(2, 200, 0.3)
    late[130] = MOST_NS  # the first block after the loss
    pushed = sent(Kind(counts=True, stamps=stamps), samples, late)
    stream = AudioStream()
    out = [stream.push(*pair) for pair in pushed[:100] + pushed[130:]]
    assert [number for number, items in enumerate(out) if any(isinstance(i, Discontinuity) for i in items)] == [100]
    after = out[100][-1]
    assert isinstance(after, AudioChunk)
    assert after.first_sample == 130 * BLOCK
    assert abs(errors_ns([after])[0]) < to_ns(0.03), "it is not later for a block that is"
    assert stream.counters.lost_samples == 30 * BLOCK


@pytest.mark.parametrize("most_s", [0.0, 0.01, 0.05, 0.15, 0.3])
@pytest.mark.parametrize("stamps", [True, False])
def test_without_a_count_a_long_loss_shows_in_the_times(stamps: bool, most_s: float) -> None:
    samples = recording(200)
    pushed = sent(Kind(counts=False, stamps=stamps), samples, late_by(4, 200, most_s))
    stream = AudioStream()
    runs = hear(pushed[:100] + pushed[120:], stream)
    assert len(runs) == 2
    kept = np.concatenate([samples[: 100 * BLOCK, 0], samples[120 * BLOCK :, 0]])
    assert np.array_equal(np.concatenate([joined(run) for run in runs]), kept), "no audio is dropped"
    cut = len(joined(runs[0]))
    assert cut >= 100 * BLOCK
    assert cut == 100 * BLOCK or most_s > 0.05
    assert stream.counters.lost_samples == pytest.approx(20 * BLOCK, abs=most_s * RATE + 1)
    end_ns = runs[1][-1].stamp_ns + runs[1][-1].frames * SAMPLE_NS
    assert end_ns - (T0 + 200 * BLOCK_NS) == pytest.approx(0, abs=to_ns(0.05 + most_s / 2))


@pytest.mark.parametrize("lost", [2, 3])
def test_a_loss_that_only_good_stamps_show_becomes_silence_in_its_place(lost: int) -> None:
    samples = recording(60)
    pushed = sent(Kind(counts=False, stamps=True), samples, late_by(3, 60, 0.005))
    expected = samples[:, 0].copy()
    expected[30 * BLOCK : (30 + lost) * BLOCK] = 0
    (run,) = hear(pushed[:30] + pushed[30 + lost :])
    got = joined(run)
    assert len(got) == pytest.approx(len(expected), abs=0.005 * RATE)
    head = 30 * BLOCK
    assert np.array_equal(got[:head], expected[:head])
    assert np.array_equal(got[-27 * BLOCK :], expected[-27 * BLOCK :])


def test_a_loss_too_small_to_be_told_from_jitter_is_made_up_for_slowly() -> None:
    samples = recording(300)
    pushed = sent(Kind(counts=False, stamps=True), samples, [0] * 300)
    stream = AudioStream()
    (run,) = hear(pushed[:100] + pushed[101:], stream)
    assert len(joined(run)) == 299 * BLOCK
    assert run[-1].stamp_ns == T0 + 299 * BLOCK_NS
    assert stream.counters.slewed_ns == BLOCK_NS


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.stamps], ids=str)
def test_a_source_that_pauses_starts_a_new_run(kind: Kind) -> None:
    samples = recording(80)
    pushed = sent(kind, samples, [0] * 40 + [to_ns(3)] * 40)
    stream = AudioStream()
    before, after = hear(pushed, stream)
    assert np.array_equal(joined(before), samples[: 40 * BLOCK, 0])
    assert np.array_equal(joined(after), samples[40 * BLOCK :, 0])
    assert after[0].stamp_ns == T0 + 40 * BLOCK_NS + to_ns(3)
    assert stream.counters.clock_steps == kind.counts


@each_kind
@pytest.mark.parametrize("size", [160, 1024, 8000])
@pytest.mark.parametrize("stall_s", [0.45, 1.0, 4.0])
def test_blocks_that_were_held_up_and_come_all_at_once_change_nothing(kind: Kind, size: int, stall_s: float) -> None:
    count = 20 * RATE // size
    samples = recording(320)[: count * size]
    # Nothing is delivered from 8 s on, then all of it in a moment.
    late = [0] * count
    late[8 * RATE // size] = to_ns(stall_s)
    pushed = sent(kind, samples, in_order(late, size=size), size=size)
    stream = AudioStream()
    (run,) = hear(pushed, stream)
    assert np.array_equal(joined(run), samples[:, 0])
    assert set(errors_ns(run)) == {0}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.stamps], ids=str)
def test_a_queue_that_had_filled_before_the_first_block_was_taken_sets_the_clock_right_soon(kind: Kind) -> None:
    samples = recording(320)
    late = [0] * 320
    late[0] = to_ns(2.0)
    (run,) = hear(sent(kind, samples, in_order(late)))
    assert np.array_equal(joined(run), samples[:, 0])
    errors = errors_ns(run)
    assert errors[0] == to_ns(2.0)
    assert all(error == 0 for item, error in zip(run, errors, strict=True) if item.first_sample > 10 * RATE)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.stamps], ids=str)
@pytest.mark.parametrize("speed", [1.2, 2.0, 1e9])
def test_audio_without_stamps_that_comes_faster_than_it_was_spoken_is_not_cut(kind: Kind, speed: float) -> None:
    samples = recording(300)
    pushed = [(chunk, T0 + round((arrival_ns - T0) / speed)) for chunk, arrival_ns in sent(kind, samples, [0] * 300)]
    (run,) = hear(pushed)
    assert np.array_equal(joined(run), samples[:, 0])


def test_without_stamps_repeated_and_swapped_blocks_are_known_by_their_count() -> None:
    samples = recording(40)
    pushed = sent(Kind(counts=True, stamps=False), samples, late_by(8, 40, 0.1))
    pushed[20], pushed[21] = pushed[21], pushed[20]
    expected = samples[:, 0].copy()
    expected[20 * BLOCK : 21 * BLOCK] = 0
    stream = AudioStream()
    twice = [pair for number, pair in enumerate(pushed) for pair in [pair] * (2 if number > 1 else 1)]
    (run,) = hear(twice, stream)
    assert np.array_equal(joined(run), expected)
    assert stream.counters.duplicates == 38 + 1


def test_a_source_without_stamps_that_counts_anew_goes_on() -> None:
    samples = recording(80)
    pushed = sent(Kind(counts=True, stamps=False), samples, late_by(9, 80, 0.1))
    anew = [(replace(chunk, first_sample=chunk.first_sample - 40 * BLOCK), at_ns) for chunk, at_ns in pushed[40:]]
    (run,) = hear(pushed[:40] + anew)
    assert np.array_equal(joined(run), samples[:, 0])
    # The first block after that is lost as well.
    stream = AudioStream()
    runs = hear(pushed[:40] + anew[1:], stream)
    assert np.array_equal(np.concatenate([joined(run) for run in runs])[-39 * BLOCK :], samples[41 * BLOCK :, 0])


def test_a_number_that_is_no_count_of_samples_costs_no_audio() -> None:
    samples = recording(40)
    pushed = sent(Kind(counts=False, stamps=True), samples, [0] * 40)
    numbered = [(replace(chunk, first_sample=number), at_ns) for number, (chunk, at_ns) in enumerate(pushed)]
    (run,) = hear(numbered)
    assert np.array_equal(joined(run), samples[:, 0])


def test_stamps_of_a_coarse_clock_cost_no_audio() -> None:
    samples = recording(80)
    tick_ns = to_ns(0.1)
    pushed = [
        (replace(chunk, stamp_ns=-(-chunk.stamp_ns // tick_ns) * tick_ns), at_ns)
        for chunk, at_ns in sent(Kind(counts=False, stamps=True), samples, [0] * 80)
    ]
    (run,) = hear(pushed)
    assert np.array_equal(joined(run), samples[:, 0])


@each_kind
def test_an_unstamped_bag_that_is_played_again_is_heard_again(kind: Kind) -> None:
    samples = recording(60)
    pushed = sent(kind, samples, late_by(6, 60, 0.1))
    first, second = hear(pushed + pushed)
    assert np.array_equal(joined(first), samples[:, 0])
    assert np.array_equal(joined(second), samples[:, 0])
    assert second[0].stamp_ns == first[0].stamp_ns


@pytest.mark.parametrize("step_s", [-0.3, 0.3])
def test_a_small_step_of_the_clock_is_followed_without_a_cut(step_s: float) -> None:
    samples = recording(300)
    pushed = sent(Kind(counts=True, stamps=True), samples, [0] * 80 + [to_ns(step_s)] * 220)
    stream = AudioStream()
    (run,) = hear(pushed, stream)
    assert np.array_equal(joined(run), samples[:, 0])
    assert errors_ns(run)[-1] == to_ns(step_s) == stream.counters.slewed_ns


@pytest.mark.parametrize(
    ("kind", "step_s"), [*((kind, 2.0) for kind in KINDS), *((kind, -0.9) for kind in KINDS if kind.stamps)], ids=str
)
def test_a_large_step_of_the_clock_is_followed_at_once(kind: Kind, step_s: float) -> None:
    samples = recording(80)
    pushed = sent(
        kind, samples, [late + (number >= 40) * to_ns(step_s) for number, late in enumerate(late_by(1, 80, 0.1))]
    )
    stream = AudioStream()
    runs = hear(pushed, stream)
    assert len(runs) == 2
    assert np.array_equal(np.concatenate([joined(run) for run in runs]), samples[:, 0])
    assert len(joined(runs[0])) == 40 * BLOCK
    assert abs(runs[1][0].stamp_ns - (T0 + 40 * BLOCK_NS + to_ns(step_s))) < to_ns(0.05)


def test_what_is_jitter_is_a_setting() -> None:
    samples = recording(60)
    pushed = sent(Kind(counts=True, stamps=True), samples, [0] * 30 + [to_ns(0.3)] * 30)
    assert len(hear(pushed)) == 1
    assert len(hear(pushed, AudioStream(StreamSettings(stamp_tolerance_s=0.2)))) == 2


def test_nothing_is_held_when_the_audio_ends() -> None:
    samples = recording(12)
    for kind in KINDS:
        for late_s in (0.2, 0.39, 2.0):
            runs = hear(sent(kind, samples, [0] * 11 + [to_ns(late_s)]))
            assert np.array_equal(np.concatenate([joined(run) for run in runs]), samples[:, 0])


@given(st.data())
def test_whatever_comes_no_audio_is_lost_and_times_go_on(data: st.DataObject) -> None:
    """Of sources that repeat nothing, every sample that was pushed comes out once, in order."""
    stream = AudioStream(StreamSettings(fill_s=0.0))
    kind = data.draw(st.sampled_from(KINDS))
    samples = recording(40)
    pushed, now_ns, first = [], T0, 0
    for number in range(40):
        now_ns += BLOCK_NS + data.draw(st.sampled_from([0, 0, 0, 0, 0, 1, 70, 250, 800, 5000])) * 1_000_000
        first += BLOCK if number else 0
        chunk = AudioChunk(
            samples[number * BLOCK :][:BLOCK], RATE, now_ns if kind.stamps else 0, first if kind.counts else 0
        )
        pushed.append((chunk, now_ns + BLOCK_NS))
    assert np.array_equal(np.concatenate([joined(run) for run in hear(pushed, stream)]), samples[:, 0])
