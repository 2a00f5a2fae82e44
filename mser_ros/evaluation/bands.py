"""Bands of a timeline as paths of SVG: few bytes for hours, and nothing that a reader needs a library for.

A unit of x is a hundredth of a second, the height of a band 100; a page stretches both as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .timeline import Recording, over_time, span

#: Columns that the voice and a person's state are drawn with, at most: as many as a wide screen has.
COLUMNS = 2000
_PER_S = 100
#: Strengths that are told apart.
_STEPS = 4
#: A body that was not seen for so long was away [s].
_AWAY_S = 0.5

#: From, to [s], shares of the classes (they sum to 1), and how strongly to draw them (0..1).
Stretch = tuple[float, float, Sequence[float], float]


def stacked(stretches: Iterable[Stretch]) -> list[dict[str, Any]]:
    """Shares one upon the other: a path for each class (`fill`, its number) and strength (`opacity`)."""
    found: dict[tuple[int, int], list[str]] = {}
    for begin_s, end_s, shares, strength in stretches:
        level = round(min(max(strength, 0.0), 1.0) * _STEPS)
        edges = np.rint(np.concatenate([[0.0], np.cumsum(shares)]) * 100).astype(int)
        for index, (top, bottom) in enumerate(pairwise(edges)):
            if bottom > top:
                found.setdefault((index, level), []).append(_box(begin_s, end_s, int(top), int(bottom)))
    return [
        {"fill": index, "opacity": round(0.25 + 0.75 * level / _STEPS, 2), "d": "".join(boxes)}
        for (index, level), boxes in sorted(found.items())
    ]


def boxes(stretches: Iterable[tuple[float, float]]) -> str:
    """One path over the whole height."""
    return "".join(_box(begin_s, end_s, 0, 100) for begin_s, end_s in stretches)


def level(recording: Recording, begin_s: float) -> str:
    """How loud the voice was, one path around the middle."""
    if not recording.level:
        return ""
    first, last = min(recording.level), max(recording.level)
    bins = max(1, -(-(last - first + 1) // COLUMNS))
    columns: dict[int, float] = {}
    for index, peak in recording.level.items():
        column = (index - first) // bins
        columns[column] = max(columns.get(column, 0.0), peak)
    loudest = max(max(columns.values()), 1e-6)
    width_s = bins * recording.bin_s
    found = []
    for column, peak in sorted(columns.items()):
        half = round(50 * peak / loudest)
        if half:
            start_s = (first + column * bins) * recording.bin_s - begin_s
            found.append(_box(start_s, start_s + width_s, 50 - half, 50 + half))
    return "".join(found)


def body_seen(recording: Recording, begin_s: float) -> list[tuple[float, float]]:
    """When there was a body [s]."""
    found: list[tuple[float, float]] = []
    for time_s in sorted(recording.skeleton_s):
        at_s = time_s - begin_s
        if found and at_s - found[-1][1] <= _AWAY_S:
            found[-1] = (found[-1][0], at_s)
        else:
            found.append((at_s, at_s))
    return found


def fused(records: Sequence[Mapping[str, Any]], labels: Sequence[str], begin_s: float) -> list[Stretch]:
    """What final and continuous estimates say; those that abstain faintly."""
    return [
        (*span(record, begin_s), _shares(record["probabilities"], labels), float(record["abstain_reason"] == "NONE"))
        for record in records
        if record["state"] in ("FINAL", "CONTINUOUS")
    ]


def provisional(records: Sequence[Mapping[str, Any]], labels: Sequence[str], begin_s: float) -> list[Stretch]:
    """What was thought while people still spoke."""
    return [
        (start, end, _shares(record["probabilities"], labels), float(record["abstain_reason"] == "NONE"))
        for record, start, end in over_time(records, begin_s)
        if record["state"] == "PROVISIONAL"
    ]


def modality(
    records: Sequence[Mapping[str, Any]], name: str, labels: Sequence[str], begin_s: float
) -> tuple[list[Stretch], list[tuple[float, float]]]:
    """What one modality says by itself, as strongly as it counts; and where it could not be used."""
    found: list[Stretch] = []
    missing = []
    for record in records:
        if record["state"] not in ("FINAL", "CONTINUOUS"):
            continue
        for item in record["evidence"]:
            if item["modality"] != name:
                continue
            if item["available"]:
                found.append((*span(record, begin_s), _shares(item["probabilities"], labels), item["weight"]))
            elif record["state"] == "FINAL":
                missing.append(span(record, begin_s))
    return found, missing


def _shares(probabilities: Mapping[str, float], labels: Sequence[str]) -> list[float]:
    return [probabilities.get(label, 0.0) for label in labels]


def _box(begin_s: float, end_s: float, top: int, bottom: int) -> str:
    x = round(begin_s * _PER_S)
    width = max(1, round(end_s * _PER_S) - x)
    return f"M{x} {top}h{width}v{bottom - top}h-{width}z"
