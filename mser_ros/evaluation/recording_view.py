"""What the templates of a recording's page are given: numbers and words as people read them, and charts in SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np

from ..labels import COLOURS, UNKNOWN
from ..messages.records import Record, person_of
from . import bands
from .findings import Clip, Findings, Making, Track
from .timeline import limits, span

#: People whose state is drawn, at most.
_DRAWN = 8
#: Stamps from here on are dates: the beginning of 2001 [s].
_DATES_S = 978_307_200
#: What a reader calls them.
MODALITIES: Mapping[str, str] = {"speech": "voice", "text": "words", "mocap": "body"}
REASONS: Mapping[str, str] = {
    "TOO_SHORT": "too short",
    "TOO_QUIET": "too quiet",
    "CLIPPED": "distorted by clipping",
    "OVERLAP": "several voices at once",
    "NOT_SPEECH": "not a voice",
    "OUT_OF_DISTRIBUTION": "unlike what the model has learned from (out of domain)",
    "DISAGREEMENT": "voice, words and body contradict each other",
    "NO_EVIDENCE": "nothing to judge by",
    "UNKNOWN_LANGUAGE": "in a language that the model of words does not know",
    "FAILED": "an error came before the recognition",
    "SOURCE_LOST": "what gives it is gone",
}


def recording_view(found: Findings) -> dict[str, Any]:
    finals = [record for record in found.records if record["state"] == "FINAL"]
    retracted = {record["utterance_id"] for record in found.records if record["state"] == "RETRACTED"}
    shown = [record for record in found.records if record["utterance_id"] not in retracted]
    labels = list(shown[0]["labels"]) if shown else []
    begin_s, end_s = limits(shown, found.recording)
    utterances = [
        _utterance(number, record, found.clips.get(record["utterance_id"], Clip()), labels, begin_s)
        for number, record in enumerate(finals, 1)
    ]
    return {
        "title": found.title,
        "began": _date(begin_s),
        "length": clock(found.seconds),
        "classes": _classes([*labels, UNKNOWN]),
        "summary": _summary(found, finals, labels),
        "timeline": _timeline(found, shown, labels, begin_s, max(end_s - begin_s, 1.0)),
        "utterances": utterances,
        "people": sorted({item["person"] for item in utterances}),
        "whys": _whys(finals),
        "has_words": any(record["transcript"] for record in finals),
        "silent": found.silent,
        "making": found.making,
        "notes": found.notes,
        "dropped": found.dropped,
        "is_whole": found.is_whole,
    }


def archive_view(rows: Sequence[Mapping[str, Any]], *, labels: Sequence[str], making: Making) -> dict[str, Any]:
    """For `rows` as `write_index` takes them."""
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row["labels"])
    names = [*labels, *(name for name in total if name not in labels)]
    lines = [
        {
            **row,
            "length": clock(row["seconds"]),
            "counts": [row["labels"].get(name, 0) for name in names],
            "share": _percents([row["labels"].get(name, 0) for name in names]),
        }
        for row in rows
    ]
    return {
        "classes": _classes(names),
        "rows": lines,
        "totals": [total[name] for name in names],
        "failed": sum(bool(row["reason"]) for row in rows),
        "utterances": sum(total.values()),
        "heard": clock(sum(row["seconds"] for row in rows)),
        "making": making,
    }


def _classes(names: Sequence[str]) -> list[dict[str, str]]:
    return [{"name": name, "colour": COLOURS.get(name, "#CCCCCC")} for name in names]


def _utterance(number: int, record: Record, clip: Clip, labels: Sequence[str], begin_s: float) -> dict[str, Any]:
    start_s, end_s = span(record, begin_s)
    whys = [record["abstain_reason"]] if record["label"] == UNKNOWN else []
    whys += [f"{item['modality']}:{item['reason']}" for item in record["evidence"] if not item["available"]]
    return {
        "id": record["utterance_id"],
        "number": number,
        "person": person_of(record),
        "from": clock(start_s),
        "to": clock(end_s),
        "start_s": start_s,
        "end_s": end_s,
        "label": record["label"],
        "fill": _fill(record["label"], labels),
        "confidence": record["confidence"],
        "shares": _shares(record["probabilities"], labels),
        "label_set": record["label_set"],
        "coverage": record["coverage"],
        "valence": record["valence"],
        "arousal": record["arousal"],
        "reason": _reason(record["abstain_reason"]),
        "incongruent": record["incongruent"],
        "pieces": shaded(record["transcript"], clip.words),
        "transcript": record["transcript"],
        "language": clip.language,
        "translation": clip.translation,
        "sound": clip.sound,
        "whys": " ".join(whys),
        "evidence": [_evidence(item, labels) for item in record["evidence"]],
    }


def _evidence(item: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    best = max(item["probabilities"], key=item["probabilities"].get, default="")
    return {
        "name": MODALITIES.get(item["modality"], item["modality"]),
        "available": item["available"],
        "label": best,
        "fill": _fill(best, labels),
        "shares": _shares(item["probabilities"], labels),
        "weight": item["weight"],
        "in_domain": item["in_domain"],
        "age_s": item["age_s"],
        "model": item["model"],
        "reason": _reason(item["reason"]) or _reason("NO_EVIDENCE"),
    }


def _reason(name: str) -> str:
    return "" if name == "NONE" else REASONS.get(name, name.lower().replace("_", " "))


def _fill(label: str, labels: Sequence[str]) -> int:
    return labels.index(label) if label in labels else len(labels)


def _shares(probabilities: Mapping[str, float], labels: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"fill": index, "label": label, "percent": round(100 * probabilities[label], 1)}
        for index, label in enumerate(labels)
        if label in probabilities
    ]


def _percents(values: Sequence[float]) -> list[float]:
    total = sum(values)
    return [round(100 * value / total, 1) if total else 0.0 for value in values]


def _summary(found: Findings, finals: Sequence[Record], labels: Sequence[str]) -> dict[str, Any]:
    times: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for record in finals:
        start_s, end_s = span(record, 0.0)
        times[record["label"]] += max(0.0, end_s - start_s)  # type: ignore[assignment]
        counts[record["label"]] += 1
    spoken_s = sum(times.values())
    names = [*labels, UNKNOWN]
    return {
        "utterances": len(finals),
        "spoken": clock(spoken_s),
        "people": len({person_of(record) for record in finals}),
        "unknown": counts[UNKNOWN] / len(finals) if finals else 0.0,
        "labels": [
            {"fill": _fill(name, labels), "name": name, "count": counts[name], "time": clock(times[name]),
             "percent": round(100 * times[name] / spoken_s, 1) if spoken_s else 0.0}
            for name in names
        ],
        "reasons": [
            (_reason(name), count)
            for name, count in Counter(item["abstain_reason"] for item in finals if item["label"] == UNKNOWN).items()
        ],
        "incongruent": sum(record["incongruent"] for record in finals),
        "modalities": [_modality(name, finals) for name in _modalities(finals)],
        "states": [_state(track, names, labels) for track in found.tracks],
    }  # fmt: skip


def _modalities(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(item["modality"] for record in records for item in record["evidence"]))


def _modality(name: str, finals: Sequence[Record]) -> dict[str, Any]:
    items = [item for record in finals for item in record["evidence"] if item["modality"] == name]
    used = [item for item in items if item["available"]]
    why = Counter(item["reason"] for item in items if not item["available"])
    return {
        "name": MODALITIES.get(name, name),
        "used": len(used),
        "outside": why.pop("OUT_OF_DISTRIBUTION", 0),
        "others": [(_reason(reason) or _reason("NO_EVIDENCE"), count) for reason, count in why.items()],
        "weight": float(np.mean([item["weight"] for item in used])) if used else 0.0,
        "models": ", ".join(dict.fromkeys(item["model"] for item in items if item["model"])),
    }


def _state(track: Track, names: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    counts = Counter(track.labels)
    return {
        "person": track.person,
        "times": [
            {
                "fill": _fill(name, labels),
                "name": name,
                "time": clock(counts[name] * track.period_s),
                "percent": percent,
            }
            for name, percent in zip(names, _percents([counts[name] for name in names]), strict=True)
        ],
    }


def _timeline(
    found: Findings, shown: Sequence[Record], labels: Sequence[str], begin_s: float, length_s: float
) -> dict[str, Any]:
    lanes: list[dict[str, Any]] = [
        {"name": "utterances", "kind": "labels"},
        {"name": "loudness", "ink": bands.level(found.recording, begin_s)},
    ]
    for name in _modalities(shown):
        stretches, missing = bands.modality(shown, name, labels, begin_s)
        lane = {"name": MODALITIES.get(name, name), "kind": name, "paths": bands.stacked(stretches)}
        lanes.append(lane | {"missing": bands.boxes(missing)})
    if paths := bands.stacked(bands.provisional(shown, labels, begin_s)):
        lanes.append({"name": "while speaking", "paths": paths})
    lanes.append({"name": "fused", "kind": "fused", "paths": bands.stacked(bands.fused(shown, labels, begin_s))})
    for track in found.tracks[:_DRAWN]:
        lanes.append({"name": f"state {track.person}".strip(), "paths": bands.stacked(_stretches(track, begin_s))})
    if seen := bands.body_seen(found.recording, begin_s):
        lanes.append({"name": "body seen", "kind": "thin", "ink": bands.boxes(seen)})
    return {
        "lanes": lanes,
        "units": round(length_s * 100),
        "length_s": round(length_s, 2),
        "undrawn": max(0, len(found.tracks) - _DRAWN),
    }


def _stretches(track: Track, begin_s: float) -> Iterable[bands.Stretch]:
    group = max(1, -(-len(track.times_s) // bands.COLUMNS))
    for first in range(0, len(track.times_s), group):
        part = slice(first, first + group)
        times_s = track.times_s[part]
        known = float(np.mean([label != UNKNOWN for label in track.labels[part]]))
        yield (
            times_s[0] - begin_s,
            times_s[-1] + track.period_s - begin_s,
            track.shares[part].mean(axis=0).tolist(),
            known,
        )


def _whys(finals: Sequence[Record]) -> list[dict[str, Any]]:
    """What can be filtered by: why estimates abstain, and why a modality was not used."""
    abstained = Counter(record["abstain_reason"] for record in finals if record["label"] == UNKNOWN)
    groups = [{"title": "unknown, because", "items": [(name, _reason(name)) for name in sorted(abstained)]}]
    for name in _modalities(finals):
        reasons = sorted(
            {
                item["reason"]
                for record in finals
                for item in record["evidence"]
                if item["modality"] == name and not item["available"]
            }
        )
        items = [(f"{name}:{reason}", _reason(reason) or _reason("NO_EVIDENCE")) for reason in reasons]
        groups.append({"title": f"{MODALITIES.get(name, name)} not used, because", "items": items})
    return [group for group in groups if group["items"]]


def _date(seconds: float) -> str:
    if seconds < _DATES_S:
        return ""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return ""


def clock(seconds: float) -> str:
    """A length or a place in a recording, as players show it."""
    tenths = round(10 * max(0.0, seconds))
    if tenths < 36_000:
        return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"
    return f"{tenths // 36_000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}"


def shaded(transcript: str, words: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """A transcript in pieces, each with its confidence: -1 for what lies between the words and for words without one.

    Words that the transcript does not hold, in their order, are left out: it is what the estimate rests on.
    """
    pieces: list[tuple[str, float]] = []
    at = 0
    for text, confidence in words:
        word = text.strip()
        place = transcript.find(word, at) if word else -1
        if place < 0:
            continue
        if place > at:
            pieces.append((transcript[at:place], -1.0))
        pieces.append((word, confidence))
        at = place + len(word)
    return [*pieces, (transcript[at:], -1.0)] if at < len(transcript) else pieces
