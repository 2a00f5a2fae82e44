"""Fusing separately trained modalities: weights and figures from pseudo-multimodal combinations.

Nobody was heard, read and seen in all of them, so out-of-fold predictions of different people that share a class are
put together. They agree on the class and on nothing else, which flatters fusion: every figure is marked synthetic. What
ships is fitted on everybody; figures are measured on one half of each modality's people, with temperatures and weights
fitted on the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...corpora.base import BETWEEN_PEOPLE
from ...errors import SettingsError
from ...evaluation.calibration import FusionFit, fit_fusion
from ...evaluation.metrics import Predictions, score
from ...labels import LABELS
from ...recognition.decision import NEUTRAL, with_neutral_share
from ...recognition.posteriors import despite_plain_words, log_linear, softmax
from ...types import subsets_of
from ..runs.predictions import OutOfFold
from .temperatures import balanced_temperature, halves

#: Combinations per class.
_COMBINATIONS = 500
#: Of what is said with a feeling, the share in plain words that the fusion allows for. In dialogues it is about half,
#: as MELD's lines are read; but to allow for more is to trust voices of unmet recordings, which are hardly ever judged
#: neutral, against words that tell (`docs/experiments.md`).
PLAIN_WORDS = 0.1
#: What somebody says in an hour of daily life, by which false alarms are counted, and the share of it that is neutral.
_AN_HOUR, MOSTLY_NEUTRAL = 100, 0.8
#: Items of one person from which it can be said how well this person is judged.
_OF_ONE = 20
#: What is supposed of the classes of whoever is judged.
EVEN = np.full(len(LABELS), 1 / len(LABELS))
NOTE = (
    "SYNTHETIC: out-of-fold predictions of one class but of different people, combined; it shows that fusion works, "
    "not how well it would work on one real person"
)


@dataclass(frozen=True, eq=False)
class Fused:
    """How modalities are fused. `entry`, `decision`: of the manifest. `judged`: what all of them together made of
    people who fitted nothing; None of one modality alone."""

    entry: dict[str, Any]
    decision: dict[str, Any]
    judged: Predictions | None


@dataclass(frozen=True, eq=False)
class Combined:
    """`posteriors`: (N, C) by modality, calibrated. `truth`: (N,), sorted, as many of each class. `people`: (N,) by
    modality. `clusters`: (N,) source people."""

    posteriors: Mapping[str, np.ndarray]
    truth: np.ndarray
    people: Mapping[str, np.ndarray]
    clusters: np.ndarray

    def in_plain_words(self, share: float) -> Combined:
        """The same, where this share of what is said with a feeling has the words of something neutral."""
        if "text" not in self.posteriors or len(self.posteriors) == 1:
            return self
        rng = np.random.default_rng(0)
        neutral = np.flatnonzero(self.truth == LABELS.index(NEUTRAL))
        plain = np.flatnonzero((self.truth != LABELS.index(NEUTRAL)) & (rng.random(len(self.truth)) < share))
        rows = np.arange(len(self.truth))
        rows[plain] = rng.choice(neutral, len(plain))
        people = {**self.people, "text": self.people["text"][rows]}
        clusters = np.array([BETWEEN_PEOPLE.join(group) for group in zip(*people.values(), strict=True)])
        return Combined({**self.posteriors, "text": self.posteriors["text"][rows]}, self.truth, people, clusters)


def combine(rows: Mapping[str, OutOfFold], temperatures: Mapping[str, float], *, seed: int = 0) -> Combined:
    """Combinations of the rows of each modality. Raises `SettingsError` where one of them lacks a class."""
    rng = np.random.default_rng(seed)
    posteriors: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    people: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    for name, part in rows.items():
        probabilities, who = softmax(part.believed / temperatures[name]), part.who
        for label in range(len(LABELS)):
            chosen = _draw(name, part, label, rng)
            posteriors[name].append(probabilities[chosen])
            people[name].append(who[chosen])
    names = {name: np.concatenate(parts) for name, parts in people.items()}
    return Combined(
        {name: np.concatenate(parts) for name, parts in posteriors.items()},
        np.repeat(np.arange(len(LABELS)), _COMBINATIONS),
        names,
        np.array([BETWEEN_PEOPLE.join(group) for group in zip(*names.values(), strict=True)]),
    )


def fuse(combined: Combined, prior: np.ndarray) -> FusionFit:
    """Exponents and temperature of the log-linear fusion; 1 where there is nothing to fuse."""
    heard = combined.in_plain_words(PLAIN_WORDS)
    return fit_fusion(_as_evidence(heard.posteriors, prior), heard.truth, prior=prior)


def fused(combined: Combined, subset: Sequence[str], fit: FusionFit, prior: np.ndarray) -> np.ndarray:
    """Posteriors (N, C) as the recogniser fuses these modalities."""
    posteriors = {name: combined.posteriors[name] for name in subset}
    if len(subset) == 1:
        return posteriors[subset[0]]
    return log_linear(_as_evidence(posteriors, prior), fit.weights, prior, temperature=fit.temperature)


def _as_evidence(posteriors: Mapping[str, np.ndarray], prior: np.ndarray) -> dict[str, np.ndarray]:
    neutral = LABELS.index(NEUTRAL)
    return {
        name: despite_plain_words(rows, prior, neutral, PLAIN_WORDS) if name == "text" else rows
        for name, rows in posteriors.items()
    }


@dataclass(frozen=True, eq=False)
class Trial:
    """A fusion that was fitted on half of the people of each modality: `known`, their combinations; `met`, those of the
    other half, whom it meets for the first time."""

    fit: FusionFit
    known: Combined
    met: Combined


def try_out(rows: Mapping[str, OutOfFold], prior: np.ndarray, *, seed: int = 0) -> Trial:
    """Fit on half of the people, by a division of them. Raises `SettingsError` where a half lacks a class."""
    division = {name: halves(part, seed=seed) for name, part in rows.items()}
    known, held_out = ({name: part.select(division[name] == half) for name, part in rows.items()} for half in range(2))
    if any(not len(part) for part in held_out.values()):
        raise SettingsError("a modality was tested on one person only, so fusion cannot be judged: run more folds")
    temperatures = {name: balanced_temperature(part) for name, part in known.items()}
    together = combine(known, temperatures)
    return Trial(fuse(together, prior), together, combine(held_out, temperatures, seed=1))


def measure(trial: Trial, prior: np.ndarray) -> dict[str, Any]:
    """Figures of every set of modalities, as the recogniser fuses it, of the people whom the fit had not met."""
    names = sorted(subsets_of(list(trial.met.posteriors)), key=len)
    method = "temperatures and weights fitted on the other half of the people"
    found = {"synthetic": True, "note": NOTE, "judged_by": method}
    judged = {"+".join(chosen): predictions_of(trial.met, chosen, trial.fit, prior) for chosen in names}
    found["subsets"] = {name: figures(score(one)) for name, one in judged.items()}
    found["daily_life"] = {name: daily_life(one) for name, one in judged.items()}
    if several := [chosen for chosen in names if "text" in chosen and len(chosen) > 1]:
        plain = trial.met.in_plain_words(1.0)
        found["plain_words"] = {
            "+".join(chosen): figures(score(predictions_of(plain, chosen, trial.fit, prior))) for chosen in several
        }
    return found


def predictions_of(combined: Combined, chosen: Sequence[str], fit: FusionFit, prior: np.ndarray) -> Predictions:
    """What the recogniser makes of these modalities of the combinations."""
    names = list(combined.posteriors)
    columns = [names.index(name) for name in chosen]
    clusters = [BETWEEN_PEOPLE.join(np.array(row.split(BETWEEN_PEOPLE))[columns]) for row in combined.clusters]
    return Predictions(combined.truth, fused(combined, chosen, fit, prior), np.array(clusters))


def daily_life(predictions: Predictions) -> list[dict[str, float]]:
    """What is told in an hour in which somebody says `_AN_HOUR` things, `MOSTLY_NEUTRAL` of them neutral and the rest
    of the other classes alike: with a `neutral_share` of even classes, and with that of this life.

    `alarms`: neutral things that are told as a feeling. `found`: feelings that are told as what they are. `right`: of
    what is told as a feeling, the share that is one, and is the one that was told.
    """
    neutral = LABELS.index(NEUTRAL)
    is_neutral = predictions.truth == neutral
    rows = []
    for share in (1 / len(LABELS), MOSTLY_NEUTRAL):
        told = with_neutral_share(predictions.probabilities, LABELS, share).argmax(1)
        told = np.where(predictions.answered, told, neutral)  # of nothing that is unknown a planner acts on a feeling
        recalls = [
            (told == predictions.truth)[predictions.truth == n].mean() for n in range(len(LABELS)) if n != neutral
        ]
        mistaken = [(told != neutral)[predictions.truth == n].mean() for n in range(len(LABELS)) if n != neutral]
        alarms = _AN_HOUR * MOSTLY_NEUTRAL * float((told != neutral)[is_neutral].mean())
        feelings = _AN_HOUR * (1 - MOSTLY_NEUTRAL)
        found, as_feelings = feelings * float(np.mean(recalls)), alarms + feelings * float(np.mean(mistaken))
        rows.append(
            {
                "neutral_share": round(share, 2),
                "alarms": round(alarms, 1),
                "found": round(found, 1),
                "right": round(found / as_feelings, 3) if as_feelings else 0.0,
            }
        )
    return rows


def figures(scores: Any) -> dict[str, Any]:
    """What the manifest keeps of an evaluation."""
    flat = scores.as_json()
    kept = {name: flat[name] for name in ("n", "ua", "wa", "accuracy_at_70", "macro_f1", "ece", "recall")}
    return {**kept, "intervals": {name: flat["intervals"][name] for name in ("ua", "wa", "ece")}}


def by_person(rows: OutOfFold) -> dict[str, Any]:
    """Whom a model serves worst, among those of whom enough is known, and how well women and men."""
    found: dict[str, Any] = {}
    named = {name: rows.select(rows.person == name) for name in dict.fromkeys(rows.person.tolist())}
    judged = {name: _ua(mine) for name, mine in named.items() if len(mine) >= _OF_ONE}
    if len(judged) > 1:
        name, ua = min(judged.items(), key=lambda pair: pair[1])
        found["worst"] = {"person": name, "ua": ua, "n": len(named[name])}
    for sex in ("f", "m"):
        if (rows.sex == sex).any():
            theirs = score(rows.select(rows.sex == sex).predictions()).as_json()
            found.setdefault("sex", {})[sex] = {
                "ua": theirs["ua"],
                "interval": theirs["intervals"]["ua"],
                "recall": theirs["recall"],
            }
    return found


def _ua(rows: OutOfFold) -> float:
    return round(score(rows.predictions(), resamples=0).values["ua"], 4)


def _draw(name: str, rows: OutOfFold, label: int, rng: np.random.Generator) -> np.ndarray:
    """Row numbers of one class, every source as often."""
    pools = [np.flatnonzero((rows.label == label) & (rows.source == source)) for source in rows.sources]
    pools = [pool for pool in pools if len(pool)]
    if not pools:
        raise SettingsError(
            f"too few of the {name} predictions are of class '{LABELS[label]}', so fusion cannot be fitted: run more "
            "folds, or train on a corpus that shows this class"
        )
    sizes = np.array([len(pool) for pool in pools])
    turn = np.arange(_COMBINATIONS) % len(pools)
    return np.concatenate(pools)[(np.cumsum(sizes) - sizes)[turn] + rng.integers(sizes[turn])]
