"""Nodes that are told to end, killed, or hit by a bug while somebody speaks: what was said has its end."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from node_processes import (
    SIGNALS,
    assert_ended_cleanly,
    companion,
    faulty_command,
    node_command,
    parameters,
    run_command,
    running,
    stop,
)
from ros_world import (
    DEMO,
    LAST,
    PATIENCE_S,
    T0,
    AudioFrame,
    ChangeState,
    Emotion,
    Skeleton,
    Tested,
    Transition,
    Utterance,
    World,
    audio_message,
    demo_values,
    skeleton_message,
)

from mser_ros.messages.conversions import time_to_ns
from mser_ros.nodes.replay import ReplaySession
from mser_ros.nodes.subscriptions import SILENCE_S
from mser_ros.types import to_ns


class Talk:
    """Somebody who speaks to the speech node of another process, and all that is said of it."""

    def __init__(self, world: World, bundle: Path) -> None:
        self.world = world
        self._bundle = bundle
        self.emotions: list[Emotion] = world.listen(Emotion, "emotion")
        self.utterances: list[Utterance] = world.listen(Utterance, "utterance")
        self.parameters = parameters(bundle)
        self._audio = demo_values()[0]
        self.ear = world.publisher(AudioFrame, "audio", linked=False)

    def companion(self, name: str, **more: object) -> Tested:
        return companion(self.world, self._bundle, name, **more)

    def link(self) -> None:
        """Wait until everybody hears everybody."""
        links = {("speech", "voice"): 1, ("speech", "utterance"): 2, ("emotion", "emotion"): 1}

        def linked() -> bool:
            values = self.world.diagnostics
            return self.ear.get_subscription_count() > 0 and all(
                int(values.get(f"/{node}", {}).get(f"subscribers {topic}", 0)) >= count
                for (node, topic), count in links.items()
            )

        self.world.wait(linked, "links between the nodes")

    def speak(self, until_s: float) -> None:
        """Go on with the demo bag up to this time; its utterances last from 0.8 to 4.3 s, 5.2 to 8.3 s, ..."""
        while self._audio and self._audio[0].end_ns < T0 + to_ns(until_s):
            self.ear.publish(audio_message(self._audio.pop(0)))

    def begin(self) -> str:
        """Speak until the middle of the first utterance, of which a provisional emotion came; its name."""
        self.link()
        self.speak(3.0)
        return self.begun()

    def begun(self) -> str:
        """The name of the first utterance, once a provisional emotion of it has come."""
        self.world.wait(lambda: bool(self.emotions), "a provisional emotion")
        assert self.emotions[0].state == Emotion.PROVISIONAL
        return str(self.emotions[0].utterance_id)

    def last(self, name: str) -> Emotion:
        """The last emotion of an utterance, when it has come; there is one."""

        def found() -> list[Emotion]:
            return [item for item in self.emotions if item.utterance_id == name and item.state in LAST]

        self.world.wait(lambda: bool(found()), f"the last emotion of {name}")
        (message,) = found()
        return message


@pytest.fixture
def talk(world: World, tiny_bundle: Path) -> Talk:
    return Talk(world, tiny_bundle)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_emotion_node_that_is_told_to_end_says_its_last_word_of_an_open_utterance(talk: Talk, tmp_path, number):
    talk.companion("speech")
    with running(tmp_path, emotion=node_command("emotion", *talk.parameters)) as processes:
        name = talk.begin()
        processes["emotion"].send_signal(number)
        assert talk.last(name).state == Emotion.FINAL
        assert_ended_cleanly(processes["emotion"], tmp_path / "emotion")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_speech_node_that_is_told_to_end_ends_its_open_utterance(talk: Talk, tmp_path, number):
    talk.companion("emotion")
    with running(tmp_path, speech=node_command("speech", *talk.parameters)) as processes:
        name = talk.begin()
        processes["speech"].send_signal(number)
        assert talk.last(name).state == Emotion.FINAL
        talk.world.wait(lambda: talk.utterances[-1].state == Utterance.ENDED, "the end of the utterance")
        assert (talk.utterances[-1].utterance_id, talk.utterances[-1].is_text_final) == (name, True)
        assert_ended_cleanly(processes["speech"], tmp_path / "speech")


@pytest.mark.parametrize("number", SIGNALS)
def test_nodes_in_one_process_that_is_told_to_end_say_their_last_word(talk: Talk, tmp_path, number):
    command = run_command("--no-microphone", "--ros-args", *talk.parameters)
    with running(tmp_path, run=command) as processes:
        name = talk.begin()
        processes["run"].send_signal(number)
        assert talk.last(name).state == Emotion.FINAL
        assert_ended_cleanly(processes["run"], tmp_path / "run")


def test_a_speech_node_that_is_killed_costs_its_utterance_no_last_word_and_is_named_in_the_diagnostics(
    talk: Talk, tmp_path, monkeypatch
):
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")  # of a killed process nobody clears the shared memory
    world, emotion = talk.world, talk.companion("emotion", text_timeout_s=0.5)
    with running(tmp_path, speech=node_command("speech", *talk.parameters)) as processes:
        name = talk.begin()
        kill(world, processes["speech"], "speech", ("/emotion", "voice"))
        assert talk.last(name).state == Emotion.FINAL
        gone = "nobody publishes /voice any more: restart the speech node"
        world.wait(lambda: world.diagnostics["/emotion"]["message"] == gone, "a problem of the emotion node")
        world.wait(lambda: world.diagnostics["/emotion"]["given_up"] == "1", "the count")
        assert emotion.state == "active"


def test_a_model_that_takes_two_seconds_costs_no_audio_and_no_last_emotion(talk: Talk, tmp_path):
    world = talk.world
    talk.companion("speech")
    backlogs: list[int] = []

    def is_judged() -> bool:
        backlogs.append(int(world.diagnostics["/emotion"]["backlog"]))
        ended = [message for message in talk.emotions if message.state in LAST]
        return len(ended) == 1

    rarely = ["-p", "provisional_period_s:=15.0"]  # once while somebody speaks; else it depends on who is faster
    with running(tmp_path, emotion=faulty_command("emotion", "slow", *talk.parameters, *rarely)) as processes:
        talk.link()
        talk.speak(5.1)  # an utterance, faster than anybody speaks
        world.wait(is_judged, "its last emotion")
        assert max(backlogs) > 0, "which is reported"
        finals = [message for message in talk.emotions if message.state == Emotion.FINAL]
        assert {item.modality: item.available for item in finals[0].evidence}["speech"], "no audio is lost"
        world.wait(lambda: world.diagnostics["/emotion"]["backlog"] == "0", "the end of the backlog")
        values = world.diagnostics["/emotion"]
        assert (values["dropped"], values["without_audio"], values["final"]) == ("0", "0", "1")
        assert stop(processes) == {"emotion": 0}


#: How often each node is killed: MSER_TEST_KILLS=20 for a proof that takes its time.
KILLS = int(os.environ.get("MSER_TEST_KILLS", "1"))


#: What is missing of a node that was killed is told within a second; where it is killed once, on a machine that is busy
#: with other tests, sooner than what falls silent without dying.
IN_TIME_S = 1.0 if KILLS > 1 else SILENCE_S


def kill(world: World, process: subprocess.Popen[bytes], name: str, *told: tuple[str, str]) -> None:
    """Kill a node that others have watched; `told`: of which other nodes the diagnostics soon miss which topic."""
    if told:  # the first is fed by it, the next ones by what that passes on
        fed = told[0][0]
        world.wait(
            lambda: f"/{name}" in world.diagnostics[fed]["alive"].split(", "), f"{fed} to hear that {name} lives"
        )
    process.kill()
    killed_s = time.monotonic()
    process.wait()
    for node, topic in told:
        misses = lambda node=node, topic=topic: topic in world.diagnostics[node]["missing"].split(", ")  # noqa: E731
        world.wait(misses, f"{topic} to be missed")
    assert time.monotonic() - killed_s < IN_TIME_S


#: From here on the demo's third utterance is what begins [s].
LATER = T0 // 1_000_000_000 + 9


class Trickle:
    """Audio and skeletons a little at a time, from five seconds after the beginning on, until they come through.

    A dead node is thought of as alive until its lease is over, and a new one knows its publishers later than they know
    it: so what counts as a listener may hear nothing yet.
    """

    def __init__(
        self, world: World, look: Callable[[float], None], speak: Callable[[float], None], passed_on: list[Skeleton]
    ) -> None:
        """`passed_on`: what this test itself gets of the mocap node."""
        self._world, self._look, self._speak, self._passed_on = world, look, speak, passed_on
        self._at_s = 5.0
        self._before = self._received()
        self._report: dict[str, str] = {}

    def _received(self) -> list[int]:
        values = self._world.diagnostics["/emotion"]
        return [int(values["received voice"]), int(values["received skeleton"]), len(self._passed_on)]

    def is_heard_and_seen(self) -> bool:
        """Whether the emotion node has got more of both; else a little more is given, after each of its reports."""
        report = self._world.diagnostics["/emotion"]
        if report is self._report:
            return False
        self._report = report
        if all(now > before for now, before in zip(self._received(), self._before, strict=True)):
            return True
        self._at_s += 0.1
        self._look(self._at_s)
        self._speak(self._at_s)
        return False


@pytest.mark.parametrize("repetition", range(KILLS))
@pytest.mark.parametrize("victim", ["speech", "mocap", "emotion"])
def test_a_node_that_is_killed_in_mid_utterance_is_used_again_when_it_is_back(
    talk: Talk, tmp_path, monkeypatch, victim, repetition
):
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")  # of a killed process nobody clears the shared memory
    hasty = {"emotion": {"text_timeout_s": 1.0, "evidence_timeout_s": 2.0}}
    own = [item for key, value in hasty.get(victim, {}).items() for item in ("-p", f"{victim}:{key}:={value}")]
    command = node_command(victim, *talk.parameters, *own)
    world = talk.world
    survivors = [
        talk.companion(name, **hasty.get(name, {})) for name in ("speech", "mocap", "emotion") if name != victim
    ]
    gives = {"speech": "voice", "mocap": "skeleton"}
    eye, skeletons = world.publisher(Skeleton, "skeleton_in", linked=False), demo_values()[1]

    passed_on: list[Skeleton] = world.listen(Skeleton, "skeleton")
    newest_ns = [0]

    def look(until_s: float) -> None:
        while skeletons and skeletons[0].stamp_ns < T0 + to_ns(until_s):
            newest_ns[0] = skeletons[0].stamp_ns
            eye.publish(skeleton_message(skeletons.pop(0)))

    with running(tmp_path, **{victim: command}) as processes:
        world.wait(lambda: eye.get_subscription_count() > 0, "the mocap node")
        talk.link()
        look(3.0)
        name = talk.begin()
        kill(world, processes[victim], victim, *([("/emotion", gives[victim])] if victim in gives else []))
        look(5.0)
        talk.speak(5.0)
        if victim != "emotion":
            final = talk.last(name)
            assert final.state == Emotion.FINAL, "a survivor's utterance has its end"
            lost = {item.modality for item in final.evidence if item.reason == Emotion.SOURCE_LOST}
            assert ("mocap" if victim == "mocap" else "text") in lost
        with (tmp_path / "again").open("wb") as log:
            processes["again"] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        assert [node.state for node in survivors] == ["active"] * 2, "the others go on"
        for node in ("speech", "mocap", "emotion"):
            world.diagnostics.pop(f"/{node}", None)
        world.wait(lambda: all(f"/{node}" in world.diagnostics for node in ("speech", "mocap", "emotion")), "all nodes")
        trickle = Trickle(world, look, talk.speak, passed_on)
        world.wait(trickle.is_heard_and_seen, "links to and from the new node")
        for at_s in range(6, 16):  # no more at a time than waits in a queue
            look(at_s)
            world.wait(lambda: time_to_ns(passed_on[-1].header.stamp) == newest_ns[0], "the skeletons")
            talk.speak(at_s)

        def ended() -> list[str]:
            return [
                item.utterance_id
                for item in talk.utterances
                if item.state == Utterance.ENDED and item.start.sec >= LATER
            ]

        world.wait(lambda: bool(ended()), "an utterance after that")
        later = ended()[-1]
        final = talk.last(later)
        assert final.state == Emotion.FINAL
        heard = {item.modality: item.available for item in final.evidence}
        assert (heard["speech"], heard["mocap"]) == (True, True), "the new node is used"
        assert stop({"again": processes["again"]}) == {"again": 0}


@pytest.mark.parametrize("repetition", range(KILLS))
def test_a_microphone_node_that_is_killed_in_mid_utterance_is_heard_again_when_it_is_back(
    talk: Talk, tmp_path, monkeypatch, repetition
):
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")  # of a killed process nobody clears the shared memory
    said = np.concatenate([chunk.samples for chunk in demo_values(until_s=9.0)[0]])
    soundfile.write(tmp_path / "said.wav", said, 16000)
    ear = node_command("microphone", "-p", f"file:={tmp_path / 'said.wav'}", "-p", "loop:=true")
    world = talk.world
    others = [talk.companion("speech", stall_s=1.0), talk.companion("emotion")]
    with running(tmp_path) as processes:
        talk.link()
        world.peer.destroy_publisher(talk.ear)  # who speaks is the microphone
        with (tmp_path / "microphone").open("wb") as log:
            processes["microphone"] = subprocess.Popen(ear, stdout=log, stderr=log, start_new_session=True)
        name = talk.begun()
        kill(world, processes["microphone"], "microphone", ("/speech", "audio"), ("/emotion", "voice"))
        gone = "nobody publishes /audio any more: restart the microphone node"
        world.wait(lambda: gone in world.diagnostics["/speech"]["message"], "why that is")
        assert "nothing received on /voice" in world.diagnostics["/emotion"]["message"]
        assert talk.last(name).state == Emotion.FINAL, "what was said has its end"
        assert [node.state for node in others] == ["active"] * 2, "the others go on"
        with (tmp_path / "again").open("wb") as log:
            processes["again"] = subprocess.Popen(ear, stdout=log, stderr=log, start_new_session=True)

        def later() -> list[Emotion]:
            return [item for item in talk.emotions if item.utterance_id != name and item.state == Emotion.FINAL]

        world.wait(lambda: bool(later()), "an utterance after that")
        assert {item.modality: item.available for item in later()[0].evidence}["speech"], "the new node is used"
        world.wait(lambda: not world.diagnostics["/emotion"]["missing"], "nothing to be missed")
        assert stop({"again": processes["again"]}) == {"again": 0}


def replay(session: ReplaySession) -> None:
    """Play the demo's audio into the nodes; each of its utterances gets one last emotion."""
    assert session.wait_for_links(("speech", "emotion"), timeout_s=PATIENCE_S), session.diagnostics
    session.play(DEMO, rate=5.0, topics=("/audio",))
    assert session.finish(rate=5.0), session.diagnostics
    begun = {message.utterance_id for _, message in session.utterances}
    assert len(begun) == 6
    ended = Counter(message.utterance_id for _, message in session.emotions if message.state in LAST)
    assert ended == dict.fromkeys(begun, 1)


