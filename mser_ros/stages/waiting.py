"""Waiting until somebody's state is what a planner waits for: what the action `WaitForEmotion` decides, without ROS."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..errors import RequestError
from ..types import NS_PER_S, Goal, Outcome, PersonState, Progress, to_ns


def check_goal(goal: Goal, classes: Sequence[str]) -> None:
    """Raise `RequestError` where this cannot be waited for, of a model with these classes."""
    wrong = [label for label in goal.labels if label not in classes]
    if wrong or not goal.labels:
        what = f"the label '{wrong[0]}'" if wrong else "no label"
        raise RequestError(f"a goal with {what}: give some of {', '.join(classes)}")
    if not 0 <= goal.confidence <= 1:  # as is what is no number
        raise RequestError(f"a goal with the confidence {goal.confidence:g}: give 0 to 1")
    if not (0 <= goal.duration_s < math.inf and 0 <= goal.timeout_s < math.inf):
        raise RequestError(
            f"a goal with duration_s {goal.duration_s:g} and timeout_s {goal.timeout_s:g}: give seconds, 0 or more"
        )
    if 0 < goal.timeout_s < goal.duration_s:
        raise RequestError(
            f"a goal that has to hold for {goal.duration_s:g} s within {goal.timeout_s:g} s: give a timeout_s that is "
            "not below duration_s, or 0 for none"
        )


class Wait:
    """One wait, from `start_ns` on. Times are those of the states."""

    def __init__(self, goal: Goal, start_ns: int) -> None:
        self.goal = goal
        self._start_ns = start_ns
        self._person_id = goal.person_id  # by the name of now
        self._since: dict[str, int] = {}  # by person: from when on it has held

    def look(
        self, states: Sequence[PersonState], now_ns: int, current_name: Callable[[str], str] = lambda name: name
    ) -> Progress:
        """How things stand, by everybody's state of now. `current_name`: how who went by a name is called now."""
        # A bag that starts again sets the clock back; a simulation that has not begun yet shows 0.
        self._start_ns = min(self._start_ns or now_ns, now_ns)
        self._person_id = current_name(self._person_id)
        before = {current_name(name): since_ns for name, since_ns in self._since.items()}
        about = [state for state in states if self._person_id in ("", state.person_id)]
        self._since = {
            state.person_id: min(before.get(state.person_id) or now_ns, now_ns)
            for state in about
            if state.label in self.goal.labels and state.confidence >= self.goal.confidence
        }
        waited_s = (now_ns - self._start_ns) / NS_PER_S
        outcome = Outcome.TIMED_OUT if 0 < self.goal.timeout_s <= waited_s else None
        if not self._since:
            newest = min(about, key=lambda state: state.evidence_age_s, default=None)
            return Progress(newest, waited_s=waited_s, outcome=outcome)
        best = min(self._since, key=lambda name: self._since[name])
        since_ns = self._since[best]
        if now_ns - since_ns >= to_ns(self.goal.duration_s):
            outcome = Outcome.REACHED
        state = next(state for state in about if state.person_id == best)
        return Progress(state, since_ns, (now_ns - since_ns) / NS_PER_S, waited_s, outcome)
