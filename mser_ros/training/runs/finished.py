"""What a finished run found and left, read from its folder: the one reader of every command that uses runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SettingsError
from ...evaluation.metrics import Scores, bracketed, score
from ...types import Modalities, subsets_of
from ..config.files import check_data, read_config, with_data
from ..config.settings import ExperimentConfig
from .folder import read_corpora
from .predictions import TRANSFER, UNMET, OutOfFold, subset_file
from .warm_start import weights_of

#: Where a run keeps what changed inputs are worth (`fit.robustness`).
ROBUSTNESS = "robustness.json"
#: The same of what a few clips of somebody are worth (`fit.household`).
HOUSEHOLD = "household.json"
#: Resamples of the bootstrap behind an interval.
_RESAMPLES = 1000


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
        return f"{100 * self.scores.values[name]:.1f} {bracketed(100 * low, 100 * high, '.1f')}"


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished run: its settings, what was predicted by set of modalities (all of them first), and the `corpora`
    behind its weights by name (see `folder.note_corpora`)."""

    folder: Path
    config: ExperimentConfig
    results: Mapping[Modalities, Result]
    corpora: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path, *, resamples: int = _RESAMPLES, moved: Mapping[str, str] | None = None) -> FinishedRun:
        """`moved`: where its corpora lie now, by name. Raises `SettingsError` for a folder that is no finished run."""
        config = with_data(read_config(folder), moved or {})
        corpora = read_corpora(folder)
        results = {}
        for subset in subsets_of(config.modalities):
            path = folder / subset_file(subset, config.modalities)
            if path.is_file() or subset == config.modalities:
                results[subset] = Result(OutOfFold.load(path), resamples)
        return cls(folder, config, results, corpora)

    @property
    def name(self) -> str:
        """Folders tell runs of one configuration apart."""
        return self.folder.resolve().name

    @property
    def modality(self) -> str:
        """Its only one, or the first."""
        return self.config.modalities[0]

    @property
    def all(self) -> Result:
        """What all of its modalities say together."""
        return self.results[self.config.modalities]

    def rows(self, subset: Modalities = ()) -> OutOfFold:
        """Predictions from these modalities, or from all. Raises `SettingsError` where the run has none of them."""
        subset = subset or self.config.modalities
        if subset not in self.results:
            return OutOfFold.load(self.folder / subset_file(subset, self.config.modalities))
        return self.results[subset].rows

    @property
    def transfer(self) -> OutOfFold | None:
        """What was predicted of each corpus by a model that learned from the others alone, if that was asked for."""
        path = self.folder / TRANSFER
        return OutOfFold.load(path) if path.is_file() else None

    def rows_of_strangers(self) -> OutOfFold:
        """Predictions of people whom the model had not met, and those of corpora that it had not met, if there are any:
        these as sources of their own."""
        if (unmet := self.transfer) is None:
            return self.rows()
        named = replace(unmet, source=np.char.add(unmet.source, UNMET))
        return OutOfFold.join([self.rows(), named])

    @property
    def in_domain(self) -> Mapping[str, Any]:
        """What was found of the judge of what is like the people learned from; nothing where there is none."""
        summary = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        return summary.get("in_domain", {})

    @property
    def robustness(self) -> Mapping[str, Any] | None:
        """What `mser robustness` found, by source and input, if it was asked."""
        return self._kept(ROBUSTNESS)

    @property
    def household(self) -> Mapping[str, Any] | None:
        """What `mser household` found, by source, if it was asked."""
        return self._kept(HOUSEHOLD)

    def _kept(self, name: str) -> Mapping[str, Any] | None:
        path = self.folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    @property
    def final_weights(self) -> Path:
        """The weights that the run ends with: those of everybody's model, or of the only fold."""
        return weights_of(self.folder, "final")

    @property
    def is_synthetic(self) -> bool:
        return any(entry["synthetic"] for entry in self.corpora.values())

    @property
    def learned_affect(self) -> bool:
        """Whether anything it learned was rated in valence and arousal: else its regression has learned nothing."""
        noted = [entry["affect"] for entry in self.corpora.values() if "affect" in entry]
        # Runs of earlier versions do not note it, but keep what was known of everybody they tested.
        return any(noted) if noted else bool(np.isfinite(self.rows().affect_truth).all(1).any())

    def synthetic(self, sources: Iterable[str]) -> bool:
        """Whether figures of these sources are."""
        return any(entry["synthetic"] for entry in self._tested(sources))

    def notes(self, sources: Iterable[str]) -> list[str]:
        """What a reader of figures of these sources must know."""
        return [entry["note"] for entry in self._tested(sources) if entry["note"]]

    def check_exportable(self) -> None:
        """Raise `SettingsError` where the run has no final model, or must not be given away."""
        folds = set(self.rows().fold.tolist())
        if not self.config.folds.final and len(folds) > 1:
            raise SettingsError(
                f"the run in {self.folder} has no final model, because folds.final is false: train it with "
                "folds.final=true in another folder (--run)"
            )
        barred = [name for name, entry in self.corpora.items() if entry["evaluation_only"]]
        if barred:
            raise SettingsError(
                f"the run in {self.folder} was trained on {', '.join(barred)}, which is for evaluation only"
            )

    def _tested(self, sources: Iterable[str]) -> list[Mapping[str, Any]]:
        return [self.corpora[name] for name in dict.fromkeys(source.split(":")[0] for source in sources)]


def read_runs(folders: Sequence[Path], moved: Mapping[str, str]) -> list[FinishedRun]:
    """As `FinishedRun.read`, of several. Raises `SettingsError` for a corpus in `moved` that none of them knows."""
    runs = [FinishedRun.read(folder, moved=moved) for folder in folders]
    if runs:
        check_data(moved, [run.config for run in runs], f"the run in {' or '.join(map(str, folders))}")
    return runs
