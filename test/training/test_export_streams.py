"""Bundles of several streams and of full-size architectures."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from fakes_iemocap import write_iemocap
from fakes_networks import decide_run
from fakes_transformers import BERT, SPEECH, write_bert, write_wav2vec2
from onnx import TensorProto, numpy_helper
from test_train import small, write_voices

from mser_ros.corpora import open_corpus
from mser_ros.errors import SettingsError
from mser_ros.evaluation.metrics import Predictions, score
from mser_ros.labels import LABELS, valence_arousal
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.decision import label_set, subset_name
from mser_ros.recognition.graph import Graph
from mser_ros.recognition.posteriors import softmax
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.training.config.files import build_config, config_tree
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.export import quantise, streams
from mser_ros.training.export.baseline_fit import fit_baseline
from mser_ros.training.export.bundle import export_bundle
from mser_ros.training.export.graphs import write_fusion_graph
from mser_ros.training.export.rest import Rest
from mser_ros.training.export.streams import export_streams
from mser_ros.training.export.temperatures import balanced_temperature, halves
from mser_ros.training.fit.experiment import run_experiment
from mser_ros.training.fit.predicting import predict_subsets, restore
from mser_ros.training.models.build import build_model
from mser_ros.training.models.fusion import FusionNetwork
from mser_ros.training.runs.finished import FinishedRun, Result
from mser_ros.training.runs.predictions import OutOfFold
from mser_ros.training.samples.inputs import Collator, prepare
from mser_ros.types import Transcript, subsets_of

PRESENT = (("speech", "text", "mocap"), ("speech", "text"), ("speech",), ("text", "mocap"), ("mocap",))
#: Layers are all alike, and each takes seconds to export; so do convolutions, of which these make as many frames.
ONE_LAYER_OF_SPEECH, ONE_LAYER_OF_TEXT = ({**size, "num_hidden_layers": 1} for size in (SPEECH, BERT))
ONE_LAYER_OF_SPEECH |= {"conv_dim": (16, 16, 16), "conv_kernel": (10, 8, 8), "conv_stride": (5, 8, 8)}


def quiet(_text: str) -> None:
    pass


class Exported:
    """A run of three streams whose answers were decided by hand, and its bundles: `path`, and `whole` in fp32."""

    def __init__(self, root: Path, kind: str) -> None:
        self.release = write_iemocap(root, rate_hz=30)
        hearing = {
            "kind": "pretrained",
            "source": str(write_wav2vec2(root / "speech", **ONE_LAYER_OF_SPEECH)),
            "average": 2,
        }
        streams = {
            "speech": hearing if kind == "cross_attention" else {"kind": "log_mel", "width": 16},
            "text": {"kind": "pretrained", "source": str(write_bert(root / "text", **ONE_LAYER_OF_TEXT))},
            "mocap": {"kind": "paper_a_mocap"},
        }
        extra = {"auxiliary": 1.0, "gate_text": True, "affect": 0.5} if kind == "cross_attention" else {}
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
                "optimiser": {"epochs": 1, "batch": 16, "precision": "fp32"},
            },
            where="test",
        )
        self.run = root / "run"
        run_experiment(self.config, self.run, log=quiet)
        decide_run(self.config, self.run)
        self.whole, self.path = root / "whole", root / "bundle"
        export_bundle([self.run], self.whole, int8=False, log=quiet)
        export_bundle([self.run], self.path, log=quiet)
        self.recognizer = EmotionRecognizer(load_bundle(self.path))
        items = open_corpus("iemocap", self.release).items
        #: Utterances of people who wear markers.
        self.marked = [one for item in items if (one := item.load()).skeleton is not None][:6]


@pytest.fixture(scope="module", params=["cross_attention", "concat"])
def exported(
    request: pytest.FixtureRequest, graphs_are_written_once: None, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    return Exported(tmp_path_factory.mktemp(request.param), request.param)


def test_the_recogniser_says_what_the_network_says_with_any_set_of_modalities(exported: Exported) -> None:
    utterances = exported.marked
    modalities = exported.config.modalities
    samples = [
        prepare(one, 0, modalities=modalities, inputs=exported.config.inputs, markers=True) for one in utterances
    ]
    network = restore(exported.config, exported.run / "fold0" / "best.safetensors")
    recognizer = EmotionRecognizer(load_bundle(exported.whole))
    temperature = recognizer.bundle.fusion.temperature
    for subset, logits in zip(PRESENT, predict_subsets(exported.config, network, samples, PRESENT).logits, strict=True):
        found = [recognizer.recognize(one, modalities=subset).probabilities for one in utterances]
        np.testing.assert_allclose(np.array(found), softmax(logits / temperature), atol=1e-3, err_msg=str(subset))


def test_what_was_trained_together_says_which_classes_hold_the_truth(exported: Exported) -> None:
    whole = exported.marked[0]
    decision = exported.recognizer.bundle.decision
    assert set(decision.largest_miss) == {subset_name(subset) for subset in subsets_of(exported.config.modalities)}
    for subset in PRESENT:
        estimate = exported.recognizer.recognize(whole, modalities=subset)
        miss = decision.largest_miss[subset_name(subset)]
        assert estimate.label_set == label_set(np.float64(estimate.probabilities), LABELS, miss)
        assert estimate.coverage == 0.9
    speak_for_themselves = exported.config.model.fusion.auxiliary > 0
    assert (decision.incongruent_above > 0) == speak_for_themselves


def test_modalities_that_were_trained_together_stay_together(exported: Exported) -> None:
    with pytest.raises(SettingsError, match="trained together"):
        Rest.read(exported.path, without=["speech"], without_fallback=["speech"])


def test_a_missing_modality_is_told_as_missing(exported: Exported) -> None:
    whole = exported.marked[0]
    estimate = exported.recognizer.recognize(dataclasses.replace(whole, skeleton=None))
    assert {one.modality: one.available for one in estimate.evidence} == {"speech": True, "text": True, "mocap": False}
    assert estimate.probabilities.sum() == pytest.approx(1)


def test_a_doubtful_transcript_counts_less_where_the_network_gates_it(exported: Exported) -> None:
    whole = exported.marked[0]
    assert whole.transcript is not None
    recognizer = EmotionRecognizer(load_bundle(exported.whole))

    def log_odds(confidence: float) -> float:
        """Of 'neutral' against 'angry', between which the text alone tells a difference."""
        transcript = Transcript(whole.transcript.text, confidence=confidence)
        estimate = recognizer.recognize(dataclasses.replace(whole, transcript=transcript))
        angry, *_, neutral = np.log(estimate.probabilities) * recognizer.bundle.fusion.temperature
        return float(neutral - angry)

    if exported.config.model.fusion.gate_text:
        for confidence in (0.01, 0.3, 0.7):  # with two other modalities its weight is its confidence
            assert log_odds(confidence) == pytest.approx(confidence * log_odds(1.0), abs=1e-3)
        assert log_odds(1.0) > 1
    else:
        assert log_odds(0.01) == log_odds(1.0)


def test_what_is_learned_of_a_voice_counts_in_what_is_joined(exported: Exported, tmp_path: Path) -> None:
    if not exported.config.model.fusion.auxiliary:
        return  # no head says what a voice alone means
    logits = np.log(8.0) * np.eye(4)[np.tile(np.arange(4), 6)]
    rows = OutOfFold.load(exported.run / "predictions.npz").select(np.zeros(24, int))
    voices = np.repeat(["a", "b", "c"], 8)
    offsets = np.repeat([[1.0, 0.0, 0.0, -1.0], [0.0, 1.0, -1.0, 0.0], [-1.0, -1.0, 1.0, 1.0]], 8, axis=0)
    rows = dataclasses.replace(rows, person=voices, label=np.tile(np.arange(4), 6), logits=logits + offsets)
    bundle = shutil.copytree(exported.path, tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    manifest["modalities"]["speech"]["baseline"] = fit_baseline(rows)
    (bundle / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    whole = dataclasses.replace(exported.marked[0], person_id="ann")
    recognizer = EmotionRecognizer(load_bundle(bundle))
    before, known, joined = (
        recognizer.recognize(whole, modalities=modalities, learn=learn)
        for modalities, learn in ((("speech",), True), (("speech",), False), (None, False))
    )
    np.testing.assert_allclose(
        before.probabilities, exported.recognizer.recognize(whole, modalities=["speech"]).probabilities, atol=1e-6
    )
    offset = recognizer._baselines._voices["ann"].offset  # type: ignore[union-attr]
    assert np.ptp(offset) > 0.1
    expected = before.probabilities * np.exp(-offset / recognizer.bundle.fusion.temperature)
    np.testing.assert_allclose(known.probabilities, expected / expected.sum(), atol=1e-5)
    assert np.abs(joined.probabilities - exported.recognizer.recognize(whole).probabilities).max() > 0.01


def entries(bundle: Path) -> dict[str, dict[str, Any]]:
    """What the manifest says of each graph, by name."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    return {**manifest["modalities"], "fusion": manifest["fusion"]}


