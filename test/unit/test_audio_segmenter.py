from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from clips import noise, recorded, silence, spoken
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.audio.segmenter import Cancelled, Ended, Paused, Segmenter, SegmentEvent, Speech, Started
from mser_ros.audio.vad import FRAME
from mser_ros.settings import SegmenterSettings
from mser_ros.testing import FakeVad
from mser_ros.types import NS_PER_S, SAMPLE_NS, AudioChunk, to_ns
from mser_ros.types import SAMPLE_RATE as RATE

START_NS = 5_000_000_000


def voice(seconds: float) -> np.ndarray:
    """What `FakeVad` takes for a voice, every sample another so that misplaced audio shows."""
    return np.random.default_rng(1).integers(2_000, 30_000, round(seconds * RATE)).astype(np.int16)


def frames(count: int) -> float:
    return count * FRAME / RATE


def run(segmenter: Segmenter, samples: np.ndarray, cuts: list[int] | None = None, *, flush: bool = True):  # type: ignore[no-untyped-def]
    events: list[SegmentEvent] = []
    position = 0
    for piece in np.split(samples, sorted(cuts or [])):
        events += segmenter.push(AudioChunk(piece[:, None], RATE, START_NS + position * SAMPLE_NS, position))
        position += len(piece)
    if flush:
        events += segmenter.flush()
    return events


def of(kind: type, events: list[SegmentEvent]) -> list:  # type: ignore[type-arg]
    return [event for event in events if isinstance(event, kind)]


def test_times_are_those_of_the_newest_chunk() -> None:
    samples = np.concatenate([silence(1), voice(1), silence(1)])
    segmenter, events = Segmenter(vad=FakeVad()), []
    for number, piece in enumerate(np.split(samples, 30)):  # the clock is moved by 1 ms with each chunk of a tenth
        chunk = AudioChunk(piece[:, None], RATE, START_NS + number * to_ns(0.101), number * len(piece))
        events += segmenter.push(chunk)
    started, ended = of(Started, events)[0], of(Ended, events)[0]
    exact = run(Segmenter(vad=FakeVad()), samples)
    assert to_ns(0.010) <= started.start_ns - of(Started, exact)[0].start_ns <= to_ns(0.012)
    assert to_ns(0.024) <= ended.end_ns - of(Ended, exact)[0].end_ns <= to_ns(0.026)


def at(seconds: float) -> int:
    return START_NS + to_ns(seconds)


def check_grammar(events: list[SegmentEvent], samples: np.ndarray) -> None:
    """Started, Speech without a gap and as it was heard, Paused now and then, Ended or Cancelled; segments in order and
    without overlap."""
    start = heard = None
    last_end = START_NS
    for event in events:
        if isinstance(event, Started):
            assert start is None
            assert last_end <= event.start_ns <= event.decided_ns
            start = heard = event.start_ns
        elif isinstance(event, Speech):
            assert start is not None
            assert event.start_ns == heard
            first = (event.start_ns - START_NS) // SAMPLE_NS
            assert np.array_equal(event.samples, samples[first : first + len(event.samples)])
            heard = event.end_ns
        else:
            assert event.start_ns == start
            assert start < event.end_ns <= heard
            if isinstance(event, Ended | Paused):
                assert event.decided_ns == heard
                assert event.end_ns - start == event.samples * SAMPLE_NS
            if isinstance(event, Ended):
                last_end = event.end_ns
            if not isinstance(event, Paused):
                start = None
    assert start is None


def test_times_are_exact_to_the_sample() -> None:
    settings = SegmenterSettings(pre_roll_s=0.2, post_roll_s=0.1, hangover_s=0.5)
    samples = np.concatenate([silence(frames(50)), voice(frames(40)), silence(frames(50))])
    events = run(Segmenter(settings, FakeVad()), samples)
    check_grammar(events, samples)
    assert of(Started, events) == [Started(at(frames(50) - 0.2), at(frames(53)))]
    decided = at(frames(90 + 16))  # 16 frames of 32 ms are the first to last half a second
    length = round(0.3 * RATE) + 40 * FRAME
    assert of(Ended, events) == [Ended(at(frames(50) - 0.2), at(frames(90) + 0.1), decided, length)]
    assert not of(Cancelled, events)


