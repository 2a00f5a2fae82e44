"""What `mser annotate` reads: bags, sound files with an optional motion file, and films with the bodies in them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, wraps
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..audio.sound_files import open_sound_file
from ..audio.waveform import pcm16
from ..errors import AudioError, BagError, ImageError, MserError, SkeletonError
from ..messages.audio_topics import AUDIO_TYPES, FRAME, INFO, AudioDecoder
from ..messages.bag_order import find_disorder, ordered_messages
from ..messages.bags import Bag, BagMessage
from ..messages.skeleton_topics import (
    FOUND_ALONE,
    MARKER_ARRAY,
    MARKERS,
    SKELETON,
    SKELETON_2D,
    SKELETON_TYPES,
    TF,
    SkeletonDecoder,
)
from ..mocap.readers import SIZES, UPS, read_motion
from ..settings import AudioFormatSettings, MocapSettings, PoseSettings
from ..settings.schema import build
from ..types import NS_PER_S, AudioChunk, SkeletonFrame
from ..vision.networks import PoseNetworks
from ..vision.people import PeopleTracker, skeleton_of
from ..vision.sources import PictureStream, open_pictures
from .heard_beside import ForeignText, HeardBeside, RobotVoice

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
#: How the topic of Azure Kinect's driver ends; other MarkerArrays of a bag are no bodies unless one is named.
AZURE_TOPIC = "body_tracking_data"
#: Messages of a topic after which it is known whether there are bodies in it.
_LOOKED_AT = 500
#: Length of the chunks that a sound file is cut into [s].
_CHUNK_S = 0.064


Data = AudioChunk | SkeletonFrame | RobotVoice | ForeignText


@dataclass(frozen=True)
class Item:
    """One piece of input; `load` may raise an `MserError`; `log_ns` is when a robot would have received it."""

    load: Callable[[], Data]
    log_ns: int


def read_bag(
    bag: Bag,
    audio_topic: str,
    skeleton_topic: str,
    audio: AudioFormatSettings | None = None,
    mocap: MocapSettings | None = None,
    *,
    text_topic: str | None = None,
) -> tuple[Iterator[Item], int, Sequence[str]]:
    """The audio and skeletons of a bag in order of receipt, or of their stamps where no robot can have received them so
    (`messages.bag_order`), and what `HeardBeside` finds; the number of its messages, and notes of what is odd about the
    bag. Empty names mean the only topic there is. `audio`, `mocap`: what messages of other packages do not tell of
    themselves. `text_topic`: with the words of another recogniser, None where ours reads.

    Raises `BagError` for a bag without such topics or with several; where a bag is damaged further on, an item does.
    """
    heard = choose_topic(bag, audio_topic, AUDIO_TYPES, "--audio-topic")
    bodies = Bodies(bag, skeleton_topic, mocap, "--skeleton-topic")
    unused = [] if bodies.topics else unused_bodies(bag, mocap)
    if not heard and not bodies.topics:
        has = ", ".join(f"{name} ({kind})" for name, kind in sorted(bag.topics.items()))
        cure = f"record those{''.join(f'; {note}' for note in unused)}"
        raise BagError(f"the bag {bag.path} has no topic of type {FRAME} or {SKELETON}; it has {has}: {cure}")
    beside = HeardBeside(bag, heard, text_topic)
    infos = [name for name, kind in bag.topics.items() if kind == INFO]
    topics = [*([heard] if heard else ()), *bodies.topics]
    disorder = find_disorder(bag, topics)
    given = {*topics, *beside.topics}
    count = sum(connection.msgcount for connection in bag.connections() if connection.topic in given)

    def read() -> Iterator[Item]:
        log_ns = 0
        decoder = AudioDecoder(audio)
        try:
            for message in ordered_messages(bag, [*topics, *infos, *bodies.beside, *beside.topics], disorder):
                log_ns = message.log_ns
                try:
                    if message.topic == heard:
                        for chunk in decoder.decode(message.type_name, message.decode()):
                            yield Item(partial(_same, chunk), log_ns)
                        continue
                    if message.topic in infos:
                        decoder.set_format(message.decode())
                        continue
                    if message.topic in beside.topics:
                        yield Item(partial(_same, beside.read(message)), log_ns)
                        continue
                    for found in bodies.read(message):
                        fails = isinstance(found, SkeletonError)
                        yield Item(partial(_fail if fails else _same, found), log_ns)  # type: ignore[arg-type]
                except MserError as error:
                    yield Item(partial(_fail, error), log_ns)
        except BagError as error:
            yield Item(partial(_fail, error), log_ns)

    return read(), count, (*bag.notes, *map(str, disorder), *unused, *beside.notes)


def unused_bodies(bag: Bag, mocap: MocapSettings | None = None) -> list[str]:
    """A sentence for each topic with bodies that is read only where it is named, as most of its type hold none."""
    notes = []
    for topic, kind in sorted(bag.topics.items()):
        if kind == MARKERS:
            notes.append(f"{topic} may hold bodies: --skeleton-topic {topic} reads them, with their --layout")
        elif kind == TF and not topic.endswith("tf_static"):
            decoder = SkeletonDecoder(mocap)
            with suppress(BagError):  # of damage is told where the bag is read
                beginning = islice(bag.messages([topic]), _LOOKED_AT)
                if any(decoder.decode(kind, message.decode())[0] for message in beginning):
                    notes.append(f"{topic} holds bodies: --skeleton-topic {topic} reads them")
    return notes


def bag_skeletons(path: Path, topic: str, mocap: MocapSettings | None = None) -> Iterator[SkeletonFrame]:
    """The skeletons of a bag in order of receipt; malformed messages are left out. An empty name: the only topic.

    Raises `BagError` for a bag without such a topic or with several, and `SkeletonError` where no message is a body.
    """
    fault: MserError | None = None
    is_empty = True
    with Bag(path) as bag:
        bodies = Bodies(bag, topic, mocap, "--topic")
        if not bodies.topics:
            raise BagError(f"the bag {path} has no topic with skeletons: record one, or name it by --topic")
        for message in bag.messages([*bodies.topics, *bodies.beside]):
            try:
                for found in bodies.read(message):
                    if isinstance(found, SkeletonError):
                        fault = fault or found
                    else:
                        is_empty = False
                        yield found
            except SkeletonError as error:
                fault = fault or error
    if is_empty and fault is not None:
        raise fault


class Bodies:
    """Where in a bag the skeletons are, and how its messages become bodies. `topics`: with skeletons; `beside`: what
    tells more of them."""

    def __init__(self, bag: Bag, wanted: str, mocap: MocapSettings | None, option: str) -> None:
        self._decoder = SkeletonDecoder(mocap)
        alone = [kind for kind in FOUND_ALONE if kind in bag.topics.values()]
        azure = [name for name, kind in bag.topics.items() if kind == MARKER_ARRAY and name.endswith(AZURE_TOPIC)]
        if not wanted and alone[:1] == [SKELETON_2D]:
            self.topics = sorted(name for name, kind in bag.topics.items() if kind == SKELETON_2D)
        else:
            found = choose_topic(bag, wanted, SKELETON_TYPES if wanted else alone, option)
            self.topics = [found] if found else azure[:1]
        kinds = {bag.topics[name] for name in self.topics}
        cameras = [name for name, kind in bag.topics.items() if kind == CAMERA_INFO]
        static = [name for name in bag.topics if name.endswith("tf_static") and TF in kinds]
        self.beside = [*static, *(cameras if len(cameras) == 1 and SKELETON_2D in kinds else ())]

    def read(self, message: BagMessage) -> list[SkeletonFrame | SkeletonError]:
        """The bodies of a message of one of the topics, and why others in it cannot be used. Raises `MserError`."""
        decoded = message.decode()
        if message.topic in self.beside:
            (self._decoder.set_camera if message.type_name == CAMERA_INFO else self._decoder.add_static_frames)(decoded)
            return []
        # ROS4HRI: /humans/bodies/<id>/skeleton2d
        folders = message.topic.split("/")
        body_id = folders[-2] if message.type_name == SKELETON_2D and len(folders) > 2 else ""
        frames, faults = self._decoder.decode(message.type_name, decoded, body_id)
        return [*frames, *faults]


def _fail(error: MserError) -> AudioChunk:
    raise error


def choose_topic(bag: Bag, wanted: str, kinds: Sequence[str], option: str) -> str:
    """The only topic of one of these types; of several those of the first type count."""
    if wanted:
        bag.require(wanted, *kinds)
        return wanted
    kind = next((kind for kind in kinds if kind in bag.topics.values()), "")
    fitting = sorted(name for name, type_name in bag.topics.items() if type_name == kind)
    # A recording of the whole system also holds what the nodes passed on to each other.
    inputs = [name for name in fitting if name.rsplit("/", 1)[-1] not in ("voice", "skeleton")] or fitting
    if len(inputs) > 1:
        names = ", ".join(inputs)
        raise BagError(f"the bag {bag.path} has several topics of type {kind}: choose one of {names} with {option}")
    return inputs[0] if inputs else ""


def skeleton_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What messages of skeletons do not tell of themselves, as options of a command: its parameter `mocap`."""

    @wraps(command)
    def call(*arguments: Any, layout: str, joints: str, aspect: float, tf_pattern: str, **more: Any) -> Any:
        given = {"layout": layout, "joints": joints, "aspect": aspect, "tf_pattern": tf_pattern}
        return command(*arguments, mocap=build(MocapSettings, given), **more)

    default = MocapSettings()
    for option in (
        click.option(
            "--tf-pattern", default=default.tf_pattern, show_default=True, help="Names of TF frames of bodies."
        ),
        click.option("--aspect", default=0.0, help="Width / height of the image.  [camera_info, else 4 / 3]"),
        click.option("--joints", default="", help="Order of the joints.  [the layout's own]"),
        click.option("--layout", default="", help="Joint layout, where messages or files name none."),
    ):
        call = option(call)
    return call


