"""Features of frozen encoders, computed once and kept on disk, so that an epoch costs the head alone.

One file for each utterance, float16 (T, D), named after what the encoder is fed with, in a folder named after the
encoder: its weights, settings and constants. Neither another checkpoint or tokenizer nor a changed recording can ever
be taken for the one at hand.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from ..config.settings import ExperimentConfig
from ..models.build import build_encoder
from ..models.encoding import encode, fingerprint
from ..progress import track
from .batches import sample_length
from .inputs import Collator, Sample

#: Counts up when the files hold something else, or when the code makes other features of the same inputs.
_FORMAT = 2
_LARGEST = float(np.finfo(np.float16).max)


def kept_modalities(config: ExperimentConfig) -> tuple[str, ...]:
    """The modalities whose features never change in training: frozen encoder, no learned mixture of its layers, no
    augmentation."""
    out = []
    for name in config.modalities:
        encoder, changes = getattr(config.model.streams, name), getattr(config.augment, name)
        mixes = encoder.layers != "last" or (encoder.kind == "whisper" and not encoder.joined)
        if encoder.train == "none" and not mixes and changes == type(changes)():
            out.append(name)
    return tuple(out)


def with_features(config: ExperimentConfig, samples: Sequence[Sample], *, fold: str, cache: Path) -> tuple[Sample, ...]:
    """The samples, with files of features in the place of every frozen encoder's work; missing ones are computed."""
    kept = kept_modalities(config)
    if not kept:
        return tuple(samples)
    collate = Collator(config)
    for modality in kept:
        encoder = build_encoder(modality, config, fold=fold).eval()
        folder = cache / f"{modality}-{encoder_key(encoder)}"
        folder.mkdir(parents=True, exist_ok=True)
        files = [
            folder / f"{content_key(_feed(collate, modality, [sample]))}.npy" if sample.has(modality) else None
            for sample in samples
        ]
        missing = {file: sample for file, sample in zip(files, samples, strict=True) if file and not file.is_file()}
        if missing:
            _compute(encoder, modality, config.optimiser.batch, collate, missing)
        samples = [
            sample if file is None else dataclasses.replace(sample, frames={**sample.frames, modality: file})
            for sample, file in zip(samples, files, strict=True)
        ]
    return tuple(samples)


def encoder_key(encoder: nn.Module) -> str:
    """A hash of what the encoder is, and of how its features are kept."""
    return hashlib.sha256(f"{_FORMAT} {fingerprint(encoder)}".encode()).hexdigest()[:16]


def content_key(inputs: Mapping[str, Tensor]) -> str:
    """A hash of what the encoder is fed with for one utterance: after the tokenizer, scaling and cutting."""
    digest = hashlib.sha256()
    for name, value in sorted(inputs.items()):
        array = value.numpy()
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:32]


def _feed(collate: Collator, modality: str, samples: Sequence[Sample]) -> dict[str, Tensor]:
    return collate.stack(modality, [dataclasses.replace(sample, frames={}) for sample in samples])


def _compute(encoder: nn.Module, modality: str, size: int, collate: Collator, missing: dict[Path, Sample]) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = encoder.to(device)
    pending = sorted(missing.items(), key=lambda pair: sample_length(pair[1]))
    batches = [pending[at : at + size] for at in range(0, len(pending), size)]
    for batch in track(batches, f"features of {modality}"):
        inputs = _feed(collate, modality, [sample for _, sample in batch])
        with torch.inference_mode():
            frames, mask = encode(encoder, move_data_to_device(inputs, device))
        for (file, _), row, real in zip(batch, frames.cpu().numpy(), mask.cpu().numpy(), strict=True):
            part = file.with_suffix(f".{os.getpid()}.part")  # of several processes each may compute it
            with part.open("wb") as stream:
                np.save(stream, np.clip(row[real], -_LARGEST, _LARGEST).astype(np.float16))
            os.replace(part, file)
