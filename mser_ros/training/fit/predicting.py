"""What a trained network says of samples: logits for any set of modalities, and what it estimates beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import nn

from ...labels import LABELS
from ...types import Modalities
from ..config.settings import ExperimentConfig
from ..models.build import build_model
from ..models.fusion import FusionNetwork
from ..runs.checkpoints import load_weights
from ..samples.batches import loader
from ..samples.inputs import Sample


class Predicted(NamedTuple):
    """`logits`: (N, C) for each set of modalities, NaN where a sample has nothing of the set. `affect`: valence and
    arousal (N, 2) in -1..1 from all that is there, or None where the network estimates none."""

    logits: list[np.ndarray]
    affect: np.ndarray | None = None


def predict(config: ExperimentConfig, network: nn.Module, samples: Sequence[Sample]) -> np.ndarray:
    """Logits (N, C), in the order of `samples`, in full precision."""
    return predict_subsets(config, network, samples, [config.modalities]).logits[0]


def predict_subsets(
    config: ExperimentConfig, network: nn.Module, samples: Sequence[Sample], subsets: Sequence[Modalities]
) -> Predicted:
    """As `predict`, for each set of modalities; encoders run once for all of them."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.eval().to(device)
    fused = isinstance(network, FusionNetwork)
    logits = [np.full((len(samples), len(LABELS)), np.nan, np.float32) for _ in subsets]
    affect = np.full((len(samples), 2), np.nan, np.float32) if fused and network.affect is not None else None
    with torch.inference_mode():
        for batch in loader(samples, config, training=False):
            rows = batch.index.numpy()
            inputs, present, confidence = move_data_to_device((batch.inputs, batch.present, batch.confidence), device)
            if not isinstance(network, FusionNetwork):
                logits[0][rows] = _array(network(inputs).logits)
                continue
            streams = {name: network.stream(name, inputs[name]) for name in network.modalities}
            for subset, out in zip(subsets, logits, strict=True):
                chosen = present * torch.tensor([float(name in subset) for name in config.modalities], device=device)
                output = network.fuse(streams, chosen, confidence)
                there = chosen.cpu().numpy().any(1)
                out[rows[there]] = _array(output.logits)[there]
                if affect is not None and output.affect is not None and tuple(subset) == config.modalities:
                    affect[rows] = _array(output.affect)
    network.cpu()
    return Predicted(logits, affect)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()


def restore(config: ExperimentConfig, path: Path) -> nn.Module:
    """A trained network from its weights."""
    network = build_model(config)
    load_weights(network, path)
    return network.eval()
