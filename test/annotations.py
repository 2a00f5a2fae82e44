"""Recordings for `mser annotate`, and what it wrote of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from pages import by_class, parse

from mser_ros.cli.main import main
from mser_ros.evaluation.timeline import Recording
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import audio_from_msg, audio_to_fields, to_fields
from mser_ros.types import AudioChunk

DEMO = Path(__file__).parents[1] / "demo" / "demo.mcap"
AUDIO = "mser_msgs/msg/AudioFrame"

Annotate = Callable[..., int]


# -- recordings


def read_speech() -> np.ndarray:
    """The first five seconds of the demo bag, in which a sentence is spoken: int16, shape (n,), 16 kHz."""
    with Bag(DEMO) as bag:
        chunks = [audio_from_msg(message.decode()) for message in bag.messages(["/audio"])]
    return np.concatenate([chunk.samples[:, 0] for chunk in chunks])[: 5 * 16000]


def write_two_sentences(path: Path) -> Path:
    """A bag of the first nine seconds of the demo bag."""
    with Bag(DEMO) as demo, BagWriter(path) as writer:
        for message in demo.messages():
            if message.log_ns - demo.start_ns < 9 * 10**9:
                writer.write(message.topic, message.type_name, to_fields(message.decode()), message.log_ns)
    return path


def conversation(speech: np.ndarray, times: int) -> np.ndarray:
    """The same sentence so often, with silence between."""
    return np.concatenate([speech, np.zeros(16000, np.int16)] * times)


def write_bag(
    path: Path,
    samples: np.ndarray,
    topics: tuple[str, ...] = ("/audio",),
    rate: int = 16000,
    *,
    stamps: bool = True,
    counts: bool = True,
) -> Path:
    with BagWriter(path) as writer:
        for first in range(0, len(samples), 1024):
            chunk = AudioChunk(samples[first : first + 1024, None], rate, first * 10**9 // rate + 10**9, first)
            given = replace(chunk, stamp_ns=chunk.stamp_ns * stamps, first_sample=first * counts)
            for topic in topics:
                writer.write(topic, AUDIO, audio_to_fields(given), chunk.end_ns)
    return path


def write_sound(path: Path, samples: np.ndarray, *, rate: int = 16000, channels: int = 1) -> Path:
    wave = soxr.resample(samples.astype(np.float64) / 32768, 16000, rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate)
    return path


# -- the command


def sketch(records: list[dict[str, Any]], recording: Recording, path: Path, *, title: str) -> None:
    """In place of the picture, whose drawing takes far longer than all the rest: what it would be drawn of."""
    path.write_text(repr((title, records, recording)), encoding="utf-8")


def annotator(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Annotate:
    """`mser annotate` with this bundle and, where nothing else is said, without words and a true picture."""
    monkeypatch.setattr("mser_ros.cli.annotation_work.draw_timeline", sketch)

    def call(source: Path, *more: str, out: Path) -> int:
        words = [] if "--asr" in more or "--asr-model" in more else ["--asr", "none"]
        return main(["annotate", str(source), "-o", str(out), "--bundle", str(bundle), *words, *more])

    return call


# -- results


def records_of(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "emotions.jsonl").read_text().splitlines()]


def finals_of(out: Path) -> list[dict[str, Any]]:
    return [record for record in records_of(out) if record["state"] == "FINAL"]


def seconds(time: dict[str, int]) -> float:
    return time["sec"] + time["nanosec"] / 1e9


def sounds_of(page: Path) -> list[bytes]:
    """The sound of each utterance in a page."""
    given = [item.get("data-sound") or "" for item in by_class(parse(page), "play")]
    assert all(item.startswith("data:audio/ogg;base64,") for item in given)
    return [base64.b64decode(item.partition(",")[2]) for item in given]
