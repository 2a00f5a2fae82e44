"""`mser annotate` of a bag, all real but the models of emotions: it becomes tables, a picture, a page and a bag."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from annotations import (
    DEMO,
    Annotate,
    finals_of,
    records_of,
    seconds,
    sounds_of,
)
from pages import by_class, parse, text_of

from mser_ros.cli.main import main
from mser_ros.labels import LABELS
from mser_ros.messages.bags import Bag, message_types
from mser_ros.messages.conversions import to_fields
from mser_ros.messages.records import emotion_record, estimate_of
from mser_ros.stages.state import EmotionStates

FIELDS = [name for name, _ in message_types().fielddefs["mser_msgs/msg/Emotion"][1]]


@pytest.fixture(scope="module")
def terminal() -> list[str]:
    """What was printed for `of_the_demo`."""
    return []


@pytest.fixture(scope="module")
def of_the_demo(
    tiny_bundle: Path, two_sentences: Path, terminal: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the command writes for the bag with everything real but the models."""
    out = tmp_path_factory.mktemp("demo") / "deep" / "out"
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(printed):
        assert main(["annotate", str(two_sentences), "-o", str(out), "--bundle", str(tiny_bundle), "--html"]) == 0
    terminal += printed.getvalue().splitlines()
    return out


def test_a_bag_becomes_lines_with_the_keys_of_the_message(of_the_demo: Path) -> None:
    records = records_of(of_the_demo)
    for record in records:
        assert list(record) == FIELDS
        assert record["state"] in ("PROVISIONAL", "FINAL", "RETRACTED")
        assert list(record["probabilities"]) == list(LABELS)
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert [item["modality"] for item in record["evidence"]] == ["speech", "text", "mocap"]
        assert record["latency_s"] == -1
    finals = finals_of(of_the_demo)
    assert len(finals) == 2
    assert all(record["transcript"] for record in finals)
    assert all(item["available"] for record in finals for item in record["evidence"])


