"""How much the joint classifier and each modality's head count, fitted on people whom none of them was trained on.

On its training people every part of a network is nearly always right, so nothing can be learned there of how far each
may be trusted. The validation people tell: stacked generalisation (Wolpert 1992).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ...evaluation.calibration import fit_sum
from ...types import subsets_of
from ..models.fusion import FusionNetwork
from ..runs.checkpoints import read_weights

#: Buffers of `FusionNetwork` that are set here.
WEIGHTS = ("joint_weight", "head_weight", "alone_weight")

Subsets = Sequence[tuple[str, ...]]


def fit_weights(network: FusionNetwork, truth: np.ndarray, predict: Callable[[Subsets], list[np.ndarray]]) -> None:
    """Set the weights of a network with heads from held-out people.

    `truth`: (N,). `predict`: gives the network's logits (N, C) for each set of modalities, NaN where nothing is there.
    """
    names = network.modalities
    subsets = subsets_of(names)
    set_weights(network, joint=1.0, heads=np.zeros(len(names)), alone=np.ones(len(names)))
    logits = dict(zip(subsets, predict(subsets), strict=True))
    heads = np.stack([logits[(name,)] for name in names], 1)
    there = np.isfinite(heads).all(2)
    alone = np.array(
        [
            fit_sum([(heads[rows, index, None], truth[rows])])[0] if rows.any() else 1.0
            for index, rows in enumerate(there.T)
        ]
    )
    heads = heads * alone[:, None]
    parts = []
    for subset in subsets:
        member = there & np.isin(names, subset)
        rows = member.sum(1) > 1
        if rows.any():
            known = np.where(member[rows][..., None], heads[rows], 0.0)
            parts.append((np.concatenate([logits[subset][rows][:, None], known], 1), truth[rows]))
    joint, *several = fit_sum(parts) if parts else np.ones(1 + len(names))
    set_weights(network, joint=joint, heads=np.array(several), alone=alone)


def mean_weights(network: FusionNetwork, folds: Sequence[Path]) -> None:
    """Set the weights of a network that nobody is held out from to the mean of those of the folds."""
    stored = [read_weights(path) for path in folds]
    joint, heads, alone = (torch.stack([weights[name] for weights in stored]).mean(0).numpy() for name in WEIGHTS)
    set_weights(network, joint=float(joint), heads=heads, alone=alone)


def set_weights(network: FusionNetwork, *, joint: float, heads: np.ndarray, alone: np.ndarray) -> None:
    """`heads`, `alone`: (M,)."""
    for name, value in zip(WEIGHTS, (joint, heads, alone), strict=True):
        buffer: torch.Tensor = getattr(network, name)
        buffer.copy_(torch.as_tensor(value, dtype=buffer.dtype))
