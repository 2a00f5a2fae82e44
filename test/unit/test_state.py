"""How a person is over time: it follows what is sure, holds on, lets go, and does not flicker."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.errors import SettingsError
from mser_ros.labels import LABELS, UNKNOWN
from mser_ros.settings import StateSettings
from mser_ros.stages.state import EmotionStates, parse_conditions, states_over_time
from mser_ros.testing import make_estimate
from mser_ros.types import Condition, EmotionEstimate, EstimateState, PersonState, to_ns

T0 = 1_700_000_000_000_000_000


def said(label: str, at_s: float, confidence: float = 0.95, **fields: object) -> EmotionEstimate:
    """A final estimate at a time."""
    known = {"person_id": "ann", "stamp_ns": T0 + to_ns(at_s), "utterance_id": f"u{at_s}"}
    return make_estimate(label, confidence, **{**known, **fields})


def state_at(states: EmotionStates, at_s: float) -> PersonState:
    (state,), _ = states.at(T0 + to_ns(at_s))
    return state


def test_nobody_is_told_of_before_something_was_said() -> None:
    assert EmotionStates().at(T0) == ([], [])


def test_a_sure_estimate_becomes_the_state_and_is_let_go_with_time() -> None:
    states = EmotionStates(StateSettings(decay_s=30.0, gain=0.8))
    states.push(said("sad", 0))
    first = state_at(states, 0.5)
    assert (first.label, first.person_id, first.last_utterance_id) == ("sad", "ann", "u0")
    assert first.confidence > 0.6
    assert first.valence < 0
    assert (first.since_ns, first.evidence_age_s) == (T0, 0.5)
    later = [state_at(states, at_s).probabilities[LABELS.index("sad")] for at_s in (5, 15, 30, 60)]
    assert later == sorted(later, reverse=True)
    usual = first.usual[LABELS.index("sad")]
    assert 0.25 < usual < 0.3
    assert later[-1] == pytest.approx(usual + (first.confidence - usual) * np.exp(-59.5 / 30), abs=1e-3)
    assert state_at(states, 120).label == UNKNOWN
    assert state_at(states, 120).confidence == 0


def test_who_is_mostly_cheerful_falls_back_to_that_and_not_to_nothing() -> None:
    states = EmotionStates(StateSettings(decay_s=30.0, usual_gain=0.05))
    for number in range(100):
        states.push(said("happy" if number % 10 else "sad", 10.0 * number))
    states.push(said("angry", 1000))
    assert state_at(states, 1000).label == "angry"
    later = state_at(states, 1200)
    assert later.label == "happy"
    np.testing.assert_allclose(later.probabilities, later.usual, atol=0.01)
    assert later.usual[LABELS.index("happy")] > 0.6
    states.push(said("sad", 1200, person_id="bob"))
    bob = next(state for state in states.at(T0 + to_ns(1300))[0] if state.person_id == "bob")
    assert bob.usual[LABELS.index("happy")] <= 0.25, "each person has their own"


def test_what_is_usual_outlives_the_state_and_a_clock_that_is_set_back_until_it_is_unlearned() -> None:
    states = EmotionStates(StateSettings(forget_s=100, usual_gain=0.5))
    states.push(said("happy", 0))
    usual = states.usual("ann")
    assert states.at(T0 + to_ns(101)) == ([], [])
    states.at(T0 - to_ns(1000))
    np.testing.assert_array_equal(states.usual("ann"), usual)
    other = EmotionStates()
    other.learn(states.learned())
    np.testing.assert_array_equal(other.usual("ann"), usual)
    states.unlearn()
    assert states.learned() == {}
    np.testing.assert_array_equal(states.usual("ann"), np.full(4, 0.25))


def test_without_learning_what_is_usual_everybody_falls_back_to_even_classes() -> None:
    states = EmotionStates(StateSettings(decay_s=10.0, usual_gain=0.0))
    states.push(said("sad", 0))
    np.testing.assert_allclose(state_at(states, 200).probabilities, 0.25, atol=1e-3)


def test_who_is_not_to_be_learned_of_any_more_falls_back_to_even_classes_and_stays_known() -> None:
    states = EmotionStates(StateSettings(decay_s=10.0, usual_gain=0.9))
    for second in range(5):
        states.push(said("sad", second))
    learned = states.learned()
    states.settings = StateSettings(decay_s=10.0, usual_gain=0.0)
    states.push(said("sad", 6))
    np.testing.assert_allclose(state_at(states, 206).probabilities, 0.25, atol=1e-3)
    assert states.learned() == learned


def test_nobody_is_unknown_for_longer_than_anything_was_heard() -> None:
    states = EmotionStates(StateSettings(least=0.9))
    states.push(said("sad", 3, confidence=0.6))
    state = state_at(states, 4)
    assert (state.label, state.since_ns) == (UNKNOWN, T0 + to_ns(3))


def test_of_many_people_those_who_were_not_heard_for_longest_are_forgotten() -> None:
    states = EmotionStates()
    for number in range(1000):
        states.push(said("happy", number, person_id=f"p{number}"))
    assert len(states.learned()) == 64
    assert len(states.at(T0 + to_ns(1000))[0]) == 32
    assert "p999" in states.learned()


def test_what_is_not_sure_hardly_counts() -> None:
    sure, unsure = EmotionStates(), EmotionStates()
    sure.push(said("happy", 0, 0.97))
    unsure.push(said("happy", 0, 0.4))
    happy = LABELS.index("happy")
    assert state_at(sure, 0).probabilities[happy] > 0.7
    assert state_at(unsure, 0).probabilities[happy] < 0.3
    assert state_at(unsure, 0).label == UNKNOWN


def test_a_label_stays_until_another_is_clearly_ahead() -> None:
    states = EmotionStates(StateSettings(decay_s=3600, margin=0.2, least=0.3))
    states.push(said("sad", 0))
    since_ns = state_at(states, 0).since_ns
    states.push(said("angry", 1, 0.75))
    even = state_at(states, 1)
    assert even.label == "sad", "angry is not ahead by so much"
    assert even.since_ns == since_ns
    states.push(said("angry", 2))
    changed = state_at(states, 2)
    assert (changed.label, changed.since_ns) == ("angry", T0 + to_ns(2))


def test_the_trend_tells_where_it_goes() -> None:
    states = EmotionStates()
    states.push(said("neutral", 0))
    state_at(states, 0)
    states.push(said("angry", 4))
    trend = state_at(states, 4).trend
    assert trend[LABELS.index("angry")] > 0.1
    assert trend[LABELS.index("neutral")] < -0.05
    assert trend.sum() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "estimate",
    [
        said("sad", 1, state=EstimateState.PROVISIONAL),
        said("sad", 1, state=EstimateState.RETRACTED),
        replace(said("sad", 1), label=UNKNOWN, confidence=0.0),
        replace(said("sad", 1), probabilities=np.full(4, np.nan, np.float32)),
    ],
)
def test_what_is_no_evidence_changes_nothing(estimate: EmotionEstimate) -> None:
    states = EmotionStates()
    states.push(estimate)
    assert states.at(T0 + to_ns(1)) == ([], [])


def test_people_are_told_apart_by_the_best_name_that_there_is() -> None:
    states = EmotionStates()
    states.push(said("sad", 0))
    states.push(said("happy", 0, person_id="", voice_id="v1"))
    states.push(said("angry", 0, person_id="", voice_id="", body_id="b1"))
    found, _ = states.at(T0)
    assert {state.person_id: state.label for state in found} == {"ann": "sad", "v1": "happy", "b1": "angry"}


def test_who_is_not_heard_for_long_is_forgotten_and_so_is_everybody_when_the_clock_is_set_back() -> None:
    states = EmotionStates(StateSettings(forget_s=100))
    states.push(said("sad", 0))
    assert len(states.at(T0 + to_ns(100))[0]) == 1
    assert states.at(T0 + to_ns(101)) == ([], [])
    states.push(said("sad", 1000))
    states.at(T0 + to_ns(1001))
    assert states.at(T0) == ([], []), "a bag began again"


def parting(states: EmotionStates, at_s: float) -> list[tuple[str, str, float]]:
    """Whose last state is told now."""
    states.at(T0 + to_ns(at_s))
    assert all(state.stamp_ns == state.since_ns == T0 + to_ns(at_s) for state in states.gone)
    assert all((state.valence, state.arousal) == (0, 0) for state in states.gone)
    return [(state.person_id, state.label, state.confidence) for state in states.gone]


def test_whoever_is_forgotten_is_unknown_at_last_and_told_so_once() -> None:
    slow = StateSettings(forget_s=100, decay_s=3600, usual_gain=0.5)
    states = EmotionStates(slow)
    states.push(said("sad", 0))
    assert parting(states, 100) == []
    assert state_at(states, 100).label == "sad"
    assert parting(states, 101) == [("ann", UNKNOWN, 0)]
    (last,) = states.gone
    np.testing.assert_array_equal(last.probabilities, last.usual)
    assert parting(states, 101.5) == []
    states.push(said("sad", 1000))
    states.at(T0 + to_ns(1001))
    assert parting(states, 0) == [("ann", UNKNOWN, 0)], "a bag began again"
    states.push(said("sad", 1, person_id="voice 1"))
    states.rename(lambda name: "bob", {"voice 1"})
    assert parting(states, 2) == [("voice 1", UNKNOWN, 0)], "who goes by another name"
    for number in range(32):
        states.push(said("happy", 3 + number / 100, person_id=f"p{number}"))
    assert parting(states, 4) == [("bob", UNKNOWN, 0)], "one of too many"
    states.rename(lambda name: "p1", {"p0"})
    states.push(said("sad", 4, person_id="p0"))
    assert parting(states, 5) == [], "who came back meanwhile is not gone"
    list(states.forget())
    assert len(parting(states, 6)) == 32


def test_everybody_is_forgotten_although_the_bag_that_begins_again_is_short() -> None:
    """The clock is set back, not the stamp of an estimate, which may be older than what is there."""
    states = EmotionStates(StateSettings(events="sad 0.5 0"))
    states.push(said("sad", 18), T0 + to_ns(18.2))
    assert len(states.at(T0 + to_ns(20))[0]) == 1
    states.push(said("sad", 12))
    assert states.at(T0 + to_ns(20.5))[0][0].label == "sad"
    found, events = states.at(T0 + to_ns(0.5))
    assert (found, [event.begins for event in events]) == ([], [False])
    states.push(said("happy", 1), T0 + to_ns(1.2))
    states.at(T0 + to_ns(19))
    states.push(said("happy", 1), T0 + to_ns(1.2))
    (ann,) = states.at(T0 + to_ns(1.3))[0]
    assert ann.evidence_age_s == pytest.approx(0.1), "and begins anew by an estimate that comes first"


def test_a_clock_that_stands_still_fills_no_memory_however_often_somebody_asks() -> None:
    states = EmotionStates()
    states.push(said("sad", 0))
    for _ in range(1000):
        states.at(T0 + to_ns(1))
    (person,) = states._people.values()
    assert len(person.told) <= 3


# -- events


def test_a_condition_is_told_once_when_it_has_lasted_and_once_when_it_ends() -> None:
    states = EmotionStates(StateSettings(decay_s=60, events="sad 0.5 5; angry 0.5 0"))
    told = []
    states.push(said("sad", 0))
    for tenth in range(1000):
        told += states.at(T0 + to_ns(tenth / 10))[1]
    begin, end = told
    assert (begin.begins, begin.condition, begin.person_id) == (True, Condition("sad", 0.5, 5), "ann")
    assert begin.stamp_ns == T0 + to_ns(5)
    assert begin.since_ns == end.since_ns == T0
    assert not end.begins
    assert end.stamp_ns > begin.stamp_ns


def test_what_does_not_last_is_not_told() -> None:
    states = EmotionStates(StateSettings(events="sad 0.5 5"))
    states.push(said("sad", 0))
    told = states.at(T0 + to_ns(1))[1]
    states.push(said("happy", 2))
    states.push(said("happy", 2.1))
    for second in range(3, 60):
        told += states.at(T0 + to_ns(second))[1]
    assert told == []


def test_an_event_that_began_ends_where_everybody_is_forgotten() -> None:
    states = EmotionStates(StateSettings(events="sad 0.5 0"))
    states.push(said("sad", 0))
    (begin,) = states.at(T0)[1]
    assert begin.begins
    (end,) = states.forget()
    assert not end.begins
    assert list(states.forget()) == []


@pytest.mark.parametrize(
    "text",
    ["sad", "sad 0.6", "glad 0.6 2", "sad 0 2", "sad 1.5 2", "sad x 2", "sad 0.6 -1", "sad 0.6 inf", "sad 0.6 2 3"],
)
def test_a_condition_that_is_none_is_one_sentence(text: str) -> None:
    with pytest.raises(SettingsError, match=r"'sad 0\.6 20'"):
        parse_conditions(text)


def test_conditions_are_read_as_they_are_written() -> None:
    assert parse_conditions(" sad 0.6 20;angry 0.7 2 ; ") == (Condition("sad", 0.6, 20), Condition("angry", 0.7, 2))
    assert parse_conditions("") == ()
    with pytest.raises(SettingsError, match=r"give a label \(angry, happy, neutral\)"):
        EmotionStates(StateSettings(events="sad 0.6 20"), ("angry", "happy", "neutral"))


@given(
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.floats(0.26, 1), st.sampled_from(["ann", "bob"]), st.floats(-300, 400)),
        max_size=30,
    )
)
def test_whatever_is_said_states_are_states_and_events_come_in_pairs(
    given_: list[tuple[str, float, str, float]],
) -> None:
    states = EmotionStates(StateSettings(events="sad 0.5 3; happy 0.4 0", forget_s=200))
    open_events: set[tuple[str, Condition]] = set()
    at_s = 0.0
    for label, confidence, person, pause_s in given_:
        at_s += pause_s
        states.push(said(label, at_s, confidence, person_id=person))
        found, events = states.at(T0 + to_ns(at_s))
        for state in found:
            assert state.probabilities.sum() == pytest.approx(1, abs=1e-5)
            assert (state.probabilities >= 0).all()
            assert state.label in (*LABELS, UNKNOWN)
            assert 0 <= state.confidence <= 1
            assert state.evidence_age_s >= 0
        for event in events:
            key = event.person_id, event.condition
            assert (key not in open_events) == event.begins
            (open_events.add if event.begins else open_events.discard)(key)


def test_who_turns_out_to_be_somebody_goes_on_under_that_name() -> None:
    states = EmotionStates(StateSettings(events="sad 0.5 0"))
    states.push(said("sad", 0, person_id="voice 1"))
    assert [(event.person_id, event.begins) for event in states.at(T0)[1]] == [("voice 1", True)]
    states.rename(lambda name: "ann" if name == "voice 1" else name, {"voice 1", "ann"})
    told, events = states.at(T0 + to_ns(1))
    assert [(state.person_id, state.label, state.last_utterance_id) for state in told] == [("ann", "sad", "u0")]
    assert [(event.person_id, event.begins) for event in events] == [("voice 1", False), ("ann", True)]
    states.push(said("happy", 2, person_id="bob"))
    states.rename(lambda name: "ann", {"ann", "bob"})
    told, events = states.at(T0 + to_ns(2))
    assert [(state.person_id, state.label) for state in told] == [("ann", "happy")], "what was heard last"
    assert [(event.person_id, event.begins) for event in events] == [("ann", False)]
    states.push(said("sad", 4, person_id="ann"))
    states.push(said("angry", 3, person_id="voice 2"))
    states.rename(lambda name: "ann", {"voice 2"})
    assert [(state.person_id, state.label) for state in states.at(T0 + to_ns(4))[0]] == [("ann", "sad")]


def test_what_somebody_mostly_shows_goes_over_to_the_new_name_although_nothing_was_heard_for_long() -> None:
    states = EmotionStates(StateSettings(forget_s=60))
    states.push(said("sad", 0, person_id="voice 1"))
    usual = states.usual("voice 1")
    assert states.at(T0 + to_ns(61)) == ([], [])
    states.rename(lambda name: "ann", {"voice 1"})
    np.testing.assert_array_equal(states.usual("ann"), usual)
    assert set(states.learned()) == {"ann"}


@pytest.mark.parametrize("last", ["voice 1", "voice 2"])
def test_of_two_that_turn_out_to_be_one_what_was_learned_last_is_usual(last: str) -> None:
    states = EmotionStates()
    for at_s, name in enumerate(("voice 1", "voice 2", last)):
        states.push(said("sad" if name == "voice 1" else "happy", at_s, person_id=name))
    usual = states.usual(last)
    states.rename(lambda name: "ann", {"voice 1", "voice 2"})
    np.testing.assert_array_equal(states.usual("ann"), usual)
    assert set(states.learned()) == {"ann"}
    assert state_at(states, 3).label == ("sad" if last == "voice 1" else "happy")


def test_nobody_is_asked_for_a_new_name_who_cannot_have_one() -> None:
    states, asked = EmotionStates(), []
    for number in range(20):
        states.push(said("sad", number, person_id=f"p{number}"))
    states.rename(lambda name: asked.append(name) or name, {"p3", "p99"})
    assert set(asked) == {"p3"}


def test_what_holds_of_somebody_who_is_forgotten_for_others_ends_too() -> None:
    states = EmotionStates(StateSettings(events="sad 0.5 0"))
    states.push(said("sad", 0, person_id="first"))
    _, (begun,) = states.at(T0)
    for number in range(32):
        states.push(said("happy", 1 + number / 100, person_id=f"p{number}"))
    _, (ended,) = states.at(T0 + to_ns(2))
    assert (begun.person_id, begun.begins, ended.person_id, ended.begins) == ("first", True, "first", False)


def test_what_a_renaming_has_ended_is_told_although_nobody_asks_before_all_are_forgotten() -> None:
    states = EmotionStates(StateSettings(events="sad 0.5 0"))
    states.push(said("sad", 0))
    states.at(T0)
    states.rename(lambda name: "bob", {"ann"})
    assert [(event.person_id, event.begins) for event in states.forget()] == [("ann", False)]
    assert states.at(T0 + to_ns(1)) == ([], [])


# -- over the whole of a recording


def test_over_time_everybody_is_told_of_at_a_steady_rate_as_the_node_does() -> None:
    settings = StateSettings(rate_hz=4.0)
    said_so = [said("sad", 0), said("happy", 3.1, person_id="bob"), said("angry", 5.0)]
    told = list(states_over_time(((item, item.stamp_ns) for item in said_so), settings, LABELS, T0 + to_ns(8)))
    states = EmotionStates(settings)
    expected = []
    for step in range(33):
        now_ns = T0 + to_ns(step / 4)
        while said_so and said_so[0].stamp_ns <= now_ns:
            states.push(said_so.pop(0))
        expected += states.at(now_ns)[0]
    assert [(item.stamp_ns, item.person_id, item.label, item.confidence) for item in told] == [
        (item.stamp_ns, item.person_id, item.label, item.confidence) for item in expected
    ]
    assert {item.person_id for item in told} == {"ann", "bob"}


def test_over_time_nothing_is_told_of_years_in_which_nobody_is_known_nor_at_no_rate() -> None:
    years_s = 3e8
    pair = [(item, item.stamp_ns) for item in (said("sad", 0), said("happy", years_s))]
    told = list(states_over_time(pair, StateSettings(), LABELS, T0 + to_ns(years_s + 1)))
    assert 600 < len(told) < 610, "five minutes of the first, a second of the other"
    assert told[-1].label == "happy"
    short = list(states_over_time(pair[:1], StateSettings(forget_s=10), LABELS, T0 + to_ns(60)))
    assert [item.label for item in short] == [*["sad"] * 21, UNKNOWN]
    assert list(states_over_time(pair, StateSettings(rate_hz=0), LABELS, T0 + to_ns(years_s))) == []


def test_over_time_a_clock_that_is_set_back_begins_anew() -> None:
    pair = [(item, item.stamp_ns) for item in (said("sad", 1000), said("happy", 0))]
    told = list(states_over_time(pair, StateSettings(), LABELS, T0 + to_ns(2)))
    assert [item.stamp_ns for item in told] == [T0 + to_ns(step / 2) for step in range(5)]
    assert {item.label for item in told} == {"happy"}