def assert_bug_told_once(log: Path) -> None:
    said = log.read_text()
    assert said.count("Traceback") == 1
    assert said.count("ValueError: injected") == 1


def test_a_bug_in_the_recognition_of_one_utterance_costs_that_estimate_only(world: World, tiny_bundle, tmp_path):
    companion(world, tiny_bundle, "speech", use_sim_time=True)
    command = faulty_command("emotion", "recognize", *parameters(tiny_bundle), "-p", "use_sim_time:=true")
    with running(tmp_path, emotion=command) as processes, ReplaySession() as session:
        replay(session)
        finals = [message for _, message in session.emotions if message.state == Emotion.FINAL]
        assert [message.abstain_reason for message in finals] == [Emotion.FAILED, *[Emotion.NONE] * 5]
        assert (finals[0].label, finals[0].confidence) == ("unknown", 0.0)
        values = session.diagnostics["emotion"]
        assert (values["state"], values["failed"], values["bugs"], values["final"]) == ("active", "1", "1", "6")
        assert stop(processes) == {"emotion": 0}
    assert_bug_told_once(tmp_path / "emotion")


def test_a_bug_in_the_reading_of_one_utterance_costs_its_words_only(world: World, tiny_bundle, tmp_path):
    companion(world, tiny_bundle, "emotion", use_sim_time=True)
    command = faulty_command("speech", "finish", *parameters(tiny_bundle), "-p", "use_sim_time:=true")
    with running(tmp_path, speech=command) as processes, ReplaySession() as session:
        replay(session)
        assert {message.abstain_reason for _, message in session.emotions} == {Emotion.NONE}
        values = session.diagnostics["speech"]
        assert (values["state"], values["unread"], values["bugs"], values["utterances"]) == ("active", "1", "1", "6")
        assert stop(processes) == {"speech": 0}
    assert_bug_told_once(tmp_path / "speech")


