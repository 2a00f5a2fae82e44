"""A fine-tuning of low rank: trained, shipped without the model that it belongs to, put together where it is used."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes_networks import decide_run
from fakes_transformers import write_mpnet

from mser_ros.cli.main import main
from mser_ros.errors import BundleError, SettingsError
from mser_ros.labels import LABELS
from mser_ros.model_store.catalogue import CATALOGUE, Model, ModelFile
from mser_ros.model_store.store import ModelStore
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.readers import create_reader
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import EmotionSettings
from mser_ros.training.config.files import build_config
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.export.bundle import export_bundle
from mser_ros.training.export.delta import fold_low_rank
from mser_ros.training.fit.experiment import run_experiment
from mser_ros.training.fit.predicting import restore
from mser_ros.training.models.low_rank import LowRankLinear
from mser_ros.training.runs.checkpoints import save_weights
from mser_ros.training.runs.finished import FinishedRun
from mser_ros.training.samples.inputs import Collator, Sample
from mser_ros.types import Transcript, Utterance

pytestmark = pytest.mark.usefixtures("graphs_are_written_once")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelStore]:
    """A store with a published model 'toy', an MPNet of a few words."""
    root = tmp_path_factory.mktemp("models")
    folder = write_mpnet(root / "toy", layers=1)
    files = [ModelFile(path.name, path.stat().st_size, digest(path)) for path in sorted(folder.iterdir())]
    toy = Model("toy", "Toy: encoder of text", "MIT", "(c) nobody", "https://example.org", tuple(files))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MSER_MODELS", str(root))
        patch.setitem(CATALOGUE, "toy", toy)  # type: ignore[arg-type]
        patch.setattr("mser_ros.training.models.pretrained.STORED", ("toy",))
        for least in ("delta._LEAST", "quantise._LEAST_EMBEDDING"):
            patch.setattr(f"mser_ros.training.export.{least}", 200)
        yield ModelStore()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def experiment(lines: Path, name: str = "words", **encoder: object) -> ExperimentConfig:
    text = {"kind": "pretrained", "source": "toy", "dropout": 0.0, **encoder}
    tree = {
        "name": name,
        "threads": 1,
        "corpora": [{"name": "lines", "path": str(lines)}],
        "folds": {"count": 3, "only": 1},
        "model": {"streams": {"text": text}, "pooling": "mean", "hidden": 8},
        "optimiser": {"epochs": 1, "batch": 8, "learning_rate": 0.05, "precision": "fp32"},
    }
    return build_config(tree, where="test")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lines")
    said = {"neutral": "well it is a table", "angry": "go away now", "happy": "how lovely we won", "sad": "i miss her"}
    rows = [f"{said[label]}\t{label}\tp{person}" for person in range(6) for label in LABELS]
    (folder / "manifest.tsv").write_text("\n".join(["text\tlabel\tspeaker", *rows]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(store: ModelStore, lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that trained differences; they are made large, so that nobody can overlook them."""
    folder = tmp_path_factory.mktemp("runs") / "words"
    config = experiment(lines, train="low_rank", rank=3)
    run_experiment(config, folder, log=lambda _text: None)
    decide_run(config, folder)
    weights = FinishedRun.read(folder).final_weights
    network = restore(config, weights)
    with torch.no_grad():
        for layer in low_rank_layers(network):
            layer.up.copy_(torch.randn(layer.up.shape, generator=torch.Generator().manual_seed(1)) * 0.1)
    save_weights(network, weights)
    return folder


