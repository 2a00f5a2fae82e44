"""People in pictures that packages ship, and films of them in which they move."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

#: Where eyes and shoulders of layout mediapipe33 are in Grace Hopper's portrait, read from the picture by eye [pixels].
HOPPER = {2: (306, 187), 5: (223, 189), 11: (455, 415), 12: (85, 415)}
#: Likewise in the astronaut's.
ASTRONAUT = {2: (246, 103), 5: (203, 101), 11: (315, 265), 12: (105, 265)}
EYES, SHOULDERS, HIPS = [2, 5], [11, 12], [23, 24]


@lru_cache
def hopper() -> np.ndarray:
    """Grace Hopper down to her chest, who faces the camera: uint8 RGB, (600, 512, 3). Ships with matplotlib."""
    from matplotlib.cbook import get_sample_data

    with get_sample_data("grace_hopper.jpg") as file:
        return np.asarray(Image.open(file).convert("RGB"))


@lru_cache
def astronaut() -> np.ndarray:
    """Eileen Collins down to her waist: uint8 RGB, (512, 512, 3). Ships with scikit-image."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is missing: call 'make setup-dev'")
    return data.astronaut()


def nobody() -> list[np.ndarray]:
    """Pictures in which there is no person: a cup, a cat, coins, a page, and noise."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is missing: call 'make setup-dev'")
    found = [data.coffee(), data.chelsea(), data.coins(), data.page(), data.grass()]
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    return [np.ascontiguousarray(np.dstack([item] * 3) if item.ndim == 2 else item) for item in (*found, noise)]


def scene(
    people: Iterable[tuple[np.ndarray, float, tuple[int, int]]], *, size: tuple[int, int] = (640, 480)
) -> np.ndarray:
    """A grey picture, (height, width, 3), with portraits on it: of each its scale, and where its upper left corner is,
    which may lie outside."""
    canvas = Image.new("RGB", size, (120, 120, 120))
    for portrait, scale, corner in people:
        height, width = portrait.shape[:2]
        canvas.paste(Image.fromarray(portrait).resize((round(width * scale), round(height * scale))), corner)
    return np.asarray(canvas)


def write_film(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    rate_hz: int = 10,
    sound: np.ndarray | None = None,
    codec: str = "mpeg4",
    pixel: Fraction = Fraction(1),
    late: int = 0,
) -> Path:
    """A film of frames, with mono sound of 16 kHz where that is given: int16, (n,). `pixel`: width by height of one.
    `late`: as if so many frames had gone before the first one."""
    av = pytest.importorskip("av", reason="PyAV is missing: call 'make setup-dev', or pip install av")
    with av.open(str(path), "w") as film:
        video = film.add_stream(codec, rate=rate_hz)
        video.codec_context.sample_aspect_ratio = pixel
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt, video.bit_rate = "yuv420p", 4_000_000
        audio = film.add_stream("aac", rate=16_000, layout="mono") if sound is not None else None
        for number, image in enumerate(frames, late):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            film.mux(video.encode(frame))
        film.mux(video.encode())
        if audio is not None and sound is not None:
            wave = av.AudioFrame.from_ndarray(sound[None].astype(np.float32) / 32768, format="fltp", layout="mono")
            wave.sample_rate = 16_000
            film.mux(audio.encode(wave))
            film.mux(audio.encode())
    return path
