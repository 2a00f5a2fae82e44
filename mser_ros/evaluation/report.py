"""An evaluation as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table

from ..types import Modalities
from .comparison import paired_bootstrap
from .confidence import calibration_error, reliability, words
from .metrics import LEVEL, Predictions, Scores, Statistics, bracketed, plain, score
from .predict import Evaluation, Outcome
from .resampling import units

#: Below so many clusters each is printed: an interval over a few people says less than the people themselves.
FEW_UNITS = 20


class Report:
    """The figures of an evaluation; `main`: the set of modalities that was asked for."""

    def __init__(
        self,
        evaluation: Evaluation,
        main: Modalities,
        *,
        people: np.ndarray,
        cluster_unit: str,
        resamples: int = 1000,
        seed: int = 0,
    ) -> None:
        """`people`: str, (items,), who can be heard or seen in each item; `cluster_unit`: what a cluster is."""

        def scored(outcomes: Mapping[Modalities, Outcome]) -> dict[Modalities, Scores]:
            return {key: score(item.predictions, resamples=resamples, seed=seed) for key, item in outcomes.items()}

        self.main, self.cluster_unit = main, cluster_unit
        self.scores, self.asr = scored(evaluation.by_subset), scored(evaluation.by_subset_asr)
        self.asr_gain = {
            key: paired_bootstrap(
                evaluation.by_subset[key].predictions, item.predictions, resamples=resamples, seed=seed
            )
            for key, item in evaluation.by_subset_asr.items()
            if key in evaluation.by_subset
        }
        self.words = words(evaluation.heard)
        self.word_error_rate = evaluation.word_errors / evaluation.words if evaluation.words else None
        outcome = evaluation.by_subset.get(main) or evaluation.by_subset_asr[main]
        self.figures = self.scores.get(main) or self.asr[main]
        self.unit, self.units = _units(outcome.predictions, people[outcome.rows], cluster_unit)

    def as_json(self) -> dict[str, Any]:
        """The figures of `main` at the top, as fractions; those of every set under 'subsets'."""
        result = {"modalities": list(self.main), **self.figures.as_json(), "level": LEVEL}
        result["subsets"] = {"+".join(key): scores.as_json() for key, scores in self.scores.items()}
        if self.units:
            result["units"] = self.units
            result["unit"] = self.unit
        if self.asr:
            bins = reliability(*self.words)
            result["asr"] = {
                "word_error_rate": self.word_error_rate,
                "word_ece": calibration_error(bins) if bins else None,
                "word_reliability": [asdict(item) for item in bins],
                "subsets": {"+".join(key): scores.as_json() for key, scores in self.asr.items()},
                "ua_minus_gold": {
                    "+".join(key): {
                        "value": plain(gain.value),
                        "interval": [plain(gain.low), plain(gain.high)],
                        "p": plain(gain.p_value),
                    }
                    for key, gain in self.asr_gain.items()
                },
            }
        return result

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [self._overview(), self._classes(), self._trust()]
        if self.units:
            parts.append(self._people())
        if len(self.words[0]):
            parts.append(self._words())
        return Group(*parts)

    def _overview(self) -> Table:
        title = f"every set of modalities, with {LEVEL:.0%} bootstrap intervals"
        if any(np.isnan(scores.intervals["ua"]).any() for scores in (*self.scores.values(), *self.asr.values())):
            title += f"; [–]: all of one {self.cluster_unit}, which gives no interval"
        table = _table(title)
        table.add_column("modalities", no_wrap=True)
        for name in ("items", "no answer", "WA", "UA", "ECE", "macro F1"):
            table.add_column(name, justify="right", no_wrap=True)
        for key, scores in self.scores.items():
            table.add_row("+".join(key), *_row(scores), style="bold" if key == self.main else "")
        for key, scores in self.asr.items():
            table.add_row("+".join(key).replace("text", "ASR text"), *_row(scores))
        if self.word_error_rate is not None:
            table.caption = f"word error rate {self.word_error_rate:.2f}" + "".join(
                f"; {'+'.join(key)}: UA {gain.value:+.3f} {bracketed(gain.low, gain.high, '+.3f')} with ASR text"
                for key, gain in self.asr_gain.items()
            )
        return table

    def _classes(self) -> Table:
        scores = self.figures
        table = _table(f"{'+'.join(self.main)}: true class by row, said class by column")
        columns = [*scores.labels, "no answer"] if scores.unanswered else list(scores.labels)
        for name in ("", *columns, "recall"):
            table.add_column(name, justify="right" if name else "left")
        for label, row in zip(scores.labels, scores.confusion.tolist(), strict=True):
            table.add_row(label, *map(str, row[: len(columns)]), _with_interval(scores, f"recall_{label}"))
        return table

    def _trust(self) -> Table:
        table = _table("calibration and selective answers")
        names = {
            "ece": "ECE, debiased",
            "ece_15": "ECE, 15 bins, biased",
            "nll": "negative log likelihood",
            "brier": "Brier score",
            "aurc": "area under risk-coverage",
            "accuracy_at_70": "accuracy at 70 % coverage",
        }
        table.show_header = False
        table.add_column()
        table.add_column(justify="right")
        for name, text in names.items():
            table.add_row(text, _with_interval(self.figures, name))
        return table

    def _people(self) -> Table:
        table = _table(f"each {self.unit}")
        for name in (self.unit, "items", "WA", "UA"):
            table.add_column(name, justify="right")
        for name, entry in self.units.items():
            table.add_row(name, str(entry["n"]), f"{entry['wa']:.3f}", f"{entry['ua']:.3f}")
        return table

    def _words(self) -> Table:
        bins = reliability(*self.words)
        table = _table("recognised words")
        for name in ("confidence", "words", "mean", "right"):
            table.add_column(name, justify="right")
        for item in bins:
            span = f"{item.low:.2f} to {item.high:.2f}"
            table.add_row(span, str(item.count), f"{item.confidence:.2f}", f"{item.right:.2f}")
        table.caption = f"ECE {calibration_error(bins):.3f}"
        return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)


def _units(predictions: Predictions, people: np.ndarray, cluster_unit: str) -> tuple[str, dict[str, Any]]:
    """WA and UA of each cluster where these are few, else of each person where those are few."""
    for unit, names in ((cluster_unit, predictions.clusters), ("person", people)):
        found = units(names)
        if len(found) < FEW_UNITS:
            return unit, {name: _unit(predictions.select(rows)) for name, rows in found}
    return "", {}


def _unit(predictions: Predictions) -> Mapping[str, Any]:
    values = Statistics(predictions)(np.ones((1, len(predictions))))
    return {"n": len(predictions), **{name: round(float(values[name][0]), 6) for name in ("wa", "ua")}}


def _row(scores: Scores) -> Sequence[str]:
    figures = [_with_interval(scores, name) for name in ("wa", "ua", "ece")]
    return [str(scores.items), str(scores.unanswered), *figures, f"{scores.values['macro_f1']:.3f}"]


def _with_interval(scores: Scores, name: str) -> str:
    return f"{scores.values[name]:.3f} {bracketed(*scores.intervals[name])}"
