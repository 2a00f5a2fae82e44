"""From audio to utterances: each begins once, ends once, and tells its words and times."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.asr.transcriber import NullTranscriber, Transcriber
from mser_ros.errors import AudioError
from mser_ros.settings import AsrSettings, RobotVoiceSettings, SegmenterSettings, SpeechSettings
from mser_ros.stages.speech import SpeechStage
from mser_ros.testing import FakeTranscriber, FakeVad
from mser_ros.types import NS_PER_S, SAMPLE_NS, AudioChunk, UtteranceEvent, UtteranceState, to_ns
from mser_ros.types import SAMPLE_RATE as RATE

T0 = 1_700_000_000 * NS_PER_S
STARTED, PARTIAL, ENDED, CANCELLED, PAUSED = UtteranceState


def stage(transcriber: Transcriber | None = None, **settings: object) -> SpeechStage:
    return SpeechStage(
        SpeechSettings(**settings),  # type: ignore[arg-type]
        vad=FakeVad(),
        transcriber=transcriber or FakeTranscriber(),
    )


def scene(*lengths_s: float) -> np.ndarray:
    """Silence and voice by turns, silence first: int16, shape (n, 1)."""
    levels = [np.full(round(length * RATE), (number % 2) * 5000) for number, length in enumerate(lengths_s)]
    return np.concatenate(levels).astype(np.int16)[:, np.newaxis]


def chunks(samples: np.ndarray, size: int = 1024, *, start_ns: int = T0, **fields: str) -> list[AudioChunk]:
    firsts = range(0, len(samples), size)
    return [
        AudioChunk(samples[at : at + size], RATE, start_ns + at * SAMPLE_NS, at, **fields)  # type: ignore[arg-type]
        for at in firsts
    ]


def run(stage: SpeechStage, given: Iterable[AudioChunk]) -> tuple[list[AudioChunk], list[UtteranceEvent]]:
    """Everything that comes out, to the end."""
    items = [item for chunk in given for item in stage.push(chunk)] + list(stage.flush())
    return (
        [item for item in items if isinstance(item, AudioChunk)],
        [item for item in items if isinstance(item, UtteranceEvent)],
    )


def test_an_utterance_starts_goes_on_ends_and_ends_with_its_final_words() -> None:
    _, events = run(stage(), chunks(scene(1, 2, 1)))
    assert [event.state for event in events[:2]] == [STARTED, PARTIAL]
    assert {event.state for event in events[1:-2]} == {PARTIAL, PAUSED}
    assert [(event.state, event.transcript.is_final) for event in events[-2:]] == [(ENDED, False), (ENDED, True)]
    assert len({event.utterance_id for event in events}) == 1
    final = events[-1]
    assert final.transcript.text == "word word word word word", "the silence at the end is read as well"
    assert final.transcript.confidence == 0.8
    assert [word.text for word in final.transcript.words] == ["word"] * 5
    assert final.transcript.words[0].start_ns == final.start_ns
    assert all(not event.transcript.is_final for event in events[:-1])
    assert all(event.transcript.language == "en" for event in events)


def test_the_span_is_the_voice_with_its_pre_roll_and_post_roll() -> None:
    _, events = run(stage(), chunks(scene(1, 2, 1)))
    settings = SegmenterSettings()
    # The voice fills the 32 ms frames that it touches.
    assert events[-1].start_ns == pytest.approx(T0 + to_ns(1 - settings.pre_roll_s), abs=to_ns(0.032))
    assert events[-1].end_ns == pytest.approx(T0 + to_ns(3 + settings.post_roll_s), abs=to_ns(0.032))
    assert len({event.start_ns for event in events}) == 1
    assert events[-2].end_ns == events[-1].end_ns
    assert all(event.stamp_ns == event.end_ns for event in events)


def test_news_come_as_soon_as_they_are_known() -> None:
    tested = stage()
    heard_ns: dict[UtteranceState, int] = {}
    for chunk in chunks(scene(1, 2, 1), 512):
        for item in tested.push(chunk):
            if isinstance(item, UtteranceEvent):
                heard_ns.setdefault(item.state, chunk.end_ns)
    settings = SegmenterSettings()
    assert heard_ns[STARTED] - T0 <= to_ns(1 + settings.start_s + 0.064)
    assert heard_ns[ENDED] - T0 <= to_ns(3 + settings.hangover_s + 0.064)


def test_the_audio_goes_on_to_whoever_listens() -> None:
    samples = scene(0.5, 1, 0.5)
    voice, _ = run(stage(), chunks(samples, 700, voice_id="anna", frame_id="mic"))
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in voice]), samples)
    assert {(chunk.voice_id, chunk.frame_id, chunk.sample_rate) for chunk in voice} == {("anna", "mic", RATE)}
    assert voice[0].stamp_ns == T0


def test_while_nobody_speaks_the_audio_comes_in_larger_pieces() -> None:
    tested = stage()
    before, while_open, is_open = 0, 0, False
    for chunk in chunks(scene(2, 2, 2)):
        for item in tested.push(chunk):
            if isinstance(item, UtteranceEvent):
                is_open = item.state not in (ENDED, CANCELLED)
            elif is_open:
                while_open += 1
                assert item.end_ns == chunk.end_ns, "at once"
            else:
                before += 1
                assert chunk.end_ns - item.end_ns <= to_ns(0.2)
    assert before <= 4 / 0.19 + 4
    assert while_open >= 2 / 0.064


def test_when_an_utterance_begins_all_audio_before_it_has_been_passed_on() -> None:
    tested, passed_ns = stage(), 0
    for chunk in chunks(scene(0.9, 1, 1), 300):
        for item in tested.push(chunk):
            if isinstance(item, AudioChunk):
                passed_ns = item.end_ns
            else:
                assert passed_ns == chunk.end_ns
    assert passed_ns


def test_another_microphone_is_no_part_of_the_same_piece() -> None:
    tested = stage()
    given = chunks(scene(0.4), 1000, frame_id="left")
    given[3:] = [replace(chunk, frame_id="right") for chunk in given[3:]]
    voice, _ = run(tested, given)
    assert [sum(item.frames for item in voice if item.frame_id == name) for name in ("left", "right")] == [3000, 3400]


def test_who_is_told_not_to_listen_passes_nothing_on_of_what_was_held() -> None:
    tested = stage()
    assert not list(tested.push(chunks(scene(0.1))[0]))
    assert not list(tested.listen(False))
    assert not list(tested.flush())


def test_audio_and_events_name_the_voice_and_the_microphone() -> None:
    _, events = run(stage(), chunks(scene(1, 1, 1), voice_id="anna", frame_id="mic"))
    assert {(event.voice_id, event.frame_id) for event in events} == {("anna", "mic")}
    voice, events = run(stage(voice_id="somebody"), chunks(scene(1, 1, 1)))
    assert {item.voice_id for item in [*voice, *events]} == {"somebody"}


def test_foreign_audio_is_converted_once() -> None:
    samples = np.repeat(np.repeat(scene(1, 2, 1), 3, axis=0), 2, axis=1)
    given = [
        AudioChunk(samples[at : at + 3000], 48000, T0 + at * NS_PER_S // 48000, at)
        for at in range(0, len(samples), 3000)
    ]
    voice, events = run(stage(), given)
    assert {(chunk.sample_rate, chunk.channels) for chunk in voice} == {(RATE, 1)}
    assert events[-1].end_ns - events[-1].start_ns == pytest.approx(to_ns(2.3), abs=to_ns(0.07))


@given(st.lists(st.integers(30, 5000), min_size=1, max_size=8))
def test_the_events_do_not_depend_on_how_the_audio_is_cut(sizes: list[int]) -> None:
    samples = scene(0.5, 1.2, 0.7, 0.1, 0.7, 0.6, 0.3)
    _, expected = run(stage(), chunks(samples))
    cut, at = [], 0
    while at < len(samples):
        size = sizes[len(cut) % len(sizes)]
        cut.append(AudioChunk(samples[at : at + size], RATE, T0 + at * SAMPLE_NS, at))
        at += size
    assert run(stage(), cut)[1] == expected


def check_lives(events: list[UtteranceEvent]) -> None:
    """Each utterance starts first, ends last and once, and none begins while another is open."""
    lives: dict[str, list[UtteranceEvent]] = defaultdict(list)
    for event in events:
        lives[event.utterance_id].append(event)
    assert events == [event for life in lives.values() for event in life]
    for life in lives.values():
        states = [event.state for event in life]
        assert states[0] is STARTED
        assert states.count(STARTED) == 1
        if states[-1] is CANCELLED:
            assert set(states[1:-1]) <= {PARTIAL, PAUSED}
        else:
            assert states[-2:] == [ENDED, ENDED]
            assert [event.transcript.is_final for event in life] == [False] * (len(life) - 1) + [True]
            assert set(states[1:-2]) <= {PARTIAL, PAUSED}
        assert all(event.start_ns <= event.end_ns for event in life)
        stamps = [event.stamp_ns for event in life if event.state in (STARTED, PARTIAL)]
        assert stamps == sorted(stamps)


@given(
    st.lists(st.floats(0.02, 2), min_size=1, max_size=10),
    st.lists(st.sampled_from(["whole", "lost", "back", "rate", "voice"]), min_size=10, max_size=10),
)
def test_whatever_is_heard_every_utterance_begins_once_and_ends_once(lengths: list[float], faults: list[str]) -> None:
    given: list[AudioChunk] = []
    start_ns = T0
    for number, (length, fault) in enumerate(zip(lengths, faults, strict=False), 1):
        start_ns += {"lost": to_ns(3), "back": -to_ns(5)}.get(fault, 0)
        voice = f"voice{number}" if fault == "voice" else "voice"
        rate = 32000 if fault == "rate" else RATE
        level = (number % 2) * 5000
        block = np.full((round(length * rate), 1), level, np.int16)
        given.append(AudioChunk(block, rate, start_ns, 0, voice))
        start_ns = given[-1].end_ns
    _, events = run(stage(), given)
    check_lives(events)


def test_a_sound_too_short_for_speech_is_cancelled() -> None:
    transcriber = FakeTranscriber()
    _, events = run(stage(transcriber), chunks(scene(1, 0.15, 1)))
    assert [event.state for event in events if event.state is not PARTIAL] == [STARTED, CANCELLED]
    assert transcriber.received == [], "nothing was read"
    assert transcriber.partial().text == "", "and nothing is kept"


def test_a_sound_shorter_than_that_is_not_even_announced() -> None:
    assert run(stage(), chunks(scene(1, 0.03, 1)))[1] == []


def test_utterances_have_names_of_their_own() -> None:
    _, events = run(stage(), chunks(scene(1, 0.5, 1, 0.5, 1, 0.5, 1)))
    assert len({event.utterance_id for event in events}) == 3
    _, again = run(stage(), chunks(scene(1, 0.5, 1), start_ns=T0 + to_ns(60)))
    assert {event.utterance_id for event in again}.isdisjoint(event.utterance_id for event in events)


def test_a_bag_played_in_a_loop_gives_new_names() -> None:
    tested = stage()
    first = [event for chunk in chunks(scene(1, 1, 1)) for event in tested.push(chunk)]
    second = [event for chunk in chunks(scene(1, 1, 1)) for event in tested.push(chunk)]
    names = [{item.utterance_id for item in part if isinstance(item, UtteranceEvent)} for part in (first, second)]
    assert len(names[0]) == len(names[1]) == 1
    assert names[0] != names[1]


def test_a_long_speech_is_cut_and_goes_on_without_a_gap() -> None:
    settings = SegmenterSettings(max_speech_s=1.0)
    _, events = run(stage(segmenter=settings), chunks(scene(0.5, 3.5, 1)))
    finals = [event for event in events if event.state is ENDED and event.transcript.is_final]
    assert len(finals) == 5
    assert all(one.end_ns == other.start_ns for one, other in pairwise(finals))
    check_lives(events)


def test_the_end_of_the_input_ends_an_open_utterance() -> None:
    _, events = run(stage(), chunks(scene(1, 1)))
    assert events[-1].state is ENDED
    assert events[-1].transcript.is_final
    assert events[-1].end_ns == T0 + to_ns(2)


def test_lost_audio_ends_an_utterance_with_what_was_heard() -> None:
    before, after = chunks(scene(0.5, 1)), chunks(scene(0, 1, 1), start_ns=T0 + to_ns(4))
    _, events = run(stage(), [*before, *after])
    finals = [event for event in events if event.transcript.is_final]
    assert len(finals) == 2
    assert finals[0].end_ns == T0 + to_ns(1.5)
    assert finals[1].start_ns == T0 + to_ns(4)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("stamps", [True, False])
@pytest.mark.parametrize("most_s", [0.15, 0.3])
def test_two_utterances_stay_two_however_late_the_blocks_come(counts: bool, stamps: bool, most_s: float) -> None:
    samples = scene(1, 2, 1.5, 2, 1)
    exact = chunks(samples)
    late_ns = np.random.default_rng(2).uniform(0, to_ns(most_s), len(exact)).astype(np.int64)
    tested = stage()
    items: list[AudioChunk | UtteranceEvent] = []
    for chunk, late in zip(exact, late_ns, strict=True):
        first, stamp_ns = chunk.first_sample * counts, (chunk.stamp_ns + int(late)) * stamps
        items += tested.push(replace(chunk, first_sample=first, stamp_ns=stamp_ns), chunk.end_ns + int(late))
    items += tested.flush()
    voice = [item for item in items if isinstance(item, AudioChunk)]
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in voice]), samples)
    events = [item for item in items if isinstance(item, UtteranceEvent)]
    check_lives(events)
    finals = [event for event in events if event.transcript.is_final]
    expected = [event for event in run(stage(), exact)[1] if event.transcript.is_final]
    assert [event.transcript.text for event in finals] == [event.transcript.text for event in expected]
    for event, right in zip(finals, expected, strict=True):
        assert 0 <= event.start_ns - right.start_ns <= to_ns(most_s)
        assert 0 <= event.end_ns - right.end_ns <= to_ns(most_s)


def test_an_utterance_never_ends_before_it_starts_although_the_clock_is_moved_back() -> None:
    tested = stage(segmenter=SegmenterSettings(start_s=0.032, min_speech_s=0.0, pre_roll_s=0.0, post_roll_s=0.0))
    voice, silence = np.full((1024, 1), 5000, np.int16), np.zeros((RATE, 1), np.int16)
    items = [*tested.push(AudioChunk(voice, RATE, 0), T0), *tested.push(AudioChunk(silence, RATE, 0), T0)]
    events = [item for item in [*items, *tested.flush()] if isinstance(item, UtteranceEvent)]
    check_lives(events)
    assert events[-1].end_ns == events[-1].start_ns


def test_a_chunk_that_cannot_be_used_takes_nothing_from_what_was_heard() -> None:
    tested = stage()
    given = chunks(scene(1, 2, 1))
    items = []
    for number, chunk in enumerate(given):
        if number == len(given) // 2:
            with pytest.raises(AudioError):
                list(tested.push(replace(chunk, sample_rate=1)))
        items += list(tested.push(chunk))
    events = [item for item in [*items, *tested.flush()] if isinstance(item, UtteranceEvent)]
    assert events == run(stage(), given)[1]


@pytest.mark.parametrize(("period_s", "count"), [(0.5, 6), (1.0, 3), (0.0, 0)])
def test_provisional_words_come_at_their_period_and_at_first_twice_as_often(period_s: float, count: int) -> None:
    _, events = run(stage(asr=AsrSettings(partial_period_s=period_s)), chunks(scene(0.5, 2, 1)))
    partial = [event for event in events if event.state is PARTIAL]
    assert len(partial) == count
    early_ns = [to_ns(period_s) // (1 + (one.stamp_ns < one.start_ns + to_ns(2 * period_s))) for one in partial]
    assert all(b.stamp_ns - a.stamp_ns >= least for (a, b), least in zip(pairwise(partial), early_ns, strict=False))
    assert all(event.transcript.text == " ".join(["word"] * len(event.transcript.text.split())) for event in partial)


def test_without_a_recogniser_the_end_is_told_once() -> None:
    _, events = run(stage(NullTranscriber()), chunks(scene(1, 1, 1)))
    assert [event.state for event in events if event.state is not PARTIAL] == [STARTED, PAUSED, ENDED]
    assert events[-1].transcript.is_final
    assert all(event.transcript.text == "" for event in events)


def test_each_utterance_is_read_from_its_own_audio_alone() -> None:
    transcriber = FakeTranscriber()
    _, events = run(stage(transcriber), chunks(scene(1, 1, 1, 2, 1)))
    finals = [event for event in events if event.transcript.is_final]
    spans = [(event.end_ns - event.start_ns) // SAMPLE_NS for event in finals]
    hangover = round(SegmenterSettings().hangover_s * RATE)
    assert len(transcriber.received) == 2
    for heard, span in zip(transcriber.received, spans, strict=True):
        assert span <= heard <= span + hangover


class Failing(FakeTranscriber):
    """A transcriber of which one call, named by its method, raises the first time."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self._call = call

    def __getattribute__(self, name: str) -> object:
        if name == "_call" or name != self._call:
            return super().__getattribute__(name)
        self._call = ""

        def fail(*_: object) -> None:
            raise ValueError("injected")

        return fail


