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

from ..config.settings import ExperimentConfig
from ..models.build import UnimodalModel
from ..models.encoding import encode
from ..progress import track
from ..samples.augment import augment
from ..samples.batches import sample_length
from ..samples.features import content_key, encoder_key
from ..samples.inputs import Collator, Sample

#: What was pooled of a sample, by encoder, content and copy: the folds of a run have most of their samples in common.
_pooled: dict[tuple[str, str, int], np.ndarray] = {}


def fit_probe(config: ExperimentConfig, network: UnimodalModel, train: Sequence[Sample], weights: np.ndarray) -> None:
    """Set the network's classifier. `train`: an item that stands there several times counts so often. `weights`: (C,),
    how much an item of each class counts."""
    settings = config.optimiser
    times = Counter(id(sample) for sample in train)
    samples = list({id(sample): sample for sample in train}.values())
    features = np.concatenate([_pool(config, network, samples, copy) for copy in range(settings.probe_copies + 1)])
    labels = np.tile([sample.label for sample in samples], settings.probe_copies + 1)
    counts = np.tile([times[id(sample)] for sample in samples], settings.probe_copies + 1) / (settings.probe_copies + 1)
    mean, spread = features.mean(0), features.std(0) + 1e-6
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


def _pool(config: ExperimentConfig, network: UnimodalModel, samples: Sequence[Sample], copy: int) -> np.ndarray:
    """What the untrained network pools of every sample, (N, D); of `copy` 0 as it is, of others as it was changed."""
    modality, collate = network.modality, Collator(config)
    encoder = encoder_key(network.encoder)
    plain = [dataclasses.replace(sample, frames={}) for sample in samples]
    keys = [(encoder, content_key(collate.stack(modality, [sample])), copy) for sample in plain]
    missing = [
        (key, _changed(config, sample, key) if copy else sample)
        for key, sample in zip(keys, plain, strict=True)
        if key not in _pooled
    ]
    missing.sort(key=lambda pair: sample_length(pair[1]))
    size = config.optimiser.batch
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.eval().to(device)
    for at in track(range(0, len(missing), size), "listening" if modality == "speech" else f"features of {modality}"):
        batch = missing[at : at + size]
        inputs = collate.stack(modality, [sample for _, sample in batch])
        with torch.inference_mode():
            frames, mask = encode(network.encoder, {name: value.to(device) for name, value in inputs.items()})
            rows = network.classifier.pooling(frames, mask).float().cpu().numpy()
        _pooled.update({key: row for (key, _), row in zip(batch, rows, strict=True)})
    network.cpu().train()
    return np.stack([_pooled[key] for key in keys])


def _changed(config: ExperimentConfig, sample: Sample, key: tuple[str, str, int]) -> Sample:
    rng = np.random.default_rng((config.seed, key[2], int(key[1], 16)))
    return augment(sample, config.augment, rng, rate_hz=config.inputs.rate_hz)
