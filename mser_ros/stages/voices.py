"""Several people heard apart: a speech stage for each voice, and one recogniser that reads them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..asr.transcriber import NullTranscriber
from ..audio.crossing import Crossing
from ..errors import PeopleError
from ..settings import SpeechSettings
from ..types import AudioChunk, Transcript, UtteranceEvent
from .failures import log_failure
from .foreign_texts import ForeignTexts
from .speech import SpeechStage

#: Voices that are heard at once: more than a robot can tell apart.
MAX_VOICES = 16
#: Who reads where `asr.foreign` is set.
_FOREIGN = "another recogniser's, on topic text"


class _Ear:
    """One voice: its stage, and where the words come from elsewhere what joins them."""

    def __init__(self, stage: SpeechStage, texts: ForeignTexts | None) -> None:
        self.stage = stage
        self.texts = texts

    @property
    def counters(self) -> Mapping[str, int]:
        return {**self.stage.counters, **(self.texts.counters if self.texts else {})}

    def worded(self, items: Iterable[AudioChunk | UtteranceEvent]) -> Iterator[AudioChunk | UtteranceEvent]:
        for item in items:
            if self.texts is not None and isinstance(item, UtteranceEvent):
                yield from self.texts.push(item)
            else:
                yield item


class SpeechStages:
    """Hears the topic `audio`, and each voice that is heard apart; a voice's name is '' for the former.

    While any voice is heard apart, its sound takes the place of `audio`, so that nobody is heard twice
    (`replaced_samples`). `clock`: nanoseconds, bounds the wait for words from elsewhere. Not thread-safe.
    """

    def __init__(
        self,
        settings: SpeechSettings,
        *,
        clock: Callable[[], int],
        on_failure: Callable[[Exception], None] = log_failure,
    ) -> None:
        self._settings = settings
        self._clock = clock
        foreign = NullTranscriber() if settings.asr.foreign else None
        stage = SpeechStage(settings, transcriber=foreign, on_failure=on_failure)
        self._ears: dict[str, _Ear] = {"": self._ear(stage)}
        self.recogniser = _FOREIGN if settings.asr.foreign else stage.recogniser
        self._waiting: dict[str, None] = {}  # voices for which there was no room
        self._past = Counter({"replaced_samples": 0})
        self._crossing = Crossing()

    @property
    def counters(self) -> Mapping[str, int]:
        """Those of all stages together, also of voices that are gone."""
        sums = Counter(self._past)
        for ear in list(self._ears.values()):
            sums.update(ear.counters)
        return {**sums, "voices": len(self._ears) - 1}

    @property
    def is_waiting(self) -> bool:
        """Whether `tick` must be called now and then."""
        return any(ear.texts is not None and ear.texts.is_waiting for ear in list(self._ears.values()))

    @property
    def is_crossed(self) -> bool:
        """Whether several sources seem to be heard on the topic `audio`, see `Crossing`."""
        return self._crossing.is_crossed

    def open(self, voice_id: str) -> None:
        """Hear this voice apart from now on. Raises `PeopleError` for one too many."""
        if len(self._ears) > MAX_VOICES and voice_id not in self._ears:
            self._waiting[voice_id] = None
            raise PeopleError(f"over {MAX_VOICES} voices at once: '{voice_id}' is not heard until one of them ends")
        self._waiting.pop(voice_id, None)
        if voice_id not in self._ears:
            self._ears[voice_id] = self._ear(self._ears[""].stage.another())

    def end(self, voice_id: str) -> Iterator[AudioChunk | UtteranceEvent]:
        """The voice is not heard any more."""
        self._waiting.pop(voice_id, None)
        if voice_id and (ear := self._ears.pop(voice_id, None)):
            yield from self._finish(ear)
            self._past.update(ear.counters)
            if self._waiting:
                self.open(next(iter(self._waiting)))

    def push(
        self, chunk: AudioChunk, arrival_ns: int | None = None, voice_id: str = ""
    ) -> Iterator[AudioChunk | UtteranceEvent]:
        """Take the next chunk, as `SpeechStage.push` does."""
        if (ear := self._ears.get(voice_id)) is None:
            return
        heard_apart = any(other.stage.stream.counters.received for name, other in self._ears.items() if name)
        if not voice_id and heard_apart:
            self._past["replaced_samples"] += chunk.frames
            ear.stage.stream.skip()
            return
        if voice_id and not heard_apart:
            yield from self.flush()
        yield from ear.worded(ear.stage.push(chunk, arrival_ns))
        if not voice_id and ear.stage.is_listening:
            self._crossing.note(chunk)

    def take(self, text: Transcript, at_ns: int, voice_id: str = "") -> Iterator[UtteranceEvent]:
        """Take what another recogniser has read, at this time of the clock that stamps audio."""
        ear = self._ears.get(voice_id)
        if ear is not None and ear.texts is not None and ear.stage.is_listening:
            yield from ear.texts.take(text, at_ns)

    def tick(self) -> Iterator[UtteranceEvent]:
        """Wait no more for words that are late."""
        for ear in self._ears.values():
            if ear.texts is not None:
                yield from ear.texts.tick()

    def flush(self, voice_id: str | None = None) -> Iterator[AudioChunk | UtteranceEvent]:
        """The sound of a voice is over, or rests, or that of all: end open utterances."""
        for ear in self._chosen(voice_id):
            yield from ear.worded(ear.stage.flush())

    def finish(self) -> Iterator[AudioChunk | UtteranceEvent]:
        """Nothing will come any more: end open utterances, whose words are then complete, hear nobody apart, and do not
        wait for the robot to be told silent, who may be so by the time that something comes again."""
        self._waiting.clear()
        for voice_id in list(self._ears):
            yield from self.end(voice_id)
        yield from self._finish(self._ears[""])
        yield from self.robot_speaks(False)

    def listen(self, listening: bool) -> Iterator[AudioChunk | UtteranceEvent]:
        """As `SpeechStage.listen`, for all voices."""
        for ear in self._ears.values():
            yield from ear.worded(ear.stage.listen(listening))
            if ear.texts is not None and not listening:
                yield from ear.texts.flush()

    def robot_speaks(self, speaks: bool) -> Iterator[AudioChunk | UtteranceEvent]:
        """As `SpeechStage.robot_speaks`, for all voices."""
        for ear in self._ears.values():
            yield from ear.worded(ear.stage.robot_speaks(speaks))

    def close(self) -> None:
        """Free the recogniser."""
        self._ears[""].stage.close()

    def _ear(self, stage: SpeechStage) -> _Ear:
        return _Ear(stage, ForeignTexts(self._settings.asr, self._clock) if self._settings.asr.foreign else None)

    def _chosen(self, voice_id: str | None) -> list[_Ear]:
        return [ear for name, ear in self._ears.items() if voice_id in (None, name)]

    def _finish(self, ear: _Ear) -> Iterator[AudioChunk | UtteranceEvent]:
        yield from ear.worded(ear.stage.flush())
        if ear.texts is not None:
            yield from ear.texts.flush()
