"""What the speech front end gives of every voice and of changed copies of it: computed once for all epochs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from ..config.settings import ExperimentConfig
from ..models.front_end import FrontEnd
from ..progress import track
from .augment import change_speech
from .inputs import Sample


def with_variants(config: ExperimentConfig, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples with `spectra` in the place of their waveforms, where the experiment asks for variants."""
    settings = config.model.streams.speech
    if settings.kind != "log_mel" or not settings.variants:
        return tuple(samples)
    front_end = FrontEnd(settings.mels).eval()
    out = []
    with _one_thread():
        for index, sample in enumerate(track(samples, "hearing")):
            if sample.speech is None:
                out.append(sample)
                continue
            voices = [sample.speech]
            for variant in range(1, settings.variants + 1):
                rng = np.random.default_rng((config.seed, index, variant))
                voices.append(change_speech(sample.speech, config.augment.speech, rng))
            out.append(dataclasses.replace(sample, spectra=tuple(_spectrum(front_end, voice) for voice in voices)))
    return tuple(out)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One utterance is too little work to share; what the process computes afterwards is not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _spectrum(front_end: FrontEnd, voice: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        frames, mask = front_end(torch.from_numpy(voice.astype(np.float32) / 32768)[None])
    return frames[0][mask[0]].numpy().astype(np.float16)
