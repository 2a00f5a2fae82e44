"""What went wrong with a node lately, in sentences of a bounded length, and how `/diagnostics` tells of it."""

from __future__ import annotations

import re
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ..errors import MserError

#: How long a problem with data is shown after it occurred: an aggregator looks once a second, a person less often.
LASTS_S = 10.0
#: How long a problem is shown that only the life cycle mends.
UNTIL_CLEARED = float("inf")
#: One log line per kind of problem and this many seconds, however often it occurs.
THROTTLE_S = 5.0
#: How often the log repeats what is still so, such as that an input is missing [s].
REMINDER_S = 60.0
#: Over how much time a rate is told at least [s].
_PACE_S = 0.9
#: Kinds of problems that are told apart.
_KINDS = 64
#: Longest sentence and longest traceback [characters]: what a foreign message holds must not fill the log.
LONGEST_SENTENCE = 600
LONGEST_TRACEBACK = 20_000


class Level(IntEnum):
    """How bad it is; the numbers are those of `diagnostic_msgs/DiagnosticStatus`."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Problem:
    """A sentence that names the cure, and until when (steady clock) it is shown."""

    sentence: str
    level: Level = Level.WARN
    until_s: float = UNTIL_CLEARED


def shorten(text: str, limit: int = LONGEST_SENTENCE) -> str:
    """`text`, or its beginning and its end, where the cure stands, with what was left out between them counted."""
    if len(text) <= limit:
        return text
    half = limit // 2 - 20
    return f"{text[:half]} ... ({len(text) - 2 * half} characters) ... {text[-half:]}"


def as_sentence(problem: object) -> str:
    """One line of bounded length."""
    return " ".join(shorten(str(problem)).split())


class Health:
    """What went wrong with a node: counted, logged to `logger`, and kept until it has aged out or been cleared.

    `rejected`: messages that could not be used. `dropped`: messages that were not worked off. `bugs`: exceptions that
    no part of the package foresaw. `clock`: steady seconds. Any thread may call it.
    """

    def __init__(self, logger: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Begin anew: what was logged may be logged again."""
        with self._lock:
            self.rejected = self.dropped = self.bugs = 0
            self._newest: dict[Level, Problem] = {}
            self._logged_at: dict[str, float] = {}

    def reject(self, error: MserError) -> None:
        """A message was refused."""
        with self._lock:
            self.rejected += 1
        self.warn(error)

    def drop(self, count: int, why: str = "") -> None:
        """So many messages were not worked off."""
        with self._lock:
            self.dropped += count
        if why:
            self.warn(why)

    def warn(self, problem: object, *, level: Level = Level.WARN, lasts_s: float = LASTS_S) -> None:
        """Show a problem, and log it, but each kind not more often than people can read."""
        sentence = as_sentence(problem)
        self._keep(sentence, level, lasts_s)
        self.remind(sentence, THROTTLE_S)

    def bug(self, error: Exception, *, lasts_s: float = LASTS_S) -> None:
        """Show an exception, and log it with its traceback, each kind once."""
        with self._lock:
            self.bugs += 1
        sentence = as_sentence(f"a bug, please report it with the log: {error!r}")
        self._keep(sentence, Level.ERROR, lasts_s)
        if self._is_news(sentence, UNTIL_CLEARED):
            trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            self._logger.fatal(shorten(trace, LONGEST_TRACEBACK))

    def remind(self, sentence: str, again_s: float) -> None:
        """Log a sentence, unless its like was logged within the last `again_s` seconds."""
        if self._is_news(sentence, again_s):
            self._logger.warning(sentence)

    def current(self) -> Problem | None:
        """The worst problem that is not over, of several the newest."""
        with self._lock:
            lasting = [problem for problem in self._newest.values() if problem.until_s > self._clock()]
        return max(lasting, key=lambda problem: problem.level, default=None)

    def _keep(self, sentence: str, level: Level, lasts_s: float) -> None:
        with self._lock:
            problem, before = Problem(sentence, level, self._clock() + lasts_s), self._newest.get(level)
            # One that lasts until it is cleared must not be hidden by one that will age out.
            if before is None or problem.until_s >= before.until_s:
                self._newest[level] = problem

    def _is_news(self, sentence: str, again_s: float) -> bool:
        kind = re.sub(r"[\d.]+", "0", sentence)
        with self._lock:
            now_s = self._clock()
            if now_s - self._logged_at.get(kind, -UNTIL_CLEARED) < again_s:
                return False
            if len(self._logged_at) >= _KINDS:
                self._logged_at.clear()
            self._logged_at[kind] = now_s
            return True


class Pace:
    """How often something comes. `clock`: steady seconds. For one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count, self._rate_hz = 0, 0.0
        self._newest_s: float | None = None
        self._since_s = clock()

    def note(self) -> None:
        """It came."""
        self._count += 1
        self._newest_s = self._clock()

    def rate_hz(self) -> float:
        """In the time since this was asked before, unless that is too short to tell."""
        now_s = self._clock()
        if now_s - self._since_s >= _PACE_S:
            self._rate_hz = self._count / (now_s - self._since_s)
            self._count, self._since_s = 0, now_s
        return self._rate_hz

    def age_s(self) -> float:
        """Seconds since it came last; -1 where it never did."""
        return -1.0 if self._newest_s is None else self._clock() - self._newest_s


def build_status(name: str, state: str, problem: Problem | None, values: Mapping[str, Any]) -> DiagnosticStatus:
    """The status of a node: its problem, or the state of its life cycle where all is well."""
    level = problem.level if problem else Level.OK
    return DiagnosticStatus(
        level=bytes([level]),
        name=name,
        message=problem.sentence if problem else state,
        values=[KeyValue(key=key, value=str(value)) for key, value in {"state": state, **values}.items()],
    )
