"""Training samples that differ each time they are seen, in the ways that a robot's input differs from a studio's."""

from __future__ import annotations

import dataclasses
import string

import numpy as np
import soxr
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from ...mocap.canonical import MIRRORED, centre
from ...mocap.layouts import JOINTS
from ...types import SAMPLE_RATE
from ..config.settings import AugmentConfig, MocapAugmentConfig, SpeechAugmentConfig, TextAugmentConfig
from .inputs import Sample

LEGS = [index for index, joint in enumerate(JOINTS) if joint.split("_")[-1] in ("knee", "ankle", "foot")]
_HIPS = [index for index, joint in enumerate(JOINTS) if joint == "pelvis" or joint.endswith("hip")]
#: Recognisers keep apostrophes and nothing else.
_PUNCTUATION = str.maketrans({mark: " " for mark in string.punctuation + "…“”‘–—" if mark != "'"} | {"’": "'"})


def augment(
    sample: Sample, config: AugmentConfig, rng: np.random.Generator, *, rate_hz: float, crop: float | None = None
) -> Sample:
    """A changed copy; `rng` decides everything, so that the same seed gives the same sample. `crop`: as in
    `change_speech`."""
    if sample.speech is not None:
        sample = dataclasses.replace(sample, speech=change_speech(sample.speech, config.speech, rng, crop=crop))
    if sample.text is not None:
        text, confidence = mishear(change_text(sample.text, config.text, rng), config.text, rng)
        sample = dataclasses.replace(sample, text=text, confidence=sample.confidence * confidence)
    if sample.positions is not None and sample.seen is not None:
        positions, seen = change_motion(sample.positions, sample.seen, config.mocap, rng, rate_hz=rate_hz)
        sample = dataclasses.replace(sample, positions=positions, seen=seen)
    return sample


def change_speech(
    samples: np.ndarray, config: SpeechAugmentConfig, rng: np.random.Generator, *, crop: float | None = None
) -> np.ndarray:
    """int16 (samples,) -> int16: part, speed with pitch, frequency response, noise, level. `crop`: how long that part
    is, from 0 (`least_s`) to 1 (`crop_s`); None: by chance."""
    longest = round(config.crop_s * SAMPLE_RATE)
    if longest:
        least = round(config.least_s * SAMPLE_RATE) or longest
        share = rng.random() if crop is None else crop
        length = least + round(share * (longest - least))
        start = int(rng.integers(0, max(1, len(samples) - length + 1)))
        samples = samples[start : start + length]
    wave = samples.astype(np.float32) / 32768
    if config.speed:
        factor = float(np.exp(rng.uniform(-1, 1) * np.log1p(config.speed)))
        wave = soxr.resample(wave, SAMPLE_RATE * factor, SAMPLE_RATE, quality="QQ")
    if config.room and rng.random() < config.room:
        wave = in_a_room(wave, rng, decay_s=rng.uniform(0.1, 1.0) * config.room_s)
    if rng.random() < config.channel:
        wave = _through_a_channel(wave, config, rng)
    if config.telephone and rng.random() < config.telephone:
        wave = over_the_telephone(wave)
    if config.gain_db:
        wave = wave * 10 ** (rng.uniform(-1, 1) * config.gain_db / 20)
    return np.clip(np.round(wave * 32768), -32768, 32767).astype(np.int16)


def _through_a_channel(wave: np.ndarray, config: SpeechAugmentConfig, rng: np.random.Generator) -> np.ndarray:
    size = next_fast_len(max(len(wave), 512), real=True)
    frequencies = rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float32)
    spectrum = rfft(wave, size)
    points = np.log(np.array([50, 150, 400, 1000, 2500, 8000.0]) + 20)
    response_db = np.interp(np.log(frequencies + 20), points, rng.uniform(-1, 1, 6) * config.equaliser_db)
    spectrum = spectrum * np.exp(response_db * (np.log(10) / 20)).astype(np.float32)
    colour = (frequencies + 50) ** np.float32(-rng.uniform(0, 1))  # between white and brown
    noise = rfft(rng.standard_normal(size, np.float32)) * colour
    level = np.linalg.norm(spectrum) / np.linalg.norm(noise)
    snr_db = config.noise_db + rng.uniform(0, 25)
    spectrum = spectrum + noise * np.float32(level * 10 ** (-snr_db / 20))
    return irfft(spectrum, size)[: len(wave)]


