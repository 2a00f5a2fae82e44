"""`mser report`: one page that holds runs against the papers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ...errors import SettingsError
from ...evaluation.comparison import Difference, paired_bootstrap
from ...evaluation.concordance import concordance
from ...evaluation.metrics import Predictions, bracketed, score
from ...evaluation.plots import confusion_matrix, intervals
from ..progress import track
from ..runs.finished import FinishedRun
from ..runs.folder import read_environments
from ..runs.predictions import OutOfFold
from .published import BARS, PAPERS, Row

#: A set of modalities may cost this much beside the best model of one of them: one point.
TOLERANCE = 0.01

_HEAD = (
    "| system | published | its protocol | run | measured WA | measured UA | corpus: items, people | our protocol |\n"
    "|---|---|---|---|---|---|---|---|"
)


def write_report(folders: Sequence[Path], path: Path, *, resamples: int = 1000) -> None:
    """Write the page, and its pictures into a folder beside it. Every figure is computed here, from stored out-of-fold
    predictions; the published ones are marked as such. Raises `SettingsError` for a folder that is no finished run."""
    runs = [FinishedRun.read(folder, resamples=resamples) for folder in folders]
    names = [run.name for run in runs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingsError(f"two runs are called {twice[0]}: give one of the folders another name")
    pictures = path.with_name(f"{path.stem}_pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    for run in track(runs, "bootstrap"):
        for result in run.results.values():
            _ = result.scores
    lines = ["# Runs beside the papers", "", *_preface(runs), *_overview(runs, pictures)]
    placed: set[str] = set()
    for title, rows in PAPERS.items():
        found = [(row, run) for row in rows for run in runs if _is_of(run, row)]
        if found:
            lines += [f"## {title}", "", _HEAD, *(_line(row, run) for row, run in found), ""]
            placed |= {run.name for _, run in found}
    others = [run for run in runs if run.name not in placed]
    if others:
        none = Row("", (), "–", "–", "–")
        lines += ["## Other runs", "", _HEAD, *(_line(none, run) for run in others), ""]
    for run in runs:
        if run.config.model.fusion.modality_dropout:
            lines += _subsets(run, runs, resamples)
    lines += _affect(runs, resamples)
    lines += _code(runs)
    lines += _matrices(runs, pictures)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _is_of(run: FinishedRun, row: Row) -> bool:
    """Whether this is the row's system, trained on the row's modalities."""
    named = run.config.name == row.system or run.config.name.endswith(f"_{row.system}")
    return named and row.modalities in ((), run.config.modalities)


def _star(run: FinishedRun) -> str:
    """Marks what was measured on synthetic data."""
    return "\\*" if run.is_synthetic else ""


def _title(run: FinishedRun, source: str) -> str:
    return f"{run.name} on {source}" + (" (synthetic)" if run.is_synthetic else "")


def _preface(runs: Sequence[FinishedRun]) -> list[str]:
    lines = [
        "Written by `mser report`. WA: weighted accuracy, the share of utterances that are right; UA: unweighted",
        "average recall over the classes; both in per cent. Each measured figure is from out-of-fold predictions, with",
        "its 95 % interval by bootstrap over people (or the finest unit that the corpus names). Published figures are",
        "the papers', in brackets that of the last epoch where the authors' notebooks log it, on 4-class IEMOCAP.",
        "",
    ]
    if any(run.is_synthetic for run in runs):
        lines += [
            "**Synthetic data: measured figures marked \\* are on the pseudo-multimodal corpus**, in which a clip, a",
            "comment and a walk of different people with the same label are put together. They show that the systems",
            "train and what fusing gains when modalities are independent, with small stand-in encoders. They do not",
            "compare with the published figures, which are on IEMOCAP.",
            "",
        ]
    lines += ["Single encoders on IEMOCAP today, sessions left out in turn, another one for validation:", ""]
    return [*lines, *(f"- {name}: {value}" for name, value in BARS), ""]


def _overview(runs: Sequence[FinishedRun], pictures: Path) -> list[str]:
    rows = []
    for run in runs:
        low, high = run.all.scores.intervals["ua"]
        name = run.name + (" *" if run.is_synthetic else "")
        name += " (chosen on the test set)" if run.config.folds.validation == "test" else ""
        rows.append((name, run.all.scores.values["ua"], low, high))
    intervals(rows, pictures / "overview.png", title="Unweighted average recall, out of fold", label="UA")
    return [f"![UA of every run]({quote(pictures.name)}/overview.png)", ""]


def _line(row: Row, run: FinishedRun) -> str:
    result = run.all
    cells = [row.title, row.published, row.protocol, f"`{run.name}`"]
    cells += [f"{result.percent(name)}{_star(run)}" for name in ("wa", "ua")]
    names = ", ".join(result.rows.sources)
    cells += [f"{names}: {len(result.rows)}, {len(result.rows.people)}", _protocol(run)]
    return f"| {' | '.join(cells)} |"


def _protocol(run: FinishedRun) -> str:
    """The split in words, from the settings of the run."""
    folds, count = run.config.folds, len(set(run.all.rows.fold.tolist()))
    scheme = {"people": "people", "group": "groups", "split": "the corpus' own sets"}[folds.scheme]
    if run.is_synthetic and folds.scheme == "group":
        scheme = "blocks of people"
    chosen = "separate validation fold"
    if folds.validation == "test":
        chosen = "**the test set decides when to stop**"
    elif run.config.optimiser.choose == "last":
        chosen = "fixed number of epochs"
    words = f"{scheme}, {count} fold{'s' if count > 1 else ''}, {chosen}"
    return words + (f"; {run.config.notes}" if run.config.notes else "")


def _subsets(run: FinishedRun, runs: Sequence[FinishedRun], resamples: int) -> list[str]:
    """What a model that was made for it loses when modalities are missing."""
    lines = [
        f"## `{run.name}` when modalities are missing",
        "",
        "Beside the best run that was trained on one of these modalities alone, on the same utterances. At most one",
        "point may be lost.",
        "",
        "| modalities | UA | the best of one modality | its UA | difference in points | lost |",
        "|---|---|---|---|---|---|",
    ]
    single = [other for other in runs if len(other.config.modalities) == 1 and _same_folds(run, other)]
    for subset, result in run.results.items():
        cells = [" + ".join(subset), result.percent("ua") + _star(run), "–", "–", "–", "–"]
        rivals = {other.name: _aligned(other.all.rows, result.rows) for other in single if _covers(subset, other)}
        there = {name: (_ua(rival), rival) for name, rival in rivals.items() if rival is not None}
        if there:
            best = max(there, key=lambda name: there[name][0])
            ua, rival = there[best]
            gap = paired_bootstrap(rival, result.rows.predictions(), resamples=resamples)
            cells[2:] = [f"`{best}`", f"{100 * ua:.1f}", _points(gap), _verdict(gap)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _affect(runs: Sequence[FinishedRun], resamples: int) -> list[str]:
    lines = []
    for run in runs:
        rows = run.all.rows
        if np.isfinite(rows.affect).any():
            found = concordance(rows.affect_truth, rows.affect, rows.clusters, resamples=resamples)
            cells = [f"{value:.3f} {bracketed(low, high)}" for value, low, high in found]
            lines.append(f"| `{run.name}`{_star(run)} | {' | '.join(cells)} |")
    if not lines:
        return []
    head = ["## Valence and arousal", "", "Concordance correlation coefficient (Lin 1989), out of fold.", ""]
    return [*head, "| run | valence | arousal |", "|---|---|---|", *lines, ""]


def _covers(subset: Sequence[str], other: FinishedRun) -> bool:
    return other.config.modalities[0] in subset


def _same_folds(run: FinishedRun, other: FinishedRun) -> bool:
    """Another split would be another test."""
    one, two = (
        dict(zip(zip(rows.corpora.tolist(), rows.item_id.tolist(), strict=True), rows.fold.tolist(), strict=True))
        for rows in (run.all.rows, other.all.rows)
    )
    return all(two[name] == fold for name, fold in one.items() if name in two)


def _points(gap: Difference) -> str:
    return f"{100 * gap.value:+.1f} {bracketed(100 * gap.low, 100 * gap.high, '+.1f')}"


def _verdict(gap: Difference) -> str:
    if np.isnan(gap.low):
        return "not known: all of one person"
    if gap.low >= -TOLERANCE:
        return "no"
    return "no, but the interval does not exclude it" if gap.value >= -TOLERANCE else "**yes**"


def _aligned(rows: OutOfFold, like: OutOfFold) -> Predictions | None:
    """The predictions of one run for the items of another, in their order; None where it lacks one."""
    keys = zip(rows.source.tolist(), rows.item_id.tolist(), strict=True)
    place = {key: index for index, key in enumerate(keys)}
    order = [place.get(key, -1) for key in zip(like.source.tolist(), like.item_id.tolist(), strict=True)]
    return None if min(order, default=-1) < 0 else rows.select(np.array(order)).predictions()


def _ua(predictions: Predictions) -> float:
    return score(predictions, resamples=0).values["ua"]


def _code(runs: Sequence[FinishedRun]) -> list[str]:
    """With what each run can be made again."""
    lines = ["## Code", "", "| run | revision that began it |", "|---|---|"]
    lines += [f"| `{run.name}` | {read_environments(run.folder)[0].get('revision') or 'not known'} |" for run in runs]
    return [*lines, ""]


def _matrices(runs: Sequence[FinishedRun], pictures: Path) -> list[str]:
    lines = ["## Confusion matrices", "", "Share of each true class, out of fold.", ""]
    for run in runs:
        for source in run.all.rows.sources:
            rows = run.all.rows.of(source)
            name = f"{run.name}_{source.replace(':', '_')}.png"
            confusion_matrix(score(rows.predictions(), resamples=0), pictures / name, title=_title(run, source))
            lines.append(f"![{_title(run, source)}]({quote(f'{pictures.name}/{name}')})")
    return lines
