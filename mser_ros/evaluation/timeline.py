"""One picture of a conversation: the voice, what was said, what each modality and all together made of it."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..labels import COLOURS, UNKNOWN
from ..messages.records import seconds
from ..types import NS_PER_S, AudioChunk, SkeletonFrame

#: Resolution of the drawn voice [s] at first, and so many bins make it coarser.
_BIN_S, _BINS = 0.02, 30_000
#: Width of a final estimate's bar [s].
_FINAL_S = 0.3
#: Width of the figure per second, its margins, and the mean width of a letter of the transcript [inch].
_INCH_PER_S = 0.45
_MARGIN = 2.0
_LETTER = 0.062
#: From the edge of an utterance to its text [s].
_INSET_S = 0.05
#: Lines of a transcript that have room.
_LINES = 5


@dataclass
class Recording:
    """What the picture shows beside the estimates: how loud the voice was, in bins of `bin_s` that grow with the
    recording, and when the body was seen."""

    level: dict[int, float] = field(default_factory=dict)
    skeleton_s: list[float] = field(default_factory=list)
    bin_s: float = _BIN_S

    def add(self, data: AudioChunk | SkeletonFrame) -> None:
        """Note a piece of input."""
        if isinstance(data, AudioChunk):
            self._add_audio(data)
        else:
            self.skeleton_s.append(data.stamp_ns / NS_PER_S)

    def _add_audio(self, chunk: AudioChunk) -> None:
        """Keep the peaks of a chunk of any rate."""
        samples = np.abs(chunk.samples.astype(np.float32)).max(axis=1) / 32768
        step = max(1, round(self.bin_s * chunk.sample_rate))
        for first in range(0, len(samples), step):
            time_s = chunk.stamp_ns / NS_PER_S + first / chunk.sample_rate
            index = round(time_s / self.bin_s)
            self.level[index] = max(self.level.get(index, 0.0), float(samples[first : first + step].max()))
        if len(self.level) > _BINS:
            fine, self.level, self.bin_s = self.level, {}, 2 * self.bin_s
            for index, peak in fine.items():
                self.level[index // 2] = max(self.level.get(index // 2, 0.0), peak)


def limits(records: Sequence[Mapping[str, Any]], recording: Recording) -> tuple[float, float]:
    """When the first of what is known was heard or seen, and the last [s]."""
    times = [seconds(record["speech_start"]) for record in records] + recording.skeleton_s[:1]
    if recording.level:
        times += [index * recording.bin_s for index in (min(recording.level), max(recording.level))]
    ends = [*times, *(seconds(record["speech_end"]) for record in records), *recording.skeleton_s[-1:]]
    return min(times, default=0.0), max(ends, default=1.0)


def draw_timeline(records: Sequence[Mapping[str, Any]], recording: Recording, path: Path, *, title: str = "") -> None:
    """Write a PNG or SVG. `records`: emotion records (see `records.emotion_record`) in order."""
    from matplotlib.figure import Figure

    begin_s, end_s = limits(records, recording)
    width = float(np.clip((end_s - begin_s) * _INCH_PER_S, 9, 60))
    letters_per_s = (width - _MARGIN) / max(end_s - begin_s, 1.0) / _LETTER
    figure = Figure(figsize=(width, 6.8), layout="constrained")
    voice, classes, modalities = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [1.9, 1.6, 1.0]})
    finals = [record for record in records if record["state"] == "FINAL"]
    labels = list(records[0]["labels"]) if records else []

    _draw_voice(voice, finals, recording, begin_s, letters_per_s)
    _draw_classes(classes, records, labels, begin_s)
    _draw_modalities(modalities, finals, recording, begin_s, letters_per_s)
    voice.set_title(_plain(textwrap.shorten(title, 100)), loc="left", fontsize=11)
    modalities.set_xlabel("time [s]")
    modalities.set_xlim(0, max(end_s - begin_s, 1.0))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box for a letter is no news
        figure.savefig(path, dpi=110)


class _Bars:
    """Many bars that are drawn as one: a patch for each would take most of the time of a long recording."""

    def __init__(self) -> None:
        self._corners: list[list[tuple[float, float]]] = []
        self._styles: list[tuple[Any, Any, float]] = []

    def add(
        self,
        left: float,
        height: float,
        *,
        width: float,
        bottom: float,
        color: str,
        alpha: float,
        edge: str,
        line: float,
    ) -> None:
        """`edge` and `line`: colour and width of its outline."""
        from matplotlib.colors import to_rgba

        right, top = left + width, bottom + height
        self._corners.append([(left, bottom), (right, bottom), (right, top), (left, top)])
        self._styles.append((to_rgba(color, alpha), to_rgba(edge, alpha), line))

    def draw(self, axes: Any, *, hatch: str = "") -> None:
        """In the order in which they were added."""
        from matplotlib.collections import PolyCollection

        if self._corners:
            faces, edges, lines = zip(*self._styles, strict=True)
            axes.add_collection(
                PolyCollection(self._corners, facecolors=faces, edgecolors=edges, linewidths=lines, hatch=hatch or None)
            )


def _plain(text: str) -> str:
    """Text in which dollars are no mathematics."""
    return text.replace("$", r"\$")


def span(record: Mapping[str, Any], begin_s: float) -> tuple[float, float]:
    """When its utterance was said [s after `begin_s`]."""
    return seconds(record["speech_start"]) - begin_s, seconds(record["speech_end"]) - begin_s


def _draw_voice(
    axes: Any, finals: Iterable[Mapping[str, Any]], recording: Recording, begin_s: float, letters_per_s: float
) -> None:
    if recording.level:
        # Between stretches of sound lies silence, for years where a clock was set; it costs two points.
        heard = np.array(sorted(recording.level))
        gaps = np.flatnonzero(np.diff(heard) > 1)
        bins = np.sort(np.concatenate([heard, heard[gaps] + 1, heard[gaps + 1] - 1]))
        peaks = np.array([recording.level.get(int(index), 0.0) for index in bins])
        peaks = peaks / max(float(peaks.max()), 1e-6)
        axes.fill_between(bins * recording.bin_s - begin_s, -peaks, peaks, color="#444444", linewidth=0, zorder=2)
    for record in finals:
        start, end = span(record, begin_s)
        label = record["label"]
        axes.axvspan(start, end, color=COLOURS.get(label, "#CCCCCC"), alpha=0.35, zorder=1, linewidth=0)
        heading = label if label == UNKNOWN else f"{label}\n{record['confidence']:.0%}"
        axes.text(start + _INSET_S, 1.95, heading, fontsize=9, weight="bold", va="top", clip_on=True)
        lines = textwrap.wrap(record["transcript"], max(6, int((end - start) * letters_per_s))) or ["(no words)"]
        if len(lines) > _LINES:
            lines = [*lines[: _LINES - 1], lines[_LINES - 1] + " …"]
        axes.text(start + _INSET_S, -1.15, _plain("\n".join(lines)), fontsize=8, va="top", style="italic", clip_on=True)
    axes.set_ylim(-2.9, 2.05)
    axes.set_yticks([])
    axes.set_ylabel("voice, words")


def over_time(records: Iterable[Mapping[str, Any]], begin_s: float) -> Iterator[tuple[Mapping[str, Any], float, float]]:
    """Provisional and final estimates with the stretch in which each was the newest [s after `begin_s`]; a final one
    has the end of its utterance."""
    by_utterance: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        if record["state"] in ("PROVISIONAL", "FINAL"):
            by_utterance.setdefault(record["utterance_id"], []).append(record)
    for estimates in by_utterance.values():
        previous = start = span(estimates[0], begin_s)[0]
        # The silence that ends an utterance is not part of it, although provisional estimates reach into it.
        limit = span(estimates[-1], begin_s)[1] - _FINAL_S * (estimates[-1]["state"] == "FINAL")
        for record in estimates:
            _, end = span(record, begin_s)
            if record["state"] == "FINAL":
                previous = max(start, end - _FINAL_S)
            elif (end := min(end, limit)) <= previous:
                continue
            yield record, previous, end
            previous = end


def _draw_classes(axes: Any, records: Sequence[Mapping[str, Any]], labels: Sequence[str], begin_s: float) -> None:
    bars = _Bars()
    for record, start, end in over_time(records, begin_s):
        final = record["state"] == "FINAL"
        bottom = 0.0
        for label in labels:
            share = record["probabilities"].get(label, 0.0)
            bars.add(
                start,
                share,
                width=end - start,
                bottom=bottom,
                color=COLOURS.get(label, "#CCCCCC"),
                alpha=1.0 if final else 0.55,
                edge="black" if final else "white",
                line=0.8 if final else 0.4,
            )
            bottom += share
    bars.draw(axes)
    from matplotlib.patches import Patch

    axes.legend(
        handles=[Patch(color=COLOURS.get(label, "#CCCCCC"), label=label) for label in labels],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
    )
    axes.set_ylim(0, 1)
    axes.set_ylabel("probability\n(dark edge: final)")


def _draw_modalities(
    axes: Any, finals: Sequence[Mapping[str, Any]], recording: Recording, begin_s: float, letters_per_s: float
) -> None:
    names = [item["modality"] for item in finals[0]["evidence"]] if finals else ["speech", "text", "mocap"]
    told, missing = _Bars(), _Bars()
    for record in finals:
        start, end = span(record, begin_s)
        for item in record["evidence"]:
            row = names.index(item["modality"])
            best = max(item["probabilities"], key=item["probabilities"].get, default="") if item["available"] else ""
            (told if best else missing).add(
                start,
                0.7,
                width=end - start,
                bottom=row - 0.35,
                color=COLOURS.get(best, "#FFFFFF"),
                alpha=0.25 + 0.75 * item["weight"] if best else 1.0,
                edge="black",
                line=0.5,
            )
            why = "missing" if item["reason"] in ("NO_EVIDENCE", "NONE") else item["reason"].lower().replace("_", " ")
            said = best or textwrap.fill(why, max(6, int((end - start) * letters_per_s)), break_long_words=False)
            size = 8 if "\n" not in said else 6
            axes.text((start + end) / 2, row, said, ha="center", va="center", fontsize=size, clip_on=True)
    told.draw(axes)
    missing.draw(axes, hatch="///")
    if recording.skeleton_s:
        axes.plot(np.array(recording.skeleton_s) - begin_s, np.full(len(recording.skeleton_s), len(names)), "|k", ms=5)
        names = [*names, "body seen"]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
