"""Do exported graphs say what their network says?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...recognition.graph import Graph
from ...recognition.posteriors import softmax
from ..config.settings import ExperimentConfig
from ..samples.inputs import Batch, Collator, Sample

#: The graph that joins the others.
FUSION = "fusion"
#: Real utterances on which graphs are compared with their network.
CHECKED = 400
#: The graphs must give the network's label this often.
LEAST_AGREEMENT = 0.99


@dataclass(frozen=True)
class Agreement:
    """`difference`: the largest of a probability. `labels`: share of equal labels."""

    items: int
    difference: float
    labels: float

    def __str__(self) -> str:
        return f"same label {self.labels:.3f}, largest difference of a probability {self.difference:.3f}"

    @property
    def good(self) -> bool:
        return self.labels >= LEAST_AGREEMENT

    def as_json(self) -> dict[str, float]:
        return {
            "items": self.items,
            "largest_probability_difference": round(self.difference, 5),
            "label_agreement": round(self.labels, 5),
        }


class Comparison:
    """Compares graphs, by name, with the network they come of: on real utterances, one at a time as the robot does."""

    def __init__(self, network: nn.Module, config: ExperimentConfig, samples: Sequence[Sample]) -> None:
        self.samples, self.collate = samples, Collator(config)
        network.eval()
        with torch.inference_mode():
            logits = [network(batch.inputs, batch.present, batch.confidence).logits[0] for batch in self._batches()]
        self.truth = softmax(torch.stack(logits).float().numpy())

    def __call__(self, graphs: Mapping[str, Path]) -> Agreement:
        sessions = {name: Graph(path) for name, path in graphs.items()}
        logits = [_run(sessions, *pair) for pair in zip(self.samples, self._batches(), strict=True)]
        found = softmax(np.array(logits))
        same = found.argmax(1) == self.truth.argmax(1)
        return Agreement(len(found), float(np.abs(found - self.truth).max()), float(same.mean()))

    def _batches(self) -> Iterator[Batch]:
        return (self.collate([pair]) for pair in enumerate(self.samples))


def _run(sessions: Mapping[str, Graph], sample: Sample, batch: Batch) -> np.ndarray:
    """Logits (C,), with place holders for missing modalities, as the recogniser runs the graphs."""
    outputs = {
        name: sessions[name](**{key: fed[key].numpy() for key in sessions[name].inputs})
        for name, fed in batch.inputs.items()
        if sample.has(name)
    }
    if FUSION not in sessions:
        return next(iter(outputs.values()))["logits"][0]
    feeds = {"present": batch.present.numpy(), "text_confidence": batch.confidence.numpy()[:, None]}
    fusion = sessions[FUSION]
    for name, shape in fusion.inputs.items():
        if (modality := name.removesuffix("_logits")) in outputs:
            feeds[name] = outputs[modality]["features" if name == modality else "logits"]
        elif name not in feeds:
            feeds[name] = np.zeros([size if isinstance(size, int) else 1 for size in shape], np.float32)
    return fusion(**{name: feeds[name] for name in fusion.inputs})["logits"][0]
