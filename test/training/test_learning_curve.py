"""How much more people bring: the curve of a real, small training."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_train import small, write_voices

from mser_ros.cli.main import main
from mser_ros.errors import SettingsError
from mser_ros.labels import LABELS
from mser_ros.training.config.files import config_tree
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.fit import learning_curve
from mser_ros.training.fit.experiment import make_folds
from mser_ros.training.fit.learning_curve import _with_fewer_people, measure_learning_curve
from mser_ros.training.samples.data import load_data


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    return small(write_voices(tmp_path_factory.mktemp("curve") / "voices", people=6, clips=1), epochs=1)


def silent(_text: str) -> None:
    pass


def people_of(fold: Path, side: str) -> set[str]:
    return {person for _, person in json.loads((fold / "fold.json").read_text(encoding="utf-8"))[side]}


def test_each_point_learns_from_more_of_the_same_people_and_never_from_those_it_is_judged_on(config, tmp_path) -> None:
    found = measure_learning_curve(config, tmp_path / "curve", repeats=2, shares=(0.5, 1.0), log=silent)["voices"]
    assert [len(row["each"]) for row in found] == [2, 2]
    assert found[0]["people"] < found[1]["people"]
    assert all(row["interval"][0] <= row["ua"] <= row["interval"][1] for row in found)
    for repeat in ("repeat0", "repeat1"):
        few, all_of_them = (tmp_path / "curve" / repeat / share / "fold0" for share in ("0.5", "1"))
        assert people_of(few, "train") < people_of(all_of_them, "train")
        assert people_of(few, "test") == people_of(all_of_them, "test")
        assert not people_of(few, "train") & people_of(few, "test")
    epochs = [
        len((tmp_path / "curve" / "repeat0" / share / "fold0" / "metrics.csv").read_text().splitlines()) - 1
        for share in ("0.5", "1")
    ]
    assert epochs == [2, 1], "as many steps with half of the people"
    assert (tmp_path / "curve" / "learning_curve.png").stat().st_size > 5000


def test_a_share_is_of_each_corpus_so_that_no_class_is_lost_among_many_who_show_another(
    config: ExperimentConfig, tmp_path: Path
) -> None:
    (one,) = config.corpora
    manifest = write_voices(tmp_path / "calm", people=30, clips=1) / "manifest.tsv"
    first, *rows = manifest.read_text(encoding="utf-8").splitlines()
    manifest.write_text("\n".join([first, *(row for row in rows if "neutral" in row)]) + "\n", encoding="utf-8")
    others = dataclasses.replace(one, name="calm", path=str(tmp_path / "calm"), test=False)
    data = load_data(dataclasses.replace(config, corpora=(one, others)), log=silent)
    for number, fold in enumerate(make_folds(config.folds, data, config.seed)):
        for share, calm in ((1 / 8, 4), (1 / 2, 15)):
            few = _with_fewer_people(data, fold, share, np.random.default_rng(number))
            assert {data.items[index].label for index in few.train} == set(LABELS)
            assert Counter(corpus for corpus, _ in data.people(few.train))["calm"] == calm


def test_few_people_are_given_as_many_steps_to_get_better(
    config: ExperimentConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Enough(BaseException):
        pass

    def note(longer: ExperimentConfig, *_args: object) -> None:
        raise Enough(longer.optimiser.epochs, longer.optimiser.patience)

    monkeypatch.setattr(learning_curve, "run_fold", note)
    patient = dataclasses.replace(config, optimiser=dataclasses.replace(config.optimiser, epochs=10, patience=3))
    with pytest.raises(Enough) as found:
        measure_learning_curve(patient, tmp_path / "curve", repeats=1, shares=(0.25,), log=silent)
    assert found.value.args == (40, 12)


def test_the_command_prints_it_and_goes_on_where_it_stopped(
    config, tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = tmp_path / "mine.yaml", tmp_path / "curve"
    file.write_text(yaml.safe_dump(config_tree(config)), encoding="utf-8")
    command = ["learning-curve", str(file), "folds.only=1", "--repeats", "1", "--run", str(folder)]
    assert main(command) == 0
    assert "people learned from" in capsys.readouterr().out
    found = json.loads((folder / "learning_curve.json").read_text(encoding="utf-8"))
    weights = {path: path.stat().st_mtime_ns for path in folder.rglob("best.safetensors")}
    assert len(weights) == 4
    (folder / "learning_curve.json").unlink()
    assert main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("best.safetensors")} == weights
    assert json.loads((folder / "learning_curve.json").read_text(encoding="utf-8")) == found
    assert main([*command, "optimiser.learning_rate=0.01"]) == 1
    assert "holds a run with other settings" in capsys.readouterr().err


def test_encoders_that_know_everybody_are_refused(config, tmp_path: Path) -> None:
    streams = config.model.streams
    known = dataclasses.replace(streams, speech=dataclasses.replace(streams.speech, weights=str(tmp_path)))
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, streams=known))
    with pytest.raises(SettingsError, match="encoders that know no people"):
        measure_learning_curve(config, tmp_path / "curve", log=silent)
    assert not (tmp_path / "curve").exists()
