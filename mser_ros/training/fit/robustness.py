"""How much of a finished run's accuracy is left when its input is as robots get it: noisy, far, short, half seen.

Every person is judged by the fold's model that never met them, on the same items with and without the change, which is
the same in each measurement. What cuts utterances out of a stream is not part of it: they are cut as in the corpus.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.waveform import to_float, to_int16
from ...corpora.base import Item
from ...errors import SettingsError
from ...evaluation.metrics import plain, score
from ...types import SAMPLE_RATE
from ..config.settings import ExperimentConfig
from ..progress import track
from ..runs.finished import ROBUSTNESS, FinishedRun
from ..runs.predictions import OutOfFold, describe
from ..runs.warm_start import BEST
from ..samples.augment import LEGS, above_the_hips, in_a_room, over_the_telephone, plain_text
from ..samples.inputs import Sample
from ..samples.outliers.sounds import SOUNDS
from .experiment import load_folds
from .predicting import predict, restore

#: As it is; what the others are compared with.
UNCHANGED = "unchanged"
#: Utterances of one person and class that are judged at most: nothing is gained by hundreds.
_MOST = 25

Change = Callable[[Sample, np.random.Generator, float], Sample]


def _with_noise(kind: str, snr_db: float) -> Change:
    def change(sample: Sample, rng: np.random.Generator, _rate_hz: float) -> Sample:
        wave = _wave(sample)
        noise = SOUNDS[kind](max(len(wave), SAMPLE_RATE), rng)[: len(wave)]
        level = np.linalg.norm(wave) / (np.linalg.norm(noise) + 1e-9) * 10 ** (-snr_db / 20)
        return _heard(sample, wave + level * noise)

    return change


def _in_a_room(decay_s: float) -> Change:
    return lambda sample, rng, _: _heard(sample, in_a_room(_wave(sample), rng, decay_s=decay_s))


def _telephone(sample: Sample, _rng: np.random.Generator, _rate_hz: float) -> Sample:
    return _heard(sample, over_the_telephone(_wave(sample)))


def _quieter(gain_db: float) -> Change:
    return lambda sample, _rng, _: _heard(sample, _wave(sample) * 10 ** (gain_db / 20))


def _first(seconds: float) -> Change:
    return lambda sample, _rng, _: _heard(sample, _wave(sample)[: round(seconds * SAMPLE_RATE)])


def _as_recognised(sample: Sample, _rng: np.random.Generator, _rate_hz: float) -> Sample:
    return dataclasses.replace(sample, text=plain_text(sample.text or "") or sample.text)


def _words_lost(share: float) -> Change:
    def change(sample: Sample, rng: np.random.Generator, _rate_hz: float) -> Sample:
        words = plain_text(sample.text or "").split()
        kept = [word for word in words if rng.random() >= share]
        return dataclasses.replace(sample, text=" ".join(kept or words) or sample.text)

    return change


def _upper_body(sample: Sample, _rng: np.random.Generator, _rate_hz: float) -> Sample:
    positions, seen = _body(sample)
    seen = seen.copy()
    seen[:, LEGS] = False
    return _shown(sample, positions, seen)


def _behind_a_desk(sample: Sample, _rng: np.random.Generator, _rate_hz: float) -> Sample:
    return _shown(sample, *above_the_hips(*_body(sample)))


def _at_rate(frames_hz: float) -> Change:
    """As a slow camera sees it: what lies between two of its frames is interpolated, as the robot does."""

    def change(sample: Sample, _rng: np.random.Generator, rate_hz: float) -> Sample:
        positions, seen = _body(sample)
        count = len(positions)
        kept = np.unique(np.round(np.arange(0, count, rate_hz / frames_hz)).astype(int).clip(max=count - 1))
        at = np.interp(np.arange(count), kept, np.arange(len(kept)))
        left = np.minimum(at.astype(int), max(0, len(kept) - 2))
        right = np.minimum(left + 1, len(kept) - 1)
        share = (at - left)[:, None, None].astype(np.float32)
        positions, seen = positions[kept], seen[kept]
        return _shown(sample, positions[left] * (1 - share) + positions[right] * share, seen[left] & seen[right])

    return change


def _shaky(deviation_m: float) -> Change:

    def change(sample: Sample, rng: np.random.Generator, _rate_hz: float) -> Sample:
        positions, seen = _body(sample)
        return _shown(sample, positions + rng.standard_normal(positions.shape).astype(np.float32) * deviation_m, seen)

    return change


def _body(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    assert sample.positions is not None
    assert sample.seen is not None
    return sample.positions, sample.seen


def _shown(sample: Sample, positions: np.ndarray, seen: np.ndarray) -> Sample:
    return dataclasses.replace(sample, positions=np.where(seen[..., None], positions, 0), seen=seen)


#: By modality and name.
CONDITIONS: Mapping[str, Mapping[str, Change]] = {
    "speech": {
        **{f"noise, {snr} dB": _with_noise("noise", snr) for snr in (20, 10, 0)},
        **{f"a motor, {snr} dB": _with_noise("motor", snr) for snr in (10, 0)},
        "music, 10 dB": _with_noise("music", 10),
        "a room, 0.6 s": _in_a_room(0.6),
        "telephone": _telephone,
        "20 dB quieter": _quieter(-20),
        "first 1 s": _first(1.0),
        "first 2 s": _first(2.0),
    },
    "text": {
        "no capitals, no punctuation": _as_recognised,
        **{f"{share:.0%} of the words lost": _words_lost(share) for share in (0.1, 0.2, 0.4)},
    },
    "mocap": {
        "upper body": _upper_body,
        "above the hips": _behind_a_desk,
        "5 Hz": _at_rate(5),
        "10 Hz": _at_rate(10),
        "joints shake by 2 cm": _shaky(0.02),
    },
}


def measure_robustness(
    folder: Path, *, moved: Mapping[str, str] | None = None, log: Callable[[str], None] = print
) -> dict[str, Any]:
    """Judge changed inputs by a finished run's folds; kept in the run's folder and returned, by source and condition.
    `moved`: where the run's corpora lie now, by name.

    Raises `SettingsError` for a run of several modalities, of markers, whose folds' weights are gone, or whose data
    have changed since.
    """
    run = FinishedRun.read(folder, moved=moved)
    config = run.config
    if len(config.modalities) != 1 or run.modality not in CONDITIONS:
        raise SettingsError(f"the run in {folder} reads {', '.join(config.modalities)}: one modality alone is measured")
    data, plan = load_folds(config, folder, log=log)
    if run.modality == "mocap" and any(s.positions is not None and s.positions.shape[1] != 15 for s in data.samples):
        raise SettingsError(f"the run in {folder} reads markers, not bodies: nothing is known of how robots see those")
    conditions = {UNCHANGED: _as_it_is, **CONDITIONS[run.modality]}
    parts: dict[str, list[OutOfFold]] = {}
    for number, fold in enumerate(plan):
        network = restore(config, folder / f"fold{number}" / BEST)
        chosen = _some(data.items, fold.test)
        items, sources = [data.items[i] for i in chosen], [data.entries[i].source for i in chosen]
        for name, change in track(list(conditions.items()), f"fold {number + 1}/{len(plan)}"):
            samples = [_changed(config, data.samples[i], name, i, change) for i in chosen]
            logits = predict(config, network, samples)
            parts.setdefault(name, []).append(describe(items, sources, logits, fold.name))
    found = _compare({name: OutOfFold.join(rows) for name, rows in parts.items()})
    (folder / ROBUSTNESS).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return found


def _some(items: Sequence[Item], chosen: Sequence[int]) -> list[int]:
    """Every n-th of a person's items of a class, where there are many."""
    by_class: dict[tuple[str, str, str], list[int]] = {}
    for index in chosen:
        by_class.setdefault((items[index].corpus, items[index].person, items[index].label), []).append(index)
    return sorted(index for same in by_class.values() for index in same[:: -(-len(same) // _MOST)])


def _changed(config: ExperimentConfig, sample: Sample, name: str, index: int, change: Change) -> Sample:
    rng = np.random.default_rng((config.seed, index, zlib.crc32(name.encode())))
    return dataclasses.replace(change(sample, rng, config.inputs.rate_hz), frames={}, spectra=())


def _compare(by_condition: Mapping[str, OutOfFold]) -> dict[str, Any]:
    """By source and condition: UA with its interval, and the share of the UA of what is unchanged, None where that is
    0."""
    found: dict[str, Any] = {}
    for source in by_condition[UNCHANGED].sources:
        scores = {name: score(rows.of(source).predictions()) for name, rows in by_condition.items()}
        whole = scores[UNCHANGED].values["ua"]
        found[source] = {
            name: {
                "items": one.items,
                "ua": round(one.values["ua"], 4),
                "interval": [plain(end, 4) for end in one.intervals["ua"]],
                "share": round(one.values["ua"] / whole, 4) if whole else None,
            }
            for name, one in scores.items()
        }
    return found


def _as_it_is(sample: Sample, _rng: np.random.Generator, _rate_hz: float) -> Sample:
    return sample


def _wave(sample: Sample) -> np.ndarray:
    assert sample.speech is not None
    return to_float(sample.speech)


def _heard(sample: Sample, wave: np.ndarray) -> Sample:
    """With this waveform, as loud as a microphone can be at most."""
    return dataclasses.replace(sample, speech=to_int16(wave))
