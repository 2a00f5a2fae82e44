"""The probe: a classifier that is exactly the logistic regression of what a pre-trained encoder gives."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from test_train import small, write_voices

from mser_ros.errors import SettingsError
from mser_ros.labels import LABELS
from mser_ros.recognition.posteriors import softmax
from mser_ros.training.config.files import build_config, config_tree
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.fit.experiment import run_experiment
from mser_ros.training.fit.fitting import class_weights
from mser_ros.training.fit.predicting import predict
from mser_ros.training.fit.probe import _centred, fit_probe
from mser_ros.training.models.build import UnimodalModel, build_model
from mser_ros.training.models.encoding import encode
from mser_ros.training.runs.predictions import OutOfFold
from mser_ros.training.samples.data import load_data
from mser_ros.training.samples.inputs import Collator, Sample


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_voices(tmp_path_factory.mktemp("data") / "voices")


def probed(voices: Path, *, copies: int = 0, **optimiser: object) -> ExperimentConfig:
    tree = config_tree(small(voices))
    tree["model"]["hidden"] = 0
    tree["folds"] |= {"only": 1, "validation": "none"}
    tree["optimiser"] |= {"epochs": 0, "probe": 0.01, "probe_copies": copies, "choose": "last", **optimiser}
    return build_config(tree)


def test_a_probe_is_the_logistic_regression_of_what_the_encoder_gives(voices: Path, tmp_path: Path) -> None:
    config = probed(voices)
    data = load_data(config, log=lambda _text: None)
    train = [*data.samples, *data.samples[:8]]  # some count twice
    torch.manual_seed(5)
    network = build_model(config)
    assert isinstance(network, UnimodalModel)
    weights = np.array([1.0, 2.0, 1.0, 0.5])
    fit_probe(config, network, train, weights)
    pooled = np.stack([features_of(config, network, sample) for sample in train])
    labels = np.array([sample.label for sample in train])
    unique = pooled[: len(data.samples)]
    scaled = (pooled - unique.mean(0)) / (unique.std(0) + 1e-6)
    expected = LogisticRegression(C=0.01, max_iter=1000).fit(scaled, labels, sample_weight=weights[labels])
    logits = predict(config, network, train)
    np.testing.assert_allclose(softmax(logits), expected.predict_proba(scaled), atol=0.01)


def test_of_one_class_nothing_can_be_told_apart(voices: Path) -> None:
    config = probed(voices)
    sad = [sample for sample in load_data(config, limit=8, log=lambda _text: None).samples if sample.label == 2]
    network = build_model(config)
    assert isinstance(network, UnimodalModel)
    with pytest.raises(SettingsError, match=r"everybody who is learned from is sad: add people who"):
        fit_probe(config, network, sad, np.ones(len(LABELS)))


def test_an_item_of_half_the_weight_counts_half(voices: Path) -> None:
    config = probed(voices)
    samples = list(load_data(config, log=lambda _text: None).samples)
    half = [replace(sample, weight=0.5) for sample in samples[:8]]
    np.testing.assert_allclose(
        class_weights([*half, *samples[8:] * 2]), class_weights([*samples[:8], *samples[8:] * 4])
    )
    logits = []
    for train in ([*half, *half, *samples[8:]], [*samples[:8], *samples[8:]]):
        torch.manual_seed(5)
        network = build_model(config)
        assert isinstance(network, UnimodalModel)
        fit_probe(config, network, train, class_weights(train))
        logits.append(predict(config, network, samples))
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-5)


def test_a_corpus_with_a_share_counts_for_so_much_of_its_classes(voices: Path) -> None:
    tree = config_tree(probed(voices))
    (one,) = tree["corpora"]
    tree["corpora"] = [one | {"repeat": 3}, one | {"name": "others", "repeat": 2, "share": 0.2, "test": False}]
    data = load_data(build_config(tree), log=lambda _text: None)
    train = data.repeated([index for index in range(len(data.items)) if index % 3])  # other counts of each class
    for label in range(len(LABELS)):
        weights = dict.fromkeys(("others", ""), 0.0)
        for sample in train:
            if sample.label == label:
                weights["others" if sample.person.startswith("others") else ""] += sample.weight
        assert weights["others"] / sum(weights.values()) == pytest.approx(0.2)
    assert {sample.weight for sample in train if not sample.person.startswith("others")} == {1.0}
    alone = [index for index, item in enumerate(data.items) if item.corpus == "others"]
    assert {sample.weight for sample in data.repeated(alone)} == {1.0}, "with nobody beside it there is no share"


def test_a_share_is_for_the_probe_alone_and_of_what_is_seen(voices: Path) -> None:
    tree = config_tree(small(voices))
    tree["corpora"].append(tree["corpora"][0] | {"name": "others", "share": 0.2, "test": False})
    data = load_data(build_config(tree), log=lambda _text: None)
    assert {sample.weight for sample in data.repeated(range(len(data.items)))} == {1.0}
    tree = config_tree(probed(voices))
    tree["corpora"].append(tree["corpora"][0] | {"name": "others", "share": 0.2, "test": False, "repeat": 0})
    data = load_data(build_config(tree), log=lambda _text: None)
    train = data.repeated(range(len(data.items)))
    assert {sample.person.partition("-")[0] for sample in train} == {"voices"}


def test_a_centred_probe_learns_from_each_item_without_what_is_usual_for_its_person() -> None:
    """Two people who differ by a constant alone, and one who shows a single class and stays what he is."""
    rng = np.random.default_rng(0)
    labels = np.array([0, 0, 1, 1] * 2 + [0, 0])
    people = np.array(["a"] * 4 + ["b"] * 4 + ["c"] * 2)
    shared = rng.normal(size=(4, 3))
    features = np.concatenate([shared + 5, shared - 3, rng.normal(size=(2, 3))])
    found = _centred(features, labels, people)
    np.testing.assert_allclose(found[:4], shared + 1)
    np.testing.assert_allclose(found[4:8], shared + 1)
    np.testing.assert_array_equal(found[8:], features[8:])


def test_a_centred_probe_differs_and_is_the_same_twice(voices: Path, tmp_path: Path) -> None:
    logits = []
    for name, centred in (("plain", False), ("centred", True), ("again", True)):
        run_experiment(probed(voices, probe_centred=centred), tmp_path / name, log=lambda _text: None)
        logits.append(OutOfFold.load(tmp_path / name / "predictions.npz").logits)
    np.testing.assert_array_equal(logits[1], logits[2])
    assert np.abs(logits[0] - logits[1]).max() > 1e-3


def features_of(config: ExperimentConfig, network: UnimodalModel, sample: Sample) -> np.ndarray:
    with torch.inference_mode():
        encoded = encode(network.eval().encoder, Collator(config).stack("speech", [sample]))
        return network.classifier.pooling(*encoded)[0].numpy()


def test_a_run_of_a_probe_alone_needs_no_epoch_and_is_the_same_twice(voices: Path, tmp_path: Path) -> None:
    config = probed(voices, copies=1)
    summaries = [run_experiment(config, tmp_path / name, log=lambda _text: None) for name in ("one", "other")]
    assert summaries[0]["voices"] == summaries[1]["voices"]
    assert summaries[0]["final_epochs"] == 0
    one, other = (OutOfFold.load(tmp_path / name / "predictions.npz").logits for name in ("one", "other"))
    np.testing.assert_array_equal(one, other)


def test_a_corpus_whose_classes_the_others_lack_is_not_predicted_from_them(voices: Path, tmp_path: Path) -> None:
    first, *rows = (voices / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    calm = shutil.copytree(voices, tmp_path / "calm")
    few = [row.replace("\tp", "\tq") for row in rows if "neutral" in row]
    (calm / "manifest.tsv").write_text("\n".join([first, *few]) + "\n", encoding="utf-8")
    tree = config_tree(probed(voices))
    tree["corpora"].append(tree["corpora"][0] | {"name": "calm", "path": str(calm), "test": False})
    tree["folds"] |= {"transfer": True, "final": False}
    told: list[str] = []
    summary = run_experiment(build_config(tree), tmp_path / "run", log=told.append)
    assert "voices is not predicted from the other corpora, in which nobody is angry or happy or sad" in told
    assert "transfer" not in summary
    assert set(json.loads((tmp_path / "run" / "corpora.json").read_text(encoding="utf-8"))) == {"calm", "voices"}
    assert len(OutOfFold.load(tmp_path / "run" / "predictions.npz")) == len(rows) / 4


def test_training_goes_on_from_the_probe(voices: Path, tmp_path: Path) -> None:
    """A rate of next to nothing leaves it as it was."""
    start = run_experiment(probed(voices), tmp_path / "start", log=lambda _text: None)
    on = run_experiment(probed(voices, epochs=1, learning_rate=1e-9), tmp_path / "on", log=lambda _text: None)
    assert start["voices"]["ua"] == on["voices"]["ua"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.hidden=8", "is for one encoder with a linear classifier"),
        ("model.norm=true", "is for one encoder with a linear classifier"),
        ("model.pooling=attentive", "cannot be with pooling 'attentive'"),
        ("optimiser.choose=best", "leaves no epoch to choose|leaves nobody to choose"),
        ("optimiser.probe=0", "leaves the classifier random"),
        ("model.streams.speech.joined=1", "is for whisper"),
    ],
)
def test_a_probe_that_cannot_be_is_one_sentence(voices: Path, override: str, message: str) -> None:
    tree = config_tree(probed(voices))
    key, value = override.split("=")
    place = tree
    *path, last = key.split(".")
    for name in path:
        place = place[name]
    place[last] = yaml.safe_load(value)
    with pytest.raises(SettingsError, match=message):
        build_config(tree)