@given(
    layout=st.lists(st.tuples(st.booleans(), st.integers(1, 30_000)), min_size=1, max_size=8),
    cuts=st.lists(st.integers(0, 100_000), max_size=20),
    longest=st.sampled_from([1.0, 2.0, 15.0]),
)
def test_segments_do_not_depend_on_how_the_audio_is_cut(
    layout: list[tuple[bool, int]], cuts: list[int], longest: float
) -> None:
    samples = np.concatenate([(voice if loud else silence)(length / RATE) for loud, length in layout])
    settings = SegmenterSettings(max_speech_s=longest)
    whole = run(Segmenter(settings, FakeVad()), samples)
    pieces = run(Segmenter(settings, FakeVad()), samples, [cut for cut in cuts if cut < len(samples)])
    check_grammar(whole, samples)
    check_grammar(pieces, samples)
    assert len(whole) == len(pieces)
    for one, other in zip(whole, pieces, strict=True):
        if isinstance(one, Speech):
            assert isinstance(other, Speech)
            assert (one.start_ns, one.samples.tobytes()) == (other.start_ns, other.samples.tobytes())
        else:
            assert one == other


def test_a_click_starts_nothing() -> None:
    samples = np.concatenate([silence(frames(20)), voice(frames(2)), silence(frames(40))])
    assert run(Segmenter(None, FakeVad()), samples) == []


def test_too_little_voice_is_cancelled() -> None:
    samples = np.concatenate([silence(frames(20)), voice(frames(5)), silence(frames(40))])
    events = run(Segmenter(SegmenterSettings(min_speech_s=0.25), FakeVad()), samples)
    check_grammar(events, samples)
    assert of(Cancelled, events) == [Cancelled(at(frames(20) - 0.2), at(frames(25 + 16)))]
    assert not of(Ended, events)


def test_a_pause_shorter_than_the_hangover_does_not_end_the_utterance() -> None:
    samples = np.concatenate([voice(frames(20)), silence(frames(15)), voice(frames(20)), silence(frames(30))])
    assert len(of(Ended, run(Segmenter(None, FakeVad()), samples))) == 1


def test_a_pause_is_told_once_and_foretells_the_end() -> None:
    samples = np.concatenate([voice(frames(20)), silence(frames(15)), voice(frames(20)), silence(frames(30))])
    events = run(Segmenter(SegmenterSettings(pause_s=0.16), FakeVad()), samples)
    check_grammar(events, samples)
    first, last = of(Paused, events)
    (ended,) = of(Ended, events)
    assert (first.end_ns, first.decided_ns) == (at(frames(20) + 0.1), at(frames(25)))
    assert (last.end_ns, last.samples) == (ended.end_ns, ended.samples)
    assert last.decided_ns < ended.decided_ns


@pytest.mark.parametrize(
    ("settings", "told_after"),
    [
        (SegmenterSettings(pause_s=0.0), None),  # never
        (SegmenterSettings(pause_s=0.5, hangover_s=0.5), None),  # then it is over
        (SegmenterSettings(pause_s=0.1, post_roll_s=0.3), 10),  # what follows the voice must have been heard
    ],
)
def test_when_a_pause_is_told(settings: SegmenterSettings, told_after: int | None) -> None:
    samples = np.concatenate([voice(frames(20)), silence(frames(30))])
    told = [event.decided_ns for event in of(Paused, run(Segmenter(settings, FakeVad()), samples))]
    assert told == ([] if told_after is None else [at(frames(20 + told_after))])


def test_a_pause_after_too_little_voice_is_not_told() -> None:
    samples = np.concatenate([silence(frames(20)), voice(frames(5)), silence(frames(40))])
    assert not of(Paused, run(Segmenter(SegmenterSettings(min_speech_s=0.25), FakeVad()), samples))


def test_a_longer_pause_ends_it_and_the_next_begins_no_earlier_than_the_last_ended() -> None:
    settings = SegmenterSettings(pre_roll_s=2.0, post_roll_s=0.4)
    samples = np.concatenate([voice(frames(20)), silence(frames(17)), voice(frames(20)), silence(frames(30))])
    events = run(Segmenter(settings, FakeVad()), samples)
    check_grammar(events, samples)
    first, second = of(Ended, events)
    assert first.end_ns == at(frames(20) + 0.4)
    assert second.start_ns == first.end_ns


def test_the_post_roll_never_reaches_beyond_what_was_heard() -> None:
    settings = SegmenterSettings(post_roll_s=2.0, hangover_s=0.1)
    samples = np.concatenate([voice(frames(20)), silence(frames(30))])
    (ended,) = of(Ended, run(Segmenter(settings, FakeVad()), samples))
    assert ended.end_ns == ended.decided_ns


def test_hysteresis_holds_a_voice_that_fades() -> None:
    class Fading:
        """0.6 once, then 0.4: too little to begin with, enough to go on."""

        def __init__(self) -> None:
            self.frame = 0

        def probability(self, frame: np.ndarray) -> float:
            self.frame += 1
            return 0.6 if self.frame == 21 else 0.4 if self.frame > 10 else 0.0

        def reset(self) -> None:
            self.frame = 0

    settings = SegmenterSettings(start_threshold=0.5, end_threshold=0.35)
    events = run(Segmenter(settings, Fading()), silence(frames(60)))
    assert of(Started, events) == [Started(at(frames(20) - 0.2), at(frames(23)))]
    assert of(Ended, events)[0].end_ns == at(frames(60))


