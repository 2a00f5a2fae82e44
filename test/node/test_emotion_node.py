"""The emotion node alone, fed by hand: good data, malformed data between, and what comes of both."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from emotion_robot import PATIENT, Robot, Scene, scene
from fakes_bundle import write_tiny_bundle
from ros_world import (
    T0,
    AudioFrame,
    Bool,
    Emotion,
    EmotionEvent,
    EmotionState,
    ExportVoices,
    ImportVoices,
    Skeleton,
    Trigger,
    Utterance,
    audio_message,
    demo_values,
    skeleton_message,
    utterance_message,
)

from mser_ros.nodes import voices
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import EmotionSettings
from mser_ros.stages.emotion import EmotionStage
from mser_ros.types import EmotionEstimate, EstimateState, UtteranceState, to_ns


@pytest.fixture
def robot(world, tiny_bundle):
    return Robot(world, tiny_bundle)


@pytest.fixture(scope="session")
def offline(tiny_bundle):
    """Final estimates of scenes by the same stage without ROS."""

    def finals(*scenes: Scene) -> dict[str, EmotionEstimate]:
        stage = EmotionStage(EmotionRecognizer(load_bundle(tiny_bundle), EmotionSettings(**PATIENT)))
        estimates = []
        for item in scenes:
            for frame in item.skeletons:
                estimates += stage.push_skeleton(frame)
            for chunk in item.voice:
                estimates += stage.push_audio(chunk)
            for event in item.events:
                estimates += stage.push_event(event)
        estimates += stage.flush()
        return {item.utterance_id: item for item in estimates if item.state is EstimateState.FINAL}

    return finals


def assert_same(message: Emotion, estimate: EmotionEstimate) -> None:
    assert message.label == estimate.label
    np.testing.assert_allclose(message.probabilities, estimate.probabilities, atol=1e-6)
    assert message.transcript == estimate.transcript
    assert message.body_id == estimate.body_id
    for got, expected in zip(message.evidence, estimate.evidence, strict=True):
        assert (got.modality, got.available) == (expected.modality, expected.available)


def test_voice_words_and_body_become_one_final_emotion(robot, offline):
    first, second = scene(1), scene(2, text="sad sad", rms=0.01)
    robot.give(first, second)
    expected = offline(first, second)
    for item in (first, second):
        assert_same(robot.last(item.name), expected[item.name])
        assert all(evidence.available for evidence in robot.last(item.name).evidence)
    robot.assert_nothing_follows_a_last_emotion()
    message = robot.last(first.name)
    assert (message.voice_id, message.body_id, message.model_id) == ("ann", "body", "tiny-1")
    assert message.speech_start.sec == T0 // 1_000_000_000 + 10
    assert message.speech_end.sec == message.speech_start.sec + 2
    provisional = [item for item in robot.emotions if item.utterance_id == first.name and item.state != Emotion.FINAL]
    assert message.header.stamp == max((item.header.stamp for item in provisional), key=lambda stamp: stamp.sec)
    assert message.label == "happy"
    assert message.confidence == pytest.approx(max(message.probabilities))
    assert sum(message.probabilities) == pytest.approx(1, abs=1e-5)
    assert sum(item.weight for item in message.evidence) == pytest.approx(1, abs=1e-5)


def test_the_time_from_the_end_of_speech_to_the_emotion_is_told(world, tiny_bundle):
    robot = Robot(world, tiny_bundle, provisional_start_s=0.0)
    item = scene(1)
    world.set_clock(item.events[-1].end_ns + to_ns(0.5), robot.node)
    robot.give(item)
    assert robot.last(item.name).latency_s == pytest.approx(0.5, abs=1e-6)
    robot.world.wait(lambda: robot.node.value("latency") == "0.500", "the latency in the diagnostics")
    late = scene(2)
    world.set_clock(late.events[-1].end_ns + to_ns(0.9), robot.node)
    robot.give(late)
    robot.world.wait(lambda: robot.node.value("longest latency") == "0.900", "the longest latency")
    assert robot.node.value("latency") == "0.700", "the median"
    assert robot.node.value("model") == robot.last(item.name).model_id


def test_provisional_emotions_come_while_the_person_speaks(robot):
    item = scene(1)
    robot.give(*item.skeletons, item.events[0], item.events[1])
    robot.give(*item.voice)
    robot.world.wait(lambda: len(robot.emotions) > 0, "a provisional emotion")
    assert robot.emotions[0].state == Emotion.PROVISIONAL
    robot.give(*item.events[2:])
    assert robot.last(item.name).state == Emotion.FINAL


def bad_state() -> Utterance:
    message = utterance_message(scene(5).events[0])
    message.state = 9
    return message


def bad_span() -> Utterance:
    message = utterance_message(scene(5).events[0])
    message.end.sec -= 100
    return message


def bad_id() -> Utterance:
    return utterance_message(replace(scene(5).events[0], utterance_id=""))


def fast_voice() -> AudioFrame:
    return audio_message(replace(scene(5).voice[0], sample_rate=44100))


def stereo_voice() -> AudioFrame:
    return audio_message(replace(scene(5).voice[0], samples=np.zeros((160, 2), np.int16)))


def voice_without_rate() -> AudioFrame:
    return audio_message(replace(scene(5).voice[0], sample_rate=0))


def flat_skeleton() -> Skeleton:
    message = skeleton_message(scene(5).skeletons[0])
    message.dimensions = 1
    return message


def short_skeleton() -> Skeleton:
    frame = scene(5).skeletons[0]
    return skeleton_message(replace(frame, positions=frame.positions[:7], confidence=frame.confidence[:7]))


def strange_skeleton() -> Skeleton:
    return skeleton_message(replace(scene(5).skeletons[0], layout="octopus"))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (bad_state, ("state 9", "give it an id, a known state")),
        (bad_span, ("end that is not before its start",)),
        (bad_id, ("give it an id",)),
        (fast_voice, ("44100 Hz", "'voice' that the speech node publishes")),
        (stereo_voice, ("2 channels", "'voice' that the speech node publishes")),
        (voice_without_rate, ("0 Hz",)),
        (flat_skeleton, ("1 dimensions", "2 or 3")),
        (short_skeleton, ("needs 16 joints", "has 7 x 3")),
        (strange_skeleton, ("octopus",)),
    ],
)
def test_a_malformed_message_is_one_sentence_and_changes_nothing(robot, offline, make, parts):
    first, second = scene(1), scene(2)
    robot.give(first, make(), second)
    expected = offline(first, second)
    assert_same(robot.last(first.name), expected[first.name])
    assert_same(robot.last(second.name), expected[second.name])
    robot.node.wait_for_problem(*parts)
    assert robot.node.value("rejected") == "1"
    robot.assert_nothing_follows_a_last_emotion()
    assert robot.node.state == "active"


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ((bad_state, bad_id), ("an utterance 'ann-5' of state 9", "an utterance '' of state 0")),
        ((fast_voice, voice_without_rate), ("44100 Hz in 1 channels", "sample_rate 0")),
        ((flat_skeleton, short_skeleton, strange_skeleton), ("1 dimensions", "has 7 x 3", "octopus")),
    ],
    ids=["utterances", "audio", "skeletons"],
)
def test_hundreds_of_malformed_messages_are_counted_told_once_of_each_kind_and_change_nothing(
    robot, offline, kinds, said, capfd, monkeypatch
):
    monkeypatch.setattr("mser_ros.nodes.diagnostics.THROTTLE_S", 3600.0)
    first, second = scene(1), scene(2)
    bad = [make() for _ in range(200 // len(kinds) + 1) for make in kinds]
    robot.give(first)
    for at in range(0, len(bad), 50):  # no more at a time than wait in a queue
        robot.give(*bad[at : at + 50])
    robot.give(second)
    robot.node.wait_for(rejected=len(bad))
    expected = offline(first, second)
    for item in (first, second):
        assert_same(robot.last(item.name), expected[item.name])
    robot.assert_nothing_follows_a_last_emotion()
    assert robot.node.state == "active"
    assert (robot.node.value("dropped"), robot.node.value("bugs")) == ("0", "0")
    warnings = [line for line in capfd.readouterr().err.splitlines() if "[WARN]" in line]
    for words in said:
        assert sum(words in line for line in warnings) == 1, words


def test_a_cancelled_utterance_is_retracted_once(robot):
    item = scene(1)
    cancelled = replace(item.events[1], state=UtteranceState.CANCELLED)
    robot.give(*item.voice, *item.events[:2], cancelled, cancelled, *item.events, scene(2))
    message = robot.last(item.name)
    assert message.state == Emotion.RETRACTED
    assert message.label == "unknown"
    assert message.confidence == 0
    assert robot.last("ann-2").state == Emotion.FINAL
    robot.assert_nothing_follows_a_last_emotion()


def test_what_comes_after_the_final_emotion_changes_nothing(robot):
    item = scene(1)
    robot.give(item)
    robot.last(item.name)
    late = [replace(event, state=state) for event in item.events for state in UtteranceState]
    robot.give(*late, *item.voice[-1:], *item.skeletons[-1:], scene(2))
    robot.last("ann-2")
    robot.assert_nothing_follows_a_last_emotion()
    robot.node.wait_for(late_events=len(late))


def test_repeated_events_give_one_emotion(robot, offline):
    item, after = scene(1), scene(2)
    repeated = [event for event in item.events for _ in range(3)]
    robot.give(*item.skeletons, *item.voice, *repeated, after)
    expected = offline(item, after)
    assert_same(robot.last(item.name), expected[item.name])
    assert_same(robot.last(after.name), expected[after.name])
    robot.assert_nothing_follows_a_last_emotion()


def test_an_utterance_of_which_only_the_end_was_heard_counts(robot, offline):
    item = scene(1)
    robot.give(*item.skeletons, *item.voice, item.events[-1])
    assert_same(robot.last(item.name), offline(item)[item.name])


def test_an_utterance_without_audio_is_judged_by_words_and_body(world, tiny_bundle, offline):
    robot = Robot(world, tiny_bundle, use_sim_time=False, evidence_timeout_s=0.1)
    robot.give(scene(1))
    item = scene(2)
    mute = Scene([], item.events, item.skeletons)
    robot.give(mute)
    message = robot.last(item.name)
    assert [evidence.available for evidence in message.evidence] == [False, True, True]
    assert_same(message, offline(mute)[item.name])
    robot.node.wait_for(without_audio=1)


def test_an_utterance_without_any_evidence_abstains(world, tiny_bundle):
    robot = Robot(world, tiny_bundle, use_sim_time=False, evidence_timeout_s=0.1)
    item = scene(1, text="")
    robot.give(*item.events)
    message = robot.last(item.name)
    assert (message.label, message.confidence, message.abstain_reason) == ("unknown", 0, Emotion.NO_EVIDENCE)
    np.testing.assert_allclose(message.probabilities, 0.25)


@pytest.mark.parametrize(
    ("rms", "reason"), [(10.0, Emotion.CLIPPED), (0.0003, Emotion.TOO_QUIET), (0.0, Emotion.TOO_QUIET)]
)
def test_a_voice_that_cannot_be_used_is_named_as_the_reason(robot, rms, reason):
    item = scene(1, text="", rms=rms)
    robot.give(*item.voice, *item.events)
    message = robot.last(item.name)
    assert (message.label, message.abstain_reason) == ("unknown", reason)


def test_an_utterance_that_never_ends_is_finished_by_the_next_one(robot):
    item = scene(1)
    robot.give(*item.skeletons, *item.voice, *item.events[:2])
    robot.give(scene(2))
    assert robot.last(item.name).state == Emotion.FINAL
    assert robot.last("ann-2").state == Emotion.FINAL
    robot.assert_nothing_follows_a_last_emotion()
    robot.node.wait_for(given_up=1)


def test_skeletons_after_the_end_are_not_looked_at(robot, offline):
    item = scene(1)
    end_ns = item.events[-1].end_ns
    later = [replace(item.skeletons[0], stamp_ns=end_ns + to_ns(0.04 * n)) for n in range(1, 40)]
    robot.give(*item.skeletons, *later, *item.voice, *item.events)
    assert_same(robot.last(item.name), offline(item)[item.name])


def test_skeletons_and_audio_that_are_late_are_waited_for(robot, offline):
    item = scene(1)
    half = len(item.skeletons) // 2
    robot.give(*item.skeletons[:half], *item.voice[:2], *item.events)
    assert not robot.ended()
    robot.give(*item.skeletons[half:], *item.voice[2:])
    assert_same(robot.last(item.name), offline(item)[item.name])


def test_skeletons_out_of_order_and_twice_give_the_same_emotion(robot, offline):
    item = scene(1)
    shuffled = [item.skeletons[i] for i in np.random.default_rng(0).permutation(len(item.skeletons))]
    robot.give(*shuffled, *shuffled[:20], *item.voice, *item.events)
    assert_same(robot.last(item.name), offline(item)[item.name])
    robot.node.wait_for(duplicate=20)


def test_a_body_whose_joints_are_unseen_is_no_evidence(robot):
    item = scene(1)
    blind = [replace(frame, confidence=np.zeros_like(frame.confidence)) for frame in item.skeletons]
    blind += [
        replace(frame, positions=np.full_like(frame.positions, np.nan), stamp_ns=frame.stamp_ns + 1)
        for frame in item.skeletons
    ]
    robot.give(*blind, *item.voice, *item.events)
    assert [evidence.available for evidence in robot.last(item.name).evidence] == [True, True, False]


def test_two_voices_at_once_are_told_apart(robot, offline):
    ann, ben = scene(1), scene(1, text="sad", rms=0.01, voice_id="ben")
    ben = Scene(ben.voice, ben.events, [])
    robot.give(*ann.skeletons)
    for event in range(4):
        robot.give(*ann.voice[3 * event : 3 * event + 3], *ben.voice[3 * event : 3 * event + 3])
        robot.give(ann.events[event], ben.events[event])
    expected = offline(ann, ben)
    for item in (ann, ben):
        assert_same(robot.last(item.name), expected[item.name])


def test_an_open_utterance_is_finished_when_the_node_is_deactivated(robot):
    item = scene(1)
    robot.give(*item.skeletons, *item.voice, *item.events[:2])
    assert robot.node.deactivate()
    assert robot.last(item.name).state == Emotion.FINAL
    assert robot.node.activate()
    robot.world.wait_for_outputs(robot.node, "emotion")


def test_the_clock_bounds_the_wait_for_evidence_that_does_not_come(world, tiny_bundle):
    robot = Robot(world, tiny_bundle, use_sim_time=True, evidence_timeout_s=0.25, text_timeout_s=3.0)
    now_ns = T0 + to_ns(100)
    world.set_clock(now_ns, robot.node)
    item = scene(1)
    robot.give(*item.events)  # without audio
    world.set_clock(now_ns + to_ns(0.24), robot.node)
    robot.give(scene(2, voice_id="ben"))
    robot.last("ben-2")
    assert item.name not in robot.ended()
    world.set_clock(now_ns + to_ns(0.26), robot.node)
    robot.last(item.name)
    robot.node.wait_for(timed_out=1)


def test_the_clock_bounds_the_wait_for_the_final_text(world, tiny_bundle):
    robot = Robot(world, tiny_bundle, use_sim_time=True, evidence_timeout_s=0.25, text_timeout_s=3.0)
    now_ns = T0 + to_ns(100)
    world.set_clock(now_ns, robot.node)
    item = scene(1)
    robot.give(*item.skeletons, *item.voice, *item.events[:3])
    world.set_clock(now_ns + to_ns(2.9), robot.node)
    robot.give(scene(2, voice_id="ben"))
    robot.last("ben-2")
    assert item.name not in robot.ended()
    world.set_clock(now_ns + to_ns(3.1), robot.node)
    message = robot.last(item.name)
    assert [evidence.available for evidence in message.evidence] == [True, False, True]


def test_a_simulation_clock_that_has_not_begun_ends_no_wait(world, tiny_bundle, offline):
    robot = Robot(world, tiny_bundle, use_sim_time=True, evidence_timeout_s=0.25, text_timeout_s=3.0)
    item = scene(1)
    half = len(item.skeletons) // 2
    robot.give(*item.skeletons[:half], *item.voice[:6], *item.events[:2])
    world.set_clock(T0, robot.node)
    robot.give(*item.skeletons[half:], *item.voice[6:], *item.events[2:])
    assert_same(robot.last(item.name), offline(item)[item.name])
    robot.give(scene(2))
    robot.last("ann-2")
    robot.assert_nothing_follows_a_last_emotion()


def test_what_was_heard_is_forgotten_where_nobody_is_listened_to(robot):
    item = scene(1)
    listening = robot.world.publisher(Bool, "listening")
    robot.world.set_clock(item.events[-1].end_ns, robot.node)
    robot.give(*item.skeletons, *item.voice)
    listening.publish(Bool(data=False))
    robot.node.wait_to_receive(listening=1)
    robot.give(*item.events)
    robot.world.set_clock(item.events[-1].end_ns + to_ns(60), robot.node)
    evidence = {found.modality: found.available for found in robot.last(item.name).evidence}
    assert evidence == {"speech": False, "text": True, "mocap": True}


@pytest.fixture(scope="session")
def knowing_bundle(tmp_path_factory):
    """A bundle that learns how voices differ."""
    centre = np.eye(4) - 0.25
    baseline = {"means": (3 * centre).tolist(), "between": centre.tolist(), "within": (0.25 * centre).tolist()}
    return write_tiny_bundle(tmp_path_factory.mktemp("knowing") / "bundle", speech={"baseline": baseline})


def voices_of(world, kind: str):
    """What a service of the node says of voices."""
    return world.call(Trigger, f"/emotion/{kind}_voices", Trigger.Request())


def test_what_was_learned_of_voices_is_shown_given_away_taken_in_and_erased(world, knowing_bundle):
    robot = Robot(world, knowing_bundle)
    assert voices_of(world, "show").message == "nobody is known"
    robot.give(scene(1), scene(2))
    robot.last("ann-2")
    shown = voices_of(world, "show")
    assert shown.success
    assert shown.message.startswith("ann: 2 utterances heard")
    given = world.call(ExportVoices, "/emotion/export_voices", ExportVoices.Request(person_id="ann"))
    assert given.success
    assert not world.call(ExportVoices, "/emotion/export_voices", ExportVoices.Request(person_id="bob")).success
    assert voices_of(world, "forget").success
    world.wait(lambda: voices_of(world, "show").message == "nobody is known", "the erasing")
    for text, success, said in (
        ("nonsense", False, "this is no export of voices"),
        (given.voices.replace('"speech": "', '"speech": "0'), False, "learned with another bundle"),
        (given.voices, True, "known again: ann"),
    ):
        answer = world.call(ImportVoices, "/emotion/import_voices", ImportVoices.Request(voices=text))
        assert (answer.success, said in answer.message) == (success, True), answer.message
    world.wait(lambda: voices_of(world, "show").message == shown.message, "what was known before")
    again = world.call(ExportVoices, "/emotion/export_voices", ExportVoices.Request())
    assert again.voices == given.voices
    robot.give(scene(3))
    robot.last("ann-3")
    assert voices_of(world, "show").message.startswith("ann: 3 utterances heard")


def test_what_was_learned_is_kept_where_that_is_asked_for_and_nothing_is_left_of_what_is_erased(
    world, knowing_bundle, tmp_path
):
    folder = tmp_path / "voices"
    robot = Robot(world, knowing_bundle, voices_folder=str(folder))
    robot.give(scene(1))
    robot.last("ann-1")
    assert robot.node.deactivate()
    assert len(list(folder.iterdir())) == 1
    shown = voices_of(world, "show").message
    assert robot.node.cleanup()
    assert not voices_of(world, "show").success
    assert robot.node.configure()
    assert voices_of(world, "show").message == shown
    assert robot.node.activate()
    assert voices_of(world, "forget").success
    assert list(folder.iterdir()) == []
    world.wait(lambda: voices_of(world, "show").message == "nobody is known", "the erasing")
    assert robot.node.deactivate()
    assert list(folder.iterdir()) == []


def test_what_was_learned_is_saved_now_and_then_for_who_takes_the_place_of_a_node_that_was_killed(
    world, knowing_bundle, tmp_path, monkeypatch
):
    """The first node is never told to stop."""
    folder = str(tmp_path / "voices")
    monkeypatch.setattr(voices, "_SAVE_S", 0.0)
    robot = Robot(world, knowing_bundle, voices_folder=folder)
    robot.give(scene(1))
    robot.last("ann-1")
    robot.node.wait_to_receive()
    assert voices_of(world, "show").message.startswith("ann: 1 utterances heard")
    (kept,) = (tmp_path / "voices").iterdir()
    first = kept.read_text()
    monkeypatch.setattr(voices, "_SAVE_S", 3600.0)
    robot.give(scene(2))
    robot.last("ann-2")
    robot.node.wait_to_receive()
    assert voices_of(world, "show").message.startswith("ann: 2 utterances heard")
    assert kept.read_text() == first, "not after each utterance: a minute is not over yet"
    world.node("emotion", bundle=str(knowing_bundle), voices_folder=folder, arguments=["-r", "__ns:=/next"])
    shown = world.call(Trigger, "/next/emotion/show_voices", Trigger.Request()).message
    assert shown.startswith("ann: 1 utterances heard")


def test_what_is_to_be_erased_is_erased_although_the_node_ends_before_its_worker_comes_to_it(
    world, knowing_bundle, tmp_path
):
    folder = tmp_path / "voices"
    robot = Robot(world, knowing_bundle, voices_folder=str(folder))
    robot.give(scene(1))
    robot.last("ann-1")
    worker = robot.node.node._worker

    def is_busy() -> None:
        while not worker._left:  # until the node has given up what waits
            time.sleep(0.01)

    assert robot.node.node.submit(is_busy)
    assert voices_of(world, "forget").success
    robot.node.node.stop(within_s=0.0)
    assert list(folder.glob("*")) == []
    assert voices_of(world, "show").message == "nobody is known"


def test_an_unconfigured_node_erases_what_earlier_runs_have_kept(world, knowing_bundle, tmp_path):
    kept = tmp_path / "0123456789abcdef.voices.json"
    kept.write_text("damaged")
    world.node("emotion", bundle=str(knowing_bundle), voices_folder=str(tmp_path), autostart=False)
    assert not world.call(ImportVoices, "/emotion/import_voices", ImportVoices.Request(voices="{}")).success
    assert voices_of(world, "forget").success
    assert list(tmp_path.glob("*.json")) == []


def test_what_cannot_be_kept_is_one_sentence_and_the_node_works(world, knowing_bundle, tmp_path):
    (tmp_path / "file").touch()
    robot = Robot(world, knowing_bundle, voices_folder=str(tmp_path / "file"))
    robot.node.wait_for_problem("cannot be read", "make it readable")
    robot.give(scene(1))
    assert robot.last("ann-1").state == Emotion.FINAL
    assert voices_of(world, "show").message.startswith("ann: 1 utterance")


def test_what_was_said_is_judged_and_not_told_where_transcripts_are_off(world, tiny_bundle):
    robot, item = Robot(world, tiny_bundle, transcripts=False), scene(1)
    robot.give(item)
    message = robot.last(item.name)
    assert message.transcript == ""
    assert next(found for found in message.evidence if found.modality == "text").available


def test_how_a_person_is_is_told_at_a_steady_rate_and_so_is_what_a_planner_waits_for(world, tiny_bundle):
    states, events = world.listen(EmotionState, "state"), world.listen(EmotionEvent, "event", kept=True)
    steady = {"state__rate_hz": 20.0, "state__decay_s": 3600.0, "state__events": "happy 0.3 0", "state__least": 0.3}
    robot, item = Robot(world, tiny_bundle, use_sim_time=False, **steady), scene(1)
    robot.give(item)
    label = robot.last(item.name).label
    assert label == "happy"
    world.wait(lambda: len(states) > 3, "states")
    first, later = states[0], states[-1]
    assert (first.label, first.person_id, first.last_utterance_id) == ("happy", "ann", item.name)
    assert sum(first.probabilities) == pytest.approx(1, abs=1e-5)
    assert first.confidence == pytest.approx(max(first.probabilities))
    assert first.since == later.since
    assert later.evidence_age_s > first.evidence_age_s
    world.wait(lambda: len(events) == 1, "the beginning")
    assert (events[0].kind, events[0].condition, events[0].person_id) == (EmotionEvent.BEGIN, "happy 0.3 0", "ann")
    assert robot.node.deactivate()
    world.wait(lambda: len(events) == 2, "the end")
    assert (events[1].kind, events[1].since) == (EmotionEvent.END, events[0].since)
    world.wait(lambda: states[-1].label == "unknown", "the last state")


def test_of_who_is_forgotten_the_last_state_is_unknown_also_where_it_is_a_wait_that_looks(world, tiny_bundle):
    states = world.listen(EmotionState, "state")
    short = {"state__rate_hz": 5.0, "state__decay_s": 3600.0, "state__least": 0.3, "state__forget_s": 1.0}
    robot, item, client = Robot(world, tiny_bundle, use_sim_time=False, **short), scene(1), world.waiting()
    assert client.send("angry", confidence=1.0).accepted
    robot.give(item)
    world.wait(lambda: bool(states) and states[-1].label == "unknown", "the last state")
    seen = len(client.feedback)
    world.wait(lambda: len(client.feedback) > seen + 3, "further looks")
    assert [(state.person_id, state.label) for state in states if state.label != "happy"] == [("ann", "unknown")]
    assert len(states) > 1


def test_a_body_alone_is_told_of_now_and_then_and_becomes_a_state(world, tiny_bundle):
    states = world.listen(EmotionState, "state")
    sure = {"state__rate_hz": 20.0, "state__least": 0.2, "state__gain": 1.0}
    robot = Robot(world, tiny_bundle, use_sim_time=False, **sure)
    robot.give(*demo_values(until_s=16)[1])
    world.wait(lambda: len(robot.emotions) >= 3, "estimates of the body")
    for message in robot.emotions:
        assert (message.state, message.utterance_id, message.voice_id) == (Emotion.CONTINUOUS, "", "")
        assert message.body_id
        assert message.label != "unknown"
        assert [item.available for item in message.evidence] == [False, False, True]
        assert message.header.stamp.sec % 5 == 0
    world.wait(lambda: bool(states), "a state")
    assert (states[-1].person_id, states[-1].last_utterance_id) == (robot.emotions[-1].body_id, "")
    robot.node.wait_for(continuous=len(robot.emotions), final=0)


def test_a_wrong_condition_is_one_sentence_and_can_be_corrected(world, tiny_bundle):
    tested = world.node("emotion", bundle=str(tiny_bundle), state__events="glad 0.6 20")
    tested.wait_for_problem("state.events 'glad 0.6 20'", "'sad 0.6 20'")
    assert tested.state == "unconfigured"
    assert tested.set("state.events", "sad 0.6 20") == ""
    assert tested.configure()
