"""The node behind `mser view`: it hears what the others tell, asks them, and never gives away what it must not."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from policy import policy
from ros_world import T0, AudioFrame, Emotion, EmotionState, SetBool, Skeleton, Spinner, Trigger, Utterance, World

from mser_ros.errors import RequestError
from mser_ros.messages import conversions
from mser_ros.mocap.layouts import get_layout
from mser_ros.nodes import watcher
from mser_ros.nodes.watcher import Watcher
from mser_ros.page.board import Board
from mser_ros.types import AudioChunk, SkeletonFrame, Transcript, UtteranceEvent, UtteranceState


@pytest.fixture
def board() -> Board:
    return Board(words=None)


@pytest.fixture
def watching(world: World, board: Board) -> Iterator[Watcher]:
    node = Watcher(board, context=world.context)
    spinner = Spinner(node, world.context)
    yield node
    spinner.close()
    node.destroy_node()


def said(text: str) -> Utterance:
    event = UtteranceEvent("voice-1", UtteranceState.ENDED, T0, T0, T0, Transcript(text, 0.5), voice_id="voice")
    return conversions.fill(Utterance(), conversions.utterance_to_fields(event))


def test_words_are_shown_only_where_the_emotion_node_allows_transcripts(
    world: World, board: Board, watching: Watcher, tiny_bundle
) -> None:
    world.publisher(Utterance, "utterance").publish(said("a secret"))
    world.wait(lambda: bool(board.everything()["utterances"]), "the utterance")
    assert "secret" not in json.dumps(board.everything())
    other = world.node("emotion", bundle=str(tiny_bundle), arguments=["-r", "__ns:=/another_robot"])
    world.wait(lambda: other.name in json.dumps(board.everything()["nodes"]), "another robot's emotion node")
    assert board.everything()["words"] is None
    emotion = world.node("emotion", bundle=str(tiny_bundle), transcripts=True)
    world.wait(lambda: "a secret" in json.dumps(board.everything()), "its words")
    emotion.deactivate()
    emotion.cleanup()
    emotion.set("transcripts", False)
    emotion.configure()
    world.wait(lambda: board.everything()["words"] is False, "that they are forbidden")
    assert "secret" not in json.dumps(board.everything())


def test_that_nobody_is_there_is_told_until_somebody_is(world: World, board: Board, watching: Watcher) -> None:
    def told() -> list[tuple[int, str]]:
        return [(node["level"], node["message"]) for node in board.everything()["nodes"]]

    hint = "nobody publishes /emotion: start the nodes, or use their ROS_DOMAIN_ID"
    world.wait(lambda: told() == [(1, hint)], "the hint")
    world.publisher(Emotion, "emotion")
    world.wait(lambda: told() == [(0, "active")], "that all is well")


def test_what_cannot_be_used_costs_that_message_and_is_told(world: World, board: Board, watching: Watcher) -> None:
    world.publisher(Emotion, "emotion").publish(Emotion(state=77))
    world.wait(lambda: "another version" in json.dumps(board.everything()["nodes"]), "the refusal")
    mine = [node for node in board.everything()["nodes"] if "another version" in json.dumps(node)]
    assert [node["values"] for node in mine] == [{"rejected": "1"}]
    world.publisher(EmotionState, "state").publish(EmotionState(person_id="ann", labels=["sad"], probabilities=[1.0]))
    world.wait(lambda: bool(board.everything()["people"]), "what comes after it")


def test_level_body_and_whether_people_are_listened_to(world: World, board: Board, watching: Watcher) -> None:
    voice, skeleton = world.publisher(AudioFrame, "voice"), world.publisher(Skeleton, "skeleton")
    chunk = AudioChunk(np.full((1600, 1), 3277, np.int16), 16_000, T0)
    layout = get_layout("canonical15")
    body = SkeletonFrame(T0, "ann", layout.name, np.ones((15, 3), np.float32), np.ones(15, np.float32))
    levels: list[float] = []

    def are_there() -> bool:
        voice.publish(conversions.fill(AudioFrame(), conversions.audio_to_fields(chunk)))
        skeleton.publish(conversions.fill(Skeleton(), conversions.skeleton_to_fields(body)))
        levels.extend(filter(None, [board.news().get("level_db")]))
        return bool(levels) and bool(board.everything()["bodies"])

    world.wait(are_there, "sound and body")
    assert levels[-1] == pytest.approx(-20, abs=0.1)
    assert [body["id"] for body in board.everything()["bodies"]] == ["ann"]
    world.node("speech", asr__backend="none")
    assert "not listening" in watching.listen(False)
    world.wait(lambda: board.everything().get("listening") is False, "what the speech node tells")


def test_nodes_are_asked_and_one_that_is_not_there_is_named(
    world: World, watching: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "_PATIENCE_S", 0.2)
    with pytest.raises(RequestError, match=r"no node answers .*speech/stop_listening: start the speech node"):
        watching.listen(False)
    monkeypatch.undo()
    asked: list[bool] = []

    def stop(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        asked.append(request.data)
        response.success, response.message = True, "as you like"
        return response

    def forget(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = "the folder cannot be erased"
        return response

    world.peer.create_service(SetBool, "speech/stop_listening", stop)
    world.peer.create_service(Trigger, "emotion/forget_voices", forget)
    assert watching.listen(False) == "as you like"
    assert asked == [True]
    with pytest.raises(RequestError, match="the folder cannot be erased"):
        watching.erase()


def test_the_policy_allows_what_the_pages_node_does_and_no_more(world: World, watching: Watcher) -> None:
    world.wait(lambda: "page" in world.peer.get_node_names(), "the node")
    of_ros = {"/clock"}  # only with use_sim_time
    ask = world.peer
    rights = policy()["page"]
    done = {
        ("topics", "subscribe"): ask.get_subscriber_names_and_types_by_node,
        ("topics", "publish"): ask.get_publisher_names_and_types_by_node,
        ("services", "reply"): ask.get_service_names_and_types_by_node,
        ("services", "request"): ask.get_client_names_and_types_by_node,
    }
    assert set(rights) == set(done)

    def opened(what: tuple[str, str]) -> set[str]:
        return {name for name, _ in done[what]("page", "/")} - of_ros

    for what in done:
        world.wait(lambda what=what: len(opened(what)) >= len(rights[what] - of_ros), f"{what}")
        assert opened(what) == rights[what] - of_ros, what
