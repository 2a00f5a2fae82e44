"""A thread that does the work of a node, or of a page's session, beside those who hand it on."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

Work = Callable[[], None]

#: How long the queue may grow before the oldest item is dropped: four minutes of audio.
_LONGEST = 4096
#: How often a worker that waits for something looks at the clock.
_TICK_S = 0.05


class _Item(NamedTuple):
    """`otherwise`: what is to be done in place of the work if it stays undone. `is_order`: it must never be dropped."""

    work: Work
    otherwise: Work | None
    is_order: bool


class Worker:
    """Does what it is given, in that order, until it is stopped, or until an exception ends it.

    `tick` is done now and then while `is_waiting`. `on_bug` is told of the exception that ended the thread; nothing is
    done any more after it. `undone`, complete once it has stopped: the `otherwise` of each work that was not done to
    its end, in the order in which it was submitted.
    """

    def __init__(
        self, name: str, *, tick: Work, is_waiting: Callable[[], bool], on_bug: Callable[[Exception], None]
    ) -> None:
        self._tick = tick
        self._is_waiting = is_waiting
        self._on_bug = on_bug
        self._queue: queue.Queue[_Item | None] = queue.Queue()
        self.undone: list[Work] = []
        self._left = 0
        self.has_died = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def backlog(self) -> int:
        """How much work is not done yet."""
        return self._queue.unfinished_tasks

    def submit(self, work: Work, otherwise: Work | None = None, *, is_order: bool = False) -> bool:
        """Have it done. False where the worker is so far behind that the oldest work was dropped.

        `otherwise`: for `undone`, if the worker stops or dies before this work is done. `is_order`: what somebody asked
        for, which is never dropped; data are.
        """
        is_dropped = self._queue.qsize() >= _LONGEST and self._drop_oldest()
        self._queue.put(_Item(work, otherwise, is_order))
        return not is_dropped

    def stop(self, *, within_s: float | None = None) -> int:
        """Return when all is done that was submitted, or `within_s` seconds have passed and the present work is done.

        How much was left undone.
        """
        self._queue.put(None)
        self._thread.join(within_s)
        self._leave_the_rest()
        self._queue.put(None)  # the first one may be among what was taken
        self._thread.join()
        return self._left

    def skip(self, otherwise: Work | None) -> None:
        """Add to `undone` what comes after the worker has died."""
        if otherwise is not None:
            self.undone.append(otherwise)

    def _leave_the_rest(self) -> None:
        while not self._queue.empty():
            item = self._take()
            if item is not None:
                self._left += 1
                self.skip(item.otherwise)

    def _drop_oldest(self) -> bool:
        with self._queue.mutex:
            waiting = self._queue.queue
            for place, item in enumerate(waiting):
                if item is not None and not item.is_order:
                    del waiting[place]
                    self._queue.unfinished_tasks -= 1
                    return True
        return False

    def _take(self) -> _Item | None:
        with contextlib.suppress(queue.Empty):
            item = self._queue.get_nowait()
            self._queue.task_done()
            return item
        return None

    def _run(self) -> None:
        item: _Item | None = None
        ticked_s = 0.0
        try:
            while True:
                try:
                    item = self._queue.get(timeout=_TICK_S if self._is_waiting() else None)
                except queue.Empty:
                    pass
                else:
                    if item is None:
                        return
                    item.work()
                    item = None
                    self._queue.task_done()
                # Not only where there is no work: work that comes steadily would else put off what is late already.
                if self._is_waiting() and time.monotonic() - ticked_s >= _TICK_S:
                    ticked_s = time.monotonic()
                    self._tick()
        except Exception as error:  # a bug of ours: the thread ends, and somebody must hear of it
            if item is not None:
                self.skip(item.otherwise)
            self._leave_the_rest()
            self.has_died = True
            self._on_bug(error)
