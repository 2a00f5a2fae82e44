"""What is cut out of an image, where a body is before the camera, and what films and pictures give."""

from __future__ import annotations

import struct
import sys
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from pictures import scene, write_film
from PIL import Image

from mser_ros.errors import DependencyError, ImageError
from mser_ros.types import NS_PER_S, to_ns
from mser_ros.vision.networks import Landmarks
from mser_ros.vision.people import place
from mser_ros.vision.regions import Region, cut, whole
from mser_ros.vision.smoothing import BodySmoother
from mser_ros.vision.sources import Camera, FilmPlayer, PictureStream, has_picture, open_pictures, read_picture

GRADIENT = np.dstack(np.broadcast_arrays(np.arange(100)[:, None], 2 * np.arange(120)[None, :], 7)).astype(np.uint8)


def sampled(image: np.ndarray, region: Region, size: int, *, extend: bool) -> np.ndarray:
    """What `cut` promises, written down a second time: interpolated pixel by pixel."""
    at = np.arange(size) / size
    points = region.to_image(np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2))
    height, width = image.shape[:2]
    out = np.zeros((size * size, 3))
    for index, (x, y) in enumerate(points):
        if not extend and not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            continue
        x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
        left, top = min(int(x), width - 2), min(int(y), height - 2)
        corners = image[top : top + 2, left : left + 2].astype(float)
        rows = corners[0] + (y - top) * (corners[1] - corners[0])
        out[index] = rows[0] + (x - left) * (rows[1] - rows[0])
    return out.reshape(size, size, 3)


@given(
    x=st.floats(-40, 160),
    y=st.floats(-40, 140),
    side=st.floats(5, 300),
    angle=st.floats(-3.1, 3.1),
    extend=st.booleans(),
)
def test_a_region_is_cut_out_by_interpolation_and_goes_on_beyond_the_border(x, y, side, angle, extend) -> None:
    region = Region(x, y, side, angle)
    got, wanted = cut(GRADIENT, region, 16, extend=extend), sampled(GRADIENT, region, 16, extend=extend)
    # Whether a sample that lies on the very border is inside, rounding decides.
    assert np.mean(np.abs(got - wanted) > 1.01) < 0.02


def test_the_whole_image_lies_in_its_square() -> None:
    square = cut(GRADIENT, whole(GRADIENT), 120, extend=False)
    np.testing.assert_array_equal(square[10:110], GRADIENT)
    assert not square[:10].any()
    assert not square[110:].any()


@given(
    x=st.floats(-0.5, 0.5), y=st.floats(-0.5, 0.5), z=st.floats(1, 8), field=st.floats(40, 110), seed=st.integers(0, 99)
)
def test_a_body_is_put_where_a_pinhole_camera_sees_it_as_it_is_seen(x, y, z, field, seed) -> None:
    rng = np.random.default_rng(seed)
    body = rng.uniform((-0.4, -0.8, -0.3), (0.4, 0.8, 0.3), (33, 3))
    truth = body + np.array([x * z, y * z, z])
    focal = 320 / np.tan(np.radians(field) / 2)
    pixels = truth[:, :2] / truth[:, 2:] * focal + (320, 240)
    seen = rng.random(33)
    pixels[seen < 0.1] += 500  # what is not seen may stand anywhere, and does not count
    landmarks = Landmarks(1.0, pixels, body, np.where(seen < 0.1, 0.0, seen), np.eye(2))
    placed = place(landmarks, np.zeros((480, 640, 3), np.uint8), field_of_view=field)
    np.testing.assert_allclose(placed, truth, atol=0.02 * z)


def smoothed(points: np.ndarray, *, rate_hz: float) -> np.ndarray:
    """Metres (T, 3) of one joint, as a person's landmarks come out of the smoother."""
    smoother, still = BodySmoother(), np.ones((33, 2))
    found = []
    for at, point in enumerate(points):
        seen = Landmarks(1.0, 500 * still, np.tile(point, (33, 1)), still[:, 0], 99 * np.eye(2))
        found.append(smoother.smooth(seen, at / rate_hz).metres[0])
    return np.array(found)


@pytest.mark.parametrize("rate_hz", [8, 15, 30])
def test_a_joint_that_rests_does_not_tremble_and_one_that_swings_is_not_held(rate_hz: int) -> None:
    times = np.arange(6 * rate_hz) / rate_hz
    resting = np.random.default_rng(0).normal(0, 0.004, (len(times), 3))
    calm = smoothed(resting, rate_hz=rate_hz)
    assert np.abs(np.diff(calm, axis=0)).mean() < 0.5 * np.abs(np.diff(resting, axis=0)).mean()
    swinging = 0.3 * np.sin(2 * np.pi * times)[:, None] * np.ones(3)
    np.testing.assert_allclose(smoothed(swinging, rate_hz=rate_hz), swinging, atol=0.05)


def test_the_first_image_of_a_person_counts_as_it_is() -> None:
    np.testing.assert_array_equal(smoothed(np.full((1, 3), 0.7), rate_hz=10), np.full((1, 3), 0.7))


