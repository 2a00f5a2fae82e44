"""Sound files, and the sound of films, whole or in pieces."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..errors import AudioError, DependencyError, MserError, unusable_name
from ..types import AudioChunk, Waveform
from .film_sound import is_film, may_be_coded, open_track
from .sound_headers import (
    behind_tags,
    find_samples,
    mp3_begins,
    ogg_begins,
    same_begins,
    spliced,
    wav_begins,
    why_no_wav,
)
from .waveform import check_rate, pcm16

#: Frames that a header tells of where it knows no number.
_ENDLESS = 1 << 48
#: So much less than its header tells of may be in a file whose end is whole: what codecs add at both ends [s].
_MISSING_S = 0.2
#: Length of the tag that programs for MP3 put at the end of any file [bytes].
_TAG = 128
#: Encodings in which samples may lie beyond full scale, and how far they do without harm.
_FLOATS, _CLIPPED = ("FLOAT", "DOUBLE"), 1.05
#: Files of motion, which go with a sound, by the ends of their names.
_MOTION = (".npz", ".bvh", ".bvh.gz")
_PACKED = "is packed: unpack it, and name what is in it"
#: Files of other kinds, by how they begin, and how sound files do.
_OTHERS = {
    b"#ROSBAG V": "a bag of ROS 1: convert it (pip install rosbags; rosbags-convert --src FILE --dst FOLDER)",
    **dict.fromkeys((b"PK\3\4", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x04\x22\x4d\x18"),
                    _PACKED.removeprefix("is ")),
    b"\x28\xb5\x2f\xfd": "packed with Zstandard: unpack it (zstd -d), or name a bag so that it ends with .mcap.zstd",
    **dict.fromkeys((b"\xff\xd8\xff", b"\x89PNG", b"GIF8"),
                    "a picture, and no sound: name a sound or a film; pictures are seen by 'mser pose'"),
    b"\0\5\x16\7": "what macOS keeps beside a file, and no sound: name the file itself, without '._'",
    **dict.fromkeys((b"7\x7f\x06\x82", b"7\x7f\x06\x83"), "the log of an SQLite bag: name the .db3 file beside it"),
}  # fmt: skip
_SOUNDS = (
    b"RIFF",
    b"RIFX",
    b"RF64",
    b"riff",
    b"fLaC",
    b"OggS",
    b"ID3",
    b"\xff",
    b"FORM",
    b".snd",
    b"caff",
    b"\x1aE\xdf\xa3",
)
#: Of the encoder: made for voices, and fast.
_OPUS = {"application": "voip", "compression_level": "5"}
#: Endings of files that hold more than sound.
FILMS = (
    ".mp4", ".m4a", ".m4b", ".m4v", ".mkv", ".mka", ".mov", ".webm", ".avi", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg",
    ".flv", ".f4v", ".wmv", ".asf", ".ogv", ".vob", ".mxf", ".rm", ".3gp", ".3g2", ".wma", ".aac", ".latm", ".loas",
    ".amr", ".awb", ".weba", ".m4r", ".ac3", ".eac3", ".dts",
)  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """A sound file or film that is read in pieces, so that its length costs no memory.

    `frames`: its length, of a film about. `blocks`: called with a number of frames, gives floats for `pcm16`, (so many,
    channels), the last array shorter; raises `AudioError` where the file is damaged. `notes`: a sentence for each thing
    that is odd about the file; all of them are there when the blocks have been read.
    """

    sample_rate: int
    frames: int
    blocks: Callable[[int], Iterator[np.ndarray]]
    notes: list[str] = field(default_factory=list)


def open_sound_file(path: Path | str) -> Sound:
    """A sound file (WAV, FLAC, Ogg, MP3), or the sound of a film; a WAV that its recorder did not finish up to its end.

    Raises `AudioError` if it is missing, empty or not a sound file, `DependencyError` for a film where PyAV is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(_why_no_file(path))
    if fault := unusable_name(path):
        raise AudioError(fault)
    notes: list[str] = []
    with path.open("rb") as stream:
        stream.seek(behind_tags(stream, 0))
        is_told = is_film(stream.read(1000))
    try:
        infos = [] if is_told else [soundfile.info(part) for part in _parts(path, notes)]
        sound = _open_parts(path, infos, notes) if infos else _open_film(path, notes)
    except (soundfile.SoundFileError, TypeError) as error:  # the latter for raw samples
        sound = _open_otherwise(path, notes, error)
    try:
        check_rate(sound.sample_rate)
    except AudioError as error:
        raise AudioError(f"'{path}' holds {error}, or be converted (ffmpeg -i IN -ar 16000 OUT.wav)") from None
    return sound


