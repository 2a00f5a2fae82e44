"""Do exported graphs say what their network says?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...audio.waveform import to_float
from ...recognition.bundle import ModalitySpec
from ...recognition.fusion import FusionGraph
from ...recognition.graph import Graph
from ...recognition.posteriors import softmax
from ...recognition.readers import MocapReader, SpeechReader, TextReader
from ...settings import EmotionSettings
from ..config.settings import ExperimentConfig
from ..samples.inputs import Collator, Sample, how_fed, load_tokenizer

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
    """Compares graphs, by name, with the network they come of: on real utterances, one at a time, read and fused by the
    robot's own code."""

    def __init__(self, network: nn.Module, config: ExperimentConfig, samples: Sequence[Sample]) -> None:
        self.samples, self.config = samples, config
        collate = Collator(config)
        batches = (collate([pair]) for pair in enumerate(samples))
        network.eval()
        with torch.inference_mode():
            logits = [network(batch.inputs, batch.present, batch.confidence).logits[0] for batch in batches]
        self.truth = softmax(torch.stack(logits).float().numpy())

    def __call__(self, graphs: Mapping[str, Path]) -> Agreement:
        loaded = {name: Graph(path) for name, path in graphs.items()}
        readers = {name: self._reader(name, graph) for name, graph in loaded.items() if name != FUSION}
        fusion = FusionGraph(loaded[FUSION], self.config.modalities) if FUSION in loaded else None
        found = softmax(np.array([_logits(readers, fusion, sample) for sample in self.samples]))
        same = found.argmax(1) == self.truth.argmax(1)
        return Agreement(len(found), float(np.abs(found - self.truth).max()), float(same.mean()))

    def _reader(self, name: str, graph: Graph) -> Callable[[Sample], Mapping[str, np.ndarray]]:
        """From a sample to the graph's outputs, as the recogniser feeds it."""
        spec = ModalitySpec(graph.path.name, **how_fed(self.config, name))
        if name == "speech":
            speech = SpeechReader(spec, graph, EmotionSettings())
            return lambda sample: speech.run(to_float(_there(sample.speech)))
        if name == "text":
            text = TextReader(spec, graph, load_tokenizer(self.config))
            return lambda sample: text.run(sample.text or "")
        mocap = MocapReader(spec, graph)
        return lambda sample: mocap.run(_there(sample.positions), _there(sample.seen))


def _there(array: np.ndarray | None) -> np.ndarray:
    assert array is not None
    return array


def _logits(
    readers: Mapping[str, Callable[[Sample], Mapping[str, np.ndarray]]], fusion: FusionGraph | None, sample: Sample
) -> np.ndarray:
    """(C,)."""
    outputs = {name: read(sample) for name, read in readers.items() if sample.has(name)}
    if fusion is None:
        return next(iter(outputs.values()))["logits"][0]
    return fusion(outputs, text_confidence=sample.confidence)["logits"][0]
