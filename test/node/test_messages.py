"""Every message of mser_msgs crosses from one Python process to another and back without a loss."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ros_world import PATIENCE_S, mser_msgs, package_message

from mser_ros.messages.conversions import to_fields
from mser_ros.resources import interfaces_dir

KINDS = sorted(path.stem for path in interfaces_dir().glob("*.msg"))
_LIMITS = {kind: (np.iinfo(kind).min, np.iinfo(kind).max) for kind in ("int8", "uint8", "int16", "int32", "uint32")}


def value(kind: str, rng: np.random.Generator) -> Any:
    """A value of a field's type that is none of the defaults."""
    if match := re.fullmatch(r"sequence<(.+)>", kind):
        return [value(match[1], rng) for _ in range(3)]
    if kind == "string":
        return "".join(rng.choice(list("aZ ☂é'\"\n"), 8))
    if kind == "boolean":
        return True
    if kind in ("float", "double"):
        return float(np.float32(rng.normal(0, 1e3)))
    if kind == "uint64":
        return int(rng.integers(1, 2**64 - 1, dtype=np.uint64))
    if kind in _LIMITS:
        low, high = _LIMITS[kind]
        return int(rng.choice([low, high, high - 1])) or 1
    return filled(package_message(kind), rng)


def filled(message: Any, rng: np.random.Generator) -> Any:
    for name, kind in message.get_fields_and_field_types().items():
        setattr(message, name, value(kind, rng))
    return message


@pytest.fixture
def echo(world):
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("echo.py"))])
    yield world
    process.terminate()
    assert process.wait(PATIENCE_S) is not None


def test_every_message_comes_back_from_another_process_as_it_was_sent(echo):
    rng = np.random.default_rng(1)
    assert {"AudioFrame", "Utterance", "Skeleton", "Emotion", "ModalityEvidence", "Word"} <= set(KINDS)
    for kind in KINDS:
        message_class = getattr(mser_msgs, kind)
        sent = [filled(message_class(), rng) for _ in range(5)] + [message_class()]
        received = echo.listen(message_class, f"{kind.lower()}_back", kept=True)
        there = echo.publisher(message_class, f"{kind.lower()}_there")
        back = next(item for item in echo.peer.subscriptions if item.topic_name == f"/{kind.lower()}_back")
        echo.wait(lambda back=back: back.get_publisher_count() > 0, f"the way back of {kind}")
        for message in sent:
            there.publish(message)
        echo.wait(lambda received=received, sent=sent: len(received) == len(sent), f"{kind} from the other process")
        assert [to_fields(message) for message in received] == [to_fields(message) for message in sent]
