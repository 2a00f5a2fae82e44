"""Progress bars with the time that is left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )


def track(items: Sequence[T], title: str) -> Iterable[T]:
    """The items, with a bar."""
    with _progress() as progress:
        task = progress.add_task(title, total=len(items), note="")
        for item in items:
            yield item
            progress.advance(task)


class ProgressBar(Callback):
    """One bar for a whole training."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def on_train_start(self, trainer: Any, _module: Any) -> None:
        if trainer.is_global_zero:
            self._progress = _progress()
            self._progress.start()
            total = trainer.num_training_batches * trainer.max_epochs
            done = trainer.num_training_batches * trainer.current_epoch
            self._task = self._progress.add_task(self.title, total=total, completed=done, note="")

    def on_train_batch_end(self, *_args: Any) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task)

    def on_train_epoch_end(self, trainer: Any, _module: Any) -> None:
        if self._progress is not None and self._task is not None:
            score = trainer.callback_metrics.get("val_ua")
            result = "" if score is None else f", validation UA {float(score):.3f}"
            self._progress.update(self._task, note=f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}{result}")

    def on_train_end(self, *_args: Any) -> None:
        self._close()

    def on_exception(self, *_args: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
