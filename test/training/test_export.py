"""From a run to a bundle to an estimate: what the robot loads says what was trained."""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from fakes_networks import decide_run, decided
from onnx import TensorProto, helper, numpy_helper
from test_train import small, write_voices

from mser_ros.corpora import open_corpus
from mser_ros.errors import SettingsError
from mser_ros.evaluation.metrics import Predictions, score
from mser_ros.evaluation.plots import trust
from mser_ros.recognition.bundle import Bundle, load_bundle, write_manifest
from mser_ros.recognition.graph import Graph
from mser_ros.recognition.posteriors import softmax
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.resources import default_bundle_dir
from mser_ros.training.config.files import config_tree, load_config
from mser_ros.training.config.settings import EncoderConfig, ExperimentConfig, InputConfig, SpeechAugmentConfig
from mser_ros.training.export.agreement import Agreement, Comparison
from mser_ros.training.export.bundle import export_bundle, fit_log_linear
from mser_ros.training.export.fusion_fit import combine, fuse
from mser_ros.training.export.manifest import modality_entry
from mser_ros.training.export.quantise import quantise
from mser_ros.training.export.rest import Rest
from mser_ros.training.export.temperatures import balanced_temperature
from mser_ros.training.fit.experiment import run_experiment
from mser_ros.training.fit.predicting import predict, restore
from mser_ros.training.models.encoders import MotionConvolutions, SpeechConvolutions
from mser_ros.training.models.front_end import FrontEnd
from mser_ros.training.runs.finished import FinishedRun
from mser_ros.training.runs.predictions import OutOfFold
from mser_ros.training.samples.data import load_data
from mser_ros.training.samples.inputs import prepare
from mser_ros.types import SAMPLE_RATE, Transcript, Utterance, Waveform


@dataclasses.dataclass(frozen=True)
class Exported:
    """A run whose answers were decided by hand, and its bundles: `bundle`, and `whole` in fp32."""

    config: ExperimentConfig
    run: Path
    whole: Path
    bundle: Path
    voices: Path


@pytest.fixture(scope="module")
def exported(graphs_are_written_once: None, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    root = tmp_path_factory.mktemp("export")
    voices = write_voices(root / "voices")
    config = dataclasses.replace(small(voices, epochs=1), inputs=InputConfig(trim_db=40.0))
    run_experiment(config, root / "run", log=lambda _text: None)
    decide_run(config, root / "run")
    made = Exported(config, root / "run", root / "whole", root / "bundle", voices)
    export_bundle([made.run], made.whole, int8=False, log=lambda _text: None)
    export_bundle([made.run], made.bundle, name="tiny", log=lambda _text: None)
    return made


def test_the_robot_says_what_the_network_says(exported: Exported) -> None:
    network = restore(exported.config, FinishedRun.read(exported.run).final_weights)
    recognizer = EmotionRecognizer(load_bundle(exported.whole))
    temperature = recognizer.bundle.modalities["speech"].temperature
    for silence, item in enumerate(open_corpus("voices", exported.voices).items[::7]):
        utterance = item.load()
        assert utterance.audio
        padded = np.pad(utterance.audio.samples, 8_000 * silence)
        utterance = dataclasses.replace(utterance, audio=Waveform(padded, SAMPLE_RATE))
        sample = prepare(utterance, 0, modalities=["speech"], inputs=exported.config.inputs)
        expected = predict(exported.config, network, [sample])[0]
        found = temperature * np.log(recognizer.recognize(utterance).probabilities)  # up to a constant
        np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=1e-3)


def test_a_graph_tells_nothing_of_the_machine_it_was_made_on(exported: Exported) -> None:
    for folder in (exported.bundle, default_bundle_dir()):
        for graph in folder.glob("*.onnx"):
            content = graph.read_bytes()
            for word in (b"site-packages", b"stack_trace", str(Path(__file__).parents[2]).encode()):
                assert word not in content, (graph, word)


def test_the_manifest_says_where_the_weights_come_from(exported: Exported) -> None:
    entry = json.loads((exported.bundle / "manifest.json").read_text(encoding="utf-8"))["modalities"]["speech"]
    assert entry["people"] == {"voices": ["p0", "p1", "p2", "p3"]}
    assert (entry["run"], entry["starts_from"]) == ("small", [])
    figures = entry["metrics"]["voices"]
    assert figures["n"] == 24
    assert not figures["synthetic"]
    assert figures["intervals"]["ua"][0] <= figures["ua"] <= figures["intervals"]["ua"][1]


