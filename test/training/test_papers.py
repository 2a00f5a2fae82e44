"""Every configuration of the papers trains end to end on made-up IEMOCAP, with tiny encoders."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_iemocap import write_iemocap
from fakes_transformers import write_bert, write_wav2vec2

from mser_ros.cli.main import main
from mser_ros.corpora import iemocap_files
from mser_ros.errors import SettingsError
from mser_ros.evaluation.metrics import score
from mser_ros.training.config.files import load_config, shipped_configs
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.fit import experiment
from mser_ros.training.fit.experiment import make_folds, run_experiment
from mser_ros.training.fit.predicting import predict, predict_subsets, restore
from mser_ros.training.runs.predictions import OutOfFold
from mser_ros.training.samples.data import Data, load_data
from mser_ros.training.samples.features import kept_modalities, with_features

#: In the order in which they need each other.
PAPERS = (
    "paper_a_speech",
    "paper_a_text",
    "paper_a_mocap",
    "paper_a_fusion",
    "paper_b_audio",
    "paper_b_text",
    "paper_b_fusion",
    "ours",
)
PROTOCOL = ("paper_a_protocol_speech", "paper_a_protocol_text", "paper_a_protocol_mocap", "paper_a_protocol")


class Workshop:
    """A made-up release, tiny encoders, and the runs that were made of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.release = write_iemocap(root, rate_hz=30)
        self.sources = {"speech": write_wav2vec2(root / "wav2vec2"), "text": write_bert(root / "bert")}

    def config(self, name: str, *overrides: str) -> ExperimentConfig:
        shipped = load_config(name)
        made = ["optimiser.epochs=1", "optimiser.batch=16", "threads=1", "inputs.max_s=0.5", "optimiser.precision=fp32"]
        if shipped.inputs.fixed_s:
            made.append("inputs.fixed_s=0.5")
        for modality in shipped.modalities:
            stream = getattr(shipped.model.streams, modality)
            if stream.source:
                made.append(f"model.streams.{modality}.source={self.sources[modality]}")
            if stream.weights:
                made.append(f"model.streams.{modality}.weights={self.root / stream.weights}")
        return load_config(name, overrides=[*made, *overrides], data={"iemocap": str(self.release)})

    def run(self, name: str, *overrides: str, folder: str = "") -> dict[str, Any]:
        return run_experiment(
            self.config(name, *overrides), self.root / "runs" / (folder or name), log=lambda _text: None
        )