@pytest.mark.parametrize("call", ["start", "accept", "partial", "pause", "finish"])
def test_a_recogniser_that_fails_costs_the_words_of_one_utterance_only(call: str) -> None:
    told: list[Exception] = []
    tested = SpeechStage(vad=FakeVad(), transcriber=Failing(call), on_failure=told.append)
    given = chunks(scene(1, 2, 1, 2, 1))
    voice, events = run(tested, given)
    check_lives(events)
    assert sum(chunk.frames for chunk in voice) == sum(chunk.frames for chunk in given), "all is passed on"
    first, second = [event for event in events if event.transcript.is_final]
    assert (first.state, first.transcript.text, first.transcript.language) == (ENDED, "", "en")
    assert second.transcript.text == "word word word word word"
    expected = run(stage(), given)[1]
    told_of, told_else = (
        [(event.state, event.start_ns, event.end_ns) for event in said if event.state is not PAUSED]
        for said in (events, expected)
    )
    assert told_of == told_else
    assert [str(error) for error in told] == ["injected"]
    assert tested.counters["unread"] == 1


def test_a_recogniser_that_fails_to_forget_a_noise_hears_the_next_utterance() -> None:
    told: list[Exception] = []
    tested = SpeechStage(vad=FakeVad(), transcriber=Failing("reset"), on_failure=told.append)
    _, events = run(tested, chunks(scene(1, 0.15, 1, 2, 1)))
    check_lives(events)
    assert [event.state for event in events if event.state is not PARTIAL] == [
        *(STARTED, CANCELLED), *(STARTED, PAUSED, ENDED, ENDED)
    ]  # fmt: skip
    assert events[-1].transcript.text == "word word word word word"
    assert len(told) == 1


