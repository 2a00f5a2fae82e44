"""Fitting the judge of what is like what a model has learned from, and trying it on people and kinds it has not met."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import nn

from ..config.settings import ExperimentConfig
from ..models.build import Ensemble, UnimodalModel
from ..models.domain import DomainHead
from ..models.pooling import StatisticsPooling
from ..runs.checkpoints import load_weights, save_weights
from ..samples.augment import above_the_hips
from ..samples.inputs import Sample
from ..samples.outliers.draw import REASONS, draw_outliers
from .fitting import leads
from .pooled import changed, pool

#: A judge's weights, and what was found of it.
JUDGE, FOUND = "domain.safetensors", "domain.json"
#: People's utterances that a judge is fitted on, and outliers of each kind; each as it is and changed as in training.
_PEOPLE, _OF_A_KIND = 800, 50
#: Main directions of the people.
_DIRECTIONS = 30
#: Parts of the rows, each of which is judged by what was fitted on the others.
_PARTS = 5
#: Strength of the prior on the linear judge's weights (scikit-learn's C).
_LOOSENESS = 0.01
#: So many steps find it: a judge is fitted a hundred times to learn what it says of kinds that it has not met.
_STEPS = 150
#: Of outliers that it has not met, the linear judge takes at most this share for people; but it loses no more than the
#: other share of people whom it has not met.
_PASSED, _LOST = 0.03, 0.005
#: Judges by distance as well. Voices are near or far first of all by their recording, so that people of another corpus
#: are farther away than a synthesiser; bodies come from joints, which carry nothing of the kind.
_BY_DISTANCE = ("mocap",)
#: Distance that never decides.
_NEAR = 30.0
#: How bodies are seen behind a desk, in the names of what is found of them.
_DESK = "above the hips"
#: Of the copies of anything the first are as it is and as training changes it.
_WHOLE = 2


@dataclass(frozen=True, eq=False)
class Found:
    """What a judge says of those that it has not met. `people_out`: the share that it finds out of domain, by person.
    `kinds`: by kind of outlier the area under its receiver operating characteristic against these people, the share
    that it finds out, and both (`_unmet`) where it was fitted without this kind. `in_domain`: what it says of each of
    these people's utterances, (N,), 0..1. `desk_out`: as `people_out`, of bodies that are seen above the hips alone;
    there `kinds` names outliers that are seen so as well, against people who are."""

    people_out: dict[str, float]
    kinds: dict[str, dict[str, float]]
    in_domain: np.ndarray = field(default_factory=lambda: np.zeros(0))
    desk_out: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        lost = float(np.mean(list(self.people_out.values())))
        least = min(kind["auroc"] for kind in self.kinds.values())
        return f"{lost:.1%} of people out of domain, AUROC of the most difficult outliers {least:.3f}"

    @staticmethod
    def load(folder: Path) -> Found:
        return Found(**json.loads((folder / FOUND).read_text(encoding="utf-8")))


@dataclass(frozen=True, eq=False)
class Described:
    """Rows (N, 2D) of what an encoder gives, and of each whose or what it is, and its class: 0 for people."""

    rows: np.ndarray
    groups: np.ndarray
    classes: np.ndarray

    def select(self, rows: np.ndarray) -> Described:
        return Described(self.rows[rows], self.groups[rows], self.classes[rows])


def can_judge(config: ExperimentConfig) -> bool:
    """Whether outliers of what this experiment learns from are known."""
    return len(config.modalities) == 1 and config.modalities[0] in REASONS and not config.reads_markers


def fit_domain(
    config: ExperimentConfig,
    network: nn.Module,
    *,
    train: Sequence[tuple[str, Sample]],
    test: Sequence[tuple[str, Sample]],
    folder: Path,
) -> Found:
    """Fit the judge of a trained network into `folder`. `train`, `test`: people and their samples.

    Raises `DependencyError` where outliers cannot be made.
    """
    rng = np.random.default_rng(config.seed)
    modality = config.modalities[0]
    few = [train[index] for index in rng.permutation(len(train))[:_PEOPLE]]
    outliers = draw_outliers(
        modality, [sample for _, sample in few], _OF_A_KIND, rate_hz=config.inputs.rate_hz, seed=config.seed
    )
    bodies = modality == "mocap"
    people = _describe(config, network, few, [0] * len(few))
    others = _describe(
        config,
        network,
        [(outlier.kind, outlier.sample) for outlier in outliers],
        [1 + REASONS[modality].index(outlier.reason) for outlier in outliers],
    )
    judge = make_judge(people, others, by_distance=modality in _BY_DISTANCE, copies=_copies(config))
    found = Found({}, {})
    if test:
        names = np.array([name for name, _ in test])
        views = {"": [sample for _, sample in test]}
        if bodies:
            views[_DESK] = [_behind_a_desk(sample) for _, sample in test]
        met = {view: describe(config, network, _plain(samples)) for view, samples in views.items()}
        out = {view: _by_person(names, odds(judge, rows) < 0) for view, rows in met.items()}
        found = Found(out[""], {}, expit(odds(judge, met[""])), out.get(_DESK, {}))
        for kind in dict.fromkeys(others.groups.tolist()):
            unaware = make_judge(
                people,
                others.select(others.groups != kind),
                by_distance=modality in _BY_DISTANCE,
                copies=_copies(config),
            )
            theirs = others.select(others.groups == kind).rows
            for number, (view, rows) in enumerate(met.items()):
                plain = theirs[_WHOLE * number :: _copies(config)]  # behind each follows its changed copy
                found.kinds[f"{kind}, {view}" if view else kind] = {
                    "auroc": _auroc(odds(judge, rows), odds(judge, plain)),
                    "out": _share(odds(judge, plain) < 0),
                    "auroc_unmet": _auroc(odds(unaware, rows), odds(unaware, plain)),
                    "out_unmet": _share(odds(unaware, plain) < 0),
                }
    if not leads():
        return found
    save_weights(judge, folder / JUDGE)
    kept = {"people_out": found.people_out, "kinds": found.kinds}
    if bodies:
        kept["desk_out"] = found.desk_out
    (folder / FOUND).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    return found


def summarise_judges(folders: Sequence[Path], corpora: Collection[str]) -> dict[str, Any]:
    """The mean of what was found in these folders: of each of these corpora, and of every kind of outlier."""
    found = [Found.load(folder) for folder in folders]
    people = _by_corpus([one.people_out for one in found], corpora)
    desk = _by_corpus([one.desk_out for one in found], corpora)
    kinds = {
        kind: {key: [one.kinds[kind][key] for one in found] for key in found[0].kinds[kind]} for kind in found[0].kinds
    }
    return {
        "people_out": {corpus: round(float(np.mean(shares)), 4) for corpus, shares in people.items()},
        **({"desk_out": {corpus: round(float(np.mean(shares)), 4) for corpus, shares in desk.items()}} if desk else {}),
        "worst_person_out": max((share for shares in people.values() for share in shares), default=0.0),
        "kinds": {
            kind: {key: round(float(np.mean(values)), 4) for key, values in rows.items()}
            for kind, rows in kinds.items()
        },
    }


def _by_corpus(found: Sequence[Mapping[str, float]], corpora: Collection[str]) -> dict[str, list[float]]:
    """The shares of people, by the corpus before their names; there may be a '-' in both."""
    shares: dict[str, list[float]] = {}
    for one in found:
        for name, share in one.items():
            corpus = max((one for one in corpora if name.startswith(f"{one}-")), key=len)
            shares.setdefault(corpus, []).append(share)
    return shares


def restore_judge(config: ExperimentConfig, network: nn.Module, folder: Path) -> DomainHead:
    """A fitted judge from its weights."""
    judge = DomainHead(judged_width(_encoder(network)), len(REASONS[config.modalities[0]]), _DIRECTIONS)  # type: ignore[arg-type]
    load_weights(judge, folder / JUDGE)
    return judge


def judged_width(encoder: nn.Module) -> int:
    """How many of an encoder's features are judged by."""
    return int(encoder.width) // max(1, int(getattr(encoder, "joined", 0)))  # type: ignore[arg-type]


