"""Joints drawn over some of the images in which they were found."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..types import NS_PER_S

#: Images in a picture, and beside each other.
_SHOWN, _COLUMNS = 12, 4
#: How wide an image is drawn, and how wide it is where there are many [pixels].
_WIDTH, _NARROW = 640, 320
#: A joint that is surer than this is drawn.
_SURE = 0.5
_COLOURS = ("#00E5FF", "#FFB300", "#76FF03", "#FF4081", "#B388FF", "#FFFFFF")


def can_be_picture(path: Path) -> bool:
    """Whether the ending of a name is that of pictures that can be written."""
    try:
        Image.new("RGB", (64, 64)).save(io.BytesIO(), Image.registered_extensions()[path.suffix.lower()])
    except (KeyError, OSError, ValueError):
        return False
    return True


class BodyPicture:
    """Gathers images while they come, never more than twice as many as are shown, and draws joints over them.

    `bones`: pairs of joints that are joined by a line.
    """

    def __init__(self, bones: Sequence[tuple[int, int]]) -> None:
        self._bones = bones
        self._kept: list[Image.Image] = []
        self._stride, self._count = 1, 0

    def add(self, pixels: np.ndarray, stamp_ns: int, people: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> None:
        """One image, uint8 RGB, and who is in it: id, joints (J, 2) in its pixels, visibility (J,)."""
        if self._count % self._stride == 0:
            self._kept.append(self._draw(pixels, stamp_ns, people))
            if len(self._kept) > 2 * _SHOWN:
                self._kept, self._stride = self._kept[::2], 2 * self._stride
        self._count += 1

    def save(self, path: Path) -> None:
        """Write the picture: images from the first to the last, evenly. `path`: see `can_be_picture`."""
        chosen = sorted(set(np.linspace(0, len(self._kept) - 1, min(_SHOWN, len(self._kept))).round().astype(int)))
        images = [self._kept[at] for at in chosen]
        if len(images) > 2:
            images = [item.resize((_NARROW, item.height * _NARROW // _WIDTH)) for item in images]
        columns, (width, _), height = min(_COLUMNS, len(images)), images[0].size, max(item.height for item in images)
        sheet = Image.new("RGB", (columns * width, -(-len(images) // columns) * height))
        for at, item in enumerate(images):
            sheet.paste(item, (at % columns * width, at // columns * height))
        sheet.save(path)

    def _draw(
        self, pixels: np.ndarray, stamp_ns: int, people: Sequence[tuple[str, np.ndarray, np.ndarray]]
    ) -> Image.Image:
        scale = _WIDTH / pixels.shape[1]
        image = Image.fromarray(pixels).resize((_WIDTH, max(1, round(pixels.shape[0] * scale))))
        draw = ImageDraw.Draw(image)
        for name, joints, visibility in people:
            colour = _COLOURS[sum(map(ord, name)) % len(_COLOURS)]
            places = [(float(x), float(y)) for x, y in joints * scale]
            for start, end in self._bones:
                if min(visibility[start], visibility[end]) >= _SURE:
                    draw.line([places[start], places[end]], fill=colour, width=5)
            for (x, y), sureness in zip(places, visibility, strict=True):
                if sureness >= _SURE:
                    draw.ellipse([x - 5, y - 5, x + 5, y + 5], fill=colour, outline="black")
        font = ImageFont.load_default(22)
        draw.text((10, 6), f"{stamp_ns / NS_PER_S:.2f} s", fill="white", stroke_width=3, stroke_fill="black", font=font)
        return image
