from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.audio.crossing import Crossing
from mser_ros.audio.stream import AudioStream, Discontinuity
from mser_ros.errors import AudioError
from mser_ros.settings import StreamSettings
from mser_ros.types import NS_PER_S, SAMPLE_NS, AudioChunk
from mser_ros.types import SAMPLE_RATE as RATE

START_NS = 1_700_000_000_000_000_000
BLOCK = 1024


def recording(seconds: float = 1.0, *, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).integers(-20_000, 20_000, (round(seconds * rate), channels))
    return samples.astype(np.int16)


def blocks(samples: np.ndarray, *, rate: int = RATE, size: int = BLOCK, start_ns: int = START_NS) -> list[AudioChunk]:
    return [
        AudioChunk(samples[first : first + size], rate, start_ns + first * NS_PER_S // rate, first, "v", "mic")
        for first in range(0, len(samples), size)
    ]


def heard(stream: AudioStream, chunks: Iterable[AudioChunk], *, exact: bool = True) -> list[list[AudioChunk]]:
    """What comes out, one list for each run between discontinuities. `exact`: the clock is not moved within a run."""
    runs: list[list[AudioChunk]] = [[]]
    for item in [*(item for chunk in chunks for item in stream.push(chunk)), *stream.flush()]:
        if isinstance(item, Discontinuity):
            runs.append([])
        else:
            runs[-1].append(item)
    for run in runs:
        position = 0
        for item in run:
            if exact:
                assert item.stamp_ns == run[0].stamp_ns + position * SAMPLE_NS
            assert item.first_sample == run[0].first_sample + position
            assert item.sample_rate == RATE
            assert item.samples.dtype == np.int16
            assert item.channels == 1
            position += item.frames
    return runs


def joined(run: list[AudioChunk]) -> np.ndarray:
    return np.concatenate([item.samples[:, 0] for item in run]) if run else np.zeros(0, np.int16)


def only(runs: list[list[AudioChunk]]) -> np.ndarray:
    assert len(runs) == 1, "the audio has no hole"
    return joined(runs[0])


def without_index(chunks: list[AudioChunk]) -> list[AudioChunk]:
    return [replace(chunk, first_sample=0) for chunk in chunks]


def test_audio_of_the_right_kind_passes_unchanged() -> None:
    samples = recording()
    stream = AudioStream()
    runs = heard(stream, blocks(samples))
    assert np.array_equal(only(runs), samples[:, 0])
    assert runs[0][0].stamp_ns == START_NS
    assert (runs[0][0].voice_id, runs[0][0].frame_id) == ("v", "mic")
    counters = stream.counters
    assert (counters.received, counters.lost_samples, counters.discontinuities) == (16, 0, 0)


@given(
    rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]),
    channels=st.integers(1, 3),
    size=st.integers(1, 5_000),
)
def test_the_result_does_not_depend_on_the_size_of_blocks(rate: int, channels: int, size: int) -> None:
    samples = recording(0.3, rate=rate, channels=channels)[: 500 * size]  # of tiny blocks not too many
    whole = only(heard(AudioStream(), blocks(samples, rate=rate, size=len(samples))))
    assert np.array_equal(only(heard(AudioStream(), blocks(samples, rate=rate, size=size))), whole)
    assert len(whole) == pytest.approx(len(samples) * RATE / rate, abs=1)


@given(jitter=st.lists(st.integers(-90_000_000, 90_000_000), min_size=16, max_size=16))
def test_jitter_of_stamps_does_not_reach_the_output(jitter: list[int]) -> None:
    samples = recording()
    chunks = [
        replace(chunk, stamp_ns=chunk.stamp_ns + (late if number else 0))
        for number, (chunk, late) in enumerate(zip(blocks(samples), jitter, strict=True))
    ]
    runs = heard(AudioStream(), chunks, exact=False)
    assert np.array_equal(only(runs), samples[:, 0])
    assert runs[0][0].stamp_ns == START_NS


@pytest.mark.parametrize("indexed", [True, False])
def test_repeated_blocks_are_dropped(indexed: bool) -> None:
    samples = recording()
    chunks = blocks(samples) if indexed else without_index(blocks(samples))
    stream = AudioStream()
    assert np.array_equal(only(heard(stream, [copy for chunk in chunks for copy in (chunk, chunk)])), samples[:, 0])
    assert stream.counters.duplicates == 16


def test_a_late_block_is_dropped_and_its_place_is_silent() -> None:
    samples = recording()
    chunks = blocks(samples)
    chunks[5], chunks[6] = chunks[6], chunks[5]
    expected = samples[:, 0].copy()
    expected[5 * BLOCK : 6 * BLOCK] = 0
    stream = AudioStream()
    assert np.array_equal(only(heard(stream, chunks)), expected)
    assert (stream.counters.duplicates, stream.counters.filled_samples) == (1, BLOCK)


