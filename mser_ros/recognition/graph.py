"""Running ONNX graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import BundleError


class Graph:
    """One ONNX graph on the CPU. `threads`: of the engine; they never spin, a robot has other work for its cores.
    `weights`: the folder of what the graph leaves to another file.

    Raises `BundleError` when the file cannot be loaded or does not run with what it is fed.
    """

    def __init__(self, path: Path, *, threads: int = 1, weights: Path | None = None) -> None:
        import onnxruntime as ort
        from onnxruntime.capi import onnxruntime_pybind11_state as state

        self._errors = tuple(getattr(state, name) for name in _ORT_ERRORS if hasattr(state, name))
        self.path = path
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        if weights is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights))
        source = str(path) if weights is None else path.read_bytes()
        try:
            self._session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except self._errors as error:
            raise BundleError(f"graph {path} cannot be loaded: export the bundle again ({_short(error)})") from None
        self.inputs = {item.name: item.shape for item in self._session.get_inputs()}
        self.outputs = tuple(item.name for item in self._session.get_outputs())

    def __call__(self, **feeds: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name."""
        try:
            values = self._session.run(None, feeds)
        except (*self._errors, ValueError) as error:
            raise BundleError(f"graph {self.path} does not run: export the bundle again ({_short(error)})") from None
        return dict(zip(self.outputs, values, strict=True))


_ORT_ERRORS = (
    "EPFail",
    "EngineError",
    "Fail",
    "InvalidArgument",
    "InvalidGraph",
    "InvalidProtobuf",
    "ModelLoaded",
    "NoModel",
    "NoSuchFile",
    "NotImplemented",
    "RuntimeException",
)


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
