"""Starting ROS, and spinning nodes until somebody asks to stop: the executor ends between two callbacks, and before its
context does."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


def init_ros(command_line: Sequence[str]) -> bool:
    """Start ROS with this command line, the program first; False, with a sentence on stderr, where ROS does not
    understand it.

    rclpy's own handlers of signals would end the context, so that what is open could not be published any more: use
    `on_signals`.
    """
    try:
        rclpy.init(args=list(command_line), signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        print(f"what follows --ros-args cannot be understood: {' '.join(str(error).split())}", file=sys.stderr)
        return False
    return True


class Spinner:
    """Runs the callbacks of nodes in the thread that calls `spin`, until any thread calls `stop`.

    rclpy's own `spin` ends by whatever exception comes out of it when its context or executor goes away meanwhile. And
    it wakes itself after every callback, for other threads that may spin as well: with one alone that only builds each
    set of what is waited for twice, which is most of what a message costs.
    """

    def __init__(self, context: Context | None = None) -> None:
        self._executor = SingleThreadedExecutor(context=context)
        self._is_stopping = threading.Event()
        self._lock = threading.Lock()
        self._spins_in: int | None = None
        self._let_sleep()

    def _let_sleep(self) -> None:
        guard = getattr(self._executor, "_guard", None)
        if guard is None:  # an rclpy that does it in another way
            return
        wake = guard.trigger

        def wake_from_elsewhere() -> None:
            if threading.get_ident() != self._spins_in:
                wake()

        guard.trigger = wake_from_elsewhere

    def add(self, node: Node) -> None:
        self._executor.add_node(node)

    def spin(self) -> None:
        """Return after `stop`. An exception in a callback comes out of here."""
        while not self._is_stopping.is_set():
            self._spin_once()

    def stop(self) -> None:
        """Let `spin` return when the present callback has."""
        with self._lock:
            if not self._is_stopping.is_set():
                self._is_stopping.set()
                self._executor.create_task(lambda: None)  # wakes it

    def drain(self, is_busy: Callable[[], bool], until_s: float) -> None:
        """After `spin` has returned: run callbacks on while `is_busy`, until this time of the steady clock."""
        while is_busy() and (left_s := until_s - time.monotonic()) > 0:
            self._spin_once(left_s)

    def _spin_once(self, timeout_s: float | None = None) -> None:
        self._spins_in = threading.get_ident()
        try:
            self._executor.spin_once(timeout_sec=timeout_s)
        finally:
            self._spins_in = None

    def close(self) -> None:
        """Free the executor, when `spin` has returned."""
        with self._lock:
            self._is_stopping.set()
        self._executor.shutdown()


@contextmanager
def on_signals(numbers: Collection[signal.Signals], callback: Callable[[], None]) -> Iterator[None]:
    """Call `callback`, in a thread of its own, at every one of these signals while the block lasts.

    Python's own handlers would have to wait until the executor, which sleeps in C, wakes up. After the block the
    signals are ignored: who uses this is about to end, and an impatient second Ctrl-C must not break into that. To be
    called in the main thread.
    """
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        while received := reader.recv(64):
            if set(received) & set(numbers):
                callback()

    listener = threading.Thread(target=listen, name="signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        for number in numbers:  # a function would be taken away before the interpreter has ended
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(before)
        writer.close()
        listener.join()
        reader.close()
