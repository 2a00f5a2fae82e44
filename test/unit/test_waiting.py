"""When a wait for an emotion ends: it holds without a break for long enough, or the time is over."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.errors import RequestError
from mser_ros.labels import LABELS, UNKNOWN
from mser_ros.stages.state import EmotionStates
from mser_ros.stages.waiting import Wait, check_goal
from mser_ros.testing import make_estimate
from mser_ros.types import Goal, Outcome, PersonState, Progress, to_ns

T0 = 1_700_000_000_000_000_000


def person(label: str, confidence: float = 0.8, *, name: str = "ann", age_s: float = 0.0) -> PersonState:
    even = np.full(len(LABELS), 0.25, np.float32)
    return PersonState(T0, name, LABELS, even, label, confidence, 0.0, 0.0, T0, even, even, "u", age_s)


def look(wait: Wait, at_s: float, *states: PersonState, names: Mapping[str, str] | None = None) -> Progress:
    return wait.look(states, T0 + to_ns(at_s), lambda name: (names or {}).get(name, name))


def test_what_holds_for_long_enough_is_reached() -> None:
    wait = Wait(Goal(("sad", "angry"), 0.6, 2.0, 10.0), T0)
    assert look(wait, 0.5, person("happy")).outcome is None
    first = look(wait, 1.0, person("sad"))
    assert (first.since_ns, first.held_s, first.waited_s, first.outcome) == (T0 + to_ns(1), 0.0, 1.0, None)
    begun = look(wait, 2.0, person("angry"))
    assert (begun.held_s, begun.waited_s, begun.outcome) == (1.0, 2.0, None), "another of the labels is no break"
    done = look(wait, 3.0, person("sad"))
    assert (done.outcome, done.since_ns, done.held_s) == (Outcome.REACHED, T0 + to_ns(1), 2.0)
    assert done.state is not None
    assert (done.state.person_id, done.state.label) == ("ann", "sad")


@pytest.mark.parametrize("gap", [person("happy"), person(UNKNOWN, 0.0), person("sad", 0.59), None])
def test_a_break_begins_it_anew(gap: PersonState | None) -> None:
    wait = Wait(Goal(("sad",), 0.6, 2.0), T0)
    look(wait, 0.0, person("sad"))
    assert look(wait, 1.9, *filter(None, [gap])).held_s == 0
    assert look(wait, 2.0, person("sad")).outcome is None
    assert look(wait, 4.0, person("sad")).outcome is Outcome.REACHED


def test_anybody_will_do_but_one_person_alone_must_hold_it() -> None:
    wait = Wait(Goal(("sad",), 0.6, 2.0), T0)
    look(wait, 0.0, person("sad"), person("happy", name="bob"))
    both = look(wait, 1.0, person("sad"), person("sad", name="bob"))
    assert both.state is not None
    assert (both.state.person_id, both.held_s) == ("ann", 1.0), "who holds it for longest is told"
    assert look(wait, 2.0, person("happy"), person("sad", name="bob")).outcome is None
    done = look(wait, 3.0, person("happy"), person("sad", name="bob"))
    assert done.outcome is Outcome.REACHED
    assert done.state is not None
    assert done.state.person_id == "bob"


def test_who_is_named_is_waited_for_and_nobody_else() -> None:
    wait = Wait(Goal(("sad",), 0.6, 0.0, 0.0, "bob"), T0)
    progress = look(wait, 0.0, person("sad"))
    assert (progress.outcome, progress.state) == (None, None)
    assert look(wait, 1.0, person("sad"), person("sad", name="bob")).outcome is Outcome.REACHED


def test_of_those_for_whom_it_does_not_hold_the_newest_is_told() -> None:
    progress = look(Wait(Goal(("sad",)), T0), 1.0, person("happy", age_s=5.0), person("angry", name="bob", age_s=1.0))
    assert progress.state is not None
    assert progress.state.person_id == "bob"


def test_the_time_out_comes_unless_it_is_reached_at_once() -> None:
    wait = Wait(Goal(("sad",), 0.6, 2.0, 3.0), T0)
    look(wait, 1.0, person("sad"))
    assert look(wait, 3.0, person("sad")).outcome is Outcome.REACHED
    wait = Wait(Goal(("sad",), 0.6, 2.0, 3.0), T0)
    assert look(wait, 2.9).outcome is None
    assert look(wait, 3.0).outcome is Outcome.TIMED_OUT
    assert look(Wait(Goal(("sad",)), T0), 1e6).outcome is None, "0: none"


def test_a_clock_that_is_set_back_begins_anew_and_one_that_has_not_begun_ends_nothing() -> None:
    wait = Wait(Goal(("sad",), 0.6, 2.0, 5.0), T0)
    look(wait, 4.0, person("sad"))
    assert look(wait, -100.0, person("sad")).held_s == 0
    assert look(wait, -97.0, person("sad")).outcome is Outcome.REACHED
    paused = Wait(Goal(("sad",), 0.6, 2.0, 5.0), 0)
    assert paused.look([], 0).outcome is None
    assert look(paused, 0.0).outcome is None
    assert look(paused, 5.0).outcome is Outcome.TIMED_OUT


@pytest.mark.parametrize(
    ("goal", "cure"),
    [
        (Goal(()), "no label: give some of angry, happy, sad, neutral"),
        (Goal(("glad",)), "the label 'glad': give some of"),
        (Goal((UNKNOWN,)), "the label 'unknown': give some of"),
        (Goal(("sad",), 1.5), "confidence 1.5: give 0 to 1"),
        (Goal(("sad",), math.nan), "give 0 to 1"),
        (Goal(("sad",), 0.5, -1.0), "0 or more"),
        (Goal(("sad",), 0.5, math.inf), "0 or more"),
        (Goal(("sad",), 0.5, 1.0, math.nan), "0 or more"),
        (Goal(("sad",), 0.5, 20.0, 10.0), "timeout_s that is not below duration_s"),
    ],
)
def test_a_goal_that_cannot_be_is_one_sentence(goal: Goal, cure: str) -> None:
    with pytest.raises(RequestError, match=cure):
        check_goal(goal, LABELS)


def test_a_goal_that_can_be_is_taken() -> None:
    check_goal(Goal(LABELS, 1.0, 5.0, 5.0, "ann"), LABELS)


@given(
    st.lists(st.tuples(st.sampled_from(LABELS), st.floats(0.3, 1), st.floats(-20, 20)), max_size=40),
    st.floats(0, 10),
    st.sampled_from([0.0, 15.0]),
)
def test_whatever_is_said_a_wait_ends_only_by_what_it_was_asked_for(
    said: list[tuple[str, float, float]], duration_s: float, timeout_s: float
) -> None:
    states, wait, at_s = EmotionStates(), Wait(Goal(("sad",), 0.5, duration_s, timeout_s), T0), 0.0
    for label, confidence, pause_s in said:
        at_s += pause_s
        now_ns = T0 + to_ns(at_s)
        states.push(make_estimate(label, confidence, person_id="ann", stamp_ns=now_ns), now_ns)
        people, _ = states.at(now_ns)
        progress = wait.look(people, now_ns)
        assert progress.held_s <= progress.waited_s
        holds = people[0].label == "sad" and people[0].confidence >= 0.5
        assert (progress.since_ns > 0) == holds
        if progress.outcome is Outcome.REACHED:
            assert holds
            assert progress.held_s >= duration_s - 1e-6
        if progress.outcome is Outcome.TIMED_OUT:
            assert progress.waited_s >= timeout_s > 0


def test_who_goes_by_another_name_meanwhile_is_waited_for_on() -> None:
    names = {"voice": "ann"}
    wait = Wait(Goal(("sad",), 0.6, 2.0, 0.0, "voice"), T0)
    anybody = Wait(Goal(("sad",), 0.6, 2.0), T0)
    for one in (wait, anybody):
        look(one, 0.0, person("sad", name="voice"))
        look(one, 1.0, person("happy", name="bob"), person("sad"), names=names)
        done = look(one, 2.0, person("sad"))
        assert (done.outcome, done.since_ns) == (Outcome.REACHED, T0), "also after the link is gone again"
