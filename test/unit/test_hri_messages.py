"""What is read from messages of hri_msgs and written into them, in every version of their fields."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace as Message

import pytest

from mser_ros.errors import PeopleError
from mser_ros.labels import LABELS
from mser_ros.messages.hri import (
    expression_to_fields,
    id_from_msg,
    ids_from_msg,
    match_from_msg,
    speech_to_fields,
    text_from_msg,
)
from mser_ros.testing import make_estimate
from mser_ros.types import Transcript, UtteranceEvent, UtteranceState

FOREIGN = Path(__file__).parents[1] / "foreign" / "hri" / "hri_msgs" / "msg"
#: LiveSpeech of hri_msgs 2.0, 2.1 and 2.2.1.
VERSIONS = (("language",), ("language", "locale"), ("locale",))


def live_speech(version: tuple[str, ...], **fields: object) -> Message:
    known: dict[str, object] = {"incremental": "", "final": "", "confidence": 0.0}
    return Message(**known | dict.fromkeys(version, "") | fields)


def event(state: UtteranceState, transcript: Transcript) -> UtteranceEvent:
    return UtteranceEvent("u", state, 3_500_000_000, 0, 3_500_000_000, transcript, "ann", "ear")


def test_ids_are_what_can_be_a_part_of_a_topic() -> None:
    assert ids_from_msg(Message(ids=["ann", "b2", "ann", "c_d"])) == ("ann", "b2", "c_d")
    assert ids_from_msg(Message(ids=[])) == ()
    assert id_from_msg(Message(data="ann")) == "ann"
    assert id_from_msg(Message(data="")) == ""


@pytest.mark.parametrize("wrong", ["", "1st", "two words", "a/b", "é", "a" * 300, "a\n", "{id}"])
def test_an_id_that_cannot_is_one_sentence(wrong: str) -> None:
    for read in (
        lambda: ids_from_msg(Message(ids=["ann", wrong])),
        lambda: match_from_msg(Message(id1="ann", id1_type=1, id2=wrong, id2_type=4, confidence=0.5)),
        *([lambda: id_from_msg(Message(data=wrong))] if wrong else []),
    ):
        with pytest.raises(PeopleError, match="letters, digits and '_'") as caught:
            read()
        assert len(str(caught.value)) < 400


def test_a_flood_of_ids_is_refused() -> None:
    with pytest.raises(PeopleError, match="65 ids"):
        ids_from_msg(Message(ids=[f"p{number}" for number in range(65)]))


def test_a_match_names_two_ids_and_how_sure_it_is() -> None:
    message = Message(id1="ann", id1_type=1, id2="ann", id2_type=4, confidence=0.5)
    assert match_from_msg(message) == ((1, "ann"), (4, "ann"), 0.5)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"id1_type": 0}, "of kind 0"),
        ({"id2_type": 5}, "of kind 5"),
        ({"id1_type": 4}, "two ids"),
        ({"confidence": float("nan")}, "from 0 to 1"),
        ({"confidence": -0.1}, "from 0 to 1"),
        ({"confidence": 1.5}, "from 0 to 1"),
    ],
)
def test_a_match_that_is_none_is_one_sentence(fields: dict, part: str) -> None:
    message = Message(**{"id1": "ann", "id1_type": 1, "id2": "ann", "id2_type": 4, "confidence": 0.5} | fields)
    with pytest.raises(PeopleError, match=part):
        match_from_msg(message)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_said_is_written_into_the_fields_that_there_are(version: tuple[str, ...]) -> None:
    said = Transcript("hello you", 0.75, language="en-GB")
    fields = speech_to_fields(event(UtteranceState.ENDED, said), live_speech(version))
    assert fields["header"] == {"stamp": {"sec": 3, "nanosec": 500_000_000}, "frame_id": "ear"}
    assert (fields["incremental"], fields["final"], fields["confidence"]) == ("hello you", "hello you", 0.75)
    known = {"language": "en-GB", "locale": "en_GB"}
    assert {name: fields.get(name) for name in known} == {
        name: value if name in version else None for name, value in known.items()
    }


def test_only_the_last_text_is_final() -> None:
    guess = Transcript("hello", language="und", is_final=False)
    for state in (UtteranceState.PARTIAL, UtteranceState.ENDED):
        fields = speech_to_fields(event(state, guess), live_speech(("language",)))
        assert (fields["incremental"], fields["final"], fields["confidence"], fields["language"]) == (
            "hello",
            "",
            0,
            "",
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_what_another_recogniser_says_is_read_from_the_fields_that_there_are(version: tuple[str, ...]) -> None:
    told = {name: {"language": "en-GB", "locale": "en_GB"}[name] for name in version}
    guess = text_from_msg(live_speech(version, incremental="hello"))
    assert guess == Transcript("hello", is_final=False)
    final = live_speech(version, incremental="hello y", final=" hello\n you ", confidence=0.5, **told)
    assert text_from_msg(final) == Transcript("hello you", 0.5, language="en-GB")
    assert text_from_msg(Message(data="hello [noise]")) == Transcript("hello [noise]")


@pytest.mark.parametrize(
    ("message", "part"),
    [
        (Message(data="a" * 10_001), "10001 characters"),
        (live_speech(("locale",), final="hi", locale="x" * 300), "send at most"),
        (live_speech(("locale",), final="hi", confidence=float("nan")), "confidence nan"),
        (live_speech(("locale",), final="hi", confidence=-1.0), "confidence -1"),
    ],
)
def test_a_text_that_is_none_is_one_sentence(message: Message, part: str) -> None:
    with pytest.raises(PeopleError, match=part) as caught:
        text_from_msg(message)
    assert len(str(caught.value)) < 200


def test_an_estimate_is_an_expression_that_ros4hri_knows() -> None:
    constants = dict(re.findall(r'^string (\w+)="(\w+)"$', (FOREIGN / "Expression.msg").read_text(), re.MULTILINE))
    for label in LABELS:
        estimate = make_estimate(label, 0.8, stamp_ns=1_500_000_000, frame_id="ear")
        fields = expression_to_fields(estimate)
        assert fields["expression"] in constants.values()
        assert (fields["confidence"], fields["valence"], fields["arousal"]) == (0.8, estimate.valence, estimate.arousal)
        assert fields["header"] == {"stamp": {"sec": 1, "nanosec": 500_000_000}, "frame_id": "ear"}


def test_who_abstains_shows_nothing() -> None:
    fields = expression_to_fields(make_estimate("unknown", valence=0.3, arousal=-0.2))
    assert {name: fields[name] for name in ("expression", "valence", "arousal", "confidence")} == {
        "expression": "", "valence": 0.0, "arousal": 0.0, "confidence": 0.0
    }  # fmt: skip
