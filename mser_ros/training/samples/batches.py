"""Which samples make a batch, in which order: a pure function of seed and epoch, so that a resumed run repeats it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import lightning
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from ..config.settings import ExperimentConfig
from .augment import augment
from .inputs import Collator, Sample

#: (epoch, index, crop): which sample, in which epoch, and how long a part of it, from 0 (shortest) to 1.
Place = tuple[int, int, float]


class SampleSet(Dataset):
    """Samples by place; in training each is augmented anew, from seed and place alone."""

    def __init__(self, samples: Sequence[Sample], config: ExperimentConfig, *, training: bool) -> None:
        self.samples = samples
        self.config = config
        self.training = training

    def __getitem__(self, place: Place) -> tuple[int, Sample]:
        epoch, index, crop = place
        sample = self.samples[index]
        if self.training:
            rng = np.random.default_rng((self.config.seed, epoch, index))
            changed = dataclasses.replace(sample, speech=None) if sample.spectra else sample
            if sample.spectra:
                chosen = sample.spectra[int(rng.integers(len(sample.spectra)))]
                changed = dataclasses.replace(changed, spectra=(chosen,))
            changed = augment(changed, self.config.augment, rng, rate_hz=self.config.inputs.rate_hz, crop=crop)
            return index, dataclasses.replace(changed, speech=sample.speech) if sample.spectra else changed
        return index, sample

    def __len__(self) -> int:
        return len(self.samples)


class LengthBuckets(Sampler):
    """Batches of similar length, and in each parts of one length, so that little is padded; in an order of `epoch`'s
    own.

    `rank`, `world`: each of several processes takes every `world`-th sample of each batch.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        batch: int,
        seed: int,
        shuffle: bool,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch = batch
        self.seed = seed
        self.shuffle = shuffle
        self.rank, self.world = rank, world
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[Place]]:
        chunks = self._chunks()
        crops = np.random.default_rng((self.seed, self.epoch, 1)).random(len(chunks))
        for chunk, crop in zip(chunks, crops.tolist(), strict=True):
            yield [(self.epoch, int(index), crop) for index in chunk[self.rank :: self.world]]

    def _chunks(self) -> list[np.ndarray]:
        if not self.shuffle:
            order = np.argsort(self.lengths, kind="stable")
            return [order[at : at + self.batch] for at in range(0, len(order), self.batch)]
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self.lengths))
        # Sorting within pools of twenty batches keeps the batches random enough.
        pool = 20 * self.batch
        chunks: list[np.ndarray] = []
        for at in range(0, len(order), pool):
            part = order[at : at + pool]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            chunks += [part[start : start + self.batch] for start in range(0, len(part), self.batch)]
        if len(chunks) > 1 and len(chunks[-1]) < max(2, self.world):  # batch normalisation needs two
            chunks[-2] = np.concatenate(chunks[-2:])
            chunks.pop()
        return [chunks[index] for index in rng.permutation(len(chunks))]

    def __len__(self) -> int:
        return len(self._chunks())


def sample_length(sample: Sample) -> int:
    """What decides how long a batch takes: samples, characters or frames."""
    if sample.speech is not None:
        return len(sample.speech)
    if sample.text is not None:
        return len(sample.text)
    return 0 if sample.positions is None else len(sample.positions)


class Batches(lightning.LightningDataModule):
    """Training and validation batches; each epoch has a loader of its own, a resumed one as well."""

    def __init__(self, train: Sequence[Sample], validation: Sequence[Sample] | None, config: ExperimentConfig) -> None:
        super().__init__()
        self.train_samples = train
        self.validation_samples = validation
        self.config = config
        self.collate = Collator(config)

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        assert trainer is not None
        share = {"rank": trainer.global_rank, "world": trainer.world_size}
        epoch = trainer.current_epoch
        return loader(self.train_samples, self.config, self.collate, training=True, epoch=epoch, **share)

    def val_dataloader(self) -> list[DataLoader] | DataLoader:
        if self.validation_samples is None:
            return []
        return loader(self.validation_samples, self.config, self.collate, training=False)


def loader(
    samples: Sequence[Sample],
    config: ExperimentConfig,
    collate: Collator | None = None,
    *,
    training: bool,
    epoch: int = 0,
    rank: int = 0,
    world: int = 1,
) -> DataLoader:
    """Batches of `samples`; in evaluation in a fixed order, shortest first."""
    buckets = LengthBuckets(
        [sample_length(sample) for sample in samples],
        batch=config.optimiser.batch,
        seed=config.seed,
        shuffle=training,
        epoch=epoch,
        rank=rank,
        world=world,
    )
    dataset = SampleSet(samples, config, training=training)
    return DataLoader(dataset, batch_sampler=buckets, collate_fn=collate or Collator(config))