def test_a_long_monologue_is_cut_without_losing_a_sample() -> None:
    settings = SegmenterSettings(max_speech_s=3.0)
    samples = np.concatenate([silence(1), voice(10), silence(1)])
    events = run(Segmenter(settings, FakeVad()), samples)
    check_grammar(events, samples)
    ended = of(Ended, events)
    assert len(ended) == 5
    assert all(event.end_ns - event.start_ns <= 3 * NS_PER_S for event in ended)
    assert all(one.end_ns == other.start_ns for one, other in pairwise(ended))


def test_a_monologue_is_cut_where_its_last_third_is_quietest() -> None:
    said = voice(8)
    for begin_s, level in ((0.9, 0.2), (2.2, 0.3), (2.6, 0.6), (4.4, 0.3)):  # of the first one it is too early
        soft = slice(round(begin_s * RATE), round((begin_s + 0.12) * RATE))
        said[soft] = (said[soft] * level).astype(np.int16)
    samples = np.concatenate([silence(1), said, silence(1)])
    events = run(Segmenter(SegmenterSettings(max_speech_s=3.0, pre_roll_s=0.0), FakeVad()), samples)
    check_grammar(events, samples)
    first, second, *rest = of(Ended, events)
    assert (first.end_ns, second.end_ns) == (
        pytest.approx(at(3.26), abs=to_ns(0.04)),
        pytest.approx(at(5.46), abs=to_ns(0.04)),
    )
    assert second.start_ns == first.end_ns
    assert len(rest) == 2
    assert rest[-1].end_ns == pytest.approx(at(9.1), abs=to_ns(0.04))


def test_a_monologue_that_pauses_when_it_must_be_cut_is_cut_there() -> None:
    samples = np.concatenate([silence(1), voice(2.9), silence(0.3), voice(2), silence(1)])
    events = run(Segmenter(SegmenterSettings(max_speech_s=3.0, pre_roll_s=0.0, post_roll_s=0.0), FakeVad()), samples)
    check_grammar(events, samples)
    first, second = of(Ended, events)
    assert first.end_ns == pytest.approx(at(3.9), abs=to_ns(0.04))
    assert second.start_ns == pytest.approx(at(4.2), abs=to_ns(0.04))


def test_a_flush_ends_what_is_open_at_the_very_last_sample() -> None:
    samples = np.concatenate([silence(0.5), voice(1.01)])
    segmenter = Segmenter(SegmenterSettings(post_roll_s=0.0), FakeVad())
    events = run(segmenter, samples)
    check_grammar(events, samples)
    (ended,) = of(Ended, events)
    assert ended.end_ns == ended.decided_ns == START_NS + len(samples) * SAMPLE_NS
    assert list(segmenter.flush()) == []


def test_after_a_flush_the_next_chunk_sets_the_clock_and_the_detector_starts_anew() -> None:
    vad = FakeVad()
    segmenter = Segmenter(None, vad)
    resets = vad.resets
    samples = np.concatenate([silence(0.5), voice(1.0), silence(1.0)])
    first = run(segmenter, samples)
    assert vad.resets == resets + 1
    second = list(segmenter.push(AudioChunk(samples[:, None], RATE, START_NS + NS_PER_S)))
    assert of(Ended, second)[0].start_ns - of(Ended, first)[0].start_ns == NS_PER_S


def test_memory_is_bounded_while_nobody_speaks() -> None:
    segmenter = Segmenter(None, FakeVad())
    run(segmenter, silence(60), list(range(100, 960_000, 100)), flush=False)
    assert sum(len(frame) for frame in segmenter._past) < RATE
    assert sum(len(piece) for piece in segmenter._pending) < FRAME


@pytest.mark.parametrize("say", [spoken, recorded])
def test_real_speech_is_found_where_it_is(say: Callable[[int], np.ndarray]) -> None:
    first, second = say(0), say(1)
    samples = np.concatenate([silence(1.5), first, silence(1.5), second, silence(1.5)])
    samples += noise(len(samples) / RATE, 20)
    events = run(Segmenter(), samples)
    check_grammar(events, samples)
    ended = of(Ended, events)
    assert len(ended) == 2
    starts = [1.5, 3.0 + len(first) / RATE]
    for event, start, clip in zip(ended, starts, (first, second), strict=True):
        assert event.start_ns == pytest.approx(at(start - 0.2), abs=to_ns(0.25))
        assert event.end_ns == pytest.approx(at(start + len(clip) / RATE + 0.1), abs=to_ns(0.35))