def test_calibration_is_told_from_folds_that_the_temperature_never_saw(exported: Exported) -> None:
    entry = json.loads((exported.bundle / "manifest.json").read_text(encoding="utf-8"))["modalities"]["speech"]
    rows = OutOfFold.load(exported.run / "predictions.npz")
    assert entry["temperature"] == round(balanced_temperature(rows), 4)


def test_calibration_is_of_temperatures_of_the_other_folds(exported: Exported, tmp_path: Path) -> None:
    """One fold is far too sure and the other far too unsure, each right in three of four: together they look fine."""
    run = FinishedRun.read(exported.run)
    rows = decided(run.rows(), np.where(run.rows().fold == "fold0", 12.0, 0.3))
    entry = modality_entry(run, "speech", tmp_path, rows, "int8", Agreement(1, 0.0, 1.0))
    assert entry["temperature"] == round(balanced_temperature(rows), 4)
    temperatures = np.empty((len(rows), 1))
    for fold in ("fold0", "fold1"):
        mine = rows.fold == fold
        temperatures[mine] = balanced_temperature(rows.select(~mine))
    expected = score(Predictions(rows.label, softmax(rows.logits / temperatures), rows.cluster)).as_json()
    found = entry["metrics"]["voices"]["ece"]
    assert found == pytest.approx(expected["ece"], abs=1e-5)
    flattered = score(rows.predictions(entry["temperature"])).as_json()["ece"]
    assert abs(found - flattered) > 0.01


def int8_weights(graph: Path) -> int:
    """How many weights of a graph are int8."""
    kinds = (TensorProto.INT8, TensorProto.UINT8)
    return sum(int(np.prod(item.dims)) for item in onnx.load(graph).graph.initializer if item.data_type in kinds)


def test_a_network_that_quantises_well_ships_as_int8(exported: Exported) -> None:
    entry = json.loads((exported.bundle / "manifest.json").read_text(encoding="utf-8"))["modalities"]["speech"]
    assert entry["precision"] == "int8"
    assert int8_weights(exported.bundle / "speech.onnx") > 500
    network = restore(exported.config, FinishedRun.read(exported.run).final_weights)
    samples = load_data(exported.config, log=lambda _text: None).samples
    assert len(samples) == entry["export_check"]["items"] == 48
    found = Comparison(network, exported.config, samples)({"speech": exported.bundle / "speech.onnx"})
    assert found.as_json() == pytest.approx(entry["export_check"], abs=1e-4)
    assert found.labels == 1


