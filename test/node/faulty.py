"""A node with a bug in it, or a slow model, as a process of its own that reports more often than once a second:
faulty.py NODE FAULT --ros-args ..."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from mser_ros.asr.transcriber import NullTranscriber
from mser_ros.nodes import emotion_node, heartbeat
from mser_ros.nodes.run import run_nodes
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.stages.emotion import EmotionStage
from mser_ros.types import EstimateState, UtteranceState


def fail_once(owner: Any, name: str, when: Callable[..., bool] = lambda *_, **__: True) -> None:
    """Let a method raise at the first call for which `when` is true of its arguments."""
    method, is_due = getattr(owner, name), [True]

    def faulty(self: Any, *arguments: Any, **named: Any) -> Any:
        if is_due and when(*arguments, **named):
            is_due.clear()
            raise ValueError("injected")
        return method(self, *arguments, **named)

    setattr(owner, name, faulty)


def never_load(path: str) -> None:
    """As a model that takes for ever: even an interruption does not end it."""
    print("loading", flush=True)
    while True:
        threading.Event().wait(1.0)


def slow_down(owner: Any, name: str, seconds: float) -> None:
    """Let a method take so much longer."""
    method = getattr(owner, name)

    def slow(self: Any, *arguments: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return method(self, *arguments, **named)

    setattr(owner, name, slow)


FAULTS: dict[str, Callable[[], None]] = {
    "recognize": lambda: fail_once(
        EmotionRecognizer, "recognize", lambda _, state=None, **_more: state is EstimateState.FINAL
    ),
    "finish": lambda: fail_once(NullTranscriber, "finish"),
    "push_event": lambda: fail_once(EmotionStage, "push_event", lambda event: event.state is UtteranceState.PARTIAL),
    "slow": lambda: slow_down(EmotionRecognizer, "recognize", 2.0),
    "load": lambda: setattr(emotion_node, "load_bundle", never_load),
}

if __name__ == "__main__":
    node, fault, *arguments = sys.argv[1:]
    FAULTS[fault]()
    heartbeat._REPORT_S, heartbeat._BEAT_S = 0.2, 0.05
    sys.exit(run_nodes([node], arguments))
