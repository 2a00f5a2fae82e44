"""Training from data to out-of-fold predictions, on recordings so small that it takes seconds."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import yaml
from fakes_transformers import write_bert
from safetensors.torch import load_file, save_file

from mser_ros.cli.main import main
from mser_ros.corpora import open_corpus
from mser_ros.errors import CorpusError, SettingsError
from mser_ros.labels import LABELS
from mser_ros.training.config.files import build_config, config_tree, load_config, read_config
from mser_ros.training.config.settings import ExperimentConfig, FoldsConfig
from mser_ros.training.fit import domain, experiment, fitting
from mser_ros.training.fit.callbacks import read_figures
from mser_ros.training.fit.experiment import run_experiment
from mser_ros.training.fit.learning import Learner
from mser_ros.training.fit.predicting import restore
from mser_ros.training.runs.checkpoints import SafeCheckpoints
from mser_ros.training.runs.finished import FinishedRun
from mser_ros.training.runs.predictions import OutOfFold
from mser_ros.training.samples.batches import LengthBuckets, Place, SampleSet
from mser_ros.training.samples.data import load_data
from mser_ros.training.samples.inputs import Sample
from mser_ros.training.samples.origin import origin_of

PITCH_HZ = {"angry": 330.0, "happy": 240.0, "sad": 110.0, "neutral": 160.0}


def write_voices(folder: Path, *, people: int = 4, clips: int = 3) -> Path:
    """A folder with a manifest: harmonic tones whose pitch tells the class."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = ["file\tlabel\tspeaker"]
    for person in range(people):
        for label in LABELS:
            for clip in range(clips):
                time_s = np.arange(rng.integers(8000, 14000)) / 16000
                pitch = PITCH_HZ[label] * rng.uniform(0.95, 1.05)
                wave = sum(np.sin(2 * np.pi * pitch * n * time_s) / n for n in range(1, 8)) * 0.1
                name = f"{person}-{label}-{clip}.wav"
                soundfile.write(folder / name, wave + rng.normal(scale=0.005, size=len(wave)), 16000)
                rows.append(f"{name}\t{label}\tp{person}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def small(voices: Path, **optimiser: object) -> ExperimentConfig:
    tree = {
        "name": "small",
        "threads": 1,
        "corpora": [{"name": "voices", "path": str(voices)}],
        "folds": {"count": 4, "only": 2},
        "model": {"streams": {"speech": {"kind": "log_mel", "width": 16, "depth": 1}}, "hidden": 16},
        "augment": {"speech": {"speed": 0.05, "channel": 0.5, "mask_bands": 4}},
        "optimiser": {"epochs": 6, "batch": 8, "learning_rate": 5e-3, "precision": "fp32", **optimiser},
    }
    return build_config(tree, where="test")


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voices(tmp_path_factory.mktemp("data") / "voices")


@pytest.fixture(scope="module")
def run(voices: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    run_experiment(small(voices), folder, log=lambda _text: None)
    return folder


def test_a_run_folder_holds_everything_that_a_reader_asks_for(run: Path, voices: Path) -> None:
    assert read_config(run) == small(voices)
    for name in ("environment.json", "summary.json", "corpora.json", "predictions.npz", "confusion_voices.png"):
        assert (run / name).is_file(), name
    assert "val_ua" in (run / "fold0" / "metrics.csv").read_text(encoding="utf-8")
    assert any(file.stat().st_size > 500 for file in (run / "fold0").glob("events.out.tfevents*"))
    assert (run / "final" / "best.safetensors").is_file()
    people = json.loads((run / "corpora.json").read_text(encoding="utf-8"))["voices"]["people"]
    assert people == ["p0", "p1", "p2", "p3"]


def test_every_prediction_comes_from_a_model_that_never_saw_the_person(run: Path) -> None:
    rows = OutOfFold.load(run / "predictions.npz")
    assert len(rows) == 24
    assert len(set(rows.item_id.tolist())) == 24
    folds = {person: set(rows.fold[rows.person == person].tolist()) for person in set(rows.person.tolist())}
    assert all(len(names) == 1 for names in folds.values())


def test_a_network_learns_what_tells_the_classes(voices: Path, tmp_path: Path) -> None:
    config = small(voices, epochs=15, learning_rate=2e-2)
    config = dataclasses.replace(config, folds=FoldsConfig(count=4, only=1, final=False))
    run_experiment(config, tmp_path / "run", log=lambda _text: None)
    rows = OutOfFold.load(tmp_path / "run" / "predictions.npz")
    # Of thirty seeds every one gave 1.0.
    assert (rows.logits.argmax(1) == rows.label).mean() > 0.6


def test_no_file_of_a_run_can_run_code(run: Path) -> None:
    suffixes = {path.suffix for path in run.rglob("*") if path.is_file() and "tfevents" not in path.name}
    assert suffixes <= {".safetensors", ".json", ".yaml", ".npz", ".png", ".csv"}


def test_a_finished_run_is_not_trained_again(run: Path, voices: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("best.safetensors")}
    run_experiment(small(voices), run, log=lambda _text: None)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("best.safetensors")} == before


def test_a_run_folder_of_another_experiment_is_refused(run: Path, voices: Path) -> None:
    with pytest.raises(SettingsError, match=r"other settings \(optimiser\.epochs=6\): name another folder"):
        run_experiment(small(voices, epochs=7), run, log=lambda _text: None)


def test_a_killed_run_resumes_to_the_same_result(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    save, count = SafeCheckpoints.save_checkpoint, [0]

    def save_until_the_kill(self: SafeCheckpoints, *args: object, **kwargs: object) -> None:
        save(self, *args, **kwargs)  # type: ignore[arg-type]
        count[0] += 1
        if count[0] == 3:
            raise Killed

    monkeypatch.setattr(SafeCheckpoints, "save_checkpoint", save_until_the_kill)
    with pytest.raises(Killed):
        run_experiment(small(voices), tmp_path / "run", log=lambda _text: None)
    assert (tmp_path / "run" / "fold0" / "last.safetensors").is_file()
    monkeypatch.undo()
    run_experiment(small(voices), tmp_path / "run", log=lambda _text: None)
    one, other = OutOfFold.load(run / "predictions.npz"), OutOfFold.load(tmp_path / "run" / "predictions.npz")
    np.testing.assert_array_equal(one.item_id, other.item_id)
    np.testing.assert_array_equal(one.logits, other.logits)
    for fold in ("fold0", "fold1", "final"):
        rows = [read_figures(folder / fold / "metrics.csv") for folder in (run, tmp_path / "run")]
        assert len(rows[0]) > 2
        for name in ("epoch", "train_loss", "val_loss", "val_ua", "val_wa", "learning_rate"):
            assert [row[name] for row in rows[0]] == [row[name] for row in rows[1]], name


def test_a_run_that_is_killed_while_it_predicts_is_not_trained_again(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = small(voices, epochs=1), tmp_path / "run"

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "predict_subsets", die)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, folder, log=lambda _text: None)
    monkeypatch.undo()
    before = (folder / "fold0" / "best.safetensors").stat().st_mtime_ns
    run_experiment(config, folder, log=lambda _text: None)
    assert (folder / "fold0" / "best.safetensors").stat().st_mtime_ns == before
    assert len(OutOfFold.load(folder / "predictions.npz")) == 24


def test_a_fold_that_diverged_ends_the_run_each_time_and_leaves_nobody_out(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "predictions.npz").unlink()
    (folder / "fold1" / "predictions.npz").unlink()
    predict = fitting.predict_subsets

    def lose_some(*arguments: Any) -> fitting.Predicted:
        found = predict(*arguments)
        found.logits[0][::2] = np.nan
        return found

    monkeypatch.setattr(experiment, "predict_subsets", lose_some)
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"fold 2/2: training diverged, .*: lower optimiser\.learning_rate"):
            run_experiment(small(voices), folder, log=lambda _text: None)
    assert not (folder / "fold1" / "predictions.npz").exists()
    assert not (folder / "predictions.npz").exists()


