"""What tests of training share."""

from __future__ import annotations

import functools
import gc
import hashlib
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="package", autouse=True)
def garbage_is_looked_for_less_often() -> Iterator[None]:
    """To trace a network makes objects by the million: to look through them again and again takes a twentieth of the
    time."""
    often, *more = gc.get_threshold()
    gc.set_threshold(20 * often, *more)
    yield
    gc.set_threshold(often, *more)


@pytest.fixture(scope="session", autouse=True)
def operators_are_read_once() -> Iterator[None]:
    """Each export to ONNX parses the source of every operator that there is, and lists those that are to be taken
    apart, which takes longer than to export a tiny network."""
    if "torch" not in sys.modules:  # no test of this run exports
        yield
        return
    import torch._dynamo.config
    from torch.export import decomp_utils, exported_program
    from torch.onnx._internal.exporter import _decomp
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    listed = functools.cache(decomp_utils._collect_all_valid_cia_ops)
    taken_apart = functools.cache(_decomp.create_onnx_friendly_decomposition_table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(functools.cache(ONNXRegistry.from_torchlib)))
        for module in (decomp_utils, exported_program):
            patch.setattr(module, "_collect_all_valid_cia_ops", listed)
        patch.setattr(
            _decomp, "create_onnx_friendly_decomposition_table", lambda known: dict(taken_apart(frozenset(known)))
        )
        # Where lengths are free, to look up the shape of a result takes longer than to work it out again.
        patch.setattr(torch._dynamo.config, "fake_tensor_cache_enabled", False)
        yield


@pytest.fixture(scope="package", autouse=True)
def pictures_are_sketched() -> Iterator[None]:
    """Drawing what a run or a bundle looks like takes as long as training or fitting it. True pictures are drawn where
    `mser train` runs by itself, of the default bundle that is weighed anew, and in reports."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (("fit.experiment", "confusion_matrix"), ("export.pictures", "trust")):
            if there := sys.modules.get(f"mser_ros.training.{module}"):
                patch.setattr(there, name, _sketch)
        yield


def _sketch(_what: object, path: Path, *, title: str = "") -> None:
    path.write_text(f"a picture: {title}", encoding="utf-8")


@pytest.fixture(scope="session")
def graphs_are_written_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever exports the same network again gets a copy of the graph of the first time."""
    from mser_ros.training.export import bundle, streams

    folder = tmp_path_factory.mktemp("graphs")
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((bundle, "write_graph"), (streams, "write_graph"), (streams, "write_fusion_graph")):
            patch.setattr(module, name, _once(getattr(module, name), folder))
        yield


def _once(write: Callable[..., None], folder: Path) -> Callable[..., None]:
    """`write` takes a network first and a path last, and by name what else matters."""

    def copy(network: Any, *arguments: Any, **named: Any) -> None:
        *how, path = arguments
        judge = named.get("judge")
        weights = [one.state_dict() for one in (network, judge) if one is not None]
        content = [[(name, value.numpy().tobytes()) for name, value in one.items()] for one in weights]
        rest = {name: value for name, value in named.items() if name != "judge"}
        key = pickle.dumps((write.__name__, repr(network), repr(how), repr(rest), content))
        first = folder / f"{hashlib.sha256(key).hexdigest()}.onnx"
        if not first.exists():
            write(network, *how, first, **named)
        shutil.copy(first, path)

    return copy
