"""`mser hearing` and `mser evaluate --asr`: what they print, and what they put into a page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from clips import demo_sentences
from fakes_bundle import write_tiny_bundle

from mser_ros.asr.confidence import read_confidence_map
from mser_ros.cli.main import main

MARKS = ("segments", "words", "partials", "invented", "confidence", "translation")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Two people say three sentences each, in the demo's synthetic voice, the shortest first of each."""
    folder = tmp_path / "toy"
    folder.mkdir()
    rows = ["file\tlabel\tspeaker\ttext"]
    sentences = demo_sentences()
    for number, (samples, text) in enumerate((*sentences[3:], *sentences[:3])):
        soundfile.write(folder / f"{number}.wav", samples, 16000)
        rows.append(f"{number}.wav\tneutral\t{'ab'[number % 2]}\t{text}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text("# Title\n" + "".join(f"\n<!-- {mark} -->\nold\n<!-- /{mark} -->\n" for mark in MARKS) + "\nend\n")
    return path


def table(text: str, header: str) -> list[list[str]]:
    """Rows of the Markdown table whose first column has this name."""
    (found,) = re.findall(rf"^\| {header} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found.splitlines()]


def test_segments_are_counted_beside_webrtcs_and_the_table_goes_into_the_page(
    corpus: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("webrtcvad", reason="webrtcvad is not installed: pip install webrtcvad-wheels")
    assert main(["hearing", "segments", "--corpus", f"toy={corpus}", "--clips", "3", "--write", str(page)]) == 0
    rows = table(capsys.readouterr().out, "corpus")
    assert {(row[1], row[2].split(" ")[0]) for row in rows} == {
        (noise, detector)
        for noise in ("silence", "20 dB", "10 dB", "5 dB", "0 dB")
        for detector in ("ours", "webrtcvad,")
    }
    ours = [float(row[5]) for row in rows if row[2].startswith("ours")]
    others = [float(row[5]) for row in rows if row[2].endswith("mode 3")]
    assert ours[0] > 0.8
    assert sum(ours) > sum(others)
    written = page.read_text()
    assert table(written, "corpus") == rows
    assert written.startswith("# Title\n\n<!-- segments -->\n| corpus |")
    assert written.count("old") == len(MARKS) - 1
    assert written.endswith("\nend\n")


def test_a_page_without_a_place_for_the_tables_is_one_sentence_before_anything_is_measured(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mser_ros.cli.hearing.speech.find", lambda *_: pytest.fail("the work has begun"))
    (tmp_path / "empty.md").write_text("nothing\n")
    arguments = ["hearing", "segments", "--corpus", f"toy={corpus}", "--clips", "2"]
    assert main([*arguments, "--write", str(tmp_path / "empty.md")]) == 1
    assert "has no place for these tables: put '<!-- segments -->'" in capsys.readouterr().err
    assert (tmp_path / "empty.md").read_text() == "nothing\n"


def test_the_map_of_confidences_is_fitted_on_some_people_and_judged_on_others(
    corpus: Path,
    page: Path,
    tmp_path: Path,
    whisper_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = tmp_path / "map.yaml"
    for module in ("mser_ros.cli.hearing", "mser_ros.asr.confidence"):
        monkeypatch.setattr(f"{module}.whisper_confidence_file", lambda: target)
    who = ["--corpus", f"toy={corpus}", "--babble", f"toy={corpus}", "--model", str(whisper_base), "--clips", "1"]
    assert main(["hearing", "confidence", *who, "--fit", "--write", str(page)]) == 0
    out, _ = capsys.readouterr()
    values = yaml.safe_load(target.read_text())
    assert "of 1 people of toy" in values["source"]
    found = read_confidence_map(target)
    assert 0 < found(0.2) <= found(0.9) < 1
    counts: dict[str, int] = {}
    for when, _, count, *_ in table(out, "words"):
        counts[when] = counts.get(when, 0) + int(count)
    assert len(set(counts.values())) == 1, "the same words before and calibrated"
    quiet, *noisy = table(out, "babble")
    assert [row[0] for row in noisy] == ["20 dB", "10 dB", "0 dB"]
    assert float(quiet[4]) > 0.7
    assert "1 people of toy, none of whom the map was fitted on." in page.read_text()


def test_words_of_a_stream_are_counted_in_quiet_and_in_babble(
    corpus: Path, whisper_base: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["hearing", "words", "--corpus", f"toy={corpus}", "--language", "en", "--clips", "1"]
    assert main([*arguments, "--model", str(whisper_base), "--write", str(page)]) == 0
    rows = table(capsys.readouterr().out, "corpus")
    assert [row[:3] for row in rows] == [
        ["toy", condition, told] for told in ("en", "auto") for condition in ("quiet", "noise, 10 dB", "babble, 10 dB")
    ]
    told, _, _, found_out, _, _ = rows
    assert float(told[3]) < 0.15
    assert told[4:6] == ["2", "0"]
    assert told[8] == "0"
    assert found_out[3:8] == told[3:8]
    assert table(page.read_text(), "corpus") == rows


def test_how_soon_words_are_told_while_somebody_speaks(
    corpus: Path, whisper_base: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["hearing", "partials", "--corpus", f"toy={corpus}", "--language", "en", "--clips", "1"]
    assert main([*arguments, "--model", str(whisper_base), "--write", str(page)]) == 0
    ((name, language, utterances, told, wrong, *times_s),) = table(capsys.readouterr().out, "corpus")
    assert (name, language, utterances) == ("toy", "en", "2 of 2")
    assert 0 <= int(wrong.rstrip(" %")) <= 50 <= int(told.rstrip(" %")) <= 100
    first_s, late_s, mean_s = (float(time_s.rstrip(" s")) for time_s in times_s)
    assert 0 < first_s <= late_s
    assert mean_s > 0
    assert table(page.read_text(), "corpus") == [[name, language, utterances, told, wrong, *times_s]]


def test_where_no_word_is_told_that_is_said(
    tmp_path: Path, whisper_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hum = 0.1 * np.sin(2 * np.pi * 50 / 16000 * np.arange(32_000))
    soundfile.write(tmp_path / "hum.wav", hum, 16000)
    (tmp_path / "manifest.tsv").write_text("file\tlabel\tspeaker\ttext\nhum.wav\tneutral\ta\tnothing\n")
    arguments = ["hearing", "partials", "--corpus", f"toy={tmp_path}", "--language", "en"]
    assert main([*arguments, "--model", str(whisper_base)]) == 1
    assert "no word of corpus 'toy' was told before its end" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["words", "partials"])
def test_each_corpus_has_its_language(command: str, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hearing", command, "--corpus", f"toy={corpus}"]) == 1
    assert "1 corpora and 2 languages: name one --language for each --corpus" in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "...", ""])
@pytest.mark.parametrize(
    "command", [["words", "--language", "en"], ["confidence"], ["confidence", "--fit"], ["translation"]], ids=" ".join
)
def test_a_corpus_that_does_not_tell_what_is_said_is_refused_for_that(
    corpus: Path, command: list[str], text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [line.split("\t")[:3] for line in (corpus / "manifest.tsv").read_text().splitlines()[:3]]
    if text is not None:
        rows = [[*row, "text" if row[0] == "file" else text] for row in rows]
    (corpus / "manifest.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    babble = ["--babble", f"toy={corpus}"] if command[0] == "confidence" else []
    assert main(["hearing", *command, "--corpus", f"toy={corpus}", *babble, "--model", "nowhere"]) == 1
    assert "'toy' tells of no recording what is said: give its manifest a column 'text'" in capsys.readouterr().err


def test_a_confidence_is_judged_of_two_speakers_at_least(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = corpus.parent / "alone"
    shutil.copytree(corpus, alone)
    manifest = (corpus / "manifest.tsv").read_text()
    (alone / "manifest.tsv").write_text(manifest.replace("\tb\t", "\ta\t"))
    for speaking, babbling in (("alone", "toy"), ("toy", "alone")):
        who = [
            "--corpus",
            f"{speaking}={corpus.parent / speaking}",
            "--babble",
            f"{babbling}={corpus.parent / babbling}",
        ]
        assert main(["hearing", "confidence", *who, "--model", "nowhere"]) == 1
        assert "corpus 'alone' has one speaker" in capsys.readouterr().err


def test_what_is_made_of_sounds_in_which_nobody_speaks_is_counted(
    whisper_base: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["hearing", "invented", "--minutes", "0.4", "--model", str(whisper_base), "--write", str(page)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    rows = table(out, "sound")
    assert [(row[0], row[1]) for row in rows] == [(name, "0.1") for name in ("noise", "music", "hum", "motors")]
    assert all(int(texts) <= int(utterances) for _, _, utterances, texts in rows)
    assert "In 0.4 minutes 0 texts were invented." in out
    assert table(page.read_text(), "sound") == rows


def test_translation_is_shown_with_its_cost(
    data_dir: Path, whisper_base: Path, page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["hearing", "translation", "--corpus", f"nemo={data_dir / 'nemo'}", "--clips", "2"]
    assert main([*arguments, "--model", str(whisper_base), "--write", str(page)]) == 0
    out = capsys.readouterr().out
    rows = table(out, "said")
    assert len(rows) == 2
    assert all(said and heard for said, heard, _ in rows)
    assert f"{sum(bool(translation) for *_, translation in rows)} of 2 were translated" in out
    cost = re.search(r"(\d+) ms without translation, (\d+) ms with it \((\d\.\d+) times\)", out)
    assert cost
    assert int(cost[2]) > int(cost[1])


def test_an_evaluation_with_recognised_words_tells_how_sure_they_were(
    corpus: Path, whisper_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, out = write_tiny_bundle(tmp_path / "bundle"), tmp_path / "figures.json"
    arguments = ["evaluate", "--bundle", str(bundle), "--corpus", f"toy={corpus}", "--modalities", "text"]
    arguments += ["--asr", "whisper", "--asr-model", str(whisper_base), "--resamples", "100", "--json", str(out)]
    assert main(arguments) == 0
    assert "recognised words" in capsys.readouterr().out
    found = json.loads(out.read_text())["asr"]
    bins = found["word_reliability"]
    assert sum(item["count"] for item in bins) > 30
    assert all(item["low"] <= item["confidence"] <= item["high"] for item in bins)
    assert 0 <= found["word_ece"] < 0.2
