"""`mser speed annotate`: how fast recordings are annotated, by processes of their own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mser_ros.cli.main import main


def test_its_speed_and_memory_are_measured_by_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--minutes", "0.2", "--asr", "none", "--json", str(tmp_path / "speed.json")]
    assert main(["speed", "annotate", *given]) == 0
    head, _, *rows = capsys.readouterr().out.splitlines()
    named = [cell.strip() for cell in head.split("|")[1:-1]]
    assert named == ["recording", "of it speech", "words", "estimates", "times real time", "of one core", "memory"]
    fast = r"[0-9]+ × \([0-9.]+ cores\) \| [0-9]+ ×"
    for row, kinds in zip(rows, ("final", "provisional, final"), strict=True):
        assert re.fullmatch(rf"\| 0.2 min \| [0-9]+% \| none \| {kinds} \| {fast} \| [0-9]+ MB \|", row)
    kept, other = json.loads((tmp_path / "speed.json").read_text())["annotate"]
    assert (kept["provisional"], other["provisional"]) == (False, True)
    assert kept["times"] > 0
    assert 0 < kept["speech"] < 1
    assert kept["peak_mb"] > 20


def test_its_speed_is_measured_on_people_of_a_corpus_too(
    tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = np.zeros(8000, np.int16)
    soundfile.write(tmp_path / "talk.wav", np.concatenate([silent, speech, silent]), 16_000)
    rows = ["file\tlabel\tspeaker", "talk.wav\tsad\tanna"]
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    given = ["--minutes", "0.2", "--asr", "none", "--no-provisional", "--json", str(tmp_path / "speed.json")]
    assert main(["speed", "annotate", *given, "--corpus", f"folder={tmp_path}"]) == 0
    (kept,) = json.loads((tmp_path / "speed.json").read_text())["annotate"]
    assert 0.5 < kept["speech"] < 0.8, "two thirds, as its pauses take half of what is spoken"
    (tmp_path / "manifest.tsv").write_text("file\tlabel\tspeaker\ttext\n\tsad\tanna\tno sound\n", encoding="utf-8")
    assert main(["speed", "annotate", *given, "--corpus", f"folder={tmp_path}"]) == 1
