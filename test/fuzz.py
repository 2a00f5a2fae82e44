"""Files that are damaged at random, given to every reader: each is read, or refused in one sentence, in little time and
memory. `make fuzz` does so for ten minutes, test/system/test_fuzz.py with the same 5000 of them in every run.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, SimpleNamespace

import av
import numpy as np
import soundfile
from ogg_streams import ogg, sealed
from pictures import write_film
from PIL import Image

from mser_ros.audio.sound_files import open_sound_file
from mser_ros.audio.stream import AudioStream
from mser_ros.corpora import open_corpus
from mser_ros.errors import MserError
from mser_ros.messages import conversions
from mser_ros.messages.audio_topics import AUDIO_TYPES, AudioDecoder
from mser_ros.messages.bag_order import find_disorder
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag
from mser_ros.mocap.layouts import get_layout
from mser_ros.mocap.readers import read_motion
from mser_ros.settings import AudioFormatSettings
from mser_ros.types import AudioChunk, SkeletonFrame
from mser_ros.vision.sources import has_picture, open_pictures

#: No damaged file may keep a reader busy for longer [s], or make it take more memory [bytes].
PATIENCE_S, MEMORY = 20, 4 << 30
Reader = Callable[[Path], object]


class TooSlowError(Exception):
    """A reader did not come to an end."""


# -- readers


def read_sound(path: Path) -> None:
    for _ in open_sound_file(path).blocks(4096):
        pass


def read_bag(path: Path) -> None:
    decoder = AudioDecoder()
    with Bag(path) as bag:
        bag.connections()
        find_disorder(bag, bag.topics)
        for message in bag.messages():
            value = message.decode()
            if message.type_name in AUDIO_TYPES:
                decoder.decode(message.type_name, value)
            elif message.type_name.endswith("/Skeleton"):
                conversions.skeleton_from_msg(value)


def hear(path: Path) -> None:
    """A topic in Ogg, cut into messages: as it is, and with checksums that are right again, so that damage gets past
    them."""
    content = path.read_bytes()
    size, heard, fault = 1 + len(content) % 997, 0, MserError("nothing is heard")
    for each in (content, sealed(content)):
        decoder, stream = AudioDecoder(AudioFormatSettings("ogg")), AudioStream()
        for at in range(0, len(each), size):
            message = SimpleNamespace(data=np.frombuffer(each[at : at + size], np.uint8))
            try:
                for chunk in decoder.decode("audio_common_msgs/msg/AudioData", message):
                    heard += len(stream.push(chunk, 10**9 + at * 10**6))
            except MserError as error:
                fault = error
    if not heard:
        raise fault


def look_at(path: Path) -> None:
    has_picture(path)
    for _ in open_pictures([path], rate_hz=30).pictures:
        pass


def read_manifest(path: Path) -> None:
    for item in open_corpus("own", path.parent).items:
        item.load()


# -- whole files


def write_all(folder: Path) -> dict[str, tuple[bytes, str, Reader]]:
    """By name: the content of a whole file, the name that it is read by, its reader."""
    rng = np.random.default_rng(0)
    wave = (rng.normal(size=(4000, 2)) * 3000).astype(np.int16)
    out: dict[str, tuple[bytes, str, Reader]] = {}
    for ending in ("wav", "flac", "ogg", "mp3", "aiff"):
        soundfile.write(folder / f"sound.{ending}", wave, 16000)
        out[ending] = ((folder / f"sound.{ending}").read_bytes(), f"sound.{ending}", read_sound)
    for codec in ("OPUS", "VORBIS", "FLAC"):
        name = f"ogg_{codec.lower()}"
        out[name] = (ogg(wave / 32768, 16000, codec, page_s=0.05), name, hear)
    frame = SkeletonFrame(10**9, "b", "egait16", rng.normal(size=(16, 3)).astype(np.float32), np.ones(16, np.float32))
    for storage, ending in (("mcap", "mcap"), ("sqlite3", "db3")):
        with BagWriter(folder / storage, storage=storage) as writer:  # type: ignore[arg-type]
            for number in range(8):
                chunk = AudioChunk(
                    wave[number * 500 : (number + 1) * 500], 16000, number * 31_250_000 + 10**9, number * 500
                )
                fields = conversions.audio_to_fields(chunk)
                writer.write("/audio", "mser_msgs/msg/AudioFrame", fields, chunk.end_ns)
                writer.write("/skeleton", "mser_msgs/msg/Skeleton", conversions.skeleton_to_fields(frame), chunk.end_ns)
        path = next((folder / storage).glob(f"*.{ending}"))
        out[ending] = (path.read_bytes(), f"bag.{ending}", read_bag)
    np.savez(folder / "walk.npz", joints=rng.normal(size=(20, 16, 3)), layout="egait16", rate_hz=30.0)
    out["npz"] = ((folder / "walk.npz").read_bytes(), "walk.npz", read_motion)
    out["bvh"] = (bvh().encode(), "walk.bvh", read_motion)
    images = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(8)]
    for ending in ("mp4", "mkv"):
        film = write_film(folder / f"film.{ending}", images, sound=wave[:, 0])
        out[ending] = (film.read_bytes(), film.name, look_at)
    for ending in ("jpg", "png"):
        Image.fromarray(rng.integers(0, 256, (24, 32, 3), np.uint8)).save(folder / f"picture.{ending}")
        out[ending] = ((folder / f"picture.{ending}").read_bytes(), f"picture.{ending}", look_at)
    for form, ending in (("latm", "loas"), ("adts", "aac"), ("wav", "wav")):
        path = write_coded(folder / f"coded.{ending}", wave[:, 0], form)
        out[f"coded_{ending}"] = (path.read_bytes(), path.name, read_sound)
    out["manifest"] = (MANIFEST.encode(), "manifest.tsv", read_manifest)
    table = (
        MANIFEST.replace("said in", '"said; ""in""').replace("\n", '"\n').replace('text"', "text").replace("\t", ";")
    )
    out["table"] = (table.encode(), "manifest.tsv", read_manifest)
    return out


def write_coded(path: Path, wave: np.ndarray, form: str) -> Path:
    """Sound in AAC, in a container of this kind."""
    with av.open(str(path), "w", format=form) as file:
        stream = file.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32) / 32768, format="fltp", layout="mono")
        frame.sample_rate = 16_000
        for given in (frame, None):
            file.mux(stream.encode(given))
    return path


def bvh() -> str:
    """Every joint of a known layout, each a child of the root."""
    root, *joints = get_layout("bandai21").joints
    rotation = "CHANNELS 3 Zrotation Xrotation Yrotation"
    lines = ["HIERARCHY", f"ROOT {root}", "{", "OFFSET 0 90 0"]
    lines.append("CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation")
    for joint in joints:
        lines += [f"JOINT {joint}", "{", "OFFSET 0 10 0", rotation, "End Site", "{", "OFFSET 0 5 0", "}", "}"]
    row = " ".join(["0 90 0", *["1 2 3"] * (1 + len(joints))])
    return "\n".join([*lines, "}", "MOTION", "Frames: 4", "Frame Time: 0.033333", *[row] * 4]) + "\n"


MANIFEST = "file\tlabel\tspeaker\ttext\n" + "".join(
    f"sound.{ending}\t{label}\tp_{ending}\tsaid in {ending}\n"
    for ending, label in (("wav", "angry"), ("flac", "sad"), ("ogg", "happy"))
)


# -- damage


def damage(content: bytes, rng: random.Random) -> bytes:
    """One to four things that happen to files."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 4, 8, 64, 1024))
        kind = rng.randrange(7)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at : at + length] = rng.randbytes(min(length, len(data) - at))
        elif kind == 2:
            data[at : at + length] = bytes(min(length, len(data) - at))
        elif kind == 3:
            data[at : at + length] = b"\xff" * min(length, len(data) - at)
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length]
        elif data:
            # Headers are where sizes stand.
            data[rng.randrange(min(len(data), 128))] = rng.randrange(256)
    return bytes(data)


