"""Pictures of an evaluation, drawn without a display."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..labels import LABELS
from .metrics import ECE_BINS, Predictions, Scores, equal_count_bins, risk_coverage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def confusion_matrix(scores: Scores, path: Path, *, title: str = "") -> None:
    """Recall of each class in its row, with counts; the last column appears where something had no answer."""
    counts = scores.confusion if scores.unanswered else scores.confusion[:, :-1]
    columns = [*scores.labels, "no answer"][: counts.shape[1]]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(title)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        text = f"{value:.2f}\n{counts[row, column]}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if value > 0.5 else "black")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(scores.labels)), scores.labels)
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    figure.savefig(path)


def reliability_diagram(predictions: Predictions, path: Path, *, title: str = "") -> None:
    """Accuracy over confidence in bins of equal count, each with the interval of its accuracy (Wilson 1927)."""
    figure, axes = _figure(title)
    _draw_reliability(axes, predictions)
    figure.savefig(path)


def risk_coverage_curve(predictions: Predictions, path: Path, *, title: str = "") -> None:
    """Share of errors over the share of items that are answered, the most confident first."""
    figure, axes = _figure(title)
    _draw_risk(axes, predictions)
    figure.savefig(path)


def trust(models: Mapping[str, Predictions], path: Path) -> None:
    """The reliability diagram and the risk-coverage curve of each model, one above the other."""
    figure = _blank(2.4 * len(models), 4.8)
    grid = figure.subplots(2, len(models), squeeze=False)
    for column, (name, predictions) in enumerate(models.items()):
        _draw_reliability(grid[0, column], predictions)
        grid[0, column].set_title(name, fontsize=9)
        _draw_risk(grid[1, column], predictions)
        grid[1, column].set_ylim(0, 0.75)
        for axes in grid[:, column]:
            axes.tick_params(labelsize=7)
            if column:
                axes.set_ylabel("")
                axes.tick_params(labelleft=False)
    figure.savefig(path)


def _draw_reliability(axes: Axes, predictions: Predictions) -> None:
    answered = predictions.select(predictions.answered)
    hit, confidence = answered.guesses == answered.truth, answered.confidence
    bin_of = equal_count_bins(confidence, answered.answered, ECE_BINS)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    for number in np.unique(bin_of):
        inside = bin_of == number
        low, high = _wilson(int(hit[inside].sum()), int(inside.sum()))
        mean = float(confidence[inside].mean())
        axes.plot([mean, mean], [low, high], color="tab:blue", linewidth=1)
        axes.plot(mean, float(hit[inside].mean()), "o", color="tab:blue", markersize=4)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")


def _draw_risk(axes: Axes, predictions: Predictions) -> None:
    coverage, risk = risk_coverage(predictions)
    axes.plot(coverage, risk)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, max(float(risk.max()), 0.05) * 1.05)
    axes.set_xlabel("coverage")
    axes.set_ylabel("risk (share of errors)")


def intervals(rows: Sequence[tuple[str, float, float, float]], path: Path, *, title: str, label: str) -> None:
    """A line for each name: value, low and high end (NaN where there is no interval), all 0..1; the first row on
    top."""
    figure, axes = _figure(title, height=0.9 + 0.26 * len(rows), width=6.4)
    places = np.arange(len(rows))[::-1]
    for place, (_, value, low, high) in zip(places, rows, strict=True):
        axes.plot([low, high], [place, place], color="tab:blue", linewidth=2)
        axes.plot(value, place, "o", color="tab:blue", markersize=5)
        end = np.fmax(value, high)
        axes.annotate(f"{value:.2f}", (end, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1 / len(LABELS), color="0.6", linewidth=1, linestyle=":")
    axes.set_yticks(places, [name for name, *_ in rows], fontsize=8)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"{label}, 95 % interval; dotted: chance")
    axes.grid(axis="x", color="0.9")
    figure.savefig(path)


def learning_curves(
    curves: Mapping[str, Sequence[tuple[float, float, float | None, float | None]]], path: Path, *, title: str = ""
) -> None:
    """UA with its interval over the number of people learned from: (people, UA, low end, high end), by name."""
    figure, axes = _figure(title, width=5.4)
    everybody = sorted({people for points in curves.values() for people, *_ in points})
    for number, (name, points) in enumerate(curves.items()):
        people, ua, low, high = np.array(points, float).T
        moved = people * 1.02 ** (number - (len(curves) - 1) / 2)  # so that error bars stand side by side
        axes.errorbar(moved, ua, [ua - low, high - ua], marker="o", markersize=4, capsize=3, linewidth=1, label=name)
    axes.axhline(1 / len(LABELS), color="0.6", linewidth=1, linestyle=":")
    axes.set_xscale("log", base=2)
    axes.set_xticks(everybody, [f"{people:g}" for people in everybody])
    axes.minorticks_off()
    axes.set_xlabel("people learned from (bars: 95 % intervals; dotted: chance)")
    axes.set_ylabel("UA")
    axes.legend(fontsize=8)
    figure.savefig(path)


def _figure(title: str, *, width: float = 4.4, height: float = 3.8) -> tuple[Figure, Axes]:
    figure = _blank(width, height)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=9)
    return figure, axes


def _blank(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a proportion."""
    z = 1.96
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / count + spread / count / 4) / (1 + spread)
    return float(middle - half), float(middle + half)
