"""What `mser annotate` reads: bags, sound files with an optional motion file, and films with the bodies in them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..audio.sound_files import open_sound_file
from ..errors import AudioError, BagError, ImageError, MserError
from ..messages import conversions
from ..messages.audio_topics import AUDIO_TYPES, FRAME, INFO, AudioDecoder
from ..messages.bags import Bag, BagMessage
from ..mocap.readers import read_motion
from ..settings import AudioFormatSettings, PoseSettings
from ..types import AudioChunk, SkeletonFrame, to_ns
from ..vision.networks import PoseNetworks
from ..vision.people import PeopleTracker, skeleton_of
from ..vision.sources import PictureStream, open_pictures

SKELETON = "mser_msgs/msg/Skeleton"
#: Length of the chunks that a sound file is cut into [s].
_CHUNK_S = 0.064


@dataclass(frozen=True)
class Item:
    """One piece of input; `load` may raise an `MserError`; `log_ns` is when a robot would have received it."""

    load: Callable[[], AudioChunk | SkeletonFrame]
    log_ns: int


def open_bag(
    path: Path, audio_topic: str, skeleton_topic: str, audio: AudioFormatSettings | None = None
) -> tuple[Iterator[Item], int, tuple[str, ...]]:
    """The audio and skeletons of a bag in order of receipt, their number, and notes of what is odd about the bag. Empty
    names mean the only topic there is. `audio`: what messages of other packages do not tell of themselves.

    Raises `BagError` for a bag without such topics or with several; where a bag is damaged further on, an item does.
    """
    with Bag(path) as bag:
        topics = list(
            filter(
                None,
                (
                    _choose(bag, audio_topic, AUDIO_TYPES, "--audio-topic"),
                    _choose(bag, skeleton_topic, (SKELETON,), "--skeleton-topic"),
                ),
            )
        )
        if not topics:
            has = ", ".join(f"{name} ({kind})" for name, kind in sorted(bag.topics.items()))
            raise BagError(f"the bag {path} has no topic of type {FRAME} or {SKELETON}; it has {has}: record those")
        infos = [name for name, kind in bag.topics.items() if kind == INFO]
        count = sum(connection.msgcount for connection in bag.connections() if connection.topic in topics)
        notes = bag.notes

    def read() -> Iterator[Item]:
        log_ns = 0
        decoder = AudioDecoder(audio)
        with Bag(path) as opened:
            try:
                for message in opened.messages([*topics, *infos]):
                    log_ns = message.log_ns
                    if message.topic not in infos:
                        yield Item(partial(_load, message, decoder), log_ns)
                        continue
                    try:
                        decoder.tell(message.decode())
                    except AudioError as error:
                        yield Item(partial(_fail, error), log_ns)
            except BagError as error:
                yield Item(partial(_fail, error), log_ns)

    return read(), count, notes


def _fail(error: MserError) -> AudioChunk:
    raise error


def _load(message: BagMessage, decoder: AudioDecoder) -> AudioChunk | SkeletonFrame:
    decoded = message.decode()
    if message.type_name == SKELETON:
        return conversions.skeleton_from_msg(decoded)
    return decoder.decode(message.type_name, decoded)


def _choose(bag: Bag, wanted: str, kinds: Sequence[str], option: str) -> str:
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


def open_files(
    sound: Path, skeleton: Path | None, eyes: PoseNetworks | None = None
) -> tuple[Iterator[Item], int, tuple[str, ...]]:
    """A sound file, cut as a microphone would deliver it, with the skeletons of a motion file that begins with it,
    or of people that `eyes` find in it if it is a film: as `open_bag`."""
    opened = open_sound_file(sound)
    step = max(1, round(_CHUNK_S * opened.sample_rate))
    sequence = read_motion(skeleton) if skeleton else None
    film = open_pictures([sound], rate_hz=PoseSettings.rate_hz) if eyes and not skeleton else None

    def heard() -> Iterator[Item]:
        first, end_ns = 0, 0
        try:
            for block in opened.blocks(step):
                piece = AudioChunk(block, opened.sample_rate, to_ns(first / opened.sample_rate), first)
                first, end_ns = first + piece.frames, piece.end_ns
                yield Item(partial(_same, piece), end_ns)
        except AudioError as error:  # what was read before it counts
            yield Item(partial(_fail, error), end_ns)

    def seen() -> Iterator[Item]:
        if sequence is None:
            return
        for stamp_ns, positions, confidence in zip(
            sequence.stamps_ns, sequence.positions, sequence.confidence, strict=True
        ):
            frame = SkeletonFrame(int(stamp_ns), sequence.body_id, sequence.layout, positions, confidence)
            yield Item(partial(_same, frame), frame.stamp_ns)

    count = -(-opened.frames // step) + (len(sequence.stamps_ns) if sequence else 0) + ((film and film.count) or 0)
    bodies = _look(film, eyes) if film and eyes else seen()
    return heapq.merge(heard(), bodies, key=lambda item: item.log_ns), count, ()


def _look(film: PictureStream, eyes: PoseNetworks) -> Iterator[Item]:
    """The people in a film."""
    settings = PoseSettings()
    tracker = PeopleTracker(eyes, max_people=settings.max_people)
    stamp_ns = 0
    try:
        for picture in film.pictures:
            stamp_ns = picture.stamp_ns
            for person in tracker.update(picture.pixels, stamp_ns):
                frame = skeleton_of(person, stamp_ns, picture.pixels, field_of_view=settings.field_of_view)
                yield Item(partial(_same, frame), stamp_ns)
    except ImageError as error:  # what was seen before it counts
        yield Item(partial(_fail, error), stamp_ns)


def _same(data: AudioChunk | SkeletonFrame) -> AudioChunk | SkeletonFrame:
    return data
