"""What a finished run found, read from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...evaluation.metrics import Scores, score
from ..config.settings import ExperimentConfig
from ..config.files import read_config
from .predictions import OutOfFold, subset_file, subsets_of
from .folder import read_corpora


@dataclass(frozen=True, eq=False)
class Result:
    """Out-of-fold predictions of one run from one set of modalities, and how good they are."""

    rows: OutOfFold
    resamples: int

    @cached_property
    def scores(self) -> Scores:
        return score(self.rows.predictions(), resamples=self.resamples)

    def percent(self, name: str) -> str:
        low, high = self.scores.intervals[name]
        return f"{100 * self.scores.values[name]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its settings, and its results by set of modalities (all of them first)."""

    folder: Path
    config: ExperimentConfig
    results: dict[tuple[str, ...], Result]
    synthetic: bool

    @property
    def name(self) -> str:
        """Folders tell runs of one configuration apart."""
        return self.folder.resolve().name

    @property
    def star(self) -> str:
        """Marks what was measured on synthetic data."""
        return "\\*" if self.synthetic else ""

    def title(self, source: str) -> str:
        return f"{self.name} on {source}" + (" (synthetic)" if self.synthetic else "")

    @property
    def all(self) -> Result:
        return self.results[self.config.modalities]


def read_run(folder: Path, *, resamples: int) -> Run:
    """Raises `SettingsError` for a folder that is no finished run."""
    config = read_config(folder)
    results = {}
    for subset in subsets_of(config.modalities):
        path = folder / subset_file(subset, config.modalities)
        if path.is_file() or subset == config.modalities:
            results[subset] = Result(OutOfFold.load(path), resamples)
    return Run(folder, config, results, any(entry["synthetic"] for entry in read_corpora(folder).values()))