def test_where_nobody_is_told_of_a_failing_recogniser_pythons_log_is(caplog: pytest.LogCaptureFixture) -> None:
    run(stage(Failing("finish")), chunks(scene(1, 1, 1)))
    assert "ValueError: injected" in caplog.text


def test_closing_frees_the_recogniser() -> None:
    transcriber = FakeTranscriber()
    stage(transcriber).close()
    assert transcriber.closed


# -- the robot's own voice, and people who do not want to be heard


def halves(given: list[AudioChunk], at_s: float) -> tuple[list[AudioChunk], list[AudioChunk]]:
    first = [chunk for chunk in given if chunk.stamp_ns < T0 + to_ns(at_s)]
    return first, given[len(first) :]


def events_of(items: Iterable[AudioChunk | UtteranceEvent]) -> list[UtteranceEvent]:
    return [item for item in items if isinstance(item, UtteranceEvent)]


def push(tested: SpeechStage, given: Iterable[AudioChunk]) -> list[AudioChunk | UtteranceEvent]:
    return [item for chunk in given for item in tested.push(chunk)]


def test_the_robots_own_voice_is_not_heard_and_what_was_said_before_it_counts() -> None:
    tested = stage(robot=RobotVoiceSettings(tail_s=0.5))
    before, after = halves(chunks(scene(1, 2, 1), 1600), 2)
    push(tested, before)
    (*_, ended) = events_of(tested.robot_speaks(True))
    assert (ended.state, ended.transcript.is_final) == (ENDED, True)
    assert push(tested, after) == []
    assert list(tested.robot_speaks(True)) == [], "told twice"

    assert list(tested.robot_speaks(False)) == []
    later = chunks(scene(0.5, 1, 1), 1600, start_ns=T0 + to_ns(10))
    items = push(tested, later)
    heard = [item for item in items if isinstance(item, AudioChunk)]
    assert heard[0].stamp_ns == T0 + to_ns(10.5), "its voice rings on"
    assert [event.state for event in events_of(items)].count(STARTED) == 1
    assert tested.counters["robot_samples"] == sum(chunk.frames for chunk in after) + RATE // 2


