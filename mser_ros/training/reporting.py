"""`mser report`: one page that holds runs against the papers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import SettingsError
from ..evaluation.comparison import paired_bootstrap
from ..evaluation.metrics import Predictions, Scores, score
from .config import ExperimentConfig
from .config_files import read_config
from .experiment import CORPORA
from .predictions import PREDICTIONS, OutOfFold, subset_file, subsets_of
from .published import BARS, PAPERS


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its settings, out-of-fold predictions by set of modalities (all of them first), its corpora."""

    folder: Path
    config: ExperimentConfig
    predictions: dict[tuple[str, ...], OutOfFold]
    synthetic: bool

    @property
    def all(self) -> OutOfFold:
        return next(iter(self.predictions.values()))


def read_run(folder: Path) -> Run:
    """Raises `SettingsError` for a folder that is no finished run."""
    config = read_config(folder)
    modalities = config.modalities
    predictions = {modalities: OutOfFold.load(folder / PREDICTIONS)}
    for subset in subsets_of(modalities)[1:]:
        if (folder / subset_file(subset, modalities)).is_file():
            predictions[subset] = OutOfFold.load(folder / subset_file(subset, modalities))
    corpora = json.loads((folder / CORPORA).read_text(encoding="utf-8")) if (folder / CORPORA).is_file() else {}
    return Run(folder, config, predictions, any(entry["synthetic"] for entry in corpora.values()))


def write_report(folders: Sequence[Path], path: Path, *, resamples: int = 1000) -> None:
    """Write the page, and the confusion matrices into a folder beside it. Every figure is computed here, from stored
    out-of-fold predictions; the published ones are marked as such."""
    runs = [read_run(folder) for folder in folders]
    pictures = path.with_name(f"{path.stem}_pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    lines = ["# Runs beside the papers", "", *_preface(runs)]
    told: set[str] = set()
    for title, rows in PAPERS.items():
        table = []
        for row in rows:
            system, _, subset = row.system.partition(":")
            for run in runs:
                if not run.config.name.endswith(f"_{system}") and run.config.name != system:
                    continue
                wanted = tuple(subset.split("+")) if subset else run.config.modalities
                if wanted in run.predictions:
                    told.add(run.config.name)
                    cells = _cells(run, run.predictions[wanted], resamples)
                    table.append(f"| {row.title} | {row.published} | {row.protocol} | {cells} |")
        if table:
            lines += [f"## {title}", "", _HEAD, *table, ""]
    others = [run for run in runs if run.config.name not in told]
    if others:
        lines += ["## Other runs", "", _HEAD]
        lines += [f"| {run.config.name} | – | – | {_cells(run, run.all, resamples)} |" for run in others]
        lines.append("")
    for run in runs:
        if len(run.predictions) > 1:
            lines += _subsets(run, runs, resamples)
    lines += _pictures(runs, pictures)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


_HEAD = (
    "| system | published | its protocol | run | measured WA | measured UA | items, people | our protocol |\n"
    "|---|---|---|---|---|---|---|---|"
)


def _preface(runs: Sequence[Run]) -> list[str]:
    lines = [
        "Written by `mser report`. WA: weighted accuracy, the share of utterances that are right; UA: unweighted",
        "average recall over the classes. Each measured figure is from out-of-fold predictions, with its 95 % interval",
        "by bootstrap over people (or the finest unit that the corpus names). Published figures are the papers', or",
        "their authors' notebooks', on 4-class IEMOCAP.",
        "",
    ]
    if any(run.synthetic for run in runs):
        lines += [
            "**Synthetic data: measured figures marked \\* are on the pseudo-multimodal corpus**, in which a clip, a",
            "comment and a walk of different people with the same label are put together. They show that the systems",
            "train and what fusing gains when modalities are independent, with small stand-in encoders. They do not",
            "compare with the published figures, which are on IEMOCAP.",
            "",
        ]
    lines += ["Today's bars on IEMOCAP with leave-one-session-out folds and a separate validation session: "]
    return [*lines, *(f"- {name}: {value}" for name, value in BARS), ""]


def _cells(run: Run, rows: OutOfFold, resamples: int) -> str:
    scores = score(rows.predictions(), resamples=resamples)
    star = "\\*" if run.synthetic else ""
    wa, ua = (f"{_percent(scores, name)}{star}" for name in ("wa", "ua"))
    people = len({person for joined in rows.person for person in str(joined).split(" + ")})
    return f"`{run.config.name}` | {wa} | {ua} | {len(rows)}, {people} | {_protocol(run.config, rows)}"


def _percent(scores: Scores, name: str) -> str:
    low, high = scores.intervals[name]
    return f"{100 * scores.values[name]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _protocol(config: ExperimentConfig, rows: OutOfFold) -> str:
    """The split in words, from the settings of the run."""
    folds = config.folds
    scheme = {"people": "folds of people", "group": "leave one group out", "split": "the corpus' own sets"}[
        folds.scheme
    ]
    count = len(set(rows.fold.tolist()))
    chosen = "**epoch chosen on the test set**" if folds.validation == "test" else "separate validation fold"
    return f"{scheme}, {count} fold{'s' if count > 1 else ''}, {chosen}" + (f"; {config.notes}" if config.notes else "")


def _subsets(run: Run, runs: Sequence[Run], resamples: int) -> list[str]:
    """What is lost when modalities are missing, against the best single model of one of those that are left."""
    single = {other.config.modalities[0]: other for other in runs if len(other.config.modalities) == 1}
    lines = [
        f"## `{run.config.name}` when modalities are missing",
        "",
        "| modalities | UA | against the best model trained on one of them alone | difference in points |",
        "|---|---|---|---|",
    ]
    for subset, rows in run.predictions.items():
        ua = _percent(score(rows.predictions(), resamples=resamples), "ua")
        rivals = [other for name, other in single.items() if name in subset]
        best = max(rivals, key=lambda other: _ua(_aligned(other.all, rows)), default=None)
        cells = "– | –"
        if best is not None and len(rival := _aligned(best.all, rows)):
            gap = paired_bootstrap(rival, rows.predictions(), resamples=resamples)
            cells = f"`{best.config.name}` | {100 * gap.value:+.1f} [{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
        lines.append(f"| {' + '.join(subset)} | {ua} | {cells} |")
    return [*lines, ""]


def _aligned(rows: OutOfFold, like: OutOfFold) -> Predictions:
    """The predictions of one run for the items of another, in their order; empty where they do not hold the same."""
    place = {key: index for index, key in enumerate(zip(rows.source.tolist(), rows.item_id.tolist(), strict=True))}
    order = [place.get(key, -1) for key in zip(like.source.tolist(), like.item_id.tolist(), strict=True)]
    if min(order, default=-1) < 0:
        return rows.select(np.zeros(len(rows), bool)).predictions()
    return rows.select(np.array(order)).predictions()


def _ua(predictions: Predictions) -> float:
    return score(predictions, resamples=0).values["ua"] if len(predictions) else -1.0


def _pictures(runs: Sequence[Run], folder: Path) -> list[str]:
    lines = ["## Confusion matrices", ""]
    for run in runs:
        found = sorted(run.folder.glob("confusion_*.png"))
        if not found:
            raise SettingsError(f"{run.folder} has no confusion matrices: finish the run with 'mser train'")
        for picture in found:
            name = f"{run.config.name}_{picture.stem.removeprefix('confusion_')}.png"
            shutil.copyfile(picture, folder / name)
            lines += [f"![{run.config.name}, out of fold]({folder.name}/{name})"]
    return lines
