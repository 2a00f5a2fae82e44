"""The classifier of a pre-trained encoder as logistic regression on what is pooled: exact, and quickly there.

Where the encoder is trained afterwards, its features are bent less by it than by a classifier that starts from chance
(linear probing, then fine-tuning: Kumar et al. 2022).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from ...errors import SettingsError
from ...labels import LABELS
from ..config.settings import ExperimentConfig
from ..models.build import UnimodalModel
from ..samples.inputs import Sample
from .pooled import changed, pool


def fit_probe(config: ExperimentConfig, network: UnimodalModel, train: Sequence[Sample], weights: np.ndarray) -> None:
    """Set the network's classifier. `train`: an item counts by its weight, and as often as it stands there. `weights`:
    (C,), how much an item of each class counts. Raises `SettingsError` where all are of one class."""
    if len(shown := {sample.label for sample in train}) < 2:
        raise SettingsError(
            f"optimiser.probe tells classes apart, and everybody who is learned from is {LABELS[shown.pop()]}: add "
            "people who are otherwise, or a corpus of them"
        )
    settings = config.optimiser
    times = Counter(id(sample) for sample in train)
    samples = list({id(sample): sample for sample in train}.values())
    plain = [dataclasses.replace(sample, frames={}) for sample in samples]
    heard = plain + [changed(config, sample, copy) for copy in range(1, settings.probe_copies + 1) for sample in plain]
    features = pool(config, network.encoder, network.classifier.pooling, heard)
    network.train()
    labels = np.tile([sample.label for sample in samples], settings.probe_copies + 1)
    once = np.array([times[id(sample)] * sample.weight for sample in samples])
    counts = np.tile(once, settings.probe_copies + 1) / (settings.probe_copies + 1)
    mean, spread = features.mean(0), features.std(0) + 1e-6
    if settings.probe_centred:
        people = np.array([sample.person for sample in samples] * (settings.probe_copies + 1))
        features = np.concatenate([features, _centred(features, labels, people)])
        labels, counts = np.tile(labels, 2), np.tile(counts, 2) / 2
    regression = LogisticRegression(C=settings.probe, max_iter=1000)
    regression.fit((features - mean) / spread, labels, sample_weight=counts * weights[labels])
    classes = network.classifier.classes
    found = torch.zeros(classes.out_features, classes.in_features, dtype=torch.float64)
    bias = torch.full((classes.out_features,), -1e3, dtype=torch.float64)  # of a class that nobody showed
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:  # one row for both
        coefficients, intercepts = np.vstack([-coefficients, coefficients]) / 2, np.r_[-intercepts, intercepts] / 2
    for row, label in enumerate(regression.classes_):
        found[label] = torch.from_numpy(coefficients[row] / spread)
        bias[label] = float(intercepts[row]) - float(coefficients[row] @ (mean / spread))
    with torch.no_grad():
        classes.weight.copy_(found)
        classes.bias.copy_(bias)


def _centred(features: np.ndarray, labels: np.ndarray, people: np.ndarray) -> np.ndarray:
    """The features (N, D) without what is usual for their person, each class of a person counting alike. Those of a
    person who does not show every class remain: what they lack would be taken for what they are."""
    classes = np.unique(labels)
    means: dict[str, np.ndarray] = {}
    for person in np.unique(people):
        mine = [features[(people == person) & (labels == kind)] for kind in classes]
        if all(len(rows) for rows in mine):
            means[person] = np.mean([rows.mean(0) for rows in mine], axis=0)
    centred = features.copy()
    for person, usual in means.items():
        centred[people == person] -= usual - np.mean(list(means.values()), axis=0)
    return centred
