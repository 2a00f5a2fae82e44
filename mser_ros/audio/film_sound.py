"""The sound track of films, and of sound in the containers and codecs of films, in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AudioError, DependencyError

#: How the files begin that libraries for films read; of the first kind what stands at byte 4.
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
_BEGINS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF: WMV, WMA
    b"FLV\1",
    b"#!AMR",
    b"\x0b\x77",  # AC-3
    b"\0\0\1\xba",  # MPEG program stream
)
#: Sound whose codec the library for films may know where that for sound does not.
_CODED = (
    b"caff", b"FORM", b"OggS", b"RIFF", b"riff", b".snd", b"wvpk", b"TTA1", b"MAC ", b"MPCK", b"MP+", b"DSD ", b".RMF",
    b"\x06\x0e\x2b\x34", b"\x7f\xfe\x80\x01", b"nut/multimedia container",
)  # fmt: skip
#: Formats of a WAV that the library for sound reads itself: samples, whole or as floats, G.711, and one that is told
#: further on.
_NOT_CODED = (1, 3, 6, 7, 0xFFFE)
#: Containers that do not tell where a frame of AAC ends; so much of it is decoded at once [bytes].
_WITHOUT_FRAMES, _LONGEST_AAC = ("wav", "w64"), 1 << 23
#: Length of a packet of an MPEG transport stream, which begins with 'G'; of cameras (m2ts) after four bytes more.
_TRANSPORT = (188, 192)
#: Containers whose header tells how long the film is; of others the library guesses.
_TELLING = {"matroska", "mov", "avi", "flv", "asf"}
#: So much less than that may be there [s].
_MISSING_S = 0.5
#: Where stamps leave so much out sound is missing; where they leave more out, or go back, their clock is another [s].
_LEAST_HOLE_S, _LONGEST_HOLE_S = 0.1, 3600.0


def is_film(head: bytes) -> bool:
    """Whether a file that begins so (1000 bytes will do) is read by libraries for films, whatever its name."""
    if head[4:8] in _BOXES or head.startswith(_BEGINS) or (head[:4] == b"RIFF" and head[8:12] == b"AVI "):
        return True
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0:  # AAC in ADTS
        return True
    return _is_latm(head) or any(
        len(head) >= 3 * size and set(head[size - 188 :: size][:3]) == {0x47} for size in _TRANSPORT
    )


def _is_latm(head: bytes) -> bool:
    """AAC in LATM with the marks of LOAS (ISO/IEC 14496-3): each frame begins with 11 bits, and 13 tell its length."""
    at = 0
    while at + 3 <= len(head):
        if head[at] != 0x56 or head[at + 1] & 0xE0 != 0xE0:
            return False
        at += 3 + ((head[at + 1] & 0x1F) << 8 | head[at + 2])
    return at > 0


def may_be_coded(head: bytes) -> bool:
    """Whether a file that begins so and that the library for sound refuses may be in a codec that it does not know."""
    form = head.find(b"fmt ") + 8 if head[8:12] == b"WAVE" else -1
    return head.startswith(_CODED) and int.from_bytes(head[form : form + 2], "little") not in _NOT_CODED


@dataclass(frozen=True)
class Track:
    """The first sound track of a film. `length_s`: of the film, about; 0 where nobody knows."""

    sample_rate: int
    length_s: float
    blocks: Callable[[int], Iterator[np.ndarray]]


def open_track(path: Path, notes: list[str]) -> Track:
    """`notes` takes a sentence for each thing that is odd; all of them are there when the blocks have been read.

    Raises `AudioError` for what is no film or has no sound, `DependencyError` where PyAV is missing.
    """
    try:
        import av
    except ImportError:
        raise DependencyError(f"'{path}' needs a package for films: pip install 'mser_ros[media]' (or av)") from None
    try:
        with av.open(str(path), metadata_errors="replace") as film:
            tracks = film.streams.audio
            if not tracks:
                raise AudioError(f"the film '{path}' has no sound track: name another one, or see it by 'mser pose'")
            if len(tracks) > 1:
                notes.append(
                    f"{path.name} has {len(tracks)} sound tracks, of which the first is read: for the second, take it "
                    "out (ffmpeg -i FILM -map 0:a:1 SOUND.wav)"
                )
            if tracks[0].codec_context is None or not tracks[0].rate:
                raise AudioError(f"'{path}' has sound in a codec that is not known: convert it to WAV or FLAC")
            begins = [begin for name, begin in _boxes(path) if name == b"ftyp"]
            if len(begins) > 1:
                notes.append(
                    f"{path.name} holds {len(begins)} films one after the other, of which the first is read: take the "
                    f"next one out (tail -c +{begins[1] + 1} {path.name} > NEXT{path.suffix})"
                )
            # By the rate that a WAV tells of AAC, which is no constant one, its length would be guessed wrong.
            is_guessed = film.format.name in _WITHOUT_FRAMES and tracks[0].codec_context.name.startswith("aac")
            rate, length_s = int(tracks[0].rate), 0.0 if is_guessed else (film.duration or 0) / 1e6
    except av.FFmpegError as error:
        raise AudioError(_why_no_film(path, error)) from None
    return Track(rate, length_s, lambda size: _in_blocks(_Reader(path, rate, notes, av).read(), size))


def _in_blocks(pieces: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    kept: list[np.ndarray] = []
    count = 0
    for piece in pieces:
        kept.append(piece)
        count += len(piece)
        if count >= size:
            whole = np.concatenate(kept)
            for begin in range(0, count - size + 1, size):
                yield whole[begin : begin + size]
            kept = [whole[count - count % size :]]
            count %= size
    if count:
        yield np.concatenate(kept)


class _Reader:
    """Reads a track once. Sound stands where its stamps say: silence is put where some is missing or damaged."""

    def __init__(self, path: Path, rate: int, notes: list[str], av: Any) -> None:
        self._path, self._rate, self._notes, self._av = path, rate, notes, av
        self._resampler: Any = None
        self._kind: tuple[Any, ...] = ()
        self._channels = 0
        #: Samples so far, those of them that were put in, and the stamp of the first [s].
        self._count = self._filled = 0
        self._zero_s: float | None = None

    def read(self) -> Iterator[np.ndarray]:
        """Floats (so many, channels). Raises `AudioError` where nothing more can be read of a damaged file."""
        av, end_s = self._av, 0.0
        try:
            with av.open(str(self._path), metadata_errors="replace") as film:
                begin_s, told_s = (film.start_time or 0) / 1e6, (film.duration or 0) / 1e6
                is_told = bool(_TELLING & set(film.format.name.split(",")))
                track = film.streams.audio[0]
                for packet in self._packets(film, track):
                    if packet.pts is not None:
                        end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base) - begin_s)
                    if packet.stream is track:
                        for frame in self._decoded(packet):
                            yield from self._placed(frame)
                yield from self._resampled(None)
        except av.FFmpegError as error:
            self._note_filled()
            if not self._count:
                raise AudioError(_why_no_film(self._path, error)) from None
            raise AudioError(
                f"the film '{self._path}' is damaged after {self._count / self._rate:.1f} s ({error.strerror}): what "
                "comes before that counts; take another copy of it, if there is one"
            ) from None
        self._note_filled()
        if is_told and told_s - end_s > _MISSING_S:
            self._note(f"{self._path.name} is cut off: {end_s:.1f} s of the {told_s:.1f} s it tells of are there")

    def _packets(self, film: Any, track: Any) -> Iterator[Any]:
        """A WAV cuts AAC anywhere, and only the decoder can tell where its frames end: it gets all of it at once."""
        codec = track.codec_context
        if film.format.name not in _WITHOUT_FRAMES or codec.name != "aac" or not codec.extradata:
            yield from film.demux()
            return
        data = bytearray()
        for packet in film.demux(track):
            data += bytes(packet)
            if len(data) > _LONGEST_AAC:
                raise AudioError(
                    f"'{self._path}' is AAC in a WAV, which does not tell where its frames end, of more than "
                    f"{_LONGEST_AAC >> 20} MiB: have the program that made it write .m4a or WAV"
                )
        whole = self._av.Packet(bytes(data))
        whole.stream = track
        yield whole

    def _decoded(self, packet: Any) -> list[Any]:
        """A packet that is damaged costs itself."""
        try:
            found: list[Any] = packet.decode()
        except self._av.FFmpegError:
            return []
        return found

    def _placed(self, frame: Any) -> Iterator[np.ndarray]:
        """A frame, and before it the silence that its stamp tells of."""
        if frame.pts is not None:
            at_s = float(frame.pts * frame.time_base)
            if self._zero_s is None:
                self._zero_s = at_s
            missing_s = at_s - self._zero_s - self._count / self._rate
            if not -_LEAST_HOLE_S <= missing_s <= _LONGEST_HOLE_S:
                self._zero_s += missing_s
            elif missing_s > _LEAST_HOLE_S and self._count:
                yield from self._silence(round(missing_s * self._rate))
        yield from self._resampled(frame)

    def _silence(self, missing: int) -> Iterator[np.ndarray]:
        yield from self._resampled(None)
        self._count += missing
        self._filled += missing
        while missing > 0:
            length = min(missing, self._rate)
            yield np.zeros((length, self._channels), np.float32)
            missing -= length

    def _resampled(self, frame: Any | None) -> Iterator[np.ndarray]:
        """A frame as the first one was: of its rate and channels. None: what is left."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate) if frame is not None else ()
        found: list[Any] = []
        if kind != self._kind and self._resampler is not None:
            found += self._resampler.resample(None)
            self._resampler = None
        if frame is not None:
            if self._resampler is None:
                # Interleaved: of frames with a plane for each channel PyAV reads only eight, and crashes on more.
                self._resampler = self._av.AudioResampler(format="flt", rate=self._rate)
            frame.pts = None
            found += self._resampler.resample(frame)
        self._kind = kind
        for part in found:
            samples = part.to_ndarray().reshape(part.samples, -1)
            self._channels = self._channels or samples.shape[1]
            if samples.shape[1] != self._channels:
                samples = np.repeat(samples.mean(axis=1, keepdims=True), self._channels, axis=1)
            self._count += len(samples)
            yield samples

    def _note_filled(self) -> None:
        if self._filled:
            self._note(
                f"{self._filled / self._rate:.1f} s of the sound of {self._path.name} are missing or damaged: silence "
                "stands for them"
            )

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)


def _why_no_film(path: Path, error: Any) -> str:
    """What is wrong with a film that cannot be opened, and the cure."""
    boxes = [name for name, _ in _boxes(path)]
    if boxes and boxes[0] in _BOXES and b"moov" not in boxes:
        return (
            f"'{path}' lacks the index that an MP4 ends with: its recorder was stopped, or it was cut off; take "
            "another copy of it, or mend it by a film that the same camera made (untrunc)"
        )
    return f"the film '{path}' cannot be read ({error.strerror}): convert its sound to WAV or FLAC"


def _boxes(path: Path) -> list[tuple[bytes, int]]:
    """Of an MP4 the parts that it is made of, and where they begin; of another file the first bytes, taken for one."""
    boxes: list[tuple[bytes, int]] = []
    with path.open("rb") as stream:
        at, whole = 0, path.stat().st_size
        while len(head := stream.read(16)) >= 8 and len(boxes) < 1000:
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            boxes.append((head[4:8], at))
            if size < 8 or at + size > whole:
                break
            at += size
            stream.seek(at)
    return boxes
