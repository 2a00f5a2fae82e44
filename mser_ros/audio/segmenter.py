"""Cutting speech out of a stream: voice activity with hysteresis, pre-roll, hang-over and a longest length."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..settings import SegmenterSettings
from ..types import SAMPLE_NS, SAMPLE_RATE, AudioChunk
from .vad import FRAME, SileroVad, VoiceActivityDetector

#: Frames over which it is measured where a segment that must be cut is quietest: a tenth of a second.
_QUIET = 3


@dataclass(frozen=True, slots=True)
class Started:
    """Speech has begun. `start_ns`: first sample, pre-roll included. `decided_ns`: how much had been heard by then."""

    start_ns: int
    decided_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Speech:
    """The next audio of the open segment: int16, shape (n,), 16 kHz, without a gap; the pre-roll comes first."""

    samples: np.ndarray
    start_ns: int

    @property
    def end_ns(self) -> int:
        """Time one past the last sample."""
        return self.start_ns + len(self.samples) * SAMPLE_NS


@dataclass(frozen=True, slots=True)
class Paused:
    """The voice has paused. Unless it goes on, the segment ends at `end_ns`, after so many `samples`; `decided_ns`: how
    much had been heard when that was decided."""

    start_ns: int
    end_ns: int
    decided_ns: int
    samples: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The segment is over. `end_ns`: one past its last sample, post-roll included, which may lie before the audio
    already given; `decided_ns`: how much had been heard when that was decided. `samples`: its length."""

    start_ns: int
    end_ns: int
    decided_ns: int
    samples: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The segment held too little voice: forget it. `end_ns`: how much had been heard when that was decided."""

    start_ns: int
    end_ns: int


SegmentEvent = Started | Speech | Paused | Ended | Cancelled


class Segmenter:
    """Finds the segments of speech in 16 kHz mono audio that has no holes.

    The audio is judged in frames of 32 ms, counted from the first sample after a reset, so the segments do not depend
    on how it is cut into chunks. All times are exact to the sample, on the clock of the newest chunk. A segment that
    grows too long is cut where its last third is quietest, and what comes after that goes into the next one. It
    remembers no more than that third, or while no segment is open the pre-roll and the frames that wait for
    confirmation.
    """

    def __init__(self, settings: SegmenterSettings | None = None, vad: VoiceActivityDetector | None = None) -> None:
        self.settings = settings = settings or SegmenterSettings()
        self._vad = vad or SileroVad()
        self._confirm = -(-_samples(settings.start_s) // FRAME)  # frames, rounded up
        self._hangover = _samples(settings.hangover_s)
        self._pause = max(_samples(settings.pause_s), _samples(settings.post_roll_s)) if settings.pause_s else 0
        self._pre_roll = _samples(settings.pre_roll_s)
        self._post_roll = _samples(settings.post_roll_s)
        self._longest = _samples(settings.max_speech_s)
        self._shortest_voice = _samples(settings.min_speech_s)
        self._past: deque[np.ndarray] = deque(maxlen=self._confirm - (-self._pre_roll // FRAME))
        #: The last frames of the open segment, each with whether it holds voice.
        self._tail: deque[tuple[np.ndarray, bool]] = deque(maxlen=max(_QUIET, self._longest // 3 // FRAME))
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next chunk sets the clock anew."""
        self._vad.reset()
        self._past.clear()
        self._tail.clear()
        self._pending: list[np.ndarray] = []  # less than a frame that waits for the rest
        self._pending_samples = 0
        self._anchor_ns: int | None = None
        # Everything below counts samples since the anchor.
        self._now = 0
        self._earliest = 0  # where the last segment ended: the next one may not reach further back
        self._start: int | None = None  # of the open segment
        self._voice_run = 0  # frames of voice in a row, while no segment is open
        self._voice_end = 0
        self._voiced = 0
        self._paused_at = 0  # the end of the voice whose pause has been told

    def push(self, chunk: AudioChunk) -> Iterator[SegmentEvent]:
        """Judge a chunk (int16, shape (n, 1), 16 kHz) that follows the one before without a gap."""
        # The clock of the stream may have been moved a little since the last chunk.
        self._anchor_ns = chunk.stamp_ns - (self._now + self._pending_samples) * SAMPLE_NS
        samples = chunk.samples[:, 0]
        self._pending.append(samples)
        self._pending_samples += len(samples)
        if self._pending_samples < FRAME:
            return
        samples = np.concatenate(self._pending)
        whole = len(samples) - len(samples) % FRAME
        self._pending = [samples[whole:].copy()]
        self._pending_samples = len(samples) - whole
        for first in range(0, whole, FRAME):
            yield from self._judge(samples[first : first + FRAME])

    def flush(self) -> Iterator[SegmentEvent]:
        """The input is over or has a hole: end an open segment, then forget everything."""
        if self._start is not None:
            rest = np.concatenate(self._pending) if self._pending_samples else np.zeros(0, np.int16)
            if len(rest):
                yield Speech(rest, self._time(self._now))
            if self._voice_end == self._now:  # the rest is too short to be judged: it goes with what lies before it
                self._voice_end += len(rest)
                self._voiced += len(rest)
            self._now += len(rest)
            yield self._end()
        self.reset()

    def _judge(self, frame: np.ndarray) -> Iterator[SegmentEvent]:
        probability = self._vad.probability(frame)
        begins = self._start is None and self._voice_run == 0
        threshold = self.settings.start_threshold if begins else self.settings.end_threshold
        voiced = probability >= threshold
        if self._start is None:
            yield from self._seek_start(frame, voiced)
        else:
            yield from self._seek_end(frame, voiced)

    def _seek_start(self, frame: np.ndarray, voiced: bool) -> Iterator[SegmentEvent]:
        self._past.append(frame)
        self._now += FRAME
        self._voice_run = self._voice_run + 1 if voiced else 0
        if self._voice_run < self._confirm:
            return
        held = np.concatenate(self._past)
        self._voiced = self._voice_run * FRAME
        self._voice_end = self._now
        self._voice_run = 0
        self._tail.clear()
        self._start = max(self._now - self._voiced - self._pre_roll, self._earliest)
        yield Started(self._time(self._start), self._time(self._now))
        yield Speech(held[len(held) - (self._now - self._start) :], self._time(self._start))

    def _seek_end(self, frame: np.ndarray, voiced: bool) -> Iterator[SegmentEvent]:
        assert self._start is not None
        if self._now + FRAME - self._start > self._longest:
            yield from self._cut(voiced)
            if self._start is None:
                yield from self._seek_start(frame, voiced)
                return
        yield Speech(frame, self._time(self._now))
        self._past.append(frame)
        self._tail.append((frame, voiced))
        self._now += FRAME
        if voiced:
            self._voice_end = self._now
            self._voiced += FRAME
        elif self._now - self._voice_end >= self._hangover:
            yield self._end()
        elif self._now - self._voice_end >= self._pause > 0 and self._paused_at != self._voice_end:
            self._paused_at = self._voice_end
            if self._voiced >= self._shortest_voice:
                start, end = self._start, self._voice_end + self._post_roll
                yield Paused(self._time(start), self._time(end), self._time(self._now), end - start)

    def _cut(self, voiced: bool) -> Iterator[SegmentEvent]:
        """End the longest segment: in a pause there, else where it was quietest of late; the next one then begins at
        the very next sample."""
        if not voiced or len(self._tail) < _QUIET:
            yield self._end()
            return
        level = [float(frame.var()) for frame, _ in self._tail]
        quietest = int(np.argmin(np.convolve(level, np.ones(_QUIET), "valid"))) + _QUIET // 2
        rest = list(self._tail)[quietest:]
        cut, now = self._now - len(rest) * FRAME + FRAME // 2, self._now
        told = sum(FRAME for _, is_voice in rest if is_voice)
        self._voiced -= told
        yield self._end(cut)
        self._start, self._voiced, self._voice_end = cut, told, now
        self._tail.clear()
        yield Started(self._time(cut), self._time(now))
        yield Speech(np.concatenate([frame for frame, _ in rest])[FRAME // 2 :], self._time(cut))

    def _end(self, last: int | None = None) -> Ended | Cancelled:
        """`last`: one past its last sample; None: where its voice ends, post-roll included."""
        assert self._start is not None
        start, self._start = self._start, None
        if self._voiced < self._shortest_voice:
            return Cancelled(self._time(start), self._time(self._now))
        self._earliest = min(self._now, self._voice_end + self._post_roll) if last is None else last
        return Ended(self._time(start), self._time(self._earliest), self._time(self._now), self._earliest - start)

    def _time(self, sample: int) -> int:
        assert self._anchor_ns is not None
        return self._anchor_ns + sample * SAMPLE_NS


def _samples(duration_s: float) -> int:
    return round(duration_s * SAMPLE_RATE)
