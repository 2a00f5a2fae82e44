"""Images one after the other, from a film, from picture files, or from a camera of this machine."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..errors import DependencyError, ImageError
from ..types import NS_PER_S, to_ns

#: Endings of files that hold one picture.
PICTURES = (
    ".jpg", ".jpeg", ".jfif", ".jp2", ".png", ".apng", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".tga",
    ".avif", ".heic", ".heif",
)  # fmt: skip
#: Formats in which a file may hold pictures that follow each other; in others a second one is a preview.
_MOVING = ("GIF", "WEBP", "PNG", "TIFF")
#: What a film without stamps shows in a second where it does not tell.
_USUAL_HZ = 25
#: A film whose stamps go back by more, or on by more, was put together of several [s].
_DISORDER_S, _LONGEST_GAP_S = 0.1, 3600.0
#: Images are made smaller before anything is looked for in them, so that their longer side has so many pixels at most.
_LONGEST = 1280
#: A camera that gives nothing for so long is gone [s].
_SILENT_S = 5.0


@dataclass(frozen=True, eq=False)
class Picture:
    """`pixels`: uint8 RGB, (height, width, 3). `stamp_ns`: of a film from the beginning of its sound."""

    stamp_ns: int
    pixels: np.ndarray


@dataclass(frozen=True)
class PictureStream:
    """What is looked at. `count`: images that will come, about; None: nobody knows. `pictures` yields them, once;
    raises `ImageError` where a file is damaged or a camera is gone."""

    name: str
    count: int | None
    pictures: Iterator[Picture]


def open_pictures(paths: Sequence[Path | str], *, rate_hz: float) -> PictureStream:
    """One film, or picture files as if they were one, `rate_hz` of them in a second; of a film, and of a file that
    holds moving pictures, at most so many are given. A folder stands for the pictures in it, frame2 before frame10.
    Raises `ImageError` for what cannot be read, `DependencyError` for a film where PyAV is missing."""
    files = [file for path in paths for file in _files(Path(path))]
    if files == sorted(files):  # as a shell lists them
        files.sort(key=_by_number)
    for file in files:
        if not file.is_file():
            raise ImageError(f"there is no film or picture '{file}': check the path")
    if len(files) == 1 and files[0].suffix.lower() not in PICTURES:
        return _open_film(files[0], rate_hz)
    for file in files:
        if file.suffix.lower() not in PICTURES:
            raise ImageError(f"'{file}' is no picture: name one film alone, or pictures ({', '.join(PICTURES)})")
    if len(files) == 1 and (count := _count_moving(files[0])) > 1:
        return PictureStream(files[0].name, count, _moving(files[0], rate_hz))
    pictures = (Picture(to_ns(at / rate_hz), read_picture(file)) for at, file in enumerate(files))
    return PictureStream(files[0].name, len(files), pictures)


def _files(path: Path) -> list[Path]:
    """A file, or the pictures in a folder."""
    if not path.is_dir():
        return [path]
    found = [file for file in path.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith(".")]
    if not found:
        raise ImageError(f"the folder '{path}' holds no picture ({', '.join(PICTURES)}): name a film, or pictures")
    return sorted(found)


def _by_number(path: Path) -> list[tuple[int, str]]:
    """So that numbers in names count as such."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path))]


def read_picture(path: Path) -> np.ndarray:
    """A picture file, upright: uint8 RGB, (height, width, 3). Raises `ImageError`."""
    with _reading(path), Image.open(path) as picture:
        return _upright(picture)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, Image.DecompressionBombError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise ImageError(f"the picture '{path}' cannot be read ({error}): convert it to JPEG or PNG") from None