def test_a_bag_becomes_a_table_of_final_estimates(of_the_demo: Path) -> None:
    with (of_the_demo / "emotions.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    finals = finals_of(of_the_demo)
    assert [row["utterance_id"] for row in rows] == [record["utterance_id"] for record in finals]
    for row, record in zip(rows, finals, strict=True):
        assert float(row["start_s"]) == pytest.approx(seconds(record["speech_start"]), abs=1e-3)
        assert float(row["end_s"]) == pytest.approx(seconds(record["speech_end"]), abs=1e-3)
        assert (row["label"], row["transcript"], row["modalities"]) == (
            record["label"], record["transcript"], "speech+text+mocap",
        )  # fmt: skip
        assert {name: float(row[name]) for name in LABELS} == pytest.approx(record["probabilities"], abs=1e-4)


def test_a_bag_becomes_a_picture(of_the_demo: Path) -> None:
    assert (of_the_demo / "timeline.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_bag_becomes_a_page_with_the_words_and_the_sound_of_each_utterance(
    of_the_demo: Path, two_sentences: Path, tiny_bundle: Path
) -> None:
    finals = finals_of(of_the_demo)
    tree = parse(of_the_demo / "report.html")
    said = [text_of(item) for item in by_class(tree, "utterance")]
    for text, record in zip(said, finals, strict=True):
        assert text.startswith(record["label"])
        assert record["transcript"] in text
    words = [text_of(item) for item in by_class(tree, "w") if (item.get("title") or "").endswith("%")]
    assert set(words) >= set(finals[0]["transcript"].split()), "pocketsphinx tells how sure it is of each"
    for content, record in zip(sounds_of(of_the_demo / "report.html"), finals, strict=True):
        samples, rate = soundfile.read(io.BytesIO(content))
        length_s = seconds(record["speech_end"]) - seconds(record["speech_start"])
        assert len(samples) / rate == pytest.approx(length_s, abs=0.03)
        assert np.abs(samples).max() > 0.05
        assert len(content) / length_s < 3200, "compressed to some 16 kbit/s"
    whole = text_of(tree)
    assert f"mser annotate '{two_sentences}' -o" in whole
    assert hashlib.sha256((tiny_bundle / "manifest.json").read_bytes()).hexdigest() in whole
    assert "Recogniser of words pocketsphinx" in whole
    assert "Nothing is odd about this recording." in whole
    assert not (of_the_demo / "sound").exists()


def test_the_sound_in_a_page_is_what_was_said(of_the_demo: Path, speech: np.ndarray) -> None:
    record = finals_of(of_the_demo)[0]
    with Bag(DEMO) as bag:
        begin_s = next(bag.messages(["/audio"])).decode().header.stamp
    first = round((seconds(record["speech_start"]) - (begin_s.sec + begin_s.nanosec / 1e9)) * 16000)
    heard, rate = soundfile.read(io.BytesIO(sounds_of(of_the_demo / "report.html")[0]))
    meant = soxr.resample(speech[first : first + 16000 * len(heard) // rate] / 32768, 16000, rate)
    loud, meant = (soxr.resample(np.abs(samples), rate, 100) for samples in (heard, meant))
    count = min(len(loud), len(meant))
    assert np.corrcoef(loud[:count], meant[:count])[0, 1] > 0.9


def test_without_transcripts_nothing_tells_what_was_said(
    annotate: Annotate, two_sentences: Path, of_the_demo: Path, tmp_path: Path
) -> None:
    options = ("--html", "--quiet", "--no-transcripts", "--asr", "pocketsphinx")
    assert annotate(two_sentences, *options, out=tmp_path) == 0
    spoken = {word for record in finals_of(of_the_demo) for word in record["transcript"].split()}
    tree = parse(tmp_path / "report.html")
    told = {"report.html": " ".join(text_of(item) for item in by_class(tree, "utterance"))}
    told |= {name: (tmp_path / name).read_text() for name in ("emotions.jsonl", "emotions.csv")}
    for name, text in told.items():
        found = {word for word in spoken if re.search(rf"\b{word}\b", text)}
        assert found <= {"happy", "is", "in", "a", "of", "on", "to", "the"}, f"{name} tells of emotions alone"
    assert not list(tree.iter("blockquote"))
    assert not by_class(tree, "play")
    assert "What was said is not told" in text_of(tree)
    assert not (tmp_path / "sound").exists()
    whole, without = finals_of(of_the_demo), finals_of(tmp_path)
    assert [item["probabilities"] for item in whole] == [item["probabilities"] for item in without]


def test_a_copy_of_the_bag_holds_everything_and_the_emotions_at_their_times(
    of_the_demo: Path, two_sentences: Path
) -> None:
    records = records_of(of_the_demo)
    with Bag(two_sentences) as original, Bag(of_the_demo / "annotated") as copy:
        added = {"/emotion": "mser_msgs/msg/Emotion", "/state": "mser_msgs/msg/EmotionState"}
        assert copy.topics == original.topics | added
        states = [(message.log_ns, message.decode()) for message in copy.messages(["/state"])]
        assert copy.message_count == original.message_count + len(records) + len(states)
        emotions = [(message.log_ns, message.decode()) for message in copy.messages(["/emotion"])]
    assert [message.utterance_id for _, message in emotions] == [record["utterance_id"] for record in records]
    for (log_ns, message), record in zip(emotions, records, strict=True):
        assert dict(zip(message.labels, message.probabilities, strict=True)) == pytest.approx(
            record["probabilities"], abs=1e-5
        )
        assert log_ns / 1e9 >= seconds(record["header"]["stamp"]), "nobody can know it before it was said"


def test_states_are_those_that_the_node_would_have_told(of_the_demo: Path) -> None:
    with Bag(of_the_demo / "annotated") as copy:
        emotions = [(message.log_ns, message.decode()) for message in copy.messages(["/emotion"])]
        states = [(message.log_ns, message.decode()) for message in copy.messages(["/state"])]
        end_ns = copy.end_ns
    first_ns = next(log_ns for log_ns, message in emotions if message.state == 1 and message.label != "unknown")
    assert [log_ns for log_ns, _ in states] == list(range(first_ns, end_ns + 1, 500_000_000)), "at 2 Hz to the end"
    known = EmotionStates()
    for log_ns, state in states:
        while emotions and emotions[0][0] <= log_ns:
            at_ns, emotion = emotions.pop(0)
            known.push(estimate_of(emotion_record(to_fields(emotion))), at_ns)
        (expected,), _ = known.at(log_ns)
        assert (state.label, state.person_id, state.last_utterance_id) == (
            expected.label, expected.person_id, expected.last_utterance_id,
        )  # fmt: skip
        np.testing.assert_allclose(state.probabilities, expected.probabilities, atol=1e-4)
        assert seconds(to_fields(state.header.stamp)) == pytest.approx(log_ns / 1e9, abs=1e-6)


def test_it_can_be_done_again_and_over_what_it_wrote_itself(
    annotate: Annotate, of_the_demo: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    for _ in range(2):
        assert annotate(of_the_demo / "annotated", "--quiet", out=again) == 0
    with Bag(again / "annotated") as copy, Bag(of_the_demo / "annotated") as original:
        assert copy.topics == original.topics
    assert len(finals_of(again)) == len(finals_of(of_the_demo))


def test_the_terminal_shows_a_line_for_each_utterance_and_a_summary(of_the_demo: Path, terminal: list[str]) -> None:
    finals = finals_of(of_the_demo)
    assert len(terminal) == len(finals) + 1
    for line, record in zip(terminal, finals, strict=False):
        assert record["label"] in line
        assert "final" in line
        assert "STM" in line
    assert re.fullmatch(
        re.escape(f"{len(finals)} utterances → {of_the_demo} (9 s, ") + r"\d+ × real time\)", terminal[-1]
    )


def test_without_provisional_estimates_the_final_ones_are_the_same(
    annotate: Annotate, of_the_demo: Path, two_sentences: Path, tmp_path: Path
) -> None:
    assert annotate(two_sentences, "--no-provisional", "--asr", "pocketsphinx", out=tmp_path) == 0
    assert {record["state"] for record in records_of(of_the_demo)} >= {"PROVISIONAL", "FINAL"}
    assert {record["state"] for record in records_of(tmp_path)} == {"FINAL"}
    for one, other in zip(finals_of(of_the_demo), finals_of(tmp_path), strict=True):
        later = {"header": None}  # its stamp is not before those of the provisional estimates
        assert one | later == other | later
