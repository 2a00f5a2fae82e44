"""The judge of what is like the people that a model learned from: constructed rows, real outliers, exported graph."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mocap_poses import ROWS, pose_of
from test_train import small, write_voices

from mser_ros.mocap.layouts import JOINTS
from mser_ros.recognition.graph import Graph
from mser_ros.recognition.posteriors import softmax
from mser_ros.training.config.files import build_config
from mser_ros.training.export.figures import _judges
from mser_ros.training.export.graphs import write_graph
from mser_ros.training.export.quantise import quantise
from mser_ros.training.fit import domain
from mser_ros.training.fit.domain import Described, make_judge, odds, summarise_judges
from mser_ros.training.fit.experiment import run_experiment
from mser_ros.training.models.build import build_model
from mser_ros.training.models.pooling import Encoded
from mser_ros.training.samples.inputs import Sample
from mser_ros.training.samples.outliers.bodies import BODIES, make_body
from mser_ros.training.samples.outliers.draw import REASONS, draw_outliers
from mser_ros.training.samples.outliers.sounds import SOUNDS, make_sound
from mser_ros.types import AbstainReason

WIDTH = 6


def rows(rng: np.random.Generator, count: int, centre: float, spread: float = 1.0) -> np.ndarray:
    return rng.normal(centre, spread, (count, 2 * WIDTH)).astype(np.float32)


def described(groups: dict[str, tuple[np.ndarray, int]]) -> Described:
    return Described(
        np.concatenate([part for part, _ in groups.values()]),
        np.concatenate([[name] * len(part) for name, (part, _) in groups.items()]),
        np.concatenate([[kind] * len(part) for part, kind in groups.values()]),
    )


@pytest.fixture
def people(rng: np.random.Generator) -> Described:
    return described({f"person{number}": (rows(rng, 40, 0.0), 0) for number in range(10)})


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_people_whom_it_has_not_met_are_in_and_each_kind_of_outlier_is_out_for_its_reason(people, rng) -> None:
    others = described({"beep": (rows(rng, 60, 6.0), 1), "crowd": (rows(rng, 60, -6.0), 2)})
    judge = make_judge(people, others, by_distance=False)
    assert (odds(judge, rows(rng, 200, 0.0)) > 0).mean() > 0.98
    for centre, reason in ((6.0, 1), (-6.0, 2)):
        logits = judge.judge(torch.from_numpy(rows(rng, 50, centre))).numpy()
        assert (logits.argmax(1) == reason).mean() > 0.98


def test_a_kind_that_nobody_showed_it_is_out_where_it_judges_by_distance_and_only_there(people, rng) -> None:
    others = described({"beep": (rows(rng, 60, 6.0), 1)})
    opposite = rows(rng, 100, -6.0)
    assert (odds(make_judge(people, others, by_distance=False), opposite) > 0).all()
    assert (odds(make_judge(people, others, by_distance=True), opposite) < 0).all()


def test_by_distance_people_whom_it_has_not_met_stay_in(people, rng) -> None:
    judge = make_judge(people, described({"beep": (rows(rng, 60, 6.0), 1)}), by_distance=True)
    assert (odds(judge, rows(rng, 300, 0.0)) > 0).mean() > 0.95


def test_a_feature_that_never_changes_among_people_does_no_harm(people, rng) -> None:
    people.rows[:, 0] = 0.5
    judge = make_judge(people, described({"beep": (rows(rng, 60, 6.0), 1)}), by_distance=True)
    assert np.isfinite(odds(judge, people.rows)).all()


def test_the_judge_is_the_same_each_time(people, rng) -> None:
    others = described({"beep": (rows(rng, 60, 6.0), 1)})
    one, other = (odds(make_judge(people, others, by_distance=True), people.rows) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_padding_does_not_enter(people, rng) -> None:
    judge = make_judge(people, described({"beep": (rows(rng, 60, 6.0), 1)}), by_distance=True)
    frames = torch.randn(1, 9, WIDTH)
    mask = torch.ones(1, 9, dtype=torch.bool)
    padded = Encoded(torch.cat([frames, torch.full((1, 4, WIDTH), 99.0)], 1), torch.nn.functional.pad(mask, (0, 4)))
    torch.testing.assert_close(judge(padded), judge(Encoded(frames, mask)))


def test_the_graph_judges_as_the_network_does_in_int8_too(tmp_path: Path) -> None:
    config = small(write_voices(tmp_path / "voices", people=2, clips=1))
    network = build_model(config).eval()
    width = network.encoder.width
    rng = np.random.default_rng(0)
    people, others = (rng.normal(centre, 1, (60, 2 * width)).astype(np.float32) for centre in (0, 1))
    judge = make_judge(
        Described(people, np.array(["a", "b", "c"] * 20), np.zeros(60, int)),
        Described(others, np.array(["x", "y", "z"] * 20), np.array([1, 2, 3] * 20)),
        by_distance=True,
    )
    write_graph(network, "speech", config, tmp_path / "fp32.onnx", judge=judge)
    quantise(tmp_path / "fp32.onnx", tmp_path / "int8.onnx")
    waveform = (0.1 * rng.standard_normal((1, 20000))).astype(np.float32)
    with torch.inference_mode():
        output = network({"speech": {"waveform": torch.from_numpy(waveform)}})
        truth = judge(output.encoded).numpy()
    for name in ("fp32", "int8"):
        found = Graph(tmp_path / f"{name}.onnx")(waveform=waveform)
        np.testing.assert_allclose(softmax(found["domain"]), softmax(truth), atol=1e-3)


@pytest.mark.parametrize("kind", SOUNDS)
def test_a_sound_is_as_long_as_it_should_be_and_within_range(kind: str, rng: np.random.Generator) -> None:
    for _ in range(5):
        seconds = float(rng.uniform(0.3, 3))
        wave = make_sound(kind, seconds, rng)
        assert (wave.dtype, len(wave)) == (np.int16, round(seconds * 16000))
        assert 20 < np.sqrt(np.mean(wave.astype(float) ** 2)) < 16000


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_has_every_joint_and_a_size_of_its_own_making(kind: str, rng: np.random.Generator) -> None:
    walk = rng.normal(scale=0.3, size=(30, len(JOINTS), 3)).astype(np.float32)
    body = make_body(kind, walk, 15.0, rng)
    assert (body.dtype, body.shape) == (np.float32, walk.shape)
    assert np.isfinite(body).all()
    assert not np.array_equal(body, walk)


def test_outliers_are_drawn_of_every_kind_for_reasons_that_the_judge_knows() -> None:
    voices = [Sample(0, speech=np.full(9000 + 500 * n, 100 * n + 50, np.int16)) for n in range(4)]
    drawn = draw_outliers("speech", voices, 2, rate_hz=15.0, seed=3)
    again = draw_outliers("speech", voices, 2, rate_hz=15.0, seed=3)
    assert {item.kind for item in drawn} == {*SOUNDS, "silence", "synthetic voice", "overlapping voices"}
    assert {item.reason for item in drawn} == set(REASONS["speech"])
    assert next(item.reason for item in drawn if item.kind == "motor") == AbstainReason.NOT_SPEECH
    for one, other in zip(drawn, again, strict=True):
        np.testing.assert_array_equal(one.sample.speech, other.sample.speech)


def test_bodies_are_made_of_those_of_which_everything_is_seen() -> None:
    shape = (20, len(JOINTS))
    whole = Sample(
        0, positions=np.random.default_rng(0).normal(size=(*shape, 3)).astype(np.float32), seen=np.ones(shape, bool)
    )
    half = Sample(0, positions=np.zeros((*shape, 3), np.float32), seen=np.zeros(shape, bool))
    drawn = draw_outliers("mocap", [half, whole], 2, rate_hz=15.0, seed=0)
    assert {item.kind for item in drawn} == set(BODIES)
    assert all(item.sample.seen is not None and item.sample.seen.all() for item in drawn)
    assert {item.reason for item in drawn} == set(REASONS["mocap"])


def test_people_count_for_their_own_corpus_whatever_it_is_called(tmp_path: Path) -> None:
    people = {"home-a-1": 0.5, "home-2": 0.3, "home-robot-1": 0.1, "voices-x-wav": 0.2}
    found = {"people_out": people, "kinds": {}, "desk_out": {"home-robot-1": 0.4}}
    (tmp_path / "domain.json").write_text(json.dumps(found), encoding="utf-8")
    summary = summarise_judges([tmp_path], ["home", "home-robot", "voices"])
    assert summary["people_out"] == {"home": 0.4, "home-robot": 0.1, "voices": 0.2}
    assert summary["desk_out"] == {"home-robot": 0.4}


def test_bodies_are_judged_whole_and_as_they_are_seen_behind_a_desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Walkers who swing their arms are told from who sits, also where nothing is seen below the chest."""
    monkeypatch.setattr(domain, "_OF_A_KIND", 8)
    tree = {
        "name": "bodies",
        "threads": 1,
        "in_domain": True,
        "corpora": [{"name": "egait", "path": str(write_walkers(tmp_path / "egait"))}],
        "folds": {"count": 3, "only": 1, "final": False},
        "model": {"streams": {"mocap": {"kind": "motion", "width": 8, "depth": 1}}, "hidden": 0},
        "augment": {"mocap": {"noise": 0.01, "mirror": True, "upper_body": 0.2}},
        "optimiser": {"epochs": 1, "precision": "fp32"},
    }
    summary = run_experiment(build_config(tree, where="test"), tmp_path / "run", log=lambda _text: None)
    found = summary["in_domain"]
    assert found["kinds"].keys() == {*BODIES, *(f"{kind}, above the hips" for kind in BODIES)}
    assert found["people_out"].keys() == found["desk_out"].keys() == {"egait"}
    assert found["desk_out"]["egait"] < 0.2
    assert found["kinds"]["sitting, above the hips"]["auroc"] > 0.9
    assert found["kinds"]["gesturing, above the hips"]["out"] > 0.9
    assert "Of the same people, seen above the hips alone: " in "\n".join(_judges({"mocap": {"judge": found}}))


