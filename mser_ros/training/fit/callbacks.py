"""What is kept of every epoch: its figures, and the weights if they are the best so far."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import callbacks
from lightning.pytorch.callbacks import Callback

from ..runs.checkpoints import save_weights

_COLUMNS = ("epoch", "train_loss", "val_loss", "val_ua", "val_wa", "learning_rate", "seconds")


class BestWeights(Callback):
    """Keeps the weights of the best epoch: that with the highest validation score, of equal ones with the lower loss,
    or simply the last one."""

    def __init__(self, path: Path, choose: str, metric: str) -> None:
        self.path = path
        self.choose = choose
        self.metric = f"val_{metric}"
        self.best: list[float] = [-1.0, 0.0]
        self.epoch = -1

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        metrics = trainer.callback_metrics
        now = [float(metrics[self.metric]), -float(metrics["val_loss"])]
        if now > self.best or self.choose == "last":
            self.best, self.epoch = now, trainer.current_epoch
            if trainer.is_global_zero:
                save_weights(module.network, self.path)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.epoch = state["best"], state["epoch"]


class EarlyStopping(callbacks.EarlyStopping):
    """Lightning's, for a training that goes on as well: a checkpoint tells how long the score has not been better, but
    not that this was the end. Of the same name, under which checkpoints keep its state."""

    def on_fit_start(self, trainer: Any, module: Any) -> None:
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class EpochFigures(Callback):
    """Writes a line for every epoch as it ends: a kill costs none, and a resumed run goes on below them.

    `seconds`: of the epoch with its validation.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._started = 0.0

    def on_train_epoch_start(self, *_args: Any) -> None:
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Any, _module: Any) -> None:
        if not trainer.is_global_zero:
            return
        now = {
            "epoch": trainer.current_epoch,
            "learning_rate": f"{trainer.optimizers[0].param_groups[-1]['lr']:.3g}",
            "seconds": round(time.monotonic() - self._started, 3),
            **{name: float(value) for name, value in trainer.callback_metrics.items() if name in _COLUMNS},
        }
        # An epoch whose checkpoint was lost is trained again.
        rows = [row for row in read_figures(self.path) if int(row["epoch"]) < trainer.current_epoch]
        part = self.path.with_suffix(".part")
        with part.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, _COLUMNS)
            writer.writeheader()
            writer.writerows([*rows, now])
        part.replace(self.path)


def read_figures(path: Path) -> list[dict[str, str]]:
    """The lines of `EpochFigures`; none without the file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