def weights(graph: Path) -> dict[int, int]:
    """How many numbers of each type a graph holds."""
    counts: dict[int, int] = {}
    for item in onnx.load(graph).graph.initializer:
        counts[item.data_type] = counts.get(item.data_type, 0) + int(np.prod(item.dims))
    return counts


def operators(graph: Path) -> set[str]:
    return {node.op_type for node in onnx.load(graph).graph.node}


def test_networks_that_quantise_well_ship_as_int8_in_all_their_graphs(exported: Exported) -> None:
    for name, entry in entries(exported.path).items():
        assert entry["precision"] in ("int8", "int8 in blocks"), name
        small = weights(exported.path / entry["graph"])
        assert small.get(TensorProto.INT8, 0) + small.get(TensorProto.UINT8, 0) > 100, name
        assert entry["export_check"]["items"] == len(open_corpus("iemocap", exported.release).items)
        assert entry["export_check"]["label_agreement"] == 1
        assert entry["export_check"]["largest_probability_difference"] < 0.1


def test_the_manifest_tells_figures_people_and_the_run(exported: Exported) -> None:
    found = entries(exported.path)
    assert found["fusion"]["kind"] == "graph"
    assert found["mocap"]["representation"] == "iemocap200"
    assert set(found["fusion"]["metrics"]["subsets"]) >= {"speech", "text", "mocap", "speech+text+mocap"}
    assert not found["fusion"]["metrics"]["synthetic"]
    assert found["speech"]["people"]["iemocap"] == ["Ses03F", "Ses03M", "Ses04F", "Ses04M", "Ses05F", "Ses05M"]
    card = (exported.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"mser train {exported.config.name}" in card
    assert "| fusion.onnx | int8" in card
    assert "ten actors in pairs" in card


def test_calibration_of_the_fusion_is_told_from_people_that_its_temperature_never_saw(exported: Exported) -> None:
    entry = entries(exported.path)["fusion"]
    rows = OutOfFold.load(exported.run / "predictions.npz")
    assert entry["temperature"] == round(balanced_temperature(rows), 4)
    assert entry["metrics"]["judged_by"] == "a temperature fitted on the other half of the people"
    half = halves(rows)
    fitted = [balanced_temperature(rows.select(half != side)) for side in range(2)]
    of_item = dict(zip(rows.item_id.tolist(), np.array(fitted)[half], strict=True))
    for subset in ("speech+text+mocap", "text", "mocap"):
        name = "predictions.npz" if subset.count("+") == 2 else f"predictions_{subset}.npz"
        part = OutOfFold.load(exported.run / name)
        temperatures = np.array([of_item[item] for item in part.item_id.tolist()])[:, None]
        judged = score(Predictions(part.label, softmax(part.logits / temperatures), part.cluster)).as_json()
        assert entry["metrics"]["subsets"][subset]["ece"] == pytest.approx(judged["ece"], abs=1e-5), subset


def test_streams_that_int8_spoils_by_channel_are_quantised_in_blocks_and_else_not(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channels spoil the fusion and the text here, by their signs; blocks the text alone."""

    def spoiling(names: tuple[str, ...], method: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        def spoil(source: Path, target: Path) -> None:
            model = onnx.load(source)
            for item in model.graph.initializer if source.stem in names else ():
                if item.data_type == TensorProto.FLOAT and len(item.dims) == 2 and min(item.dims) > 1:
                    item.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(item), item.name))
            onnx.save(model, target)
            method(target, target)

        return spoil

    spoiled = {"quantise": ("fusion", "text"), "quantise_in_blocks": ("text",)}
    for name, names in spoiled.items():
        monkeypatch.setattr(quantise, name, spoiling(names, getattr(quantise, name)))
    export_bundle([exported.run], tmp_path / "out", log=quiet)
    found = entries(tmp_path / "out")
    in_blocks = exported.config.model.fusion.kind == "cross_attention"  # concatenation has no product but Gemm
    expected = "int8 in blocks" if in_blocks else "fp32"
    assert {name: entry["precision"] for name, entry in found.items()} == {
        "speech": "int8",
        "text": "fp32",
        "mocap": "int8",
        "fusion": expected,
    }
    assert set(weights(tmp_path / "out" / "text.onnx")) <= {TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL}
    assert ("MatMulNBits" in operators(tmp_path / "out" / "fusion.onnx")) == in_blocks
    assert f"| fusion.onnx | {expected} |" in (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    recognizers = [EmotionRecognizer(load_bundle(path)) for path in (tmp_path / "out", exported.whole)]
    for utterance in exported.marked:
        both = [one.recognize(utterance) for one in recognizers]
        assert [one.label for one in both] == ["happy", "happy"]
        np.testing.assert_allclose(*[one.probabilities for one in both], atol=0.1)


def test_valence_and_arousal_are_those_that_the_network_has_learned(exported: Exported) -> None:
    utterances = exported.marked
    network = restore(exported.config, exported.run / "fold0" / "best.safetensors")
    assert isinstance(network, FusionNetwork)
    recognizer = EmotionRecognizer(load_bundle(exported.whole))
    collate = Collator(exported.config)
    for one in utterances:
        sample = prepare(one, 0, modalities=exported.config.modalities, inputs=exported.config.inputs, markers=True)
        batch = collate([(0, sample)])
        estimate = recognizer.recognize(one)
        with torch.inference_mode():
            affect = network(batch.inputs, batch.present, batch.confidence).affect
        centroid = np.array(valence_arousal(LABELS, estimate.probabilities))
        expected = centroid if affect is None else affect[0].numpy()
        np.testing.assert_allclose([estimate.valence, estimate.arousal], expected, atol=1e-3)
    has_regression = exported.config.model.fusion.kind == "cross_attention"
    assert ("affect" in Graph(exported.path / "fusion.onnx").outputs) == has_regression
    measured = json.loads((exported.run / "summary.json").read_text(encoding="utf-8"))["iemocap"].get("ccc")
    assert entries(exported.path)["fusion"]["metrics"].get("ccc") == measured
    card = (exported.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert ("Valence and arousal are estimated by the fusion graph" in card) == has_regression


@pytest.mark.parametrize("affect", [True, False])
def test_a_regression_that_was_told_nothing_is_left_out(tmp_path: Path, affect: bool) -> None:
    streams = {"speech": {"kind": "log_mel", "width": 8}, "mocap": {"kind": "motion", "width": 8}}
    model = {"streams": streams, "fusion": {"kind": "concat", "width": 8, "affect": 0.5}, "hidden": 8}
    network = build_model(build_config({"corpora": [{"name": "x"}], "model": model}))
    assert isinstance(network, FusionNetwork)
    write_fusion_graph(network, tmp_path / "fusion.onnx", affect=affect)
    assert ("affect" in Graph(tmp_path / "fusion.onnx").outputs) == affect


@pytest.mark.parametrize("corpus", ["one rated", "none rated", "one rated, never trained on"])
def test_whether_a_regression_has_learned_is_a_matter_of_the_run_and_not_of_the_utterances_that_are_checked(
    corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voices = write_voices(tmp_path / "voices", clips=1)
    first, *rows = (voices / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    table = [f"{first}\tvalence\tarousal", *(f"{row}\t\t" for row in rows)]
    if corpus.startswith("one"):
        table[2] = f"{rows[1]}\t0.5\t-0.5"
    (voices / "manifest.tsv").write_text("\n".join(table) + "\n", encoding="utf-8")
    tree = config_tree(small(voices, epochs=1))
    tree["folds"]["only"] = 1
    tree["model"]["fusion"].update(kind="concat", width=8, affect=1.0)
    if corpus.endswith("never trained on"):
        tree["corpora"].append(
            {**tree["corpora"][0], "name": "others", "path": str(shutil.copytree(voices, tmp_path / "o"))}
        )
        (voices / "manifest.tsv").write_text("\n".join([first, *rows]) + "\n", encoding="utf-8")
        tree["corpora"][1].update(repeat=0, test=False)
    run_experiment(build_config(tree), tmp_path / "run", log=quiet)
    run, found = FinishedRun.read(tmp_path / "run"), []

    class Done(BaseException):
        pass

    def note(*_args: object, affect: bool) -> None:
        found.append(affect)
        raise Done

    monkeypatch.setattr(streams, "CHECKED", 4)
    monkeypatch.setattr(streams, "write_graph", lambda *_: None)
    monkeypatch.setattr(streams, "write_fusion_graph", note)
    with pytest.raises(Done):
        export_streams(run, tmp_path, int8=False, log=quiet)
    assert found == [corpus == "one rated"]


def test_a_run_that_did_not_note_what_it_learned_is_judged_by_whom_it_tested(tmp_path: Path) -> None:
    truth = np.full((3, 2), np.nan, np.float32)
    rows = OutOfFold(*[np.array(["x"] * 3)] * 5, np.zeros(3, int), np.zeros((3, 4)), truth, truth)
    config, entry = (
        build_config({"corpora": [{"name": "x"}], "model": {"streams": {"speech": {"kind": "log_mel"}}}}),
        {},
    )
    run = FinishedRun(tmp_path, config, {("speech",): Result(rows, 0)}, {"x": entry})
    assert not run.learned_affect
    truth[1] = 0.5
    assert run.learned_affect


def test_a_run_of_several_streams_is_exported_alone(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="has several modalities: export it alone"):
        export_bundle([exported.run, exported.run], tmp_path / "two", log=quiet)
