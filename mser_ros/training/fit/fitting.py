"""Training one network: Lightning's trainer with safetensors checkpoints, early stopping and exact resume."""

from __future__ import annotations

import json
import logging
import platform
import signal
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from ...errors import SettingsError
from ...labels import LABELS
from ..config.settings import ExperimentConfig
from ..models.build import UnimodalModel
from ..models.fusion import FusionNetwork
from ..progress import ProgressBar
from ..runs.checkpoints import SafeCheckpoints, load_weights, save_weights
from ..runs.warm_start import BEST
from ..samples.batches import Batches
from ..samples.inputs import Sample
from .callbacks import BestWeights, EarlyStopping, EpochFigures, read_figures
from .interruption import Interruption
from .learning import Learner
from .predicting import predict_subsets, restore
from .stacking import fit_weights, mean_weights
from .throughput import Throughput

#: Figures of every epoch, and of the whole training once it is done.
METRICS, FITTED = "metrics.csv", "fitted.json"


@dataclass(frozen=True, eq=False)
class Fitted:
    """The best epoch (counted from 0), the validation score there, how long the training took, and what
    `Throughput.figures` says of it."""

    epoch: int
    score: float
    seconds: float
    throughput: Mapping[str, float] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        (folder / FITTED).write_text(json.dumps(values) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Fitted:
        return Fitted(**json.loads((folder / FITTED).read_text(encoding="utf-8")))


def computes_in_bf16() -> bool:
    """Whether the hardware multiplies bfloat16, rather than only storing it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    multiplies = platform.machine() not in ("x86_64", "AMD64") or torch.cpu._is_avx512_bf16_supported()
    return bool(multiplies and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def class_weights(samples: Sequence[Sample]) -> np.ndarray:
    """Inverse frequency of each class, with mean 1 over the samples; 1 for a class that does not occur. A sample counts
    by its weight."""
    each = np.array([sample.weight for sample in samples], np.float64)
    counts = np.bincount([sample.label for sample in samples], each, minlength=len(LABELS))
    there = counts > 0
    return np.where(there, each.sum() / (max(1, there.sum()) * np.where(there, counts, 1)), 1.0)


def fit(
    config: ExperimentConfig,
    *,
    train: Sequence[Sample],
    validation: Sequence[Sample] | None,
    folder: Path,
    title: str,
    epochs: int = 0,
    folds: Sequence[Path] = (),
) -> tuple[nn.Module, Fitted]:
    """Train one network in `folder`, going on from `last.safetensors` if it is there; one that is done is only read.

    With `validation` the best epoch counts, and what a fusion's heads count is fitted on it; without it the last of
    `epochs` counts, and the heads count as in the mean of `folds`, the weights of runs that had one.

    Raises `SettingsError` where training diverged; nothing counts as done then.
    """
    _quiet()
    torch.set_num_threads(config.threads)
    if (folder / FITTED).is_file():
        return restore(config, folder / BEST), Fitted.load(folder)
    lightning.seed_everything(config.seed, verbose=False)
    settings = config.optimiser
    weights = class_weights(train) if settings.class_weights else np.ones(len(LABELS))
    learner = Learner(config, weights, fold=folder.name)
    best = None if validation is None else BestWeights(folder / BEST, settings.choose, settings.metric)
    interruption, throughput = Interruption(), Throughput()
    callbacks = _callbacks(config, folder, title, interruption=interruption, throughput=throughput, best=best)
    trainer = _trainer(config, folder, callbacks, epochs or settings.epochs)
    resume = folder / "last.safetensors"
    if settings.probe and not resume.is_file():
        from .probe import fit_probe

        assert isinstance(learner.network, UnimodalModel)
        fit_probe(config, learner.network, train, weights)
    learner.train()  # what transformers loads is in evaluation mode, and Lightning leaves it there
    try:
        with interruption:
            trainer.fit(
                learner,
                datamodule=Batches(train, validation, config),
                ckpt_path=str(resume) if resume.is_file() else None,
                weights_only=False,  # read by SafeCheckpoints, which cannot run code
            )
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None  # Lightning would call that a success
    except SystemExit:  # its answer to Ctrl-C
        raise KeyboardInterrupt from None
    trainer.strategy.barrier()
    network = learner.network
    if best:
        load_weights(network, folder / BEST)
    check_numbers(network.parameters(), title)
    _weigh_heads(config, network, validation, folds)
    epoch = best.epoch if best else trainer.current_epoch - 1
    seconds = sum(float(row["seconds"]) for row in read_figures(folder / METRICS)) if epoch >= 0 else 0.0
    fitted = Fitted(epoch, best.best[0] if best else 0.0, seconds, throughput.figures())
    trainer.strategy.barrier()  # nobody reads a file any more that is written now
    if trainer.is_global_zero:
        save_weights(network, folder / BEST)
        fitted.save(folder)
        resume.unlink(missing_ok=True)
    return network, fitted


def check_numbers(values: Iterable[torch.Tensor], title: str) -> None:
    """Raise `SettingsError` where a network's weights or answers are no numbers."""
    if not all(bool(torch.isfinite(value).all()) for value in values):
        raise SettingsError(
            f"{title}: training diverged, its network gives no numbers any more: lower optimiser.learning_rate, and "
            "name another folder with --run"
        )


def _callbacks(
    config: ExperimentConfig,
    folder: Path,
    title: str,
    *,
    interruption: Interruption,
    throughput: Throughput,
    best: BestWeights | None,
) -> list[Callback]:
    """In the order in which they are called. `best`: None where there is nothing to validate on."""
    settings = config.optimiser
    last = ModelCheckpoint(folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    last.FILE_EXTENSION = ".safetensors"
    callbacks: list[Callback] = [interruption, ProgressBar(title), EpochFigures(folder / METRICS), last, throughput]
    if best:
        callbacks.append(best)
        if settings.patience:
            callbacks.append(EarlyStopping(f"val_{settings.metric}", mode="max", patience=settings.patience))
    return callbacks


def _trainer(config: ExperimentConfig, folder: Path, callbacks: list[Callback], epochs: int) -> lightning.Trainer:
    settings = config.optimiser
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and computes_in_bf16())
    return lightning.Trainer(
        accelerator="auto",
        devices=config.devices,
        strategy="auto" if config.devices == 1 else DDPStrategy(find_unused_parameters=True),
        precision="bf16-mixed" if bf16 else "32-true",
        max_epochs=epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip or None,
        callbacks=callbacks,
        plugins=[SafeCheckpoints()],
        logger=TensorBoardLogger(folder, name="", version=""),
        sync_batchnorm=config.devices > 1 and torch.cuda.is_available(),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
    )


def _weigh_heads(
    config: ExperimentConfig, network: nn.Module, validation: Sequence[Sample] | None, folds: Sequence[Path]
) -> None:
    """Set what each of a fusion's heads counts, if it has such."""
    if not (isinstance(network, FusionNetwork) and network.heads):
        return
    if validation is not None:
        truth = np.array([sample.label for sample in validation])
        fit_weights(network, truth, lambda subsets: predict_subsets(config, network, validation, subsets).logits)
    elif folds:
        mean_weights(network, folds)


def leads() -> bool:
    """Of several processes one writes and speaks; the others are there to train."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


def _quiet() -> None:
    """Lightning's notes on workers, versions and devices are no news to a user."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
