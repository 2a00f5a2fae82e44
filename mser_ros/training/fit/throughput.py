"""How fast a training is and what it needs: utterances per second, memory, use of the GPU."""

from __future__ import annotations

import logging
import resource
import sys
import time
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

_LOG = logging.getLogger(__name__)
#: Batches between two looks at the GPU.
_EVERY = 20


class Throughput(Callback):
    """Counts over all processes; the validation does not count."""

    def __init__(self) -> None:
        self._utterances = 0
        self._seconds = 0.0
        self._started = 0.0
        self._busy: list[int] = []
        self._knows_gpu_use = True

    def on_train_batch_start(self, *_args: Any) -> None:
        if not self._started:
            self._started = time.monotonic()

    def on_train_batch_end(self, trainer: Any, _module: Any, _outputs: Any, batch: Any, index: int) -> None:
        self._utterances += len(batch) * trainer.world_size
        if index % _EVERY == 0 and trainer.strategy.root_device.type == "cuda" and self._knows_gpu_use:
            self._measure_gpu_use(trainer.strategy.root_device)

    def on_train_epoch_end(self, *_args: Any) -> None:
        self._pause()

    def on_validation_start(self, *_args: Any) -> None:
        self._pause()

    def _measure_gpu_use(self, device: torch.device) -> None:
        try:
            self._busy.append(torch.cuda.utilization(device))  # in per cent
        except Exception as error:  # no figure is worth a training, and the driver's library has errors of its own
            self._knows_gpu_use = False
            _LOG.warning(
                "how busy the GPU is cannot be told (%s): pip install nvidia-ml-py, and check that nvidia-smi tells it",
                error,
            )

    def _pause(self) -> None:
        if self._started:
            self._seconds += time.monotonic() - self._started
            self._started = 0.0

    def figures(self) -> dict[str, float]:
        """`utterances_per_s`; `memory_mb`: peak of this process, or of its GPU; `gpu_use`: 0..1, where it is known."""
        out = {"utterances_per_s": round(self._utterances / self._seconds, 1) if self._seconds else 0.0}
        if torch.cuda.is_available():
            out["memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6)
        else:
            unit = 1 if sys.platform == "darwin" else 1024
            out["memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
        if self._busy:
            out["gpu_use"] = round(sum(self._busy) / len(self._busy) / 100, 3)
        return out
