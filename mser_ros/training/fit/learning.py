"""What Lightning needs to train a network: loss, metrics, optimiser, schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from ..config.settings import ExperimentConfig, OptimiserConfig
from ..models.build import build_model
from ..models.pretrained import PretrainedEncoder
from ..models.whisper import WhisperEncoder
from ..samples.inputs import Batch


class Learner(lightning.LightningModule):
    """A network with its loss and its optimiser. `class_weights`: (C,)."""

    def __init__(self, config: ExperimentConfig, class_weights: np.ndarray, *, fold: str = "") -> None:
        super().__init__()
        self.config = config
        self.network = build_model(config, fold=fold)
        self.class_weights: Tensor
        self.register_buffer("class_weights", torch.from_numpy(class_weights).float(), persistent=False)
        self._outputs: list[tuple[Tensor, Tensor]] = []

    def on_train_batch_start(self, _batch: Batch, index: int) -> None:
        if index == 0:  # dropout then depends on seed and epoch alone, and a resumed run repeats it
            torch.manual_seed(self.config.seed * 1_000_003 + self.current_epoch)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        output = self.network(batch.inputs, batch.present, batch.confidence)
        loss = self.loss(output.logits, batch.labels)
        settings = self.config.model.fusion
        if output.unimodal:
            loss = loss + settings.auxiliary * self.head_loss(output.unimodal, batch)
        if output.affect is not None:
            loss = loss + settings.affect * affect_loss(output.affect, batch.affect, self._divisor)
        size = len(batch)
        if self.trainer.world_size > 1:  # the parts of a batch may differ in size, their losses share one divisor
            size = int(torch.as_tensor(self.all_gather(torch.tensor(size))).sum())
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def loss(self, logits: Tensor, labels: Tensor, there: Tensor | None = None) -> Tensor:
        """Weighted cross entropy, over the rows that are `there`. logits (B, C), labels (B,), there (B,) bool -> ()."""
        losses = nn.functional.cross_entropy(
            logits.float(),
            labels,
            self.class_weights,
            label_smoothing=self.config.optimiser.label_smoothing,
            reduction="none",
        )
        weights = self.class_weights[labels]
        if there is not None:
            losses, weights = torch.where(there, losses, torch.zeros_like(losses)), weights * there
        return losses.sum() / self._divisor(weights.sum()).clamp(min=1e-6)

    def _divisor(self, total: Tensor) -> Tensor:
        """Each process has other classes and gaps: only with a common divisor is the mean over processes that of the
        whole batch."""
        if self.training and self.trainer.world_size > 1:
            return torch.as_tensor(self.all_gather(total)).mean()
        return total

    def head_loss(self, logits: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """The sum over modalities of the cross entropy of each one's head, where that modality is present."""
        losses = [
            self.loss(rows, batch.labels, batch.present[:, index] > 0) for index, rows in enumerate(logits.values())
        ]
        return torch.stack(losses).sum()

    def validation_step(self, batch: Batch, _index: int) -> None:
        output = self.network(batch.inputs, batch.present, batch.confidence)
        self._outputs.append((output.logits.float(), batch.labels))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([part for part, _ in self._outputs])
        labels = torch.cat([part for _, part in self._outputs])
        self._outputs.clear()
        hit = (logits.argmax(1) == labels).float()
        recalls = [hit[labels == label].mean() for label in labels.unique()]
        self.log_dict(
            {
                "val_loss": self.loss(logits, labels),
                "val_wa": hit.mean(),
                "val_ua": torch.stack(recalls).mean(),
            }
        )

    def configure_optimizers(self) -> Any:
        settings = self.config.optimiser
        optimiser = make_optimiser(self.network, settings)
        # Of the whole schedule, whenever training stops.
        batches = len(self.trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        steps = max(1, math.ceil(batches / settings.accumulate) * settings.epochs)

        def rate(step: int) -> float:
            warmup = settings.warmup * steps
            if step < warmup:
                return (step + 1) / (warmup + 1)
            if settings.schedule == "constant":
                return 1.0
            return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1.0, steps - warmup))))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def affect_loss(estimate: Tensor, truth: Tensor, divisor: Callable[[Tensor], Tensor] = lambda total: total) -> Tensor:
    """Mean squared error of valence and arousal (B, 2), over what is known (not NaN). `divisor`: makes the number of
    known values that of all processes."""
    known = ~truth.isnan()
    difference = torch.where(known, estimate.float() - truth.nan_to_num(), torch.zeros_like(truth))
    return difference.square().sum() / divisor(known.sum().float()).clamp(min=1e-6)


def make_optimiser(network: nn.Module, settings: OptimiserConfig) -> torch.optim.Optimizer:
    """A group for pre-trained encoders (one for each layer, if their rates differ) and one for the rest; norms and
    biases do not decay."""
    encoder_rate = settings.encoder_learning_rate or settings.learning_rate
    rates: dict[int, float] = {}
    for module in network.modules():
        if isinstance(module, PretrainedEncoder):
            rates.update({id(parameter): encoder_rate for parameter in module.model.parameters()})
        elif isinstance(module, WhisperEncoder):
            for depth, part in enumerate(module.from_the_top()):
                rate = encoder_rate * settings.layer_decay**depth
                rates.update({id(parameter): rate for parameter in part.parameters()})
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            rate = rates.get(id(parameter), settings.learning_rate)
            groups.setdefault((rate, parameter.ndim > 1), []).append(parameter)
    arguments = [
        {"params": parameters, "lr": rate, "weight_decay": settings.weight_decay if decays else 0.0}
        for (rate, decays), parameters in groups.items()
    ]
    if settings.kind == "sgd":
        return torch.optim.SGD(arguments, lr=settings.learning_rate, momentum=settings.momentum)
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(arguments, lr=settings.learning_rate)
