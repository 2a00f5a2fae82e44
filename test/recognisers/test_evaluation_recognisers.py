"""Recognisers are compared on the same recordings, each in a process of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import soundfile
from clips import demo_sentences

from mser_ros.cli.main import main


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two sentences of the demo's synthetic voice."""
    folder = tmp_path / "toy"
    folder.mkdir()
    rows = ["file\tlabel\tspeaker\tduration_s\ttext"]
    for number in (1, 4):
        samples, text = demo_sentences()[number]
        soundfile.write(folder / f"{number}.wav", samples, 16000)
        rows.append(f"{number}.wav\tneutral\tvoice\t{len(samples) / 16000:.3f}\t{text}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


def test_each_recogniser_has_a_row_with_its_word_error_rate_time_and_memory(
    corpus: Path,
    whisper_base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed: pip install pocketsphinx")
    monkeypatch.setenv("MSER_MODELS", str(whisper_base.parent))
    arguments = [
        "speed",
        "recognisers",
        "--corpus",
        f"toy={corpus}",
        "--clips",
        "2",
        "--json",
        str(tmp_path / "out.json"),
    ]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    rows = dict(re.findall(r"^\| (\w[\w-]*) \| (.*) \|$", out, re.MULTILINE))
    assert {"whisper", "pocketsphinx"} <= set(rows)
    assert "vosk: no model was named" in err
    figures = {item["name"]: item for item in json.loads((tmp_path / "out.json").read_text())["recognisers"]}
    assert figures["whisper"]["word_error_rate"] <= 0.2
    assert figures["whisper"]["model_mb"] == 148
    for item in figures.values():
        assert item["clips"] == 2
        assert item["clip_s"] == pytest.approx(2.8, abs=0.5)
        assert item["ms"] > 0
        assert item["work_ms"] > 0
        assert item["memory_mb"] > 30


def test_without_a_model_a_recogniser_is_named_with_the_reason(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSER_MODELS", str(tmp_path / "none"))
    given = ["--corpus", f"toy={corpus}", "--clips", "1", "--vosk-model", str(tmp_path / "nowhere")]
    assert main(["speed", "recognisers", *given]) == 0
    err = capsys.readouterr().err
    assert "whisper: the model whisper-base is not in" in err
    assert f"vosk: there is no folder '{tmp_path / 'nowhere'}'" in err


def test_recordings_that_cannot_be_used_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speed", "recognisers", "--corpus", f"toy={tmp_path / 'nowhere'}"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("mser: ")
    assert err.count("\n") == 1