def read_sound_file(path: Path | str) -> AudioChunk:
    """A whole sound file or the sound of a film as one chunk at its own rate, with stamp 0. Raises as
    `open_sound_file`, and for samples that `pcm16` refuses."""
    sound = open_sound_file(path)
    try:
        blocks = [pcm16(block) for block in sound.blocks(sound.sample_rate)]
    except AudioError as error:
        raise AudioError(str(error) if str(path) in str(error) else f"'{path}' holds {error}") from None
    if not blocks:
        raise AudioError(f"'{path}' holds no audio: record it again")
    return AudioChunk(samples=np.concatenate(blocks), sample_rate=sound.sample_rate, stamp_ns=0)


def write_opus(path: Path, wave: Waveform, *, bit_rate: int) -> None:
    """Write speech as Ogg/Opus, which browsers play. `bit_rate` [bit/s]: 16,000 is good for a voice at 16 kHz.

    Raises `DependencyError` where PyAV is missing.
    """
    try:
        import av
    except ImportError:
        raise DependencyError("writing Opus needs PyAV: pip install 'mser_ros[report]' (or av)") from None
    frame = av.AudioFrame.from_ndarray(pcm16(wave.samples[:, None]).T, format="s16", layout="mono")
    frame.sample_rate = wave.sample_rate
    with av.open(str(path), "w", format="ogg") as file:
        stream = file.add_stream("libopus", rate=wave.sample_rate, layout="mono", options=_OPUS)
        stream.bit_rate = bit_rate
        for given in (frame, None):
            file.mux(stream.encode(given))


class _Forward(soundfile.SoundFile):  # type: ignore[misc]
    """Read from its beginning to its end without a look back, so that a header that is wrong does no harm."""

    def seekable(self) -> bool:
        return False


def _read_blocks(path: Path, size: int, frames: int, notes: list[str], count: int) -> Iterator[np.ndarray]:
    """`count`: how many of its recordings."""
    heard, rate, highest, channels = 0, 1, 0.0, 0
    try:
        for part in _parts(path, [])[:count]:
            with _Forward(part) as file:
                rate = file.samplerate
                channels = channels or file.channels
                # As int16, soundfile would not scale files that hold floats.
                while len(block := file.read(size, dtype="float32", always_2d=True)):
                    heard += len(block)
                    if file.subtype in _FLOATS:  # what other codecs overshoot by is no scale
                        highest = max(highest, float(np.abs(block).max()))
                    if block.shape[1] != channels:  # as those that it began with
                        block = np.repeat(block.mean(axis=1, keepdims=True), channels, axis=1)
                    yield block
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"'{path}' is damaged after {heard / rate:.1f} s ({error}): what comes before that counts; take another "
            "copy of it, if there is one"
        ) from None
    if frames - heard > _MISSING_S * rate:
        lasts_s, there_s = frames / rate, heard / rate
        _note(notes, f"{path.name} is cut off or damaged: {there_s:.1f} s of the {lasts_s:.1f} s it tells of are there")
    if highest > _CLIPPED:
        _note(
            notes,
            f"{path.name} holds floats up to {highest:.2g}, and what lies beyond 1 is clipped: normalise it "
            "(sox --norm=-1 IN OUT)",
        )


def _why_no_file(path: Path) -> str:
    if str(path) == "-" or (path.exists() and not path.is_dir()):
        return f"'{path}' is no file that can be read: store in one what it gives, and name that"
    if path.is_dir():
        return f"there is no sound file '{path}', it is a folder: name a sound file or film in it"
    if re.match(r"[a-z]{3,}:/", str(path)):
        return f"'{path}' is an address and no file: bring it here (curl -O, or ffmpeg -i), and name that file"
    return f"there is no sound file '{path}': check the path"


