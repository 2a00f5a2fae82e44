"""Putting a stream of audio blocks in order: any rate and channels in, 16 kHz mono on a clean time base out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import AudioError
from ..settings import StreamSettings
from ..types import NS_PER_S, SAMPLE_NS, SAMPLE_RATE, AudioChunk, to_ns
from .clock import SampleClock
from .mixer import Conditioned, Conditioner
from .waveform import check_rate

#: Stamps that go back further than this are a new run (a bag played in a loop), not a late or repeated block. A count
#: that goes back further has begun anew.
_NEW_RUN_NS = NS_PER_S
#: A step of the stamps is no jitter if it lasts for so much audio.
_LASTING_NS = to_ns(0.75)
#: Without a count, stamps ahead by more than this may mean that audio was lost ...
_LOSS_NS = to_ns(0.1)
#: ... if so many blocks in a row agree on how much, to this share of it: jitter does not repeat itself.
_LOSS_BLOCKS = 6
_LOSS_AGREES = 10
#: More than this is not lost: the clock was set.
_LONGEST_LOSS_NS = to_ns(60.0)


@dataclass(frozen=True, slots=True)
class Discontinuity:
    """Between the audio before and after lies a hole or a change of clock: end what is open. `reason` is for people."""

    reason: str


@dataclass(slots=True)
class StreamCounters:
    """What befell the blocks of a stream since it began. Samples are those of the source, per channel.

    `unstamped`: blocks that were stamped here, by their arrival. `changes`: of rate, channels or voice, which are among
    the discontinuities. `clock_steps`: the clock was set anew at once, because stamps stayed away from the count.
    `slewed_ns`: by how much it was moved slowly, in sum, for drift. `inverted_samples`, `left_out_samples`: were mixed
    with a channel turned round, or without one (`ChannelMixer`). `clipped_samples`: lie at full scale.
    """

    received: int = 0
    empty: int = 0
    unstamped: int = 0
    duplicates: int = 0
    lost_samples: int = 0
    filled_samples: int = 0
    discontinuities: int = 0
    changes: int = 0
    clock_steps: int = 0
    slewed_ns: int = 0
    inverted_samples: int = 0
    left_out_samples: int = 0
    clipped_samples: int = 0
    rejected: int = 0


@dataclass(slots=True)
class _Run:
    """A stretch of one source whose samples follow each other, counted from 0."""

    source: tuple[int, int, str]
    clock: SampleClock
    conditioner: Conditioner
    #: The last block, with the stamp that it came with, and what `first_sample` of the next one should be.
    last: AudioChunk
    next_sample: int
    #: Whether the source counts: `first_sample` of the last block went on from the one before.
    counts: bool = False
    heard: int = 0
    emitted: int = 0
    #: Blocks that wait until it is clear what their stamps mean, and how many samples they hold.
    held: list[AudioChunk] = field(default_factory=list)
    held_samples: int = 0

    @property
    def next_ns(self) -> int:
        """Time of the next sample, by the count."""
        return self.clock.time_ns(self.heard + self.held_samples)

    @property
    def strays_ns(self) -> list[int]:
        """How far the stamp of each block that is held lies ahead of the count."""
        sample, strays = self.heard, []
        for chunk in self.held:
            strays.append(chunk.stamp_ns - self.clock.time_ns(sample))
            sample += chunk.frames
        return strays

    @property
    def least_stray_ns(self) -> int:
        """How far all blocks that are held stray from the count at least."""
        return min(abs(stray_ns) for stray_ns in self.strays_ns)

    def take_held(self, count: int) -> list[AudioChunk]:
        """The first of the blocks that are held, which are not held any more."""
        taken, self.held = self.held[:count], self.held[count:]
        self.held_samples -= sum(chunk.frames for chunk in taken)
        return taken


class AudioStream:
    """Turns blocks in the order of their arrival into 16 kHz mono audio, and says where it has holes.

    Samples are counted; stamps set the clock by which the count is told, and show what a count cannot.

    *Clock.* The first block of a run sets it; then it follows the stamps slowly (`SampleClock`). The audio put out by
    a source that stamps well has exactly that source's stamps. A block without a stamp (0) has that of its arrival
    less its length.

    *Holes.* A source counts if its `first_sample` goes on; loss and repetition are decided from that. If it does not
    (0 always), stamps that lie ahead of the samples heard show a loss; of a source without stamps as well, arrivals
    later than `stamp_tolerance_s` do. Loss up to `fill_s` becomes silence. Blocks that were heard before are dropped.

    *Jitter or step.* Jitter passes, a step lasts: audio was lost that nobody counted, or the clock was set. Stamps
    within `stamp_tolerance_s` of the count are jitter, unless they show a loss of more than 0.1 s without a count. A
    block that strays further is held. If another is on time, or they disagree, that was jitter: they go out by the
    count, which is right. If they agree for 0.75 s of audio, that was a step, and their stamps are right. Beyond the
    tolerance blocks agree that lie within 3/4 of it; below, six that differ by a tenth of the step, as jitter does
    not repeat itself. Early arrival is never a step: what was received had been heard.

    *Runs.* A longer loss, a change of rate, channels or voice, a step of the clock, a count that stamps contradict by
    more than the tolerance, and stamps that go back by more than 1 s start a new run, announced by a `Discontinuity`;
    no audio is dropped then.
    """

    def __init__(self, settings: StreamSettings | None = None) -> None:
        settings = settings or StreamSettings()
        self._fill_ns = to_ns(settings.fill_s)
        self._tolerance_ns = to_ns(settings.stamp_tolerance_s)
        self._run: _Run | None = None
        self._rested: _Run | None = None  # the last run, where the input rested since then
        self._index = 0  # of the next sample put out, over all runs
        self.counters = StreamCounters()

    def push(self, chunk: AudioChunk, arrival_ns: int | None = None) -> list[AudioChunk | Discontinuity]:
        """What is now certain, in order: int16 chunks of shape (n, 1) at 16 kHz, and discontinuities.

        `arrival_ns`: when the block was received, on the clock of the stamps (a robot's ROS clock, a bag's log time);
        where it is given, a stamp of 0 means that the source knows no time.
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
        is_stamped = True
        if chunk.stamp_ns == 0 and arrival_ns is not None:
            is_stamped = False
            self.counters.unstamped += 1
            chunk = replace(chunk, stamp_ns=arrival_ns - (chunk.end_ns - chunk.stamp_ns))
        if self._run is None:
            self._note_lost(chunk, is_stamped=is_stamped)
            return self._begin([chunk], chunk.stamp_ns)
        try:
            _check_voice(chunk, self._run.last)
        except AudioError:
            self.counters.rejected += 1
            raise
        return self._follow(self._run, chunk, is_stamped=is_stamped)

    def flush(self) -> list[AudioChunk | Discontinuity]:
        """The input is over, or rests: what is held, and what the resampler holds. The next block starts a new run."""
        if self._run is None:
            return []
        is_step = bool(self._run.held) and self._run.least_stray_ns > self._tolerance_ns
        items = self._take_step(self._run) if is_step else self._release(self._run)
        items += self._emit(self._run, self._run.conditioner.end())
        self._run, self._rested = None, self._run
        return items

    def skip(self) -> None:
        """A block is not wanted, so it was not lost."""
        self._rested = None

    def _note_lost(self, chunk: AudioChunk, *, is_stamped: bool) -> None:
        """Count what a source that counts sent while it seemed to rest."""
        before, self._rested = self._rested, None
        if before is None or not before.counts or _source(chunk) != before.source:
            return
        lost = chunk.first_sample - before.next_sample
        stray_ns = chunk.stamp_ns - before.last.end_ns - before.clock.duration_ns(max(lost, 0))
        if lost > 0 and (not is_stamped or abs(stray_ns) <= self._tolerance_ns):
            self.counters.lost_samples += lost
            self.counters.discontinuities += 1

    def _follow(self, run: _Run, chunk: AudioChunk, *, is_stamped: bool) -> list[AudioChunk | Discontinuity]:
        if _source(chunk) != run.source:
            self.counters.changes += 1
            return self._restart([chunk], chunk.stamp_ns, "rate, channels or voice changed")
        if self._went_back(run, chunk):
            return self._restart([chunk], chunk.stamp_ns, "the stamps went back")
        is_still = is_stamped and chunk.stamp_ns == run.last.stamp_ns
        ahead = chunk.first_sample - run.next_sample
        if ahead < 0 and self._is_repeated(run, chunk, is_still=is_still):
            self.counters.duplicates += 1
            if -ahead >= chunk.frames:
                return []
            chunk, ahead = _without(chunk, -ahead), 0
        run.counts = ahead >= 0 and chunk.first_sample > 0
        run.last, run.next_sample = chunk, chunk.first_sample + chunk.frames
        lost_ns = run.clock.duration_ns(max(ahead, 0))
        if is_still:  # a clock that stands still tells nothing
            chunk = replace(chunk, stamp_ns=run.next_ns + lost_ns)
        stray_ns = chunk.stamp_ns - run.next_ns - lost_ns
        if ahead > 0:
            if abs(stray_ns) > self._tolerance_ns:
                return self._step_to([chunk], chunk.stamp_ns)
            return [*self._release(run), *self._lose(run, ahead, [chunk], run.next_ns + lost_ns)]
        if self._is_on_time(run, stray_ns, is_stamped=is_stamped):
            return [*self._release(run), *self._put(run, chunk)]
        return self._hold(run, chunk)

    def _went_back(self, run: _Run, chunk: AudioChunk) -> bool:
        """Whether its stamp tells of a new run: not if it was the last one that was wrong, or if the count goes on."""
        before_ns = min(run.last.end_ns, run.next_ns)
        goes_on = run.counts and chunk.first_sample == run.next_sample
        return chunk.end_ns < before_ns - _NEW_RUN_NS and not goes_on

    def _is_repeated(self, run: _Run, chunk: AudioChunk, *, is_still: bool) -> bool:
        """Whether a block whose count goes back was heard before; if not, its source does not count, or counts anew."""
        back_ns = run.clock.duration_ns(run.next_sample - chunk.first_sample)
        if run.counts and chunk.first_sample > 0:
            return back_ns < _NEW_RUN_NS
        if is_still:
            return np.array_equal(chunk.samples, run.last.samples)
        stray_ns = chunk.stamp_ns - run.next_ns
        if chunk.first_sample == 0 and not run.counts:
            # Its place went to the last block, whose stamp left just that place free: the two were swapped on the way.
            place_ns = run.next_ns - (run.last.end_ns - run.last.stamp_ns)
            return max(abs(chunk.stamp_ns - place_ns), abs(chunk.end_ns - run.last.stamp_ns)) <= SAMPLE_NS
        return abs(stray_ns + back_ns) < abs(stray_ns)

    def _is_on_time(self, run: _Run, stray_ns: int, *, is_stamped: bool) -> bool:
        if not is_stamped and stray_ns < 0:
            return True  # what was received was heard before that: the clock is late, not the block early
        may_be_lost = is_stamped and not run.counts and stray_ns > 0
        return abs(stray_ns) <= (min(_LOSS_NS, self._tolerance_ns) if may_be_lost else self._tolerance_ns)

    def _hold(self, run: _Run, chunk: AudioChunk) -> list[AudioChunk | Discontinuity]:
        """Wait with a block that strays until it is clear whether that passes."""
        run.held.append(chunk)
        run.held_samples += chunk.frames
        items: list[AudioChunk | Discontinuity] = []
        while not self._agree(run):
            items += self._release(run, 1)
        blocks = 2 if run.least_stray_ns > self._tolerance_ns else _LOSS_BLOCKS
        if len(run.held) >= blocks and run.clock.duration_ns(run.held_samples) >= _LASTING_NS:
            items += self._take_step(run)
        return items

    def _agree(self, run: _Run) -> bool:
        spread_ns, least_ns = max(run.strays_ns) - min(run.strays_ns), run.least_stray_ns
        return spread_ns <= (self._tolerance_ns * 3 // 4 if least_ns > self._tolerance_ns else least_ns // _LOSS_AGREES)

    def _take_step(self, run: _Run) -> list[AudioChunk | Discontinuity]:
        """The stamps of the blocks that are held are right, and the count is not."""
        step_ns = min(run.strays_ns)  # of the block that is least late
        chunks = run.take_held(len(run.held))
        if run.counts or not 0 <= step_ns <= _LONGEST_LOSS_NS:
            return self._step_to(chunks, run.next_ns + step_ns)
        return self._lose(run, _samples(step_ns, run.clock.rate), chunks, run.next_ns + step_ns)

    def _step_to(self, chunks: Sequence[AudioChunk], start_ns: int) -> list[AudioChunk | Discontinuity]:
        self.counters.clock_steps += 1
        return self._restart(chunks, start_ns, "stamps and count of samples disagree")

    def _lose(
        self, run: _Run, lost: int, chunks: Sequence[AudioChunk], start_ns: int
    ) -> list[AudioChunk | Discontinuity]:
        """Samples are missing before these blocks, which begin at `start_ns`."""
        self.counters.lost_samples += lost
        lost_ns = run.clock.duration_ns(lost)
        if lost_ns > self._fill_ns:
            return self._restart(chunks, start_ns, "audio was lost", lost_ns)
        self.counters.filled_samples += lost
        run.heard += lost
        return [*self._emit(run, run.conditioner.skip(lost)), *self._put(run, *chunks)]

    def _restart(
        self, chunks: Sequence[AudioChunk], start_ns: int, reason: str, lost_ns: int = 0
    ) -> list[AudioChunk | Discontinuity]:
        self.counters.discontinuities += 1
        tail = self.flush()
        self._index += lost_ns // SAMPLE_NS
        return [*tail, Discontinuity(reason), *self._begin(chunks, start_ns)]

    def _begin(self, chunks: Sequence[AudioChunk], start_ns: int) -> list[AudioChunk | Discontinuity]:
        last = chunks[-1]
        self._run = run = _Run(
            source=_source(last),
            clock=SampleClock(last.sample_rate, start_ns),
            conditioner=Conditioner(last.channels, last.sample_rate),
            last=last,
            next_sample=last.first_sample + last.frames,
        )
        return self._put(run, *chunks)

    def _release(self, run: _Run, count: int | None = None) -> list[AudioChunk | Discontinuity]:
        """What is held, or the first so many blocks of it, follows by the count."""
        items: list[AudioChunk | Discontinuity] = []
        for chunk in run.take_held(len(run.held) if count is None else count):
            counted_ns = run.clock.time_ns(run.heard)
            # The clock follows the earliest stamps, and this one is earlier than jitter makes them.
            is_wrong = chunk.stamp_ns < counted_ns - self._tolerance_ns
            items += self._put(run, replace(chunk, stamp_ns=counted_ns) if is_wrong else chunk)
        return items

    def _put(self, run: _Run, *chunks: AudioChunk) -> list[AudioChunk | Discontinuity]:
        items: list[AudioChunk | Discontinuity] = []
        for chunk in chunks:
            self.counters.slewed_ns += run.clock.follow(chunk.stamp_ns, run.heard, chunk.frames)
            run.heard += chunk.frames
            items += self._emit(run, run.conditioner.push(chunk.samples))
            mixer = run.conditioner.mixer
            self.counters.inverted_samples += chunk.frames if mixer.inverted else 0
            self.counters.left_out_samples += chunk.frames if mixer.left_out else 0
            self.counters.clipped_samples += int(mixer.clipped.sum())
        return items

    def _emit(self, run: _Run, conditioned: Conditioned) -> list[AudioChunk | Discontinuity]:
        samples, clipped = conditioned
        if len(samples) == 0:
            return []
        chunk = AudioChunk(
            samples=samples[:, np.newaxis],
            sample_rate=SAMPLE_RATE,
            stamp_ns=run.clock.anchor_ns + run.emitted * SAMPLE_NS,
            first_sample=self._index,
            voice_id=run.last.voice_id,
            frame_id=run.last.frame_id,
            clipped=clipped,
        )
        run.emitted += len(samples)
        self._index += len(samples)
        return [chunk]


def _source(chunk: AudioChunk) -> tuple[int, int, str]:
    return chunk.sample_rate, chunk.channels, chunk.voice_id


def _check_voice(chunk: AudioChunk, last: AudioChunk) -> None:
    """Raises `AudioError` for a block of another voice from a time of which there is audio already."""
    middle_ns = (chunk.stamp_ns + chunk.end_ns) // 2
    if chunk.voice_id != last.voice_id and last.end_ns - _NEW_RUN_NS < middle_ns < last.end_ns:
        raise AudioError(
            f"the voices '{last.voice_id}' and '{chunk.voice_id}' come at the same time on one topic, and only "
            f"'{last.voice_id}' is heard: give each a topic and a speech node of its own"
        )


def _without(chunk: AudioChunk, first: int) -> AudioChunk:
    """A block without its first samples."""
    return replace(
        chunk,
        samples=chunk.samples[first:],
        stamp_ns=chunk.stamp_ns + first * NS_PER_S // chunk.sample_rate,
        first_sample=chunk.first_sample + first,
    )


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