def test_a_network_that_int8_spoils_ships_as_fp32_and_says_so(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(source: Path, target: Path) -> None:
        model = onnx.load(source)
        for item in model.graph.initializer:
            if item.data_type == TensorProto.FLOAT and len(item.dims) == 2:
                item.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(item), item.name))
        onnx.save(model, target)
        quantise(target, target)

    for name in ("quantise", "quantise_in_blocks"):
        monkeypatch.setattr(f"mser_ros.training.export.quantise.{name}", spoiled)
    told: list[str] = []
    export_bundle([exported.run], tmp_path / "out", log=told.append)
    bundle = load_bundle(tmp_path / "out")
    assert bundle.modalities["speech"].precision == "fp32"
    assert bundle.manifest["modalities"]["speech"]["export_check"]["label_agreement"] == 1
    assert int8_weights(tmp_path / "out" / "speech.onnx") == 0
    assert "| speech.onnx | fp32 |" in (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert [line.split(" gives")[0] for line in told[:2]] == ["speech: int8", "speech: int8 in blocks"]


def test_the_card_tells_figures_limits_and_excluded_use(exported: Exported) -> None:
    card = (exported.bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    figures = load_bundle(exported.bundle).modalities["speech"].metrics["voices"]
    for text in (f"{figures['ua']:.3f}", "Article 5", "Known failures", "Retraining", "hiring", "Data of voices: this"):
        assert text in card
    assert "speech with a temperature fitted on the other folds" in card
    assert "mser export runs/small -o models/tiny" in card
    assert "SYNTHETIC" not in card
    assert list(exported.bundle.glob("NOTICE-*.txt")) or list(exported.bundle.glob("LICENSE-*.txt"))


def test_a_folder_that_is_no_bundle_is_refused_before_any_work(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mser_ros.training.export.bundle.write_graph", lambda *_: pytest.fail("the work has begun"))
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("dear", encoding="utf-8")
    for target, why in ((tmp_path, "not empty and not a bundle"), (thesis, "is a file")):
        with pytest.raises(SettingsError, match=why):
            export_bundle([exported.run], target, log=lambda _text: None)
    assert thesis.read_text(encoding="utf-8") == "dear"


def test_a_run_without_a_final_model_is_told_so(exported: Exported, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("predictions.npz", "corpora.json"):
        shutil.copy(exported.run / name, run)
    config = dataclasses.replace(exported.config, folds=dataclasses.replace(exported.config.folds, final=False))
    (run / "config.yaml").write_text(yaml.safe_dump(config_tree(config)), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"has no final model, because folds\.final is false: train it with"):
        export_bundle([run], tmp_path / "out", log=lambda _text: None)
    (run / "corpora.json").unlink()
    with pytest.raises(SettingsError, match="is not finished: give the same"):
        export_bundle([run], tmp_path / "out", log=lambda _text: None)


def test_figures_of_a_synthetic_corpus_are_marked(exported: Exported, tmp_path: Path) -> None:
    run = FinishedRun.read(exported.run)
    sources = {"voices": {**run.corpora["voices"], "synthetic": True}, "parts": run.corpora["voices"]}
    check = Agreement(1, 0.0, 1.0)
    entry = modality_entry(dataclasses.replace(run, corpora=sources), "speech", tmp_path, run.rows(), "int8", check)
    assert entry["metrics"]["voices"]["synthetic"]
    swapped = {"voices": run.corpora["voices"], "parts": sources["voices"]}
    entry = modality_entry(dataclasses.replace(run, corpora=swapped), "speech", tmp_path, run.rows(), "int8", check)
    assert not entry["metrics"]["voices"]["synthetic"], "what an encoder came of is not what was tested"
    assert entry["trained_on"] == ["parts", "voices"]


def test_a_run_that_was_set_otherwise_than_the_file_of_its_name_says_how(exported: Exported, tmp_path: Path) -> None:
    def overrides(config: ExperimentConfig) -> dict[str, list[str]]:
        run = dataclasses.replace(FinishedRun.read(exported.run), config=config)
        return modality_entry(run, "speech", tmp_path, None, "int8", Agreement(1, 0.0, 1.0))["overrides"]

    assert overrides(exported.config) == {}, "no experiment ships under its name"
    assert overrides(load_config("paper_b_audio")) == {"paper_b_audio": []}
    given = ["optimiser.epochs=3", "model.dropout=0.5"]
    first = tmp_path / "paper_b_audio"
    first.mkdir()
    (first / "config.yaml").write_text(
        yaml.safe_dump(config_tree(load_config("paper_b_audio", overrides=given))), encoding="utf-8"
    )
    config = load_config("paper_b_fusion", overrides=["seed=5", f"model.streams.speech.weights={first}"])
    found = overrides(config)
    assert {name: sorted(values) for name, values in found.items()} == {
        "paper_b_fusion": ["seed=5"],
        "paper_b_audio": sorted(given),
    }


def test_runs_of_two_modalities_are_fused_by_what_all_people_say(exported: Exported, tmp_path: Path) -> None:
    voices = FinishedRun.read(exported.run)
    rows = dict.fromkeys(("speech", "text"), voices.rows())
    modalities = {name: {"temperature": 1.0} for name in ("speech", "text")}
    fused = fit_log_linear(rows, modalities)
    fusion, decision = fused.entry, fused.decision
    fit = fuse(combine(rows, dict.fromkeys(modalities, 1.0)), np.full(4, 0.25))
    assert {name: entry["weight"] for name, entry in modalities.items()} == {
        name: round(weight, 4) for name, weight in fit.weights.items()
    }
    assert fusion["temperature"] == round(fit.temperature, 4)
    assert fusion["metrics"]["judged_by"] == "temperatures and weights fitted on the other half of the people"
    assert fusion["metrics"]["synthetic"]
    assert set(decision["largest_miss"]) == {"speech", "text", "speech+text"}
    assert set(decision["metrics"]["sets"]) == set(decision["largest_miss"])
    assert decision["metrics"]["incongruent"].keys() == {"auroc", "false_alarms", "found"}


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of fusions, which nothing here asks for, are of few draws."""
    monkeypatch.setattr("mser_ros.training.export.fusion_fit.score", partial(score, resamples=20))


def test_the_other_modalities_of_a_bundle_are_taken_over_and_weighed_anew(
    exported: Exported, whole_bundle: Bundle, few_draws: None, tmp_path: Path
) -> None:
    export_bundle([exported.run], tmp_path / "out", rest=whole_bundle.path, log=lambda _text: None)
    made, before = load_bundle(tmp_path / "out"), whole_bundle.manifest
    assert list(made.manifest["modalities"]) == ["speech", "text", "mocap"]
    assert made.manifest["modalities"]["speech"]["run"] == exported.config.name
    for name in ("text", "mocap"):
        ours, theirs = made.manifest["modalities"][name], before["modalities"][name]
        assert {**ours, "weight": None} == {**theirs, "weight": None}
        for file in (theirs["graph"], theirs["predictions"]):
            assert made.file(file).read_bytes() == whole_bundle.file(file).read_bytes()
    fallback, small = made.manifest["fallback"]["modalities"], before["fallback"]["modalities"]["text"]
    assert {**fallback["text"], "weight": None} == {**small, "weight": None}
    # What decides by hand is always right; the voice of the default bundle is not.
    weights = [manifest["modalities"]["speech"]["weight"] for manifest in (made.manifest, before)]
    assert weights[0] != weights[1]
    assert fallback["speech"]["weight"] == pytest.approx(weights[0], rel=0.5)
    recognizer = EmotionRecognizer(made)
    said = Utterance("u", 0, 10**9, transcript=Transcript("I am so happy to see you!", language="en"))
    assert recognizer.recognize(said).label == "happy"


def test_a_bundle_is_weighed_anew_of_what_its_models_predicted_and_asked_what_they_were_not_asked_before(
    whole_bundle: Bundle, few_draws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes out the same; models of words whose weights lie elsewhere are not asked."""
    monkeypatch.setattr("mser_ros.training.export.pictures.trust", trust)
    old, new, before = tmp_path / "old", tmp_path / "new", whole_bundle.manifest
    shutil.copytree(whole_bundle.path, old)
    manifest = json.loads((old / "manifest.json").read_text())
    for part in (manifest, manifest["fallback"]):
        del part["modalities"]["text"]["checklist"]["kinds"]["asking again"]
    write_manifest(old, manifest)
    export_bundle([], new, rest=old, name="default", log=lambda _text: None)
    made = load_bundle(new)
    for name, entry in manifest["modalities"].items():
        ours = made.manifest["modalities"][name]
        assert {**ours, "weight": None} == {**entry, "weight": None}
        assert ours["weight"] == pytest.approx(entry["weight"], abs=2e-3)  # processors round otherwise
    assert made.decision.largest_miss == pytest.approx(before["decision"]["largest_miss"], abs=2e-3)
    assert (new / "trust.png").stat().st_size > 20_000
    written_anew = {"MODEL_CARD.md", "trust.png"}
    assert set(made.manifest["files"]) == set(before["files"])
    for file in set(before["files"]) - written_anew:
        assert made.file(file).read_bytes() == whole_bundle.file(file).read_bytes(), file
    assert "asking again" not in made.manifest["modalities"]["text"]["checklist"]["kinds"]
    _, total = made.manifest["fallback"]["modalities"]["text"]["checklist"]["kinds"]["asking again"]
    assert total == 30
    assert "| asking again | 30 | – | " in (new / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_of_nothing_no_bundle_is_made(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nothing to export: name a run, or a bundle with --rest"):
        export_bundle([], tmp_path / "out", log=lambda _text: None)


def test_a_bundle_without_predictions_cannot_be_taken_over(exported: Exported, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(exported.bundle, old)
    manifest = json.loads((old / "manifest.json").read_text())
    del manifest["modalities"]["speech"]["predictions"]
    write_manifest(old, manifest)
    with pytest.raises(SettingsError, match=r"does not keep what speech\.onnx predicted.*export it again"):
        Rest.read(old, without=[], without_fallback=[])


def test_an_unfinished_run_and_two_of_one_modality_are_refused(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no config\.yaml"):
        export_bundle([tmp_path], tmp_path / "out", log=lambda _text: None)
    with pytest.raises(SettingsError, match="same modality"):
        export_bundle([exported.run, exported.run], tmp_path / "out", log=lambda _text: None)


def voice(seconds: float, seed: int = 0) -> torch.Tensor:
    time_s = torch.arange(round(seconds * 16000)) / 16000
    generator = torch.Generator().manual_seed(seed)
    tone = sum(torch.sin(2 * torch.pi * 150 * n * time_s) / n for n in range(1, 6))
    return (tone * 0.1 + torch.randn(len(time_s), generator=generator) * 0.01)[None]


@pytest.mark.parametrize("seconds", [0.01, 0.3, 2.0])
def test_the_exported_front_end_is_the_trained_one(seconds: float) -> None:
    front_end = FrontEnd()
    frames, mask = front_end(voice(seconds))
    front_end.exporting = True
    again, same_mask = front_end(voice(seconds))
    assert mask.any()
    assert torch.equal(mask, same_mask)
    torch.testing.assert_close(frames, again, atol=2e-3, rtol=1e-3)


def test_the_front_end_hears_pitch_and_not_gain() -> None:
    front_end = FrontEnd()
    frames, mask = front_end(voice(1.0))
    pitch_hz = 180 * 2 ** frames[mask][:, -3]
    assert pitch_hz.median() == pytest.approx(150, rel=0.05)
    louder, _ = front_end(voice(1.0) * 5)
    torch.testing.assert_close(frames, louder, atol=1e-2, rtol=1e-2)


def test_padding_a_voice_changes_nothing() -> None:
    torch.manual_seed(0)
    config = EncoderConfig(kind="log_mel", width=16, depth=2)
    encoder = SpeechConvolutions(config, SpeechAugmentConfig(mask_bands=8, mask_s=0.2)).eval()
    alone = encoder(voice(0.7))
    padded = torch.nn.functional.pad(voice(0.7), (0, 9000))
    together = encoder(padded, torch.tensor([voice(0.7).shape[1]]))
    count = int(alone.mask.sum())
    assert int(together.mask.sum()) == count
    torch.testing.assert_close(together.frames[:, :count], alone.frames[:, :count], atol=1e-4, rtol=1e-4)
    assert not together.frames[:, count:].any()


def test_unseen_joints_and_frames_change_nothing() -> None:
    torch.manual_seed(0)
    encoder = MotionConvolutions(EncoderConfig(kind="motion", width=16, depth=2), InputConfig()).eval()
    positions, mask = torch.randn(1, 20, 15, 3), (torch.rand(1, 20, 15) > 0.2).float()
    alone = encoder(positions, mask)
    nonsense = torch.where(mask[..., None] > 0, positions, torch.full_like(positions, 7.0))
    torch.testing.assert_close(encoder(nonsense, mask).frames, alone.frames)
    padded = encoder(
        torch.nn.functional.pad(positions, (0, 0, 0, 0, 6, 0)), torch.nn.functional.pad(mask, (0, 0, 6, 0))
    )
    assert int(padded.mask.sum()) == 20
    torch.testing.assert_close(padded.frames[:, 6:], alone.frames, atol=1e-5, rtol=1e-5)


def test_embeddings_become_int8_by_row(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = (rng.standard_normal((3000, 64)) * rng.uniform(0.1, 10, (3000, 1))).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0)],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "n"])],
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, "n", 64])],
        [numpy_helper.from_array(table, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "big.onnx")
    quantise(tmp_path / "big.onnx", tmp_path / "small.onnx")
    assert (tmp_path / "small.onnx").stat().st_size < 0.3 * (tmp_path / "big.onnx").stat().st_size
    ids = rng.integers(3000, size=(1, 50))
    error = np.abs(Graph(tmp_path / "small.onnx")(ids=ids)["rows"] - table[ids])
    assert (error <= np.abs(table[ids]).max(-1, keepdims=True) / 254 * (1 + 1e-4)).all()
