"""A graph becomes int8 by the first way that keeps what it says, or stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mser_ros.errors import SettingsError
from mser_ros.recognition.graph import Graph
from mser_ros.recognition.posteriors import softmax
from mser_ros.training.export import quantise
from mser_ros.training.export.agreement import Agreement

WIDTH = 256
_RNG = np.random.default_rng(1)
#: Forty patterns of four classes in turn, and each of them five times with some noise.
PATTERNS = _RNG.normal(size=(40, WIDTH)).astype(np.float32)
INPUTS = np.repeat(PATTERNS, 5, 0)[:, None] + _RNG.normal(scale=0.05, size=(200, 1, WIDTH)).astype(np.float32)


def write_graph(path: Path, *, weights: bool = True) -> np.ndarray:
    """Two dense layers that know the classes of `PATTERNS`; what they say of `INPUTS`, (200, 4)."""
    inner = np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype(np.float32)
    known = np.linalg.pinv(np.maximum(PATTERNS @ inner, 0)) @ np.tile(4 * np.eye(4), (10, 1))
    arrays = {"a": inner, "b": known.astype(np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["inner"]),
        helper.make_node("Relu", ["inner"], ["positive"]),
        helper.make_node("MatMul", ["positive", "b"], ["logits"]),
    ]
    if not weights:
        nodes = [helper.make_node("Slice", ["x", "zero", "four", "one"], ["logits"])]
        arrays = {name: np.array([value]) for name, value in (("zero", 0), ("four", 4), ("one", 1))}
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, WIDTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return said(path)


def said(path: Path) -> np.ndarray:
    graph = Graph(path)
    return softmax(np.array([graph(x=row)["logits"][0] for row in INPUTS]))


class Judge:
    """Compares the graph named 'dense' with what it said as fp32."""

    def __init__(self, truth: np.ndarray) -> None:
        self.truth = truth

    def __call__(self, graphs: Mapping[str, Path]) -> Agreement:
        found = said(graphs["dense"])
        same = found.argmax(1) == self.truth.argmax(1)
        return Agreement(len(found), float(np.abs(found - self.truth).max()), float(same.mean()))


def shrink(path: Path, judge: Judge, *, int8: bool = True) -> tuple[str, Agreement, list[str]]:
    told: list[str] = []
    precision, agreement = quantise.shrink({"dense": path}, judge, int8=int8, log=told.append)["dense"]
    assert list(path.parent.iterdir()) == [path], "no attempt is left behind"
    return precision, agreement, told


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def spoil(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a way of quantising lose the sign of every weight."""
    real = getattr(quantise, name)

    def spoiled(source: Path, target: Path) -> None:
        model = onnx.load(source)
        for item in model.graph.initializer:
            item.CopyFrom(numpy_helper.from_array(np.abs(numpy_helper.to_array(item)), item.name))
        onnx.save(model, target)
        real(target, target)

    monkeypatch.setattr(quantise, name, spoiled)


def test_a_graph_that_quantises_well_becomes_int8_by_channel(tmp_path: Path) -> None:
    path = tmp_path / "dense.onnx"
    truth = write_graph(path)
    before = path.stat().st_size
    precision, agreement, _ = shrink(path, Judge(truth))
    assert precision == "int8"
    assert "MatMulInteger" in operators(path)
    assert path.stat().st_size < 0.3 * before
    assert agreement.labels >= 0.99
    assert 0 < agreement.difference < 0.05
    assert agreement == Judge(truth)({"dense": path}), "what is told is of the graph that lies there"


def test_where_channels_fail_blocks_are_tried_and_say_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dense.onnx"
    truth = write_graph(path)
    before = path.stat().st_size
    spoil(monkeypatch, "quantise")
    precision, agreement, told = shrink(path, Judge(truth))
    assert precision == "int8 in blocks"
    assert "MatMulNBits" in operators(path)
    assert "MatMul" not in operators(path)
    assert path.stat().st_size < 0.35 * before
    np.testing.assert_allclose(said(path), truth, atol=0.05)
    assert 0 < agreement.difference < 0.05
    assert "int8 gives the same label 0." in told[0]


def test_where_both_fail_the_graph_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dense.onnx"
    judge = Judge(write_graph(path))
    before = path.read_bytes()
    for name in ("quantise", "quantise_in_blocks"):
        spoil(monkeypatch, name)
    precision, agreement, told = shrink(path, judge)
    assert precision == "fp32"
    assert path.read_bytes() == before
    assert (agreement.labels, agreement.difference) == (1, 0), "not that of an attempt that failed"
    assert len(told) == 3


def test_int8_is_not_claimed_where_there_is_nothing_to_quantise(tmp_path: Path) -> None:
    path = tmp_path / "dense.onnx"
    precision, _, told = shrink(path, Judge(write_graph(path, weights=False)))
    assert precision == "fp32"
    assert "finds no weights to quantise" in told[0]


def test_nobody_quantises_unasked(tmp_path: Path) -> None:
    path = tmp_path / "dense.onnx"
    judge = Judge(write_graph(path))
    before = path.read_bytes()
    assert shrink(path, judge, int8=False)[0] == "fp32"
    assert path.read_bytes() == before


def test_a_graph_is_judged_together_with_those_that_are_int8_already(tmp_path: Path) -> None:
    graphs = {name: tmp_path / f"{name}.onnx" for name in ("first", "second")}
    for path in graphs.values():
        write_graph(path)
    seen = []

    def compare(tried: Mapping[str, Path]) -> Agreement:
        seen.append({name: "MatMulInteger" in operators(path) for name, path in tried.items()})
        return Agreement(1, 0.0, 1.0)

    quantise.shrink(graphs, compare, int8=True, log=lambda _text: None)
    states = [(False, False), (True, False), (True, True)]
    assert seen == [{"first": first, "second": second} for first, second in states]


def test_graphs_that_disagree_before_they_are_quantised_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dense.onnx"
    truth = write_graph(path)
    with pytest.raises(SettingsError, match=r"disagree with their network \(same label 0\.0"):
        shrink(path, Judge(1 - truth))
