"""Ctrl-C during a training."""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any

from lightning.pytorch.callbacks import Callback


class Interruption(Callback):
    """While its `with` block lasts, Ctrl-C ends a training before its next batch, by `KeyboardInterrupt`.

    Python's own handler raises that wherever the program is: also where a lock has just been taken that is shared with
    the thread that writes the log, for which Lightning then waits for ever. A second Ctrl-C does what Python's does.
    """

    def __init__(self) -> None:
        self._has_come = False
        self._before: Any = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # no other may set a handler, or is interrupted
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if kind is None:
            self._leave()  # it came during the last batch, or behind it

    def on_train_batch_start(self, *_args: Any) -> None:
        self._leave()

    def on_validation_batch_start(self, *_args: Any) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._has_come:
            raise KeyboardInterrupt

    def _note(self, *_: object) -> None:
        self._leave()
        self._has_come = True