def describe(config: ExperimentConfig, network: nn.Module, samples: Sequence[Sample]) -> np.ndarray:
    """Mean and deviation over time of what the encoder gives, (N, 2D)."""
    encoder = _encoder(network)
    frame = int(encoder.width)  # type: ignore[arg-type]
    rows = pool(config, encoder, StatisticsPooling(frame), samples)
    # Of several layers side by side the lowest is enough: it knows most of what something sounds like.
    width = judged_width(encoder)
    return np.concatenate([rows[:, :width], rows[:, frame : frame + width]], 1)


def make_judge(people: Described, others: Described, *, by_distance: bool, copies: int = 1) -> DomainHead:
    """The judge of rows of people and of outliers, which it is shown. `copies`: rows of each outlier."""
    mean, scale = people.rows.mean(0), people.rows.std(0)
    scale = scale + 0.05 * scale.mean()
    width = people.rows.shape[1] // 2
    judge = DomainHead(width, int(others.classes.max()), _DIRECTIONS)
    _put(judge, mean=mean, scale=scale)
    together = np.concatenate([people.rows, others.rows])
    values = judge.standardise(torch.from_numpy(together)).numpy()
    classes = np.concatenate([people.classes, others.classes])
    groups = np.concatenate([people.groups, others.groups])
    weight, bias = _linear(values, classes, groups)
    # What it says of those that it has not met decides where people end.
    parts = _parts(groups, classes, copies)
    unmet = np.zeros(len(values))
    for part in np.unique(parts):
        theirs = parts == part
        unmet[theirs] = _odds(values[theirs], *_linear(values[~theirs], classes[~theirs], groups[~theirs]))
    least = min(np.quantile(unmet[classes > 0], 1 - _PASSED), np.quantile(unmet[classes == 0], _LOST))
    bias = bias - least * (np.arange(len(bias)) == 0)
    _put(judge, weight=weight, bias=bias, distance=np.array([0.0, 0.0, _NEAR]))
    if by_distance:
        # Half seen, outliers lie near people, and the linear judge must tell them: whole ones say how far is too far.
        whole = others.select(np.arange(len(others.rows)) % copies < _WHOLE)
        _measure_distances(judge, people, whole, parts[: len(people.rows)])
    return judge


