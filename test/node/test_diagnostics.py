"""What the diagnostics tell: problems that are over are not shown, silence and lost sources are, texts are short."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from emotion_robot import scene
from rclpy.node import Node
from ros_world import (
    T0,
    AudioFrame,
    Bool,
    Context,
    Skeleton,
    Utterance,
    audio_message,
    demo_values,
    rclpy,
    skeleton_message,
    utterance_message,
)

from mser_ros.errors import AudioError
from mser_ros.messages.conversions import MAX_TEXT
from mser_ros.nodes import clock, diagnostics, events, heartbeat, inputs, liveliness, subscriptions
from mser_ros.nodes.diagnostics import LASTS_S, UNTIL_CLEARED, Health, Level, Pace, Problem, build_status
from mser_ros.types import to_ns


class Log:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.fatals: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def fatal(self, text: str) -> None:
        self.fatals.append(text)


class Patient:
    """What is told of the health of a node, with a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.log = Log()
        self.health = Health(self.log, clock=lambda: self.now_s)

    @property
    def sentence(self) -> str:
        problem = self.health.current()
        return problem.sentence if problem else ""


@pytest.fixture
def patient() -> Patient:
    return Patient()


def caught(error: Exception) -> Exception:
    """The error with a traceback."""
    try:
        raise error
    except Exception as raised:
        return raised


