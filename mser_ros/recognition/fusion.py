"""The graph that joins the modalities of a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .graph import Graph


class FusionGraph:
    """An ONNX graph over what the graphs of single modalities give. `modalities`: in the order of its `present`."""

    def __init__(self, graph: Graph, modalities: Sequence[str]) -> None:
        self._graph = graph
        self._modalities = tuple(modalities)

    def __call__(
        self, outputs: Mapping[str, Mapping[str, np.ndarray]], *, text_confidence: float
    ) -> dict[str, np.ndarray]:
        """`outputs`: of each modality that is there, its `features` (1, T, D) and, where the graph takes them, `logits`
        (1, C). `text_confidence`: 0..1, of the transcript."""
        feeds: dict[str, np.ndarray] = {}
        for name, shape in self._graph.inputs.items():
            if name == "present":
                feeds[name] = np.array([[float(item in outputs) for item in self._modalities]], np.float32)
            elif name == "text_confidence":
                feeds[name] = np.array([[text_confidence]], np.float32)
            elif (modality := name.removesuffix("_logits")) in outputs:
                # Logits that were corrected for the voice are of double precision, which the graph does not take.
                feeds[name] = outputs[modality]["features" if name == modality else "logits"].astype(
                    np.float32, copy=False
                )
            else:  # a place holder: `present` masks it out
                feeds[name] = np.zeros([size if isinstance(size, int) else 1 for size in shape], np.float32)
        return self._graph(**feeds)
