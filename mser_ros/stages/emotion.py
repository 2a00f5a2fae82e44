"""The second stage of the pipeline: from utterances, audio and skeletons to estimates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from ..errors import AudioError, BundleError
from ..mocap.buffer import SkeletonBuffer
from ..recognition.recognizer import EmotionRecognizer
from ..settings import MocapSettings
from ..types import (
    SAMPLE_RATE,
    AbstainReason,
    AudioChunk,
    EmotionEstimate,
    EstimateState,
    SkeletonFrame,
    Transcript,
    UtteranceEvent,
    UtteranceState,
    Waveform,
    to_ns,
)
from .evidence import HISTORY_S, EvidenceHistory
from .failures import log_failure
from .identities import Identities

T = TypeVar("T")
#: Why a final estimate is due: nothing is lacking, what is was waited for long enough, or the end itself did not come.
_Due = Literal["complete", "timed_out", "given_up"]

#: Utterances that may be open at once; of more, the oldest gets its final estimate.
_PENDING = 64
#: Utterances whose end is remembered, so that a late message cannot open them again.
_CLOSED = 256
#: The least time without audio and events after which an open utterance is given up: the speech node is gone.
_GONE_S = 3.0
#: Nobody looks less often than this, unless the process stood still [s].
_STALL_S = 1.0


@dataclass(slots=True)
class _Pending:
    """An utterance without a final estimate; when the stage's clock had its last news, or heard that it had ended.

    `told_ns`: the newest stamp of its estimates. `is_skipped`: none of its events was worked on.
    """

    event: UtteranceEvent
    next_provisional_ns: int
    next_continuous_ns: int
    since_clock_ns: int
    told_ns: int = 0
    has_ended: bool = False
    is_skipped: bool = False


@dataclass(slots=True)
class EmotionCounters:
    """What the fusing stage counts: estimates by state, and what befell their utterances.

    `late_events`: came after the last estimate. `without_audio`: estimates of which no audio was heard. `without_body`:
    final ones without a skeleton, although some had come. `timed_out`: evidence did not come in time. `given_up`: the
    end itself did not come. `failed`: the recognition ended by an error.
    """

    final: int = 0
    provisional: int = 0
    continuous: int = 0
    retracted: int = 0
    late_events: int = 0
    without_audio: int = 0
    without_body: int = 0
    timed_out: int = 0
    given_up: int = 0
    failed: int = 0


class EmotionStage:
    """Fuses and decides: the speech stage's audio and events, and skeletons, in; estimates out.

    A final estimate is due when the utterance has ended, its text is final, and audio and skeletons have been received
    up to its end. `clock` (nanoseconds) bounds the wait for what does not come; without one, or where it knows no
    time (None), the newest stamp serves. A voice has one open utterance at a time: the next one ends it.
    Each utterance gets exactly one FINAL or RETRACTED. A recognition that ends by an error, whichever, is told to
    `on_failure` and becomes a FINAL 'unknown' with the reason FAILED; a provisional estimate is left out. The stamp of
    a FINAL is the end of its utterance, or that of its last provisional estimate, which may reach into the silence.
    Now and then there is a CONTINUOUS estimate that names no utterance, unless it would abstain: of a body while nobody
    speaks, at multiples of its period on the clock of the stamps, and of the last seconds of a long utterance.
    `lost`: modalities whose source is gone, which any thread may set; their evidence says so.
    Not thread-safe. Raises `BundleError` for a bundle whose audio is not what the speech stage gives.
    """

    def __init__(
        self,
        recognizer: EmotionRecognizer,
        mocap: MocapSettings | None = None,
        *,
        clock: Callable[[], int | None] | None = None,
        steady: Callable[[], float] = time.monotonic,
        on_failure: Callable[[Exception], None] = log_failure,
        closed: dict[str, int] | None = None,
        identities: Identities | None = None,
    ) -> None:
        """`steady`: seconds that go on whatever a clock is set to. `closed`: which utterances had their last estimate,
        for a stage to hand to the one that takes its place. `identities`: whose voice and body is whose, kept up by
        whoever knows; else any body in view is the speaker's.
        """
        speech = recognizer.bundle.modalities.get("speech")
        if speech and speech.sample_rate != SAMPLE_RATE:
            raise BundleError(
                f"bundle {recognizer.bundle.path} wants audio at {speech.sample_rate} Hz, "
                f"a robot hears at {SAMPLE_RATE} Hz: "
                "train one for that rate"
            )
        self.recognizer = recognizer
        self.settings = recognizer.settings
        spec = recognizer.bundle.modalities.get("mocap")
        self._identities = identities or Identities()
        self._evidence = EvidenceHistory(
            mocap or MocapSettings(),
            self._identities,
            choice=self.settings.body,
            window_s=spec.window_s if spec else 0.0,
        )
        self.counters = EmotionCounters()
        self.lost: frozenset[str] = frozenset()
        self.clock = clock
        self._on_failure = on_failure
        self._newest_ns = 0
        self._pending: dict[str, _Pending] = {}
        self._closed = {} if closed is None else closed  # how far their voice had been heard
        self._spoken_ns = 0  # end of the last utterance
        self._seen_ns = 0  # up to where the body was judged without an utterance
        self._resets = 0  # of the clock of the bodies, until then
        self._steady, self._ticked_s = steady, 0.0

    @property
    def skeletons(self) -> SkeletonBuffer:
        """The newest skeletons of every body."""
        return self._evidence.skeletons

    @property
    def _period_ns(self) -> int:
        return to_ns(self.settings.continuous_period_s)

    @property
    def is_waiting(self) -> bool:
        """True while an utterance has no final estimate yet, and `tick` must be called now and then."""
        return bool(self._pending)

    def heard(self, voice_id: str, start_ns: int, end_ns: int) -> Waveform | None:
        """What a voice said, as far as it is remembered: every utterance is when its last estimate comes."""
        return self._evidence.voices.cut(voice_id, start_ns, end_ns)

    def forget_audio(self) -> None:
        """Forget what was heard, as where people do not want to be listened to any more."""
        self._evidence.voices.clear()

    def push_audio(self, chunk: AudioChunk) -> Iterator[EmotionEstimate]:
        """Take audio as the speech stage gives it. Raises `AudioError` for any other."""
        if chunk.sample_rate != SAMPLE_RATE or chunk.channels != 1:
            raise AudioError(
                f"audio at {chunk.sample_rate} Hz in {chunk.channels} channels, but {SAMPLE_RATE} Hz mono is needed: "
                "take the topic 'voice' that the speech node publishes"
            )
        self._evidence.voices.push(chunk)
        self._note_stamp(chunk.end_ns)
        now_ns = self._now()
        for pending in self._pending.values():
            event = pending.event
            # No utterance is as long, and sound of before it, as of a bag that starts again, says nothing of it.
            believable = 0 <= chunk.end_ns - event.start_ns <= to_ns(HISTORY_S)
            if event.voice_id == chunk.voice_id and not pending.has_ended and believable:
                pending.since_clock_ns = now_ns
        yield from self.tick()

    def push_skeleton(self, frame: SkeletonFrame) -> Iterator[EmotionEstimate]:
        """Take a frame. Raises `SkeletonError` for one that cannot be used."""
        self.skeletons.push(frame)
        self._note_stamp(frame.stamp_ns)
        yield from self.tick()
        yield from self._body_alone(frame)

    def push_event(self, event: UtteranceEvent) -> Iterator[EmotionEstimate]:
        """Take an utterance event."""
        self._note_stamp(event.stamp_ns)
        now_ns = self._now()
        if event.utterance_id in self._closed:
            if not self._is_heard_again(event):
                self.counters.late_events += 1
                return
            del self._closed[event.utterance_id]
            person_id = self._identities.of_voice(event.voice_id).person_id
            self.recognizer.forget(self.recognizer.whose(person_id, event.voice_id))
        pending = self._pending.get(event.utterance_id)
        if pending is None:
            yield from self._make_room(event)
            first_ns = event.start_ns + to_ns(self.settings.provisional_start_s)
            second_ns = event.start_ns + self._period_ns
            pending = self._pending[event.utterance_id] = _Pending(event, first_ns, second_ns, now_ns)
        self._evidence.hold(event)
        if event.state is UtteranceState.PAUSED and not pending.has_ended:
            self._contained(lambda: self.recognizer.read_ahead(self._evidence.gather(event)))
        if event.state is UtteranceState.CANCELLED:
            yield self._close(event, EstimateState.RETRACTED)
        elif not pending.has_ended:
            pending.event = event
            pending.since_clock_ns = now_ns
            pending.has_ended = event.state is UtteranceState.ENDED
        elif event.state is UtteranceState.ENDED and not pending.event.transcript.is_final:
            pending.event = event
        yield from self.tick()

    def tick(self) -> Iterator[EmotionEstimate]:
        """Give every estimate that is due now."""
        self._excuse_stall()
        for pending in list(self._pending.values()):
            now_ns = self._now()  # of each anew, for a recognition takes time
            self._follow_clock(pending, now_ns)
            due = self._due(pending, now_ns)
            self.counters.timed_out += due == "timed_out"
            self.counters.given_up += due == "given_up"
            if due:
                yield self._close(pending.event, EstimateState.FINAL)
            elif not pending.has_ended:
                yield from self._provisional(pending)
                yield from self._goes_on(pending)

    def skip_event(self, event: UtteranceEvent) -> None:
        """Take an utterance event that is not worked on: `flush`, which must follow, ends its utterance all the same.

        One of which no event was pushed before is FINAL 'unknown' with the reason FAILED then, or RETRACTED if it was
        cancelled; others are finished with what is there.
        """
        if event.utterance_id in self._closed:
            return
        pending = self._pending.setdefault(event.utterance_id, _Pending(event, 0, 0, 0, is_skipped=True))
        if pending.is_skipped or event.state is UtteranceState.CANCELLED:
            pending.event = event

    def flush(self) -> Iterator[EmotionEstimate]:
        """Finish every utterance with what is there: no more data will come."""
        for pending in list(self._pending.values()):
            if pending.event.state is UtteranceState.CANCELLED:
                yield self._close(pending.event, EstimateState.RETRACTED)
            else:
                yield self._close(pending.event, EstimateState.FINAL, is_skipped=pending.is_skipped)

    def _excuse_stall(self) -> None:
        """Nothing was late while this process stood still, and what came meanwhile waits to be taken."""
        now_s = self._steady()
        stalled_s, self._ticked_s = now_s - self._ticked_s - _STALL_S, now_s
        if self.clock is not None and stalled_s > 0:
            for pending in self._pending.values():
                pending.since_clock_ns += to_ns(stalled_s)

    def _note_stamp(self, stamp_ns: int) -> None:
        self._newest_ns = max(self._newest_ns, stamp_ns)

    def _now(self) -> int:
        """By the clock, or the newest stamp where it knows no time."""
        now_ns = self.clock() if self.clock else None
        return self._newest_ns if now_ns is None else now_ns

    def _is_heard_again(self, event: UtteranceEvent) -> bool:
        """Whether a speech node was restarted and reads the same bag again: its voice, too, was set back since then."""
        heard_ns = self._evidence.voices.newest_ns(event.voice_id)
        is_start = event.state is UtteranceState.STARTED
        return is_start and heard_ns is not None and heard_ns < self._closed[event.utterance_id]

    def _make_room(self, event: UtteranceEvent) -> Iterator[EmotionEstimate]:
        """Before a new utterance: finish one of the same voice whose end was lost, and the oldest of too many."""
        pending = list(self._pending.values())
        done = [other for other in pending if other.event.voice_id == event.voice_id and not other.has_ended]
        if not done and len(pending) >= _PENDING:
            done = pending[:1]
        for other in done:
            self.counters.given_up += 1
            yield self._close(other.event, EstimateState.FINAL)

    @staticmethod
    def _follow_clock(pending: _Pending, now_ns: int) -> None:
        """Wait since now at the latest: a bag that starts again sets the clock back, and a simulation that has not
        begun yet shows 0."""
        pending.since_clock_ns = min(pending.since_clock_ns or now_ns, now_ns)

    def _due(self, pending: _Pending, now_ns: int) -> _Due | None:
        """Why the last estimate of an utterance is due; None where it is not."""
        event, settings = pending.event, self.settings
        waited_ns = now_ns - pending.since_clock_ns
        if not pending.has_ended:
            return "given_up" if waited_ns > to_ns(max(_GONE_S, settings.text_timeout_s)) else None
        if not event.transcript.is_final:
            patience_s = settings.text_timeout_s
        elif self._evidence.has_audio(event) and self._evidence.has_skeletons(event):
            return "complete"
        else:
            patience_s = settings.evidence_timeout_s
        return "timed_out" if waited_ns > to_ns(patience_s) else None

    def _provisional(self, pending: _Pending) -> Iterator[EmotionEstimate]:
        heard_ns = self._evidence.voices.newest_ns(pending.event.voice_id)
        if not self.settings.provisional_start_s or heard_ns is None or heard_ns < pending.next_provisional_ns:
            return
        # After a backlog only the newest of the estimates that are due is worth its time.
        period_ns = to_ns(self.settings.provisional_period_s)
        end_ns = heard_ns - (heard_ns - pending.next_provisional_ns) % period_ns
        pending.next_provisional_ns = end_ns + period_ns
        estimate = self._recognize(replace(pending.event, end_ns=end_ns), EstimateState.PROVISIONAL)
        if estimate is not None:
            self.counters.provisional += 1
            pending.told_ns = end_ns
            yield replace(estimate, stamp_ns=end_ns)

    def _goes_on(self, pending: _Pending) -> Iterator[EmotionEstimate]:
        """Of a speech that goes on and on: voice and body of the last period."""
        event, heard_ns = pending.event, self._evidence.voices.newest_ns(pending.event.voice_id)
        if not self._period_ns or heard_ns is None or heard_ns < pending.next_continuous_ns:
            return
        end_ns = heard_ns - (heard_ns - pending.next_continuous_ns) % self._period_ns
        pending.next_continuous_ns = end_ns + self._period_ns
        silent = Transcript("", is_final=False)
        start_ns = max(event.start_ns, end_ns - self._period_ns)  # the period may have been changed meanwhile
        if start_ns < end_ns:
            yield from self._continuous(replace(event, start_ns=start_ns, end_ns=end_ns, transcript=silent))

    def _body_alone(self, frame: SkeletonFrame) -> Iterator[EmotionEstimate]:
        """Of a body of whom nothing is said."""
        newest_ns = self.skeletons.newest_ns
        is_stray = newest_ns is None or newest_ns - frame.stamp_ns > to_ns(HISTORY_S)
        if not self._period_ns or not self._evidence.window_ns or is_stray:
            return
        end_ns = frame.stamp_ns - frame.stamp_ns % self._period_ns
        if self.skeletons.counters.resets != self._resets:  # a bag starts again
            self._resets, self._seen_ns = self.skeletons.counters.resets, 0
        before_ns = self._seen_ns
        if frame.stamp_ns < before_ns:
            return  # it only comes late
        self._seen_ns = end_ns
        has_spoken = 0 <= end_ns - self._spoken_ns < max(self._period_ns, self._evidence.window_ns)
        if 0 < before_ns < end_ns and not (self._pending or has_spoken):
            start_ns = end_ns - self._evidence.window_ns
            nothing = Transcript("")
            yield from self._continuous(
                UtteranceEvent("", UtteranceState.PARTIAL, end_ns, start_ns, end_ns, nothing, frame_id=frame.frame_id)
            )

    def _continuous(self, span: UtteranceEvent) -> Iterator[EmotionEstimate]:
        """An estimate of this span that names no utterance, unless it would abstain: no news is none."""
        estimate = self._recognize(span, EstimateState.CONTINUOUS)
        if estimate is not None and estimate.abstain_reason is AbstainReason.NONE:
            self.counters.continuous += 1
            yield replace(estimate, utterance_id="")

    def _close(self, event: UtteranceEvent, state: EstimateState, *, is_skipped: bool = False) -> EmotionEstimate:
        told_ns = max(event.end_ns, self._pending.pop(event.utterance_id).told_ns)
        self._spoken_ns = event.end_ns
        self._closed[event.utterance_id] = self._evidence.voices.newest_ns(event.voice_id) or 0
        if len(self._closed) > _CLOSED:
            del self._closed[next(iter(self._closed))]
        self.counters.final += state is EstimateState.FINAL
        self.counters.retracted += state is EstimateState.RETRACTED
        if state is EstimateState.RETRACTED:
            estimate = self.recognizer.abstain(self._evidence.bare(event), AbstainReason.NO_EVIDENCE, state=state)
        else:
            found = None if is_skipped else self._recognize(event, state)
            estimate = found or self.recognizer.abstain(self._evidence.bare(event), AbstainReason.FAILED, state=state)
        self._evidence.release(event)
        return replace(estimate, stamp_ns=told_ns)

    def _recognize(self, event: UtteranceEvent, state: EstimateState) -> EmotionEstimate | None:
        """The estimate, None where it failed: an error in one utterance must cost no other."""

        def recognize() -> EmotionEstimate:
            utterance = self._evidence.gather(event)
            self.counters.without_audio += utterance.audio is None and state is not EstimateState.CONTINUOUS
            if state is EstimateState.FINAL and self.skeletons.counters.frames:
                self.counters.without_body += utterance.skeleton is None
            estimate = self.recognizer.recognize(utterance, state=state, learn=state is EstimateState.FINAL)
            pending = self._pending.get(event.utterance_id)
            words_ns = pending.event.end_ns if pending else event.end_ns  # the words are of its last news
            aged = (self._evidence.aged(one, event, words_ns, self.lost) for one in estimate.evidence)
            return replace(estimate, evidence=tuple(aged))

        return self._contained(recognize)

    def _contained(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except Exception as error:
            self.counters.failed += 1
            self._on_failure(error)
            return None
