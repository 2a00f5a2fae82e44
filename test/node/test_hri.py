"""ROS4HRI between processes that have hri_msgs: voices are heard apart, persons followed; and what is without it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clips import silence, spoken
from emotion_robot import Scene, scene
from foreign_messages import Peer, nodes_process
from policy import policy
from ros_world import (
    T0,
    AudioFrame,
    Bool,
    Emotion,
    EmotionState,
    ExportVoices,
    Skeleton,
    String,
    Utterance,
    World,
    audio_message,
    skeleton_message,
    utterance_message,
)

from mser_ros.messages.conversions import ns_to_time
from mser_ros.nodes.hri import Persons, Publishers, Voices
from mser_ros.stages.identities import Kind
from mser_ros.types import AudioChunk, Transcript, UtteranceEvent, UtteranceState, to_ns

PAGE = Path(__file__).parents[2] / "docs" / "ros4hri.md"
BLOCK = 1600
VOICES, PERSONS = "/humans/voices", "/humans/persons"


class Node:
    """A node in a process of its own, by what its diagnostics say."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name

    def value(self, key: str) -> str:
        return self.world.diagnostics.get(f"/{self.name}", {}).get(key, "")

    def wait_for(self, **values: object) -> None:
        """Wait until the diagnostics show these; '__' stands for a blank."""
        wanted = {key.replace("__", " "): str(value) for key, value in values.items()}
        self.world.wait(lambda: all(self.value(key) == value for key, value in wanted.items()), f"{wanted}")


@contextmanager
def running(
    world: World, tmp_path: Path, name: str, prefixes: tuple[str, ...], *rules: str, **parameters: object
) -> Iterator[tuple[Node, Peer]]:
    """A node and what talks to it. `rules`: of remapping."""
    given = [part for key, value in parameters.items() for part in ("-p", f"{key.replace('__', '.')}:={value}")]
    given += [part for rule in rules for part in ("-r", rule)]
    with nodes_process(name, tmp_path / name, {"": given}, prefixes), Peer(world, *prefixes) as peer:
        node = Node(world, name)
        node.wait_for(state="active")
        yield node, peer


def header(at_s: float) -> dict[str, Any]:
    return {"stamp": ns_to_time(T0 + to_ns(at_s)), "frame_id": "ear"}


def audio(samples: np.ndarray) -> list[dict[str, Any]]:
    """As ros-drivers' `AudioData`."""
    return [{"data": list(samples[at : at + BLOCK].tobytes())} for at in range(0, len(samples), BLOCK)]


def frames(samples: np.ndarray, *, at_s: float = 0.0) -> list[AudioFrame]:
    return [
        audio_message(AudioChunk(samples[at : at + BLOCK, np.newaxis], 16000, T0 + to_ns(at_s) + at * 62_500))
        for at in range(0, len(samples), BLOCK)
    ]


