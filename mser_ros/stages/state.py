"""What a person feels over time: what utterance after utterance tells, held on to while nothing is heard, and let go.

An estimate is news; a planner wants to know how things stand. The state of a person moves towards each estimate as far
as that is sure, and back to what this person mostly shows with a time constant: who is cheerful by nature is not sad
because they are silent. A label stays until another one is clearly more probable, so that it does not flicker between
two that are even.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import SettingsError
from ..labels import LABELS, UNKNOWN, valence_arousal
from ..settings import StateSettings
from ..types import NS_PER_S, Condition, EmotionEstimate, EstimateState, PersonState, StateEvent, to_ns

#: People who are remembered; the one of whom nothing was heard for longest is forgotten first.
_PEOPLE = 32
#: People of whom it is remembered what they mostly show, likewise.
_KNOWN = 64
#: A clock that goes back by more was set: a bag begins again [s].
_SET_BACK_S = 1.0
#: Over which the trend is told [s].
_TREND_S = 10.0


def parse_conditions(text: str, labels: Sequence[str] = LABELS) -> tuple[Condition, ...]:
    """Conditions on these labels, as a parameter gives them: 'sad 0.6 20; angry 0.7 2'. Raises `SettingsError`."""
    found = []
    for part in filter(None, map(str.strip, text.split(";"))):
        words = part.split()
        try:
            label, confidence, duration_s = words[0], float(words[1]), float(words[2])
            fits = len(words) == 3 and label in labels and 0 < confidence <= 1 and 0 <= duration_s < math.inf
        except (IndexError, ValueError):
            fits = False
        if not fits:
            raise SettingsError(
                f"state.events '{part}': give a label ({', '.join(labels)}), a confidence up to 1 and seconds, as "
                "'sad 0.6 20', several separated by ;"
            )
        found.append(Condition(label, confidence, duration_s))
    return tuple(found)


@dataclass(slots=True, eq=False)
class _Person:
    """`told`: probabilities at times, newest last. `pending`: conditions that are fulfilled, and since when; `held`:
    those of them that have been for long enough."""

    probabilities: np.ndarray
    updated_ns: int
    heard_ns: int
    utterance_id: str
    label: str = UNKNOWN
    since_ns: int = 0
    told: deque[tuple[int, np.ndarray]] = field(default_factory=deque)
    pending: dict[Condition, int] = field(default_factory=dict)
    held: dict[Condition, int] = field(default_factory=dict)


class EmotionStates:
    """The states of several people. Feed it every estimate and ask it at a steady rate. Not thread-safe.

    `gone`: the last state, unknown, of each who was known when `at` was asked before and is not any more, by that name:
    else who keeps what is told of each would keep it for ever.
    """

    def __init__(self, settings: StateSettings | None = None, labels: Sequence[str] = LABELS) -> None:
        """Raises `SettingsError` for conditions that are none."""
        self.settings = settings or StateSettings()
        self._labels = tuple(labels)
        self._conditions = parse_conditions(self.settings.events, labels)
        self._even = np.full(len(self._labels), 1 / len(self._labels))
        self._usual: OrderedDict[str, np.ndarray] = OrderedDict()
        self._people: OrderedDict[str, _Person] = OrderedDict()
        self._now_ns = 0
        self._ended: list[StateEvent] = []  # that were not told yet
        self._left: dict[str, PersonState] = {}  # likewise, of who is not known any more
        self.gone: list[PersonState] = []

    def push(self, estimate: EmotionEstimate, at_ns: int | None = None) -> None:
        """Take an estimate that came at `at_ns`, at its own stamp if that is not given. Only final and continuous ones
        that do not abstain are evidence, and none whose probabilities are no numbers."""
        if estimate.state not in (EstimateState.FINAL, EstimateState.CONTINUOUS) or estimate.label == UNKNOWN:
            return
        posterior = np.asarray(estimate.probabilities, np.float64)
        if not np.isfinite(posterior).all():  # it would stay
            return
        name = estimate.subject_id
        # A stamp may be older than what there is, by as much as its estimate has waited for words.
        tolerance_s = self.settings.forget_s if at_ns is None else _SET_BACK_S
        at_ns = estimate.stamp_ns if at_ns is None else at_ns
        self._restart_if_set_back(at_ns, tolerance_s)
        person = self._people.get(name)
        if person is None:
            person = self._people[name] = _Person(self.usual(name), at_ns, at_ns, "", since_ns=at_ns)
            if len(self._people) > _PEOPLE:
                other, gone = self._people.popitem(last=False)
                self._ended += self._leave(other, gone)
        self._people.move_to_end(name)
        now_ns = max(at_ns, person.updated_ns)
        self._let_go(name, person, now_ns)
        sureness = _sureness(posterior)
        person.probabilities = _moved(person.probabilities, posterior, self.settings.gain * sureness)
        if self.settings.usual_gain:
            self.learn({name: _moved(self.usual(name), posterior, self.settings.usual_gain * sureness)})
        person.heard_ns, person.utterance_id = now_ns, estimate.utterance_id
        self._settle(person, now_ns)

    def at(self, now_ns: int) -> tuple[list[PersonState], list[StateEvent]]:
        """How everybody is now, and which conditions have begun or ended to hold since this was asked last."""
        self._restart_if_set_back(now_ns, _SET_BACK_S)
        self._now_ns = now_ns
        events, self._ended = self._ended, []
        for name, person in list(self._people.items()):
            now = max(now_ns, person.updated_ns)
            self._let_go(name, person, now)
            is_gone = now - person.heard_ns > to_ns(self.settings.forget_s)
            self._settle(person, now, is_gone=is_gone)
            events += self._judge(name, person, now)
            if is_gone:
                del self._people[name]
                self._leave(name, person)
        left, self._left = self._left, {}
        self.gone = [
            replace(state, stamp_ns=now_ns, since_ns=now_ns) for name, state in left.items() if name not in self._people
        ]
        return [self._tell(name, person, now_ns) for name, person in self._people.items()], events

    def rename(self, current_name: Callable[[str], str], names: Collection[str]) -> None:
        """Some of those that were called by `names` go by another one now, as `current_name` tells: a voice turned out
        to be a person's, say. What was heard of late goes over to the new name, unless something later was heard of
        that; what holds ends under the old one. What somebody mostly shows goes over, unless that is known under the
        new name, also of those of whom nothing was heard for long; of several, what was learned last.
        """
        for name in [name for name in self._people if name in names]:
            if (after := current_name(name)) != name:
                person = self._people.pop(name)
                self._ended += self._leave(name, person)
                known = self._people.get(after)
                if known is None or known.heard_ns < person.heard_ns:
                    if known is not None:
                        self._ended += self._end(after, known, list(known.held), known.updated_ns)
                    self._people[after] = person
        moved = {name: after for name in self._usual if name in names and (after := current_name(name)) != name}
        for after, usual in [(moved[name], self._usual.pop(name)) for name in reversed(moved)]:
            self._usual.setdefault(after, usual)

    def usual(self, name: str) -> np.ndarray:
        """What a person mostly shows, (C,): a slow average; even classes where nothing was learned, or is to be."""
        return self._usual.get(name, self._even) if self.settings.usual_gain else self._even

    def learned(self) -> dict[str, list[float]]:
        """What each person mostly shows, for JSON."""
        return {name: usual.tolist() for name, usual in self._usual.items()}

    def learn(self, learned: Mapping[str, Sequence[float] | np.ndarray]) -> None:
        """Take in what people mostly show, as `learned` gave it; others stay as they are."""
        for name, usual in learned.items():
            self._usual[name] = np.array(usual, np.float64)
            self._usual.move_to_end(name)
            if len(self._usual) > _KNOWN:
                self._usual.popitem(last=False)

    def unlearn(self) -> None:
        """Forget what everybody mostly shows, not how they are now."""
        self._usual.clear()

    def forget(self) -> Iterator[StateEvent]:
        """Forget how everybody is, not what they mostly show; what held of them does not any more."""
        ended, self._ended = self._ended, []
        yield from ended
        for name, person in self._people.items():
            yield from self._leave(name, person)
        self._people.clear()

    def _restart_if_set_back(self, now_ns: int, tolerance_s: float) -> None:
        """A bag that is played in a loop: what was yesterday is not today."""
        if now_ns < self._now_ns - to_ns(tolerance_s):
            self._ended = list(self.forget())
            self._now_ns = now_ns

    def _let_go(self, name: str, person: _Person, now_ns: int) -> None:
        age_s = (now_ns - person.updated_ns) / NS_PER_S
        kept = math.exp(-age_s / self.settings.decay_s)
        usual = self.usual(name)
        person.probabilities = usual + (person.probabilities - usual) * kept
        person.updated_ns = now_ns

    def _settle(self, person: _Person, now_ns: int, *, is_gone: bool = False) -> None:
        """Choose the label: that of before, unless another one is clearly ahead or nothing is probable any more."""
        best = int(person.probabilities.argmax())
        before = self._labels.index(person.label) if person.label in self._labels else None
        chosen = person.label
        if is_gone or person.probabilities[best] < self.settings.least:
            chosen = UNKNOWN
        elif before is None or self._is_passed(person.probabilities, best, before):
            chosen = self._labels[best]
        if chosen != person.label:
            person.label, person.since_ns = chosen, now_ns
        if person.told and person.told[-1][0] == now_ns:  # the clock stands still, as that of a paused simulation
            person.told.pop()
        person.told.append((now_ns, person.probabilities))
        while len(person.told) > 2 and person.told[1][0] < now_ns - to_ns(_TREND_S):
            person.told.popleft()

    def _is_passed(self, probabilities: np.ndarray, best: int, before: int) -> bool:
        """Whether the label of before is no more the one to tell."""
        ahead = probabilities[best] - probabilities[before]
        return ahead > self.settings.margin or (ahead > 0 and probabilities[before] < self.settings.least)

    def _judge(self, name: str, person: _Person, now_ns: int) -> Iterator[StateEvent]:
        for condition in self._conditions:
            index = self._labels.index(condition.label)
            holds = person.label == condition.label and person.probabilities[index] >= condition.confidence
            if not holds:
                person.pending.pop(condition, None)
                if condition in person.held:
                    yield from self._end(name, person, [condition], now_ns)
                continue
            since_ns = person.pending.setdefault(condition, now_ns)
            if condition not in person.held and now_ns - since_ns >= to_ns(condition.duration_s):
                person.held[condition] = since_ns
                yield StateEvent(now_ns, name, condition, True, since_ns)

    def _end(self, name: str, person: _Person, which: Sequence[Condition], now_ns: int) -> Iterator[StateEvent]:
        for condition in which:
            yield StateEvent(now_ns, name, condition, False, person.held.pop(condition))

    def _leave(self, name: str, person: _Person) -> Sequence[StateEvent]:
        """Nobody is known by this name any more: what held ends, and a last state is due."""
        nobody = replace(person, label=UNKNOWN, probabilities=self.usual(name))
        self._left[name] = self._tell(name, nobody, person.updated_ns)
        return list(self._end(name, person, list(person.held), person.updated_ns))

    def _tell(self, name: str, person: _Person, now_ns: int) -> PersonState:
        probabilities = person.probabilities
        known = person.label != UNKNOWN
        valence, arousal = valence_arousal(self._labels, probabilities) if known else (0.0, 0.0)
        first_ns, first = person.told[0]
        past_s = max((person.told[-1][0] - first_ns) / NS_PER_S, 1e-9)
        trend = (person.told[-1][1] - first) / past_s if person.told[-1][0] > first_ns else np.zeros(len(self._labels))
        return PersonState(
            stamp_ns=now_ns,
            person_id=name,
            labels=self._labels,
            probabilities=probabilities.astype(np.float32),
            label=person.label,
            confidence=float(probabilities[self._labels.index(person.label)]) if known else 0.0,
            valence=valence,
            arousal=arousal,
            since_ns=person.since_ns,
            trend=trend.astype(np.float32),
            usual=self.usual(name).astype(np.float32),
            last_utterance_id=person.utterance_id,
            evidence_age_s=max(0, now_ns - person.heard_ns) / NS_PER_S,
        )


def states_over_time(
    estimates: Iterable[tuple[EmotionEstimate, int]], settings: StateSettings, labels: Sequence[str], until_ns: int
) -> Iterator[PersonState]:
    """What the emotion node would have published at its steady rate, from the first estimate to `until_ns`.

    `estimates`: in the order in which they came, with the time at which they did. A rate of 0 gives nothing.
    """
    if not settings.rate_hz:
        return
    states, period_ns = EmotionStates(settings, labels), to_ns(1 / settings.rate_hz)
    due_ns: int | None = None

    def up_to(end_ns: int) -> Iterator[PersonState]:
        nonlocal due_ns
        while due_ns is not None and due_ns <= end_ns:
            told, _ = states.at(due_ns)
            yield from (*states.gone, *told)
            # While nobody is known of, which may be for years where a clock was set, there is nothing to ask.
            due_ns = due_ns + period_ns if told else None

    for estimate, at_ns in estimates:
        yield from up_to(at_ns - 1)
        states.push(estimate, at_ns)
        if due_ns is None or at_ns < due_ns - period_ns:
            due_ns = at_ns
    yield from up_to(until_ns)


def _moved(probabilities: np.ndarray, posterior: np.ndarray, share: float) -> np.ndarray:
    """So far towards the posterior."""
    return np.asarray((1 - share) * probabilities + share * posterior / posterior.sum())


def _sureness(posterior: np.ndarray) -> float:
    """1 for a sure estimate, 0 for an even one: one less the entropy, in units of that of the even one."""
    share = posterior / posterior.sum()
    entropy = -float(np.sum(share * np.log(np.maximum(share, 1e-12))))
    return 1 - entropy / math.log(len(posterior))
