"""The first stage of the pipeline: from audio to utterances."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import TypeVar

import numpy as np

from ..asr.registry import choose, create_transcriber
from ..asr.transcriber import Transcriber, partial_wait
from ..audio.segmenter import Cancelled, Ended, Paused, Segmenter, SegmentEvent, Speech, Started
from ..audio.stream import AudioStream, Discontinuity
from ..audio.vad import VoiceActivityDetector
from ..settings import SpeechSettings
from ..types import SAMPLE_NS, AudioChunk, Transcript, UtteranceEvent, UtteranceState, to_ns
from .failures import log_failure

T = TypeVar("T")

#: While nobody speaks, sound is passed on in pieces of this length: whoever takes it has less to do.
_QUIET_NS = to_ns(0.19)
#: An utterance begins at most so long before the audio in which that is decided.
_BEFORE_NS = to_ns(5.0)


class SpeechStage:
    """Hears and reads: audio of any kind in, audio of one kind (16 kHz mono) and utterance events out. While nobody
    speaks, the audio comes in larger pieces, a fifth of a second late.

    An utterance gives STARTED, PARTIAL while it lasts, PAUSED in each pause as if it were the end, and ENDED with the
    final text; or CANCELLED. Where the text was not read in the last pause, ENDED comes at once with what is known of
    it, and again. A recogniser that fails is told to `on_failure` and costs the words of that utterance only; `unread`
    counts them.
    """

    def __init__(
        self,
        settings: SpeechSettings | None = None,
        *,
        vad: VoiceActivityDetector | None = None,
        transcriber: Transcriber | None = None,
        on_failure: Callable[[Exception], None] = log_failure,
    ) -> None:
        self.settings = settings or SpeechSettings()
        self.stream = AudioStream(self.settings.stream)
        self._segmenter = Segmenter(self.settings.segmenter, vad)
        reads, self.recogniser = self._recogniser(transcriber)
        self._transcriber = _Contained(reads, on_failure)
        self._open: UtteranceEvent | None = None
        self._source: AudioChunk | None = None
        self._held: list[AudioChunk] = []  # what is not passed on yet
        self._clipped: deque[AudioChunk] = deque()  # the newest audio in which samples are clipped
        self._next_partial_ns = 0
        self._ahead = 0  # samples of the utterance that were read in its last pause
        self._guess = Transcript("", is_final=False)  # the newest text that was told
        self.utterances = 0
        self.is_listening = True
        self._robot_speaks = False
        self._tail_ns = 0  # of audio after the robot's last word that is still to be left out
        self._unheard = {"unheard_samples": 0, "robot_samples": 0}

    @property
    def counters(self) -> Mapping[str, int]:
        """What was heard and read, and what was not, since the stage was made. `unheard_samples`: came while it did not
        listen; `robot_samples`: while the robot spoke."""
        counts = asdict(self.stream.counters) | self._unheard | {"utterances": self.utterances}
        return counts | dict(self._transcriber.counters)

    def push(self, chunk: AudioChunk, arrival_ns: int | None = None) -> Iterator[AudioChunk | UtteranceEvent]:
        """Take the next chunk, which was received at `arrival_ns` on the clock of the stamps: the time of audio that
        has no stamp (0). Raises `AudioError` for one that cannot be used; what was heard before stays."""
        if not self._is_heard(chunk):
            return
        if not chunk.voice_id:
            chunk = replace(chunk, voice_id=self.settings.voice_id)
        yield from self._take(self.stream.push(chunk, arrival_ns))

    def flush(self) -> Iterator[AudioChunk | UtteranceEvent]:
        """The input is over, or rests: end an open utterance."""
        yield from self._take(self.stream.flush())
        yield from self._pass_on()
        yield from self._segment(self._segmenter.flush())

    def listen(self, listening: bool) -> Iterator[AudioChunk | UtteranceEvent]:
        """Listen or do not: then an open utterance is cancelled, what was heard of it forgotten, and nothing that comes
        is looked at."""
        if self.is_listening and not listening:
            self.stream.flush()
            self._held.clear()
            for _ in self._segmenter.flush():
                pass
            if self._open is not None:
                yield self._cancel(self._open.start_ns)
        self.is_listening = listening

    def robot_speaks(self, speaks: bool) -> Iterator[AudioChunk | UtteranceEvent]:
        """The robot begins or ends to speak: until a while after that nothing is heard, unless people may barge in.
        What was said before is an utterance."""
        if self.settings.robot.barge_in or speaks == self._robot_speaks:
            return
        self._robot_speaks = speaks
        if speaks:
            yield from self.flush()
        else:
            self._tail_ns = to_ns(self.settings.robot.tail_s)

    @property
    def is_robot_heard(self) -> bool:
        """Whether the robot speaks, or its voice rings on."""
        return self._robot_speaks or self._tail_ns > 0

    def _is_heard(self, chunk: AudioChunk) -> bool:
        if not self.is_listening:
            self._unheard["unheard_samples"] += chunk.frames
        elif self.is_robot_heard:
            if not self._robot_speaks:
                self._tail_ns -= chunk.end_ns - chunk.stamp_ns
            self._unheard["robot_samples"] += chunk.frames
        else:
            return True
        self.stream.skip()
        return False

    def another(self) -> SpeechStage:
        """One that hears another voice at the same time, with this one's recogniser: it is not to be closed, nor used
        when this one is."""
        other = SpeechStage(
            self.settings, transcriber=self._transcriber.another(), on_failure=self._transcriber.on_failure
        )
        other.is_listening, other._robot_speaks, other._tail_ns = self.is_listening, self._robot_speaks, self._tail_ns
        return other

    def close(self) -> None:
        """Free the recogniser."""
        self._transcriber.close()

    def _take(self, items: Iterable[AudioChunk | Discontinuity]) -> Iterator[AudioChunk | UtteranceEvent]:
        for item in items:
            if isinstance(item, Discontinuity):
                yield from self._pass_on()
                yield from self._segment(self._segmenter.flush())
                continue
            if self._held and (item.voice_id, item.frame_id) != (self._held[0].voice_id, self._held[0].frame_id):
                yield from self._pass_on()
            self._source = item
            self._note_clipped(item)
            self._held.append(item)
            events = list(self._segmenter.push(item))
            if events or self._open is not None or item.end_ns - self._held[0].stamp_ns >= _QUIET_NS:
                yield from self._pass_on()
            yield from self._segment(events)

    def _pass_on(self) -> Iterator[AudioChunk]:
        """What is held, as one piece."""
        held, self._held = self._held, []
        if held:
            samples = np.concatenate([chunk.samples for chunk in held])
            yield replace(held[0], samples=samples, clipped=None)  # of which the events tell

    def _note_clipped(self, chunk: AudioChunk) -> None:
        while self._clipped and self._clipped[-1].stamp_ns >= chunk.stamp_ns:  # the clock was set back
            self._clipped.pop()
        if chunk.clipped is not None and chunk.clipped.any():
            self._clipped.append(chunk)
        since_ns = self._open.start_ns if self._open else chunk.stamp_ns - _BEFORE_NS
        while self._clipped and self._clipped[0].end_ns < min(since_ns, chunk.stamp_ns):
            self._clipped.popleft()

    def _clipped_share(self, start_ns: int, end_ns: int) -> float:
        """Of the samples of this span. What it was cut into does not matter."""
        clipped = 0.0
        for chunk in self._clipped:
            assert chunk.clipped is not None
            first, last = (round((ns - chunk.stamp_ns) / SAMPLE_NS) for ns in (start_ns, end_ns))
            clipped += float(chunk.clipped[max(0, first) : max(0, last)].sum(dtype=np.float64))
        return float(np.float32(min(1.0, clipped * SAMPLE_NS / max(end_ns - start_ns, SAMPLE_NS))))

    def _recogniser(self, transcriber: Transcriber | None) -> tuple[Transcriber, str]:
        """The recogniser, and in words which one it is and why."""
        if transcriber is not None:
            return transcriber, type(transcriber).__name__
        choice = choose(self.settings.asr)
        return create_transcriber(self.settings.asr, choice), str(choice)

    def _segment(self, events: Iterable[SegmentEvent]) -> Iterator[UtteranceEvent]:
        for event in events:
            if isinstance(event, Started):
                yield self._start(event)
            elif isinstance(event, Speech):
                self._transcriber.accept(event.samples)
                yield from self._partial(event.end_ns)
            elif isinstance(event, Paused):
                yield from self._pause(event)
            elif isinstance(event, Ended):
                yield from self._end(event)
            elif isinstance(event, Cancelled):
                yield self._cancel(event.end_ns)

    def _start(self, event: Started) -> UtteranceEvent:
        chunk = self._source
        assert chunk is not None
        self.utterances += 1
        self._transcriber.start(event.start_ns)
        self._ahead = 0
        self._guess = self._nothing_yet()
        self._next_partial_ns = event.start_ns + to_ns(self.settings.asr.partial_period_s)
        self._open = UtteranceEvent(
            # The time tells two runs of this stage apart, the count two rounds of a bag that is replayed in a loop.
            utterance_id=f"{chunk.voice_id}-{event.start_ns // 1_000_000}-{self.utterances}",
            state=UtteranceState.STARTED,
            stamp_ns=event.decided_ns,
            start_ns=event.start_ns,
            end_ns=event.decided_ns,
            transcript=self._nothing_yet(),
            voice_id=chunk.voice_id,
            frame_id=chunk.frame_id,
            clipped=self._clipped_share(event.start_ns, event.decided_ns),
        )
        return self._open

    def _partial(self, heard_ns: int) -> Iterator[UtteranceEvent]:
        period_ns = to_ns(self.settings.asr.partial_period_s)
        if self._open is None or period_ns == 0 or heard_ns < self._next_partial_ns:
            return
        is_early = heard_ns < self._open.start_ns + 2 * period_ns
        self._next_partial_ns = heard_ns + partial_wait(period_ns, is_early=is_early)
        self._guess = self._transcriber.partial()
        yield self._news(UtteranceState.PARTIAL, heard_ns, self._guess)

    def _pause(self, event: Paused) -> Iterator[UtteranceEvent]:
        if self._open is not None:
            # Voice and body can be judged while the words are read.
            yield self._news(UtteranceState.PAUSED, event.end_ns, self._guess)
            transcript = self._transcriber.pause(event.samples)
            self._ahead = event.samples if transcript.is_final else 0
            if transcript.is_final or transcript.text != self._guess.text:
                self._guess = replace(transcript, is_final=False)
                yield self._news(UtteranceState.PAUSED, event.end_ns, self._guess)

    def _end(self, event: Ended) -> Iterator[UtteranceEvent]:
        if self._open is None:
            return
        if self._transcriber.language and event.samples != self._ahead:  # else the final text is there at once
            yield self._news(UtteranceState.ENDED, event.end_ns, self._transcriber.partial())
        yield self._news(UtteranceState.ENDED, event.end_ns, self._transcriber.finish(event.samples))
        self._open = None

    def _cancel(self, end_ns: int) -> UtteranceEvent:
        self._transcriber.reset()
        news = self._news(UtteranceState.CANCELLED, end_ns, self._nothing_yet())
        self._open = None
        return news

    def _news(self, state: UtteranceState, end_ns: int, transcript: Transcript) -> UtteranceEvent:
        assert self._open is not None
        end_ns = max(end_ns, self._open.start_ns)  # the start was told by a clock that may have been moved back since
        clipped = self._clipped_share(self._open.start_ns, end_ns)
        return replace(self._open, state=state, stamp_ns=end_ns, end_ns=end_ns, transcript=transcript, clipped=clipped)

    def _nothing_yet(self) -> Transcript:
        return Transcript("", language=self._transcriber.language, is_final=False)


class _Contained:
    """A transcriber whose errors end the reading of one utterance: it then hears nothing until the next one starts."""

    def __init__(self, transcriber: Transcriber, on_failure: Callable[[Exception], None]) -> None:
        self._transcriber = transcriber
        self.on_failure = on_failure
        self._has_failed = False
        self._failures = 0

    @property
    def language(self) -> str:
        return self._transcriber.language

    @property
    def counters(self) -> Mapping[str, int]:
        """Those of the transcriber, and the utterances whose words its errors have cost."""
        return {**self._transcriber.counters, "unread": self._failures}

    def start(self, start_ns: int) -> None:
        self._has_failed = False
        self._try(lambda: self._transcriber.start(start_ns), None)

    def accept(self, samples: np.ndarray) -> None:
        self._try(lambda: self._transcriber.accept(samples), None)

    def partial(self) -> Transcript:
        return self._try(self._transcriber.partial, Transcript("", language=self.language, is_final=False))

    def pause(self, samples: int) -> Transcript:
        nothing = Transcript("", language=self.language, is_final=False)
        return self._try(lambda: self._transcriber.pause(samples), nothing)

    def finish(self, samples: int | None = None) -> Transcript:
        return self._try(lambda: self._transcriber.finish(samples), Transcript("", language=self.language))

    def reset(self) -> None:
        self._try(self._transcriber.reset, None)

    def another(self) -> Transcriber:
        return self._transcriber.another()

    def close(self) -> None:
        self._transcriber.close()

    def _try(self, call: Callable[[], T], otherwise: T) -> T:
        if self._has_failed:
            return otherwise
        try:
            return call()
        except Exception as error:
            self._has_failed = True
            self._failures += 1
            self.on_failure(error)
            return otherwise