def motion_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What motion files do not tell of themselves, as options of a command: its parameters `up` and `unit`."""
    for option in (
        click.option("--unit", type=click.Choice(SIZES), help="Unit of a motion file.  [by the size of its body]"),
        click.option(
            "--up", type=click.Choice(UPS), help="Which way is up in a motion file.  [by how its body stands]"
        ),
    ):
        command = option(command)
    return command


def open_files(
    sound: Path, skeleton: Path | None, eyes: PoseNetworks | None = None, layout: str = "", up: str = "", unit: str = ""
) -> tuple[Iterator[Item], int, Sequence[str]]:
    """A sound file, cut as a microphone would deliver it, with the skeletons of a motion file that begins with it,
    or of people that `eyes` find in it if it is a film: as `read_bag`. `layout`, `up`, `unit`: of the motion file, ''
    for its own."""
    opened = open_sound_file(sound)
    step = max(1, round(_CHUNK_S * opened.sample_rate))
    sequence = read_motion(skeleton, layout=layout, up=up, unit=unit, notes=opened.notes) if skeleton else None
    film = open_pictures([sound], rate_hz=PoseSettings.rate_hz) if eyes and not skeleton else None

    def heard() -> Iterator[Item]:
        first, end_ns = 0, 0
        try:
            for block in opened.blocks(step):
                start_ns, first = first * NS_PER_S // opened.sample_rate, first + len(block)
                end_ns = first * NS_PER_S // opened.sample_rate
                yield Item(partial(_heard, block, opened.sample_rate, start_ns, first - len(block)), end_ns)
        except AudioError as error:  # what was read before it counts
            yield Item(partial(_fail, error), end_ns)

    def seen() -> Iterator[Item]:
        for frame in sequence.frames() if sequence else ():
            yield Item(partial(_same, frame), frame.stamp_ns)

    count = -(-opened.frames // step) + (len(sequence.stamps_ns) if sequence else 0) + ((film and film.count) or 0)
    bodies = _look(film, eyes) if film and eyes else seen()
    return heapq.merge(heard(), bodies, key=lambda item: item.log_ns), count, opened.notes


def _look(film: PictureStream, eyes: PoseNetworks) -> Iterator[Item]:
    """The people in a film."""
    settings = PoseSettings()
    tracker = PeopleTracker(eyes, max_people=settings.max_people, rate_hz=settings.rate_hz)
    stamp_ns = 0
    try:
        for picture in film.pictures:
            stamp_ns = picture.stamp_ns
            for person in tracker.update(picture.pixels, stamp_ns):
                frame = skeleton_of(person, stamp_ns, picture.pixels, field_of_view=settings.field_of_view)
                yield Item(partial(_same, frame), stamp_ns)
    except ImageError as error:  # what was seen before it counts
        yield Item(partial(_fail, error), stamp_ns)


def _heard(block: np.ndarray, rate: int, stamp_ns: int, first: int) -> AudioChunk:
    return AudioChunk(pcm16(block), rate, stamp_ns, first)


def _same(data: Data) -> Data:
    return data
