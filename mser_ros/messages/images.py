"""Images as cameras publish them: `sensor_msgs/Image` and `CompressedImage`, by their field names. Imports no ROS."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from ..errors import ImageError

COMPRESSED = "sensor_msgs/msg/CompressedImage"

#: A larger image [pixels] is not taken, so that a broken publisher does not fill the memory.
_MOST_PIXELS = 64_000_000
#: Which channels of the encodings of `sensor_msgs/image_encodings` are red, green and blue. Those that name no colours
#: are taken as OpenCV means them.
_COLOURS: Mapping[str, tuple[int, tuple[int, int, int]]] = {
    "rgb": (3, (0, 1, 2)),
    "bgr": (3, (2, 1, 0)),
    "rgba": (4, (0, 1, 2)),
    "bgra": (4, (2, 1, 0)),
    "mono": (1, (0, 0, 0)),
}
_OPENCV = {"8uc1": "mono8", "8uc3": "bgr8", "8uc4": "bgra8"}
#: Places of luma and chroma in four bytes, which are two pixels: Y, U, Y, V.
_YUV422 = {"yuv422": (1, 0, 3, 2), "uyvy": (1, 0, 3, 2), "yuv422_yuy2": (0, 1, 2, 3), "yuyv": (0, 1, 2, 3)}


def image_from_msg(message: Any) -> np.ndarray:
    """The colours of either message: uint8 RGB, (height, width, 3); of a Bayer pattern at half the size.

    Raises `ImageError` for an encoding that holds no colours, and for data that do not fit it.
    """
    if hasattr(message, "format"):
        return _decompress(message)
    height, width, step, encoding = int(message.height), int(message.width), int(message.step), str(message.encoding)
    if not 0 < height * width <= _MOST_PIXELS:
        raise ImageError(f"an image of {width} x {height} pixels: its publisher must send a camera's image")
    name = _OPENCV.get(encoding.lower(), encoding.lower())
    kind, bits = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
    depth = np.dtype(np.uint8 if bits != "16" else ">u2" if message.is_bigendian else "<u2")
    if kind in _COLOURS and bits in ("8", "16"):
        channels, order = _COLOURS[kind]
        return _rows(message, height, width * channels, depth, step).reshape(height, width, channels)[..., order]
    if kind.startswith("bayer_") and bits in ("8", "16"):
        return _bayer(_rows(message, height, width, depth, step), kind.removeprefix("bayer_"))
    if name in _YUV422:
        return _yuv422(_rows(message, height, 2 * width, np.dtype(np.uint8), step), _YUV422[name])
    if name in ("nv12", "nv21"):
        return _nv(_rows(message, height * 3 // 2, width, np.dtype(np.uint8), step), height, name)
    raise ImageError(
        f"images in encoding '{encoding[:40]}': publish colours (rgb8, bgr8, mono8, yuv422, bayer_rggb8 ...), not "
        "depth, and remap 'image' to that topic"
    )


def _rows(message: Any, rows: int, columns: int, depth: np.dtype, step: int) -> np.ndarray:
    """The values of an image without what its rows are padded with: uint8, (rows, columns)."""
    length = columns * depth.itemsize
    data = np.frombuffer(message.data, np.uint8)
    if step < length or len(data) < rows * step - (step - length):
        raise ImageError(
            f"an image of {message.width} x {message.height} pixels in '{str(message.encoding)[:40]}' with rows of "
            f"{step} and {len(data)} bytes in all: its publisher must send {rows} rows of {length} or more"
        )
    padded = data[: rows * step] if len(data) >= rows * step else np.pad(data, (0, rows * step - len(data)))
    values = np.ascontiguousarray(padded.reshape(rows, step)[:, :length]).view(depth)
    return values if depth.itemsize == 1 else (values >> 8).astype(np.uint8)


def _bayer(cells: np.ndarray, pattern: str) -> np.ndarray:
    """A pixel of each two by two cells, whose colours stand in `pattern` row by row."""
    if pattern not in ("rggb", "bggr", "gbrg", "grbg") or min(cells.shape) < 2:
        raise ImageError(f"images in encoding 'bayer_{pattern[:20]}': use rggb, bggr, gbrg or grbg, or publish rgb8")
    height, width = (size // 2 * 2 for size in cells.shape)
    quarter = [cells[at // 2 : height : 2, at % 2 : width : 2] for at in range(4)]
    one, other = (quarter[at].astype(np.uint16) for at, colour in enumerate(pattern) if colour == "g")
    green = ((one + other) // 2).astype(np.uint8)
    return np.dstack([quarter[pattern.index("r")], green, quarter[pattern.index("b")]])


def _yuv422(values: np.ndarray, order: tuple[int, int, int, int]) -> np.ndarray:
    if values.shape[1] % 4:
        raise ImageError("an image in yuv422 with an odd width: its publisher must send an even one")
    quads = values.reshape(len(values), -1, 4)
    luma = quads[..., [order[0], order[2]]].reshape(len(values), -1)
    blue, red = (np.repeat(quads[..., order[at]], 2, axis=1) for at in (1, 3))
    return _rgb(luma, blue, red)


def _nv(values: np.ndarray, height: int, name: str) -> np.ndarray:
    width = values.shape[1]
    if height % 2 or width % 2:
        raise ImageError(f"an image in {name} with an odd side: its publisher must send an even one")
    chroma = values[height:].reshape(height // 2, width // 2, 2).repeat(2, axis=0).repeat(2, axis=1)
    blue = int(name == "nv21")
    return _rgb(values[:height], chroma[..., blue], chroma[..., 1 - blue])


def _rgb(luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    """By BT.601 with the full range, which shows a camera that uses less of it a little paler."""
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in (luma, blue, red)]
    return np.asarray(Image.merge("YCbCr", planes).convert("RGB"))


def _decompress(message: Any) -> np.ndarray:
    """JPEG, PNG and whatever else Pillow knows; the file itself tells."""
    said = str(message.format)[:60]
    if "compressedDepth" in said:
        raise ImageError("images of depth: remap 'image' to the topic of the camera's colours")
    try:
        with Image.open(io.BytesIO(bytes(message.data))) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise ImageError(f"an image of {picture.width} x {picture.height} pixels: publish a smaller one")
            if picture.mode.startswith("I;16"):  # which convert would clip
                return np.dstack([(np.asarray(picture) >> 8).astype(np.uint8)] * 3)
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise ImageError(
            f"a compressed image ('{said}') cannot be read ({error}): publish JPEG or PNG, or remap 'image' to the "
            "topic of raw images"
        ) from None