def _upright(picture: Image.Image) -> np.ndarray:
    if picture.mode[0] in "IF":  # more than 8 bits, of which nobody tells how many are used
        deep = np.nan_to_num(np.asarray(picture, np.float32), posinf=0, neginf=0)
        picture = Image.fromarray((deep * (255 / max(1e-9, float(deep.max())))).clip(0, 255).astype(np.uint8))
    upright = ImageOps.exif_transpose(picture).convert("RGB")
    upright.thumbnail((_LONGEST, _LONGEST))
    return np.asarray(upright)


def _count_moving(path: Path) -> int:
    with _reading(path), Image.open(path) as picture:
        return getattr(picture, "n_frames", 1) if picture.format in _MOVING else 1


def _moving(path: Path, rate_hz: float) -> Iterator[Picture]:
    """Each for as long as it is shown, else `rate_hz` of them in a second."""
    at_s, due_s = 0.0, None
    with _reading(path), Image.open(path) as picture:
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            if due_s is None or at_s >= due_s:
                due_s = _next_due(due_s, at_s, 1 / rate_hz)
                yield Picture(to_ns(at_s), _upright(picture))
            at_s += picture.info.get("duration", 0) / 1000 or 1 / rate_hz


def _open_film(path: Path, rate_hz: float) -> PictureStream:
    av = _pyav()
    try:
        with av.open(str(path), metadata_errors="replace") as film:
            video = _first_video(film, av)
            if video is None:
                raise ImageError(f"'{path}' has no picture: name a film, or pictures")
            if video.codec_context is None:
                raise ImageError(f"the film '{path}' is in a codec that is not known: convert it to MP4")
            length_s = float((film.duration or 0) / 1e6)
            rate = min(rate_hz, float(video.average_rate or rate_hz))
    except av.FFmpegError as error:
        raise _no_film(path, error) from None
    return PictureStream(path.name, max(1, round(length_s * rate)) if length_s else None, _film(path, rate_hz, av))


def has_picture(path: Path) -> bool:
    """Whether a file is a film with more than sound; False for what cannot be read, and without PyAV."""
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        av = _pyav()
    except DependencyError:
        return False
    try:
        with av.open(str(path), metadata_errors="replace") as film:
            return _first_video(film, av) is not None
    except av.FFmpegError:
        return False


def _first_video(film: Any, av: Any) -> Any:
    """None where there is none; the cover of a piece of music is no film."""
    cover = av.stream.Disposition.attached_pic
    return next((stream for stream in film.streams.video if not stream.disposition & cover), None)


def _film(path: Path, rate_hz: float, av: Any) -> Iterator[Picture]:
    try:
        with av.open(str(path), metadata_errors="replace") as film:
            video = _first_video(film, av)
            video.thread_type = "AUTO"
            widened = float(video.sample_aspect_ratio or 1)
            usual_s = 1 / float(video.guessed_rate or video.average_rate or _USUAL_HZ)
            at_s = -usual_s
            sound = film.streams.audio[0] if film.streams.audio else None
            begin_s = float(sound.start_time * sound.time_base) if sound and sound.start_time else 0.0
            due_s = last_s = None
            for frame in film.decode(video):
                # A camera's bare H.264 has no stamps.
                at_s = at_s + usual_s if frame.pts is None else float(frame.pts * frame.time_base) - begin_s
                if last_s is not None and not -_DISORDER_S <= at_s - last_s <= _LONGEST_GAP_S:
                    # Films that were put one after the other: the sound goes on as well (`film_sound`).
                    begin_s += at_s - last_s - usual_s
                    at_s = last_s + usual_s
                last_s = at_s
                if at_s < 0 or (due_s is not None and at_s < due_s):
                    continue
                due_s = _next_due(due_s, at_s, 1 / rate_hz)
                yield Picture(to_ns(at_s), _pixels(frame, widened))
    except av.FFmpegError as error:
        raise _no_film(path, error) from None


def _next_due(due_s: float | None, at_s: float, period_s: float) -> float:
    """When the next image is wanted: periods go on from when one was due, not from when it came, unless it is late. An
    image that comes a little early will do."""
    ahead_s = period_s - 1e-3
    return at_s + ahead_s if due_s is None or at_s - due_s > period_s else due_s + period_s