def stamps(stream: PictureStream) -> list[float]:
    return [picture.stamp_ns / NS_PER_S for picture in stream.pictures]


@pytest.mark.parametrize(("rate", "wanted"), [(5, 5), (10, 10), (30, 10)])
def test_a_film_gives_as_many_images_as_are_asked_for_or_as_it_has(tmp_path: Path, rate: int, wanted: int) -> None:
    film = write_film(tmp_path / "a.mp4", [GRADIENT] * 20, rate_hz=10)
    stream = open_pictures([film], rate_hz=rate)
    np.testing.assert_allclose(stamps(stream), np.arange(2 * wanted) / wanted, atol=1e-3)
    assert stream.count == 2 * wanted


def test_a_film_that_is_played_keeps_its_own_time_from_when_it_began(tmp_path: Path) -> None:
    """However late this machine is at one of its images."""
    film = write_film(tmp_path / "a.mp4", [GRADIENT] * 4, rate_hz=20)
    clock = iter(range(NS_PER_S, 100 * NS_PER_S, NS_PER_S))
    player = FilmPlayer(film, lambda: next(clock), rate_hz=20, loop=False)
    assert [picture.stamp_ns for picture in player] == [NS_PER_S + to_ns(at / 20) for at in range(4)]


def test_a_film_in_between_rates_keeps_its_pace(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mp4", [GRADIENT] * 60, rate_hz=30)
    found = stamps(open_pictures([film], rate_hz=20))
    assert len(found) == pytest.approx(40, abs=1)
    assert np.diff(found).max() < 0.07


def test_films_that_were_put_one_after_the_other_go_on(tmp_path: Path) -> None:
    """Stamps of the second begin anew, as after `cat one.ts other.ts`."""
    for number in range(2):
        write_film(tmp_path / f"{number}.ts", [GRADIENT] * 20, rate_hz=10)
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join((tmp_path / f"{number}.ts").read_bytes() for number in range(2)))
    found = np.array(stamps(open_pictures([both], rate_hz=10)))
    assert len(found) == pytest.approx(40, abs=2)
    np.testing.assert_allclose(np.diff(found), 0.1, atol=0.03)


def test_a_large_film_is_made_smaller_and_a_turned_one_upright(tmp_path: Path) -> None:
    tall = scene([(np.full((300, 960, 3), 250, np.uint8), 1.0, (0, 0))], size=(960, 1920))
    film = write_film(tmp_path / "a.mp4", [np.ascontiguousarray(np.rot90(tall))] * 2)
    assert (first := next(open_pictures([film], rate_hz=10).pictures)).pixels.shape == (640, 1280, 3)
    assert first.pixels[:, 50].mean() > 200  # the bright end lies to the left
    turned = turn_by_90(film.read_bytes())
    (tmp_path / "b.mp4").write_bytes(turned)
    upright = next(open_pictures([tmp_path / "b.mp4"], rate_hz=10).pictures).pixels
    assert upright.shape == (1280, 640, 3)
    assert upright[50].mean() > 200 > 150 > upright[-50].mean()


def turn_by_90(film: bytes) -> bytes:
    """The film as a phone writes it that is held upright: to be turned clockwise, as its track header's matrix says."""
    at = film.index(b"tkhd") + 4 + 40  # of version 0
    fixed = 1 << 16
    return film[:at] + struct.pack(">9i", 0, fixed, 0, -fixed, 0, 0, 0, 0, 1 << 30) + film[at + 36 :]


