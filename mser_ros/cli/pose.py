"""`mser pose`: bodies in a film, in pictures or before a camera, into a skeleton file."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..errors import ImageError, MserError, SettingsError
from ..evaluation.body_picture import BodyPicture, can_be_picture
from ..mocap.layouts import get_layout
from ..settings import PoseSettings
from ..settings.schema import build
from ..types import NS_PER_S
from ..vision.networks import PoseNetworks
from ..vision.people import LAYOUT, PeopleTracker, Person, skeleton_of
from ..vision.sources import Camera, Picture, PictureStream, open_pictures
from .tables import plain_console

#: What `--time` measures, so often.
_ROUNDS = 50


@click.command()
@click.argument("sources", metavar="FILM|CAMERA|PICTURE...", nargs=-1, required=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Skeleton file to write (.npz).")
@click.option(
    "--picture", type=click.Path(path_type=Path), help="Also draw joints over some of the images (.png, .jpg)."
)
@click.option("--people", type=click.IntRange(1, 20), default=1, show_default=True, help="Follow so many people.")
@click.option("--rate", type=float, help=f"Images that are looked at in a second.  [{PoseSettings.rate_hz:g}]")
@click.option("--field-of-view", type=float, help=f"Of the camera, across.  [{PoseSettings.field_of_view:g} degrees]")
@click.option(
    "--seconds", "length_s", type=click.FloatRange(min=0), help="Stop after this time.  [at the end, at Ctrl-C]"
)
@click.option("--model", default="", help="A .task of MediaPipe's pose landmarker.  [pose of 'mser models']")
@click.option("--threads", type=int, default=1, show_default=True, help="Threads of the networks.")
@click.option("--time", "is_timed", is_flag=True, help="Measure how long one image takes, and write nothing.")
def pose(
    sources: tuple[str, ...],
    out: Path | None,
    picture: Path | None,
    people: int,
    rate: float | None,
    field_of_view: float | None,
    length_s: float | None,
    model: str,
    threads: int,
    is_timed: bool,
) -> int:
    """Find bodies in a film, in pictures or a folder of them (as if they were a film), or before a camera (0 or
    /dev/video0).

    Writes the 33 joints of MediaPipe Pose in metres, with their visibility as confidence, as 'mser annotate --skeleton'
    takes them; of several people a file each, OUT for who is seen most, then OUT-2 and so on. Ctrl-C leaves what is
    done.
    """
    if not (out or picture or is_timed):
        raise click.UsageError("say where to write: -o skeleton.npz, or --picture joints.png, or --time")
    if out and out.suffix.lower() != ".npz":
        raise SettingsError(f"--out '{out}': a skeleton file ends with .npz")
    if picture and not can_be_picture(picture):
        raise SettingsError(f"--picture '{picture}': no picture can be written under such a name: end it with .png")
    wanted = {"rate_hz": rate, "field_of_view": field_of_view, "max_people": people, "threads": threads}
    settings = build(PoseSettings, {name: value for name, value in wanted.items() if value is not None})
    console, errors = plain_console(soft_wrap=True), plain_console(soft_wrap=True, stderr=True)
    networks = PoseNetworks(model, threads=settings.threads)
    stream = _open(sources, settings)
    if is_timed:
        return _measure(networks, stream, console)
    for path in (out, picture):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
    record = Record(
        PeopleTracker(networks, max_people=people, rate_hz=settings.rate_hz),
        settings,
        BodyPicture(_bones()) if picture else None,
        is_film=not _is_camera(sources),
    )
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, TimeRemainingColumn(), console=errors, disable=not errors.is_terminal) as progress:
        shown = progress.track(_until(stream.pictures, length_s), total=stream.count, description=stream.name)
        try:
            for item in shown:
                record.look(item)
        except KeyboardInterrupt:
            progress.stop()
            is_whole = stream.count is None  # a camera has no end
            if not is_whole:
                errors.print(f"interrupted after {record.seconds:.1f} s", style="yellow")
        except ImageError as error:
            if not record.stamps:
                raise
            progress.stop()
            errors.print(f"{error}; what came before it counts", style="yellow")
            is_whole = True
        else:
            is_whole = True
    _write(record, out, picture, console)
    return 0 if is_whole else 130


class Record:
    """Who was seen in the images so far."""

    def __init__(
        self, tracker: PeopleTracker, settings: PoseSettings, picture: BodyPicture | None, *, is_film: bool
    ) -> None:
        """`is_film`: stamps count from 0, the beginning of its sound; those of a camera are dates."""
        self.stamps: list[int] = []
        self.took_s: list[float] = []
        self.picture = picture
        self._tracker = tracker
        self._settings = settings
        self._is_film = is_film
        self._seen: dict[str, dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]] = {}

    @property
    def seconds(self) -> float:
        return (self.stamps[-1] - self.stamps[0]) / NS_PER_S if self.stamps else 0.0

    @property
    def people(self) -> list[str]:
        """Their ids, who was seen most first; who was seen for less than a tenth of that is left out."""
        most = max(map(len, self._seen.values()), default=0)
        known = [body_id for body_id, images in self._seen.items() if 10 * len(images) >= most]
        return sorted(known, key=lambda body_id: -len(self._seen[body_id]))

    @property
    def passers_by(self) -> int:
        """How many were left out."""
        return len(self._seen) - len(self.people)

    def images_of(self, body_id: str) -> int:
        return len(self._seen[body_id])

    def look(self, picture: Picture) -> None:
        """Take the next image in."""
        begun_s = time.perf_counter()
        people = self._tracker.update(picture.pixels, picture.stamp_ns)
        self.took_s.append(time.perf_counter() - begun_s)
        for person in people:
            self._note(person, picture)
        self.stamps.append(picture.stamp_ns)
        if self.picture:
            self.picture.add(picture.pixels, picture.stamp_ns, [_drawn(person) for person in people])

    def arrays(self, body_id: str) -> dict[str, np.ndarray]:
        """What `mocap.readers` reads: every image, with NaN and confidence 0 where this one was not seen; and `image`,
        (T, 33, 2), the joints as fractions of the image. Where a film's picture begins after its sound, the beginning
        of the sound comes first, with nobody: readers count from the first stamp."""
        before = [0] if self._is_film and self.stamps[0] > 0 else []
        stamps = [*before, *self.stamps]
        count = len(stamps)
        joints, image = np.full((count, 33, 3), np.nan, np.float32), np.full((count, 33, 2), np.nan, np.float32)
        confidence = np.zeros((count, 33), np.float32)
        for number, (positions, sureness, places) in self._seen[body_id].items():
            at = len(before) + number
            joints[at], confidence[at], image[at] = positions, sureness, places
        return {
            "joints": joints,
            "confidence": confidence,
            "image": image,
            "layout": np.array(LAYOUT),
            "stamps_ns": np.array(stamps, np.int64),
            "body_id": np.array(body_id),
        }

    def _note(self, person: Person, picture: Picture) -> None:
        frame = skeleton_of(person, picture.stamp_ns, picture.pixels, field_of_view=self._settings.field_of_view)
        height, width = picture.pixels.shape[:2]
        places = (person.landmarks.image / (width, height)).astype(np.float32)
        # Where one is followed at a time, whoever it is counts as the same, also after a cut of the film.
        name = person.body_id if self._settings.max_people > 1 else "body_1"
        self._seen.setdefault(name, {})[len(self.stamps)] = (frame.positions, frame.confidence, places)


def _open(sources: tuple[str, ...], settings: PoseSettings) -> PictureStream:
    if _is_camera(sources):
        camera = Camera(sources[0], time.time_ns, rate_hz=settings.rate_hz)
        return PictureStream(camera.device, None, iter(camera))
    return open_pictures(sources, rate_hz=settings.rate_hz)


def _is_camera(sources: tuple[str, ...]) -> bool:
    return len(sources) == 1 and (sources[0].isdecimal() or sources[0].startswith("/dev/"))


def _until(pictures: Iterable[Picture], length_s: float | None) -> Iterator[Picture]:
    first_ns = None
    for picture in pictures:
        first_ns = picture.stamp_ns if first_ns is None else first_ns
        if length_s is not None and picture.stamp_ns - first_ns >= length_s * NS_PER_S:
            return
        yield picture


def _bones() -> list[tuple[int, int]]:
    """The layout's tree, in which the head hangs on one shoulder only because it must hang somewhere."""
    joints, parents = get_layout(LAYOUT).joints, get_layout(LAYOUT).parents
    tree = [(joint, parent) for joint, parent in enumerate(parents) if parent >= 0 and joints[joint] != "nose"]
    return [*tree, (joints.index("right_shoulder"), joints.index("right_hip"))]


