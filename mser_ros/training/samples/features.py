"""Features of frozen encoders, computed once and kept on disk, so that an epoch costs the head alone.

One file for each utterance, float16 (T, D), named after its content, in a folder named after the encoder's weights:
neither another checkpoint nor a changed recording can ever be taken for the one at hand.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import nn

from ..config.settings import ExperimentConfig
from ..models.build import build_encoder
from ..models.encoding import encode
from ..progress import track
from .batches import sample_length
from .inputs import Collator, Sample

_LARGEST = float(np.finfo(np.float16).max)


def kept_modalities(config: ExperimentConfig) -> tuple[str, ...]:
    """The modalities whose features never change in training: frozen encoder, last layer, no augmentation."""
    out = []
    for name in config.modalities:
        encoder, changes = getattr(config.model.streams, name), getattr(config.augment, name)
        if encoder.train == "none" and encoder.layers == "last" and changes == type(changes)():
            out.append(name)
    return tuple(out)


def with_features(config: ExperimentConfig, samples: Sequence[Sample], *, fold: str, cache: Path) -> tuple[Sample, ...]:
    """The samples, with files of features in the place of every frozen encoder's work; missing ones are computed."""
    for modality in kept_modalities(config):
        encoder = build_encoder(modality, config, fold=fold).eval()
        folder = cache / f"{modality}-{encoder_key(encoder, modality, config)}"
        folder.mkdir(parents=True, exist_ok=True)
        files = [
            folder / f"{content_key(sample, modality)}.npy" if sample.has(modality) else None for sample in samples
        ]
        missing = {file: sample for file, sample in zip(files, samples, strict=True) if file and not file.is_file()}
        if missing:
            _compute(encoder, modality, config, missing)
        samples = [
            sample if file is None else dataclasses.replace(sample, frames={**sample.frames, modality: file})
            for sample, file in zip(samples, files, strict=True)
        ]
    return tuple(samples)


def encoder_key(encoder: nn.Module, modality: str, config: ExperimentConfig) -> str:
    """A hash of the encoder's weights and of how it is fed."""
    digest = hashlib.sha256()
    inputs = config.inputs
    settings = getattr(config.model.streams, modality)
    fed = (settings.kind, settings.average, inputs.fixed_s, inputs.normalise, inputs.max_tokens, inputs.rate_hz)
    digest.update(repr(fed).encode())
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def content_key(sample: Sample, modality: str) -> str:
    """A hash of what the encoder of this modality reads."""
    digest = hashlib.sha256()
    if modality == "text":
        digest.update((sample.text or "").encode())
    for array in {"speech": (sample.speech,), "mocap": (sample.positions, sample.seen)}.get(modality, ()):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _compute(encoder: nn.Module, modality: str, config: ExperimentConfig, missing: dict[Path, Sample]) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder, collate = encoder.to(device), Collator(config)
    pending = sorted(missing.items(), key=lambda pair: sample_length(pair[1]))
    size = config.optimiser.batch
    batches = [pending[at : at + size] for at in range(0, len(pending), size)]
    for batch in track(batches, f"features of {modality}"):
        inputs = collate([(0, dataclasses.replace(sample, frames={})) for _, sample in batch]).inputs[modality]
        with torch.inference_mode():
            frames, mask = encode(encoder, move_data_to_device(inputs, device))
        for (file, _), row, real in zip(batch, frames.cpu().numpy(), mask.cpu().numpy(), strict=True):
            part = file.with_suffix(f".{os.getpid()}.part")  # of several processes each may compute it
            with part.open("wb") as stream:
                np.save(stream, np.clip(row[real], -_LARGEST, _LARGEST).astype(np.float16))
            os.replace(part, file)
