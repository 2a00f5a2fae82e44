"""Speech for tests: synthetic and always the same, or recorded where MSER_DATA_DIR is set."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mser_ros.audio.mixer import ChannelMixer
from mser_ros.audio.segmenter import Segmenter, Speech, Started
from mser_ros.audio.sound_files import read_sound_file
from mser_ros.audio.waveform import StreamResampler
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import audio_from_msg
from mser_ros.settings import SegmenterSettings
from mser_ros.types import SAMPLE_RATE as RATE


def silence(seconds: float) -> np.ndarray:
    """int16, shape (n,), 16 kHz."""
    return np.zeros(round(seconds * RATE), np.int16)


def noise(seconds: float, rms: float, seed: int = 0) -> np.ndarray:
    """White noise: int16, shape (n,), 16 kHz."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * rms
    return np.clip(samples, -32768, 32767).astype(np.int16)


def write_broken_flac(path: Path, samples: np.ndarray) -> Path:
    """These samples and a second of noise in which the file breaks off."""
    soundfile.write(path, np.concatenate([samples, noise(1.0, 3000)]), RATE)
    content = path.read_bytes()
    path.write_bytes(content[:-8000])
    return path


_DEMO = Path(__file__).parents[1] / "demo" / "demo.mcap"
#: Begin and end in the demo bag [s] of 'I feel sad and lonely.' and 'The train leaves from platform two.'
SENTENCES_S = ((17.75, 20.05), (21.15, 23.35))


@lru_cache(maxsize=2)
def spoken(number: int = 0) -> np.ndarray:
    """A synthetic voice says a sentence of about two seconds, always the same: int16, shape (n,), 16 kHz, with little
    silence around it.

    0 is 'I feel sad and lonely', 1 'The train leaves from platform two'.
    """
    with Bag(_DEMO) as bag:
        chunks = [audio_from_msg(message.decode()) for message in bag.messages(["/audio"])]
    begin, end = (round(time_s * RATE) for time_s in SENTENCES_S[number])
    return _trimmed(np.concatenate([chunk.samples[:, 0] for chunk in chunks])[begin:end])


@lru_cache(maxsize=2)
def recorded(number: int = 0) -> np.ndarray:
    """As `spoken`, by an actor of RAVDESS: 0 is 'Kids are talking by the door', 1 'Dogs are sitting by the door'. Skips
    the test where there are no recordings."""
    folder = Path(os.environ.get("MSER_DATA_DIR", "")) / "ravdess"
    if not (folder / "manifest.tsv").is_file():
        pytest.skip("real recordings are missing: set MSER_DATA_DIR to the folder that holds ravdess")
    return _trimmed(_read(_recorded(folder, ("Kids are talking by the door", "Dogs are sitting by the door")[number])))


@lru_cache(maxsize=1)
def demo_sentences() -> tuple[tuple[np.ndarray, str], ...]:
    """What the synthetic voice of the demo bag says, as the segmenter cuts it: (int16 of 16 kHz, shape (n,); words)."""
    pieces: list[list[np.ndarray]] = []
    segmenter = Segmenter(SegmenterSettings())
    with Bag(_DEMO) as bag:
        for message in bag.messages(["/audio"]):
            for event in segmenter.push(audio_from_msg(message.decode())):
                if isinstance(event, Started):
                    pieces.append([])
                elif isinstance(event, Speech):
                    pieces[-1].append(event.samples)
    texts = (
        "Good morning. The meeting is on Monday at ten o'clock.",
        "This is wonderful! I am so happy to see you again!",
        "Stop that right now! I am furious with you, and I hate this terrible noise!",
        "I miss her so much.",
        "I feel sad and lonely.",
        "The train leaves from platform two.",
    )
    return tuple((np.concatenate(piece), text) for piece, text in zip(pieces, texts, strict=True))


def recordings(folder: Path, per_speaker: int = 1) -> list[tuple[np.ndarray, str]]:
    """Some clips of each speaker of a corpus with a manifest.tsv: (int16, shape (n,), 16 kHz; what is said)."""
    lines = (folder / "manifest.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    chosen = []
    for speaker in sorted({row["speaker"] for row in rows}):
        own = [row for row in rows if row["speaker"] == speaker]
        chosen += own[:: len(own) // per_speaker][:per_speaker]
    return [(_read(folder / row["file"]), row["text"]) for row in chosen]


def _recorded(folder: Path, sentence: str) -> Path:
    lines = (folder / "manifest.tsv").read_text().splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    names = [row["file"] for row in rows if row["label"] == "neutral" and row["text"].startswith(sentence)]
    return folder / sorted(names)[0]


def _read(path: Path) -> np.ndarray:
    chunk = read_sound_file(path)
    return StreamResampler(chunk.sample_rate).push(
        ChannelMixer(chunk.channels, chunk.sample_rate).push(chunk.samples), last=True
    )


def _trimmed(samples: np.ndarray) -> np.ndarray:
    level = np.convolve(np.abs(samples.astype(np.float64)), np.ones(800) / 800, "same")
    loud = np.flatnonzero(level > 0.05 * level.max())
    return samples[loud[0] : loud[-1] + 1]