def test_a_training_that_diverged_is_not_taken_for_done(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(voices)
    step = Learner.training_step
    monkeypatch.setattr(Learner, "training_step", lambda *arguments: step(*arguments) * np.nan)
    train = load_data(config, limit=8, log=lambda _text: None).samples
    for _ in range(2):
        with pytest.raises(SettingsError, match=r"final: training diverged, .*: lower optimiser\.learning_rate"):
            fitting.fit(config, train=train, validation=None, folder=tmp_path, title="final", epochs=1)
    assert not (tmp_path / "best.safetensors").exists()


def test_a_run_that_is_killed_after_it_has_stopped_early_learns_no_more(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(voices, patience=1, learning_rate=1e-5)
    config = dataclasses.replace(config, folds=FoldsConfig(count=4, only=1, final=False))
    run_experiment(config, tmp_path / "whole", log=lambda _text: None)

    def die(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "load_weights", die)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(config, tmp_path / "killed", log=lambda _text: None)
    monkeypatch.undo()
    run_experiment(config, tmp_path / "killed", log=lambda _text: None)
    whole, killed = (
        [row["val_loss"] for row in read_figures(tmp_path / name / "fold0" / "metrics.csv")]
        for name in ("whole", "killed")
    )
    assert killed == whole
    assert len(whole) < config.optimiser.epochs, "it has stopped early"
    one, other = (OutOfFold.load(tmp_path / name / "predictions.npz") for name in ("whole", "killed"))
    np.testing.assert_array_equal(one.logits, other.logits)


def test_bf16_computes_in_half_precision_about_what_fp32_does_and_keeps_whole_weights(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: dict[str, list[tuple[bool, float]]] = {"fp32": [], "bf16": []}
    step = Learner.training_step

    def note(self: Learner, batch: Any, index: int) -> torch.Tensor:
        loss = step(self, batch, index)
        kind = self.device.type
        halves = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) is torch.bfloat16
        losses[self.config.optimiser.precision].append((halves, float(loss.detach())))
        return loss

    monkeypatch.setattr(Learner, "training_step", note)
    for precision in losses:
        config = small(voices, precision=precision, epochs=1)
        config = dataclasses.replace(config, folds=FoldsConfig(count=4, only=1, final=False))
        run_experiment(config, tmp_path / precision, log=lambda _text: None)
    for precision, told in losses.items():
        assert len(told) > 2
        assert {halves for halves, _ in told} == {precision == "bf16"}
    (_, whole), (_, half) = losses["fp32"][0], losses["bf16"][0]  # of the same weights and the same batch
    assert half == pytest.approx(whole, abs=0.05)
    weights = load_file(tmp_path / "bf16" / "fold0" / "best.safetensors")
    assert not {value.dtype for value in weights.values()} & {torch.bfloat16, torch.float16}


def test_a_wrong_path_leaves_no_run_behind_and_moved_data_goes_on(run: Path, voices: Path, tmp_path: Path) -> None:
    config = small(tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="no folder"):
        run_experiment(config, tmp_path / "run", log=lambda _text: None)
    assert not (tmp_path / "run").exists()
    moved = shutil.copytree(voices, tmp_path / "moved" / "voices")
    copy = shutil.copytree(run, tmp_path / "copy")
    run_experiment(small(moved), copy, log=lambda _text: None)
    assert read_config(copy) == small(voices)


def test_a_run_does_not_go_on_with_other_data_than_it_was_begun_with(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"

    def die(*_args: object, **_settings: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(experiment, "fit", die)
    with pytest.raises(RuntimeError, match="killed"):
        run_experiment(small(voices), folder, log=lambda _text: None)
    monkeypatch.setattr(experiment, "fit", lambda *_args, **_settings: pytest.fail("it goes on"))
    first, *rows = manifest_lines(voices)
    changes = {
        "labels of voices": [rows[0].replace("\tangry", "\tsad"), *rows[1:]],
        "people of voices": [rows[0].replace("\tp0", "\tp1"), *rows[1:]],
        "items of voices": rows[1:],
    }
    for number, (named, table) in enumerate(changes.items()):
        copy = shutil.copytree(voices, tmp_path / f"{number}" / "voices")
        (copy / "manifest.tsv").write_text("\n".join([first, *table]) + "\n", encoding="utf-8")
        sentence = rf"begun with other {named} than there are now: restore them, or name another folder with --run"
        with pytest.raises(SettingsError, match=sentence):
            run_experiment(small(copy), folder, log=lambda _text: None)
    samples, rate = soundfile.read(copy / "0-happy-0.wav")
    soundfile.write(copy / "0-happy-0.wav", samples[:-100], rate)
    shutil.copy(voices / "manifest.tsv", copy)
    with pytest.raises(SettingsError, match="begun with other recordings of voices than"):
        run_experiment(small(copy), folder, log=lambda _text: None)


def test_a_finished_run_of_other_data_is_not_taken_for_this_one(run: Path, voices: Path, tmp_path: Path) -> None:
    copy, mine = shutil.copytree(voices, tmp_path / "voices"), shutil.copytree(run, tmp_path / "run")
    first, *rows = manifest_lines(voices)
    (copy / "manifest.tsv").write_text("\n".join([first, *rows[1:]]) + "\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="begun with other items of voices"):
        run_experiment(small(copy), mine, log=lambda _text: None)
    (mine / "origin.json").write_text("{", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"origin\.json is damaged .*: name another folder"):
        run_experiment(small(copy), mine, log=lambda _text: None)


def test_a_run_of_an_earlier_version_goes_on(run: Path, voices: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(run, tmp_path / "run")
    (mine / "origin.json").unlink()
    assert run_experiment(small(voices), mine, log=lambda _text: None)["voices"]["items"] == 24
    assert not (mine / "origin.json").exists(), "with what it was begun is not known"


def test_a_run_does_not_go_on_with_an_encoder_that_was_trained_again(
    run: Path, voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = shutil.copytree(run, tmp_path / "first")
    tree = config_tree(small(voices, epochs=1))
    tree["model"]["streams"]["speech"].update(weights=str(first), train="none")
    config, folder = build_config(tree), tmp_path / "run"

    def die(*_args: object, **_settings: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(experiment, "fit", die)
    with pytest.raises(RuntimeError, match="killed"):
        run_experiment(config, folder, log=lambda _text: None)
    with pytest.raises(RuntimeError, match="killed"):
        run_experiment(config, folder, log=lambda _text: None)  # nothing has changed
    weights = load_file(first / "final" / "best.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, first / "final" / "best.safetensors")
    with pytest.raises(SettingsError, match=rf"begun with other weights of final of {first} than there are now"):
        run_experiment(config, folder, log=lambda _text: None)


def test_words_and_models_belong_to_what_a_run_is_begun_with(tmp_path: Path) -> None:
    voices = write_voices(tmp_path / "voices", people=3, clips=1)
    rows = manifest_lines(voices)
    text = {"kind": "pretrained", "source": str(write_bert(tmp_path / "bert"))}
    config = build_config({"corpora": [{"name": "voices", "path": str(voices)}], "model": {"streams": {"text": text}}})

    def origin(words: str) -> dict[str, Any]:
        table = [f"{rows[0]}\ttext", *(f"{row}\t{words}" for row in rows[1:])]
        (voices / "manifest.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
        return dict(origin_of(config, load_data(config, log=lambda _text: None), ()))

    def changed(one: dict[str, Any], other: dict[str, Any]) -> set[tuple[str, str]]:
        return {(what, name) for what in one for name in one[what] if one[what][name] != other[what][name]}

    before, model = origin("go away"), text["source"]
    assert set(before) == {"voices", model}
    assert origin("go away") == before
    assert changed(before, origin("how lovely")) == {("voices", "transcripts")}
    write_bert(tmp_path / "bert", seed=1)
    assert changed(before, origin("go away")) == {(model, "weights")}
    write_bert(tmp_path / "bert")
    (tmp_path / "bert" / "tokenizer.json").write_text(
        (tmp_path / "bert" / "tokenizer.json").read_text().replace('"lovely"', '"awful"'), encoding="utf-8"
    )
    assert changed(before, origin("go away")) == {(model, "tokenizer")}


def test_people_and_corpora_of_an_encoder_come_with_it(run: Path, tmp_path: Path) -> None:
    other = write_voices(tmp_path / "others", people=4, clips=1)
    tree = config_tree(small(other, epochs=1))
    tree["corpora"][0]["name"] = "others"
    tree["model"]["streams"]["speech"].update(weights=str(run), train="none")
    tree["folds"]["only"] = 1
    run_experiment(build_config(tree), tmp_path / "run", log=lambda _text: None)
    corpora = json.loads((tmp_path / "run" / "corpora.json").read_text(encoding="utf-8"))
    assert corpora["voices"]["people"] == ["p0", "p1", "p2", "p3"]
    assert set(corpora) == {"voices", "others"}
    sides = json.loads((tmp_path / "run" / "fold0" / "fold.json").read_text(encoding="utf-8"))
    first = json.loads((run / "fold0" / "fold.json").read_text(encoding="utf-8"))
    for side in ("train", "validation"):
        assert {tuple(person) for person in first[side]} < {tuple(person) for person in sides[side]}


def test_a_transformer_has_dropout_in_training_and_what_is_frozen_has_none(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool, float]] = []
    start = Learner.on_train_batch_start

    def note(self: Learner, batch: Any, index: int) -> None:
        encoder, head = self.network.encoders["speech"], self.network.heads["speech"]  # type: ignore[index, union-attr]
        text = self.network.encoders["text"].model  # type: ignore[index, union-attr]
        seen.append((encoder.training or head.training, text.training, text.config.hidden_dropout_prob))
        start(self, batch, index)

    rows = [line + ("\ttext" if line.startswith("file") else "\tgo away now") for line in manifest_lines(voices)]
    copy = shutil.copytree(voices, tmp_path / "voices")
    (copy / "manifest.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    first = small(copy, epochs=1)
    run_experiment(first, tmp_path / "first", log=lambda _text: None)
    tree = config_tree(first)
    tree["model"]["streams"]["speech"].update(weights=str(tmp_path / "first"), train="none")
    tree["model"]["streams"]["text"].update(kind="pretrained", source=str(write_bert(tmp_path / "bert")), dropout=0.2)
    tree["model"]["fusion"].update(kind="cross_attention", width=8, heads=2, auxiliary=1.0)
    tree["folds"]["only"] = 1
    monkeypatch.setattr(Learner, "on_train_batch_start", note)
    run_experiment(build_config(tree), tmp_path / "run", log=lambda _text: None)
    assert set(seen) == {(False, True, 0.2)}
    theirs, mine = (load_file(tmp_path / name / "fold0" / "best.safetensors") for name in ("first", "run"))
    for name, value in theirs.items():
        own = name.replace("encoder.", "encoders.speech.", 1).replace("classifier.", "heads.speech.", 1)
        assert torch.equal(mine[own], value), name
    alone, single = (
        OutOfFold.load(tmp_path / name / "fold0" / file)
        for name, file in (("run", "predictions_speech.npz"), ("first", "predictions.npz"))
    )
    np.testing.assert_allclose(alone.logits, float(mine["alone_weight"][0]) * single.logits, atol=1e-4)


def manifest_lines(folder: Path) -> list[str]:
    return (folder / "manifest.tsv").read_text(encoding="utf-8").splitlines()


def write_endless(voices: Path, folder: Path) -> Path:
    """The file of an experiment that no test waits for the end of."""
    path = folder / "long.yaml"
    path.write_text(yaml.safe_dump(config_tree(small(voices, epochs=1000))), encoding="utf-8")
    return path


def test_a_signal_ends_training_with_its_own_exit_code(voices: Path, tmp_path: Path) -> None:
    """Lightning calls that a success. Ctrl-C has its own code as well, see below."""
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "mser_ros.cli.main", "train", str(write_endless(voices, tmp_path)), "--run", str(run)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 120
        while not (run / "fold0" / "last.safetensors").is_file():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 143, said
    assert b"Traceback" not in said


@pytest.mark.parametrize("during", ["training_step", "validation_step"])
def test_ctrl_c_ends_training_between_two_batches_and_breaks_into_none(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], during: str
) -> None:
    """What it breaks into may hold a lock, for which the end of the log would wait for ever."""
    step = getattr(Learner, during)
    steps: list[str] = []

    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        steps.append(during)
        return step(*arguments)

    monkeypatch.setattr(Learner, during, interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert main(["train", str(write_endless(voices, tmp_path)), "--run", str(tmp_path / "run")]) == 130
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.splitlines()[-1] == f"interrupted: what is done is in {tmp_path / 'run'}; the same command goes on"
    assert steps == [during]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait_for_the_end_of_a_batch(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*_arguments: Any) -> Any:
        while True:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Learner, "training_step", endless)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(small(voices), tmp_path / "run", log=lambda _text: None)


def test_a_run_whose_final_model_is_lost_is_not_exported_as_another(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(copy / "final")
    with pytest.raises(SettingsError, match=r"there are no trained weights .*final"):
        restore(small(run), FinishedRun.read(copy).final_weights)


def test_a_modality_that_nothing_has_is_refused(voices: Path, tmp_path: Path) -> None:
    tree = config_tree(small(voices))
    tree["model"]["streams"]["mocap"].update(kind="motion", width=8)
    tree["model"]["fusion"].update(kind="concat", width=8)
    with pytest.raises(CorpusError, match=r"has mocap: give the missing data, or leave the stream out"):
        run_experiment(build_config(tree), tmp_path / "run", log=lambda _text: None)


def test_a_rare_modality_is_among_the_few_items_that_an_export_is_checked_on(tmp_path: Path) -> None:
    voices = write_voices(tmp_path / "voices", clips=1)
    first, *rows = manifest_lines(voices)
    table = [f"{first}\ttext", *(f"{row}\t{'go away' if index == 5 else ''}" for index, row in enumerate(rows))]
    (voices / "manifest.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    tree = config_tree(small(voices))
    tree["model"]["streams"]["text"].update(kind="pretrained", source="x")
    tree["model"]["fusion"].update(kind="concat")
    data = load_data(build_config(tree), limit=4, log=lambda _text: None)
    items = open_corpus("voices", voices).items
    expected = [items[index].item_id for index in (0, 4, 8, 12, 1, 5, 9, 13)]
    assert [item.item_id for item in data.items] == expected
    assert [sample.text for sample in data.samples] == [None] * 5 + ["go away"] + [None] * 2
    few = load_data(small(voices), limit=4, log=lambda _text: None)
    assert [item.item_id for item in few.items] == expected[:4]


def test_with_kept_hearing_words_and_motion_still_change() -> None:
    tree = {
        "corpora": [{"name": "x"}],
        "model": {
            "streams": {"speech": {"kind": "log_mel", "variants": 2}, "text": {"kind": "pretrained", "source": "x"}},
            "fusion": {"kind": "concat"},
        },
        "augment": {"text": {"drop_word": 0.5}},
    }
    spectra = tuple(np.full((4, 67), number, np.float16) for number in range(3))
    sample = Sample(0, speech=np.ones(1600, np.int16), text="one two three four five six", spectra=spectra)
    samples = SampleSet([sample], build_config(tree), training=True)
    found = [samples[epoch, 0, 1.0][1] for epoch in range(20)]
    assert len({one.text for one in found}) > 5
    assert {float(one.spectra[0][0, 0]) for one in found} == {0.0, 1.0, 2.0}
    assert all(one.has("speech") and len(one.spectra) == 1 for one in found)


def test_a_checkpoint_gives_back_nested_state(tmp_path: Path) -> None:
    state = {"a": torch.arange(3), "b": [1, 2.5, None, ("x", True)], "c": {3: {"d": torch.zeros(2, 2)}}}
    SafeCheckpoints().save_checkpoint(state, tmp_path / "state.safetensors")
    found = SafeCheckpoints().load_checkpoint(tmp_path / "state.safetensors")
    assert found["b"] == state["b"]
    assert found["c"][3]["d"].shape == (2, 2)
    assert torch.equal(found["a"], state["a"])  # type: ignore[arg-type]


def test_broken_data_is_told_before_training_starts(voices: Path, tmp_path: Path) -> None:
    copy = write_voices(tmp_path / "voices", people=3, clips=1)
    (copy / "1-sad-0.wav").unlink()
    with pytest.raises(CorpusError, match=r"1-sad-0\.wav"):
        run_experiment(small(copy), tmp_path / "run", log=lambda _text: None)
    assert not (tmp_path / "run" / "fold0").exists()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimiser.epoch=3", "did you mean 'optimiser.epochs'"),
        ("optimiser.epochs=many", "whole number"),
        ("model.dropout=2", "must lie in 0 to 0.9"),
        ("model.streams.speech.kind=wav", "must be one of"),
        ("optimiser.epochs", "not of the form key=value"),
        ("name.first=x", "not a group"),
    ],
)
def test_a_wrong_setting_is_one_sentence(override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_config("default_speech", overrides=["name=x", override])


def test_data_is_named_by_corpus() -> None:
    config = load_config("default_mocap", data={"egait": "/somewhere"})
    assert {corpus.path for corpus in config.corpora} == {"/somewhere"}
    with pytest.raises(SettingsError, match="trains on egait"):
        load_config("default_mocap", data={"iemocap": "/somewhere"})


def test_batches_are_a_function_of_seed_and_epoch() -> None:
    def batches(epoch: int, *, rank: int = 0, world: int = 1) -> list[list[Place]]:
        return list(LengthBuckets(range(50), batch=8, seed=3, shuffle=True, epoch=epoch, rank=rank, world=world))

    assert batches(1) == batches(1)
    assert batches(1) != batches(2)
    assert sorted(index for batch in batches(4) for _, index, _ in batch) == list(range(50))
    crops = [{crop for _, _, crop in batch} for batch in batches(4)]
    assert all(len(one) == 1 for one in crops), "parts of one length"
    assert len(set.union(*crops)) == len(crops)
    halves = [batches(4, rank=rank, world=2) for rank in range(2)]
    for whole, one, other in zip(batches(4), *halves, strict=True):
        assert sorted(whole) == sorted(one + other)


def test_each_corpus_is_also_predicted_by_a_model_that_learned_from_the_others_alone(voices: Path, tmp_path: Path):
    other = write_voices(tmp_path / "strangers", people=3, clips=2)
    one = small(voices, epochs=2, choose="last")
    config = dataclasses.replace(
        one,
        corpora=(*one.corpora, dataclasses.replace(one.corpora[0], name="strangers", path=str(other))),
        folds=FoldsConfig(count=3, only=1, final=False, validation="none", transfer=True),
    )
    summary = run_experiment(config, tmp_path / "run", log=lambda _text: None)
    rows = OutOfFold.load(tmp_path / "run" / "transfer.npz")
    assert {(source, fold) for source, fold in zip(rows.source.tolist(), rows.fold.tolist(), strict=True)} == {
        ("strangers", "without_strangers"),
        ("voices", "without_voices"),
    }
    assert summary["transfer"]["strangers"]["items"] == 3 * 2 * len(LABELS)
    seen = json.loads((tmp_path / "run" / "without_voices" / "fold.json").read_text())
    assert {corpus for corpus, _ in seen["train"]} == {"strangers"}
    assert {corpus for corpus, _ in seen["test"]} == {"voices"}


def test_transfer_needs_another_corpus_and_encoders_of_no_run(voices: Path, run: Path, tmp_path: Path) -> None:
    config = small(voices)
    with pytest.raises(SettingsError, match="needs two corpora or more"):
        run_experiment(dataclasses.replace(config, folds=FoldsConfig(count=4, only=1, transfer=True)), tmp_path / "run")


def test_a_judge_of_what_is_like_the_people_is_fitted_beside_every_network(
    voices: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "_OF_A_KIND", 8)
    config = dataclasses.replace(
        small(voices, epochs=1), in_domain=True, folds=FoldsConfig(count=4, only=1, final=True)
    )
    summary = run_experiment(config, tmp_path / "run", log=lambda _text: None)
    found = json.loads((tmp_path / "run" / "fold0" / "domain.json").read_text())
    assert len(found["people_out"]) == 1
    assert {"synthetic voice", "overlapping voices", "silence", "motor"} <= set(found["kinds"])
    assert all(0 <= value <= 1 for kind in found["kinds"].values() for value in kind.values())
    assert summary["in_domain"]["kinds"].keys() == found["kinds"].keys()
    rows = OutOfFold.load(tmp_path / "run" / "predictions.npz")
    out = found["people_out"][f"voices-{rows.person[0]}"]
    assert np.mean(~rows.answered) == pytest.approx(out, abs=1e-3)
    np.testing.assert_allclose(rows.believed, rows.logits * (rows.in_domain * rows.answered)[:, None], rtol=1e-6)