@pytest.mark.parametrize("recovered", [True, False])
def test_a_bug_elsewhere_ends_the_work_not_the_node(talk: Talk, tmp_path, recovered):
    world = talk.world
    talk.companion("speech")
    with running(tmp_path, emotion=faulty_command("emotion", "push_event", *talk.parameters)) as processes:
        talk.link()
        talk.speak(3.0)
        world.wait(lambda: world.diagnostics["/emotion"]["state"] == "unconfigured", "the end of the error state")
        assert world.diagnostics["/emotion"]["level"] == "2"
        assert (
            "a bug, please report it with the log: ValueError('injected')" in world.diagnostics["/emotion"]["message"]
        )
        name = talk.utterances[0].utterance_id
        assert talk.last(name).state == Emotion.FINAL, "what was open is finished"
        if recovered:
            for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
                request = ChangeState.Request(transition=Transition(id=transition))
                assert world.call(ChangeState, "/emotion/change_state", request).success
            world.wait(lambda: world.diagnostics["/emotion"]["level"] == "0", "diagnostics without a problem")
            talk.link()
            talk.speak(9.0)  # the rest of that utterance, and another one
            world.wait(lambda: len({message.utterance_id for message in talk.utterances}) == 2, "another utterance")
            assert talk.last(talk.utterances[-1].utterance_id).state == Emotion.FINAL
            talk.last(name)
        assert stop(processes) == {"emotion": 0 if recovered else 1}
    assert_bug_told_once(tmp_path / "emotion")
