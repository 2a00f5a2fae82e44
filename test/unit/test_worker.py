"""The thread that does a node's work: in order, to the end, in bounded time, and not quietly dead."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from mser_ros.worker import Worker


@pytest.fixture
def bugs() -> list[Exception]:
    return []


@pytest.fixture
def worker(bugs: list[Exception]) -> Worker:
    return Worker("worker", tick=lambda: None, is_waiting=lambda: False, on_bug=bugs.append)


def test_all_that_was_submitted_is_done_in_its_order_before_it_stops(worker: Worker, bugs: list[Exception]) -> None:
    done: list[int] = []
    works: list[Callable[[], None]] = [lambda number=number: done.append(number) for number in range(100)]  # type: ignore[misc]
    assert all(worker.submit(work) for work in works)
    assert worker.stop() == 0
    assert done == list(range(100))
    assert (bugs, worker.has_died) == ([], False)


def test_what_is_not_begun_in_time_is_left_undone_and_counted(worker: Worker) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        go_on.wait()
        done.append("slow")

    worker.submit(slow)
    for number in range(5):
        worker.submit(lambda number=number: done.append(number))  # type: ignore[misc]
    begun.wait()
    undone: list[int] = []
    stopping = threading.Thread(target=lambda: undone.append(worker.stop(within_s=0.0)))
    stopping.start()
    deadline_s = time.monotonic() + 60
    while worker.backlog != 2 and time.monotonic() < deadline_s:  # what was begun, and the order to stop
        time.sleep(0.001)
    go_on.set()
    stopping.join()
    assert (undone, done) == ([5], ["slow"]), "the work that was begun is done"


def test_what_was_to_be_done_in_place_of_work_that_a_bug_prevented_is_kept_in_order(
    worker: Worker, bugs: list[Exception]
) -> None:
    def fail() -> None:
        go_on.wait()
        raise ValueError("injected")

    go_on, done = threading.Event(), []

    def note(name: str) -> Callable[[], None]:
        return lambda: done.append(name)

    worker.submit(lambda: None, note("done"))
    worker.submit(fail, note("failed"))
    worker.submit(lambda: None, note("waiting"))
    worker.submit(lambda: None)
    go_on.set()
    deadline_s = time.monotonic() + 60
    while not worker.has_died and time.monotonic() < deadline_s:
        time.sleep(0.001)
    worker.skip(note("late"))
    worker.skip(None)
    assert worker.stop() == 2
    for otherwise in worker.undone:
        otherwise()
    assert done == ["failed", "waiting", "late"]


def test_work_that_was_done_is_not_undone_by_a_bug_in_what_comes_between(bugs: list[Exception]) -> None:
    done: list[str] = []

    def is_waiting() -> bool:
        if done:
            raise ValueError("injected")
        return False

    worker = Worker("test", tick=lambda: None, is_waiting=is_waiting, on_bug=bugs.append)
    worker.submit(lambda: done.append("work"), lambda: done.append("otherwise"))
    worker.stop()
    assert [str(bug) for bug in bugs] == ["injected"]
    assert (worker.undone, done) == ([], ["work"])


def test_an_exception_ends_it_and_is_told_and_what_waits_is_counted(worker: Worker, bugs: list[Exception]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def fail() -> None:
        begun.set()
        go_on.wait()
        raise ValueError("injected")

    worker.submit(fail)
    begun.wait()
    for _ in range(3):
        assert worker.submit(lambda: None)
    go_on.set()
    assert worker.stop() == 3
    assert worker.has_died
    assert [str(error) for error in bugs] == ["injected"]


def test_work_for_when_there_is_none_is_done_while_it_waits(bugs: list[Exception]) -> None:
    ticked = threading.Event()
    worker = Worker("worker", tick=ticked.set, is_waiting=lambda: not ticked.is_set(), on_bug=bugs.append)
    assert ticked.wait(60)
    worker.stop()


def test_work_that_never_ends_does_not_put_off_what_is_due(bugs: list[Exception]) -> None:
    """As states that are told twenty times a second: an utterance whose voice was lost would get no last word."""
    ticked, given_up = threading.Event(), time.monotonic() + 10
    worker = Worker("worker", tick=ticked.set, is_waiting=lambda: True, on_bug=bugs.append)

    def again() -> None:
        if not ticked.is_set() and time.monotonic() < given_up:
            worker.submit(again)

    worker.submit(again)
    assert ticked.wait(60)
    assert time.monotonic() < given_up
    worker.stop()
    assert bugs == []
