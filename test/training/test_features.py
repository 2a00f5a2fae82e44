"""What is kept on disk of a frozen encoder is what it would give now, whatever was changed since."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fakes_transformers import WORDS, write_bert, write_wav2vec2
from tokenizers import Tokenizer

from mser_ros.training.config.files import build_config
from mser_ros.training.config.settings import ExperimentConfig
from mser_ros.training.models import front_end
from mser_ros.training.models.build import build_encoder
from mser_ros.training.models.encoders import MarkerConvolutions
from mser_ros.training.models.encoding import encode
from mser_ros.training.samples import features
from mser_ros.training.samples.features import with_features
from mser_ros.training.samples.inputs import Collator, Sample

RNG = np.random.default_rng(0)
SAMPLES = [
    Sample(
        0,
        speech=RNG.integers(-9000, 9000, size).astype(np.int16),
        text=text,
        positions=RNG.normal(size=(200, 63, 3)).astype(np.float32),
        seen=np.ones((200, 63), bool),
    )
    for size, text in ((6000, "go away now"), (9000, "how lovely"))
]


def experiment(modality: str, stream: dict[str, Any], **settings: Any) -> ExperimentConfig:
    streams = {modality: {"train": "none", **stream}}
    return build_config({"corpora": [{"name": "x"}], "model": {"streams": streams}, **settings})


def kept(config: ExperimentConfig, cache: Path) -> list[np.ndarray]:
    """The features from disk."""
    torch.manual_seed(0)  # of encoders without weights of their own
    return [
        np.load(sample.frames[config.modalities[0]]) for sample in with_features(config, SAMPLES, fold="", cache=cache)
    ]


def live(config: ExperimentConfig) -> list[np.ndarray]:
    """The features as the encoder gives them now."""
    torch.manual_seed(0)
    (modality,), collate = config.modalities, Collator(config)
    encoder = build_encoder(modality, config).eval()
    with torch.inference_mode():
        found = [encode(encoder, collate([(0, sample)]).inputs[modality]) for sample in SAMPLES]
    return [one.frames[0][one.mask[0]].numpy() for one in found]


def check(config: ExperimentConfig, cache: Path) -> None:
    for mine, wanted in zip(kept(config, cache), live(config), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=2e-2, rtol=2e-3)


def differs(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return any(a.shape != b.shape or not np.allclose(a, b, atol=5e-2) for a, b in zip(one, other, strict=True))


def test_another_tokenizer_is_no_stale_cache(tmp_path: Path) -> None:
    config = experiment("text", {"kind": "pretrained", "source": str(write_bert(tmp_path / "bert"))})
    check(config, tmp_path / "cache")
    before = live(config)
    file = tmp_path / "bert" / "tokenizer.json"
    tree = json.loads(file.read_text(encoding="utf-8"))
    tree["model"]["vocab"] = {word: len(WORDS) - 1 - index for word, index in tree["model"]["vocab"].items()}
    file.write_text(json.dumps(tree), encoding="utf-8")
    assert Tokenizer.from_file(str(file)).encode("go").ids
    assert differs(before, live(config))
    check(config, tmp_path / "cache")


CONSTANTS = [
    ("speech", "log_mel", front_end, "MEAN_DB", -20.0),
    ("speech", "log_mel", front_end, "FLOOR_DB", -5.0),
    ("speech", "log_mel", front_end, "LOWEST_HZ", 200.0),
    ("speech", "log_mel", front_end, "_SHARPNESS", 1.0),
    ("speech", "log_mel", front_end, "HOP", 128),
    ("mocap", "paper_a_mocap", MarkerConvolutions, "UNIT", 1.0),
]


@pytest.mark.parametrize(("modality", "kind", "holder", "name", "value"), CONSTANTS)
def test_other_constants_of_an_encoder_are_no_stale_cache(
    modality: str, kind: str, holder: Any, name: str, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = experiment(modality, {"kind": kind, "width": 8, "depth": 1})
    check(config, tmp_path)
    before = live(config)
    monkeypatch.setattr(holder, name, value)
    assert differs(before, live(config))
    check(config, tmp_path)


def _set(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def test_another_architecture_of_the_same_weights_is_no_stale_cache(tmp_path: Path) -> None:
    config = experiment("text", {"kind": "pretrained", "source": str(write_bert(tmp_path / "bert"))})
    check(config, tmp_path / "cache")
    before = live(config)
    _set(tmp_path / "bert" / "config.json", hidden_act="relu", layer_norm_eps=1.0)
    assert differs(before, live(config))
    check(config, tmp_path / "cache")


@pytest.mark.parametrize(
    "settings", [{"inputs": {"normalise": True}}, {"inputs": {"fixed_s": 0.5}}, {"streams": {"average": 3}}]
)
def test_an_encoder_that_is_fed_or_read_otherwise_is_no_stale_cache(settings: dict[str, Any], tmp_path: Path) -> None:
    stream = {"kind": "pretrained", "source": str(write_wav2vec2(tmp_path / "wav2vec2"))}
    check(experiment("speech", stream), tmp_path / "cache")
    check(
        experiment("speech", {**stream, **settings.get("streams", {})}, inputs=settings.get("inputs", {})),
        tmp_path / "cache",
    )


def test_files_of_another_format_are_no_stale_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = experiment("text", {"kind": "pretrained", "source": str(write_bert(tmp_path / "bert"))})
    kept(config, tmp_path / "cache")
    monkeypatch.setattr(features, "_FORMAT", features._FORMAT + 1)
    kept(config, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize(
    ("modality", "write"), [("speech", write_wav2vec2), ("text", write_bert)], ids=["speech", "text"]
)
def test_what_changes_no_feature_costs_no_second_work(
    modality: str, write: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(tmp_path / "first")
    kept(experiment(modality, {"kind": "pretrained", "source": str(first)}), tmp_path / "cache")
    monkeypatch.setattr(features, "_compute", lambda *_: pytest.fail("the features are computed again"))
    moved = shutil.copytree(first, tmp_path / "moved")
    stream = {"kind": "pretrained", "source": str(moved), "dropout": 0.3}
    kept(experiment(modality, stream, optimiser={"batch": 1}, seed=7), tmp_path / "cache")