def why_no_sound(path: Path, error: object = "") -> str:
    """What a file is that cannot be read as sound, and the cure, in one sentence."""
    with path.open("rb") as stream:
        head = stream.read(1024)
    if not head:
        return f"'{path}' is empty: record it again, or take another copy of it"
    if head.startswith(b"version https://git-lfs"):
        return f"'{path}' is a pointer of Git LFS and not the file itself: git lfs pull"
    if path.name.lower().endswith(_MOTION):
        return f"'{path}' holds motion and no sound: name it by --skeleton, beside the sound that it goes with"
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            return f"'{path}' is {what}"
    if head[257:262] == b"ustar":
        return f"'{path}' {_PACKED}"
    if head.isascii() and b"\0" not in head:
        begins = " ".join(head.decode("ascii").split())[:40]
        return f"'{path}' is text and no sound (it begins with {begins!r}): get the file itself"
    if not any(head.startswith(magic) for magic in _SOUNDS):
        return (
            f"'{path}' has no header of a sound file: if these are raw samples, give them one "
            "(ffmpeg -f s16le -ar 16000 -ac 1 -i FILE FILE.wav, with their format, rate and channels), else convert it"
        )
    if head.startswith(b"ID3"):  # of which libsndfile says that there is no such file
        return (
            f"'{path}' begins with an ID3 tag behind which no sound is found, as where the tag tells a wrong length: "
            "take another copy of it, or have it tagged anew"
        )
    if head[:4] in (b"RIFF", b"RIFX") and head[8:12] == b"WAVE":
        with path.open("rb") as stream:
            wrong = why_no_wav(stream)
        if wrong:
            return f"'{path}' {wrong}"
    return f"'{path}' cannot be read as sound ({error}): convert it to WAV or FLAC"


def _open_parts(path: Path, infos: Sequence[Any], notes: list[str]) -> Sound:
    """`infos`: what the library for sound tells of each of the parts."""
    rate = int(infos[0].samplerate)
    count = next((number for number, info in enumerate(infos) if info.samplerate != rate), len(infos))
    if count < len(infos):
        _note(
            notes,
            f"{path.name} holds {len(infos)} recordings, of which the first {count} are read: the next is of another "
            "rate; cut it into files",
        )
    whole = sum(int(info.frames) for info in infos[:count])
    if not whole:
        raise AudioError(f"'{path}' holds no audio: record it again")
    frames = whole if whole < _ENDLESS else 0
    return Sound(rate, frames, lambda size: _read_blocks(path, size, frames, notes, count), notes)


def _open_otherwise(path: Path, notes: list[str], error: Exception) -> Sound:
    """What the library for sound refuses may have a codec that the one for films knows."""
    is_named_so = path.suffix.lower() in FILMS
    with path.open("rb") as stream:
        if not is_named_so and not may_be_coded(stream.read(1000)):
            raise AudioError(why_no_sound(path, error)) from None
    try:
        return _open_film(path, notes)
    except MserError:
        if is_named_so:
            raise
        raise AudioError(why_no_sound(path, error)) from None


def _open_film(path: Path, notes: list[str]) -> Sound:
    track = open_track(path, notes)
    return Sound(track.sample_rate, round(track.length_s * track.sample_rate), track.blocks, notes)


def _parts(path: Path, notes: list[str]) -> list[Path | io.BufferedReader]:
    """The file; of one to which others were appended, each of them; of one that its recorder did not finish what stands
    for it."""
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] == b"OggS":
            begins, has_end = ogg_begins(stream)
            if not has_end:
                _note(notes, f"{path.name} has no end: its recorder was stopped, or it was cut off")
        elif head[:4] in (b"fLaC", b"FORM", b"RF64", b".snd", b"caff"):
            begins = same_begins(stream)
        else:
            begins = mp3_begins(stream) if head[:3] == b"ID3" or head[:1] == b"\xff" else wav_begins(stream)
        whole = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, whole - _TAG))
        if stream.read(3) == b"TAG" and head[:4] == b"fLaC":  # ID3, which has no place in it
            whole -= _TAG
            begins = begins or [0]
        elif len(begins) < 2:
            return [_finished(path, notes)]
    ends = [*begins[1:], whole]
    return [spliced(path, b"", begin, end) for begin, end in zip(begins, ends, strict=True)]


def _finished(path: Path, notes: list[str]) -> Path | io.BufferedReader:
    """The file, or one whose recorder was killed before it filled in the sizes, with those that it has."""
    with path.open("rb") as stream:
        whole = stream.seek(0, os.SEEK_END)
        place = find_samples(stream, whole)
        if place is None:
            return path
        lost = place.lost(whole)
        if lost:
            _note(notes, f"{path.name} is cut off: {lost} bytes of those that its header speaks of are not there")
        is_unfinished = not lost and place.is_wrong(stream, whole)
        if not is_unfinished and place.head is None and not (lost and place.is_strict):
            return path
        content = place.written(stream, whole)
    if is_unfinished:
        _note(notes, f"the recorder of {path.name} did not finish: it is read to its end")
    elif not lost:
        _note(notes, f"the header of {path.name} is not as it should be, and read as it is meant")
    return spliced(path, content, place.begin, whole)


def _note(notes: list[str], sentence: str) -> None:
    if sentence not in notes:
        notes.append(sentence)
