"""From a run to a bundle to an estimate: what the robot loads says what was trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from test_train import small, write_voices

from mser_ros.bundle import load_bundle
from mser_ros.errors import SettingsError
from mser_ros.inference import Graph, softmax
from mser_ros.labels import LABELS
from mser_ros.recognizer import EmotionRecognizer
from mser_ros.training.config import EncoderConfig, ExperimentConfig, InputConfig, SpeechAugmentConfig
from mser_ros.training.corpora import open_corpus
from mser_ros.training.encoders import MotionConvolutions, SpeechConvolutions
from mser_ros.training.experiment import final_weights, run_experiment
from mser_ros.training.export import export_bundle
from mser_ros.training.fitting import predict, restore
from mser_ros.training.front_end import FrontEnd
from mser_ros.training.fusion_fit import combine, fuse, measure
from mser_ros.training.inputs import prepare
from mser_ros.training.predictions import OutOfFold
from mser_ros.training.quantise import quantise


@dataclasses.dataclass(frozen=True)
class Exported:
    config: ExperimentConfig
    run: Path
    bundle: Path
    voices: Path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    root = tmp_path_factory.mktemp("export")
    voices = write_voices(root / "voices")
    config = small(voices)
    run_experiment(config, root / "run", say=lambda _text: None)
    export_bundle([root / "run"], root / "bundle", name="tiny", say=lambda _text: None)
    return Exported(config, root / "run", root / "bundle", voices)


def test_the_robot_says_what_the_network_says(exported: Exported) -> None:
    network = restore(exported.config, final_weights(exported.run))
    recognizer = EmotionRecognizer(load_bundle(exported.bundle))
    temperature = load_bundle(exported.bundle).modalities["speech"].temperature
    for item in open_corpus("voices", exported.voices).items[::7]:
        utterance = item.load()
        sample = prepare(utterance, 0, modalities=["speech"], inputs=exported.config.inputs)
        expected = softmax(predict(exported.config, network, [sample])[0] / temperature)
        np.testing.assert_allclose(recognizer.recognize(utterance).probabilities, expected, atol=0.03)


def test_the_manifest_says_where_the_weights_come_from(exported: Exported) -> None:
    entry = json.loads((exported.bundle / "manifest.json").read_text(encoding="utf-8"))["modalities"]["speech"]
    assert entry["people"] == {"voices": ["p0", "p1", "p2", "p3"]}
    assert entry["export_check"]["label_agreement"] >= 0.99
    figures = entry["metrics"]["voices"]
    assert figures["n"] == 24
    assert figures["intervals"]["ua"][0] <= figures["ua"] <= figures["intervals"]["ua"][1]


def test_the_card_tells_figures_limits_and_excluded_use(exported: Exported) -> None:
    card = (exported.bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    figures = load_bundle(exported.bundle).modalities["speech"].metrics["voices"]
    for text in (f"{figures['ua']:.3f}", "Article 5", "Known failures", "Retraining", "hiring"):
        assert text in card
    assert list(exported.bundle.glob("NOTICE-*.txt")) or list(exported.bundle.glob("LICENSE-*.txt"))


def test_a_folder_that_is_no_bundle_is_not_emptied(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(SettingsError, match="not a bundle"):
        export_bundle([exported.run], tmp_path, say=lambda _text: None)
    assert (tmp_path / "thesis.txt").is_file()


def test_an_unfinished_run_and_two_of_one_modality_are_refused(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no config\.yaml"):
        export_bundle([tmp_path], tmp_path / "out", say=lambda _text: None)
    with pytest.raises(SettingsError, match="same modality"):
        export_bundle([exported.run, exported.run], tmp_path / "out", say=lambda _text: None)


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
    assert (error <= np.abs(table[ids]).max(-1, keepdims=True) / 254 + 1e-6).all()


def rows_of(modality: str, *, skill: float, people: int = 12, seed: int = 0) -> OutOfFold:
    rng = np.random.default_rng((seed, len(modality)))
    label = np.repeat(np.arange(4), people * 5)
    person = np.tile([f"{modality}{n}" for n in range(people)], 20)
    count = len(label)
    logits = rng.standard_normal((count, 4)) + skill * np.eye(4)[label]
    names = np.full(count, modality)
    items = np.array([str(n) for n in range(count)])
    return OutOfFold(names, items, person, person, np.full(count, "fold0"), label, logits.astype(np.float32))


def test_fusion_is_fitted_and_measured_on_different_people() -> None:
    rows = {
        "speech": rows_of("speech", skill=2.0),
        "text": rows_of("text", skill=0.0),
        "mocap": rows_of("mocap", skill=1),
    }
    temperatures = dict.fromkeys(rows, 1.0)
    halves = [combine(rows, temperatures, half=half) for half in range(2)]
    people = [{name for cluster in half.clusters for name in cluster.split(" + ")} for half in halves]
    assert not people[0] & people[1]
    prior = np.full(4, 0.25)
    fit = fuse(halves[0], prior)
    assert fit.weights["text"] < 0.3 < fit.weights["speech"]
    found = measure(halves[1], fit, prior)
    assert found["synthetic"]
    assert found["subsets"]["speech+mocap"]["ua"] > found["subsets"]["speech"]["ua"]
    assert set(found["subsets"]["speech"]["recall"]) == set(LABELS)
