"""Images as cameras publish them: the same picture in every encoding, and what is malformed."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mser_ros.errors import ImageError
from mser_ros.messages.images import image_from_msg

#: Smooth, and different in every channel and direction: 24 x 16 pixels.
ROW, COLUMN = np.mgrid[0:16, 0:24]
PICTURE = np.dstack([40 + 8 * COLUMN, 60 + 9 * ROW, 200 - 4 * COLUMN - 3 * ROW]).astype(np.uint8)


def message(data: np.ndarray, encoding: str, *, height=16, width=24, padding=0, big_endian=0) -> SimpleNamespace:
    rows = np.ascontiguousarray(data).view(np.uint8).reshape(len(data), -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=255)
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, step=rows.shape[1], is_bigendian=big_endian, data=rows.tobytes()
    )


def with_alpha(channels: np.ndarray) -> np.ndarray:
    return np.dstack([channels, np.full(channels.shape[:2], 9, np.uint8)])


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("rgb8", PICTURE),
        ("bgr8", PICTURE[..., ::-1]),
        ("8UC3", PICTURE[..., ::-1]),
        ("rgba8", with_alpha(PICTURE)),
        ("bgra8", with_alpha(PICTURE[..., ::-1])),
        ("8UC4", with_alpha(PICTURE[..., ::-1])),
    ],
)
def test_colours_are_put_in_order(encoding: str, data: np.ndarray, padding: int) -> None:
    np.testing.assert_array_equal(image_from_msg(message(data, encoding, padding=padding)), PICTURE)


@pytest.mark.parametrize("big_endian", [0, 1])
@pytest.mark.parametrize(("encoding", "order"), [("rgb16", (0, 1, 2)), ("bgr16", (2, 1, 0))])
def test_deep_colours_lose_their_lower_half(encoding: str, order: tuple[int, ...], big_endian: int) -> None:
    deep = (PICTURE[..., order].astype(np.uint16) << 8 | 77).astype(">u2" if big_endian else "<u2")
    got = image_from_msg(message(deep, encoding, big_endian=big_endian, padding=2))
    np.testing.assert_array_equal(got, PICTURE)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "mono16"])
def test_grey_is_grey(encoding: str) -> None:
    grey = PICTURE[..., 0]
    data = grey.astype("<u2") << 8 if encoding == "mono16" else grey
    np.testing.assert_array_equal(image_from_msg(message(data, encoding)), np.dstack([grey] * 3))


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_bayer_pattern_gives_its_colours_at_half_the_size(pattern: str, bits: int) -> None:
    cells = np.zeros((16, 24), np.uint8)
    for at, colour in enumerate(pattern):
        cells[at // 2 :: 2, at % 2 :: 2] = PICTURE[at // 2 :: 2, at % 2 :: 2, "rgb".index(colour)]
    data = cells if bits == 8 else cells.astype("<u2") << 8
    got = image_from_msg(message(data, f"bayer_{pattern}{bits}"))
    np.testing.assert_allclose(got.astype(int), PICTURE[::2, ::2], atol=12)


def ycc() -> np.ndarray:
    return np.asarray(Image.fromarray(PICTURE).convert("YCbCr"))


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_colours_of_two_pixels_at_once_are_understood(encoding: str) -> None:
    planes = ycc()
    quads = np.zeros((16, 12, 4), np.uint8)
    luma, chroma = ((1, 3), (0, 2)) if encoding in ("yuv422", "uyvy") else ((0, 2), (1, 3))
    quads[..., luma[0]], quads[..., luma[1]] = planes[:, ::2, 0], planes[:, 1::2, 0]
    quads[..., chroma[0]], quads[..., chroma[1]] = planes[:, ::2, 1], planes[:, ::2, 2]
    got = image_from_msg(message(quads, encoding))
    np.testing.assert_allclose(got.astype(int), PICTURE, atol=10)


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_colours_of_four_pixels_at_once_are_understood(encoding: str) -> None:
    planes = ycc()
    chroma = planes[::2, ::2, 1:] if encoding == "nv12" else planes[::2, ::2, :0:-1]
    data = np.concatenate([planes[..., 0], chroma.reshape(8, 24)])
    np.testing.assert_allclose(image_from_msg(message(data, encoding)).astype(int), PICTURE, atol=16)


@pytest.mark.parametrize(("kind", "most"), [("JPEG", 12), ("PNG", 0)])
def test_a_compressed_image_is_opened_whatever_its_format_says(kind: str, most: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(PICTURE).save(stream, kind)
    got = image_from_msg(SimpleNamespace(format="bgr8; jpeg compressed bgr8", data=stream.getvalue()))
    np.testing.assert_allclose(got.astype(int), PICTURE, atol=most)


def test_a_compressed_image_of_16_bits_is_not_clipped() -> None:
    stream = io.BytesIO()
    Image.fromarray(PICTURE[..., 0].astype(np.uint16) << 8).save(stream, "PNG")
    got = image_from_msg(SimpleNamespace(format="mono16; png compressed ", data=stream.getvalue()))
    np.testing.assert_array_equal(got[..., 0], PICTURE[..., 0])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (message(PICTURE, "32FC1"), "images in encoding '32FC1': publish colours .*not depth"),
        (message(PICTURE, "16UC1"), "images in encoding '16UC1': publish colours"),
        (message(PICTURE, ""), "images in encoding ''"),
        (message(PICTURE, "bayer_rgbg8"), "encoding 'bayer_rgbg'"),
        (message(PICTURE[:9], "rgb8"), "with rows of 72 and 648 bytes in all: its publisher must send 16 rows of 72"),
        (message(PICTURE[:, :20], "rgb8"), "with rows of 60 and 960 bytes in all"),
        (message(PICTURE, "rgb8", height=0), "an image of 24 x 0 pixels"),
        (message(PICTURE, "rgb8", height=100_000, width=100_000), "an image of 100000 x 100000 pixels"),
        (message(PICTURE[:, :23, :2], "yuv422", width=23), "an odd width"),
        (message(PICTURE[:, :, 0], "nv12", height=9), "an odd side"),
        (SimpleNamespace(format="jpeg", data=b"\xff\xd8 no"), r"a compressed image \('jpeg'\) cannot be read"),
        (SimpleNamespace(format="h264", data=b"\x00\x00\x00\x01"), "publish JPEG or PNG"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=b""), "images of depth: remap 'image'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(wrong: SimpleNamespace, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence) as caught:
        image_from_msg(wrong)
    assert "\n" not in str(caught.value)


ENCODINGS = ["rgb8", "bgra8", "mono16", "rgb16", "bayer_grbg8", "bayer_rggb16", "yuv422", "yuyv", "nv12", "nv21", "x"]


@given(
    encoding=st.sampled_from(ENCODINGS),
    height=st.integers(0, 9),
    width=st.integers(0, 9),
    step=st.integers(0, 40),
    data=st.binary(max_size=200),
)
def test_no_image_whatever_is_in_it_raises_anything_else(encoding, height, width, step, data) -> None:
    wild = SimpleNamespace(height=height, width=width, step=step, encoding=encoding, is_bigendian=1, data=data)
    try:
        image = image_from_msg(wild)
    except ImageError:
        return
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.size