def test_the_pages_tell_how_long_a_problem_is_shown_and_when_an_input_is_missing():
    pages = ("troubleshooting.md", "topics.md")
    texts = ((Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8") for page in pages)
    text = " ".join(" ".join(texts).split())
    assert f"shows it as WARN for {LASTS_S:.0f} s" in text
    assert f"an ERROR once that has been gone for {subscriptions.SILENCE_S:.0f} s" in text
    assert f"by its liveliness (DDS, {liveliness.LEASE_S:.1f} s)" in text
    assert subscriptions.PAUSE_S + heartbeat._BEAT_S < 1, "within a second"


# -- the health of a node


def test_a_problem_is_shown_until_it_has_aged_out_and_its_count_stays(patient):
    patient.health.reject(AudioError("0 channels: set it"))
    patient.now_s += LASTS_S - 0.1
    assert patient.health.current() == Problem("0 channels: set it", Level.WARN, 1000.0 + LASTS_S)
    patient.now_s += 0.2
    assert patient.health.current() is None
    assert patient.health.rejected == 1


def test_what_occurs_again_is_shown_longer(patient):
    patient.health.reject(AudioError("first"))
    patient.now_s += LASTS_S / 2
    patient.health.reject(AudioError("second"))
    patient.now_s += LASTS_S * 0.9
    assert patient.sentence == "second"


def test_a_problem_that_only_the_life_cycle_mends_is_shown_until_then_and_hidden_by_nothing(patient):
    patient.health.bug(caught(ValueError("broken")), lasts_s=UNTIL_CLEARED)
    patient.health.bug(caught(KeyError("another, of one utterance")))
    patient.health.warn("data")
    patient.now_s += 1e6
    assert "ValueError('broken')" in patient.sentence
    assert patient.health.current().level is Level.ERROR
    patient.health.clear()
    assert patient.health.current() is None
    assert patient.health.bugs == 0


def test_the_worse_problem_is_shown_and_after_it_the_lesser_one_that_still_lasts(patient):
    patient.health.bug(caught(ValueError("broken")))
    patient.now_s += LASTS_S / 2
    patient.health.warn("data")
    assert "broken" in patient.sentence
    patient.now_s += LASTS_S * 0.6
    assert patient.sentence == "data"


def test_each_kind_of_problem_is_logged_once_in_a_while_however_often_it_occurs(patient):
    for number in range(100):
        patient.health.reject(AudioError(f"{number} channels"))
        patient.health.reject(AudioError(f"a rate of {number / 7}"))
        patient.now_s += 0.1
    assert len(patient.log.warnings) == 2 * 2  # ten seconds, one line in five
    assert patient.health.rejected == 200


def test_a_bug_is_logged_once_with_its_traceback(patient):
    for number in range(100):
        patient.health.bug(caught(ValueError(f"at {number}")))
        patient.now_s += 60
    (logged,) = patient.log.fatals
    assert logged.startswith("Traceback")
    assert "raise error" in logged
    assert "ValueError: at 0" in logged
    assert patient.health.bugs == 100


def test_thousands_of_kinds_fill_no_memory(patient):
    for number in range(10_000):
        patient.health.warn("x" * (number % 500) + chr(97 + number % 20))
    assert len(patient.health._logged_at) <= diagnostics._KINDS


def test_what_is_logged_and_shown_is_one_line_of_bounded_length_that_still_ends_with_the_cure(patient):
    patient.health.warn(f"unknown layout '{'l' * 100_000}\nand\n{'m' * 100_000}': use one of egait16, body25")
    (logged,) = patient.log.warnings
    assert logged == patient.sentence
    assert len(logged) <= diagnostics.LONGEST_SENTENCE
    assert "\n" not in logged
    assert logged.startswith("unknown layout 'lll")
    assert logged.endswith("': use one of egait16, body25")
    assert "(199" in logged, "what is left out is counted"
    patient.health.bug(caught(ValueError("v" * 1_000_000)))
    assert len(patient.log.fatals[0]) <= diagnostics.LONGEST_TRACEBACK


@pytest.mark.parametrize(
    ("problem", "level", "message"),
    [
        (None, 0, "active"),
        (Problem("data: mend it"), 1, "data: mend it"),
        (Problem("gone: restart it", Level.ERROR), 2, "gone: restart it"),
    ],
)
def test_a_status_has_the_level_and_the_sentence_of_the_problem_or_the_state(problem, level, message):
    status = build_status("/speech", "active", problem, {"received audio": 7})
    assert status.level == bytes([level])
    assert (status.name, status.message) == ("/speech", message)
    assert {item.key: item.value for item in status.values} == {"state": "active", "received audio": "7"}


def test_a_rate_is_that_of_the_time_since_it_was_asked_for_unless_that_is_too_short(patient):
    pace = Pace(clock=lambda: patient.now_s)
    assert (pace.rate_hz(), pace.age_s()) == (0, -1)
    for _ in range(30):
        patient.now_s += 0.1
        pace.note()
    assert pace.rate_hz() == pytest.approx(10)
    patient.now_s += 0.3
    assert (pace.rate_hz(), pace.age_s()) == (pytest.approx(10), pytest.approx(0.3))
    patient.now_s += 0.7
    assert pace.rate_hz() == 0


# -- the nodes


def test_how_often_an_input_comes_and_how_old_it_is_are_told_and_which_skeletons_were_lost(world, tiny_bundle):
    mocap, emotion = world.node("mocap"), world.node("emotion", bundle=str(tiny_bundle))
    world.wait_for_outputs(mocap, "skeleton")
    eye, frames = world.publisher(Skeleton, "skeleton_in"), demo_values(until_s=4)[1]
    assert mocap.value("age skeleton_in") == "", "nothing has come yet"
    reports = world.listen(DiagnosticArray, "/diagnostics")
    for at, frame in enumerate(frames):
        if at not in (50, 51, 70):
            eye.publish(skeleton_message(frame))
        if at % 10 == 0:
            mocap.wait_to_receive(skeleton_in=at - 10)

    world.wait(lambda: all(node.value("missed") == "3" for node in (mocap, emotion)), "the skeletons that are missing")
    world.wait(lambda: float(mocap.value("age skeleton_in")) > 1, "an age that grows")
    world.wait(lambda: float(mocap.value("rate skeleton_in")) == 0, "a rate of nothing")
    values = [item for report in list(reports) for status in report.status for item in status.values]
    assert max(float(item.value) for item in values if item.key == "rate skeleton_in") > 5


def test_a_bad_block_leaves_a_warning_for_a_while_and_its_count_for_good(world):
    tested = world.node("speech", asr__backend="none")
    audio = world.publisher(AudioFrame, "audio")
    message = audio_message(demo_values(until_s=0.2)[0][0])
    message.channels = 0
    audio.publish(message)
    tested.wait_for_problem("0 channels")
    assert (tested.value("level"), tested.value("message")) == ("1", tested.problem)
    tested.node.health._clock = lambda: time.monotonic() + LASTS_S
    world.wait(lambda: not tested.problem, "diagnostics without a problem")
    world.wait(lambda: (audio.publish(message_of_silence()), tested.value("level"))[1] == "0", "the level OK")
    assert (tested.value("message"), tested.value("rejected")) == ("active", "1")


def test_what_has_changed_is_told_at_once_however_long_it_is_until_the_next_report(world, monkeypatch):
    monkeypatch.setattr(heartbeat, "_REPORT_S", float("inf"))
    tested = world.node("speech", asr__backend="none")
    world.wait(lambda: tested.value("state") == "active", "the state")
    world.listen(AudioFrame, "voice")
    world.wait(lambda: tested.value("subscribers voice") == "1", "who listens")
    message = audio_message(demo_values(until_s=0.2)[0][0])
    message.channels = 0
    world.publisher(AudioFrame, "audio").publish(message)
    tested.wait_for_problem("0 channels")
    assert tested.deactivate()
    world.wait(lambda: tested.value("state") == "inactive", "the state")


def message_of_silence() -> AudioFrame:
    return AudioFrame(sample_rate=16000, channels=1)


@pytest.fixture
def impatient(monkeypatch):
    """Silence is a problem after a second, so that no test waits longer for it."""
    monkeypatch.setattr(subscriptions, "SILENCE_S", 1.0)
    monkeypatch.setattr(inputs, "_WORTH_A_LINE_S", 0.0)
    monkeypatch.setattr(inputs, "REMINDER_S", float("inf"))


def test_silence_where_audio_is_expected_is_told_before_the_first_message_and_after_the_last(world, impatient, capfd):
    tested = world.node("speech", asr__backend="none")
    audio = world.publisher(AudioFrame, "audio")
    for _ in range(2):
        world.wait(lambda: tested.value("level") == "1", "a warning")
        assert "nothing received on /audio for" in tested.value("message")
        assert "start or activate the microphone node or another source, or remap 'audio'" in tested.value("message")
        assert (tested.value("state"), tested.problem) == ("active", "")
        world.wait(lambda: (audio.publish(message_of_silence()), tested.value("level"))[1] == "0", "the level OK")
        assert tested.value("message") == "active"
    assert capfd.readouterr().err.count("nothing received on /audio") == 1, "the log is not filled with it"
    assert tested.deactivate()
    world.wait(lambda: tested.value("message") == "inactive", "the state alone: an inactive node expects nothing")


class Listened:
    """A steady input of a node, with a clock that the test sets."""

    def __init__(self, world):
        self.now_s = 1000.0
        self.item = subscriptions.InputTopic(
            world.peer,
            AudioFrame,
            "audio",
            lambda message: None,
            depth=1,
            flow=subscriptions.Flow.STEADY,
            source="the microphone node",
            clock=lambda: self.now_s,
        )

    def receive(self, *gaps_s: float) -> None:
        for gap_s in gaps_s:
            self.now_s += gap_s
            self.item._receive(message_of_silence())

    def is_missed_after(self, silent_s: float) -> bool:
        self.now_s += silent_s
        problem = self.item.missing()
        self.now_s -= silent_s
        return problem is not None


def test_a_steady_input_is_missed_within_a_second_and_at_its_start_after_six(world):
    listened = Listened(world)
    assert not listened.is_missed_after(5.9)
    assert listened.is_missed_after(6.0)
    listened.receive(*[0.064] * 100)
    assert not listened.is_missed_after(0.6)
    assert listened.is_missed_after(0.75)


def test_how_soon_it_is_missed_depends_on_the_pauses_that_it_makes(world):
    listened = Listened(world)
    listened.receive(*[0.5] * 10)
    assert not listened.is_missed_after(1.4)
    assert listened.is_missed_after(1.6)
    listened.receive(30.0)
    assert listened.is_missed_after(6.0), "however long it was silent before"
    listened.receive(*[0.064] * 50)
    assert listened.is_missed_after(0.75), "what was long ago does not count"


def test_what_its_source_promises_is_waited_for_as_if_something_had_come(world):
    listened = Listened(world)
    listened.now_s += 5.9
    listened.item.promise()
    assert listened.is_missed_after(0.1), "of what never came, more cannot come"
    listened.receive(*[0.064] * 50)
    for _ in range(20):
        listened.now_s += 0.3
        assert not listened.is_missed_after(0.3)
        listened.item.promise()
    assert not listened.is_missed_after(0.6)
    assert listened.is_missed_after(0.75)
    listened.receive(0.1)
    assert listened.is_missed_after(0.75), "it is no pause that the input makes"


def test_of_a_node_that_was_killed_it_is_known_until_it_is_back_or_nobody_expects_it(world):
    """Although the middleware forgets it, which the graph may hear of later."""
    news: list[object] = []
    sources = liveliness.Sources(world.peer, lambda: news.append(None))
    other = Node("other", context=world.context)
    liveliness.show_life(other)
    told: list[Any] = []
    create = world.peer.create_subscription

    def keep(*arguments: Any, event_callbacks: Any, **more: Any) -> Any:
        told.append(event_callbacks.liveliness)
        return create(*arguments, event_callbacks=event_callbacks, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.peer, "create_subscription", keep)
        world.wait(lambda: (sources.watch({"/other"}), bool(told))[1], "who shows that it lives")
    for alive, dead, is_dead in ((0, 1, True), (0, 0, True), (1, 1, False), (0, 1, True)):
        told[0](SimpleNamespace(alive_count=alive, not_alive_count=dead))
        assert sources.has_died("/other") == is_dead
    assert len(news) == 3
    sources.watch(())
    assert not sources.has_died("/other")
    other.destroy_node()


def test_where_the_news_that_a_node_lives_was_lost_it_is_asked_for_anew(world, monkeypatch):
    now_s = [0.0]
    sources = liveliness.Sources(world.peer, lambda: None, clock=lambda: now_s[0])
    elsewhere = Context()  # as in another process
    rclpy.init(context=elsewhere, args=[])
    other = Node("other", context=elsewhere)
    liveliness.show_life(other)
    lost: list[object] = []
    as_it_is = events.of_subscription

    def lose(note: Any) -> Any:
        lost.append(note)
        return as_it_is(None if len(lost) == 1 else note)

    monkeypatch.setattr(events, "of_subscription", lose)
    world.wait(lambda: (sources.watch({"/other"}), bool(lost))[1], "who shows that it lives")
    now_s[0] = 1.9
    sources.watch({"/other"})
    assert len(lost) == 1, "it may come yet"
    now_s[0] = 2.1
    sources.watch({"/other"})
    assert len(lost) == 2
    world.wait(lambda: "/other" in sources.alive, "the news")
    now_s[0] = 100.0
    sources.watch({"/other"})
    assert len(lost) == 2, "nothing is missing"
    sources.close()
    other.destroy_node()
    elsewhere.try_shutdown()


def test_what_waits_since_the_node_was_held_up_is_not_missed(world):
    listened = Listened(world)
    listened.receive(*[0.064] * 50)
    listened.now_s += 3.0
    listened.item.excuse(2.9)
    assert not listened.is_missed_after(0.5)
    assert listened.is_missed_after(0.75)


def test_an_input_that_rests_is_not_missed(world):
    listened = Listened(world)
    listened.receive(*[0.064] * 50)
    listened.item.rest(True)
    assert not listened.is_missed_after(100)
    listened.now_s += 100
    listened.item.rest(False)
    assert not listened.is_missed_after(5.9)
    assert listened.is_missed_after(6.1)


@pytest.mark.parametrize(("topic", "rests"), [("listening", False), ("robot_speaking", True)])
def test_a_voice_that_has_a_reason_to_be_silent_is_not_missed(world, tiny_bundle, impatient, topic, rests):
    tested = world.node("emotion", bundle=str(tiny_bundle))
    voice = world.publisher(AudioFrame, "voice")
    why = world.publisher(Bool, topic)
    item = next(item for item in tested.node.inputs.topics if item.topic == "voice")

    def is_missed() -> bool:
        return "voice" in tested.value("missing")

    voice.publish(audio_message(scene(1).voice[0]))
    world.wait(is_missed, "the voice to be missed")
    assert "nothing received on /voice" in tested.value("message")
    why.publish(Bool(data=rests))
    world.wait(lambda: not is_missed(), "a reason")
    world.wait(lambda: time.monotonic() - item._received_s > 2 * subscriptions.PAUSE_S, "a while")
    assert item.missing() is None
    why.publish(Bool(data=not rests))
    voice.publish(audio_message(scene(1).voice[0]))
    world.wait(is_missed, "the voice to be missed again")


def test_a_robots_voice_that_has_gone_is_no_reason_for_silence(world, tiny_bundle, impatient):
    tested = world.node("emotion", bundle=str(tiny_bundle))
    voice = world.publisher(AudioFrame, "voice")
    robot = world.publisher(Bool, "robot_speaking")
    robot.publish(Bool(data=True))
    tested.wait_to_receive(robot_speaking=1)
    voice.publish(audio_message(scene(1).voice[0]))
    tested.wait_to_receive(voice=1)
    world.peer.destroy_publisher(robot)
    world.wait(lambda: {"voice", "robot_speaking"} <= set(tested.value("missing").split(", ")), "both to be missed")


def test_a_voice_that_waits_for_words_is_not_missed_until_nothing_tells_so_any_more(world, tiny_bundle):
    tested = world.node("emotion", bundle=str(tiny_bundle))
    voice = world.publisher(AudioFrame, "voice")
    listening = world.publisher(Bool, "listening")
    item = next(item for item in tested.node.inputs.topics if item.topic == "voice")
    voice.publish(audio_message(scene(1).voice[0]))
    world.wait(lambda: item.received == 1, "the voice")
    told_s = time.monotonic()

    def has_waited() -> bool:
        listening.publish(Bool(data=True))
        return time.monotonic() - told_s > 3 * subscriptions.PAUSE_S

    world.wait(has_waited, "a while")
    assert item.missing() is None
    world.wait(lambda: "voice" in tested.value("missing"), "the voice to be missed")


def test_a_tracker_that_nobody_has_started_is_told_but_not_that_it_sees_nobody(world, impatient):
    tested = world.node("mocap")
    world.wait(lambda: tested.value("level") == "1", "a warning")
    assert tested.value("message") == (
        "nobody publishes /skeleton_in: start the tracker, or remap 'skeleton_in' to its topic"
    )
    world.publisher(Skeleton, "skeleton_in")
    world.wait(lambda: tested.value("level") == "0", "the level OK")
    item = tested.node.inputs.topics[0]
    world.wait(lambda: time.monotonic() - item._received_s > 3 * subscriptions.SILENCE_S, "a long silence")
    assert item.missing() is None


def test_the_emotion_node_tells_which_node_it_lacks_and_an_error_where_it_was_there(world, tiny_bundle, impatient):
    tested = world.node("emotion", bundle=str(tiny_bundle))
    world.wait(lambda: "/voice" in tested.value("message"), "a warning of the voice")
    assert "the speech node" in tested.value("message")
    assert tested.value("level") == "1"
    voice = world.publisher(AudioFrame, "voice")
    utterance, skeleton = world.publisher(Utterance, "utterance"), world.publisher(Skeleton, "skeleton")

    def is_well() -> bool:
        voice.publish(audio_message(scene(1).voice[0]))
        return tested.value("level") == "0"

    world.wait(is_well, "the level OK")
    world.peer.destroy_publisher(skeleton)
    world.wait(lambda: (is_well(), tested.value("level"))[1] == "2", "an error")
    assert tested.value("message") == "nobody publishes /skeleton any more: restart the mocap node"
    skeleton = world.publisher(Skeleton, "skeleton")
    world.wait(is_well, "the level OK")
    world.peer.destroy_publisher(utterance)
    world.wait(lambda: (is_well(), tested.value("level"))[1] == "2", "an error")
    assert tested.value("message") == "nobody publishes /utterance any more: restart the speech node"


def test_a_body_that_was_never_there_is_not_missed(world, tiny_bundle, impatient):
    tested = world.node("emotion", bundle=str(tiny_bundle))
    voice = world.publisher(AudioFrame, "voice")
    world.publisher(Utterance, "utterance")
    item = next(item for item in tested.node.inputs.topics if item.topic == "skeleton")
    world.wait(lambda: time.monotonic() - item._published_s > 3 * subscriptions.SILENCE_S, "a long absence")
    assert item.missing() is None
    world.wait(
        lambda: (voice.publish(audio_message(scene(1).voice[0])), tested.value("level"))[1] == "0", "the level OK"
    )


def test_a_layout_name_of_a_hundred_thousand_letters_is_a_short_line_in_the_log(world, capfd):
    tested = world.node("mocap")
    frame = demo_values(until_s=0.2)[1][0]
    world.publisher(Skeleton, "skeleton_in").publish(skeleton_message(replace(frame, layout="l" * 100_000)))
    tested.wait_for_problem("layout has 100000 characters: send at most 256")
    assert len(tested.problem) < 100
    assert len(capfd.readouterr().err) < 1000
    tested.wait_for(rejected=1)


def test_a_parameter_of_a_hundred_thousand_letters_is_a_short_line_in_the_log(world, capfd):
    tested = world.node("mocap", layout="l" * 100_000)
    tested.wait_for_problem("unknown joint layout 'lll", "characters", "or add a file to config/skeletons")
    assert len(capfd.readouterr().err) < 2000
    assert len(tested.set("min_confidence", "x" * 100_000)) < 1000


def test_texts_that_no_utterance_has_are_refused_and_kept_nowhere(world, tiny_bundle):
    tested = world.node("emotion", bundle=str(tiny_bundle))
    utterance = world.publisher(Utterance, "utterance")
    started = scene(1).events[0]
    for text in ("t" * 500_000, "t" * (MAX_TEXT + 1)):
        utterance.publish(utterance_message(replace(started, transcript=replace(started.transcript, text=text))))
    utterance.publish(utterance_message(replace(started, utterance_id="u" * 500_000)))
    tested.wait_to_receive(utterance=3)
    tested.wait_for(rejected=3)
    tested.wait_for_problem("send at most")
    assert not tested.node._stage.is_waiting
    longest = replace(started, transcript=replace(started.transcript, text="t" * MAX_TEXT))
    utterance.publish(utterance_message(longest))
    tested.wait_to_receive(utterance=4)
    assert tested.node._stage.is_waiting


def test_a_middleware_that_tells_nothing_of_liveliness_is_no_problem(world, tiny_bundle, monkeypatch):
    class Refusing(events.SubscriptionEventCallbacks):
        def create_event_handlers(self, *arguments: object) -> list:
            if self.liveliness is not None:
                raise RuntimeError("no such event")
            return super().create_event_handlers(*arguments)

    monkeypatch.setattr(events, "SubscriptionEventCallbacks", Refusing)
    tested = world.node("emotion", bundle=str(tiny_bundle))
    with world.stranger() as stranger:
        liveliness.show_life(stranger)
        voice = stranger.create_publisher(AudioFrame, "voice", 10)
        world.wait(lambda: "/stranger" in tested.node.inputs.sources._watched, "a source")
        assert not tested.node.inputs.sources.has_died("/stranger")
        stranger.destroy_publisher(voice)
        world.wait(lambda: "/stranger" not in tested.node.inputs.sources._watched, "its end")
    tested.wait_for(bugs=0)


def test_a_simulation_without_a_clock_is_told_until_there_is_one(world, monkeypatch):
    monkeypatch.setattr(clock, "SILENCE_S", 0.5)
    tested = world.node("mocap", use_sim_time=True)
    hint = "use_sim_time is true, and nothing comes on /clock"
    world.wait(lambda: hint in tested.value("message"), "the hint")
    assert tested.value("level") == "1"
    world.set_clock(T0, tested)
    world.wait(lambda: hint not in tested.value("message"), "that all is well")


def test_a_clock_that_is_set_back_is_one_line_of_each_node_and_one_that_goes_on_is_none(world, tiny_bundle, capfd):
    nodes = [world.node("mocap", use_sim_time=True), world.node("emotion", bundle=str(tiny_bundle), use_sim_time=True)]
    for at_s in (100, 101, 5000, 4999.5, 10):
        world.set_clock(T0 + to_ns(at_s), *nodes)
    said = ""

    def told() -> list[str]:
        nonlocal said
        said += capfd.readouterr().err
        return [line for line in said.splitlines() if "the clock was set back by" in line]

    world.wait(lambda: len(told()) >= len(nodes), "what each node tells, which is after it goes by the new time")
    assert all("by 4990 s" in line for line in told()), "a small correction is none"
    assert len(told()) == len(nodes)
