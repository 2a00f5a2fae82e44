"""Bundles of several streams and of full-size architectures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from fakes_iemocap import write_iemocap
from fakes_transformers import write_bert, write_wav2vec2

from mser_ros.bundle import load_bundle
from mser_ros.errors import SettingsError
from mser_ros.inference import softmax
from mser_ros.recognizer import EmotionRecognizer
from mser_ros.training.config import ExperimentConfig
from mser_ros.training.config_files import build_config
from mser_ros.training.corpora import open_corpus
from mser_ros.training.experiment import run_experiment
from mser_ros.training.export import export_bundle
from mser_ros.training.fitting import predict_subsets, restore
from mser_ros.training.inputs import prepare
from mser_ros.types import Transcript, Utterance

PRESENT = (("speech", "text", "mocap"), ("speech", "text"), ("speech",), ("text", "mocap"), ("mocap",))


def quiet(_text: str) -> None:
    pass


class Exported:
    """A run of three streams and its bundle."""

    def __init__(self, root: Path, kind: str) -> None:
        self.release = write_iemocap(root)
        streams = {
            "speech": {"kind": "pretrained", "source": str(write_wav2vec2(root / "speech")), "average": 2},
            "text": {"kind": "pretrained", "source": str(write_bert(root / "text"))},
            "mocap": {"kind": "paper_a_mocap"},
        }
        extra = {"auxiliary": 1.0, "gate_text": True} if kind == "cross_attention" else {}
        self.config: ExperimentConfig = build_config(
            {
                "name": kind,
                "threads": 1,
                "corpora": [{"name": "iemocap", "path": str(self.release)}],
                "folds": {"scheme": "group", "only": 1},
                "inputs": {"max_s": 0.5, "normalise": True},
                "model": {
                    "streams": streams,
                    "fusion": {"kind": kind, "width": 16, "heads": 2, **extra},
                    "pooling": "mean",
                    "hidden": 16,
                    "dropout": 0.0,
                },
                "optimiser": {"epochs": 2, "batch": 16, "learning_rate": 1e-2, "encoder_learning_rate": 1e-4},
            },
            where="test",
        )
        self.run = root / "run"
        run_experiment(self.config, self.run, say=quiet)
        self.path = root / "bundle"
        export_bundle([self.run], self.path, say=quiet)
        self.recognizer = EmotionRecognizer(load_bundle(self.path))


@pytest.fixture(scope="module", params=["cross_attention", "concat"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(tmp_path_factory.mktemp(request.param), request.param)


def marked(exported: Exported) -> list[Utterance]:
    items = open_corpus("iemocap", exported.release).items
    found = [item.load() for item in items]
    return [utterance for utterance in found if utterance.skeleton is not None][:6]


def test_the_recogniser_says_what_the_network_says_with_any_set_of_modalities(exported: Exported) -> None:
    utterances = marked(exported)
    modalities = exported.config.modalities
    samples = [
        prepare(one, 0, modalities=modalities, inputs=exported.config.inputs, markers=True) for one in utterances
    ]
    network = restore(exported.config, exported.run / "fold0" / "best.safetensors")
    temperature = exported.recognizer.bundle.fusion.temperature
    for subset, logits in zip(PRESENT, predict_subsets(exported.config, network, samples, PRESENT), strict=True):
        found = [exported.recognizer.recognize(one, modalities=subset).probabilities for one in utterances]
        np.testing.assert_allclose(np.array(found), softmax(logits / temperature), atol=0.05, err_msg=str(subset))


def test_a_missing_modality_is_told_as_missing(exported: Exported) -> None:
    whole = marked(exported)[0]
    estimate = exported.recognizer.recognize(dataclasses.replace(whole, skeleton=None))
    assert {one.modality: one.available for one in estimate.evidence} == {"speech": True, "text": True, "mocap": False}
    assert estimate.probabilities.sum() == pytest.approx(1)


def test_a_doubtful_transcript_counts_less_where_the_network_gates_it(exported: Exported) -> None:
    whole = marked(exported)[0]
    assert whole.transcript is not None

    def with_confidence(confidence: float) -> np.ndarray:
        transcript = Transcript(whole.transcript.text, confidence=confidence)
        return exported.recognizer.recognize(dataclasses.replace(whole, transcript=transcript)).probabilities

    if exported.config.model.fusion.gate_text:
        without = exported.recognizer.recognize(dataclasses.replace(whole, transcript=None)).probabilities
        assert np.abs(with_confidence(0.01) - without).max() < np.abs(with_confidence(1.0) - without).max()
    else:
        np.testing.assert_array_equal(with_confidence(0.01), with_confidence(1.0))


def test_the_manifest_tells_precision_check_and_figures(exported: Exported) -> None:
    manifest = json.loads((exported.path / "manifest.json").read_text())
    assert manifest["fusion"]["kind"] == "graph"
    assert manifest["modalities"]["mocap"]["representation"] == "iemocap200"
    for entry in (*manifest["modalities"].values(), manifest["fusion"]):
        assert entry["precision"] in ("int8", "fp32")
        assert entry["export_check"]["label_agreement"] >= 0.99
        assert 0 <= entry["export_check"]["largest_probability_difference"] < 0.1
    assert set(manifest["fusion"]["metrics"]["subsets"]) >= {"speech", "text", "mocap", "speech+text+mocap"}
    people = manifest["modalities"]["speech"]["people"]["iemocap"]
    assert people == ["Ses03F", "Ses03M", "Ses04F", "Ses04M", "Ses05F", "Ses05M"]


def test_a_run_of_several_streams_is_exported_alone(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has several modalities: export it alone"):
        export_bundle([exported.run, exported.run], tmp_path / "two", say=quiet)
