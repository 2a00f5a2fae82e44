"""Putting a stream of audio blocks in order: any rate and channels in, 16 kHz mono on a clean time base out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import AudioError
from ..settings import StreamSettings
from ..types import NS_PER_S, SAMPLE_NS, SAMPLE_RATE, AudioChunk, to_ns
from .waveform import StreamResampler, check_rate, to_mono

#: Stamps that go back further than this are a new run (a bag played in a loop), not a late or repeated block.
_NEW_RUN_NS = NS_PER_S


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """Between the audio before and after lies a hole or a change of clock: end what is open. `reason` is for people."""

    reason: str


@dataclass(slots=True)
class StreamCounters:
    """What befell the blocks of a stream since it began. Samples are those of the source, per channel."""

    received: int = 0
    empty: int = 0
    duplicates: int = 0
    lost_samples: int = 0
    filled_samples: int = 0
    discontinuities: int = 0
    rejected: int = 0


@dataclass(slots=True)
class _Run:
    """A stretch of one source whose samples follow each other; times count from `anchor_ns`."""

    source: tuple[int, int, str]
    anchor_ns: int
    next_sample: int
    resampler: StreamResampler
    heard: int = 0
    emitted: int = 0
    last_stamp_ns: int = -(2**63)

    @property
    def expected_ns(self) -> int:
        return self.anchor_ns + self.heard * NS_PER_S // self.source[0]


class AudioStream:
    """Turns blocks in the order of their arrival into 16 kHz mono audio, and says where it has holes.

    The first block of a run sets the clock: sample n of the run has the stamp `anchor + n * 62500 ns`, whatever later
    stamps say, as long as they stray by less than `stamp_tolerance_s`. Loss, repetition and order are decided from
    `first_sample`, or from the stamps where a source does not count (it sends 0 always) or has started again. Loss up
    to `fill_s` becomes silence. A longer one, a change of rate, channels or voice, and a clock that jumps start a new
    run, announced by a `Discontinuity`; no audio is dropped then. Blocks that were heard before are dropped.
    """

    def __init__(self, settings: StreamSettings | None = None) -> None:
        settings = settings or StreamSettings()
        self._fill_ns = to_ns(settings.fill_s)
        self._tolerance_ns = to_ns(settings.stamp_tolerance_s)
        self._run: _Run | None = None
        self._index = 0  # of the next sample put out, over all runs
        self._template: AudioChunk | None = None
        self.counters = StreamCounters()

    def push(self, chunk: AudioChunk) -> list[AudioChunk | Discontinuity]:
        """What is now certain, in order: int16 chunks of shape (n, 1) at 16 kHz, and discontinuities.

        Raises `AudioError` for a block that cannot be used; the stream then is as it was before.
        """
        self.counters.received += 1
        try:
            _check(chunk)
        except AudioError:
            self.counters.rejected += 1
            raise
        if chunk.frames == 0:
            self.counters.empty += 1
            return []
        if self._run is None:
            self._begin(chunk)
            return self._put(chunk)
        return self._follow(self._run, chunk)

    def flush(self) -> list[AudioChunk]:
        """The input is over: what the resampler still holds. The next block starts a new run."""
        if self._run is None:
            return []
        tail = self._emit(self._run, self._run.resampler.push(np.zeros(0, np.float32), last=True))
        self._run = None
        return tail

    def _follow(self, run: _Run, chunk: AudioChunk) -> list[AudioChunk | Discontinuity]:
        rate = chunk.sample_rate
        if _source(chunk) != run.source:
            return self._restart(chunk, "rate, channels or voice changed")
        ahead_ns = chunk.stamp_ns - run.expected_ns
        ahead = chunk.first_sample - run.next_sample
        if chunk.stamp_ns == run.last_stamp_ns:
            if ahead < 0:
                return self._repeated(run, chunk, -ahead)
            ahead_ns = ahead * NS_PER_S // rate  # a source that stamps every block alike: its index is all there is
        elif ahead_ns < -_NEW_RUN_NS:
            return self._restart(chunk, "the stamps went back")
        if ahead < 0:
            # Heard before if the stamp agrees with the index; if it goes on, the source does not count, or counts anew.
            index_ns = ahead * NS_PER_S // rate
            if abs(ahead_ns - index_ns) < abs(ahead_ns):
                return self._repeated(run, chunk, -ahead)
            ahead = _samples(ahead_ns, rate) if ahead_ns > self._tolerance_ns else 0
        if ahead > 0:
            lost_ns = ahead * NS_PER_S // rate
            if abs(ahead_ns - lost_ns) > self._tolerance_ns:
                return self._restart(chunk, "stamps and count of samples disagree")
            self.counters.lost_samples += ahead
            if lost_ns > self._fill_ns:
                return self._restart(chunk, "audio was lost", lost_ns)
            self.counters.filled_samples += ahead
            return self._put(chunk, silence=ahead)
        if abs(ahead_ns) > self._tolerance_ns:
            return self._restart(chunk, "stamps and count of samples disagree")
        return self._put(chunk)

    def _repeated(self, run: _Run, chunk: AudioChunk, overlap: int) -> list[AudioChunk | Discontinuity]:
        self.counters.duplicates += 1
        if overlap >= chunk.frames or chunk.stamp_ns <= run.last_stamp_ns:
            return []
        return self._put(chunk, skip=overlap)

    def _restart(self, chunk: AudioChunk, reason: str, lost_ns: int = 0) -> list[AudioChunk | Discontinuity]:
        self.counters.discontinuities += 1
        tail = self.flush()
        self._index += lost_ns // SAMPLE_NS
        self._begin(chunk)
        return [*tail, Discontinuity(reason), *self._put(chunk)]

    def _begin(self, chunk: AudioChunk) -> None:
        self._run = _Run(
            source=_source(chunk),
            anchor_ns=chunk.stamp_ns,
            next_sample=chunk.first_sample,
            resampler=StreamResampler(chunk.sample_rate),
        )

    def _put(self, chunk: AudioChunk, *, silence: int = 0, skip: int = 0) -> list[AudioChunk | Discontinuity]:
        run = self._run
        assert run is not None
        mono = to_mono(chunk.samples[skip:])
        if silence:
            mono = np.concatenate([np.zeros(silence, np.float32), mono])
        run.heard += len(mono)
        run.next_sample = chunk.first_sample + chunk.frames
        run.last_stamp_ns = chunk.stamp_ns
        self._template = chunk
        return [*self._emit(run, run.resampler.push(mono))]

    def _emit(self, run: _Run, samples: np.ndarray) -> list[AudioChunk]:
        if len(samples) == 0 or self._template is None:
            return []
        chunk = AudioChunk(
            samples=samples[:, np.newaxis],
            sample_rate=SAMPLE_RATE,
            stamp_ns=run.anchor_ns + run.emitted * SAMPLE_NS,
            first_sample=self._index,
            voice_id=self._template.voice_id,
            frame_id=self._template.frame_id,
        )
        run.emitted += len(samples)
        self._index += len(samples)
        return [chunk]


def _source(chunk: AudioChunk) -> tuple[int, int, str]:
    return chunk.sample_rate, chunk.channels, chunk.voice_id


def _samples(duration_ns: int, rate: int) -> int:
    return (duration_ns * rate + NS_PER_S // 2) // NS_PER_S


def _check(chunk: AudioChunk) -> None:
    check_rate(chunk.sample_rate)
    samples = chunk.samples
    if samples.ndim != 2 or samples.dtype != np.int16 or samples.shape[1] < 1:
        raise AudioError(
            f"audio of {samples.dtype} and shape {samples.shape}: give int16 samples of shape (frames, channels)"
        )
    if chunk.first_sample < 0:
        raise AudioError(f"audio with first_sample {chunk.first_sample}: count samples from 0")
