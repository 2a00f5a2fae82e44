"""From utterances, audio and skeletons to estimates: one last word for each utterance, whatever comes when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from fakes_bundle import write_tiny_bundle
from heard_and_seen import T0, body, voice
from hypothesis import given, settings
from hypothesis import strategies as st

from mser_ros.errors import AudioError, BundleError, SkeletonError
from mser_ros.labels import LABELS, UNKNOWN
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.readers import Reading
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import BODY_CHOICES, EmotionSettings, MocapSettings
from mser_ros.stages.emotion import EmotionStage
from mser_ros.stages.identities import Identities, Kind, Match
from mser_ros.stages.state import EmotionStates
from mser_ros.types import (
    NS_PER_S,
    AbstainReason,
    AudioChunk,
    EmotionEstimate,
    EstimateState,
    SkeletonFrame,
    Transcript,
    Utterance,
    UtteranceEvent,
    UtteranceState,
    to_ns,
)

STARTED, PARTIAL, ENDED, CANCELLED, PAUSED = UtteranceState
PROVISIONAL, FINAL, RETRACTED, CONTINUOUS = EstimateState
Data = AudioChunk | SkeletonFrame | UtteranceEvent


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> EmotionRecognizer:
    return EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("tiny"))))


@dataclass
class Robot:
    """A stage with a clock of its own, and everything it said."""

    recognizer: EmotionRecognizer
    settings: EmotionSettings = field(default_factory=EmotionSettings)
    now_ns: int = T0
    said: list[EmotionEstimate] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recognizer.settings = self.settings
        self.stage = EmotionStage(self.recognizer, clock=lambda: self.now_ns)

    def give(self, *items: Data) -> list[EmotionEstimate]:
        """What the stage says to these."""
        return self._note(estimate for item in items for estimate in push(self.stage, item))

    def wait(self, seconds: float) -> list[EmotionEstimate]:
        """What the stage says when so much time has passed and nothing came."""
        self.now_ns += to_ns(seconds)
        return self._note(self.stage.tick())

    def flush(self) -> list[EmotionEstimate]:
        return self._note(self.stage.flush())

    def _note(self, estimates: Iterable[EmotionEstimate]) -> list[EmotionEstimate]:
        news = list(estimates)
        self.said += news
        return news


def push(stage: EmotionStage, item: Data) -> Iterator[EmotionEstimate]:
    if isinstance(item, AudioChunk):
        return stage.push_audio(item)
    return stage.push_event(item) if isinstance(item, UtteranceEvent) else stage.push_skeleton(item)


@pytest.fixture
def robot(recognizer: EmotionRecognizer) -> Robot:
    return Robot(recognizer)


def said(text: str, *, final: bool) -> Transcript:
    return Transcript(text, 0.9 if final else None, language="en", is_final=final)


@dataclass(frozen=True)
class Life:
    """The events of one utterance between two times after T0."""

    name: str
    begin_s: float
    end_s: float
    voice_id: str = "anna"
    text: str = "happy happy"

    def event(self, state: UtteranceState, end_s: float, transcript: Transcript) -> UtteranceEvent:
        end_ns = T0 + to_ns(end_s)
        start_ns = T0 + to_ns(self.begin_s)
        return UtteranceEvent(self.name, state, end_ns, start_ns, end_ns, transcript, self.voice_id, "mic")

    @property
    def started(self) -> UtteranceEvent:
        return self.event(STARTED, self.begin_s + 0.3, said("", final=False))

    def partial(self, at_s: float, text: str = "happy") -> UtteranceEvent:
        return self.event(PARTIAL, at_s, said(text, final=False))

    @property
    def ended(self) -> UtteranceEvent:
        return self.event(ENDED, self.end_s, said("happy", final=False))

    @property
    def final(self) -> UtteranceEvent:
        return self.event(ENDED, self.end_s, said(self.text, final=True))

    @property
    def cancelled(self) -> UtteranceEvent:
        return self.event(CANCELLED, self.end_s, said("", final=False))


U = Life("u", 1.0, 3.0)


def check_lives(said: Sequence[EmotionEstimate], names: Iterable[str]) -> None:
    """Exactly one FINAL or RETRACTED for each name, and nothing after it; stamps do not go back. CONTINUOUS ones name
    none."""
    last: Counter[str] = Counter()
    stamps: dict[str, int] = {}
    for estimate in said:
        assert (estimate.state is CONTINUOUS) == (estimate.utterance_id == "")
        if estimate.state is CONTINUOUS:
            assert estimate.label != UNKNOWN
            continue
        assert estimate.stamp_ns >= max(estimate.speech_end_ns, stamps.get(estimate.utterance_id, 0))
        stamps[estimate.utterance_id] = estimate.stamp_ns
        assert last[estimate.utterance_id] == 0, f"{estimate.state.name} after the last word"
        last[estimate.utterance_id] += estimate.state in (FINAL, RETRACTED)
    assert last == Counter(dict.fromkeys(names, 1))


def agree(one: EmotionEstimate, other: EmotionEstimate) -> bool:
    """The same estimate, down to every field but the latency and the stamp, which is that of its last provisional one
    where that is later."""
    plain = [replace(item, probabilities=np.zeros(0), evidence=(), stamp_ns=0) for item in (one, other)]
    fields = [
        [getattr(item, name) for name in type(item).__dataclass_fields__ if name != "probabilities"] for item in plain
    ]
    evidence = [
        [(item.modality, item.available, item.age_s, item.weight) for item in estimate.evidence]
        for estimate in (one, other)
    ]
    return (
        fields[0] == fields[1] and evidence[0] == evidence[1] and np.array_equal(one.probabilities, other.probabilities)
    )


# -- without an utterance, and in the midst of a long one


def continuous(robot: Robot) -> list[EmotionEstimate]:
    return [estimate for estimate in robot.said if estimate.state is CONTINUOUS]


def test_a_body_of_whom_nothing_is_said_is_judged_now_and_then(robot: Robot) -> None:
    robot.give(*body(0, 16))
    assert [estimate.stamp_ns for estimate in continuous(robot)] == [T0 + to_ns(at_s) for at_s in (5, 10, 15)]
    assert robot.stage.counters.continuous == 3
    first = continuous(robot)[0]
    assert [(item.modality, item.available) for item in first.evidence] == [
        ("speech", False),
        ("text", False),
        ("mocap", True),
    ]
    assert (first.body_id, first.voice_id, first.transcript, first.utterance_id) == ("b", "", "", "")
    assert first.label != UNKNOWN
    assert (first.speech_start_ns, first.speech_end_ns) == (T0 + to_ns(1), T0 + to_ns(5)), "what was looked at"


def test_who_speaks_is_judged_with_what_is_said_and_not_for_the_body_alone(robot: Robot) -> None:
    life = Life("long", 4.0, 9.5)
    robot.give(*body(0, 4.5), life.started, *voice(0, 9.6), *body(4.5, 12), life.ended, life.final)
    robot.give(*body(12, 17))
    alone = [estimate for estimate in continuous(robot) if not estimate.voice_id]
    assert [estimate.stamp_ns for estimate in alone] == [T0 + to_ns(15)], "not during the speech, nor soon after it"


def test_a_speech_that_goes_on_is_judged_by_its_last_seconds(robot: Robot) -> None:
    life = Life("long", 0.5, 14.5)
    robot.give(life.started)
    for begin_s in range(14):
        robot.give(*body(begin_s, begin_s + 1), *voice(begin_s, begin_s + 1))
    news = [estimate for estimate in continuous(robot) if estimate.voice_id]
    assert [estimate.stamp_ns for estimate in news] == [T0 + to_ns(at_s) for at_s in (5.5, 10.5)]
    assert [(item.modality, item.available) for item in news[0].evidence] == [
        ("speech", True),
        ("text", False),
        ("mocap", True),
    ]
    assert (news[1].speech_start_ns, news[1].voice_id) == (T0 + to_ns(5.5), "anna")
    robot.give(*voice(14, 16), *body(14, 16), life.ended, life.final)
    check_lives(robot.said, ["long"])


def test_what_is_seen_before_the_clock_is_set_back_does_not_keep_from_judging_it_again(robot: Robot) -> None:
    robot.give(*body(0, 11), *body(-200, -189))
    assert len(continuous(robot)) == 4


def test_a_body_is_judged_in_each_round_of_a_short_bag_and_once_at_a_time(robot: Robot) -> None:
    seen = body(0, 16)
    robot.give(*seen, *seen)
    stamps = [estimate.stamp_ns for estimate in continuous(robot)]
    assert stamps == 2 * [T0 + to_ns(at_s) for at_s in (5, 10, 15)]
    robot.said.clear()
    late = [frame for pair in zip(body(20, 36), body(19.8, 35.8, body_id="late"), strict=True) for frame in pair]
    robot.give(*late)
    assert len(continuous(robot)) == 4, "what comes late begins no round"


@pytest.mark.parametrize("lag_s", [1.2, 2.0, 7.0])
def test_a_second_tracker_that_lags_does_not_make_one_look_many(robot: Robot, lag_s: float) -> None:
    late = body(20 - lag_s, 36 - lag_s, body_id="late")
    robot.give(*(frame for pair in zip(body(20, 36), late, strict=True) for frame in pair))
    assert len(continuous(robot)) == 3


def test_what_was_just_said_is_not_judged_once_more_by_the_body_alone(recognizer: EmotionRecognizer) -> None:
    robot = Robot(recognizer, EmotionSettings(continuous_period_s=1.0))
    life = Life("u", 1.0, 4.9)
    robot.give(*body(0, 4.9), *voice(0, 5.0), life.started, life.final)
    robot.said.clear()
    robot.give(*body(4.9, 12))
    window_s = recognizer.bundle.modalities["mocap"].window_s
    assert continuous(robot)
    assert all(estimate.stamp_ns - T0 >= to_ns(4.9 + max(1.0, window_s)) for estimate in continuous(robot))


def test_a_process_that_stood_still_gives_nobody_up(robot: Robot) -> None:
    """While somebody speaks, and the sound is queued."""
    robot.stage = EmotionStage(
        robot.recognizer, clock=lambda: robot.now_ns, steady=lambda: (robot.now_ns - T0) / NS_PER_S
    )
    robot.give(*voice(0, 2.0), U.started)
    robot.now_ns += to_ns(60.0)
    assert not any(estimate.state is FINAL for estimate in robot._note(robot.stage.tick()))
    robot.give(*voice(2.0, 3.2), *body(0, 3.2), U.ended)
    assert robot.give(U.final)[-1].speech_end_ns == U.final.end_ns
    assert (robot.stage.counters.given_up, robot.stage.counters.late_events) == (0, 0)


def test_evidence_is_as_old_as_what_it_rests_on(robot: Robot) -> None:
    def ages(estimate: EmotionEstimate) -> dict[str, float]:
        return {item.modality: round(item.age_s, 2) for item in estimate.evidence if item.available}

    robot.give(*voice(0, 1.9), U.started, U.partial(1.8))
    told = robot.give(*voice(1.9, 2.7))[-1]
    assert told.state is PROVISIONAL
    assert ages(told)["text"] == round((told.stamp_ns - T0) / NS_PER_S - 1.8, 2) > 0
    robot.stage.lost = frozenset({"speech"})
    robot.give(U.final)
    final = robot.wait(1.0)[-1]
    assert ages(final)["speech"] == pytest.approx(0.3, abs=0.1)
    assert ages(final)["text"] == 0


@pytest.mark.parametrize("settings_", [EmotionSettings(continuous_period_s=0.0)])
def test_nothing_is_told_now_and_then_where_that_is_not_wanted(
    recognizer: EmotionRecognizer, settings_: EmotionSettings
) -> None:
    robot = Robot(recognizer, settings_)
    robot.give(*body(0, 16), Life("long", 16, 30).started, *voice(16, 30))
    assert continuous(robot) == []


def test_a_body_that_tells_nothing_is_no_news(robot: Robot) -> None:
    robot.give(*[replace(frame, confidence=np.zeros_like(frame.confidence)) for frame in body(0, 16)])
    assert robot.said == []


def test_no_stamp_goes_back_although_a_provisional_estimate_reached_into_the_silence(robot: Robot) -> None:
    robot.give(*body(0, 4), U.started, *voice(0, 3.6))
    (*_, provisional) = robot.said
    (*_, final) = robot.give(U.ended, U.final)
    assert (provisional.state, final.state) == (PROVISIONAL, FINAL)
    assert provisional.stamp_ns > final.speech_end_ns
    assert final.stamp_ns == provisional.stamp_ns


# -- one utterance, and what can be late


def test_a_final_estimate_comes_as_soon_as_all_is_there(robot: Robot) -> None:
    robot.give(*body(0, 4), *voice(0, 3.2), U.started, U.ended)
    assert not any(estimate.state is FINAL for estimate in robot.said)
    (final,) = robot.give(U.final)
    assert final.state is FINAL
    assert final.utterance_id == "u"
    assert (final.speech_start_ns, final.speech_end_ns) == (T0 + to_ns(1), T0 + to_ns(3))
    assert final.stamp_ns == T0 + to_ns(3)
    assert (final.voice_id, final.body_id, final.frame_id, final.transcript) == ("anna", "b", "mic", "happy happy")
    assert all(item.available for item in final.evidence)
    assert not robot.stage.is_waiting
    assert robot.wait(60) == []


def test_the_estimate_rests_on_the_audio_of_the_utterance_alone(robot: Robot) -> None:
    around = [*voice(0, 1, level=0.9), *voice(1.0, 3.0, level=0.1), *voice(3.0, 4.0, level=0.9)]
    alone = Robot(robot.recognizer)
    finals = [give(item, audio) for item, audio in ((robot, around), (alone, voice(1.0, 3.0, level=0.1)))]
    np.testing.assert_allclose(finals[0].probabilities, finals[1].probabilities, atol=1e-3)


def give(robot: Robot, audio: list[AudioChunk]) -> EmotionEstimate:
    robot.give(*audio, U.started, U.final)
    robot.wait(1)
    return next(estimate for estimate in robot.said if estimate.state is FINAL)


def test_a_final_estimate_waits_for_late_words(robot: Robot) -> None:
    robot.give(*body(0, 4), *voice(0, 3.2), U.started, U.ended)
    assert robot.wait(2.9) == []
    (final,) = robot.give(U.final)
    assert final.transcript == "happy happy"
    assert robot.stage.counters.timed_out == 0


def test_words_that_never_come_are_not_waited_for_for_ever(robot: Robot) -> None:
    robot.give(*body(0, 4), *voice(0, 3.2), U.started, U.ended)
    (final,) = robot.wait(3.1)
    assert (final.state, final.transcript) == (FINAL, "happy"), "the provisional words are all there is"
    assert robot.stage.counters.timed_out == 1
    assert robot.give(U.final) == []
    assert robot.stage.counters.late_events == 1


@pytest.mark.parametrize("late", ["audio", "skeletons"])
def test_a_final_estimate_waits_for_late_evidence(robot: Robot, late: str) -> None:
    early, rest = ([*body(0, 4)], voice(0, 3.2)) if late == "audio" else (voice(0, 3.2), body(0, 4))
    half = len(rest) // 2
    robot.give(*early, *rest[:half], U.started, U.ended, U.final)
    robot.wait(0.2)
    assert not any(estimate.state is FINAL for estimate in robot.said)
    robot.give(*rest[half:])
    final = robot.said[-1]
    assert final.state is FINAL
    whole = Robot(robot.recognizer)
    whole.give(*early, *rest, U.started, U.ended, U.final)
    assert agree(final, whole.said[-1])


@pytest.mark.parametrize("missing", ["audio", "skeletons"])
def test_evidence_that_stays_away_is_not_waited_for_for_ever(robot: Robot, missing: str) -> None:
    robot.give(*(body(0, 4) if missing == "audio" else [*voice(0, 3.2), *body(0, 2)]), U.started, U.ended, U.final)
    assert not any(estimate.state is FINAL for estimate in robot.said)
    (final,) = robot.wait(0.3)
    assert final.state is FINAL
    assert robot.stage.counters.timed_out == 1
    assert [item.modality for item in final.evidence if item.available] == (
        ["text", "mocap"] if missing == "audio" else ["speech", "text", "mocap"]
    )


def test_a_body_that_is_not_there_is_not_waited_for(robot: Robot) -> None:
    robot.give(*voice(0, 3.2), U.started)
    (final,) = robot.give(U.final)
    assert [item.modality for item in final.evidence if item.available] == ["speech", "text"]
    assert final.body_id == ""


def test_a_body_that_left_long_ago_is_not_waited_for(robot: Robot) -> None:
    late = Life("late", 10, 12)
    robot.give(*body(0, 4), *voice(9, 12.2), late.started)
    (final,) = robot.give(late.final)
    assert [item.modality for item in final.evidence if item.available] == ["speech", "text"]


def test_the_body_is_watched_for_the_window_of_the_model_however_short_the_utterance(robot: Robot) -> None:
    robot.give(*body(0, 2.9), *voice(0, 3.5), replace(U.started, start_ns=T0 + to_ns(2.95)))
    robot.give(replace(U.final, start_ns=T0 + to_ns(2.95)))
    (final,) = robot.wait(0.3)
    seen = next(item for item in final.evidence if item.modality == "mocap")
    assert seen.available
    assert seen.age_s == pytest.approx(0.12)


SHORT = Life("short", 5.0, 5.5)


@pytest.mark.parametrize("choice", BODY_CHOICES)
def test_who_left_before_anybody_spoke_is_not_the_speaker(recognizer: EmotionRecognizer, choice: str) -> None:
    left = body(0, 4.2, body_id="passer_by")
    for in_view, whose in (([], ""), (body(4.8, 5.6, body_id="speaker"), "speaker")):
        robot = Robot(recognizer, EmotionSettings(body=choice))
        robot.give(*left, *in_view, *voice(4, 6), SHORT.started, SHORT.final)
        robot.wait(0.3)
        assert [estimate.body_id for estimate in robot.said if estimate.state is FINAL] == [whose]


def test_the_body_of_who_speaks_is_watched_from_before_whoever_else_left_then(robot: Robot) -> None:
    robot.give(*body(0, 4.2, body_id="passer_by"), *body(0, 5.6, body_id="speaker"), *voice(4, 6))
    gathered = robot.stage._evidence.gather(SHORT.final)
    assert gathered.body_id == "speaker"
    assert gathered.skeleton.stamps_ns[0] <= SHORT.final.end_ns - robot.stage._evidence.window_ns + to_ns(0.05)


def test_without_a_voice_recorded_the_words_and_the_body_still_speak(robot: Robot) -> None:
    robot.give(*body(0, 4), U.started, U.final)
    (final,) = robot.wait(0.3)
    assert [item.modality for item in final.evidence if item.available] == ["text", "mocap"]
    assert robot.stage.counters.without_audio == 1


def test_without_anything_the_estimate_says_that_there_was_nothing(robot: Robot) -> None:
    robot.give(U.started, replace(U.final, transcript=Transcript("")))
    (final,) = robot.wait(0.3)
    assert (final.label, final.abstain_reason) == (UNKNOWN, AbstainReason.NO_EVIDENCE)


@pytest.mark.parametrize(("text_s", "evidence_s"), [(0.0, 0.25), (0.0, 0.0), (3.0, 0.0)])
def test_no_time_out_cuts_an_utterance_short_that_is_still_spoken(
    recognizer: EmotionRecognizer, text_s: float, evidence_s: float
) -> None:
    settings = EmotionSettings(text_timeout_s=text_s, evidence_timeout_s=evidence_s, provisional_start_s=0.0)
    robot = Robot(recognizer, settings)
    robot.give(U.started)
    for chunk in voice(1.0, 3.2):
        robot.now_ns = chunk.end_ns
        assert robot.give(chunk) == []
        assert robot.wait(0.01) == []
    (final,) = robot.give(U.final)
    assert final.state is FINAL


# -- provisional estimates


@pytest.mark.parametrize("confidence", [None, 0.5], ids=["not told", "told"])
def test_words_that_may_still_change_are_not_surer_than_what_they_become(
    recognizer: EmotionRecognizer, confidence: float | None
) -> None:
    guess = replace(said("sad sad sad", final=False), confidence=confidence)
    final = Transcript(guess.text, confidence or 0.7, language="en")
    told = {}
    for last in (final, guess):
        robot = Robot(recognizer)
        robot.give(U.started, replace(U.partial(1.5), transcript=guess), *voice(0, 3.2, level=0.0))
        robot.give(replace(U.ended, transcript=guess), replace(U.ended, transcript=last))
        robot.wait(robot.settings.text_timeout_s + 0.1)
        told[last] = {estimate.state: estimate.probabilities[LABELS.index("sad")] for estimate in robot.said}
        assert set(told[last]) == {PROVISIONAL, FINAL}
    assert told[final][FINAL] > 0.3
    assert told[guess][FINAL] <= told[final][FINAL]
    assert told[final][PROVISIONAL] <= told[final][FINAL]


def test_provisional_estimates_come_at_their_cadence_and_rest_on_what_was_heard(robot: Robot) -> None:
    robot.give(*body(0, 4), U.started)
    for chunk in voice(0, 3.2):
        robot.give(chunk)
    ends = [(estimate.stamp_ns - T0) / NS_PER_S for estimate in robot.said]
    assert ends == pytest.approx([2.0, 2.5, 3.0])
    assert all(estimate.state is PROVISIONAL for estimate in robot.said)
    assert all(estimate.speech_end_ns == estimate.stamp_ns for estimate in robot.said)


def test_provisional_estimates_carry_the_words_so_far(robot: Robot) -> None:
    robot.give(U.started, *voice(0, 2.1), U.partial(2.2, "sad sad"), *voice(2.112, 2.6))
    assert [estimate.transcript for estimate in robot.said] == ["", "sad sad"]


def test_of_a_backlog_only_the_newest_provisional_estimate_is_made(robot: Robot) -> None:
    robot.give(*voice(0, 2.9))
    (provisional,) = robot.give(U.started)
    assert provisional.stamp_ns == T0 + to_ns(2.5)


@pytest.mark.parametrize(
    ("start_s", "period_s", "ends"), [(0.0, 0.5, []), (0.5, 1.0, [1.5, 2.5]), (1.5, 0.1, [2.5, 2.6, 2.7])]
)
def test_the_cadence_is_a_setting(
    recognizer: EmotionRecognizer, start_s: float, period_s: float, ends: list[float]
) -> None:
    robot = Robot(recognizer, EmotionSettings(provisional_start_s=start_s, provisional_period_s=period_s))
    robot.give(U.started)
    for chunk in voice(0, 2.76):
        robot.give(chunk)
    assert [(estimate.stamp_ns - T0) / NS_PER_S for estimate in robot.said] == pytest.approx(ends)


def test_an_utterance_that_has_ended_gives_no_provisional_estimate_any_more(robot: Robot) -> None:
    robot.give(*body(0, 1), U.started, U.ended)
    assert [estimate.state for estimate in robot.give(*voice(0, 8))] == []


def test_another_voice_gives_no_provisional_estimate(robot: Robot) -> None:
    assert robot.give(U.started, *voice(0, 3, voice_id="bert")) == []


# -- ends of other kinds


def test_what_was_no_speech_is_retracted(robot: Robot) -> None:
    robot.give(*voice(0, 2.6), *body(0, 3), U.started)
    (retracted,) = robot.give(U.cancelled)
    assert (retracted.state, retracted.utterance_id, retracted.label) == (RETRACTED, "u", UNKNOWN)
    assert retracted.transcript == ""
    assert not any(item.available for item in retracted.evidence)
    assert not robot.stage.is_waiting
    assert robot.give(U.final, U.ended, U.cancelled) == []
    assert robot.stage.counters.retracted == 1
    assert robot.stage.counters.late_events == 3


def test_a_cancellation_of_which_nothing_was_known_is_told_all_the_same(robot: Robot) -> None:
    assert [estimate.state for estimate in robot.give(U.cancelled)] == [RETRACTED]


def test_a_cancellation_counts_even_after_the_end(robot: Robot) -> None:
    robot.give(U.started, U.ended)
    assert [estimate.state for estimate in robot.give(U.cancelled)] == [RETRACTED]


def test_events_that_come_twice_change_nothing(robot: Robot) -> None:
    robot.give(*voice(0, 3.2), U.started, U.started, U.ended, U.ended, U.final, U.final, U.ended, U.started)
    robot.wait(60)
    check_lives(robot.said, ["u"])


def test_the_final_words_are_not_replaced_by_provisional_ones(robot: Robot) -> None:
    robot.give(U.started, U.final, U.ended, U.partial(2.0))
    (final,) = robot.give(*voice(0, 3.2))
    assert final.transcript == "happy happy"


def test_an_utterance_whose_beginning_was_missed_gets_its_estimate(robot: Robot) -> None:
    robot.give(*voice(0, 3.2), *body(0, 4))
    assert [estimate.state for estimate in robot.give(U.final)] == [FINAL]


# -- ends that are lost


def test_an_end_that_was_lost_is_made_up_for_by_the_next_utterance(robot: Robot) -> None:
    robot.give(U.started, *voice(0, 4), U.partial(2.4))
    after = Life("after", 5, 6)
    lost = robot.give(after.started)[0]
    assert (lost.utterance_id, lost.state) == ("u", FINAL)
    assert lost.speech_end_ns == T0 + to_ns(2.4)
    robot.give(*voice(4, 6.2), after.final)
    check_lives(robot.said, ["u", "after"])
    assert robot.stage.counters.given_up == 1


def test_the_next_utterance_does_not_hurry_one_that_waits_for_its_words(robot: Robot) -> None:
    robot.give(*voice(0, 3.2), U.started, U.ended)
    assert robot.give(Life("next", 3.5, 6).started) == []
    assert robot.give(U.final)[0].transcript == "happy happy"


def test_one_voice_does_not_end_the_utterance_of_another(robot: Robot) -> None:
    robot.give(U.started)
    assert robot.give(Life("other", 1.5, 2.5, voice_id="bert").started) == []


def test_an_utterance_is_given_up_when_nothing_is_heard_of_it_any_more(robot: Robot) -> None:
    robot.give(*voice(0, 2.0), U.started)
    assert not any(estimate.state is FINAL for estimate in robot.wait(2.9))
    assert [estimate.state for estimate in robot.wait(0.2)] == [FINAL]
    assert robot.stage.counters.given_up == 1


def test_audio_keeps_an_utterance_alive_but_not_longer_than_any_utterance_lasts(robot: Robot) -> None:
    robot.give(U.started)
    for chunk in voice(1.0, 100.0):
        robot.now_ns = chunk.end_ns
        robot.give(chunk)
    finals = [estimate for estimate in robot.said if estimate.state is FINAL]
    assert len(finals) == 1
    assert robot.said[-1] is finals[0]
    assert to_ns(60) < robot.said[-2].stamp_ns - T0 < to_ns(80)


def test_the_end_of_the_input_finishes_everything(robot: Robot) -> None:
    other = Life("other", 1.5, 2.5, voice_id="bert")
    robot.give(*voice(0, 2.0), U.started, other.started, other.ended)
    robot.flush()
    check_lives(robot.said, ["u", "other"])
    assert not robot.stage.is_waiting
    assert robot.flush() == []


# -- clocks and bounds


def test_a_bag_that_starts_again_gives_the_same_estimates_again(robot: Robot) -> None:
    rounds = []
    for _ in range(2):
        robot.said.clear()
        robot.now_ns = T0
        for item in (*body(0, 3.5), *voice(0, 3.2)):
            robot.give(item)
            if item.stamp_ns == T0:
                robot.give(U.started)
        robot.give(U.ended, U.final)
        rounds.append(list(robot.said))
    assert len(rounds[0]) == len(rounds[1]) > 1
    assert all(agree(one, other) for one, other in zip(*rounds, strict=True))


def test_an_utterance_that_is_open_when_a_bag_starts_again_is_finished_once(robot: Robot) -> None:
    late = Life("late", 50, 53)
    robot.now_ns = T0 + to_ns(52)
    robot.give(*voice(49, 52), late.started)
    robot.now_ns = T0
    again = Life("again", 1, 3)
    robot.give(*voice(0, 3.2), again.started, again.final)
    robot.wait(60)
    check_lives(robot.said, ["late", "again"])


def test_audio_of_before_an_utterance_does_not_keep_it_open(robot: Robot) -> None:
    """As where a bag starts again and nobody has told the end of what was said in the round before."""
    late = Life("late", 50, 53)
    robot.now_ns = T0 + to_ns(52)
    robot.give(*voice(49, 52), late.started)
    for chunk in voice(0, 10):
        robot.now_ns = chunk.end_ns
        robot.give(chunk)
    assert [estimate.state for estimate in robot.said if estimate.state is FINAL] == [FINAL]


def test_a_clock_that_was_set_back_does_not_stretch_the_waiting(robot: Robot) -> None:
    robot.give(*body(0, 2), U.started, U.final)
    robot.wait(-50)
    assert [estimate.state for estimate in robot.wait(0.3)] == [FINAL]


def test_without_a_clock_the_newest_stamp_serves(recognizer: EmotionRecognizer) -> None:
    recognizer.settings = EmotionSettings()
    stage = EmotionStage(recognizer)
    given: list[Data] = [U.started, U.ended, *body(0, 3.0), *voice(0, 3.2)]
    said = [estimate for item in given for estimate in push(stage, item)]
    assert not any(estimate.state is FINAL for estimate in said)
    late = [estimate for item in voice(3.2, 7) for estimate in push(stage, item)]
    assert [estimate.state for estimate in late] == [FINAL], "three seconds after the end its words are given up"


def test_many_voices_and_utterances_fill_no_memory(robot: Robot) -> None:
    names = []
    for number in range(400):
        life = Life(f"u{number}", 0.1 * number, 0.1 * number + 2, voice_id=f"v{number}")
        names.append(life.name)
        robot.give(*voice(life.begin_s, life.begin_s + 0.2, voice_id=life.voice_id), life.started)
    assert len(robot.said) >= 400 - 64, "the clock stands still, so only their number ends them"
    robot.flush()
    check_lives(robot.said, names)


def test_the_skeletons_of_two_bodies_do_not_mix(robot: Robot) -> None:
    robot.give(*body(0, 4, body_id="near"), *body(0, 4, body_id="passing", rate_hz=5), *voice(0, 3.2), U.started)
    (final,) = robot.give(U.final)
    assert final.body_id == "near"


@pytest.mark.parametrize(("choice", "expected"), [("most", "far"), ("nearest", "near"), ("only", "")])
def test_whose_body_is_the_speaker_s_is_a_parameter(recognizer: EmotionRecognizer, choice: str, expected: str) -> None:
    robot = Robot(recognizer, EmotionSettings(body=choice))
    away = [replace(item, positions=item.positions + np.float32((0, 0, -3))) for item in body(0, 4, body_id="far")]
    robot.give(*away, *body(0.5, 4, body_id="near", rate_hz=20), *voice(0, 3.2), U.started)
    (final,) = robot.give(U.final)
    assert final.body_id == expected
    assert [item.available for item in final.evidence if item.modality == "mocap"] == [bool(expected)]


# -- what is refused


@pytest.mark.parametrize(("rate", "channels"), [(48000, 1), (16000, 2)])
def test_audio_that_is_not_the_speech_nodes_is_refused(robot: Robot, rate: int, channels: int) -> None:
    with pytest.raises(AudioError, match="take the topic 'voice' that the speech node publishes"):
        robot.give(AudioChunk(np.zeros((10, channels), np.int16), rate, T0))


def test_a_skeleton_that_is_refused_takes_nothing_away(robot: Robot) -> None:
    robot.give(*body(0, 2))
    with pytest.raises(SkeletonError):
        robot.give(replace(body(0, 1)[0], layout="martian7"))
    robot.give(*body(2, 4), *voice(0, 3.2), U.started)
    assert all(item.available for item in robot.give(U.final)[0].evidence)


def test_joints_that_the_settings_do_not_believe_are_not_used(recognizer: EmotionRecognizer) -> None:
    stage = EmotionStage(recognizer, MocapSettings(min_confidence=0.5))
    for frame in body(0, 4):
        list(stage.push_skeleton(replace(frame, confidence=np.full(16, 0.4, np.float32))))
    given: list[Data] = [*voice(0, 3.2), U.started, U.final]
    final = [estimate for item in given for estimate in push(stage, item)][-1]
    assert [item.modality for item in final.evidence if item.available] == ["speech", "text"]


def test_a_bundle_for_another_rate_than_the_robots_is_refused(tmp_path: Path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path / "b", speech={"sample_rate": 8000}))
    with pytest.raises(BundleError, match="wants audio at 8000 Hz, a robot hears at 16000 Hz"):
        EmotionStage(EmotionRecognizer(bundle))


# -- errors in recognition


class Broken:
    """A reader whose graph gives no numbers."""

    def read(self, utterance: Utterance) -> Reading:
        return Reading({"logits": np.full((1, 4), np.nan, np.float32)} if utterance.audio else {})


@pytest.mark.parametrize("modality", ["speech", "text", "mocap"])
def test_what_is_no_number_is_a_failure_and_nothing_of_it_is_learned(tmp_path: Path, modality: str) -> None:
    centre = np.eye(4) - 0.25
    baseline = {"means": centre.tolist(), "between": centre.tolist(), "within": centre.tolist()}
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path, speech={"baseline": baseline})))
    robot, states = Robot(recognizer), EmotionStates()
    readers, recognizer._readers = recognizer._readers, {**recognizer._readers, modality: Broken()}
    robot.give(*body(0, 4), *voice(0, 3.2), U.started, U.final)
    (failed,) = (estimate for estimate in robot.said if estimate.state is FINAL)
    assert (failed.label, failed.abstain_reason) == (UNKNOWN, AbstainReason.FAILED)
    assert np.isfinite(failed.probabilities).all()
    recognizer._readers = readers
    after = Life("after", 5, 7, text="sad sad sad sad")
    robot.give(*body(4, 8), *voice(4, 7.2), after.started, after.final)
    assert np.isfinite(recognizer.learned()["anna"]["sum"]).all()
    for estimate in robot.said:
        states.push(estimate)
    (state,), _ = states.at(after.final.end_ns)
    assert state.confidence > 0


class Failing:
    """A recogniser that raises `error` where `fails` says so of an utterance and the state of its estimate."""

    def __init__(
        self, inner: EmotionRecognizer, fails: Callable[[str, EstimateState], bool], error: Exception | None = None
    ) -> None:
        self.inner = inner
        self.settings = inner.settings
        self.bundle = inner.bundle
        self.abstain = inner.abstain
        self.error = error or ValueError("injected")
        self.fails = fails

    def recognize(self, utterance: Utterance, *, state: EstimateState, learn: bool) -> EmotionEstimate:
        if self.fails(utterance.utterance_id, state):
            raise self.error
        return self.inner.recognize(utterance, state=state, learn=learn)


@pytest.mark.parametrize("error", [ValueError("injected"), BundleError("a graph does not run: export it again")])
def test_a_recognition_that_fails_is_a_final_unknown_and_costs_no_other_utterance(
    recognizer: EmotionRecognizer, error: Exception
) -> None:
    told: list[Exception] = []
    robot = Robot(recognizer)
    robot.stage = EmotionStage(
        Failing(recognizer, lambda name, state: name == "u" and state is FINAL, error),  # type: ignore[arg-type]
        clock=lambda: robot.now_ns,
        on_failure=told.append,
    )
    others = [Life(name, 1, 3, voice_id=name) for name in ("before", "after")]
    robot.give(others[0].started, U.started, others[1].started)
    robot.give(others[0].final, U.final, others[1].final)
    assert [estimate.utterance_id for estimate in robot.wait(0.3)] == ["before", "u", "after"], "all in one tick"
    failed = next(estimate for estimate in robot.said if estimate.utterance_id == "u")
    assert (failed.state, failed.label, failed.confidence) == (FINAL, UNKNOWN, 0)
    assert failed.abstain_reason is AbstainReason.FAILED
    assert failed.stamp_ns == failed.speech_end_ns == T0 + to_ns(3)
    assert failed.probabilities == pytest.approx([0.25] * 4)
    assert not any(item.available for item in failed.evidence)
    assert [item.modality for item in failed.evidence] == ["speech", "text", "mocap"]
    assert told == [error]
    assert (robot.stage.counters.failed, robot.stage.counters.final) == (1, 3)
    assert robot.wait(60) == []


def test_a_provisional_estimate_that_fails_is_left_out_and_the_final_one_comes(recognizer: EmotionRecognizer) -> None:
    told: list[Exception] = []
    robot = Robot(recognizer)
    robot.stage = EmotionStage(
        Failing(recognizer, lambda _, state: state is PROVISIONAL),  # type: ignore[arg-type]
        clock=lambda: robot.now_ns,
        on_failure=told.append,
    )
    robot.give(*body(0, 4), U.started, *voice(0, 3.2), U.ended)
    assert robot.said == []
    (final,) = robot.give(U.final)
    assert (final.state, final.abstain_reason) == (FINAL, AbstainReason.NONE)
    assert len(told) == robot.stage.counters.failed > 0
    assert robot.stage.counters.provisional == 0


def test_a_stage_in_the_place_of_another_gives_no_second_final(robot: Robot, recognizer: EmotionRecognizer) -> None:
    closed: dict[str, int] = {}
    robot.stage = EmotionStage(recognizer, clock=lambda: robot.now_ns, closed=closed)
    robot.give(*voice(0, 2), U.started)
    robot.flush()
    robot.stage = EmotionStage(recognizer, clock=lambda: robot.now_ns, closed=closed)
    robot.give(*voice(2, 3.2), U.ended, U.final)
    robot.wait(60)
    check_lives(robot.said, ["u"])
    assert robot.stage.counters.late_events == 2


def test_utterances_whose_events_nobody_works_on_are_ended_by_the_flush(robot: Robot) -> None:
    known, unknown, cancelled, closed = (Life(name, 1, 3, voice_id=name) for name in ("a", "b", "c", "d"))
    robot.give(known.started, closed.started, closed.cancelled)
    for event in (closed.final, unknown.started, unknown.final, known.ended, cancelled.started, cancelled.cancelled):
        robot.stage.skip_event(event)
    first, second, third = robot.flush()
    assert (first.utterance_id, first.state, first.abstain_reason) == ("a", FINAL, AbstainReason.NO_EVIDENCE)
    assert (second.utterance_id, second.state, second.abstain_reason) == ("b", FINAL, AbstainReason.FAILED)
    assert (second.label, second.confidence, second.speech_end_ns) == (UNKNOWN, 0, T0 + to_ns(3))
    assert (third.utterance_id, third.state) == ("c", RETRACTED)
    check_lives(robot.said, ["a", "b", "c", "d"])


def test_a_retraction_needs_no_recognition(recognizer: EmotionRecognizer) -> None:
    stage = EmotionStage(Failing(recognizer, lambda *_: True))  # type: ignore[arg-type]
    given = [U.started, U.cancelled]
    (retracted,) = [estimate for event in given for estimate in stage.push_event(event)]
    assert (retracted.state, retracted.abstain_reason) == (RETRACTED, AbstainReason.NO_EVIDENCE)
    assert stage.counters.failed == 0


def test_evidence_that_cannot_be_gathered_is_a_failed_recognition(
    robot: Robot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def window(start_ns: int, end_ns: int, **which: object) -> None:
        raise IndexError("injected")

    monkeypatch.setattr(robot.stage.skeletons, "window", window)
    robot.give(*voice(0, 3.2), U.started)
    assert robot.give(U.final)[-1].abstain_reason is AbstainReason.FAILED
    assert "IndexError: injected" in caplog.text, "where nobody is told, Python's log is"


# -- whatever comes when

CONVERSATION = (
    Life("one", 0.5, 1.7, text="sad"),
    Life("two", 2.4, 3.4, text="angry angry"),
    Life("three", 3.9, 4.4, text=""),
)
NOISE = Life("noise", 4.9, 5.1)


def conversation() -> dict[str, list[tuple[float, Data]]]:
    """Three utterances and a noise by stream, each item with the time [s] at which it comes if nothing is delayed."""
    events: list[tuple[float, Data]] = []
    for life in CONVERSATION:
        events += [(life.begin_s + 0.3, life.started), (life.begin_s + 0.5, life.partial(life.begin_s + 0.5))]
        events += [(life.end_s + 0.4, life.ended), (life.end_s + 0.4, life.final)]
    events += [(NOISE.begin_s + 0.3, NOISE.started), (NOISE.end_s + 0.4, NOISE.cancelled)]
    audio: list[tuple[float, Data]] = [((chunk.end_ns - T0) / NS_PER_S, chunk) for chunk in voice(0, 5.5)]
    skeletons: list[tuple[float, Data]] = [
        ((frame.stamp_ns - T0) / NS_PER_S + 0.04, frame) for frame in body(-0.5, 5.5)
    ]
    return {"audio": audio, "events": events, "skeletons": skeletons}


@pytest.fixture(scope="module")
def expected(recognizer: EmotionRecognizer) -> dict[str, EmotionEstimate]:
    """The final estimates when everything comes at once and in order."""
    recognizer.settings = EmotionSettings()
    stage = EmotionStage(recognizer)
    streams = conversation()
    given = [item for name in ("skeletons", "audio", "events") for _, item in streams[name]]
    said = [estimate for item in given for estimate in push(stage, item)]
    return {estimate.utterance_id: estimate for estimate in said if estimate.state is FINAL}


def play(robot: Robot, arrivals: list[tuple[float, Data | None]]) -> None:
    """Give items, or look at the clock, in the order of their arrival."""
    for time_s, item in sorted(arrivals, key=lambda arrival: arrival[0]):
        robot.now_ns = max(robot.now_ns, T0 + to_ns(time_s))
        robot.give(item) if item is not None else robot.wait(0)


@settings(max_examples=50)
@given(st.data())
def test_final_estimates_do_not_depend_on_when_the_evidence_comes_if_it_comes_in_time(
    recognizer: EmotionRecognizer, expected: dict[str, EmotionEstimate], data: st.DataObject
) -> None:
    # The end is told 0.4 s after it, and waited with for 0.25 s; a frame of audio or of the body lasts up to 0.08 s.
    longest = {"audio": 0.55, "skeletons": 0.55, "events": 0.4}
    arrivals: list[tuple[float, Data | None]] = []
    for name, items in conversation().items():
        steady = data.draw(st.floats(0, longest[name]), label=f"delay of {name}")
        jitter = data.draw(st.lists(st.floats(0, longest[name] - steady), min_size=1, max_size=5))
        latest = float("-inf")
        for number, (time_s, item) in enumerate(items):  # a stream keeps its order
            latest = max(latest, time_s + steady + jitter[number % len(jitter)])
            arrivals.append((latest, item))
    words_late_s = data.draw(st.floats(0, 2.5), label="the final words are late by")
    arrivals = [
        (time_s + words_late_s, item)
        if isinstance(item, UtteranceEvent) and item.transcript.is_final
        else (time_s, item)
        for time_s, item in arrivals
    ]
    arrivals += [(time_s, None) for time_s in data.draw(st.lists(st.floats(0, 9), max_size=30), label="ticks")]
    robot = Robot(recognizer)
    play(robot, arrivals)
    check_lives(robot.said, [life.name for life in (*CONVERSATION, NOISE)])
    assert robot.stage.counters.timed_out == robot.stage.counters.given_up == 0
    for estimate in robot.said:
        if estimate.state is FINAL:
            assert agree(estimate, expected[estimate.utterance_id])


@given(st.data())
def test_whatever_is_lost_late_or_repeated_each_utterance_gets_one_last_word(
    recognizer: EmotionRecognizer, data: st.DataObject
) -> None:
    arrivals: list[tuple[float, Data | None]] = []
    for name, items in conversation().items():
        rng = np.random.default_rng(data.draw(st.integers(0, 2**16), label=f"fate of {name}"))
        lost, twice, late_s = data.draw(st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 20)))
        for time_s, item in items:
            arrives_s = time_s + late_s * (rng.random() if name == "events" else 1)
            arrivals += [(arrives_s, item)] * ((rng.random() >= lost) + (rng.random() < twice))
    arrivals += [(time_s, None) for time_s in data.draw(st.lists(st.floats(0, 40), max_size=30))]
    robot = Robot(recognizer)
    failing = data.draw(st.sets(st.sampled_from([life.name for life in (*CONVERSATION, NOISE)])), label="fail")
    robot.stage = EmotionStage(
        Failing(recognizer, lambda name, _: name in failing),  # type: ignore[arg-type]
        clock=lambda: robot.now_ns,
        on_failure=lambda _: None,
    )
    play(robot, arrivals)
    robot.flush()
    check_lives(robot.said, {item.utterance_id for _, item in arrivals if isinstance(item, UtteranceEvent)})
    for estimate in robot.said:
        assert estimate.probabilities.sum() == pytest.approx(1, abs=1e-5)


# -- several people


def two_bodies(begin_s: float, end_s: float) -> list[SkeletonFrame]:
    """'near' is seen twice as often as 'far', which is elsewhere."""
    far = [replace(frame, positions=frame.positions + np.float32(5)) for frame in body(begin_s, end_s, body_id="far")]
    return [*body(begin_s, end_s, body_id="near", rate_hz=50), *far]


def with_people(recognizer: EmotionRecognizer) -> tuple[Robot, Identities]:
    robot, identities = Robot(recognizer), Identities()
    robot.stage = EmotionStage(robot.recognizer, clock=lambda: robot.now_ns, identities=identities)
    return robot, identities


def test_voice_and_body_of_one_person_are_fused(recognizer: EmotionRecognizer) -> None:
    robot, identities = with_people(recognizer)
    assert robot.give(*two_bodies(0, 3.2), *voice(0, 3.2), U.started, U.final)[-1].body_id == "near"
    identities.link("p1", Kind.VOICE, "anna")
    identities.link("p2", Kind.BODY, "near")
    later = Life("u2", 0.5, 3.0)
    estimate = robot.give(later.started, later.final)[-1]
    assert (estimate.person_id, estimate.voice_id, estimate.body_id) == ("p1", "anna", "far")
    identities.link("p1", Kind.BODY, "away")
    later = Life("u3", 0.5, 3.0)
    estimate = robot.give(later.started, later.final)[-1]
    assert (estimate.person_id, estimate.body_id) == ("p1", ""), "who is not seen has no body, whoever else has"
    assert not next(item for item in estimate.evidence if item.modality == "mocap").available


def test_where_voices_are_not_told_apart_it_is_who_is_seen(recognizer: EmotionRecognizer) -> None:
    robot, identities = with_people(recognizer)
    identities.link("p2", Kind.BODY, "near")
    nobody = Life("u", 0.5, 3.0, voice_id="")
    estimate = robot.give(*two_bodies(0, 3.2), *voice(0, 3.2, voice_id=""), nobody.started, nobody.final)[-1]
    assert (estimate.person_id, estimate.voice_id, estimate.body_id) == ("p2", "", "near")


def test_a_person_who_vanishes_in_mid_utterance_has_spoken_it(recognizer: EmotionRecognizer) -> None:
    robot, identities = with_people(recognizer)
    identities.link("p1", Kind.VOICE, "anna")
    robot.give(*voice(0, 2.0), U.started)
    identities.vanish("p1")
    assert robot.give(*voice(2.0, 3.2), U.final)[-1].person_id == "p1"
    later = Life("u2", 0.5, 3.0)
    assert robot.give(later.started, later.cancelled)[-1].person_id == ""


def test_a_speaker_whose_body_is_lost_in_mid_utterance_is_not_judged_by_a_bystanders(
    recognizer: EmotionRecognizer,
) -> None:
    robot, identities = with_people(recognizer)
    identities.link("p1", Kind.VOICE, "anna")
    identities.link("p1", Kind.BODY, "far")
    robot.give(*two_bodies(0, 2.0), *voice(0, 2.0), U.started)
    identities.link("p1", Kind.BODY, "")
    final = robot.give(*body(2.0, 3.2, body_id="near", rate_hz=50), *voice(2.0, 3.2), U.final)[-1]
    assert (final.person_id, final.body_id) == ("p1", "far")


def test_a_match_that_comes_in_mid_utterance_tells_whose_body_it_is(recognizer: EmotionRecognizer) -> None:
    robot, identities = with_people(recognizer)
    robot.give(*two_bodies(0, 2.0), *voice(0, 2.0), U.started)
    identities.match(Match((Kind.VOICE, "anna"), (Kind.BODY, "far"), 0.9))
    assert robot.give(*two_bodies(2.0, 3.2), *voice(2.0, 3.2), U.final)[-1].body_id == "far"


def test_a_person_who_vanishes_in_mid_speech_is_the_one_of_whom_is_told_on(recognizer: EmotionRecognizer) -> None:
    robot, identities = with_people(recognizer)
    identities.link("p1", Kind.VOICE, "anna")
    life = Life("long", 0.5, 14.5)
    robot.give(*voice(0, 4.0), life.started)
    identities.vanish("p1")
    robot.give(*voice(4.0, 11.0))
    told = [(estimate.person_id, estimate.utterance_id) for estimate in continuous(robot)]
    assert told == [("p1", ""), ("p1", "")]


def test_a_person_who_turns_out_to_be_another_one_and_vanishes_is_told_of_by_the_last_name(
    recognizer: EmotionRecognizer,
) -> None:
    robot, identities = with_people(recognizer)
    identities.link("p1", Kind.VOICE, "anna")
    robot.give(*voice(0, 2.0), U.started)
    identities.alias("p1", "anna_smith")
    identities.vanish("p1")
    assert robot.give(*voice(2.0, 3.2), U.final)[-1].person_id == "anna_smith"


def test_evidence_tells_that_its_source_was_lost_and_what_came_before_is_used_all_the_same(
    recognizer: EmotionRecognizer,
) -> None:
    robot = Robot(recognizer)

    def reasons(estimate: EmotionEstimate) -> dict[str, tuple[bool, str]]:
        return {item.modality: (item.available, item.reason.name) for item in estimate.evidence}

    robot.give(*body(0, 2.0, body_id="b"), *voice(0, 2.0), U.started)
    robot.stage.lost = frozenset({"mocap"})
    told = robot.give(*voice(2.0, 2.7))[-1]
    assert told.state is EstimateState.PROVISIONAL
    assert reasons(told) == {"speech": (True, "NONE"), "text": (False, "NO_EVIDENCE"), "mocap": (True, "SOURCE_LOST")}
    robot.give(*voice(2.6, 3.2), U.final)
    robot.stage.lost = frozenset()
    later = Life("u2", 10.5, 13.0)
    robot.give(*voice(10.0, 13.2), later.started, later.final)
    assert reasons(robot.said[-1])["mocap"] == (False, "NO_EVIDENCE")
    robot.stage.lost = frozenset({"mocap"})
    later = Life("u3", 20.5, 23.0)
    robot.give(*voice(20.0, 23.2), later.started, later.final)
    assert reasons(robot.said[-1])["mocap"] == (False, "SOURCE_LOST")


def test_a_body_that_was_seen_too_shortly_since_its_source_was_lost_is_said_to_be_lost(tmp_path: Path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path, mocap={"min_s": 0.5}))
    for lost, reason in (frozenset[str](), "TOO_SHORT"), (frozenset({"mocap"}), "SOURCE_LOST"):
        robot = Robot(EmotionRecognizer(bundle))
        robot.give(*body(0.9, 1.2), *voice(0, 2.0), U.started)
        robot.stage.lost = lost
        robot.give(*voice(2.0, 3.2), U.final)
        (final,) = robot.wait(0.3)
        assert final.state is FINAL
        (seen,) = [item for item in final.evidence if item.modality == "mocap"]
        assert (seen.available, seen.reason.name) == (False, reason)
