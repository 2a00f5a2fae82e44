"""Spinning ends when it is told to, between two callbacks, and before the context does."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from ros_world import PATIENCE_S, Emotion, Utterance, World, rclpy

from mser_ros.nodes.replay import ReplaySession
from mser_ros.nodes.spinner import Spinner, on_signals


@pytest.fixture
def thread_errors(monkeypatch: pytest.MonkeyPatch) -> list[BaseException | None]:
    """What ended threads."""
    errors: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: errors.append(arguments.exc_value))
    return errors


def test_a_session_ends_without_a_word_whatever_is_going_on(ros, thread_errors):
    """Whoever shuts an executor down while it spins gets one of several exceptions, now and then."""
    for number in range(20):
        with ReplaySession() as session:
            publisher = session.node.create_publisher(Utterance, "utterance", 1000)
            assert session.wait(lambda: publisher.get_subscription_count() > 0, PATIENCE_S)  # noqa: B023
            for _ in range(100):
                publisher.publish(Utterance(utterance_id="u"))
            session.wait(lambda: len(session.utterances) > 4 * number, PATIENCE_S)  # noqa: B023
    assert thread_errors == []


@pytest.mark.parametrize("kind", [BrokenPipeError, SystemExit])
def test_what_ends_the_thread_of_a_session_comes_out_of_its_wait(ros, thread_errors, kind):
    """As where 'head' has read enough of what is printed there: nothing would come any more."""

    def show(message: Emotion) -> None:
        raise kind

    with ReplaySession(on_emotion=show) as session:
        publisher = session.node.create_publisher(Emotion, "emotion", 10)
        assert session.wait(lambda: publisher.get_subscription_count() > 0, PATIENCE_S)
        publisher.publish(Emotion())
        with pytest.raises(kind):
            session.wait(lambda: False, PATIENCE_S)
    assert thread_errors == []


def test_a_spinner_that_sleeps_is_woken_by_stop_and_its_context_lives(world: World, thread_errors):
    node = rclpy.create_node("idle", context=world.context, start_parameter_services=False, enable_rosout=False)
    spinner = Spinner(world.context)
    spinner.add(node)
    thread = threading.Thread(target=spinner.spin)
    thread.start()
    spinner.stop()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    spinner.spin()  # told to stop, it does not begin
    spinner.close()
    spinner.stop()
    assert world.context.ok()
    node.destroy_node()
    assert thread_errors == []


def test_an_exception_in_a_callback_comes_out_of_spin(world: World):
    node = rclpy.create_node("faulty", context=world.context)
    node.create_timer(0.01, lambda: [].remove("nothing"))
    spinner = Spinner(world.context)
    spinner.add(node)
    with pytest.raises(ValueError, match="not in list"):
        spinner.spin()
    spinner.close()
    node.destroy_node()


def test_signals_are_told_in_a_thread_of_their_own_while_the_main_thread_is_busy():
    told: list[str] = []
    came = threading.Event()

    def note() -> None:
        told.append(threading.current_thread().name)
        came.set()

    before = signal.getsignal(signal.SIGUSR1)
    try:
        with on_signals([signal.SIGUSR1], note):
            os.kill(os.getpid(), signal.SIGUSR1)
            assert came.wait(PATIENCE_S)
        os.kill(os.getpid(), signal.SIGUSR1)  # ignored, or it would end this process
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert told == ["signals"]


def test_one_callback_is_one_wait_and_what_it_creates_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch):
    """rclpy would wake itself after each callback, and build the set of all that a node waits for twice."""
    waits = 0
    nodes_of = SingleThreadedExecutor.get_nodes

    def count(executor: SingleThreadedExecutor) -> list[Node]:
        nonlocal waits
        waits += 1
        return nodes_of(executor)

    monkeypatch.setattr(SingleThreadedExecutor, "get_nodes", count)
    node = rclpy.create_node("busy", context=world.context, start_parameter_services=False, enable_rosout=False)
    fired = 0
    done, created = threading.Event(), threading.Event()

    def fire() -> None:
        nonlocal fired
        fired += 1
        if fired == 20:
            regular.cancel()
            done.set()

    regular = node.create_timer(0.02, fire)
    late = node.create_guard_condition(lambda: node.create_timer(0.01, created.set))
    spinner = Spinner(world.context)
    spinner.add(node)
    thread = threading.Thread(target=spinner.spin)
    thread.start()
    assert done.wait(PATIENCE_S)
    counted = waits
    late.trigger()
    assert created.wait(PATIENCE_S)
    spinner.stop()
    thread.join(PATIENCE_S)
    spinner.close()
    node.destroy_node()
    assert counted < 1.5 * fired
