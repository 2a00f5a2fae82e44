"""What a bag holds beside sound and bodies counts offline as it does live: the robot's voice, words of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotations import Annotate, finals_of, records_of, sketch, write_sound

from mser_ros.cli.heard_beside import HeardBeside
from mser_ros.cli.inputs import Item, read_bag
from mser_ros.cli.main import main
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import to_fields

BOOL, STRING = "std_msgs/msg/Bool", "std_msgs/msg/String"
#: Topic, type, fields, and when it comes [s] after the beginning of the bag.
Beside = tuple[str, str, dict[str, Any], float]


def with_beside(path: Path, bag: Path, *beside: Beside) -> Path:
    """That bag, with these messages as well."""
    with Bag(bag) as source:
        messages = [
            (message.log_ns, message.topic, message.type_name, to_fields(message.decode()))
            for message in source.messages()
        ]
        messages += [(source.start_ns + round(at_s * 1e9), topic, kind, fields) for topic, kind, fields, at_s in beside]
    with BagWriter(path) as writer:
        for log_ns, topic, kind, fields in sorted(messages, key=lambda message: message[:2]):
            writer.write(topic, kind, fields, log_ns)
    return path


def robot(speaks: bool, at_s: float, topic: str = "/robot_speaking") -> Beside:
    return topic, BOOL, {"data": speaks}, at_s


def text(words: str, at_s: float, topic: str = "/text") -> Beside:
    return topic, STRING, {"data": words}, at_s


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Parameters of a robot with a recogniser of its own."""
    path = tmp_path / "foreign.yaml"
    path.write_text("/**/speech: {ros__parameters: {asr.foreign: true}}")
    return path