def test_people_may_barge_in_where_the_robot_does_not_hear_itself() -> None:
    given = chunks(scene(1, 2, 1))
    tested = stage(robot=RobotVoiceSettings(barge_in=True))
    assert list(tested.robot_speaks(True)) == []
    _, events = run(tested, given)
    assert [(event.state, event.end_ns) for event in events] == [
        (event.state, event.end_ns) for event in run(stage(), given)[1]
    ]


def test_who_does_not_want_to_be_heard_is_forgotten_at_once() -> None:
    transcriber = FakeTranscriber()
    tested = stage(transcriber)
    before, after = halves(chunks(scene(1, 2, 1)), 2)
    push(tested, before)
    (cancelled,) = events_of(tested.listen(False))
    assert cancelled.state is CANCELLED
    assert cancelled.transcript.text == ""
    assert list(tested.listen(False)) == []
    assert push(tested, after) == []
    assert list(tested.flush()) == []
    assert tested.counters["unheard_samples"] == sum(chunk.frames for chunk in after)

    assert list(tested.listen(True)) == []
    _, again = run(tested, chunks(scene(1, 2, 1), start_ns=T0 + to_ns(60)))
    assert again[-1].state is ENDED
    assert again[-1].start_ns > T0 + to_ns(60), "nothing of what was said before"
    assert again[-1].utterance_id != cancelled.utterance_id
    assert again[-1].transcript.text == "word word word word word"


