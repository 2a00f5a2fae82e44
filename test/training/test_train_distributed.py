"""Two processes train as one does."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes_iemocap import write_iemocap
from fakes_transformers import write_bert, write_wav2vec2
from safetensors.torch import load_file

from mser_ros.training.config.files import load_config
from mser_ros.training.fit.experiment import run_experiment
from mser_ros.training.runs.predictions import OutOfFold

ROOT = Path(__file__).parents[2]
ENCODERS = (("speech", "paper_b_audio"), ("text", "paper_b_text"))


#: What ours draws at random or has no data for here.
OURS = ("model.streams.mocap.kind=''", "model.fusion.modality_dropout=0.0", "augment.text.poor=0.0")
#: Runs 'mser train' with several lists of arguments, one after the other. Lightning starts the file again as the second
#: process.
SCRIPT = """
import json, sys
from mser_ros.cli.main import main
for arguments in json.loads(sys.argv[1]):
    assert main(["train", *arguments]) == 0
"""


def settings(root: Path, config: str, *overrides: str) -> list[str]:
    """How these tests train: for seconds, and without what makes rounding errors matter."""
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


def release(root: Path) -> Path:
    return root / "IEMOCAP_full_release"


def train(root: Path, run: str, *overrides: str, config: str = "paper_b_fusion") -> None:
    """Train in this process."""
    data = {"iemocap": str(release(root))}
    experiment = load_config(config, overrides=settings(root, config, *overrides), data=data)
    run_experiment(experiment, root / "runs" / run, log=lambda _text: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    write_iemocap(folder, mocap=False)
    write_wav2vec2(folder / "speech")
    write_bert(folder / "text")
    return folder


@pytest.fixture(scope="module")
def told(root: Path) -> str:
    """What two processes print that train all that the tests hold against one process."""
    warm = ["folds.only=2", "optimiser.epochs=1"]
    for _, config in ENCODERS:
        train(root, config, *warm, config=config)
    warm += [f"model.streams.{modality}.weights={root / 'runs' / config}" for modality, config in ENCODERS]
    wanted = {"two": ("paper_b_fusion", ()), "two_of_ours": ("ours", OURS), "warm": ("paper_b_fusion", warm)}
    given = ["--data", f"iemocap={release(root)}", "devices=2"]
    arguments = [
        [config, "--run", str(root / "runs" / run), *given, *settings(root, config, *own)]
        for run, (config, own) in wanted.items()
    ]
    (root / "train.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOCAL_", "MASTER_"))}
    done = subprocess.run(
        [sys.executable, str(root / "train.py"), json.dumps(arguments)],
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def column(run: Path, name: str) -> list[float]:
    with (run / "fold0" / "metrics.csv").open() as stream:
        return [float(row[name]) for row in csv.DictReader(stream) if row.get(name)]


@pytest.mark.parametrize(("run", "config", "own"), [("two", "paper_b_fusion", ()), ("two_of_ours", "ours", OURS)])
def test_two_processes_give_the_metrics_of_one(
    root: Path, told: str, run: str, config: str, own: tuple[str, ...]
) -> None:
    train(root, f"one_for_{run}", *own, config=config)
    two, one = (root / "runs" / name for name in (run, f"one_for_{run}"))
    for name in ("train_loss", "val_loss"):
        assert len(column(one, name)) == 2
        np.testing.assert_allclose(column(two, name), column(one, name), atol=1e-4, err_msg=name)
    rows = [OutOfFold.load(folder / "predictions.npz") for folder in (one, two)]
    assert rows[0].item_id.tolist() == rows[1].item_id.tolist()
    np.testing.assert_allclose(rows[1].logits, rows[0].logits, atol=1e-4)


def test_only_one_of_two_processes_speaks(told: str) -> None:
    assert told.count("fold 1/1") == 2
    assert told.count("fold 1/2") == told.count("fold 2/2") == 1


def test_accumulated_batches_step_as_one_large_batch_does(root: Path) -> None:
    train(root, "whole", "optimiser.class_weights=false", "optimiser.batch=48")
    train(root, "parts", "optimiser.class_weights=false", "optimiser.batch=12", "optimiser.accumulate=4")
    (first, second), parts = (column(root / "runs" / run, "val_loss") for run in ("whole", "parts"))
    np.testing.assert_allclose(parts, [first, second], atol=1e-5)
    assert abs(first - second) > 1e-4, "a step is more than what is allowed for rounding"


def test_two_processes_start_from_trained_encoders_in_every_fold(root: Path, told: str) -> None:
    for fold in ("fold0", "fold1"):
        ours = load_file(root / "runs" / "warm" / fold / "best.safetensors")
        for modality, config in ENCODERS:
            theirs = load_file(root / "runs" / config / fold / "best.safetensors")
            names = [name for name in theirs if name.startswith("encoder.")]
            assert names
            for name in names:
                assert (ours[name.replace("encoder.", f"encoders.{modality}.", 1)] == theirs[name]).all(), name
    assert len(OutOfFold.load(root / "runs" / "warm" / "predictions.npz")) > 0
