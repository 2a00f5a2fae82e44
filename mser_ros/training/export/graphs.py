"""A trained network as an ONNX graph with the signature that the recogniser feeds."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from ...labels import LABELS
from ...mocap.layouts import JOINTS, MARKER_BINS, MARKERS
from ...types import SAMPLE_RATE
from ..config.settings import ExperimentConfig
from ..models.domain import DomainHead
from ..models.front_end import FrontEnd
from ..models.fusion import ConcatFusion, FusionNetwork, Stream
from ..models.pooling import Encoded

OPSET = 18


class SpeechGraph(nn.Module):
    """waveform (1, samples) -> logits (1, C), features (1, D) and, with a judge, domain (1, K); of a network of several
    streams features (1, T, D) and, where it has a head for this one, logits."""

    modality = "speech"

    def __init__(self, network: nn.Module, judge: DomainHead | None = None) -> None:
        super().__init__()
        self.network = network
        self.judge = judge

    def forward(self, waveform: Tensor) -> tuple[Tensor, ...]:
        return self._run({"waveform": waveform})

    def _run(self, inputs: dict[str, Tensor]) -> tuple[Tensor, ...]:
        if not isinstance(self.network, FusionNetwork):
            output = self.network({self.modality: inputs})
            return output[:2] if self.judge is None else (*output[:2], self.judge(output.encoded))
        stream = self.network.stream(self.modality, inputs)
        return (stream.encoded.frames,) if stream.logits is None else (stream.logits, stream.encoded.frames)


class TextGraph(SpeechGraph):
    """input_ids, attention_mask (1, L) -> as `SpeechGraph`."""

    modality = "text"

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return self._run({"input_ids": input_ids, "attention_mask": attention_mask})


class MocapGraph(SpeechGraph):
    """positions (1, T, J, 3), mask (1, T, J) -> as `SpeechGraph`."""

    modality = "mocap"

    def forward(self, positions: Tensor, mask: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return self._run({"positions": positions, "mask": mask})


class FusionGraph(nn.Module):
    """features (1, T, D) of each modality, present (1, M) [, text_confidence (1, 1)] -> logits (1, C), those of each
    head [, affect (1, 2): valence and arousal, -1..1]."""

    def __init__(self, network: FusionNetwork, *, affect: bool) -> None:
        super().__init__()
        self.network = network
        self.affect = affect

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        names = self.network.modalities
        frames, rest = inputs[: len(names)], inputs[len(names) :]
        logits, rest = (rest[: len(names)], rest[len(names) :]) if self.network.heads else ([None] * len(names), rest)
        present, confidence = rest[0], rest[1][:, 0] if len(rest) > 1 else None
        streams = {}
        for name, one, own in zip(names, frames, logits, strict=True):
            mask = torch.ones(one.shape[:2], dtype=torch.bool, device=one.device)
            streams[name] = Stream(Encoded(one, mask), own)
        output = self.network.fuse(streams, present, confidence)
        affect = (output.affect,) if self.affect and output.affect is not None else ()
        return output.logits, *affect


GRAPHS = {"speech": SpeechGraph, "text": TextGraph, "mocap": MocapGraph}
#: The axis of each input whose length is free.
TIME_AXIS = 1


def example_inputs(modality: str, config: ExperimentConfig) -> dict[str, Tensor]:
    """Inputs of a usual length, by name."""
    if modality == "speech":
        return {"waveform": torch.randn(1, 2 * SAMPLE_RATE) * 0.1}
    if modality == "text":
        return {"input_ids": torch.arange(5, 17)[None], "attention_mask": torch.ones(1, 12, dtype=torch.int64)}
    frames, joints = (MARKER_BINS, MARKERS) if config.reads_markers else (round(2 * config.inputs.rate_hz), len(JOINTS))
    return {"positions": torch.randn(1, frames, joints, 3), "mask": torch.ones(1, frames, joints)}


def write_graph(
    network: nn.Module, modality: str, config: ExperimentConfig, path: Path, *, judge: DomainHead | None = None
) -> None:
    """Export the fp32 network of one modality; time is dynamic, the batch is one utterance."""
    inputs = example_inputs(modality, config)
    is_free = not (modality == "mocap" and config.reads_markers)
    graph = GRAPHS[modality](network, judge)
    with torch.inference_mode():
        count = len(graph.eval()(**inputs))
    _export(
        graph,
        inputs,
        path,
        outputs=["logits", "features", "domain"] if judge is not None else ["logits", "features"][-count:],
        shapes={name: {TIME_AXIS: "length"} if is_free else None for name in inputs},
    )


def write_fusion_graph(network: FusionNetwork, path: Path, *, affect: bool = False) -> None:
    """Export what joins the streams; the length of each is dynamic. Inputs are named as the modalities.

    `affect`: with the network's estimate of valence and arousal, if it has one and has learned it.
    """
    names, width = network.modalities, network.settings.width
    frames = 1 if isinstance(network, ConcatFusion) else 7
    inputs = {name: torch.randn(1, frames + 2 * index * (frames > 1), width) for index, name in enumerate(names)}
    free = [{TIME_AXIS: f"{name}_frames"} if frames > 1 else None for name in names]
    inputs.update({f"{name}_logits": torch.randn(1, len(LABELS)) for name in network.heads})
    inputs["present"] = torch.ones(1, len(names))
    if network.settings.gate_text and "text" in names:
        inputs["text_confidence"] = torch.ones(1, 1)
    shapes = (*free, *[None] * (len(inputs) - len(names)))
    outputs = ["logits", "affect"] if affect and network.affect is not None else ["logits"]
    _export(FusionGraph(network, affect=affect), inputs, path, outputs=outputs, shapes=(shapes,))


def _export(graph: nn.Module, inputs: dict[str, Tensor], path: Path, *, outputs: list[str], shapes: Any) -> None:
    graph = graph.eval()
    set_exporting(graph, True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                graph,
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        set_exporting(graph, False)
    assert program is not None
    program.save(str(path))
    _forget_origin(path)


def _forget_origin(path: Path) -> None:
    """Where each operation comes from in the source, with the paths of this machine, is nobody's business."""
    model = onnx.load(path)
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del part.metadata_props[:]
    for part in (*model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    onnx.save(model, path)


def set_exporting(network: nn.Module, exporting: bool) -> None:
    for module in network.modules():
        if isinstance(module, FrontEnd):
            module.exporting = exporting
