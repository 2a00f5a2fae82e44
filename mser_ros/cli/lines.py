"""One emotion as one readable line of a terminal, and numbers of things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from ..labels import COLOURS, UNKNOWN
from ..messages.records import seconds

_BLOCKS = " ▁▂▃▄▅▆▇█"
_LETTERS = {"speech": "S", "text": "T", "mocap": "M"}

LEGEND = (
    "time, utterance, state, label; a bar each for {labels}; S speech, T text, M mocap (· missing, "
    "? unlike what the model has learned from); words; latency"
)


def counted(number: int, thing: str) -> str:
    """`1 utterance`, `2 utterances`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def emotion_line(record: Mapping[str, Any], *, begin_s: float = 0.0) -> Text:
    """A record as `records.emotion_record` makes it: time, utterance, state, label, bars, modalities, words."""
    line = Text(f"{seconds(record['header']['stamp']) - begin_s:8.2f} s  ", style="dim")
    line.append(f"{record['utterance_id'].rsplit('-', 1)[-1]:>3} ", style="dim")
    final = record["state"] == "FINAL"
    line.append(f"{record['state'].lower():<12}", style="bold" if final else "dim")
    label = record["label"]
    colour = COLOURS.get(label, "#FFFFFF")
    line.append(f"{label:<8}", style=f"bold {colour}" if final else colour)
    line.append(f"{record['confidence']:4.0%}  " if label != UNKNOWN else "   –  ")
    nothing_known = len(set(record["probabilities"].values())) == 1
    for name, value in record["probabilities"].items():
        line.append(" " if nothing_known else _bar(value), style=COLOURS.get(name, ""))
        line.append(("– " if nothing_known else f"{value:3.0%} ").rjust(5), style="dim")
    for item in record["evidence"]:
        letter = _LETTERS.get(item["modality"], item["modality"][:1].upper())
        missing = "?" if item["in_domain"] >= 0 else "·"
        line.append(letter if item["available"] else missing, style="bold" if item["available"] else "dim")
    if record["abstain_reason"] != "NONE":
        line.append(f"  ({record['abstain_reason'].lower().replace('_', ' ')})", style="dim")
    if record["transcript"]:
        line.append(f"  “{record['transcript']}”", style="italic")
    if record["latency_s"] >= 0:
        line.append(f"  {record['latency_s'] * 1000:.0f} ms", style="dim")
    return line


def _bar(value: float) -> str:
    return _BLOCKS[min(8, max(0, round(value * 8)))]
