"""Outliers as samples, by modality: of each kind as many, and why each is none of the people that were learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....types import SAMPLE_RATE, AbstainReason
from ..inputs import Sample
from .bodies import BODIES, make_body
from .sounds import SOUNDS, at_level, make_sound
from .synthetic_voice import synthetic_voices

#: Modalities of which there are outliers, and why they are none of the people, in the order of the judge's classes.
REASONS = {
    "speech": (AbstainReason.OUT_OF_DISTRIBUTION, AbstainReason.NOT_SPEECH, AbstainReason.OVERLAP),
    "mocap": (AbstainReason.OUT_OF_DISTRIBUTION,),
}
_SHORTEST_S, _LONGEST_S = 0.8, 4.0
#: Voices at once, and how far the quieter ones are below the loudest [dB].
_VOICES, _BELOW_DB = (2, 6), 6.0


@dataclass(frozen=True, slots=True, eq=False)
class Outlier:
    """`kind`: what it is made as. `reason`: why it is none of the people."""

    kind: str
    reason: AbstainReason
    sample: Sample


def draw_outliers(modality: str, people: Sequence[Sample], count: int, *, rate_hz: float, seed: int) -> list[Outlier]:
    """`count` of each kind, more of synthetic voices; overlapping voices and bodies are made of `people`.

    Raises `DependencyError` where there is no synthesiser for voices.
    """
    rng = np.random.default_rng(seed)
    if modality == "mocap":
        return list(_bodies(people, count, rate_hz, rng))
    return [*_sounds(count, rng), *_overlapping(people, count, rng)]


def _sounds(count: int, rng: np.random.Generator) -> Iterator[Outlier]:
    for wave in synthetic_voices(3 * count, rng):
        yield Outlier("synthetic voice", AbstainReason.OUT_OF_DISTRIBUTION, Sample(0, speech=at_level(wave, rng)))
    for kind in SOUNDS:
        for _ in range(count):
            wave = make_sound(kind, rng.uniform(_SHORTEST_S, _LONGEST_S), rng)
            yield Outlier(kind, AbstainReason.NOT_SPEECH, Sample(0, speech=wave))
    for _ in range(count):
        faint = rng.standard_normal(round(rng.uniform(_SHORTEST_S, _LONGEST_S) * SAMPLE_RATE)) * 10 ** rng.uniform(
            0, 1.3
        )
        yield Outlier("silence", AbstainReason.NOT_SPEECH, Sample(0, speech=np.round(faint).astype(np.int16)))


def _overlapping(people: Sequence[Sample], count: int, rng: np.random.Generator) -> Iterator[Outlier]:
    voices = [sample.speech for sample in people if sample.speech is not None and len(sample.speech)]
    for _ in range(count):
        chosen = [voices[index] for index in rng.choice(len(voices), rng.integers(*_VOICES, endpoint=True))]
        size = min(max(map(len, chosen)), round(_LONGEST_S * SAMPLE_RATE))
        wave = np.zeros(size)
        for voice in chosen:
            part = np.resize(voice, size).astype(np.float64)
            wave += part / (np.sqrt(np.mean(part**2)) + 1) * 10 ** (rng.uniform(-_BELOW_DB, 0) / 20)
        yield Outlier("overlapping voices", AbstainReason.OVERLAP, Sample(0, speech=at_level(wave, rng)))


def _bodies(people: Sequence[Sample], count: int, rate_hz: float, rng: np.random.Generator) -> Iterator[Outlier]:
    whole = [sample for sample in people if sample.seen is not None and sample.seen.all()]
    for kind in BODIES:
        for _ in range(count):
            sample = whole[rng.integers(len(whole))]
            assert sample.positions is not None
            body = make_body(kind, sample.positions, rate_hz, rng)
            yield Outlier(kind, AbstainReason.OUT_OF_DISTRIBUTION, replace(sample, positions=body))