def test_a_late_block_of_a_source_that_never_counts_is_dropped() -> None:
    samples = recording()
    chunks = without_index(blocks(samples))
    chunks[5], chunks[6] = chunks[6], chunks[5]
    stream = AudioStream()
    expected = np.delete(samples[:, 0], slice(5 * BLOCK, 6 * BLOCK))
    assert np.array_equal(only(heard(stream, chunks)), expected)
    assert stream.counters.duplicates == 1


def test_what_two_blocks_share_is_heard_once() -> None:
    samples = recording()
    chunks = blocks(samples)
    first = 5 * BLOCK - 300
    chunks[5] = AudioChunk(
        samples[first : 6 * BLOCK], RATE, START_NS + first * SAMPLE_NS, first, voice_id="v", frame_id="mic"
    )
    stream = AudioStream()
    assert np.array_equal(only(heard(stream, chunks)), samples[:, 0])
    assert stream.counters.duplicates == 1


@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_short_loss_becomes_silence_of_the_same_length(rate: int, indexed: bool) -> None:
    size = rate * 128 // 1000
    samples = recording(1.28, rate=rate)
    chunks = blocks(samples, rate=rate, size=size)
    if not indexed:
        chunks = without_index(chunks)
    silent = samples.copy()
    silent[3 * size : 4 * size] = 0
    expected = only(heard(AudioStream(), blocks(silent, rate=rate, size=size)))
    stream = AudioStream()
    assert np.array_equal(only(heard(stream, chunks[:3] + chunks[4:])), expected)
    assert stream.counters.filled_samples == stream.counters.lost_samples == size


