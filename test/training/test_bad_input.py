"""What a user can get wrong in training is one sentence that names the cure, and is said before the work."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from fakes_corpora import write_egait, write_manifest, write_pseudo, write_sound
from torch import nn

from mser_ros.cli.main import main
from mser_ros.errors import CorpusError, SettingsError
from mser_ros.training.config.files import build_config, load_config, read_config
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.fit.throughput import Throughput
from mser_ros.training.runs.checkpoints import SafeCheckpoints, load_weights, save_weights
from mser_ros.training.samples.data import load_data

SPEECH = {"kind": "log_mel"}
PRETRAINED = {"kind": "pretrained", "source": "somebody/some-model"}
MARKERS = {"kind": "paper_a_mocap"}


def write_config(folder: Path, **settings: Any) -> Path:
    tree = {"corpora": [{"name": "mine"}], "model": {"streams": {"speech": SPEECH}}, **settings}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What is printed where a command ends with a sentence."""
    assert main([str(argument) for argument in arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


# -- configurations


@pytest.mark.parametrize("override", ["notes=a: b: c", "corpora=[{name: x", "name=2020-13-45", "name=!!python/name:os"])
def test_a_value_that_is_no_yaml_is_told_with_what_was_typed(tmp_path: Path, override: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_config(write_config(tmp_path), overrides=[override])
    assert str(caught.value).startswith(f"the value of '{override}' cannot be understood")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"notes: caf\xe9", "it is not UTF-8"),
        (b"seed: 1\nmodel: [x", "line 2: expected"),
        (b"name: 2020-13-45", "month must be in"),
        (b"", "is not a mapping of settings"),
        (b"- a", "is not a mapping of settings"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    for read, name in ((load_config, "mine.yaml"), (lambda path: read_config(path.parent), "config.yaml")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SettingsError, match=message) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": {"languages": [False]}}, r"inputs\.languages .* must be a list of texts, not of False"),
        ({"corpora": [{"name": "x", "options": {1: 2}}]}, r"options .* must be a mapping from names"),
        ({"corpora": [{"path": "x"}]}, "a corpus is not named"),
        ({"corpora": []}, "a corpus is not named"),
        ({"model": {}}, "no encoder is given"),
        ({"model": {"streams": {"text": SPEECH}}}, r"text\.kind cannot be 'log_mel', .*: choose pretrained"),
        ({"model": {"streams": {"speech": {"kind": "pretrained"}}}}, r"needs 'source'"),
        ({"model": {"streams": {"speech": {**SPEECH, "train": "top"}}}}, "cannot be 'top' for a log_mel encoder"),
        ({"model": {"streams": {"speech": SPEECH, "mocap": MARKERS}}}, r"needs model\.fusion\.kind"),
        (
            {"model": {"streams": {"speech": SPEECH}, "fusion": {"kind": "cross_attention"}}},
            "cross_attention needs two modalities or more",
        ),
        (
            {
                "model": {
                    "streams": {"speech": SPEECH, "mocap": MARKERS},
                    "fusion": {"kind": "cross_attention", "width": 128, "heads": 3},
                }
            },
            r"fusion\.heads must divide model\.fusion\.width, 128, not be 3",
        ),
        (
            {"model": {"streams": {"speech": PRETRAINED}, "pooling": "flatten"}},
            r"needs utterances of one length: set inputs\.fixed_s",
        ),
        (
            {"model": {"streams": {"text": PRETRAINED}, "pooling": "flatten"}, "inputs": {"fixed_s": 5.0}},
            r"needs utterances of one length: set model\.streams\.text\.pooling",
        ),
        ({"optimiser": {"batch": 2}, "devices": 4}, r"optimiser\.batch must be at least devices, 4"),
        *(
            (
                {"model": {"streams": {"mocap": MARKERS}}, "augment": {"mocap": change}},
                "mocap reads markers: set them to false and 0",
            )
            for change in ({"mirror": True}, {"upper_body": 0.5})
        ),
        (
            {"optimiser": {"batch": 1}, "model": {"streams": {"speech": SPEECH}, "norm": True}},
            r"optimiser\.batch must be 2 or more",
        ),
        ({"folds": {"count": 2}}, r"folds\.count must lie in 3 to 100"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, Any], message: str) -> None:
    tree = {"corpora": [{"name": "mine"}], "model": {"streams": {"speech": SPEECH}}, **settings}
    with pytest.raises(SettingsError, match=message):
        build_config(tree, where="mine.yaml")


def test_settings_that_do_fit_together_are_not_refused() -> None:
    streams = {"speech": {**PRETRAINED, "pooling": "flatten"}, "mocap": MARKERS}
    for fusion, pooling in (("concat", "flatten"), ("cross_attention", "flatten")):
        build_config(
            {
                "corpora": [{"name": "mine"}],
                "inputs": {"fixed_s": 5.0},
                "model": {"streams": streams, "pooling": pooling, "fusion": {"kind": fusion}},
            }
        )


# -- the command line


def test_frozen_random_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_config(tmp_path, model={"streams": {"speech": {**SPEECH, "train": "none"}}})
    error = refused(capsys, "train", path)
    assert "model.streams.speech.train: none would keep the random weights of a log_mel encoder: name a run" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "mine=a", "--data", "mine=b"], "--data gives two folders of 'mine'"),
        (["--data", "mine="], "not of the form NAME=PATH"),
        (["--data", "=a"], "not of the form NAME=PATH"),
        (["--data", "yours=a"], "but mine.yaml trains on mine"),
        (["--data", "mine=nowhere"], "there is no folder nowhere"),
        (["--run", "mine.yaml"], "is a file"),
        (["corpora=[{name: goemotion, path: nowhere}]"], "did you mean 'goemotions'?"),
    ],
)
def test_a_wrong_argument_of_training_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, "train", write_config(tmp_path).name, *arguments)
    assert not (tmp_path / "runs").exists()


