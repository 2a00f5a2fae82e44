"""A part of a bundle judges as it does in the whole, and holds nothing of what was left out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes_bundle import write_tiny_bundle

from mser_ros.cli.main import main
from mser_ros.errors import SettingsError
from mser_ros.recognition.bundle import MANIFEST, load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.resources import default_bundle_dir
from mser_ros.training.export.part import export_part, permissive_modalities
from mser_ros.types import NS_PER_S, Transcript, Utterance

SENTENCE = Utterance("u", 0, NS_PER_S, transcript=Transcript("I am so glad that you came", 1.0, language="en"))


def test_what_a_company_may_use_is_a_bundle_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "words"
    assert main(["bundle", "part", "--commercial", "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: text; left out: speech (CC-BY-NC-SA-4.0), mocap (not stated)\n"
    for item in out.iterdir():
        text = item.read_bytes()
        for word in (b"CC-BY-NC", b"RAVDESS", b"ravdess", b"nEMO", b"E-Gait"):
            assert word not in text, f"{item.name} still tells of {word.decode()}"
    whole, part = load_bundle(), load_bundle(out)
    assert (part.name, part.version, part.lacks) == ("words", whole.version, whole.lacks)
    assert list(part.decision.largest_miss) == ["text"]
    made = EmotionRecognizer(part).recognize(SENTENCE)
    before = EmotionRecognizer(whole).recognize(SENTENCE)
    np.testing.assert_array_equal(made.probabilities, before.probabilities)
    assert made.label_set == before.label_set
    assert main(["bundle", "verify", str(out)]) == 0


def test_two_of_three_keep_what_was_fitted_of_them(tmp_path: Path) -> None:
    whole = load_bundle()
    part = export_part(whole, ("mocap", "text"), tmp_path / "two")
    assert list(part.modalities) == ["text", "mocap"]
    assert set(part.decision.largest_miss) == {"text", "mocap", "mocap+text"}
    assert set(part.manifest["fusion"]["metrics"]["subsets"]) == {"text", "mocap", "text+mocap"}
    assert "incongruent" in part.manifest["decision"]["metrics"]
    assert part.manifest["fallback"]["modalities"]["mocap"] == whole.manifest["fallback"]["modalities"]["mocap"]


def test_a_part_without_the_modality_that_has_a_fallback_has_none(tmp_path: Path) -> None:
    part = export_part(load_bundle(), ["mocap"], tmp_path / "body")
    assert "fallback" not in part.manifest
    assert not part.lacks
    assert {item.name for item in part.path.iterdir()} == {
        "mocap.onnx",
        "mocap_predictions.npz",
        "MODEL_CARD.md",
        "NOTICE-not-stated.txt",
        MANIFEST,
    }


def test_a_fallback_that_may_not_be_used_keeps_its_modality_out() -> None:
    manifest = {
        "modalities": {"text": {"licence": "MIT"}, "mocap": {"licence": "CC0-1.0"}, "speech": {}},
        "fallback": {"modalities": {"text": {"graph": "small.onnx", "licence": "CC-BY-NC-4.0"}}},
    }
    assert permissive_modalities(manifest) == ["mocap"]


def test_what_cannot_be_taken_is_one_sentence(tmp_path: Path) -> None:
    fused = load_bundle(write_tiny_bundle(tmp_path / "fused", fusion={"kind": "graph"}))
    default = load_bundle()
    for bundle, modalities, out, words in (
        (default, ["nose"], tmp_path / "out", "has no 'nose': choose of speech, text, mocap"),
        (default, [], tmp_path / "out", "name a modality"),
        (fused, ["text"], tmp_path / "out", "needs all of its modalities"),
        (fused, ["speech", "text", "mocap"], fused.path, "name another folder"),
    ):
        with pytest.raises(SettingsError, match=words):
            export_part(bundle, modalities, out)
    assert not (tmp_path / "out").exists()


def test_on_the_command_line_a_modality_that_a_company_may_not_use_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    assert main(["bundle", "part", "--commercial", "-m", "speech", "-o", out]) == 2
    assert "speech may not be used commercially (licence: CC-BY-NC-SA-4.0)" in capsys.readouterr().err
    assert main(["bundle", "part", "-o", out]) == 2
    assert "name a modality with -m, or --commercial" in capsys.readouterr().err
    assert main(["bundle", "part", "--modalities", "text, mocap", "-o", out]) == 0
    assert f"{out}: text, mocap; left out: speech" in capsys.readouterr().out
    shutil.copytree(default_bundle_dir(), tmp_path / "mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    assert main(["bundle", "part", str(tmp_path / "mine"), "-m", "text", "-o", str(tmp_path / "other")]) == 1
    assert (tmp_path / "other" / "thesis.txt").is_file()
