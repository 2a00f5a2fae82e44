"""The words of another recogniser: joined by time with the utterances that our voice activity detection finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..languages import language_tag
from ..settings import AsrSettings
from ..types import Transcript, UtteranceEvent, UtteranceState, to_ns

#: A text may be stamped with the beginning of what was said, as another ear found it: so long before ours at most.
_EARLY_NS = to_ns(0.5)


@dataclass
class _Heard:
    """An utterance whose words are not complete: its newest event, the final texts so far, and what may follow them.

    `read_ns`: up to when the final texts reach. `since_ns`: by the clock, since when it has ended; None while it lasts.
    """

    event: UtteranceEvent
    texts: list[Transcript] = field(default_factory=list)
    guess: Transcript | None = None
    read_ns: int = 0
    since_ns: int | None = None


class ForeignTexts:
    """Takes the events of utterances without words, and texts; gives the events with words.

    Another recogniser tells a text when it has it, some time after the end of what was said; few say of which time it
    is. So a final text belongs to the oldest utterance that has ended and waits for words, else to the one that lasts,
    if that began before it; one that may change yet to the one that lasts, if there is one. Texts of one utterance are
    joined; of several languages they are of none that is known ('und'). An utterance that has ended is complete with
    its next text, or at once if there is one that came after its last sound; without any it waits for
    `settings.foreign_wait_s` by `clock` (nanoseconds).
    """

    def __init__(self, settings: AsrSettings, clock: Callable[[], int]) -> None:
        self._settings = settings
        self._clock = clock
        self._heard: list[_Heard] = []
        self._counts = {"foreign_texts": 0, "unmatched_texts": 0, "without_text": 0}

    @property
    def language(self) -> str:
        """Of texts that tell none; '' where any may be spoken."""
        tag = language_tag(self._settings.language)
        return "" if tag == "auto" else tag

    @property
    def counters(self) -> Mapping[str, int]:
        """Texts that came, those that belong to no utterance, and utterances that got none."""
        return self._counts

    @property
    def is_waiting(self) -> bool:
        """Whether `tick` must be called now and then."""
        return any(heard.since_ns is not None for heard in self._heard)

    def push(self, event: UtteranceEvent) -> Iterator[UtteranceEvent]:
        """Take an event of an utterance."""
        heard = next((item for item in self._heard if item.event.utterance_id == event.utterance_id), None)
        if heard is None:
            heard = _Heard(event)
            self._heard.append(heard)
        heard.event = event
        if event.state is UtteranceState.CANCELLED:
            self._heard.remove(heard)
            yield event
        elif event.state is not UtteranceState.ENDED:
            yield self._with_words(heard)
        elif heard.texts and heard.read_ns >= event.end_ns:
            yield self._finish(heard)
        else:
            heard.since_ns = self._clock()
            yield self._with_words(heard)

    def take(self, text: Transcript, at_ns: int) -> Iterator[UtteranceEvent]:
        """Take a text that was told at this time of the clock that stamps audio."""
        self._counts["foreign_texts"] += 1
        begun = [item for item in self._heard if item.event.start_ns - _EARLY_NS <= at_ns]
        if not text.is_final:  # guesses are of who speaks now
            begun.sort(key=lambda item: item.since_ns is not None)
        heard = next(iter(begun), None)
        if heard is None:
            self._counts["unmatched_texts"] += 1
            return
        if not text.is_final:
            heard.guess = text
        else:
            heard.texts.append(text)
            heard.guess = None
            # Whatever its stamp, what comes in a pause is of what was said before it.
            heard.read_ns = max(at_ns, heard.event.end_ns if heard.event.state is UtteranceState.PAUSED else 0)
        if heard.since_ns is None:
            yield self._with_words(heard)
        elif text.is_final:
            yield self._finish(heard)

    def tick(self) -> Iterator[UtteranceEvent]:
        """Wait no more for what is late."""
        now_ns = self._clock()
        for heard in list(self._heard):
            if heard.since_ns is not None:
                heard.since_ns = min(heard.since_ns, now_ns)  # a bag that starts again sets the clock back
                if now_ns - heard.since_ns >= to_ns(self._settings.foreign_wait_s):
                    yield self._finish(heard)

    def flush(self) -> Iterator[UtteranceEvent]:
        """No more texts will come."""
        for heard in list(self._heard):
            if heard.since_ns is not None:
                yield self._finish(heard)

    def _finish(self, heard: _Heard) -> UtteranceEvent:
        self._heard.remove(heard)
        event = self._with_words(heard)
        self._counts["without_text"] += not event.transcript.text
        return replace(event, transcript=replace(event.transcript, is_final=True))

    def _with_words(self, heard: _Heard) -> UtteranceEvent:
        """The newest event with the words so far; one that began and has words by now is partly read."""
        texts = [*heard.texts, *([heard.guess] if heard.guess else [])]
        words = " ".join(text.text for text in texts if text.text)
        languages = {text.language or self.language for text in texts if text.text} or {self.language}
        language = next(iter(languages)) if len(languages) == 1 else "und"
        transcript = Transcript(words, _confidence(texts), language=language, is_final=False)
        state = heard.event.state
        if state is UtteranceState.STARTED and transcript.text:
            state = UtteranceState.PARTIAL
        return replace(heard.event, state=state, transcript=transcript)


def _confidence(texts: list[Transcript]) -> float | None:
    """The mean by length of those that have one."""
    known = [(len(text.text), text.confidence) for text in texts if text.confidence is not None]
    letters = sum(length for length, _ in known)
    return sum(length * confidence for length, confidence in known) / letters if letters else None
