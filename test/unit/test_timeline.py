"""The picture of a conversation: always a picture, whatever was missing."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from recorded import T0, abstaining, record, recording

from mser_ros.evaluation.timeline import Recording, draw_timeline
from mser_ros.labels import COLOURS, LABELS
from mser_ros.types import (
    NS_PER_S,
    AudioChunk,
    EstimateState,
    ModalityEvidence,
    to_ns,
)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height in pixels of a file that must be a whole PNG."""
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert imread(path).std() > 0, "there is something in it"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def drawn(path: Path, records: list[dict[str, Any]], heard: Recording, title: str = "") -> tuple[int, int]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_timeline(records, heard, path / "timeline.png", title=title)
    return size_of(path / "timeline.png")


def shares(path: Path) -> dict[str, float]:
    """How much of the picture is drawn in the strong colour of each class."""
    pixels = np.rint(imread(path / "timeline.png")[..., :3] * 255).astype(int)
    colours = {name: [int(code[i : i + 2], 16) for i in (1, 3, 5)] for name, code in COLOURS.items()}
    return {name: float((np.abs(pixels - colour).max(axis=2) <= 2).mean()) for name, colour in colours.items()}


def test_a_conversation_is_drawn(tmp_path: Path) -> None:
    provisional = [record(end_s, state=EstimateState.PROVISIONAL) for end_s in (2.0, 2.5, 3.0, 3.5)]
    width, height = drawn(tmp_path, [*provisional, record(3.1)], recording(), "demo.mcap")
    assert width > 900
    assert height > 600


def test_a_conversation_is_drawn_by_the_matplotlib_of_humble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu 22.04 has 3.5, which takes the heights of rows otherwise."""

    def subplots(self: Figure, nrows: int, ncols: int, *, sharex: bool, gridspec_kw: dict[str, Any]) -> Any:
        return new(self, nrows, ncols, sharex=sharex, gridspec_kw=gridspec_kw)

    new = Figure.subplots
    monkeypatch.setattr(Figure, "subplots", subplots)
    test_a_conversation_is_drawn(tmp_path)


def test_the_likeliest_class_takes_most_of_the_colour(tmp_path: Path) -> None:
    drawn(tmp_path, [record(3.0)], Recording())
    happy = shares(tmp_path)
    angry_posterior = np.array([0.85, 0.05, 0.05, 0.05])
    drawn(tmp_path, [record(3.0, probabilities=angry_posterior, label="angry")], Recording())
    angry = shares(tmp_path)
    assert happy["happy"] > 3 * happy["angry"]
    assert angry["angry"] > 3 * angry["happy"]


@pytest.mark.parametrize("heard", [Recording(), recording()], ids=["nothing heard", "heard"])
def test_without_records_there_is_still_a_picture(tmp_path: Path, heard: Recording) -> None:
    drawn(tmp_path, [], heard)


def test_records_without_audio_are_drawn(tmp_path: Path) -> None:
    drawn(tmp_path, [record(3.0)], Recording())


def test_an_estimate_that_abstains_is_drawn(tmp_path: Path) -> None:
    drawn(tmp_path, [abstaining(), record(5.0, begin_s=4.0, utterance_id="v")], recording())


def test_an_utterance_of_each_state_is_drawn(tmp_path: Path) -> None:
    states = [record(number + 2.0, begin_s=number + 1, state=state) for number, state in enumerate(EstimateState)]
    drawn(tmp_path, [dict(item, utterance_id=str(number)) for number, item in enumerate(states)], recording())


def test_what_was_retracted_is_not_drawn(tmp_path: Path) -> None:
    drawn(tmp_path, [record(3.0)], Recording())
    assert shares(tmp_path)["happy"] > 0.005
    drawn(tmp_path, [record(3.0, state=EstimateState.RETRACTED)], Recording())
    assert shares(tmp_path)["happy"] < 0.005, "only the legend"


def test_any_words_are_drawn(tmp_path: Path) -> None:
    said = ["$x_$ and $\\bad{$", "ünïcödé ☂ 你好 😀", "word " * 200, "unbreakable" * 30, "\n\t", "a & b < c > d % e"]
    records = [
        record(number + 1.3, begin_s=number + 1, transcript=text, utterance_id=str(number))
        for number, text in enumerate(said)
    ]
    drawn(tmp_path, records, recording(), title=" ".join(said))


def test_more_classes_than_there_are_colours_are_drawn(tmp_path: Path) -> None:
    labels = (*LABELS, "surprised", "afraid")
    posterior = np.full(6, 1 / 6)
    evidence = (ModalityEvidence("speech", True, 0, posterior, 1.0),)
    drawn(
        tmp_path, [record(3.0, labels=labels, probabilities=posterior, label="afraid", evidence=evidence)], recording()
    )


@pytest.mark.parametrize(("seconds", "wide"), [(0.1, 990), (4000, 6600)])
def test_the_picture_is_as_wide_as_the_recording_is_long_but_never_too_wide(
    tmp_path: Path, seconds: float, wide: int
) -> None:
    heard = Recording()
    for second in range(max(1, round(seconds))):
        heard.add(AudioChunk(np.full((100, 1), 900, np.int16), 16000, T0 + to_ns(second)))
    assert drawn(tmp_path, [], heard)[0] == pytest.approx(wide, rel=0.05)


def test_audio_of_any_kind_silence_and_empty_blocks_are_drawn(tmp_path: Path) -> None:
    heard = Recording()
    for second, (rate, channels, level) in enumerate([(8000, 2, 900), (44100, 1, -32768), (192000, 8, 0)]):
        heard.add(AudioChunk(np.full((rate, channels), level, np.int16), rate, T0 + to_ns(second)))
    heard.add(AudioChunk(np.zeros((0, 1), np.int16), 16000, T0 + to_ns(3)))
    drawn(tmp_path, [], heard)
    assert heard.level[round(T0 / NS_PER_S / 0.02) + 75] == 1.0
    assert heard.level[round(T0 / NS_PER_S / 0.02) + 125] == 0.0


def test_the_ending_of_the_file_decides_what_is_written(tmp_path: Path) -> None:
    draw_timeline([record(3.0)], recording(), tmp_path / "timeline.svg")
    assert "<svg" in (tmp_path / "timeline.svg").read_text()[:500]


def test_a_long_recording_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    recording, quiet = Recording(), np.full((16000, 1), 100, np.int16)
    loud_s = 3000
    for second in range(3600):
        samples = quiet * 50 if second == loud_s else quiet
        recording.add(AudioChunk(samples, 16000, T0 + second * NS_PER_S, second * 16000))
    assert len(recording.level) <= 30_000
    loudest = max(recording.level, key=lambda index: recording.level[index])
    assert loudest * recording.bin_s == pytest.approx(T0 / NS_PER_S + loud_s, abs=1.5)
    draw_timeline([record(2.0)], recording, tmp_path / "long.png")


def test_a_clock_that_was_set_by_years_costs_nothing(tmp_path: Path) -> None:
    recording = Recording()
    for stamp_ns in (NS_PER_S, T0):
        recording.add(AudioChunk(np.full((16000, 1), 100, np.int16), 16000, stamp_ns, 0))
    draw_timeline([record(2.0)], recording, tmp_path / "jump.png")
    assert (tmp_path / "jump.png").is_file()
