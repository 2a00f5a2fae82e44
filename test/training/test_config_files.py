"""Experiments as files: bases, names, and what ships in `config/train`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mser_ros.cli.main import main
from mser_ros.errors import SettingsError
from mser_ros.resources import train_dir
from mser_ros.training.config import files
from mser_ros.training.config.files import (
    build_config,
    config_tree,
    load_config,
    overrides_of,
    shipped_configs,
    what_matters,
)

SHIPPED = shipped_configs()


def write(folder: Path, **texts: str) -> Path:
    """Files by name; the folder."""
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def leaves(tree: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_what_ships_is_valid_and_found_by_its_name(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert build_config(config_tree(config)) == config


@pytest.mark.parametrize("path", sorted(train_dir().rglob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_says_only_what_differs_from_its_bases_and_the_defaults(path: Path) -> None:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    own = {key: value for key, value in tree.items() if key not in ("base", "name")}
    bases = tree.get("base", [])
    # What has no name is laid on top of others as well, and may say a default again.
    below: dict[str, Any] = config_tree(files.ExperimentConfig()) if "name" in tree else {}
    for base in [bases] if isinstance(bases, str) else bases:
        below = files._on_top(below, files._read_with_base(path.parent / base, ()))
    known = dict(leaves(below))
    assert [key for key, value in leaves(own) if key in known and known[key] == value] == []


def test_a_base_is_merged_by_group_and_lists_are_replaced(tmp_path: Path) -> None:
    write(
        tmp_path,
        one="name: first\ncorpora: [{name: a}, {name: b}]\nmodel: {streams: {speech: {kind: log_mel, width: 32}}}\n",
        two="optimiser: {epochs: 3, batch: 4}\nmodel: {hidden: 16}\n",
        mine="base: [one.yaml, two.yaml]\ncorpora: [{name: c}]\noptimiser: {batch: 5}\n"
        "model: {streams: {speech: {width: 8}}}\n",
    )
    config = load_config(tmp_path / "mine.yaml", overrides=["optimiser.epochs=7"])
    speech = config.model.streams.speech
    assert (speech.kind, speech.width, config.model.hidden) == ("log_mel", 8, 16)
    assert (config.optimiser.epochs, config.optimiser.batch) == (7, 5)
    assert [corpus.name for corpus in config.corpora] == ["c"]
    assert config.name == "mine", "a base's name is its own"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"mine": "base: mine.yaml\n"}, "is a base of itself: take one of the 'base' lines out"),
        ({"mine": "base: other.yaml\n", "other": "base: mine.yaml\n"}, "is a base of itself"),
        ({"mine": "base: nowhere.yaml\n"}, r"nowhere\.yaml cannot be read .*: correct 'base' in mine\.yaml"),
        ({"mine": "base: 3\n"}, "must be a file or a list of files, not 3"),
        ({"mine": "base: [3]\n"}, "must be a file or a list of files"),
    ],
)
def test_a_wrong_base_is_one_sentence(tmp_path: Path, texts: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as error:
        load_config(write(tmp_path, **texts) / "mine.yaml")
    assert "\n" not in str(error.value)


def test_a_name_that_nothing_has_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="did you mean 'paper_b_audio'"):
        load_config("paper_b_adio")
    write(tmp_path, paper_b_adio="corpora: [{name: x}]\nmodel: {streams: {speech: {kind: log_mel}}}\n")
    assert load_config("paper_b_adio.yaml").name == "paper_b_adio"


def test_an_experiment_can_be_printed_as_it_would_be_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "ours", "optimiser.epochs=2", "--print"]) == 0
    shown = build_config(yaml.safe_load(capsys.readouterr().out))
    assert shown == load_config("ours", overrides=["optimiser.epochs=2"])
    assert shown.model.streams.speech.weights == "runs/paper_b_audio", "from its base"
    assert list(tmp_path.iterdir()) == [], "nothing was trained"


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_what_differs_from_the_file_of_its_name_brings_an_experiment_back(name: str) -> None:
    assert overrides_of(load_config(name)) == []
    given = {
        "optimiser.learning_rate": "2e-5",
        "notes": "'a: b, it''s'",
        "inputs.languages": '[en, "no"]',
        "folds.final": "false",
        "corpora": "[{name: voices, repeat: 2, options: {folds: 4}, path: /here}, {name: x}]",
    }
    elsewhere = ["threads=1", "devices=2", "cache=/tmp"]
    changed = load_config(name, overrides=[*map("=".join, given.items()), *elsewhere], data={"x": "/somewhere"})
    found = overrides_of(changed)
    assert found is not None
    assert what_matters(load_config(name, overrides=found)) == what_matters(changed)
    assert {text.partition("=")[0] for text in found} <= set(given), "nothing of this machine"
    assert not [text for text in found if "/" in text]


def test_runs_and_models_are_named_without_the_folders_of_this_machine() -> None:
    places = {
        "speech.weights": "/data/other",
        "text.weights": "/data/paper_b_text",
        "speech.source": "/data/models/wavlm",
        "text.source": "~/roberta",
    }
    config = load_config("paper_b_fusion", overrides=[f"model.streams.{name}={path}" for name, path in places.items()])
    assert overrides_of(config) == [
        "model.streams.speech.source=FOLDER/wavlm",
        "model.streams.speech.weights=runs/other",
        "model.streams.text.source=FOLDER/roberta",
    ]


def test_a_fusion_that_is_fine_tuned_further_bends_its_encoders_as_little_as_before() -> None:
    tuned = load_config("paper_b_fusion", overrides=["model.streams.speech.train=all", "model.streams.text.train=all"])
    alone = [load_config(name).optimiser.encoder_learning_rate for name in ("paper_b_audio", "paper_b_text")]
    assert 0 < tuned.optimiser.encoder_learning_rate <= min(alone)


def test_an_experiment_of_another_name_is_not_told_from_one_that_ships() -> None:
    assert overrides_of(load_config("ours", overrides=["name=mine"])) is None


@pytest.mark.parametrize("name", ["home 12:30", "a/b"])
def test_a_corpus_whose_name_would_break_those_of_its_figures_is_refused(tmp_path: Path, name: str) -> None:
    sentence = f"a corpus cannot be called '{name}', .*: rename it, or the folder that is added"
    with pytest.raises(SettingsError, match=sentence):
        load_config("default_speech", overrides=[f"corpora=[{{name: '{name}'}}]"])
    if "/" not in name:
        with pytest.raises(SettingsError, match=sentence):
            load_config("default_speech", add=[tmp_path / name])


def test_recordings_of_ones_own_are_learned_from_as_well(tmp_path: Path) -> None:
    own = tmp_path / "household"
    own.mkdir()
    plain, more = load_config("default_speech"), load_config("default_speech", add=[own])
    assert more.name == "default_speech_with_household"
    assert more.corpora[:-1] == plain.corpora
    added = more.corpora[-1]
    assert (added.name, added.path, added.test) == ("household", str(own), True)
    assert added.repeat > 1
    assert not load_config("default_words", add=[own]).corpora[-1].test, "its test set is the corpus' own"
    more = load_config("default_mocap", add=[own])
    assert [corpus.name for corpus in more.corpora] == ["egait", "egait", "household"], "which names one twice itself"
    (tmp_path / "nemo").mkdir()
    with pytest.raises(SettingsError, match="two corpora are called 'nemo'"):
        load_config("default_speech", add=[tmp_path / "nemo"])
