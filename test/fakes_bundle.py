"""A bundle small enough to read: real ONNX graphs whose logits follow from the input by simple arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from mser_ros.bundle import write_manifest
from mser_ros.labels import LABELS

WORDS = ("[UNK]", "angry", "happy", "sad", "neutral")


def write_tiny_bundle(folder: Path, *, fusion: dict | None = None, modalities: tuple[str, ...] = ()) -> Path:
    """A bundle whose speech logits grow with loudness, whose text logits count the class names among the words, and
    whose mocap logits are the mean x, y and z of the canonical joints."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {
        "speech": {"graph": "speech.onnx", "representation": "waveform", "sample_rate": 16000, "min_s": 0.0},
        "text": {
            "graph": "text.onnx",
            "representation": "tokens",
            "tokenizer": "tokenizer.json",
            "languages": ["en"],
        },
        "mocap": {"graph": "mocap.onnx", "representation": "canonical15", "rate_hz": 15.0, "window_s": 4.0},
    }
    chosen = {name: entry for name, entry in entries.items() if not modalities or name in modalities}
    if "speech" in chosen:
        _save(folder / "speech.onnx", _speech())
    if "text" in chosen:
        _save(folder / "text.onnx", _text())
        tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(folder / "tokenizer.json"))
    if "mocap" in chosen:
        _save(folder / "mocap.onnx", _mocap())
    write_manifest(
        folder,
        {
            "name": "tiny",
            "version": "1",
            "labels": list(LABELS),
            "modalities": chosen,
            "fusion": fusion or {"kind": "log_linear", "prior": [0.25] * 4, "temperature": 1.0},
        },
    )
    return folder


def _save(path: Path, graph: onnx.GraphProto) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _constant(name: str, value: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


_LOGITS = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4])


def _speech() -> onnx.GraphProto:
    return helper.make_graph(
        [
            helper.make_node("Abs", ["waveform"], ["loud"]),
            helper.make_node("ReduceMean", ["loud", "axes"], ["level"], keepdims=1),
            helper.make_node("MatMul", ["level", "direction"], ["logits"]),
        ],
        "speech",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, "samples"])],
        [_LOGITS],
        [_constant("axes", np.array([1])), _constant("direction", np.array([[40, 10, -20, -10]], np.float32))],
    )


def _text() -> onnx.GraphProto:
    table = np.zeros((len(WORDS), 4), np.float32)
    table[1:] = 2 * np.eye(4, dtype=np.float32)
    return helper.make_graph(
        [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("ReduceSum", ["rows", "axes"], ["sums"], keepdims=0),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMax", ["mask", "axes"], ["any"], keepdims=1),
            helper.make_node("Mul", ["sums", "any"], ["logits"]),
        ],
        "text",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [1, "tokens"]),
        ],
        [_LOGITS],
        [_constant("table", table), _constant("axes", np.array([1]))],
    )


def _mocap() -> onnx.GraphProto:
    return helper.make_graph(
        [
            helper.make_node("ReduceSum", ["positions", "axes"], ["sums"], keepdims=0),
            helper.make_node("ReduceSum", ["mask", "axes"], ["seen"], keepdims=0),
            helper.make_node("Reshape", ["seen", "column"], ["count"]),
            helper.make_node("Div", ["sums", "count"], ["mean"]),
            helper.make_node("MatMul", ["mean", "widen"], ["logits"]),
        ],
        "mocap",
        [
            helper.make_tensor_value_info("positions", TensorProto.FLOAT, [1, "frames", "joints", 3]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, "frames", "joints"]),
        ],
        [_LOGITS],
        [
            _constant("axes", np.array([1, 2])),
            _constant("column", np.array([1, 1])),
            _constant("widen", np.eye(3, 4, dtype=np.float32)),
        ],
    )
