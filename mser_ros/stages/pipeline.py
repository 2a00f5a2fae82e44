"""The whole path without ROS: chunks of audio and frames of skeletons in, estimates out.

Every stage decides from the stamps of its data alone; a clock only bounds how long it waits for data that may never
come. So a microphone, a bag replayed at any speed and a file give the same final estimates. The nodes are thin wrappers
around the stages, `EmotionPipeline` is all of them in one object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..asr.transcriber import NullTranscriber
from ..mocap.stream import SkeletonStream
from ..recognition.recognizer import EmotionRecognizer
from ..settings import MocapSettings, SpeechSettings
from ..types import AudioChunk, EmotionEstimate, SkeletonFrame, Transcript, UtteranceEvent, to_ns
from .emotion import EmotionStage
from .foreign_texts import ForeignTexts
from .speech import SpeechStage


@dataclass
class EmotionPipeline:
    """Speech and emotion stage in one: what offline annotation, evaluation and tests run.

    `on_event` sees every utterance event, `on_audio` the audio as the speech stage puts it in order. Feed data in the
    order of its stamps, then call `flush`; or in the order of its arrival, whose time is told: then also what the
    nodes decide by the clock is decided alike, that audio has stalled and what is not waited for any more. Skeletons
    are mended by `skeletons` as the mocap node does. Where `asr.foreign` is set, `texts` joins the words that are
    pushed; the speech stage should read none then. A stage belongs to one pipeline: `emotion` goes by the clock of its
    pipeline, unless it was given another.
    """

    speech: SpeechStage
    emotion: EmotionStage
    skeletons: SkeletonStream = field(default_factory=lambda: SkeletonStream(MocapSettings()))
    on_event: Callable[[UtteranceEvent], None] = field(default=lambda event: None)
    on_audio: Callable[[AudioChunk], None] = field(default=lambda chunk: None)
    texts: ForeignTexts | None = field(default=None, init=False)
    _now_ns: int | None = field(default=None, init=False)
    _heard_ns: int | None = field(default=None, init=False)  # when audio came last

    def __post_init__(self) -> None:
        self.emotion.clock = self.emotion.clock or (lambda: self._now_ns)
        if self.speech.settings.asr.foreign:
            self.texts = ForeignTexts(self.speech.settings.asr, lambda: self._now_ns or 0)

    @classmethod
    def create(
        cls,
        recognizer: EmotionRecognizer,
        *,
        speech: SpeechSettings | None = None,
        mocap: MocapSettings | None = None,
    ) -> EmotionPipeline:
        """A pipeline from settings, with the recogniser of words that they name; `recognizer` brings its own."""
        reads = NullTranscriber() if speech and speech.asr.foreign else None
        return cls(
            SpeechStage(speech, transcriber=reads),
            EmotionStage(recognizer, mocap),
            SkeletonStream(mocap or MocapSettings()),
        )

    def push_audio(self, chunk: AudioChunk, arrival_ns: int | None = None) -> Iterator[EmotionEstimate]:
        """Take a chunk of any source. `arrival_ns`: when it was received, which stands for a stamp that is 0."""
        yield from self.tick(arrival_ns)
        self._heard_ns = arrival_ns
        yield from self._fuse(self.speech.push(chunk, arrival_ns))

    def push_skeleton(self, frame: SkeletonFrame, arrival_ns: int | None = None) -> Iterator[EmotionEstimate]:
        """Take a frame of any source. `arrival_ns`: when it was received. Raises `SkeletonError` for one that cannot be
        used."""
        yield from self.tick(arrival_ns)
        yield from self.emotion.push_skeleton(self.skeletons.push(frame))

    def push_text(self, text: Transcript, at_ns: int, arrival_ns: int | None = None) -> Iterator[EmotionEstimate]:
        """Take what another recogniser has read at this time of the clock that stamps audio; nothing but where
        `asr.foreign` is set."""
        yield from self.tick(arrival_ns)
        if self.texts is not None and self.speech.is_listening:
            yield from self._judge(self.texts.take(text, at_ns))

    def robot_speaks(self, speaks: bool, arrival_ns: int | None = None) -> Iterator[EmotionEstimate]:
        """The robot begins or ends to speak, as `SpeechStage.robot_speaks`."""
        yield from self.tick(arrival_ns)
        yield from self._fuse(self.speech.robot_speaks(speaks))

    def tick(self, now_ns: int | None) -> Iterator[EmotionEstimate]:
        """Do what is due by the clock, up to this time of it, without new data; nothing without a clock."""
        if now_ns is None:
            return
        stalled_ns = None if self._heard_ns is None else self._heard_ns + to_ns(self.speech.settings.stall_s)
        if stalled_ns is not None and stalled_ns < now_ns:
            self._heard_ns, self._now_ns = None, stalled_ns
            yield from self._fuse(self.speech.flush())
        self._now_ns = now_ns
        if self.texts is not None:
            yield from self._judge(self.texts.tick())
        yield from self.emotion.tick()

    def listen(self, listening: bool) -> Iterator[EmotionEstimate]:
        """Listen or do not: then what is said is cancelled, and what was heard is forgotten."""
        yield from self._fuse(self.speech.listen(listening))
        if not listening:
            if self.texts is not None:
                yield from self._judge(self.texts.flush())
            self.emotion.forget_audio()

    def flush(self) -> Iterator[EmotionEstimate]:
        """The input is over: finish what is open."""
        yield from self._fuse(self.speech.flush())
        if self.texts is not None:
            yield from self._judge(self.texts.flush())
        yield from self.emotion.flush()

    def _fuse(self, items: Iterable[AudioChunk | UtteranceEvent]) -> Iterator[EmotionEstimate]:
        for item in items:
            if isinstance(item, UtteranceEvent):
                yield from self._judge((item,) if self.texts is None else self.texts.push(item))
            else:
                self.on_audio(item)
                yield from self.emotion.push_audio(item)

    def _judge(self, events: Iterable[UtteranceEvent]) -> Iterator[EmotionEstimate]:
        for event in events:
            self.on_event(event)
            yield from self.emotion.push_event(event)