def _pixels(frame: Any, widened: float = 1.0) -> np.ndarray:
    """A frame of PyAV, made smaller, and upright as its recorder held it. `widened`: width of a pixel by its height."""
    width = frame.width * widened
    scale = min(1.0, _LONGEST / max(width, frame.height))
    size = {"width": max(1, round(width * scale)), "height": max(1, round(frame.height * scale))}
    pixels: np.ndarray = frame.to_ndarray(format="rgb24", **size)
    return np.ascontiguousarray(np.rot90(pixels, round(getattr(frame, "rotation", 0) / 90)))


class Camera:
    """A camera of this machine, by its number or its device. Iterate over it until `close`."""

    def __init__(self, device: str, now_ns: Callable[[], int], *, rate_hz: float) -> None:
        """`now_ns`: the clock of the stamps. Raises `ImageError` where it cannot be opened, `DependencyError`."""
        self.device = f"/dev/video{device}" if device.isdecimal() else device
        self._av = _pyav()
        self._now_ns = now_ns
        self._is_closed = False
        try:
            self._camera = self._av.open(self.device, format="v4l2", timeout=_SILENT_S)
        except (self._av.FFmpegError, OSError, ValueError) as error:
            known = ", ".join(map(str, sorted(Path("/dev").glob("video*")))) or "none: plug one in"
            raise ImageError(f"the camera {self.device} cannot be opened ({error}); there is {known}") from None
        self._period_s = 1 / rate_hz

    def __iter__(self) -> Iterator[Picture]:
        due_s = None
        try:
            for frame in self._camera.decode(video=0):
                if self._is_closed:
                    return
                stamp_ns, at_s = self._now_ns(), time.monotonic()
                if due_s is None or at_s >= due_s:
                    due_s = _next_due(due_s, at_s, self._period_s)
                    yield Picture(stamp_ns, _pixels(frame))
        except (self._av.FFmpegError, OSError, ValueError) as error:
            if not self._is_closed:
                raise ImageError(f"the camera {self.device} is gone ({error}): plug it in again") from None
        finally:
            self._camera.close()

    def close(self) -> None:
        """Have the iteration end; from any thread."""
        self._is_closed = True


class FilmPlayer:
    """Plays a film or shows a picture as a camera would give it, in its own time. Iterate over it until `close`."""

    def __init__(self, path: Path | str, now_ns: Callable[[], int], *, rate_hz: float, loop: bool) -> None:
        """`now_ns`: the clock of the stamps. Raises as `open_pictures`."""
        self._path = Path(path).expanduser()
        self.device = f"file '{self._path.name}'"
        self._first = open_pictures([self._path], rate_hz=rate_hz)
        self._now_ns = now_ns
        self._rate_hz = rate_hz
        self._loop = loop
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Picture]:
        stream = self._first
        while True:
            begun_ns, begun_s = self._now_ns(), time.monotonic()
            for picture in stream.pictures:
                if self._closed.wait(max(0.0, begun_s + picture.stamp_ns / NS_PER_S - time.monotonic())):
                    return
                # Not the present time: sound of the same film goes by the film's own as well.
                yield replace(picture, stamp_ns=begun_ns + picture.stamp_ns)
            if not self._loop or self._closed.wait(1 / self._rate_hz):
                return
            stream = open_pictures([self._path], rate_hz=self._rate_hz)

    def close(self) -> None:
        """Have the iteration end; from any thread."""
        self._closed.set()


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        raise DependencyError("films and cameras need PyAV: pip install 'mser_ros[camera]' (or av)") from None
    return av


def _no_film(path: Path, error: Any) -> ImageError:
    if not path.stat().st_size:
        return ImageError(f"the film '{path}' is empty: record it again, or take another copy of it")
    return ImageError(f"the film '{path}' cannot be read ({error.strerror}): convert it to MP4")