def assert_documented(world: World, name: str) -> None:
    """What a node does below /humans is what the page says."""
    rows = set(re.findall(r"^\| `(/humans\S*)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    of_speech = {row for row in rows if row.startswith(VOICES) and not row.endswith("expression")}
    wanted = of_speech if name == "speech" else rows - of_speech | {f"{VOICES}/tracked"}

    def found() -> set[str]:
        listed = world.peer.get_publisher_names_and_types_by_node(name, "/")
        listed += world.peer.get_subscriber_names_and_types_by_node(name, "/")
        return {
            re.sub(r"^(/humans/\w+)/\w+/", r"\1/<id>/", topic) for topic, _ in listed if topic.startswith("/humans")
        }

    world.wait(lambda: found() == wanted, f"{sorted(wanted)} to be all of {name} below /humans")
    assert_allowed(world, name)


def assert_allowed(world: World, name: str) -> None:
    """What a node does below /humans is what the policy for SROS2 allows, and that is no more than it does, and what it
    does where another recogniser reads."""
    publishes = world.peer.get_publisher_names_and_types_by_node(name, "/")
    subscribes = world.peer.get_subscriber_names_and_types_by_node(name, "/")
    for right, listed in (("publish", publishes), ("subscribe", subscribes)):
        opened = {topic for topic, _ in listed if topic.startswith("/humans/")}
        allowed = {topic for topic in policy()[name]["topics", right] if topic.startswith("/humans/")}
        assert [topic for topic in opened if not any(fnmatch(topic, pattern) for pattern in allowed)] == []
        idle = {pattern for pattern in allowed if not any(fnmatch(topic, pattern) for topic in opened)}
        assert idle <= ({f"{VOICES}/*/speech"} if right == "subscribe" else set())


def test_each_voice_is_heard_apart_and_told_of_until_it_is_gone(world: World, tmp_path):
    utterances = world.listen(Utterance, "utterance")
    parameters = {"asr__backend": "pocketsphinx", "ros4hri__enabled": True, "stall_s": 30.0}
    with running(world, tmp_path, "speech", ("hri", "audio_drivers"), **parameters) as (node, peer):
        plain = world.publisher(AudioFrame, "audio")
        peer.publish("hri_msgs/IdsList", f"{VOICES}/tracked", {"ids": ["ann", "bob", "ann"]}, kept=True)
        node.wait_for(voices=2)
        speech = {name: peer.listen("hri_msgs/LiveSpeech", f"{VOICES}/{name}/speech") for name in ("ann", "bob")}
        speaking = {
            name: peer.listen("std_msgs/Bool", f"{VOICES}/{name}/is_speaking", kept=True) for name in ("ann", "bob")
        }
        node.wait_for(**{f"subscribers__{VOICES}/{name}/speech": 1 for name in ("ann", "bob")})
        assert_documented(world, "speech")
        said = np.concatenate([silence(0.5), spoken(0), silence(1.0)])
        peer.publish("audio_common_msgs/AudioData", f"{VOICES}/ann/audio", *audio(said))
        peer.publish("audio_common_msgs/AudioData", f"{VOICES}/bob/audio", *audio(silence(1.0)))
        world.wait(lambda: any(item["final"] for item in speech["ann"]), "what ann says")
        world.wait(lambda: utterances[-1].is_text_final, "the same as an utterance")
        final = speech["ann"][-1]
        assert final["final"] == final["incremental"] == utterances[-1].text != ""
        assert (final["language"], utterances[-1].voice_id) == ("en", "ann")
        assert final["confidence"] == pytest.approx(utterances[-1].text_confidence)
        assert final["header"]["stamp"]["sec"] == utterances[-1].header.stamp.sec
        assert all(not item["final"] and item["incremental"] for item in speech["ann"][:-1])
        world.wait(lambda: [item["data"] for item in speaking["ann"]][-2:] == [True, False], "ann to speak and end")
        assert not speech["bob"]

        for message in frames(silence(0.3)):
            plain.publish(message)
        node.wait_for(replaced_samples=4800)
        peer.publish("audio_common_msgs/AudioData", f"{VOICES}/bob/audio", *audio(said[:-8000]))
        world.wait(lambda: [item["data"] for item in speaking["bob"]] == [True], "bob to speak")
        peer.publish("hri_msgs/IdsList", f"{VOICES}/tracked", {"ids": ["ann"]}, kept=True)
        world.wait(lambda: bool(speech["bob"]) and speech["bob"][-1]["final"], "what bob said when he was lost")
        world.wait(lambda: not speaking["bob"][-1]["data"], "bob to speak no more")
        node.wait_for(voices=1)
        world.wait(lambda: world.peer.count_publishers(f"{VOICES}/bob/speech") == 0, "bob's topics to be gone")
        peer.publish("hri_msgs/IdsList", f"{VOICES}/tracked", {"ids": ["two words"]}, kept=True)
        node.wait_for(rejected=1, voices=1)
        assert "letters, digits and '_'" in node.value("last problem")
        peer.stop(f"{VOICES}/tracked")  # its node has crashed: nobody says who leaves, and the robot must not be deaf
        node.wait_for(voices=0)
        before = int(node.value("utterances"))
        for message in frames(said, at_s=20):
            plain.publish(message)
        node.wait_for(utterances=before + 1)
        peer.publish("hri_msgs/IdsList", f"{VOICES}/tracked", {"ids": ["ann"]}, kept=True)
        node.wait_for(voices=1)


class Mind:
    """The emotion node in its own process with what surrounds it."""

    def __init__(self, world: World, node: Node) -> None:
        self.world = world
        self.node = node
        self.emotions = world.listen(Emotion, "emotion")
        self.states = world.listen(EmotionState, "state")
        kinds = {"voice": AudioFrame, "utterance": Utterance, "skeleton": Skeleton}
        self._publishers = {topic: world.publisher(kind, topic) for topic, kind in kinds.items()}
        self._given = dict.fromkeys(kinds, 0)
        node.wait_for(subscribers__emotion=1, subscribers__state=1)

    def watch(self, given: Scene) -> Emotion:
        """Give a scene; its last emotion."""
        parts = {
            "skeleton": map(skeleton_message, given.skeletons),
            "voice": map(audio_message, given.voice),
            "utterance": map(utterance_message, given.events),
        }
        for topic, messages in parts.items():
            for message in messages:
                self._publishers[topic].publish(message)
                self._given[topic] += 1
            self.node.wait_for(**{f"received__{topic}": self._given[topic]})

        def finals() -> list[Emotion]:
            return [item for item in self.emotions if (item.utterance_id, item.state) == (given.name, Emotion.FINAL)]

        self.world.wait(lambda: bool(finals()), f"the last emotion of {given.name}")
        return finals()[0]


def test_persons_are_followed_and_their_expressions_published(world: World, tmp_path, tiny_bundle):
    parameters: dict[str, object] = {"bundle": tiny_bundle, "ros4hri__enabled": True, "ros4hri__faces": True}
    parameters |= {"evidence_timeout_s": 5.0, "text_timeout_s": 30.0, "state__rate_hz": 10.0}
    with running(world, tmp_path, "emotion", ("hri",), **parameters) as (node, peer):
        mind = Mind(world, node)

        def tell(person_id: str, **ids: str) -> None:
            for name, its_id in ids.items():
                peer.publish("std_msgs/String", f"{PERSONS}/{person_id}/{name}", {"data": its_id}, kept=True)

        stranger = mind.watch(scene(0))
        assert (stranger.person_id, stranger.voice_id, stranger.body_id) == ("", "ann", "body")
        world.wait(lambda: [item.person_id for item in mind.states[-1:]] == ["ann"], "the state of a voice")

        tell("p1", voice_id="ann", body_id="body", face_id="f1")
        tell("p2", body_id="elsewhere")
        peer.publish("hri_msgs/IdsList", f"{PERSONS}/tracked", {"ids": ["p1", "p2"]}, kept=True)
        peer.publish("hri_msgs/IdsList", f"{VOICES}/tracked", {"ids": ["ann", "bob"]})  # not kept, as some do
        places = {name: f"/humans/{name}/expression" for name in ("voices/ann", "voices/bob", "faces/f1")}
        expressions = {name: peer.listen("hri_msgs/Expression", place) for name, place in places.items()}
        node.wait_for(**{f"subscribers__{place}": 1 for place in places.values()})
        world.wait(lambda: mind.states[-1].person_id == "p1", "who the voice is")
        assert_documented(world, "emotion")

        known = mind.watch(scene(1))
        assert (known.person_id, known.voice_id, known.body_id, known.label) == ("p1", "ann", "body", "happy")
        for name in ("voices/ann", "faces/f1"):
            world.wait(lambda name=name: any(_is_of(item, known) for item in expressions[name]), f"what {name} shows")
        assert not expressions["voices/bob"]

        def export() -> str:
            request = ExportVoices.Request(person_id="p1")
            return str(world.call(ExportVoices, "/emotion/export_voices", request).message)

        assert "import it with the same bundle" in export()
        for is_anonymous, answer in ((True, "'p1' is an id of this run"), (False, "import it with the same bundle")):
            peer.publish("std_msgs/Bool", f"{PERSONS}/p1/anonymous", {"data": is_anonymous}, kept=True)
            world.wait(lambda answer=answer: answer in export(), "whether the person is anonymous")

        tell("p1", alias="p3")
        world.wait(lambda: mind.states[-1].person_id == "p3", "two persons to be one")
        assert mind.watch(scene(2)).person_id == "p3"

        match = {"id1": "bob", "id1_type": 4, "id2": "p2", "id2_type": 1, "confidence": 0.9}
        peer.publish("hri_msgs/IdsMatch", "/humans/candidate_matches", {**match, "id1_type": 9}, match)
        node.wait_for(**{"received__/humans/candidate_matches": 2, "rejected": 1})
        silent = scene(3, rms=0, text="", voice_id="bob")
        other = mind.watch(silent)
        assert (other.person_id, other.body_id, other.label) == ("p2", "", "unknown"), "his body is not in view"
        nothing = {"expression": "", "valence": 0.0, "arousal": 0.0, "confidence": 0.0}
        world.wait(lambda: bool(expressions["voices/bob"]), "no expression of bob")
        assert expressions["voices/bob"][-1].items() >= nothing.items()

        peer.publish("hri_msgs/IdsList", f"{PERSONS}/tracked", {"ids": ["p2"]}, kept=True)
        world.wait(lambda: world.peer.count_publishers(places["faces/f1"]) == 0, "the face to be left")
        assert mind.watch(scene(4)).person_id == ""


@pytest.mark.parametrize("name", ["speech", "emotion", "mocap"])
def test_the_ids_of_a_list_are_where_the_list_is(world: World, tmp_path, tiny_bundle, name):
    """So that two robots keep their people apart. Faces are where the persons are, as it is they who have them."""
    own: dict[str, dict[str, object]] = {
        "speech": {"asr__backend": "none", "ros4hri__enabled": True},
        "emotion": {"bundle": tiny_bundle, "ros4hri__enabled": True, "ros4hri__faces": True},
        "mocap": {},
    }
    lists = [f"humans/{kind}/tracked" for kind in ("voices", "persons", "bodies")]
    rules = [f"/{topic}:=/robot/{topic}" for topic in (*lists, "humans/candidate_matches")]

    def places() -> set[str]:
        listed = world.peer.get_publisher_names_and_types_by_node(name, "/")
        listed += world.peer.get_subscriber_names_and_types_by_node(name, "/")
        return {topic for topic, _ in listed if "/humans/" in topic}

    with running(world, tmp_path, name, ("hri",), *rules, **own[name]) as (_, peer):
        for topic in lists:
            peer.publish("hri_msgs/IdsList", f"/robot/{topic}", {"ids": ["x1"]}, kept=True)
        link = {"data": "f1"}
        peer.publish("std_msgs/String", "/robot/humans/persons/x1/face_id", link, kept=True)
        wanted = {
            "speech": {f"voices/x1/{topic}" for topic in ("audio", "speech", "is_speaking")},
            "emotion": {"voices/x1/expression", "faces/f1/expression", "persons/x1/alias", "persons/x1/body_id"},
            "mocap": {"bodies/x1/skeleton2d"},
        }[name]
        world.wait(lambda: {f"/robot/humans/{topic}" for topic in wanted} <= places(), f"{name} to follow x1")
        assert [topic for topic in places() if not topic.startswith("/robot/")] == []


def test_the_mocap_node_follows_no_more_of_bodies_than_the_policy_allows(world: World, tmp_path):
    with running(world, tmp_path, "mocap", ("hri",)) as (node, peer):
        peer.publish("hri_msgs/IdsList", "/humans/bodies/tracked", {"ids": ["b1"]}, kept=True)
        node.wait_for(bodies=1)
        assert_allowed(world, "mocap")
        for number, its_id in enumerate(("12ab", "b" * 230), 1):
            peer.publish("hri_msgs/IdsList", "/humans/bodies/tracked", {"ids": ["b1", its_id]}, kept=True)
            node.wait_for(rejected=number, bodies=1, state="active", bugs=0)


def _is_of(expression: dict[str, Any], emotion: Emotion) -> bool:
    told = (expression["expression"], expression["confidence"], expression["valence"], expression["arousal"])
    return (
        told == (emotion.label, emotion.confidence, emotion.valence, emotion.arousal)
        and expression["header"]["stamp"]["sec"] == emotion.header.stamp.sec
    )


@pytest.mark.skipif(find_spec("hri_msgs") is not None, reason="hri_msgs is installed here")
@pytest.mark.parametrize("name", ["speech", "emotion"])
def test_without_hri_msgs_it_is_off_and_one_sentence_says_so(world: World, tiny_bundle, name):
    own = {"asr__backend": "none"} if name == "speech" else {"bundle": str(tiny_bundle)}
    node = world.node(name, ros4hri__enabled=True, **own)
    node.wait_for_problem("hri_msgs is not installed", "ros-$ROS_DISTRO-hri-msgs")
    assert node.state == "active"
    assert not any(
        topic.startswith("/humans") for topic, _ in node.node.get_publisher_names_and_types_by_node(name, "/")
    )
    quiet = world.node(name, arguments=["-r", f"__node:=quiet_{name}"], **own)
    world.wait(lambda: bool(quiet.value("state")), "diagnostics")
    assert quiet.problem == ""


def test_the_words_of_another_recogniser_are_those_of_the_utterance(world: World, tmp_path):
    """It tells them some time after they were said, and has guesses before; of a voice heard apart, at its place."""
    utterances = world.listen(Utterance, "utterance")
    parameters = {"asr__foreign": True, "asr__foreign_wait_s": 30.0, "ros4hri__enabled": True, "stall_s": 30.0}
    with running(world, tmp_path, "speech", ("hri",), **parameters) as (node, peer):
        ear = world.publisher(AudioFrame, "audio")
        node.wait_for(subscribers__utterance=1)
        said = np.concatenate([silence(0.5), spoken(0), silence(1.0)])
        for message in frames(said[:24000]):
            ear.publish(message)
        world.wait(lambda: bool(utterances), "an utterance to begin")
        peer.publish("hri_msgs/LiveSpeech", "text", {"header": header(1.5), "incremental": "i feel"})
        world.wait(lambda: utterances[-1].text == "i feel", "the guess")
        assert utterances[-1].state == Utterance.PARTIAL
        for message in frames(said)[15:]:
            ear.publish(message)
        world.wait(lambda: utterances[-1].state == Utterance.ENDED, "the end")
        assert not utterances[-1].is_text_final
        wrong = {"final": "i feel", "confidence": 7.0}
        right = {"header": header(4), "incremental": "i feel  sad", "final": "i feel  sad", "language": "en-GB"}
        peer.publish("hri_msgs/LiveSpeech", "text", wrong, {**right, "confidence": 0.5})
        world.wait(lambda: utterances[-1].is_text_final, "the final text")
        last = utterances[-1]
        assert (last.text, last.language, last.text_confidence) == ("i feel sad", "en-GB", 0.5)
        peer.publish("hri_msgs/LiveSpeech", "text", {"header": header(5), "final": "who said that"})
        node.wait_for(rejected=1, foreign_texts=3, unmatched_texts=1, without_text=0)

        peer.publish("hri_msgs/IdsList", f"{VOICES}/tracked", {"ids": ["ann"]}, kept=True)
        voice = world.publisher(AudioFrame, f"{VOICES}/ann/audio")
        for message in frames(said):
            voice.publish(message)
        world.wait(lambda: (utterances[-1].voice_id, utterances[-1].state) == ("ann", Utterance.ENDED), "ann's end")
        peer.publish("hri_msgs/LiveSpeech", f"{VOICES}/ann/speech", {"final": "so do i", "confidence": 0.5})
        world.wait(lambda: utterances[-1].is_text_final, "ann's words")
        assert (utterances[-1].voice_id, utterances[-1].text, utterances[-1].language) == ("ann", "so do i", "en")
        world.wait(lambda: world.peer.count_publishers(f"{VOICES}/ann/speech") == 1, "the other node alone to tell it")


def test_plain_texts_are_taken_as_well_and_not_waited_for_too_long(world: World):
    utterances = world.listen(Utterance, "utterance")
    node = world.node("speech", asr__foreign=True, asr__foreign_wait_s=1.0, stall_s=30.0)
    world.wait_for_outputs(node, "utterance")
    ear, mouth = world.publisher(AudioFrame, "audio"), world.publisher(String, "text")
    assert node.value("recogniser") in ("", "another recogniser's, on topic text")
    said = np.concatenate([silence(0.5), spoken(0), silence(1.0)])
    for count, text in enumerate(("", "[noise] hello")):
        for message in frames(said, at_s=10.0 * count):
            ear.publish(message)
        world.wait(lambda count=count: len({item.utterance_id for item in utterances}) > count, "an utterance")
        if text:
            world.wait(lambda: utterances[-1].state == Utterance.ENDED, "its end")
            mouth.publish(String(data=text))
        world.wait(lambda: utterances[-1].is_text_final, "its text, or that it has none")
        assert utterances[-1].text == text
    node.wait_for(without_text=1, unmatched_texts=0, foreign_texts=1)


class Desk:
    """What `Publishers` needs of a node: its worker does nothing until it is told."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []
        self.withdrawn: list[str] = []
        self.published: list[tuple[str, bool]] = []
        self.outputs = SimpleNamespace(open=self.advertise, close=self.withdraw)

    def advertise(self, message_class: type, topic: str, *, depth: int, kept: bool) -> Any:
        return SimpleNamespace(publish=lambda message: self.published.append((topic, message.data)))

    def withdraw(self, topic: str) -> None:
        self.withdrawn.append(topic)

    def resolve_topic_name(self, topic: str) -> str:
        return topic

    def submit(self, work: Callable[[], None], *, is_order: bool) -> None:
        assert is_order
        self.work.append(work)

    def catch_up(self) -> None:
        while self.work:
            self.work.pop(0)()


def test_an_id_that_leaves_and_returns_at_once_keeps_its_topic():
    desk = Desk()
    publishers = Publishers(desk, Bool, "/humans/voices/{}/is_speaking")  # type: ignore[arg-type]
    publishers.open("ann")
    publishers.close("ann")
    publishers.open("ann")
    desk.catch_up()
    publishers.tidy()
    publishers.publish("ann", lambda message: {"data": True})
    publishers.publish("bob", lambda message: {"data": True})
    assert (desk.withdrawn, desk.published) == ([], [("/humans/voices/ann/is_speaking", True)])
    publishers.close("ann")
    publishers.publish("ann", lambda message: {"data": False})
    publishers.tidy()
    assert (desk.withdrawn, len(desk.published)) == ([], 2), "what came before is told first"
    desk.catch_up()
    publishers.tidy()
    publishers.publish("ann", lambda message: {"data": True})
    assert (desk.withdrawn, len(desk.published)) == (["/humans/voices/ann/is_speaking"], 2)


def test_the_words_of_an_utterance_that_come_late_do_not_end_the_next_one():
    """Of another recogniser, while somebody speaks again."""
    desk = Hall()
    messages = SimpleNamespace(IdsList=object, LiveSpeech=object)
    nothing: Any = lambda *arguments: None  # noqa: E731
    voices = Voices(desk, messages, came=nothing, left=nothing, heard=nothing, read=nothing)
    voices._is_speaking.open("ann")
    states = UtteranceState
    for name, state in (
        ("one", states.STARTED),
        ("one", states.ENDED),
        ("two", states.STARTED),
        ("one", states.ENDED),
        ("two", states.PARTIAL),
        ("two", states.ENDED),
    ):
        voices.publish(UtteranceEvent(name, state, T0, T0, T0, Transcript(""), voice_id="ann"))
    assert [said for _, said in desk.published] == [True, False, True, False]


class Hall(Desk):
    """What `Persons` needs of a node beside that, and how its worker is told."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[bool] = []
        messages = SimpleNamespace(IdsList=object, IdsMatch=object, Expression=object)
        self.persons = Persons(self, messages, tell=lambda news, is_order: self.orders.append(is_order), faces=True)  # type: ignore[arg-type]

    def subscribe(self, *arguments: Any, **expected: Any) -> None:
        """Nothing comes but by `says`."""

    adapt = unsubscribe = create_timer = subscribe

    def says(self, person_id: str, kind: Kind, its_id: str) -> None:
        self.persons._on_link(person_id, kind, String(data=its_id))


def test_what_is_told_of_several_people_again_and_again_may_be_dropped():
    hall = Hall()
    for _ in range(3):
        for person_id in ("ann", "bob"):
            hall.says(person_id, Kind.FACE, "")  # nobody's face is seen
            hall.persons._on_alias(person_id, String(data="eve"))
    assert hall.orders == 4 * [True] + 8 * [False]


def test_a_face_that_was_somebody_elses_before_keeps_its_topic_when_that_one_leaves():
    hall = Hall()
    hall.says("anonymous", Kind.FACE, "f1")
    hall.says("ann", Kind.FACE, "f1")
    hall.persons._left("anonymous")
    hall.catch_up()
    hall.persons._tidy()
    assert hall.withdrawn == []
    hall.persons._left("ann")
    hall.catch_up()
    hall.persons._tidy()
    assert hall.withdrawn == ["/humans/faces/f1/expression"]