# -- clipping


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("size_s", [0.01, 0.064, 0.9])
def test_events_tell_the_clipped_share_of_their_span_as_the_source_had_it(rate: int, size_s: float) -> None:
    """Of two utterances the second one is overdriven; neither tells of the other, or of what lies between."""
    time = np.arange(rate) / rate
    tone = np.sin(2 * np.pi * 300 * time)
    loud = np.clip(tone * 1.2, -1, 1)
    share = np.mean(np.abs(loud) >= 1)
    quiet, click = np.zeros(rate), np.ones(rate // 20)
    samples = np.concatenate([quiet, tone * 0.3, quiet, click, quiet, loud, loud, quiet])
    blocks = np.split(
        np.clip(samples * 32768, -32768, 32767).astype(np.int16)[:, None],
        range(0, len(samples), round(size_s * rate))[1:],
    )
    first, given_ = 0, []
    for block in blocks:
        given_.append(AudioChunk(block, rate, T0 + first * NS_PER_S // rate, first))
        first += len(block)
    _, events = run(stage(), given_)
    ends = {event.utterance_id: event for event in events if event.state is ENDED}
    shares = [event.clipped for event in ends.values()]
    spans = [(event.end_ns - event.start_ns) / NS_PER_S for event in ends.values()]
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(2 * share / spans[-1], rel=0.05)
    assert share > 0.3
