"""Real speech for tests: synthetic where espeak-ng is installed, recorded where MSER_DATA_DIR is set."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from mser_ros.audio.waveform import StreamResampler, read_sound_file, to_mono
from mser_ros.types import SAMPLE_RATE as RATE


def silence(seconds: float) -> np.ndarray:
    """int16, shape (n,), 16 kHz."""
    return np.zeros(round(seconds * RATE), np.int16)


def noise(seconds: float, rms: float, seed: int = 0) -> np.ndarray:
    """White noise: int16, shape (n,), 16 kHz."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * rms
    return np.clip(samples, -32768, 32767).astype(np.int16)


@lru_cache(maxsize=8)
def spoken(number: int = 0) -> np.ndarray:
    """Somebody says a sentence of about two seconds: int16, shape (n,), 16 kHz, with little silence around it.

    0 is 'Kids are talking by the door', 1 'Dogs are sitting by the door'. Skips the test where no speech can be had.
    """
    sentence = ("Kids are talking by the door", "Dogs are sitting by the door")[number]
    folder = os.environ.get("MSER_DATA_DIR", "")
    if folder and (Path(folder) / "ravdess" / "manifest.tsv").is_file():
        return _trimmed(_read(_recorded(Path(folder) / "ravdess", sentence)))
    if shutil.which("espeak-ng"):
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "speech.wav"
            subprocess.run(["espeak-ng", "-v", "en-us", "-s", "140", "-w", str(file), sentence], check=True)
            return _trimmed(_read(file))
    pytest.skip("there is no speech to hear: install espeak-ng or set MSER_DATA_DIR to the folder that holds ravdess")


def _recorded(folder: Path, sentence: str) -> Path:
    lines = (folder / "manifest.tsv").read_text().splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    names = [row["file"] for row in rows if row["label"] == "neutral" and row["text"].startswith(sentence)]
    return folder / sorted(names)[0]


def _read(path: Path) -> np.ndarray:
    chunk = read_sound_file(path)
    return StreamResampler(chunk.sample_rate).push(to_mono(chunk.samples), last=True)


def _trimmed(samples: np.ndarray) -> np.ndarray:
    level = np.convolve(np.abs(samples.astype(np.float64)), np.ones(800) / 800, "same")
    loud = np.flatnonzero(level > 0.05 * level.max())
    return samples[loud[0] : loud[-1] + 1]
