"""`mser evaluate` with a bundle whose answers are known."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes_bundle import write_tiny_bundle
from fakes_iemocap import write_iemocap

from mser_ros.cli.main import main
from mser_ros.corpora import open_corpus
from mser_ros.evaluation.predict import evaluate
from mser_ros.evaluation.words import edits, words_of
from mser_ros.labels import LABELS
from mser_ros.recognition.bundle import MANIFEST, load_bundle, write_manifest
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.types import Transcript, subsets_of


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three people, eight clips each: words that name the class, except that ann's sad clips say 'happy'."""
    rows = ["file\tlabel\tspeaker\ttext\tlanguage"]
    for speaker in ("ann", "bob", "cat"):
        for number, label in enumerate(LABELS * 2):
            name = f"{speaker}{number}.wav"
            soundfile.write(tmp_path / name, 0.1 * np.sin(np.arange(16000) / 10), 16000)
            said = "happy" if (speaker, label) == ("ann", "sad") else label
            rows.append(f"{name}\t{label}\t{speaker}\t{said} {said} {said}\ten")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def run(*arguments: str | Path) -> int:
    return main(["evaluate", *map(str, arguments), "--resamples", "100"])


def test_json_holds_fractions_of_the_modalities_asked_for(bundle: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "figures.json"
    arguments = ("--bundle", bundle, "--corpus", f"mine={corpus}", "--modalities", "text", "--json", out)
    assert run(*arguments) == 0
    found = json.loads(out.read_text())
    assert found["modalities"] == ["text"]
    assert found["wa"] == pytest.approx(22 / 24, abs=1e-6)
    assert found["ua"] == pytest.approx((3 + 4 / 6) / 4, abs=1e-6)
    assert found["recall"]["sad"] == pytest.approx(4 / 6, abs=1e-6)
    assert found["confusion_matrix"][2] == [0, 2, 4, 0, 0]
    assert {"ece", "nll", "brier", "aurc", "macro_f1", "accuracy_at_70"} <= set(found)
    low, high = found["intervals"]["ua"]
    assert low <= found["ua"] <= high
    assert (found["n"], found["abstained"], found["people"], found["synthetic"]) == (24, 0, 3, False)
    assert found["units"]["ann"] == {"n": 8, "wa": 0.75, "ua": 0.75}
    assert found["units"]["bob"]["ua"] == 1.0


def test_of_one_person_no_interval_is_told_and_why(
    bundle: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    assert run("--bundle", bundle, "--corpus", f"mine={corpus}", "--subset", "ann", "-m", "text", "--json", out) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "[–]: all of one speaker, which gives no interval" in printed
    assert "0.750 [–]" in printed
    found = json.loads(out.read_text(), parse_constant=pytest.fail)
    assert found["intervals"]["ua"] == [None, None]


def test_every_set_of_modalities_is_measured(
    bundle: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "figures.json"
    assert run("--bundle", bundle, "--corpus", f"mine={corpus}", "--json", out, "--plots", tmp_path / "plots") == 0
    found = json.loads(out.read_text())
    assert found["modalities"] == ["speech", "text"]
    assert set(found["subsets"]) == {"speech+text", "speech", "text"}
    assert found["subsets"]["speech+text"]["ua"] == found["ua"]
    printed = capsys.readouterr().out
    assert "speech+text" in printed
    assert "cat" in printed
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "confusion.png",
        "reliability.png",
        "risk_coverage.png",
    }


def test_people_whom_the_bundle_has_seen_are_warned_of(
    bundle: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads((bundle / MANIFEST).read_text())
    seen = write_tiny_bundle(tmp_path / "seen")
    manifest["modalities"]["text"] |= {"people": {"mine": ["bob", "eve"]}, "trained_on": ["mine"]}
    manifest["modalities"]["speech"] |= {"trained_on": ["mine"]}
    write_manifest(seen, {key: value for key, value in manifest.items() if key not in ("format", "files")})
    out = tmp_path / "figures.json"
    assert run("--bundle", seen, "--corpus", f"mine={corpus}", "--json", out) == 0
    found = json.loads(out.read_text())
    assert found["seen_people"] == {"text": ["mine:bob"]}
    assert "trained on 1 people of this corpus (mine:bob)" in capsys.readouterr().err
    assert "without saying on whom" in found["warnings"][1]
    assert run("--bundle", seen, "--corpus", f"mine={corpus}", "--modalities", "text", "--subset", "ann,cat") == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modalities", ","], "--modalities ',' names nothing"),
        (["--subset", " , "], "--subset ' , ' names nothing"),
        (["--option", "labels=[a"], "the value of 'labels=[a' cannot be understood"),
        (["--modalities", "face"], "no modality 'face': it has speech, text, mocap"),
        (["--modalities", "mocap"], "no item of corpus 'mine'"),
        (["--subset", "dan"], "no person dan: it has ann, bob, cat"),
        (["--option", "labels"], "KEY=VALUE"),
        (["--option", "labels=felt"], "no option 'labels'"),
        (["--asr", "--modalities", "speech"], "add --modalities speech,text"),
    ],
)
def test_a_mistake_is_one_sentence(
    bundle: Path, corpus: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run("--bundle", bundle, "--corpus", f"mine={corpus}", *arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize("corpus_text", ["", "=folder", "mine="])
def test_a_corpus_without_name_or_folder_is_refused(
    bundle: Path, capsys: pytest.CaptureFixture[str], corpus_text: str
) -> None:
    assert run("--bundle", bundle, "--corpus", corpus_text) == 1
    assert "is not of the form NAME or NAME=PATH" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    bundle: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = corpus / "manifest.tsv"
    for option, place, named in (
        ("--json", corpus, corpus),
        ("--json", file / "out.json", file),
        ("--plots", file, file),
    ):
        assert run("--bundle", bundle, "--corpus", f"mine={corpus}", option, place) in (1, 2)
        printed = capsys.readouterr()
        assert printed.out == ""
        assert str(named) in printed.err
        assert "Traceback" not in printed.err


def test_every_item_that_cannot_be_loaded_is_named(
    bundle: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (corpus / "manifest.tsv").write_text(
        "file\tlabel\tspeaker\tduration_s\n" + "".join(f"ann{n}.wav\tsad\tann\t1\n" for n in range(4))
    )
    for number in (1, 3):
        (corpus / f"ann{number}.wav").write_text("no sound")
    assert run("--bundle", bundle, "--corpus", f"mine={corpus}") == 1
    error = capsys.readouterr().err
    assert "items that cannot be loaded, restore them or take them out: 2" in error
    assert "ann1.wav" in error
    assert "ann3.wav" in error


def test_a_bundle_of_the_pseudo_corpus_may_have_seen_its_sources(
    bundle: Path, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--corpus", f"ravdess={corpus}", "--modalities", "speech", "--bundle")
    for number, (people, warned) in enumerate(
        [({"pseudo": []}, True), ({}, True), ({"pseudo": [], "nemo": ["x"]}, False)]
    ):
        manifest = json.loads((bundle / MANIFEST).read_text())
        seen = write_tiny_bundle(tmp_path / f"seen{number}")
        manifest["modalities"]["speech"] |= {"people": people, "trained_on": ["pseudo"]}
        write_manifest(seen, {key: value for key, value in manifest.items() if key not in ("format", "files")})
        assert run(*arguments, seen) == 0
        said = "was trained on pseudo, made of ravdess, nemo, goemotions, egait, without saying on whom"
        assert (said in capsys.readouterr().err) == warned
    assert run("--corpus", f"mine={corpus}", "--modalities", "speech", "--bundle", tmp_path / "seen0") == 0
    assert "pseudo" not in capsys.readouterr().err


def test_face_markers_are_no_evidence_for_a_body_model(bundle: Path, tmp_path: Path) -> None:
    release = write_iemocap(tmp_path, sessions=(1,))
    out = tmp_path / "figures.json"
    assert run("--bundle", bundle, "--corpus", f"iemocap={release}", "--option", "sessions=1", "--json", out) == 0
    found = json.loads(out.read_text())
    assert found["modalities"] == ["speech", "text", "mocap"]
    assert "mocap" not in found["subsets"]
    assert found["subsets"]["text+mocap"]["ua"] == found["subsets"]["text"]["ua"]
    assert set(found["units"]) == {"Ses01F_impro01", "Ses01M_script01_1"}
    assert found["unit"] == found["cluster_unit"] == "dialogue"


class EchoTranscriber:
    """Hears a word that its list gives, one utterance after the other."""

    language = "en"

    def __init__(self, texts: list[str]) -> None:
        self.texts = iter(texts)

    def start(self, start_ns: int) -> None:
        self.samples = 0

    def accept(self, samples: np.ndarray) -> None:
        assert samples.dtype == np.int16
        self.samples += len(samples)

    def partial(self) -> Transcript:
        return Transcript("", is_final=False)

    def finish(self) -> Transcript:
        assert self.samples == 16000
        return Transcript(next(self.texts), language="en")

    def reset(self) -> None: ...

    def close(self) -> None: ...


def test_recognised_words_are_measured_on_the_same_items(bundle: Path, corpus: Path) -> None:
    items = open_corpus("mine", corpus).items
    heard = [""] * 8 + [f"{item.label} {item.label} {item.label}" for item in items[8:]]
    found = evaluate(
        EmotionRecognizer(load_bundle(bundle)), items, ("speech", "text"), transcriber=EchoTranscriber(heard)
    )
    assert set(found.by_subset) == {("speech", "text"), ("speech",), ("text",)}
    assert set(found.by_subset_asr) == {("speech", "text"), ("text",)}
    gold, asr = found.by_subset[("text",)].predictions, found.by_subset_asr[("text",)].predictions
    assert len(gold) == len(asr) == 24
    assert asr.answered.tolist() == [False] * 8 + [True] * 16
    assert (asr.guesses[8:] == asr.truth[8:]).all()
    assert (found.word_errors, found.words) == (24, 72)


def test_subsets_are_all_with_the_whole_first() -> None:
    assert subsets_of(("a", "b")) == [("a", "b"), ("a",), ("b",)]
    assert len(subsets_of(("a", "b", "c"))) == 7


@pytest.mark.parametrize(
    ("truth", "heard", "count"),
    [("", "a b", 2), ("a b c", "", 3), ("a b c", "a c", 1), ("a b c", "x b c d", 2), ("Dog's here!", "dog’s here", 0)],
)
def test_word_errors_are_insertions_deletions_and_replacements(truth: str, heard: str, count: int) -> None:
    assert edits(words_of(truth), words_of(heard)) == count


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("मैं ठीक हूँ।", ["मैं", "ठीक", "हूँ"]),
        ("ฉันสบายดี", ["ฉันสบายดี"]),
        (unicodedata.normalize("NFD", "Für Zoë!"), ["für", "zoë"]),
        ("I ❤️ you", ["i", "you"]),  # a heart with a mark that tells how it is drawn
    ],
)
def test_words_are_whole_in_every_script(text: str, words: list[str]) -> None:
    assert words_of(text) == words