def _drawn(person: Person) -> tuple[str, np.ndarray, np.ndarray]:
    return person.body_id, person.landmarks.image, person.landmarks.visibility


def _write(record: Record, out: Path | None, picture: Path | None, console: Console) -> None:
    if not record.people:
        raise MserError(
            f"nobody is seen in {len(record.stamps)} images: show a person from the hips up, upright and in light"
        )
    for number, body_id in enumerate(record.people if out else [], 1):
        assert out is not None
        path = out if number == 1 else out.with_name(f"{out.stem}-{number}{out.suffix}")
        with path.open("wb") as file:  # to a name that ends with .NPZ numpy would add another ending
            np.savez_compressed(file, **record.arrays(body_id))  # type: ignore[arg-type]
        console.print(f"{body_id} in {record.images_of(body_id)} of {len(record.stamps)} images → {path}")
    if picture and record.picture:
        record.picture.save(picture)
        console.print(f"joints over images → {picture}")
    if record.passers_by and out:
        console.print(f"{record.passers_by} others, seen for a moment, are left out", style="yellow")
    console.print(f"{record.seconds:.1f} s, {1000 * statistics.mean(record.took_s):.0f} ms an image", style="bold")


def _measure(networks: PoseNetworks, stream: PictureStream, console: Console) -> int:
    """Print what one image costs, of the first in which a person is."""
    for picture in islice(stream.pictures, 100):
        found = PeopleTracker(networks).update(picture.pixels, 0)
        if found:
            break
    else:
        raise MserError(f"nobody is seen in {stream.name}: name a film or picture with a person")
    region = found[0].landmarks.next_region
    height, width = picture.pixels.shape[:2]
    console.print(f"an image of {width} x {height}, {_ROUNDS} rounds, time of the processor", style="dim")
    for what, work in (
        ("find people (when nobody is followed)", lambda: networks.detect(picture.pixels)),
        ("follow one person", lambda: networks.landmarks(picture.pixels, region)),
    ):
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        for _ in range(_ROUNDS):
            work()
        wall, cpu = (
            (now - begun) / _ROUNDS * 1000
            for now, begun in ((time.perf_counter(), begun_s), (time.process_time(), begun_cpu_s))
        )
        console.print(f"{what:<40} {cpu:6.1f} ms of work, {wall:6.1f} ms")
    return 0
