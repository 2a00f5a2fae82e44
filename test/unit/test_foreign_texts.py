"""Texts of another recogniser find the utterance that they belong to; each utterance gets one last text, or none."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.settings import AsrSettings
from mser_ros.stages.foreign_texts import ForeignTexts
from mser_ros.types import Transcript, UtteranceEvent, UtteranceState, to_ns

STARTED, PARTIAL, ENDED, CANCELLED, PAUSED = UtteranceState


@dataclass
class Talk:
    """Utterances by name with the time that it is, and everything that was told of them."""

    language: str = "en"
    now_s: float = 0.0
    told: list[UtteranceEvent] = field(default_factory=list)
    starts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = AsrSettings(foreign=True, foreign_wait_s=2.0, language=self.language)
        self.texts = ForeignTexts(settings, lambda: to_ns(self.now_s))

    def event(self, name: str, state: UtteranceState, at_s: float) -> list[UtteranceEvent]:
        self.now_s = max(self.now_s, at_s)
        start_ns = to_ns(self.starts.setdefault(name, at_s))
        nothing = Transcript("", is_final=state is ENDED)  # as a stage says it that reads nothing
        return self._note(self.texts.push(UtteranceEvent(name, state, to_ns(at_s), start_ns, to_ns(at_s), nothing)))

    def text(self, text: str, at_s: float, *, final: bool = True, **fields: object) -> list[UtteranceEvent]:
        self.now_s = max(self.now_s, at_s)
        said = Transcript(text, is_final=final, **{"language": "en", **fields})  # type: ignore[arg-type]
        return self._note(self.texts.take(said, to_ns(at_s)))

    def wait(self, until_s: float) -> list[UtteranceEvent]:
        self.now_s = until_s
        return self._note(self.texts.tick())

    def _note(self, events) -> list[UtteranceEvent]:
        news = list(events)
        self.told += news
        return news

    def last(self) -> tuple[str, UtteranceState, str, bool]:
        event = self.told[-1]
        return event.utterance_id, event.state, event.transcript.text, event.transcript.is_final


@pytest.fixture
def talk() -> Talk:
    return Talk()


def test_a_text_after_the_end_is_the_last_word(talk: Talk) -> None:
    talk.event("a", STARTED, 1)
    assert talk.last() == ("a", STARTED, "", False)
    talk.event("a", ENDED, 2)
    assert talk.last() == ("a", ENDED, "", False)
    assert talk.texts.is_waiting
    (event,) = talk.text("hello", 3, confidence=0.5)
    assert talk.last() == ("a", ENDED, "hello", True)
    assert (event.transcript.confidence, event.transcript.language) == (0.5, "en")
    assert not talk.texts.is_waiting


def test_guesses_are_told_at_once_and_replaced(talk: Talk) -> None:
    talk.event("a", STARTED, 1)
    for guess in ("hel", "hello"):
        talk.text(guess, 1.5, final=False)
        assert talk.last() == ("a", PARTIAL, guess, False)
    talk.event("a", PAUSED, 1.8)
    assert talk.last() == ("a", PAUSED, "hello", False)
    talk.event("a", ENDED, 2)
    assert not talk.text("hello you", 2.5, final=False), "what lasts no more waits for its last text"
    talk.text("hello you", 3)
    assert talk.last() == ("a", ENDED, "hello you", True)


def test_who_cuts_speech_finer_than_we_do_is_joined(talk: Talk) -> None:
    talk.event("a", STARTED, 1)
    talk.text("hello", 2, confidence=0.5)
    talk.text("how are", 2.5, final=False)
    assert talk.last() == ("a", PARTIAL, "hello how are", False)
    talk.event("a", ENDED, 3)
    (event,) = talk.text("how are you", 3.5, confidence=0.9)
    assert talk.last() == ("a", ENDED, "hello how are you", True)
    assert event.transcript.confidence == pytest.approx((5 * 0.5 + 11 * 0.9) / 16)


def test_who_hears_the_end_before_us_has_said_all(talk: Talk) -> None:
    """Our end is the last sound, and is told half a second later."""
    talk.event("a", STARTED, 1)
    talk.text("hello", 2.3)
    (event,) = talk.event("a", ENDED, 2)
    assert (event.state, event.transcript.text, event.transcript.is_final) == (ENDED, "hello", True)


def test_a_text_in_a_pause_is_of_what_was_said_before_it_whatever_its_stamp(talk: Talk) -> None:
    """Some stamp the beginning, which they may find earlier than we do."""
    talk.event("a", STARTED, 1)
    talk.event("a", PAUSED, 2)
    talk.text("hello", 0.8)
    talk.event("a", ENDED, 2)
    assert talk.last() == ("a", ENDED, "hello", True)
    talk.event("b", STARTED, 3)
    talk.event("b", PAUSED, 4)
    talk.text("how", 3)
    talk.event("b", PARTIAL, 5)
    talk.event("b", ENDED, 6)
    assert talk.last() == ("b", ENDED, "how", False), "the voice has gone on since"


def test_the_oldest_that_waits_is_meant_first(talk: Talk) -> None:
    for name, at_s in (("a", 1), ("b", 2)):
        talk.event(name, STARTED, at_s)
        talk.event(name, ENDED, at_s + 0.5)
    talk.event("c", STARTED, 3)
    for text, name, state in (("one", "a", ENDED), ("two", "b", ENDED), ("three", "c", PARTIAL)):
        talk.text(text, 3.2)
        assert talk.last() == (name, state, text, state is ENDED)


def test_guesses_are_of_who_speaks_and_not_of_a_cough_before(talk: Talk) -> None:
    talk.event("cough", STARTED, 1)
    talk.event("cough", ENDED, 2)
    talk.event("b", STARTED, 3)
    for guess in ("i hate", "i hate you"):
        talk.text(guess, 3.2, final=False)
        assert talk.last() == ("b", PARTIAL, guess, False)
    talk.wait(4.1)
    assert talk.last() == ("cough", ENDED, "", True)
    talk.event("b", ENDED, 4.2)
    talk.text("i hate you all", 4.5)
    assert talk.last() == ("b", ENDED, "i hate you all", True)


def test_a_guess_keeps_its_language_and_how_sure_it_is(talk: Talk) -> None:
    talk.event("a", STARTED, 1)
    (told,) = talk.text("ich bin", 1.5, final=False, language="de", confidence=0.2)
    assert (told.transcript.language, told.transcript.confidence) == ("de", pytest.approx(0.2))


def test_words_in_two_languages_are_in_none_that_is_known(talk: Talk) -> None:
    talk.event("a", STARTED, 1)
    talk.text("ich bin", 1.5, language="de")
    talk.event("a", ENDED, 2)
    (told,) = talk.text("so happy", 2.5, language="en")
    assert (told.transcript.text, told.transcript.language) == ("ich bin so happy", "und")


def test_without_a_text_the_wait_ends_with_what_was_guessed(talk: Talk) -> None:
    talk.event("a", STARTED, 1)
    talk.text("hel", 1.5, final=False)
    talk.event("a", ENDED, 2)
    talk.event("b", STARTED, 2.5)
    talk.event("b", ENDED, 3)
    assert talk.wait(3.9) == []
    talk.wait(4)
    assert talk.last() == ("a", ENDED, "hel", True)
    talk.wait(5)
    assert talk.last() == ("b", ENDED, "", True)
    assert talk.texts.counters == {"foreign_texts": 1, "unmatched_texts": 0, "without_text": 1}
    talk.text("late", 6)
    assert talk.texts.counters["unmatched_texts"] == 1


def test_what_was_said_before_or_is_no_speech_has_no_text(talk: Talk) -> None:
    talk.text("nobody", 0.5)
    talk.event("a", STARTED, 1)
    talk.text("earlier", 0.4)
    talk.event("a", CANCELLED, 2)
    assert talk.last() == ("a", CANCELLED, "", False)
    talk.text("noise", 2.1)
    assert talk.texts.counters == {"foreign_texts": 3, "unmatched_texts": 3, "without_text": 0}


def test_the_language_is_the_texts_own_or_the_settings() -> None:
    for setting, told, expected in (("pl", "", "pl"), ("pl", "en-GB", "en-GB"), ("auto", "", "")):
        talk = Talk(setting)
        talk.event("a", STARTED, 1)
        talk.event("a", ENDED, 2)
        assert talk.text("hello", 3, language=told)[-1].transcript.language == expected


def test_a_clock_that_is_set_back_ends_the_wait_later_not_never(talk: Talk) -> None:
    talk.event("a", STARTED, 100)
    talk.event("a", ENDED, 101)
    talk.wait(1)
    talk.wait(3)
    assert talk.last() == ("a", ENDED, "", True)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("next"), st.sampled_from([ENDED, CANCELLED]), st.floats(0.1, 3)),
            st.tuples(st.just("text"), st.booleans(), st.floats(0, 3)),
            st.tuples(st.just("wait"), st.none(), st.floats(0, 3)),
        ),
        max_size=40,
    )
)
def test_whatever_comes_when_each_utterance_has_one_last_event_and_nothing_after(steps: list) -> None:
    talk, now_s, count = Talk(), 0.0, 0
    for what, how, after_s in steps:
        now_s += after_s
        if what == "next":
            talk.event(f"u{count}", STARTED, now_s)
            talk.event(f"u{count}", how, now_s + 0.1)
            count += 1
        elif what == "text":
            talk.text("word", now_s, final=how)
        else:
            talk.wait(now_s)
    talk.told += talk.texts.flush()
    for number in range(count):
        events = [event for event in talk.told if event.utterance_id == f"u{number}"]
        last = [event.state is CANCELLED or event.transcript.is_final for event in events]
        assert last == [False] * (len(last) - 1) + [True]
    assert not talk.texts.is_waiting
