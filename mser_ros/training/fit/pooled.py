"""The mean and the deviation of what an encoder gives, for classifiers and judges that are fitted at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..config.settings import ExperimentConfig
from ..models.encoding import encode
from ..progress import track
from ..samples.augment import augment
from ..samples.batches import sample_length
from ..samples.features import content_key, encoder_key
from ..samples.inputs import Collator, Sample

#: By encoder, pooling and content: the folds of a run have most of their samples in common, and frozen encoders too.
_known: dict[tuple[str, str, str], np.ndarray] = {}


def pool(
    config: ExperimentConfig,
    encoder: nn.Module,
    pooling: Callable[[Tensor, Tensor], Tensor],
    samples: Sequence[Sample],
) -> np.ndarray:
    """The pooled frames of every sample of the experiment's only modality, (N, D); nothing is computed twice."""
    (modality,), collate = config.modalities, Collator(config)
    place = encoder_key(encoder), repr(pooling)
    plain = [dataclasses.replace(sample, frames={}) for sample in samples]
    keys = [(*place, content_key(collate.stack(modality, [sample]))) for sample in plain]
    missing = {key: sample for key, sample in zip(keys, plain, strict=True) if key not in _known}
    pending = sorted(missing.items(), key=lambda pair: sample_length(pair[1]))
    size = config.optimiser.batch
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder.eval().to(device)
    for at in track(range(0, len(pending), size), f"features of {modality}"):
        batch = pending[at : at + size]
        inputs = collate.stack(modality, [sample for _, sample in batch])
        with torch.inference_mode():
            frames, mask = encode(encoder, {name: value.to(device) for name, value in inputs.items()})
            rows = pooling(frames, mask).float().cpu().numpy()
        _known.update({key: row for (key, _), row in zip(batch, rows, strict=True)})
    encoder.cpu()
    return np.stack([_known[key] for key in keys])


def changed(config: ExperimentConfig, sample: Sample, *copy: int) -> Sample:
    """A copy of a sample as training changes it, the same in every fold; `copy` tells several from each other."""
    key = content_key(Collator(config).stack(config.modalities[0], [dataclasses.replace(sample, frames={})]))
    rng = np.random.default_rng((config.seed, *copy, int(key, 16)))
    return augment(sample, config.augment, rng, rate_hz=config.inputs.rate_hz)
