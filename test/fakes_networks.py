"""Runs whose answers are decided by hand, so that what is made of them does not depend on how training went.

Their network says 'happy' of everything, by a margin that no rounding reaches and that a change of the weights' sign
undoes; what they predicted of people they had never seen is right in three of four, and as sure as that.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mser_ros.labels import LABELS
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.fit.predicting import restore
from mser_ros.training.fit.stacking import set_weights
from mser_ros.training.models.classifier import Classifier
from mser_ros.training.models.fusion import FusionNetwork
from mser_ros.training.runs.checkpoints import save_weights
from mser_ros.training.runs.predictions import OutOfFold
from mser_ros.training.runs.warm_start import weights_of

#: How far inputs may move what would be 1 without them: not far enough for another label.
_SHARE = 0.002


def decide_run(config: ExperimentConfig, folder: Path) -> None:
    """Decide a finished run's final network and predictions."""
    network = restore(config, weights_of(folder, "final"))
    decide(network)
    save_weights(network, weights_of(folder, "final"))
    for path in folder.glob("predictions*.npz"):
        rows = OutOfFold.load(path)
        decided(rows, np.log(9.0)).save(path)  # of four classes: three of four right are foretold


def decided(rows: OutOfFold, size: float | np.ndarray) -> OutOfFold:
    """The same rows, of which three of four are right, each with a logit of this size for the class it is taken for."""
    guess = (rows.label + (np.arange(len(rows)) % 4 == 3)) % len(LABELS)
    return replace(rows, logits=(np.eye(len(LABELS))[guess] * np.reshape(size, (-1, 1))).astype(np.float32))


def decide(network: nn.Module) -> None:
    """Set the weights that decide. What the rest computes moves the logits a little."""
    with torch.no_grad():
        if not isinstance(network, FusionNetwork):
            _say(network.classifier, 0.0, 3.0, 2.0, 0.0)  # type: ignore[arg-type]
        elif network.heads:
            _decide_by_heads(network)
        else:
            _decide_by_text(network)


def _decide_by_heads(network: FusionNetwork) -> None:
    """The joint classifier and the head of the text say 'happy' together; with one of them reversed it is 'sad' or
    'neutral'. Between 'angry' and 'neutral' the text alone tells a difference."""
    _say(network, 0.0, 3.0, 2.0, 0.0)
    for name, head in network.heads.items():
        _say(head, *((0.0, 3.0, 0.0, 2.0) if name == "text" else (0.2, 0.0, -0.2, 0.2)))  # type: ignore[arg-type]
    ones = np.ones(len(network.modalities))
    set_weights(network, joint=1.0, heads=ones, alone=ones)


def _decide_by_text(network: FusionNetwork) -> None:
    """What the text is projected to is about 1, and 'happy' outweighs a constant 'sad' by that alone."""
    norm = network.encoders["text"].model.encoder.layer[-1].output.LayerNorm  # type: ignore[union-attr, index]
    nn.init.constant_(norm.weight, 0.1)
    nn.init.ones_(norm.bias)
    projection = network.bridges["text"].projection  # type: ignore[union-attr]
    projection.weight.copy_((1 + 0.5 * _waves(projection.weight)) / projection.in_features)
    nn.init.zeros_(projection.bias)
    width, at = network.settings.width, network.modalities.index("text")
    dense, half = network.dense[1], network.classes.in_features // 2
    dense.weight.copy_(_SHARE * _waves(dense.weight))
    dense.weight[:half, at * width : (at + 1) * width] = 1 / width
    dense.bias[:half], dense.bias[half:] = 0.0, 1.0
    nn.init.zeros_(network.classes.weight)
    nn.init.zeros_(network.classes.bias)
    network.classes.weight[1, :half] = 3.0 / half
    network.classes.weight[2, half:] = 1.5 / half


def _say(classifier: Classifier | FusionNetwork, *logits: float) -> None:
    """Let a classifier say about `logits`, of features that are all about 1."""
    dense = next(layer for layer in classifier.dense if isinstance(layer, nn.Linear))
    dense.weight.copy_(_SHARE * _waves(dense.weight))
    nn.init.ones_(dense.bias)
    classifier.classes.weight.copy_(torch.tensor(logits)[:, None] / dense.out_features)
    nn.init.zeros_(classifier.classes.bias)


def _waves(like: Tensor) -> Tensor:
    """Numbers in -1..1 that are all different, of the same shape."""
    return torch.cos(2.0 * torch.arange(like.numel())).reshape(like.shape)
