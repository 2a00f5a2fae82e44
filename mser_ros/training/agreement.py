"""Does an exported graph say what the network says?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..inference import Graph, softmax
from .config import ExperimentConfig
from .inputs import Collator, Sample

#: A graph must give the network's label this often.
LEAST_AGREEMENT = 0.99


@dataclass(frozen=True)
class Agreement:
    """`difference`: the largest of a probability. `labels`: share of equal labels."""

    items: int
    difference: float
    labels: float

    @property
    def good(self) -> bool:
        return self.labels >= LEAST_AGREEMENT

    def as_json(self) -> dict[str, float]:
        return {
            "items": self.items,
            "largest_probability_difference": round(self.difference, 5),
            "label_agreement": round(self.labels, 5),
        }


def compare(
    network: nn.Module, graph: Path, modality: str, config: ExperimentConfig, samples: Sequence[Sample]
) -> Agreement:
    """Run both on real utterances, one at a time as the robot does."""
    session, collate = Graph(graph), Collator(config)
    network.eval()
    ours, theirs = [], []
    for index, sample in enumerate(samples):
        inputs = collate([(index, sample)]).inputs[modality]
        with torch.inference_mode():
            ours.append(network({modality: inputs}).logits[0].numpy())
        feeds = {name: inputs[name].numpy() for name in session.inputs}
        theirs.append(session(**feeds)["logits"][0])
    one, other = softmax(np.array(ours)), softmax(np.array(theirs))
    same = one.argmax(1) == other.argmax(1)
    return Agreement(len(samples), float(np.abs(one - other).max()), float(same.mean()))