@pytest.mark.parametrize(
    ("indexed", "stamped", "wanted", "lost"),
    [
        (True, True, True, 24_000),
        (True, False, True, 24_000),
        (True, True, False, 0),  # nobody listened
        (False, True, True, 0),  # a source that does not count may have rested
    ],
)
def test_what_a_source_that_counts_sent_while_it_seemed_to_rest_is_lost(
    indexed: bool, stamped: bool, wanted: bool, lost: int
) -> None:
    """Audio that stops is flushed; a piece of a bag may be missing."""
    chunks = [chunk if indexed else replace(chunk, first_sample=0) for chunk in blocks(recording(5.0))]
    stream = AudioStream()
    first = [*range(15), *range(15 + 24_000 // BLOCK, len(chunks))]
    for number in first:
        chunk = chunks[number]
        if number == first[15]:
            stream.flush()
            if not wanted:
                stream.skip()
        stream.push(chunk if stamped else replace(chunk, stamp_ns=0), arrival_ns=chunk.end_ns)
    assert stream.counters.lost_samples == lost // BLOCK * BLOCK
    assert stream.counters.discontinuities == (lost > 0)


@pytest.mark.parametrize("indexed", [True, False])
def test_a_long_loss_is_a_discontinuity_and_nothing_around_it_is_lost(indexed: bool) -> None:
    samples = recording(2.0, rate=48_000)
    chunks = blocks(samples, rate=48_000, size=4800)
    if not indexed:
        chunks = without_index(chunks)
    stream = AudioStream()
    before, after = heard(stream, chunks[:5] + chunks[10:])
    assert np.array_equal(joined(before), only(heard(AudioStream(), chunks[:5])))
    assert np.array_equal(joined(after), only(heard(AudioStream(), chunks[10:])))
    assert after[0].stamp_ns == chunks[10].stamp_ns
    assert after[0].first_sample == RATE, "the running index shows what is missing"
    assert (stream.counters.lost_samples, stream.counters.filled_samples) == (24_000, 0)
    assert stream.counters.discontinuities == 1


def test_how_much_is_filled_is_a_setting() -> None:
    chunks = blocks(recording())
    lossy = chunks[:5] + chunks[6:]
    assert len(heard(AudioStream(StreamSettings(fill_s=0.0)), lossy)) == 2
    assert len(heard(AudioStream(StreamSettings(fill_s=0.064)), lossy)) == 1


def test_a_source_that_never_counts_is_ordered_by_its_stamps() -> None:
    samples = recording()
    stream = AudioStream()
    assert np.array_equal(only(heard(stream, without_index(blocks(samples)))), samples[:, 0])
    assert stream.counters.discontinuities == stream.counters.duplicates == 0


def test_a_source_that_stamps_every_block_alike_is_ordered_by_its_count() -> None:
    samples = recording(3.0)
    chunks = [replace(chunk, stamp_ns=0) for chunk in blocks(samples)]
    runs = heard(AudioStream(), chunks)
    assert np.array_equal(only(runs), samples[:, 0])
    assert runs[0][-1].stamp_ns == chunks[-1].first_sample * SAMPLE_NS


def test_a_source_that_counts_anew_while_its_clock_goes_on_is_one_run() -> None:
    samples = recording()
    chunks = blocks(samples)
    restarted = [replace(chunk, first_sample=chunk.first_sample - chunks[8].first_sample) for chunk in chunks[8:]]
    assert np.array_equal(only(heard(AudioStream(), chunks[:8] + restarted)), samples[:, 0])


@pytest.mark.parametrize("shift_s", [-30.0, -0.5, 0.5, 3600.0])
def test_a_clock_that_jumps_starts_a_new_run_without_losing_audio(shift_s: float) -> None:
    samples = recording()
    chunks = blocks(samples)
    moved = [replace(chunk, stamp_ns=chunk.stamp_ns + round(shift_s * NS_PER_S)) for chunk in chunks[8:]]
    stream = AudioStream()
    before, after = heard(stream, chunks[:8] + moved)
    assert np.array_equal(np.concatenate([joined(before), joined(after)]), samples[:, 0])
    assert after[0].stamp_ns == moved[0].stamp_ns
    assert stream.counters.lost_samples == 0


@pytest.mark.parametrize(
    ("shift_s", "indexed"),
    # Two seconds back, of a source that does not count, may as well be a new run, which must not wait.
    [(-2.0, True), *((shift_s, indexed) for shift_s in (-0.9, 0.9, 2.0) for indexed in (True, False))],
)
def test_one_stamp_that_is_wrong_changes_nothing(shift_s: float, indexed: bool) -> None:
    """A driver's clock hiccups."""
    samples = recording(15.0)
    chunks = blocks(samples) if indexed else without_index(blocks(samples))
    chunks[40] = replace(chunks[40], stamp_ns=chunks[40].stamp_ns + round(shift_s * NS_PER_S))
    stream = AudioStream()
    assert np.array_equal(only(heard(stream, chunks)), samples[:, 0])
    assert (stream.counters.lost_samples, stream.counters.clock_steps) == (0, 0)


def test_a_clock_that_is_set_for_the_first_time_has_lost_nothing() -> None:
    """A computer without a battery gets the time by the network, decades later; its microphone stamps nothing."""
    samples = recording(3.0)
    chunks = [replace(chunk, stamp_ns=0, first_sample=0) for chunk in blocks(samples)]
    stream = AudioStream()
    found: list[AudioChunk] = []
    for number, chunk in enumerate(chunks):
        arrival_ns = (number + 1) * BLOCK * SAMPLE_NS + (START_NS if number > 20 else 0)
        found += [item for item in stream.push(chunk, arrival_ns) if isinstance(item, AudioChunk)]
    found += [item for item in stream.flush() if isinstance(item, AudioChunk)]
    assert np.array_equal(joined(found), samples[:, 0])
    assert stream.counters.lost_samples == 0


def test_a_bag_that_is_played_again_is_heard_again() -> None:
    samples = recording(3.0)
    chunks = blocks(samples)
    first, second = heard(AudioStream(), chunks + chunks)
    assert np.array_equal(joined(first), samples[:, 0])
    assert np.array_equal(joined(second), samples[:, 0])
    assert second[0].stamp_ns == START_NS


def test_a_count_that_leaps_while_the_clock_does_not_loses_nothing() -> None:
    samples = recording()
    chunks = blocks(samples)
    leapt = [replace(chunk, first_sample=chunk.first_sample + 2**60) for chunk in chunks[8:]]
    stream = AudioStream()
    before, after = heard(stream, chunks[:8] + leapt)
    assert np.array_equal(np.concatenate([joined(before), joined(after)]), samples[:, 0])
    assert after[0].first_sample == 8 * BLOCK
    assert stream.counters.lost_samples == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda chunk: replace(chunk, sample_rate=48_000),
        lambda chunk: replace(chunk, samples=np.repeat(chunk.samples, 2, axis=1)),
        lambda chunk: replace(chunk, voice_id="another"),
    ],
    ids=["rate", "channels", "voice"],
)
def test_a_change_of_format_or_voice_starts_a_new_run(change) -> None:  # type: ignore[no-untyped-def]
    chunks = blocks(recording())
    before, after = heard(AudioStream(), [*chunks[:8], change(chunks[8])])
    assert len(joined(before)) == 8 * BLOCK
    assert after[0].stamp_ns == chunks[8].stamp_ns
    assert after[0].voice_id == change(chunks[8]).voice_id