def test_pictures_are_a_stream_of_the_rate_and_stand_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(GRADIENT)
    orientation = Image.Exif()
    orientation[0x0112] = 6  # to be turned clockwise
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.JPG", exif=orientation)
    stream = open_pictures([tmp_path / "a.png", tmp_path / "b.JPG"], rate_hz=4)
    assert stream.count == 2
    shown = list(stream.pictures)
    assert [item.stamp_ns for item in shown] == [0, NS_PER_S // 4]
    assert [item.pixels.shape for item in shown] == [(100, 120, 3), (120, 100, 3)]
    np.testing.assert_array_equal(shown[0].pixels, GRADIENT)


def shade(level: int) -> Image.Image:
    return Image.fromarray(np.full((40, 60, 3), level, np.uint8))


def test_a_folder_of_pictures_is_a_film_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 10, 11):
        shade(20 * number).resize((60 + number, 40)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "._frame1.png").write_bytes(b"\0\5\x16\7 of macOS")
    (tmp_path / "times.csv").write_text("0,1,2,3")
    for paths in ([tmp_path], sorted(tmp_path.glob("frame*.png"))):
        shown = list(open_pictures(paths, rate_hz=4).pictures)
        assert [round(item.pixels.mean() / 20) for item in shown] == [1, 2, 10, 11]
        assert [item.stamp_ns * 4 // NS_PER_S for item in shown] == [0, 1, 2, 3]
    chosen = [tmp_path / "frame10.png", tmp_path / "frame1.png"]
    assert [round(item.pixels.mean() / 20) for item in open_pictures(chosen, rate_hz=4).pictures] == [10, 1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"the folder '.*empty' holds no picture \(.jpg"):
        open_pictures([tmp_path / "empty"], rate_hz=10)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_moving_pictures_are_a_film(tmp_path: Path, name: str) -> None:
    first, *others = [shade(60 * number) for number in range(1, 5)]
    first.save(tmp_path / name, save_all=True, append_images=others, duration=500)
    stream = open_pictures([tmp_path / name], rate_hz=2)
    assert stream.count == 4
    shown = list(stream.pictures)
    assert [round(item.pixels.mean() / 60) for item in shown] == [1, 2, 3, 4]
    assert [item.stamp_ns * 2 // NS_PER_S for item in shown] == [0, 1, 2, 3]


def test_a_camera_s_bare_h264_is_shown_at_the_rate_that_it_tells(tmp_path: Path) -> None:
    write_film(tmp_path / "a.h264", [GRADIENT] * 12, rate_hz=10, codec="libx264")
    assert stamps(open_pictures([tmp_path / "a.h264"], rate_hz=20)) == pytest.approx(np.arange(12) / 10)


def test_pictures_of_more_than_8_bits_are_as_bright_as_others(tmp_path: Path) -> None:
    deep = np.linspace(0, 4095, 60 * 40).reshape(40, 60).astype(np.uint16)  # 12 of its 16 bits
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(deep).save(tmp_path / name)
        np.testing.assert_allclose(read_picture(tmp_path / name)[..., 0], deep / 4095 * 255, atol=1)


def test_pixels_that_are_not_square_are_shown_in_their_shape(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mkv", [GRADIENT] * 2, pixel=Fraction(4, 3))
    assert next(open_pictures([film], rate_hz=10).pictures).pixels.shape == (100, 160, 3)


def test_the_cover_of_a_piece_of_music_is_no_film(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.mp3", np.zeros(8000), 16_000)
    cover = BytesIO()
    shade(90).save(cover, "JPEG")
    content = b"\0image/jpeg\0\3\0" + cover.getvalue()
    tag = b"APIC" + struct.pack(">I", len(content)) + b"\0\0" + content
    size = bytes(len(tag) >> shift & 0x7F for shift in (21, 14, 7, 0))
    (tmp_path / "b.mp3").write_bytes(b"ID3\3\0\0" + size + tag + (tmp_path / "a.mp3").read_bytes())
    with pytest.raises(ImageError, match=r"'.*b.mp3' has no picture"):
        open_pictures([tmp_path / "b.mp3"], rate_hz=10)


def test_what_cannot_be_looked_at_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG no")
    (tmp_path / "a.mp4").write_bytes(b"no film")
    Image.fromarray(GRADIENT).save(tmp_path / "good.png")
    with pytest.raises(ImageError, match=r"there is no film or picture '.*none.mp4': check the path"):
        open_pictures([tmp_path / "none.mp4"], rate_hz=10)
    with pytest.raises(ImageError, match=r"the film '.*a.mp4' cannot be read \(.*\): convert it to MP4"):
        open_pictures([tmp_path / "a.mp4"], rate_hz=10)
    with pytest.raises(ImageError, match=r"the picture '.*a.png' cannot be read"):
        read_picture(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"'.*a.mp4' is no picture: name one film alone"):
        open_pictures([tmp_path / "good.png", tmp_path / "a.mp4"], rate_hz=10)
    with pytest.raises(ImageError, match=r"the camera /dev/video97 cannot be opened \(.*\); there is"):
        Camera("97", lambda: 0, rate_hz=10)


def test_a_film_whose_end_is_lost_gives_what_it_has(tmp_path: Path) -> None:
    film = write_film(tmp_path / "a.mkv", [GRADIENT] * 30, rate_hz=10)
    film.write_bytes(film.read_bytes()[: -film.stat().st_size // 3])
    assert len(stamps(open_pictures([film], rate_hz=10))) > 10


def test_sound_alone_is_no_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = write_film(tmp_path / "a.mp4", [GRADIENT] * 2, sound=np.zeros(3200, np.int16))
    assert has_picture(film)
    av = sys.modules["av"]
    with av.open(str(tmp_path / "b.m4a"), "w") as sound:
        stream = sound.add_stream("aac", rate=16_000, layout="mono")
        wave = av.AudioFrame.from_ndarray(np.zeros((1, 3200), np.float32), format="fltp", layout="mono")
        wave.sample_rate = 16_000
        sound.mux([*stream.encode(wave), *stream.encode()])
    assert not has_picture(tmp_path / "b.m4a")
    with pytest.raises(ImageError, match=r"'.*b.m4a' has no picture"):
        open_pictures([tmp_path / "b.m4a"], rate_hz=10)
    monkeypatch.setitem(sys.modules, "av", None)
    assert not has_picture(film)
    with pytest.raises(DependencyError, match=r"pip install 'mser_ros\[camera\]'"):
        open_pictures([film], rate_hz=10)
