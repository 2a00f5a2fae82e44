"""A bundle small enough to read: real ONNX graphs whose logits follow from the input by simple arithmetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from mser_ros.labels import LABELS
from mser_ros.recognition.bundle import write_manifest

WORDS = ("[UNK]", "angry", "happy", "sad", "neutral")


def write_tiny_bundle(
    folder: Path, *, fusion: dict | None = None, modalities: tuple[str, ...] = (), **entries: dict
) -> Path:
    """A bundle whose speech logits grow with loudness, whose text logits count the class names among the words, and
    whose mocap logits are the mean x, y and z of the canonical joints.

    `entries`: more for the manifest's entry of a modality; where that of speech has a `domain`, the graph finds a voice
    out of it, for the first of its reasons, that is louder than 0.1 in the mean. `fusion`: the manifest's entry; of
    kind 'graph' it gives the sum of the features (which are the logits) of what is present, the text's times its
    confidence, and of the logits of speech.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, dict] = {
        "speech": {"graph": "speech.onnx", "representation": "waveform", "sample_rate": 16000, "min_s": 0.0},
        "text": {
            "graph": "text.onnx",
            "representation": "tokens",
            "tokenizer": "tokenizer.json",
            "languages": ["en"],
        },
        "mocap": {"graph": "mocap.onnx", "representation": "canonical15", "rate_hz": 15.0, "window_s": 4.0},
    }
    chosen = {name: known[name] | entries.get(name, {}) for name in modalities or known}
    if "speech" in chosen:
        _save(folder / "speech.onnx", _speech(len(chosen["speech"].get("domain", ()))))
    if "text" in chosen:
        _save(folder / "text.onnx", _text())
        tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.save(str(folder / "tokenizer.json"))
    if "mocap" in chosen:
        _save(folder / "mocap.onnx", _mocap())
    if fusion and fusion["kind"] == "graph":
        fusion = {"graph": "fusion.onnx", "modalities": list(chosen)} | fusion
        _save(folder / "fusion.onnx", _fusion(list(chosen)))
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


_OUTPUTS = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("logits", "features")]
_FEATURES = helper.make_node("Identity", ["logits"], ["features"])


def _speech(domain: int) -> onnx.GraphProto:
    slope, offset = np.zeros((1, domain), np.float32), np.zeros((1, domain), np.float32)
    slope[:, :1], offset[:, :1], offset[:, 2:] = -100, 10, -5
    judges = [
        helper.make_node("MatMul", ["level", "slope"], ["fall"]),
        helper.make_node("Add", ["fall", "offset"], ["domain"]),
    ]
    return helper.make_graph(
        [
            helper.make_node("Abs", ["waveform"], ["loud"]),
            helper.make_node("ReduceMean", ["loud", "axes"], ["level"], keepdims=1),
            *(judges if domain else []),
            helper.make_node("MatMul", ["level", "direction"], ["logits"]),
            _FEATURES,
        ],
        "speech",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, [1, "samples"])],
        [*_OUTPUTS, *([helper.make_tensor_value_info("domain", TensorProto.FLOAT, [1, domain])] if domain else [])],
        [
            _constant("axes", np.array([1])),
            _constant("direction", np.array([[40, 10, -20, -10]], np.float32)),
            *([_constant("slope", slope), _constant("offset", offset)] if domain else []),
        ],
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
            _FEATURES,
        ],
        "text",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [1, "tokens"]),
        ],
        _OUTPUTS,
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
            _FEATURES,
        ],
        "mocap",
        [
            helper.make_tensor_value_info("positions", TensorProto.FLOAT, [1, "frames", "joints", 3]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, "frames", "joints"]),
        ],
        _OUTPUTS,
        [
            _constant("axes", np.array([1, 2])),
            _constant("column", np.array([1, 1])),
            _constant("widen", np.eye(3, 4, dtype=np.float32)),
        ],
    )


def _fusion(names: list[str]) -> onnx.GraphProto:
    def value(name: str, width: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width])

    inputs = [value(name, 4) for name in names] + [value("present", len(names))]
    nodes = []
    if "text" in names:
        inputs.append(value("text_confidence", 1))
        nodes.append(helper.make_node("Mul", ["text", "text_confidence"], ["believed"]))
    stacked = ["believed" if name == "text" else name for name in names]
    nodes += [
        helper.make_node("Concat", stacked, ["rows"], axis=0),
        helper.make_node("MatMul", ["present", "rows"], ["joint" if "speech" in names else "logits"]),
    ]
    if "speech" in names:  # what speech says by itself counts once more
        inputs.append(value("speech_logits", 4))
        nodes.append(helper.make_node("Add", ["joint", "speech_logits"], ["logits"]))
    outputs = [value("logits", 4)]
    return helper.make_graph(nodes, "fusion", inputs, outputs)
