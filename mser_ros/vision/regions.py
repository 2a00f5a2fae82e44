"""Squares of an image, turned and placed as a body stands, and what is seen in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Region:
    """A square of an image around `x`, `y`; `side` long, all in pixels; `angle` [rad] turns it clockwise."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Points (N, 2) of the square, 0 to 1 from its upper left corner, as pixels of the image."""
        return np.array([self.x, self.y]) + self.side * turn(points - 0.5, self.angle)


def turn(points: np.ndarray, angle: float) -> np.ndarray:
    """Points (N, 2 or 3) turned clockwise in the image, about the camera's axis."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = np.array(points, np.float64)
    turned[:, 0] = cosine * points[:, 0] - sine * points[:, 1]
    turned[:, 1] = sine * points[:, 0] + cosine * points[:, 1]
    return turned


def whole(image: np.ndarray) -> Region:
    """The smallest square that holds all of an image."""
    height, width = image.shape[:2]
    return Region(width / 2, height / 2, float(max(width, height)))


def cut(image: np.ndarray, region: Region, size: int, *, extend: bool) -> np.ndarray:
    """What is in the region: float32, (size, size, 3), in the values of the image, by bilinear interpolation.

    `image`: uint8, (height, width, 3). Beyond its borders it is black, or if `extend` as at its nearest border.
    As in MediaPipe, the samples begin at the region's corner, and a pixel's place is that of its middle.
    """
    step = region.side / size
    along, across = step * math.cos(region.angle), step * math.sin(region.angle)
    left = region.x - size / 2 * (along - across)
    top = region.y - size / 2 * (along + across)
    # Pillow asks for the middle of each sample, and counts pixels from their corner.
    affine = (along, -across, left + 0.5 - (along - across) / 2, across, along, top + 0.5 - (along + across) / 2)
    picture = Image.fromarray(image).transform(
        (size, size), Image.Transform.AFFINE, affine, resample=Image.Resampling.BILINEAR
    )
    pixels = np.array(picture, np.float32)
    if extend:
        column, row = np.arange(size, dtype=np.float32)[None, :], np.arange(size, dtype=np.float32)[:, None]
        x, y = left + along * column - across * row, top + across * column + along * row
        height, width = image.shape[:2]
        beyond = (x < -0.5) | (x >= width - 0.5) | (y < -0.5) | (y >= height - 0.5)
        rows, columns = (
            np.rint(values[beyond]).clip(0, end - 1).astype(np.intp) for values, end in ((y, height), (x, width))
        )
        pixels[beyond] = image[rows, columns]
    return pixels