def write_walkers(folder: Path, walkers: int = 9) -> Path:
    """E-Gait of people who walk: legs and arms swing in turn, each person's as far and as fast as is theirs."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    pose = pose_of("egait16")
    rows = ROWS["egait16"].split()
    joints = []
    for _ in range(walkers):
        reach, rate_hz = rng.uniform(0.15, 0.25), rng.uniform(0.8, 1.1)
        for _ in range(4):
            phase = 2 * np.pi * rate_hz * np.arange(75) / 30 + rng.uniform(0, 6)
            walk = np.repeat(pose[None], 75, 0)
            for joint, name in enumerate(rows):
                side = 1 if name.startswith("left") else -1
                share = {"wrist": -1.0, "elbow": -0.5, "ankle": 1.5, "knee": 0.8}.get(name.split("_")[-1], 0.0)
                walk[:, joint, 2] -= reach * side * share * np.sin(phase)
                walk[:, joint, 1] += 0.02 * np.abs(np.sin(phase)) * (joint > 0)
            walk[:, 1] = walk[:, [0, 2]].mean(1)
            joints.append(walk - walk[:, :1] + rng.normal(scale=0.003, size=walk.shape))
    np.savez(
        folder / "egait_intended.npz",
        joints=np.array(joints, np.float32),
        intended=np.tile(np.arange(4), walkers),
        walker=np.repeat([f"{walker:03d}" for walker in range(walkers)], 4),
        classes=np.array(["happy", "angry", "sad", "neutral"]),
    )
    return folder