@contextmanager
def patience(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(
    *, seed: int, examples: int = 0, seconds: float = 0, keep: Path | None = None
) -> tuple[Counter[str], list[str]]:
    """Damage files until there were so many `examples`, or so many `seconds` have passed. How often each kind was read
    or refused, and what went wrong; files that made it go wrong are kept in `keep`."""
    rng, counts, faults = random.Random(seed), Counter[str](), list[str]()
    until_s = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        whole = write_all(folder)
        while sum(counts.values()) < examples or time.monotonic() < until_s:
            kind = rng.choice(sorted(whole))
            content, name, reader = whole[kind]
            path = folder / name
            path.write_bytes(damage(content, rng))
            fault = ""
            try:
                with patience(PATIENCE_S):
                    reader(path)
                counts[f"{kind} read"] += 1
            except MserError as error:
                counts[f"{kind} refused"] += 1
                fault = "" if str(error).strip() else "refused without a word"
            except Exception as error:
                counts[f"{kind} fault"] += 1
                place = traceback.extract_tb(error.__traceback__)[-1]
                fault = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
            if fault:
                faults.append(f"{kind}: {fault}")
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{len(faults)}_{name}").write_bytes(path.read_bytes())
    return counts, faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz_found"), help="folder for files that were not read well"
    )
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    counts, faults = run(seed=given.seed, seconds=given.seconds, keep=given.keep)
    print(f"seed {given.seed}: {sum(counts.values())} files")
    for name, count in sorted(counts.items()):
        print(f"  {name}: {count}")
    for fault, count in Counter(faults).most_common():
        print(f"{count} x {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