def in_a_room(wave: np.ndarray, rng: np.random.Generator, *, decay_s: float) -> np.ndarray:
    """float32 (samples,) -> the direct sound and a tail of decaying noise (Polack 1988), between as loud and a tenth as
    loud, which is 60 dB down after `decay_s`."""
    times_s = np.arange(round(decay_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times_s)) * 10 ** (-3 * times_s / decay_s)
    tail *= 10 ** (-rng.uniform(0, 10) / 20) / np.linalg.norm(tail)
    response = np.concatenate([[1.0], np.zeros(round(rng.uniform(0.001, 0.01) * SAMPLE_RATE)), tail])
    size = next_fast_len(len(wave) + len(response), real=True)
    heard = irfft(rfft(wave, size) * rfft(response.astype(np.float32), size), size)[: len(wave)]
    return heard * np.float32(np.linalg.norm(wave) / (np.linalg.norm(heard) + 1e-9))


#: The telephone's band (ITU-T G.712) with soft edges: gains [dB] by frequency [Hz].
_TELEPHONE_HZ = (0, 150, 300, 3400, 3900, 8000)
_TELEPHONE_DB = (-60, -30, 0, 0, -40, -80)


def over_the_telephone(wave: np.ndarray) -> np.ndarray:
    """float32 (samples,) -> what the telephone's band leaves of it."""
    size = next_fast_len(max(len(wave), 512), real=True)
    gain_db = np.interp(rfftfreq(size, 1 / SAMPLE_RATE), _TELEPHONE_HZ, _TELEPHONE_DB)
    return irfft(rfft(wave, size) * (10 ** (gain_db / 20)).astype(np.float32), size)[: len(wave)]


def plain_text(text: str) -> str:
    """As a recogniser writes it: lower case, no punctuation but apostrophes."""
    return " ".join(text.replace("[NAME]", " ").replace("[RELIGION]", " ").translate(_PUNCTUATION).lower().split())


def change_text(text: str, config: TextAugmentConfig, rng: np.random.Generator) -> str:
    """Never empties a text."""
    if rng.random() < config.plain:
        text = plain_text(text) or text
    if config.drop_word:
        words = text.split()
        text = " ".join(word for word in words if rng.random() >= config.drop_word) or text
    return text


def mishear(text: str, config: TextAugmentConfig, rng: np.random.Generator) -> tuple[str, float]:
    """What a poor recogniser leaves of a text, and about the share that it got right as its confidence."""
    if not config.poor or rng.random() >= config.poor:
        return text, 1.0
    words = text.split()
    lost = rng.random(len(words)) < rng.random()
    kept = [word for word, is_lost in zip(words, lost, strict=True) if not is_lost]
    confidence = float(np.clip(1 - lost.mean() + rng.normal(scale=0.1), 0.05, 1))
    return " ".join(kept) or text, confidence


def change_motion(
    positions: np.ndarray, seen: np.ndarray, config: MocapAugmentConfig, rng: np.random.Generator, *, rate_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """float32 (T, 15, 3), bool (T, 15) -> the same of another length: part, tempo, mirror, heading, noise, unseen."""
    if config.least_s:
        least = min(len(positions), round(config.least_s * rate_hz))
        length = int(rng.integers(least, len(positions) + 1))
        start = int(rng.integers(0, len(positions) - length + 1))
        positions, seen = positions[start : start + length], seen[start : start + length]
    if config.speed and len(positions) > 2:
        factor = float(np.exp(rng.uniform(-1, 1) * np.log1p(config.speed)))
        at = np.linspace(0, len(positions) - 1, max(2, round(len(positions) / factor)))
        left = np.minimum(at.astype(int), len(positions) - 2)
        share = (at - left)[:, None, None].astype(np.float32)
        positions = positions[left] * (1 - share) + positions[left + 1] * share
        seen = seen[left] & seen[left + 1]
    if config.mirror and rng.random() < 0.5:
        positions = positions[:, list(MIRRORED)] * np.array([1, -1, 1], np.float32)
        seen = seen[:, list(MIRRORED)]
    if config.turn_deg:
        angle = np.deg2rad(rng.uniform(-1, 1) * config.turn_deg)
        turn = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]], np.float32)
        positions = positions @ turn
    if config.noise:
        positions = positions + rng.standard_normal(positions.shape).astype(np.float32) * config.noise * rng.random()
    seen = seen.copy()
    if rng.random() < config.upper_body:
        seen[:, LEGS] = False
        if rng.random() < 0.5:
            positions, seen = above_the_hips(positions, seen)
    if config.joint_dropout:
        lost = np.asarray(rng.random(seen.shape[1]) < config.joint_dropout)
        if not lost.all():
            seen[:, lost] = False
    return np.where(seen[..., None], positions, 0).astype(np.float32), seen


def above_the_hips(positions: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Motion (T, 15, 3) and (T, 15) as the canonical stream gives it of a body behind a desk: without hips and legs it
    is centred by what is seen of the trunk, which then stands still."""
    seen = seen.copy()
    seen[:, LEGS + _HIPS] = False
    positions, seen = centre(positions, seen)
    return np.where(seen[..., None], positions, 0).astype(np.float32), seen