def odds(judge: DomainHead, rows: np.ndarray) -> np.ndarray:
    """Logarithm of how much likelier each row is people than anything else, (N,)."""
    logits = judge.judge(torch.from_numpy(rows))
    return (logits[:, 0] - torch.logsumexp(logits[:, 1:], 1)).numpy()


def _linear(values: np.ndarray, classes: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, D) and offsets (K,) of the classes; people count as much as all outliers, of which every kind as
    much."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    counts = dict(zip(*np.unique(groups[classes > 0], return_counts=True), strict=True))
    share = np.where(classes == 0, 1 / max(1, (classes == 0).sum()), 0.0)
    for kind, count in counts.items():
        share[(groups == kind) & (classes > 0)] = 1 / (count * len(counts))
    model = LogisticRegression(C=_LOOSENESS, max_iter=_STEPS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it is near enough
        model.fit(values, classes, sample_weight=share * len(classes) / 2)
    if len(model.classes_) > 2:
        return model.coef_, model.intercept_
    return np.stack([0 * model.coef_[0], model.coef_[0]]), np.array([0.0, model.intercept_[0]])


def _odds(values: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    logits = values @ weight.T + bias
    return logits[:, 0] - np.logaddexp.reduce(logits[:, 1:], axis=1)


def _measure_distances(judge: DomainHead, people: Described, others: Described, parts: np.ndarray) -> None:
    """The people's main directions, and how the two distances weigh; those of people are from people without them."""
    from sklearn.linear_model import LogisticRegression

    inside = np.zeros((len(people.rows), 2))
    for part in np.unique(parts):
        _put_directions(judge, people.rows[parts != part])
        inside[parts == part] = _distances(judge, people.rows[parts == part])
    _put_directions(judge, people.rows)
    outside = _distances(judge, others.rows)
    model = LogisticRegression(C=_LOOSENESS * 10, class_weight="balanced")
    model.fit(np.concatenate([inside, outside]), np.arange(len(inside) + len(outside)) < len(inside))
    _put(judge, distance=np.array([*model.coef_[0], model.intercept_[0]]))


def _put_directions(judge: DomainHead, rows: np.ndarray) -> None:
    from sklearn.decomposition import PCA

    values = ((torch.from_numpy(rows) - judge.mean) / judge.scale).numpy()
    count = min(_DIRECTIONS, len(values) - 1, values.shape[1])
    found = PCA(count, random_state=0).fit(values)
    directions, spread = np.zeros((_DIRECTIONS, values.shape[1])), np.ones(_DIRECTIONS)
    directions[:count], spread[:count] = found.components_, np.sqrt(found.explained_variance_ + 1e-4)
    _put(judge, centre=found.mean_, directions=directions, spread=spread)


def _distances(judge: DomainHead, rows: np.ndarray) -> np.ndarray:
    return torch.stack(judge.distances(torch.from_numpy(rows)), 1).numpy()


def _put(judge: DomainHead, **values: np.ndarray) -> None:
    for name, value in values.items():
        getattr(judge, name).data = torch.from_numpy(np.asarray(value, np.float32))


def _parts(groups: np.ndarray, classes: np.ndarray, copies: int) -> np.ndarray:
    """A part for each row, (N,): whole people, and of every kind of outlier some."""
    rng = np.random.default_rng(0)
    people = {name: number % _PARTS for number, name in enumerate(rng.permutation(np.unique(groups[classes == 0])))}
    # The copies of an outlier lie together.
    numbers = np.cumsum(classes > 0) - 1
    return np.array(
        [
            people[name] if kind == 0 else number // copies % _PARTS
            for name, kind, number in zip(groups, classes, numbers, strict=True)
        ]
    )


def _describe(
    config: ExperimentConfig, network: nn.Module, named: Sequence[tuple[str, Sample]], classes: Sequence[int]
) -> Described:
    """Each as it is, followed by a copy as training changes it; then, of bodies, both as they are behind a desk."""
    seen: list[Sample] = []
    for sample in _plain([sample for _, sample in named]):
        pair = [sample, changed(config, sample)]
        seen += [*pair, *map(_behind_a_desk, pair)] if _copies(config) > len(pair) else pair
    names = np.repeat([name for name, _ in named], _copies(config))
    return Described(describe(config, network, seen), names, np.repeat(classes, _copies(config)))


def _copies(config: ExperimentConfig) -> int:
    return 2 * _WHOLE if config.modalities == ("mocap",) else _WHOLE


def _plain(samples: Sequence[Sample]) -> list[Sample]:
    return [dataclasses.replace(sample, spectra=()) for sample in samples]


def _behind_a_desk(sample: Sample) -> Sample:
    assert sample.positions is not None
    assert sample.seen is not None
    positions, seen = above_the_hips(sample.positions, sample.seen)
    return dataclasses.replace(sample, positions=positions, seen=seen)


def _by_person(names: np.ndarray, is_out: np.ndarray) -> dict[str, float]:
    return {name: _share(is_out[names == name]) for name in np.unique(names).tolist()}


def _encoder(network: nn.Module) -> nn.Module:
    """The encoder that is judged by: that of an ensemble's first member."""
    member = network.members[0] if isinstance(network, Ensemble) else network
    assert isinstance(member, UnimodalModel)
    return member.encoder


def _share(values: np.ndarray) -> float:
    return round(float(values.mean()), 4)


def _auroc(people: np.ndarray, others: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.arange(len(people) + len(others)) < len(people)
    return round(float(roc_auc_score(truth, np.concatenate([people, others]))), 4)
