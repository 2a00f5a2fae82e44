"""What the page shows: the last two minutes of what was heard, seen and believed, as plain values for JSON."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ..evaluation.timeline import COLOURS
from ..messages.records import Record, person_of, seconds
from ..types import NS_PER_S, SkeletonFrame, UtteranceEvent, UtteranceState
from .figure import BodyFigures

#: So much of the past is kept and shown [s].
WINDOW_S = 120.0
#: Utterances, estimates, people and nodes that are kept at most: a foreign source could send any number.
_MOST = 400
#: Stamps of sound, or of bodies where there is no sound, that go back by more than this are of a new run, as of a bag
#: that begins anew; a voice or body of which nothing came for so long has no say in that [s].
_BACK_S = 2.0
#: Who was not told of or seen for so long is not there any more; a node that was silent for so long is stale [s].
_GONE_S, _STALE_S = 6.0, 3.5
#: Where no sound came for so long it is not loud any more [s].
_QUIET_S = 1.0
#: An utterance of which nothing came for so long is of a node that was killed: see Emotion.msg [s].
_LEFT_S = 10.0

#: What of an estimate and of its evidence is shown.
_OF_ESTIMATES = (
    "state", "label", "confidence", "probabilities", "label_set", "coverage", "valence", "arousal", "incongruent",
    "latency_s", "model_id",
)  # fmt: skip
_OF_EVIDENCE = ("modality", "available", "probabilities", "weight", "in_domain", "reason")

Item = dict[str, Any]


class Board:
    """Takes news from any thread; `news` gives what has changed since it was called last, `everything` all there is, in
    the same form, so that a page treats both alike.

    Times of what is shown are those of the data (`_s` keys, seconds of the clock that stamped them), so that a bag
    looks as a microphone does. `words`: whether what is said is shown; None while nobody has said so yet
    (`allow_words`), then it is kept but not given away. Where it is False, no word is even kept.
    """

    def __init__(self, *, words: bool | None = True, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: steady seconds, for what has become stale."""
        self._steady = clock
        self._lock = threading.Lock()
        self._words = words
        self._is_mute = words is False
        self._figures = BodyFigures()
        self._nodes: OrderedDict[str, Item] = OrderedDict()
        self._notices: dict[str, Any] = {}
        self._changed: set[tuple[str, str]] = set()
        self._level = -math.inf
        self._reset()

    # -- news, from any thread

    def utterance(self, event: UtteranceEvent) -> None:
        """Something is or was said."""
        item = {
            "id": event.utterance_id,
            "who": event.voice_id,
            "state": event.state.name,
            "is_final": event.transcript.is_final and event.state is UtteranceState.ENDED,
            "start_s": event.start_ns / NS_PER_S,
            "end_s": event.end_ns / NS_PER_S,
            "language": event.transcript.language,
        }
        said = {
            "text": event.transcript.text,
            "sure": event.transcript.confidence,
            "words": [{"text": word.text, "sure": word.confidence} for word in event.transcript.words],
            "translation": event.transcript.translation,
        }
        with self._lock:
            self._come("utterance", event.stamp_ns)
            kept = item | (said if self._words is not False else {})
            self._keep(self._utterances, "utterances", event.utterance_id, kept)

    def estimate(self, record: Record) -> None:
        """Somebody is judged: a record as `records.emotion_record` makes it."""
        who = person_of(record)
        start_s, end_s = seconds(record["speech_start"]), seconds(record["speech_end"])
        name = record["utterance_id"] or f"{who} {end_s:.3f}"
        item = {
            "id": name,
            "who": who,
            "body": record["body_id"],
            "start_s": start_s,
            "end_s": end_s,
            **{key: record[key] for key in _OF_ESTIMATES},
            "reason": record["abstain_reason"],
            "evidence": [{key: part[key] for key in _OF_EVIDENCE} for part in record["evidence"]],
        }
        with self._lock:
            self._come("estimate", round(seconds(record["header"]["stamp"]) * NS_PER_S))
            self._keep(self._estimates, "estimates", name, item)

    def person(self, fields: Mapping[str, Any]) -> None:
        """How somebody is now: the fields of `EmotionState` (see `conversions.state_to_fields`)."""
        labels = list(fields["labels"])
        usual = dict(zip(labels, fields["usual"], strict=False))
        item = {
            "id": fields["person_id"],
            "utterance": fields["last_utterance_id"],
            **{key: fields[key] for key in ("label", "confidence", "valence", "arousal", "evidence_age_s")},
            "probabilities": dict(zip(labels, fields["probabilities"], strict=False)),
            "for_s": max(0.0, seconds(fields["header"]["stamp"]) - seconds(fields["since"])),
            "usual": max(usual, key=lambda label: usual[label], default=""),
        }
        with self._lock:
            self._keep(self._people, "people", fields["person_id"], item)

    def skeleton(self, frame: SkeletonFrame) -> None:
        """A body is seen. Bodies are drawn when `news` is called."""
        with self._lock:
            self._come("skeleton", frame.stamp_ns, frame.body_id)
            self._seen_s = self._steady()
            self._figures.push(frame, self._seen_s)
            self._changed.add(("bodies", ""))

    def level(self, decibel: float, stamp_ns: int, voice_id: str = "") -> None:
        """How loud a voice's sound was until `stamp_ns` [dB of full scale]."""
        with self._lock:
            self._come("voice", stamp_ns, voice_id)
            self._level = max(self._level, decibel)
            self._level_s = self._steady()
            self._changed.add(("level", ""))

    def node(self, name: str, *, level: int, message: str, values: Mapping[str, str]) -> None:
        """A node reports, as `diagnostic_msgs/DiagnosticStatus` has it."""
        with self._lock:
            item = {"id": name, "level": level, "message": message, "values": dict(values), "is_stale": False}
            self._keep(self._nodes, "nodes", name, item)

    def notice(self, **values: Any) -> None:
        """Facts that stand alone: `listening`, `source`, `microphone`, ..."""
        with self._lock:
            changed = {key: value for key, value in values.items() if self._notices.get(key, ...) != value}
            self._notices |= changed
            self._changed |= {("notice", key) for key in changed}

    def allow_words(self, allowed: bool) -> None:
        """Whether what was said may be shown; if not, it is forgotten. A board that was made without words stays so."""
        with self._lock:
            if allowed == self._words or self._is_mute:
                return
            self._words = allowed
            if not allowed:
                for item in self._utterances.values():
                    for key in ("text", "sure", "words", "translation"):
                        item.pop(key, None)
            self._is_new = True

    def clear(self) -> None:
        """Forget what was heard, seen and believed."""
        with self._lock:
            self._reset()

    # -- for those who watch

    def news(self) -> Item:
        """What has changed since `news` was called last; 'all' is true where it replaces what was told before."""
        with self._lock:
            self._age()
            changed, self._changed = self._changed, set()
            is_new, self._is_new = self._is_new, False
            told = self._everything() if is_new else self._some(changed)
            self._level = -math.inf
        return _plain(told)

    def everything(self) -> Item:
        """All there is, for somebody who comes or has missed something."""
        with self._lock:
            told = self._everything()
        return _plain(told)

    # -- with the lock held

    def _reset(self) -> None:
        #: By kind and name of a source: its newest stamp [ns], and when that came [s].
        self._stamps: dict[str, dict[str, tuple[int, float]]] = {}
        self._heard_s = self._steady()
        self._utterances: OrderedDict[str, Item] = OrderedDict()
        self._estimates: OrderedDict[str, Item] = OrderedDict()
        self._people: OrderedDict[str, Item] = OrderedDict()
        self._figures.clear()
        self._seen_s = math.inf
        self._level = -math.inf
        self._level_s = math.inf
        self._changed.clear()
        self._is_new = True

    def _come(self, kind: str, stamp_ns: int, name: str = "") -> None:
        """Something of a source with this stamp came. Clocks of sources may differ: a new run has begun only where the
        newest stamp of all goes back."""
        now_s = self._steady()
        before = self._stamps.get(kind, {})
        stamps = {other: told for other, told in before.items() if now_s - told[1] <= _BACK_S}
        stamps[name] = (stamp_ns, now_s)
        leads = kind == "voice" or (kind == "skeleton" and "voice" not in self._stamps)
        if leads and before and (max(before.values())[0] - max(stamps.values())[0]) / NS_PER_S > _BACK_S:
            self._reset()
        self._stamps[kind] = stamps
        self._heard_s = now_s

    def _keep(self, items: OrderedDict[str, Item], kind: str, name: str, item: Item) -> None:
        items[name] = item | {"at_s": self._steady()}
        items.move_to_end(name)
        if len(items) > _MOST:
            oldest, _ = items.popitem(last=False)
            self._changed.discard((kind, oldest))  # which would only grow while nobody watches
        self._changed.add((kind, name))

    def _now_s(self) -> float | None:
        """When something came last, by the clock that stamps sound, else by that of bodies where there are such."""
        for kind in ("voice", "skeleton", "utterance", "estimate"):
            if kind in self._stamps:
                stamp_ns, came_s = max(self._stamps[kind].values())
                return stamp_ns / NS_PER_S + (self._heard_s - came_s)
        return None

    def _age(self) -> None:
        now_s, steady_s = self._now_s(), self._steady()
        for items in (self._utterances, self._estimates):
            for name in [name for name, item in items.items() if item["end_s"] < (now_s or 0.0) - WINDOW_S]:
                del items[name]
        for items, last in ((self._utterances, ("ENDED", "CANCELLED")), (self._estimates, ("FINAL", "RETRACTED"))):
            for name in [name for name, item in items.items() if steady_s - item["at_s"] > _LEFT_S]:
                if items[name]["state"] not in (*last, "CONTINUOUS"):
                    del items[name]
                    self._is_new = True
        for name in [name for name, item in self._people.items() if steady_s - item["at_s"] > _GONE_S]:
            del self._people[name]
            self._is_new = True
        if steady_s - self._seen_s > _GONE_S:
            self._figures.clear()
            self._seen_s = math.inf
            self._changed.add(("bodies", ""))
        if steady_s - self._level_s > _QUIET_S:
            self._level_s = math.inf
            self._changed.add(("level", ""))
        for name, item in self._nodes.items():
            if not item["is_stale"] and steady_s - item["at_s"] > _STALE_S:
                item["is_stale"] = True
                self._changed.add(("nodes", name))

    def _some(self, changed: set[tuple[str, str]]) -> Item:
        told: Item = {}
        for kind, items in self._kinds().items():
            if found := [self._shown(item) for name, item in items.items() if (kind, name) in changed]:
                told[kind] = found
        if ("bodies", "") in changed:
            told["bodies"] = self._figures.draw()
        if ("level", "") in changed:
            told["level_db"] = self._level
        told |= {key: self._notices[key] for kind, key in changed if kind == "notice"}
        return told | self._times() if told else told

    def _everything(self) -> Item:
        told: Item = {kind: [self._shown(item) for item in items.values()] for kind, items in self._kinds().items()}
        told |= {"all": True, "window_s": WINDOW_S, "colours": dict(COLOURS), "bodies": self._figures.draw()}
        told["level_db"] = self._level
        return told | self._notices | {"words": self._words} | self._times()

    def _kinds(self) -> dict[str, OrderedDict[str, Item]]:
        return {
            "utterances": self._utterances,
            "estimates": self._estimates,
            "people": self._people,
            "nodes": self._nodes,
        }

    def _shown(self, item: Item) -> Item:
        hidden = {"at_s"} if self._words else {"at_s", "text", "sure", "words", "translation"}
        return {key: value for key, value in item.items() if key not in hidden}

    def _times(self) -> Item:
        return {"now_s": self._now_s(), "quiet_s": self._steady() - self._heard_s}


def _plain(value: Any) -> Any:
    """The same for JSON: no number that is none, and no more digits than anybody sees."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    number = float(value)
    return round(number, 3) if math.isfinite(number) else None