@pytest.fixture(scope="module")
def small(store: ModelStore, lines: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    config = experiment(lines, "few_words", train="none")
    run_experiment(config, folder, log=lambda _text: None)
    decide_run(config, folder)
    return folder


def low_rank_layers(network: torch.nn.Module) -> list[LowRankLinear]:
    return [module for module in network.modules() if isinstance(module, LowRankLinear)]


def said(network: torch.nn.Module, config: ExperimentConfig, text: str) -> np.ndarray:
    batch = Collator(config)([(0, Sample(0, text=text))])
    with torch.inference_mode():
        return network.eval()(batch.inputs, batch.present, batch.confidence).logits[0].numpy()


def test_only_the_differences_and_the_classifier_are_trained(run: Path, store: ModelStore) -> None:
    network = restore(FinishedRun.read(run).config, FinishedRun.read(run).final_weights)
    trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert len(low_rank_layers(network)) == 6, "queries, keys, values, output and both dense layers"
    assert {name for name in trained if "model." in name} == {
        name for name, _ in network.named_parameters() if name.endswith((".down", ".up"))
    }


def test_a_difference_begins_as_none(store: ModelStore, lines: Path) -> None:
    from mser_ros.training.models.build import build_model

    torch.manual_seed(0)
    config = experiment(lines, train="low_rank")
    changed = build_model(config)
    plain = build_model(experiment(lines, train="none"))
    plain.classifier.load_state_dict(changed.classifier.state_dict())  # type: ignore[union-attr]
    np.testing.assert_array_equal(said(changed, config, "go away"), said(plain, config, "go away"))


def test_folding_changes_nothing_but_rounding(run: Path, store: ModelStore) -> None:
    config = FinishedRun.read(run).config
    network = restore(config, FinishedRun.read(run).final_weights)
    before = said(network, config, "i miss her")
    factors = fold_low_rank(network)
    assert not low_rank_layers(network)
    assert len(factors) == 2 * 6
    np.testing.assert_allclose(said(network, config, "i miss her"), before, atol=2e-3)


def test_what_ships_is_small_and_put_together_where_it_is_used(
    run: Path, small: Path, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, bundle = tmp_path / "whole", tmp_path / "bundle"
    export_bundle([run], whole, log=lambda _text: None)
    export_bundle([run], bundle, delta=True, fallback=small, log=lambda _text: None)
    entry = json.loads((bundle / "manifest.json").read_text())["modalities"]["text"]
    assert entry["weights"]["base"] == "toy"
    assert (bundle / "text.onnx").stat().st_size < (whole / "text.onnx").stat().st_size
    assert (bundle / entry["weights"]["recipe"]).is_file()

    # The machine that exported has made the weights already.
    here = load_bundle(bundle)
    assert here.lacks == ""
    utterance = Utterance("u", 0, 1, transcript=Transcript("i miss her", language="en"))
    once, again = (
        create_reader("text", load_bundle(folder), EmotionSettings()).read(utterance).outputs["features"]
        for folder in (whole, bundle)
    )
    np.testing.assert_allclose(again, once, atol=0.05 * np.abs(once).max())
    estimate = EmotionRecognizer(here).recognize(utterance)
    assert estimate.evidence[0].model == "toy"

    # Another machine has not: the fallback speaks, and says so.
    monkeypatch.setenv("MSER_MODELS", str(tmp_path / "models"))
    there = load_bundle(bundle)
    assert there.lacks == "bundle-text"
    assert there.modalities["text"].graph == "text_small.onnx"
    assert EmotionRecognizer(there).recognize(utterance).label == "happy", "as it was decided"

    # It brings the model, and then says the same.
    shutil.copytree(store.root / "toy", tmp_path / "models" / "toy")
    assert main(["models", "get", "bundle-text", "--bundle", str(bundle)]) == 0
    assert load_bundle(bundle).lacks == ""
    np.testing.assert_array_equal(
        EmotionRecognizer(load_bundle(bundle)).recognize(utterance).probabilities, estimate.probabilities
    )


def test_what_takes_the_place_of_an_older_model_of_words_keeps_the_fallback_of_the_bundle(
    run: Path, small: Path, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = tmp_path / "bundle", tmp_path / "after"
    export_bundle([run], before, delta=True, fallback=small, log=lambda _text: None)
    export_bundle([run], after, delta=True, rest=before, log=lambda _text: None)
    monkeypatch.setenv("MSER_MODELS", str(tmp_path / "models"))
    old, new = (load_bundle(folder) for folder in (before, after))
    assert new.lacks == "after-text"
    assert new.file("text_small.onnx").read_bytes() == old.file("text_small.onnx").read_bytes()
    assert new.manifest["fallback"] == old.manifest["fallback"]


def test_without_a_fallback_the_missing_model_is_named(
    run: Path, store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_bundle([run], tmp_path / "bundle", delta=True, log=lambda _text: None)
    monkeypatch.setenv("MSER_MODELS", str(tmp_path / "models"))
    with pytest.raises(BundleError, match="mser models get bundle-text"):
        load_bundle(tmp_path / "bundle")


def test_a_fallback_belongs_to_a_delta(run: Path, small: Path, store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--delta"):
        export_bundle([run], tmp_path / "bundle", fallback=small, log=lambda _text: None)


def test_the_card_tells_of_both_models(run: Path, small: Path, store: ModelStore, tmp_path: Path) -> None:
    export_bundle([run], tmp_path / "bundle", delta=True, fallback=small, log=lambda _text: None)
    card = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert "| text, fallback | text_small.onnx |" in card
    assert "mser models get bundle-text" in card
    assert "| negated joy | 33 |" in card
    assert "mser export runs/words --delta --fallback runs/few_words -o models/bundle" in card
