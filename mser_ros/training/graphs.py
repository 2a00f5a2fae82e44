"""A trained network as an ONNX graph with the signature that the recogniser feeds."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from .config import ExperimentConfig
from .front_end import SAMPLE_RATE, FrontEnd

OPSET = 18


class SpeechGraph(nn.Module):
    """waveform (1, samples) -> logits (1, C), features (1, D)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        return tuple(self.network({"speech": {"waveform": waveform}}))  # type: ignore[return-value]


class TextGraph(SpeechGraph):
    """input_ids, attention_mask (1, L) -> logits (1, C), features (1, D)."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        inputs = {"text": {"input_ids": input_ids, "attention_mask": attention_mask}}
        return tuple(self.network(inputs))  # type: ignore[return-value]


class MocapGraph(SpeechGraph):
    """positions (1, T, J, 3), mask (1, T, J) -> logits (1, C), features (1, D)."""

    def forward(self, positions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return tuple(self.network({"mocap": {"positions": positions, "mask": mask}}))  # type: ignore[return-value]


GRAPHS = {"speech": SpeechGraph, "text": TextGraph, "mocap": MocapGraph}
#: The axis of each input whose length is free.
TIME_AXIS = 1


def example_inputs(modality: str, config: ExperimentConfig, *, joints: int = 15) -> dict[str, Tensor]:
    """Inputs of a usual length, by name."""
    if modality == "speech":
        return {"waveform": torch.randn(1, 2 * SAMPLE_RATE) * 0.1}
    if modality == "text":
        return {"input_ids": torch.arange(5, 17)[None], "attention_mask": torch.ones(1, 12, dtype=torch.int64)}
    frames = round(2 * config.inputs.rate_hz)
    return {"positions": torch.randn(1, frames, joints, 3), "mask": torch.ones(1, frames, joints)}


def write_graph(network: nn.Module, modality: str, config: ExperimentConfig, path: Path) -> None:
    """Export the fp32 network of one modality; time is dynamic, the batch is one utterance."""
    network = network.eval()
    set_exporting(network, True)
    inputs = example_inputs(modality, config)
    length = torch.export.Dim("length", min=2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program = torch.onnx.export(
                GRAPHS[modality](network),
                tuple(inputs.values()),
                input_names=list(inputs),
                output_names=["logits", "features"],
                dynamic_shapes={name: {TIME_AXIS: length} for name in inputs},
                opset_version=OPSET,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        set_exporting(network, False)
    assert program is not None
    program.save(str(path))


def set_exporting(network: nn.Module, exporting: bool) -> None:
    for module in network.modules():
        if isinstance(module, FrontEnd):
            module.exporting = exporting
