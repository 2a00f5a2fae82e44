"""Several voices heard apart, each with its own words."""

from __future__ import annotations

import pytest
from voices_room import OTHER, SAID, Room, events

from mser_ros.settings import AsrSettings, SpeechSettings

pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed: pip install pocketsphinx")


def test_the_words_of_each_voice_are_its_own() -> None:
    settings = SpeechSettings(asr=AsrSettings(backend="pocketsphinx", partial_period_s=0.0))
    alone = Room(settings)
    expected = [
        [item.transcript.text for item in events(alone.say(samples, "", at_s=at_s)) if item.transcript.is_final]
        for samples, at_s in ((SAID, 0.0), (OTHER, 100.0))
    ]
    room = Room(settings)
    room.stages.open("ann")
    room.stages.open("bob")
    heard = []
    for at in range(0, max(len(SAID), len(OTHER)), 8000):  # turn by turn, in mid-utterance
        heard += events(room.say(SAID[at : at + 8000], "ann", at_s=at / 16000))
        heard += events(room.say(OTHER[at : at + 8000], "bob", at_s=at / 16000))
    for voice_id, texts in zip(("ann", "bob"), expected, strict=True):
        assert texts
        assert texts == [
            item.transcript.text for item in heard if item.voice_id == voice_id and item.transcript.is_final
        ]
