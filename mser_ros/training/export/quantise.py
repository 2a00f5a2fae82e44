"""Smaller and faster graphs: int8 weights for MatMul and Gemm by channel and for embeddings by row.

Convolutions stay fp32, they suffer most and gain least. Where one scale for a whole channel changes too many labels, as
in a fine-tuned BERT, each block of a matrix gets a scale of its own: as small, and about two thirds as fast. Where that
changes too many as well, or leaves nothing to quantise, a graph stays fp32.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...errors import SettingsError
from ...model_store.merging import SHARED
from .agreement import Agreement

#: Tables smaller than this many values are not worth it.
_LEAST_EMBEDDING = 100_000


def shrink(
    graphs: Mapping[str, Path],
    compare: Callable[[Mapping[str, Path]], Agreement],
    *,
    int8: bool,
    log: Callable[[str], None],
) -> dict[str, tuple[str, Agreement]]:
    """Make fp32 graphs int8 where they lie, one after the other, as far as they still agree with their network.

    `compare`: what all graphs say together against the network. Returns the precision of each and the agreement with
    all of them as they are after it. Raises `SettingsError` where they disagree before.
    """
    agreement = compare(graphs)
    if not agreement.good:
        raise SettingsError(f"the exported graphs disagree with their network ({agreement}): report this")
    out = {}
    for name, graph in graphs.items():
        precision, small = "fp32", graph.with_suffix(".int8.onnx")
        for kind, method in (("int8", quantise), ("int8 in blocks", quantise_in_blocks)) if int8 else ():
            method(graph, small)
            # With those that are int8 already: what counts is what all of them say together.
            found = compare({**graphs, name: small}) if _is_int8(small) else None
            if found and found.good:
                precision, agreement = kind, found
                small.replace(graph)
                break
            small.unlink()
            log(f"{name}: {kind} gives the {found}" if found else f"{name}: {kind} finds no weights to quantise")
        out[name] = (precision, agreement)
        log(f"{name}: {precision}, {graph.stat().st_size / 1e6:.1f} MB, {agreement}")
    return out


def _is_int8(path: Path) -> bool:
    kinds = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    # A zero point is a single value, weights are more.
    return any(
        item.data_type in kinds and np.prod(item.dims) > 1
        for item in onnx.load(path, load_external_data=False).graph.initializer
    )


def quantise(source: Path, target: Path) -> None:
    """Write the int8 version of an fp32 graph: a scale per channel, activations scaled per call.

    Weights take seven of the eight bits, because processors without VNNI saturate when full-range products are added in
    pairs.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(source)
    _quantise_embeddings(model)
    del model.graph.value_info[:]  # shapes of the exporter that no longer hold once Gemm is taken apart
    onnx.save(model, target)
    with _without_advice():
        quantize_dynamic(
            target,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


def quantise_in_blocks(source: Path, target: Path) -> None:
    """Write the int8 version of an fp32 graph: a scale per block of a matrix, activations scaled in blocks as well.

    Of Gemm there is no such version, it stays fp32.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load(source)
    _quantise_embeddings(model)
    del model.graph.value_info[:]
    with _without_advice():
        # Accuracy level 4: products of int8, not of weights that are unpacked to floats at each call.
        quantiser = MatMulNBitsQuantizer(model, bits=8, block_size=SHARED, is_symmetric=True, accuracy_level=4)
        quantiser.process()
        quantiser.model.save_model_to_file(str(target), False)


@contextmanager
def _without_advice() -> Iterator[None]:
    """onnxruntime advises on the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _quantise_embeddings(model: onnx.ModelProto) -> None:
    """Gather from an fp32 table becomes Gather from an int8 table times Gather from a scale per row."""
    graph = model.graph
    tables = {item.name: item for item in graph.initializer}
    nodes = []
    for node in graph.node:
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or table.data_type != onnx.TensorProto.FLOAT or len(table.dims) != 2:
            nodes.append(node)
            continue
        values = numpy_helper.to_array(table)
        if values.size < _LEAST_EMBEDDING:
            nodes.append(node)
            continue
        scale = np.maximum(np.abs(values).max(1, keepdims=True) / 127, 1e-12).astype(np.float32)
        names = {part: f"{table.name}_{part}" for part in ("int8", "scale")}
        if names["int8"] not in tables:
            whole = np.round(values / scale).astype(np.int8)
            for part, array in (("int8", whole), ("scale", scale)):
                graph.initializer.append(numpy_helper.from_array(array, names[part]))
                tables[names[part]] = graph.initializer[-1]
        rows, factor, number = (f"{node.output[0]}_{part}" for part in ("rows", "factor", "number"))
        nodes += [
            helper.make_node("Gather", [names["int8"], node.input[1]], [rows], axis=0),
            helper.make_node("Cast", [rows], [number], to=onnx.TensorProto.FLOAT),
            helper.make_node("Gather", [names["scale"], node.input[1]], [factor], axis=0),
            helper.make_node("Mul", [number, factor], [node.output[0]]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in graph.node for name in node.input} | {item.name for item in graph.output}
    kept = [item for item in graph.initializer if item.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
