"""Smaller and faster graphs: int8 weights for MatMul and Gemm by channel and for embeddings by row.

Convolutions stay fp32, they suffer most and gain least. Where one scale for a whole channel changes too many labels, as
in a fine-tuned BERT, each block of a matrix gets a scale of its own: as small, and about two thirds as fast.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

#: Tables smaller than this many values are not worth it.
_LEAST_EMBEDDING = 100_000
#: Values of a matrix that share a scale.
_BLOCK = 128


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
    logging.getLogger().setLevel(logging.ERROR)  # onnxruntime advises on the root logger
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
    """Write the int8 version of an fp32 graph: a scale per block of a matrix, activations scaled in blocks as well."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    model = onnx.load(source)
    _quantise_embeddings(model)
    del model.graph.value_info[:]
    logging.getLogger().setLevel(logging.ERROR)
    # Accuracy level 4: products of int8, not of weights that are unpacked to floats at each call.
    quantiser = MatMulNBitsQuantizer(model, bits=8, block_size=_BLOCK, is_symmetric=True, accuracy_level=4)
    quantiser.process()
    quantiser.model.save_model_to_file(str(target), False)


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
