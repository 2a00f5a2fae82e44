"""Two processes train as one does."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes_iemocap import write_iemocap
from fakes_transformers import write_bert, write_wav2vec2

from mser_ros.training.config.files import load_config
from mser_ros.training.fit.experiment import run_experiment
from mser_ros.training.runs.predictions import OutOfFold

ROOT = Path(__file__).parents[2]


def settings(root: Path, config: str, overrides: tuple[str, ...]) -> list[str]:
    found = []
    for modality in ("speech", "text"):
        if config in ("paper_b_fusion", "ours", {"speech": "paper_b_audio", "text": "paper_b_text"}[modality]):
            found += [f"model.streams.{modality}.source={root / modality}", f"model.streams.{modality}.weights=''"]
    # A process of several draws its dropout for other rows: without it the two must agree. Plain gradient descent does
    # not blow a rounding error up, as Adam does where a gradient is 0.
    found += ["model.dropout=0.0", "optimiser.precision=fp32", "optimiser.epochs=2", "optimiser.choose=last"]
    found += ["optimiser.batch=15", "optimiser.kind=sgd"]
    found += ["optimiser.learning_rate=0.05", "optimiser.encoder_learning_rate=0.05"]
    return [*found, "folds.only=1", "folds.final=false", "threads=1", "inputs.max_s=0.5", *overrides]


def train_here(root: Path, run: str, *overrides: str, config: str = "paper_b_fusion") -> None:
    """Train in this process."""
    data = {"iemocap": str(root / "IEMOCAP_full_release")}
    experiment = load_config(config, overrides=settings(root, config, overrides), data=data)
    run_experiment(experiment, root / "runs" / run, log=lambda _text: None)


def train(root: Path, run: str, *overrides: str, config: str = "paper_b_fusion") -> str:
    """Train in two processes of their own; what they print."""
    command = [sys.executable, "-m", "mser_ros.cli.main", "train", config]
    command += ["--data", f"iemocap={root / 'IEMOCAP_full_release'}", "--run", str(root / "runs" / run)]
    command += [*settings(root, config, overrides), "devices=2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOCAL_", "MASTER_"))}
    done = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def column(run: Path, name: str) -> list[float]:
    with (run / "fold0" / "metrics.csv").open() as stream:
        return [float(row[name]) for row in csv.DictReader(stream) if row.get(name)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    write_iemocap(folder, mocap=False)
    write_wav2vec2(folder / "speech")
    write_bert(folder / "text")
    return folder


#: What ours draws at random or has no data for here.
OURS = (
    "model.streams.mocap.kind=''",
    "model.fusion.modality_dropout=0.0",
    "augment.text.poor=0.0",
)


@pytest.mark.parametrize(("config", "own"), [("paper_b_fusion", ()), ("ours", OURS)])
def test_two_processes_give_the_metrics_of_one(root: Path, config: str, own: tuple[str, ...]) -> None:
    train_here(root, f"{config}_one", *own, config=config)
    said = train(root, f"{config}_two", *own, config=config)
    assert said.count("fold 1/1") == 1  # only one of them speaks
    one, two = (root / "runs" / f"{config}_{name}" for name in ("one", "two"))
    for name in ("train_loss", "val_loss"):
        assert len(column(one, name)) == 2
        np.testing.assert_allclose(column(two, name), column(one, name), rtol=1e-3, err_msg=name)
    rows = [OutOfFold.load(run / "predictions.npz") for run in (one, two)]
    assert rows[0].item_id.tolist() == rows[1].item_id.tolist()
    np.testing.assert_allclose(rows[1].logits, rows[0].logits, atol=1e-3)


def test_accumulated_batches_step_as_one_large_batch_does(root: Path) -> None:
    train_here(root, "whole", "optimiser.class_weights=false", "optimiser.batch=48")
    train_here(root, "parts", "optimiser.class_weights=false", "optimiser.batch=12", "optimiser.accumulate=4")
    (first, second), parts = (column(root / "runs" / run, "val_loss") for run in ("whole", "parts"))
    np.testing.assert_allclose(parts, [first, second], atol=1e-5)
    assert abs(first - second) > 1e-4, "a step is more than what is allowed for rounding"


def test_two_processes_start_from_trained_encoders_in_every_fold(root: Path) -> None:
    few = ("folds.only=2", "optimiser.epochs=1")
    for modality, config in (("speech", "paper_b_audio"), ("text", "paper_b_text")):
        train_here(root, config, *few, config=config)
        few = (*few, f"model.streams.{modality}.weights={root / 'runs' / config}")
    said = train(root, "warm", *few)
    assert "fold 2/2" in said
    assert len(OutOfFold.load(root / "runs" / "warm" / "predictions.npz")) > 0