@pytest.fixture(scope="module", autouse=True)
def motion_is_read_once() -> Iterator[None]:
    """Two dialogues are kept of a release, whose files are large; all of this one, which is read again and again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iemocap_files, "read_mocap", cache(iemocap_files.read_mocap.__wrapped__))
        yield


@pytest.fixture(scope="module", autouse=True)
def recordings_are_loaded_once() -> Iterator[None]:
    """Those that are fed to networks alike: each configuration of a paper would load them for itself."""
    loaded: dict[str, Data] = {}

    def load_once(config: ExperimentConfig, **how: Any) -> Data:
        key = repr((config.corpora, config.inputs, config.modalities, config.reads_markers, how.get("limit")))
        if key not in loaded:
            loaded[key] = load_data(config, **how)
        return loaded[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "load_data", load_once)
        yield


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    made = Workshop(tmp_path_factory.mktemp("papers"))
    for name in PAPERS:
        made.run(name, f"folds.only={1 if name.startswith('paper_a') else 2}")
    return made


@pytest.mark.parametrize("name", PAPERS)
def test_every_configuration_tests_each_session_once_with_another_one_to_validate(
    workshop: Workshop, name: str
) -> None:
    config = workshop.config(name)
    data = experiment.load_data(config, log=lambda _text: None)
    plan = make_folds(config.folds, data, config.seed)
    assert sorted(index for fold in plan for index in fold.test) == list(range(len(data.items)))
    for fold in plan:
        groups = [{data.items[index].group for index in part} for part in (fold.train, fold.validation, fold.test)]
        assert [len(group) for group in groups] == [3, 1, 1]
        assert not groups[0] & groups[1]
        assert not groups[2] & (groups[0] | groups[1])


def test_who_was_on_which_side_is_noted_with_each_fold(workshop: Workshop) -> None:
    folder = workshop.root / "runs" / "paper_b_audio"
    rows = OutOfFold.load(folder / "fold1" / "predictions.npz")
    sides = json.loads((folder / "fold1" / "fold.json").read_text())
    assert {person for _, person in sides["test"]} == set(rows.person.tolist()) == {"Ses02F", "Ses02M"}
    assert {person[:5] for _, person in sides["train"]} == {"Ses01", "Ses04", "Ses05"}


def test_a_fusion_run_keeps_predictions_of_every_set_of_modalities(workshop: Workshop) -> None:
    folder = workshop.root / "runs" / "ours"
    subsets = {"speech", "text", "mocap", "speech+text", "speech+mocap", "text+mocap"}
    assert {file.stem.removeprefix("predictions_") for file in folder.glob("predictions_*.npz")} == subsets
    assert set(json.loads((folder / "summary.json").read_text())["subsets"]) == subsets
    unmarked = OutOfFold.load(folder / "predictions_mocap.npz")
    assert 0 < len(unmarked) < 32  # whoever wears no markers has no prediction from them
    found = OutOfFold.load(folder / "predictions.npz")
    assert np.isfinite(found.affect).all()
    assert np.isfinite(found.affect_truth).any()
    assert set(json.loads((folder / "summary.json").read_text())["iemocap"]["ccc"]) == {"valence", "arousal"}
    config = workshop.config("ours", "folds.only=2")
    data = experiment.load_data(config, log=lambda _text: None)
    tested = make_folds(config.folds, data, config.seed)[0].test
    network = restore(config, folder / "fold0" / "best.safetensors")
    (logits,) = predict_subsets(config, network, [data.samples[index] for index in tested], [("text",)]).logits
    text = OutOfFold.load(folder / "fold0" / "predictions_text.npz")
    assert text.item_id.tolist() == [data.items[index].item_id for index in tested]
    np.testing.assert_allclose(text.logits, logits, atol=1e-4)


def test_the_own_protocol_of_paper_a_is_kept_and_marked(workshop: Workshop) -> None:
    for name in PROTOCOL:
        config = workshop.config(name)
        assert config.corpora[0].longest_s == 15.375
        assert "chosen on the test set" in config.notes
        assert config.optimiser.metric == "wa"
        summary = workshop.run(name)
    folder = workshop.root / "runs" / "paper_a_protocol"
    rows = OutOfFold.load(folder / "predictions.npz")
    assert {item[:5] for item in rows.item_id.tolist()} == {"Ses05"}
    (figures,) = (part for name, part in summary.items() if name.startswith("iemocap"))
    assert figures["items"] == len(rows) == 14  # hap does not count
    sides = json.loads((folder / "fold0" / "fold.json").read_text())
    assert sides["validation"] == sides["test"]


def test_the_sub_modules_of_the_fair_protocol_do_not_fit_that_of_paper_a(workshop: Workshop) -> None:
    weights = [f"model.streams.speech.weights={workshop.root / 'runs' / 'paper_a_speech'}"]
    weights += [f"model.streams.{modality}.weights=''" for modality in ("text", "mocap")]
    with pytest.raises(SettingsError, match="was trained on people who are held out here"):
        workshop.run("paper_a_protocol", *weights, folder="unfair")


def test_long_utterances_can_be_dropped_before_the_split(workshop: Workshop) -> None:
    config = workshop.config("paper_a_protocol", "corpora=[{name: iemocap, longest_s: 0.5}]")
    with pytest.raises(Exception, match="no item"):
        load_data(config, log=lambda _text: None)


def test_a_fusion_starts_from_the_encoder_of_the_same_fold(workshop: Workshop) -> None:
    from safetensors.torch import load_file

    runs = workshop.root / "runs"
    for fold in ("fold0", "fold1", "final"):
        theirs = load_file(runs / "paper_b_audio" / fold / "best.safetensors")
        ours = load_file(runs / "paper_b_fusion" / fold / "best.safetensors")
        names = [name for name in theirs if name.startswith("encoder.")]
        assert names
        for name in names:
            assert (ours[name.replace("encoder.", "encoders.speech.", 1)] == theirs[name]).all(), name


def test_an_encoder_that_heard_the_test_speakers_is_refused(workshop: Workshop) -> None:
    with pytest.raises(SettingsError, match=r"was trained on people who are held out here \(Ses0"):
        workshop.run("paper_b_fusion", "folds.test_group=Session4", folder="leak")
    with pytest.raises(SettingsError, match=r"was trained with inputs\.max_s=0\.5, not 0\.6: set it so"):
        workshop.run("paper_b_fusion", "inputs.max_s=0.6", folder="other")
    with pytest.raises(SettingsError, match="nowhere is not a run folder"):
        workshop.run("paper_b_fusion", "model.streams.speech.weights=nowhere", folder="none")
    with pytest.raises(SettingsError, match="has no fold2: train it first"):
        workshop.run("paper_b_fusion", "folds.only=3", folder="none")
    assert not (workshop.root / "runs" / "none").exists()


def test_any_subset_of_the_modules_can_be_fused_with_frozen_or_trained_ones(workshop: Workshop) -> None:
    summary = workshop.run(
        "paper_a_fusion", "model.streams.mocap.kind=''", "model.streams.speech.train=none", "folds.only=1", folder="two"
    )
    assert set(summary["subsets"]) == {"speech", "text"}


def test_features_of_a_frozen_encoder_are_computed_once_and_change_nothing(workshop: Workshop, tmp_path: Path) -> None:
    import torch

    from mser_ros.training.fit.predicting import restore

    config = workshop.config("paper_b_fusion")
    assert kept_modalities(config) == ("speech", "text")
    samples = experiment.load_data(config, log=lambda _text: None).samples[:12]
    kept = with_features(config, samples, fold="fold0", cache=tmp_path)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")}
    assert len(list(tmp_path.iterdir())) == 2
    again = with_features(config, samples, fold="fold0", cache=tmp_path)
    assert [sample.frames for sample in again] == [sample.frames for sample in kept]
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.npy")} == files
    network = restore(config, workshop.root / "runs" / "paper_b_fusion" / "fold0" / "best.safetensors")
    torch.testing.assert_close(
        torch.from_numpy(predict(config, network, kept)),
        torch.from_numpy(predict(config, network, samples)),
        atol=2e-2,  # features are kept in half precision
        rtol=1e-2,
    )
    with_features(config, samples, fold="fold1", cache=tmp_path)
    assert len(list(tmp_path.glob("speech-*"))) == 2  # other weights, other features


def test_a_changing_input_is_never_taken_from_kept_features(workshop: Workshop) -> None:
    assert kept_modalities(workshop.config("ours")) == ("speech",)  # its transcripts are changed in training
    assert kept_modalities(workshop.config("paper_b_fusion", "model.streams.text.train=top")) == ("speech",)
    assert kept_modalities(workshop.config("paper_b_audio")) == ()


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_every_shipped_configuration_is_valid(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert (config.folds.validation == "test") == name.startswith("paper_a_protocol")
    if config.corpora[0].name == "iemocap":
        assert config.folds.scheme == "group"


def test_the_report_holds_every_run_against_its_paper(
    workshop: Workshop, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in PROTOCOL:
        workshop.run(name)
    pair = ("model.streams.mocap.kind=''", "folds.only=1")
    workshop.run("paper_a_fusion", *pair, folder="paper_a_fusion_speech_text")
    runs = [str(workshop.root / "runs" / name) for name in (*PAPERS, *PROTOCOL, "paper_a_fusion_speech_text")]
    page = tmp_path / "page.md"
    assert main(["report", *runs, "-o", str(page), "--resamples", "100"]) == 0, capsys.readouterr().err
    text = page.read_text(encoding="utf-8")
    rows = {line.split(" | ")[3]: line for line in text.splitlines() if line.count(" | ") == 7 and "`" in line}
    assert set(rows) == {f"`{Path(run).name}`" for run in runs}
    assert "WA 64.0 (60.6)" in rows["`paper_a_speech`"]
    assert "WA 77.58" in rows["`paper_a_fusion`"]
    assert "WA 74.9 (74.5)" in rows["`paper_a_fusion_speech_text`"]
    assert "the test set decides when to stop" in rows["`paper_a_protocol`"]
    assert "separate validation fold" in rows["`paper_b_fusion`"]
    assert "synthetic" not in text.lower()
    assert "Concordance correlation" in text
    found = OutOfFold.load(workshop.root / "runs" / "paper_b_audio" / "predictions.npz")
    ua = score(found.predictions(), resamples=0).values["ua"]
    assert f"| {100 * ua:.1f} [" in rows["`paper_b_audio`"]
    missing = text[text.index("when modalities are missing") :].split("## ")[0]
    assert sum(line.startswith(("| speech", "| text", "| mocap")) for line in missing.splitlines()) == 7
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(pictures) == len(runs) + 1
    assert all((tmp_path / picture).stat().st_size > 1000 for picture in pictures)


def test_a_report_on_something_else_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "page.md")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "page.md").exists()
