"""Whatever comes in which order, through restarts, jumps of the clock, slow and failing recognition: of each utterance
there is exactly one last word, nothing after it, and no stamp goes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes_bundle import write_tiny_bundle
from heard_and_seen import T0, body, voice
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.stages.emotion import EmotionStage
from mser_ros.types import EmotionEstimate, EstimateState, Transcript, UtteranceEvent, UtteranceState, to_ns

STARTED, PARTIAL, ENDED, CANCELLED, PAUSED = UtteranceState
LAST = (EstimateState.FINAL, EstimateState.RETRACTED)
VOICES = st.sampled_from(["anna", "ben"])


class Slow:
    """A recogniser that takes its time on the machine's clock, and fails when it is told to."""

    def __init__(self, recognizer: EmotionRecognizer, machine: Lives) -> None:
        self._recognizer, self._machine = recognizer, machine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recognizer, name)

    def recognize(self, *given: Any, **named: Any) -> EmotionEstimate:
        self._machine.clock_ns += to_ns(self._machine.takes_s)
        if self._machine.fails:
            raise ValueError("injected")
        return self._recognizer.recognize(*given, **named)


class Lives(RuleBasedStateMachine):
    """Time `now_s` is that of the data, which a bag that begins again sets back; `clock_ns` is the stage's own."""

    recognizer: EmotionRecognizer

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 100.0
        self.clock_ns = T0
        self.takes_s, self.fails, self.has_jumped = 0.0, False, False
        self.count = 0
        self.open: dict[str, UtteranceEvent] = {}  # by voice
        self.pushed: list[UtteranceEvent] = []
        self.names: set[str] = set()
        self.said: list[EmotionEstimate] = []
        self.checked = 0
        self.ended: set[str] = set()
        self.stamps: dict[str, int] = {}
        self.closed: dict[str, int] = {}
        self.make_stage()

    def make_stage(self) -> None:
        self.stage = EmotionStage(
            Slow(self.recognizer, self),  # type: ignore[arg-type]
            clock=lambda: self.clock_ns,
            on_failure=lambda _: None,
            closed=self.closed,
        )

    def note(self, estimates: Iterable[EmotionEstimate]) -> None:
        self.said += estimates

    def tell(self, event: UtteranceEvent) -> None:
        self.pushed.append(event)
        self.names.add(event.utterance_id)
        self.note(self.stage.push_event(event))

    # -- what the speech node says

    @rule(voice_id=VOICES)
    def begin(self, voice_id: str) -> None:
        """Another one of this voice may be open still: its end was lost."""
        self.count += 1
        at_ns = T0 + to_ns(self.now_s)
        nothing = Transcript("", is_final=False)
        event = UtteranceEvent(f"{voice_id}-{self.count}", STARTED, at_ns, at_ns - to_ns(0.3), at_ns, nothing, voice_id)
        self.open[voice_id] = event
        self.tell(event)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), state=st.sampled_from([PARTIAL, PAUSED]))
    def go_on(self, data: st.DataObject, state: UtteranceState) -> None:
        event = self.open[data.draw(st.sampled_from(sorted(self.open)))]
        at_ns = max(event.end_ns, T0 + to_ns(self.now_s))
        self.tell(replace(event, state=state, stamp_ns=at_ns, end_ns=at_ns))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), back_s=st.floats(0, 0.5), is_final=st.booleans(), text=st.sampled_from(["", "sad"]))
    def end(self, data: st.DataObject, back_s: float, is_final: bool, text: str) -> None:
        """The speech was over a while ago; the text may follow."""
        event = self.open.pop(data.draw(st.sampled_from(sorted(self.open))))
        end_ns = max(event.start_ns, T0 + to_ns(self.now_s - back_s))
        words = Transcript(text, 0.9, language="en", is_final=is_final)
        self.tell(replace(event, state=ENDED, stamp_ns=T0 + to_ns(self.now_s), end_ns=end_ns, transcript=words))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.tell(replace(self.open.pop(data.draw(st.sampled_from(sorted(self.open)))), state=CANCELLED))

    @precondition(lambda self: self.pushed)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """An event comes late or twice. (A STARTED that comes again after the clock was set back is another one.)"""
        event = data.draw(st.sampled_from(self.pushed[-12:]))
        if event.state is not STARTED or not self.has_jumped:
            self.tell(event)

    @precondition(lambda self: self.pushed)
    @rule(data=st.data(), text=st.sampled_from(["", "happy happy"]))
    def read(self, data: st.DataObject, text: str) -> None:
        """The final text of what has ended."""
        event = data.draw(st.sampled_from(self.pushed[-12:]))
        if event.state is ENDED:
            self.tell(replace(event, transcript=Transcript(text, 0.9, language="en")))

    # -- what is heard and seen

    @rule(voice_id=VOICES, seconds=st.floats(0.1, 7.0), lost=st.booleans())
    def hear(self, voice_id: str, seconds: float, lost: bool) -> None:
        begin_s, self.now_s = self.now_s, self.now_s + seconds
        self.clock_ns += to_ns(seconds)
        for chunk in [] if lost else voice(begin_s, self.now_s, voice_id=voice_id):
            self.note(self.stage.push_audio(chunk))

    @rule(seconds=st.floats(0.1, 7.0), late_s=st.floats(0, 2))
    def see(self, seconds: float, late_s: float) -> None:
        for frame in body(self.now_s - seconds - late_s, self.now_s - late_s, rate_hz=5):
            self.note(self.stage.push_skeleton(frame))

    # -- what befalls the robot

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.clock_ns += to_ns(seconds)
        self.note(self.stage.tick())

    @rule(seconds=st.sampled_from([1.0, 30.0, 1000.0]))
    def jump_back(self, seconds: float) -> None:
        """A bag begins again: what was open is not told of any more."""
        self.now_s -= seconds
        self.clock_ns -= to_ns(seconds)
        self.has_jumped = True
        self.open.clear()

    @rule()
    def restart_speech(self) -> None:
        """It was killed: what was open is lost, and its names are new."""
        self.count += 1000
        self.open.clear()

    @rule(undone=st.sampled_from(["", "known", "new"]), state=st.sampled_from([STARTED, ENDED, CANCELLED]))
    def restart_emotion(self, undone: str, state: UtteranceState) -> None:
        """Deactivated and activated, with an event perhaps that nobody worked on: of an utterance that is known, or of
        which it is the first that came."""
        if undone == "known" and self.pushed:
            self.stage.skip_event(self.pushed[-1])
        elif undone == "new":
            self.count += 1
            at_ns = T0 + to_ns(self.now_s)
            event = UtteranceEvent(f"anna-{self.count}", state, at_ns, at_ns, at_ns, Transcript(""), "anna")
            self.names.add(event.utterance_id)
            self.stage.skip_event(event)
        self.note(self.stage.flush())
        self.make_stage()

    @rule(takes_s=st.sampled_from([0.0, 2.0, 10.0]), fails=st.booleans())
    def change_recogniser(self, takes_s: float, fails: bool) -> None:
        self.takes_s, self.fails = takes_s, fails

    # -- what must hold

    @invariant()
    def no_word_follows_the_last_and_no_stamp_goes_back(self) -> None:
        for estimate in self.said[self.checked :]:
            name = estimate.utterance_id
            assert (estimate.state is EstimateState.CONTINUOUS) == (name == "")
            assert estimate.probabilities.sum() == pytest.approx(1, abs=1e-5)
            if name:
                assert name in self.names
                assert name not in self.ended, f"{estimate.state.name} after the last word of {name}"
                assert estimate.stamp_ns >= max(self.stamps.get(name, 0), estimate.speech_end_ns)
                self.stamps[name] = estimate.stamp_ns
                if estimate.state in LAST:
                    self.ended.add(name)
        self.checked = len(self.said)

    def teardown(self) -> None:
        self.note(self.stage.flush())
        self.no_word_follows_the_last_and_no_stamp_goes_back()
        assert self.ended == self.names, "each has its last word"
        assert not self.stage.is_waiting


def test_every_utterance_has_one_last_word_whatever_befalls_the_robot(tmp_path: Path) -> None:
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "bundle")))
    machine = type("Lives", (Lives,), {"recognizer": recognizer})
    # Four times as many as other properties need: so many it takes to come to each pair of mishaps.
    examples = 4 * settings().max_examples
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=40))
