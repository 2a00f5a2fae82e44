"""The whole path without ROS: chunks of audio and frames of skeletons in, estimates out.

Every stage decides from the stamps of its data alone; a clock only bounds how long it waits for data that may never
come. So a microphone, a bag replayed at any speed and a file give the same final estimates. The nodes are thin wrappers
around the stages, `EmotionPipeline` is all of them in one object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..mocap.stream import SkeletonStream
from ..recognition.recognizer import EmotionRecognizer
from ..settings import MocapSettings, SpeechSettings
from ..types import AudioChunk, EmotionEstimate, SkeletonFrame, UtteranceEvent
from .emotion import EmotionStage
from .speech import SpeechStage


@dataclass
class EmotionPipeline:
    """Speech and emotion stage in one: what offline annotation, evaluation and tests run.

    `on_event` sees every utterance event, `on_audio` the audio as the speech stage puts it in order. Feed data in the
    order of its stamps, then call `flush`. Skeletons are mended by `skeletons` as the mocap node does.
    """

    speech: SpeechStage
    emotion: EmotionStage
    skeletons: SkeletonStream = field(default_factory=lambda: SkeletonStream(MocapSettings()))
    on_event: Callable[[UtteranceEvent], None] = field(default=lambda event: None)
    on_audio: Callable[[AudioChunk], None] = field(default=lambda chunk: None)

    @classmethod
    def create(
        cls,
        recognizer: EmotionRecognizer,
        *,
        speech: SpeechSettings | None = None,
        mocap: MocapSettings | None = None,
    ) -> EmotionPipeline:
        """A pipeline from settings, with the recogniser of words that they name; `recognizer` brings its own."""
        return cls(SpeechStage(speech), EmotionStage(recognizer, mocap), SkeletonStream(mocap or MocapSettings()))

    def push_audio(self, chunk: AudioChunk, arrival_ns: int | None = None) -> Iterator[EmotionEstimate]:
        """Take a chunk of any source. `arrival_ns`: when it was received, which stands for a stamp that is 0."""
        yield from self._fuse(self.speech.push(chunk, arrival_ns))

    def push_skeleton(self, frame: SkeletonFrame) -> Iterator[EmotionEstimate]:
        """Take a frame of any source. Raises `SkeletonError` for one that cannot be used."""
        yield from self.emotion.push_skeleton(self.skeletons.push(frame))

    def flush(self) -> Iterator[EmotionEstimate]:
        """The input is over: finish what is open."""
        yield from self._fuse(self.speech.flush())
        yield from self.emotion.flush()

    def _fuse(self, items: Iterable[AudioChunk | UtteranceEvent]) -> Iterator[EmotionEstimate]:
        for item in items:
            if isinstance(item, UtteranceEvent):
                self.on_event(item)
                yield from self.emotion.push_event(item)
            else:
                self.on_audio(item)
                yield from self.emotion.push_audio(item)