def test_a_report_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is a directory" in refused(capsys, "report", tmp_path, "-o", tmp_path)
    assert "is not a run folder" in refused(capsys, "report", tmp_path)


# -- data


def experiment(*corpora: dict[str, Any], **streams: dict[str, Any]) -> ExperimentConfig:
    model = {"streams": streams or {"speech": SPEECH}, "fusion": {"kind": "concat" if len(streams) > 1 else ""}}
    return build_config({"corpora": list(corpora), "model": model})


def test_every_sound_that_cannot_be_read_is_named_before_training(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path / "mine", *(f"{name}.wav\tsad\tann\t1.0\t" for name in "abcd"))
    write_sound(folder / "a.wav")
    (folder / "b.wav").write_text("no sound")
    write_sound(folder / "c.wav", seconds=0.0)
    write_sound(folder / "d.wav")
    with pytest.raises(CorpusError, match=r"cannot be loaded, .*: 2") as caught:
        load_data(experiment({"name": "mine", "path": str(folder)}))
    first, second = str(caught.value).split("\n  ")[1:]
    assert "b.wav" in first
    assert "c.wav" in second


def test_people_of_a_synthetic_corpus_are_those_of_its_sources(tmp_path: Path) -> None:
    said: list[str] = []
    corpus = {"name": "pseudo", "path": str(write_pseudo(tmp_path)), "options": {"folds": 1}}
    data = load_data(experiment(corpus), log=said.append)
    people = {person for item in data.items for source in item.sources for person in source.people}
    assert len(people) > 8
    assert said == [f"pseudo:1: 16 items of {len(people)} people, synthetic"]


def test_a_corpus_that_is_named_twice_keeps_both_notes(tmp_path: Path) -> None:
    folder = write_egait(tmp_path)
    with np.load(folder / "egait_intended.npz") as stored:
        arrays = dict(stored)
    np.savez(folder / "egait_perceived.npz", **arrays, label=arrays["intended"])
    entries = [
        {"name": "egait", "path": str(folder), "options": {"labels": kind}} for kind in ("intended", "perceived")
    ]
    corpus = load_data(experiment(*entries, mocap={"kind": "motion"}), log=lambda _text: None).corpora["egait"]
    assert corpus.note == "intended emotions of walks; 30 Hz is assumed; perceived emotions of walks"
    assert len(corpus) == 32


# -- files of a run


@pytest.mark.parametrize("kept", [0, 4, 100])
def test_a_cut_file_of_weights_is_one_sentence(tmp_path: Path, kept: int) -> None:
    network, path = nn.Linear(20, 20), tmp_path / "best.safetensors"
    save_weights(network, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(SettingsError, match=r"best\.safetensors is damaged"):
        load_weights(network, path)
    with pytest.raises(SettingsError, match=r"best\.safetensors is damaged .*: delete it"):
        SafeCheckpoints().load_checkpoint(path)


def test_weights_are_no_checkpoint(tmp_path: Path) -> None:
    save_weights(nn.Linear(2, 2), tmp_path / "best.safetensors")
    with pytest.raises(SettingsError, match="is damaged"):
        SafeCheckpoints().load_checkpoint(tmp_path / "best.safetensors")


def test_a_kill_while_weights_are_written_leaves_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer, path = nn.Linear(2, 2), nn.Linear(2, 2), tmp_path / "best.safetensors"
    save_weights(older, path)

    def save_half(tensors: dict[str, torch.Tensor], target: Path, *_rest: object) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("mser_ros.training.runs.checkpoints.save_file", save_half)
    with pytest.raises(KeyboardInterrupt):
        save_weights(newer, path)
    load_weights(newer, path)
    assert torch.equal(newer.weight, older.weight)


# -- the GPU


def trainer_on(device: str) -> Any:
    return SimpleNamespace(world_size=1, strategy=SimpleNamespace(root_device=torch.device(device)))


def test_a_gpu_that_does_not_tell_how_busy_it_is_is_named_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lacking(_device: torch.device) -> int:
        raise ModuleNotFoundError("nvidia-ml-py does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "utilization", lacking)
    throughput = Throughput()
    for device in ("cpu", "cuda", "cuda"):
        throughput.on_train_batch_end(trainer_on(device), None, None, [0], 0)
    assert [record.getMessage() for record in caplog.records] == [
        "how busy the GPU is cannot be told (nvidia-ml-py does not seem to be installed): "
        "pip install nvidia-ml-py, and check that nvidia-smi tells it"
    ]
    assert "gpu_use" not in throughput.figures()


def test_how_busy_a_gpu_is_is_a_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([50, 100])
    monkeypatch.setattr(torch.cuda, "utilization", lambda _device: next(told))
    throughput = Throughput()
    for _ in range(2):
        throughput.on_train_batch_end(trainer_on("cuda"), None, None, [0], 0)
    assert throughput.figures()["gpu_use"] == 0.75


def test_what_asks_the_gpu_comes_with_the_training_packages() -> None:
    import pynvml  # of nvidia-ml-py

    assert hasattr(pynvml, "nvmlDeviceGetUtilizationRates")