def test_an_empty_block_changes_nothing() -> None:
    samples = recording()
    chunks = blocks(samples)
    empty = AudioChunk(np.zeros((0, 1), np.int16), RATE, 0, 10**9)
    stream = AudioStream()
    assert np.array_equal(only(heard(stream, [empty, *chunks[:5], empty, *chunks[5:]])), samples[:, 0])
    assert stream.counters.empty == 2


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        ({"sample_rate": 0}, "true rate"),
        ({"sample_rate": 400_000}, "true rate"),
        ({"samples": np.zeros(10, np.int16)}, "frames, channels"),
        ({"samples": np.zeros((10, 0), np.int16)}, "frames, channels"),
        ({"samples": np.zeros((10, 1), np.float32)}, "give int16"),
        ({"first_sample": -1}, "from 0"),
    ],
)
def test_a_block_that_cannot_be_used_is_refused_and_the_stream_goes_on(change: dict[str, object], cure: str) -> None:
    samples = recording()
    chunks = blocks(samples)
    stream = AudioStream()
    head = [item for chunk in chunks[:5] for item in stream.push(chunk)]
    with pytest.raises(AudioError, match=cure) as caught:
        stream.push(replace(chunks[5], **change))
    assert "\n" not in str(caught.value)
    tail = [item for chunk in chunks[5:] for item in stream.push(chunk)]
    assert np.array_equal(joined(head + tail), samples[:, 0])  # type: ignore[operator, arg-type]
    assert (stream.counters.rejected, stream.counters.received) == (1, 17)


@given(kept=st.lists(st.sampled_from([0, 1, 1, 1, 2]), min_size=40, max_size=40))
def test_whatever_is_lost_or_repeated_every_sample_keeps_its_time(kept: list[int]) -> None:
    samples = recording(40 * BLOCK / RATE)
    chunks = [copy for chunk, times in zip(blocks(samples), kept, strict=True) for copy in [chunk] * times]
    for run in heard(AudioStream(), chunks):
        for item in run:
            first = (item.stamp_ns - START_NS) // SAMPLE_NS
            source = samples[first : first + item.frames, 0]
            assert np.all((item.samples[:, 0] == source) | (item.samples[:, 0] == 0))


def test_of_two_voices_at_the_same_time_the_first_is_heard_and_both_are_named() -> None:
    stream = AudioStream()
    heard, refused = [], 0
    for number in range(40):
        for voice in ("anna", "ben"):
            samples = np.full((1024, 1), 7 if voice == "anna" else 9, np.int16)
            stamp_ns = NS_PER_S + 64_000_000 * number
            try:
                heard += stream.push(AudioChunk(samples, RATE, stamp_ns, 1024 * number, voice))
            except AudioError as error:
                refused += 1
                assert "'anna' and 'ben' come at the same time on one topic" in str(error)  # noqa: PT017
    assert refused == 40 == stream.counters.rejected
    assert {chunk.voice_id for chunk in heard if isinstance(chunk, AudioChunk)} == {"anna"}
    assert stream.counters.discontinuities == 0


def test_voices_that_speak_in_turn_are_both_heard() -> None:
    stream = AudioStream()
    heard = []
    for number in range(40):
        voice = "anna" if number % 20 < 10 else "ben"
        stamp_ns = NS_PER_S + 64_000_000 * number - 20_000_000 * (voice == "ben")  # its source is a little early
        heard += stream.push(AudioChunk(np.ones((1024, 1), np.int16), RATE, stamp_ns, 1024 * number, voice))
    assert [chunk.voice_id for chunk in heard if isinstance(chunk, AudioChunk)].count("ben") == 20


@pytest.mark.parametrize(
    ("sizes", "burst"), [((1024, 1024), 1), ((1024, 1024), 3), ((160, 1024), 1), ((1024, 8000), 1)]
)
@pytest.mark.parametrize("ahead", [0, 200, 10**6])
def test_two_sources_that_count_are_known_by_their_counts(sizes: tuple[int, int], burst: int, ahead: int) -> None:
    """Whatever the lengths of their blocks, and however far apart they count."""
    chunks = [
        (replace(chunk, first_sample=chunk.first_sample + number * ahead), at // (burst * max(sizes)), number)
        for number, size in enumerate(sizes)
        for at, chunk in zip(range(0, 80_000, size), blocks(recording(5), size=size), strict=True)
    ]
    crossing = Crossing()
    for chunk, _, _ in sorted(chunks, key=lambda item: item[1:]):
        crossing.note(chunk)
    assert crossing.is_crossed


def test_one_source_is_one_though_it_begins_anew_loses_blocks_or_has_two_swapped() -> None:
    chunks = blocks(recording(5))
    first, again = chunks[:30], [replace(chunk, stamp_ns=chunk.stamp_ns + 5 * NS_PER_S) for chunk in chunks]
    again[3], again[4] = again[4], again[3]
    del again[20:25], again[40]
    crossing = Crossing()
    for chunk in [*first, *again]:
        crossing.note(chunk)
        assert not crossing.is_crossed
