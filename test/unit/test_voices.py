"""Several voices heard apart: each has its own utterances, one recogniser reads them all, and nobody is heard twice."""

from __future__ import annotations

import numpy as np
import pytest
from clips import silence
from voices_room import SAID, T0, Room, events

from mser_ros.errors import PeopleError
from mser_ros.settings import AsrSettings, SpeechSettings
from mser_ros.stages.speech import SpeechStage
from mser_ros.stages.voices import MAX_VOICES
from mser_ros.types import AudioChunk, Transcript, UtteranceEvent, UtteranceState, to_ns

NONE = SpeechSettings(asr=AsrSettings(backend="none"))
FOREIGN = SpeechSettings(asr=AsrSettings(foreign=True, foreign_wait_s=2.0))


def spans(found: list[UtteranceEvent]) -> list[tuple[int, int]]:
    return [(item.start_ns, item.end_ns) for item in found if item.state is UtteranceState.ENDED]


def test_voices_that_speak_at_once_are_heard_as_if_alone() -> None:
    room = Room(NONE)
    for voice_id in ("ann", "bob"):
        room.stages.open(voice_id)
    heard = events(room.say(SAID, "ann", "bob"))
    alone = SpeechStage(NONE)
    expected = spans(
        events(
            item
            for at in range(0, len(SAID), 1600)
            for item in alone.push(AudioChunk(SAID[at : at + 1600, np.newaxis], 16000, T0 + at * 62_500))
        )
    )
    assert expected
    for voice_id in ("ann", "bob"):
        assert spans([item for item in heard if item.voice_id == voice_id]) == expected
    assert len({item.utterance_id for item in heard}) == 2
    assert room.stages.counters["utterances"] == 2
    assert room.stages.counters["voices"] == 2


def test_a_voice_heard_apart_takes_the_place_of_the_rooms() -> None:
    room = Room(NONE)
    room.stages.open("ann")
    assert events(room.say(SAID[:24000], "")), "a voice that is silent so far takes nothing's place"
    (end, *_) = events(room.say(silence(0.1), "ann", at_s=1.5))
    assert (end.voice_id, end.state) == ("voice", UtteranceState.ENDED)
    assert room.say(SAID, "", at_s=2) == []
    assert room.stages.counters["replaced_samples"] == len(SAID)
    list(room.stages.end("ann"))
    assert events(room.say(SAID, "", at_s=10))
    assert room.stages.counters["lost_samples"] == 0


def test_a_voice_that_is_gone_has_ended_its_utterance_and_stays_in_the_counts() -> None:
    room = Room(NONE)
    room.stages.open("ann")
    room.say(SAID[:24000], "ann")
    (end,) = events(room.stages.end("ann"))
    assert (end.voice_id, end.state) == ("ann", UtteranceState.ENDED)
    assert room.say(SAID, "ann") == []
    assert room.stages.counters["utterances"] == 1
    assert room.stages.counters["voices"] == 0
    assert list(room.stages.end("ann")) == []


def test_one_voice_too_many_is_refused_until_another_is_gone() -> None:
    room = Room(NONE)
    for number in range(MAX_VOICES):
        room.stages.open(f"v{number}")
    with pytest.raises(PeopleError, match="16 voices"):
        room.stages.open("v16")
    assert room.say(SAID, "v16") == []
    list(room.stages.end("v0"))
    assert events(room.say(SAID, "v16", at_s=10)), "it has been waiting"
    room.stages.open("v16")


def test_who_does_not_listen_hears_nobody_and_the_robot_is_not_heard_by_any() -> None:
    room = Room(NONE)
    room.stages.open("ann")
    room.say(SAID[:24000], "ann")
    assert [item.state for item in events(room.stages.listen(False))] == [UtteranceState.CANCELLED]
    room.stages.open("bob")
    assert room.say(SAID, "ann", "bob", "", at_s=5) == []
    list(room.stages.listen(True))
    list(room.stages.robot_speaks(True))
    room.stages.open("eve")
    assert room.say(SAID, "ann", "eve", at_s=10) == []


def test_words_from_elsewhere_are_joined_with_each_voice() -> None:
    room = Room(FOREIGN)
    room.stages.open("ann")
    ended = events(room.say(SAID, "ann"))[-1]
    assert (ended.state, ended.transcript.is_final) == (UtteranceState.ENDED, False)
    assert room.stages.is_waiting
    room.now_ns += to_ns(5)
    assert list(room.stages.take(Transcript("for nobody"), room.now_ns)) == []
    (last,) = room.stages.take(Transcript("hello"), room.now_ns, "ann")
    assert (last.utterance_id, last.transcript.text, last.transcript.is_final) == (ended.utterance_id, "hello", True)
    assert not room.stages.is_waiting
    room.say(SAID, "ann", at_s=10)
    assert list(room.stages.tick()) == []
    room.now_ns += to_ns(3)
    assert [item.transcript.is_final for item in room.stages.tick()] == [True]
    assert room.stages.counters["without_text"] == 1


def test_who_stops_listening_waits_for_no_words() -> None:
    room = Room(FOREIGN)
    room.say(SAID, "")
    assert [item.transcript.is_final for item in events(room.stages.listen(False))] == [True]
    assert list(room.stages.take(Transcript("hello"), room.now_ns)) == []
