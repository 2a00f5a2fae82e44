"""Out-of-fold predictions: what a model says of people it has never seen, kept with every run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..errors import SettingsError
from ..labels import LABELS


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row per item: its identity (str arrays), `label`: int64 (N,), `logits`: float32 (N, C).

    `source` names the corpus and its options, e.g. 'egait:perceived'; `cluster` the bootstrap's unit.
    """

    source: np.ndarray
    item_id: np.ndarray
    person: np.ndarray
    cluster: np.ndarray
    fold: np.ndarray
    label: np.ndarray
    logits: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def select(self, rows: np.ndarray) -> Predictions:
        """Some rows, by mask or index."""
        return Predictions(*(getattr(self, item.name)[rows] for item in fields(self)))

    @property
    def sources(self) -> list[str]:
        return sorted(set(self.source.tolist()))

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **{item.name: getattr(self, item.name) for item in fields(self)})

    @staticmethod
    def load(path: Path) -> Predictions:
        """Raises `SettingsError` where the file is missing."""
        if not path.is_file():
            raise SettingsError(f"there are no predictions {path}: finish the run with 'mser train'")
        with np.load(path, allow_pickle=False) as stored:
            return Predictions(**{item.name: stored[item.name] for item in fields(Predictions)})

    @staticmethod
    def join(parts: list[Predictions]) -> Predictions:
        return Predictions(
            *(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Predictions))
        )


def unweighted_recall(labels: np.ndarray, guesses: np.ndarray) -> float:
    """Mean recall over the classes that occur (UA, UAR); chance is 1 / classes."""
    return float(np.mean([(guesses[labels == label] == label).mean() for label in np.unique(labels)]))


def confusion_picture(labels: np.ndarray, guesses: np.ndarray, title: str, path: Path) -> None:
    """Row-normalised confusion matrix as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = np.zeros((len(LABELS), len(LABELS)), int)
    np.add.at(counts, (labels, guesses), 1)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(4.2, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(LABELS)):
        for column in range(len(LABELS)):
            axes.text(column, row, f"{share[row, column]:.2f}\n{counts[row, column]}", ha="center", va="center",
                      fontsize=8, color="white" if share[row, column] > 0.5 else "black")  # fmt: skip
    axes.set_xticks(range(len(LABELS)), LABELS)
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.set_xlabel("said")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize=9)
    figure.savefig(path, dpi=110)