@pytest.fixture
def annotate_as(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Annotate:
    """`mser annotate` where the recogniser is that of the parameters."""
    monkeypatch.setattr("mser_ros.cli.annotation_work.draw_timeline", sketch)

    def call(source: Path, *more: str, out: Path) -> int:
        return main(["annotate", str(source), "-o", str(out), "--bundle", str(tiny_bundle), *more])

    return call


# -- the robot's own voice


def test_the_robots_own_voice_is_nobodys(
    annotate: Annotate, two_sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two sentences the first is the robot's."""
    bag = with_beside(tmp_path / "bag", two_sentences, robot(True, 0.0), robot(False, 4.5))
    assert annotate(bag, out=tmp_path / "out") == 0
    assert "samples of audio were not heard, as the robot itself spoke" in capsys.readouterr().out
    (final,) = finals_of(tmp_path / "out")
    with Bag(bag) as source:
        assert final["speech_start"]["sec"] * 10**9 > source.start_ns + 4 * 10**9


def test_where_only_the_robot_speaks_there_is_nobody_and_that_is_the_reason(
    annotate: Annotate, two_sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = with_beside(tmp_path / "bag", two_sentences, *(robot(True, float(at_s)) for at_s in range(9)))
    assert annotate(bag, out=tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "nobody but the robot speaks" in said
    assert "set robot.barge_in in a --params-file" in said
    params = tmp_path / "mine.yaml"
    params.write_text("/**/speech: {ros__parameters: {robot.barge_in: true}}")
    assert annotate(bag, "--params-file", str(params), out=tmp_path / "out") == 0
    assert len(finals_of(tmp_path / "out")) == 2


def test_what_was_interrupted_while_the_robot_spoke_is_gone_on_with_to_the_same_end(
    annotate: Annotate, two_sentences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be heard else, as nobody says again that it speaks."""
    bag = with_beside(tmp_path / "bag", two_sentences, robot(True, 0.6), robot(False, 4.5))
    with Bag(bag) as source:
        until_ns = source.start_ns + 3 * 10**9

    def read_until_then(*arguments: Any, **more: Any) -> Any:
        items, count, notes = read_bag(*arguments, **more)

        def until_then() -> Iterator[Item]:
            for item in items:
                if item.log_ns > until_ns:
                    raise KeyboardInterrupt
                yield item

        return until_then(), count, notes

    with monkeypatch.context() as patch:
        patch.setattr("mser_ros.cli.annotation.read_bag", read_until_then)
        assert annotate(bag, out=tmp_path / "parts") == 130
    assert annotate(bag, "--resume", out=tmp_path / "parts") == 0
    assert annotate(bag, out=tmp_path / "whole") == 0
    assert len(finals_of(tmp_path / "parts")) == 1
    assert records_of(tmp_path / "parts") == records_of(tmp_path / "whole")


def test_of_several_robots_the_one_that_lies_beside_the_sound_is_meant(two_sentences: Path, tmp_path: Path) -> None:
    bag = with_beside(
        tmp_path / "bag", two_sentences, robot(True, 0.0, "/b/robot_speaking"), robot(True, 1.0, "/c/robot_speaking")
    )
    with Bag(bag) as source:
        assert HeardBeside(source, "/b/audio", None).topics == ["/b/robot_speaking"]
        of_none = HeardBeside(source, "/audio", None)
    assert not of_none.topics
    (note,) = of_none.notes
    assert "of /b/robot_speaking, /c/robot_speaking none is read: only /robot_speaking would belong to /audio" in note


def test_a_topic_of_that_name_and_another_type_is_told_of(two_sentences: Path, tmp_path: Path) -> None:
    bag = with_beside(tmp_path / "bag", two_sentences, ("/robot_speaking", STRING, {"data": "yes"}, 0.0))
    with Bag(bag) as source:
        beside = HeardBeside(source, "/audio", None)
    assert not beside.topics
    assert beside.notes == [
        "/robot_speaking is not read, as it is of type std_msgs/msg/String: publish std_msgs/msg/Bool"
    ]


# -- words that others have read


def test_words_of_another_recogniser_are_those_of_the_bag(
    annotate_as: Annotate, foreign: Path, two_sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = with_beside(tmp_path / "bag", two_sentences, text("I am sad", 4.5), text("and lonely", 8.9))
    assert annotate_as(bag, "--params-file", str(foreign), out=tmp_path / "out") == 0
    assert "note:" not in capsys.readouterr().out
    assert [record["transcript"] for record in finals_of(tmp_path / "out")] == ["I am sad", "and lonely"]


def test_the_topic_of_these_words_can_be_named(
    annotate_as: Annotate, foreign: Path, two_sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = with_beside(tmp_path / "bag", two_sentences, text("I am sad", 4.5, "/dialogue/heard"))
    told = ("--params-file", str(foreign))
    assert annotate_as(bag, *told, out=tmp_path / "out") == 0
    assert "no words are read, as asr.foreign takes them from a topic 'text'" in capsys.readouterr().out
    assert annotate_as(bag, *told, "--text-topic", "/dialogue/heard", out=tmp_path / "out") == 0
    assert "1 utterances have no words, as the other recogniser sent none" in capsys.readouterr().out
    assert [record["transcript"] for record in finals_of(tmp_path / "out")] == ["I am sad", ""]
    assert annotate_as(bag, "--text-topic", "/dialogue/heard", out=tmp_path / "out") == 1
    assert "--text-topic goes with asr.foreign in a --params-file: set that as well" in capsys.readouterr().err


def test_an_option_that_names_a_recogniser_outweighs_the_parameters(
    annotate_as: Annotate, foreign: Path, two_sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And of words that are not taken that is said."""
    bag = with_beside(tmp_path / "bag", two_sentences, text("I am sad", 4.5))
    assert annotate_as(bag, "--params-file", str(foreign), "--asr", "none", out=tmp_path / "out") == 0
    assert "note: /text is not read: where asr.foreign is set, words are taken from it" in capsys.readouterr().out
    assert {record["transcript"] for record in finals_of(tmp_path / "out")} == {""}


def test_where_a_sound_file_has_no_such_words_that_is_said(
    annotate_as: Annotate, foreign: Path, speech: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = write_sound(tmp_path / "a.wav", speech)
    assert annotate_as(sound, "--params-file", str(foreign), out=tmp_path / "out") == 0
    assert "note: no words are read, as asr.foreign takes them from a bag's topic" in capsys.readouterr().out
