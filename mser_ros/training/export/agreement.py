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

#: What a graph gives, by name.
Outputs = Mapping[str, np.ndarray]
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
        self._told: dict[str, tuple[tuple[int, ...], list[Outputs | None]]] = {}

    def __call__(self, graphs: Mapping[str, Path]) -> Agreement:
        told = {name: self._tell(name, path) for name, path in graphs.items() if name != FUSION}
        fusion = FusionGraph(Graph(graphs[FUSION]), self.config.modalities) if FUSION in graphs else None
        logits = []
        for index, sample in enumerate(self.samples):
            outputs = {name: one for name, found in told.items() if (one := found[index]) is not None}
            logits.append(_logits(outputs, fusion, sample))
        found = softmax(np.array(logits))
        same = found.argmax(1) == self.truth.argmax(1)
        return Agreement(len(found), float(np.abs(found - self.truth).max()), float(same.mean()))

    def _tell(self, name: str, path: Path) -> list[Outputs | None]:
        """What a graph says of each sample, None of one without its modality; what it said last, where it is the same
        file still: of several graphs one at a time is made smaller."""
        file = path.stat()
        state = (file.st_ino, file.st_size, file.st_mtime_ns)
        if name not in self._told or self._told[name][0] != state:
            read = self._reader(name, Graph(path))
            self._told[name] = state, [read(sample) if sample.has(name) else None for sample in self.samples]
        return self._told[name][1]

    def _reader(self, name: str, graph: Graph) -> Callable[[Sample], Outputs]:
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


def _logits(outputs: Mapping[str, Outputs], fusion: FusionGraph | None, sample: Sample) -> np.ndarray:
    """(C,)."""
    if fusion is None:
        return next(iter(outputs.values()))["logits"][0]
    return fusion(outputs, text_confidence=sample.confidence)["logits"][0]
