"""Audio as other packages send it: a decoder for each type of message that carries sound.

The two packages named `audio_common_msgs` share names of messages and not their fields, so what a message is is told by
its fields. Nothing here imports ROS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..audio.coded import Codec, CodecError
from ..audio.ogg_stream import OggDecoder
from ..audio.waveform import check_rate, deinterleave, pcm16
from ..errors import AudioError
from ..settings import AudioFormatSettings
from ..types import AudioChunk
from .conversions import audio_from_msg, time_to_ns

#: The type of this package's own nodes.
FRAME = "mser_msgs/msg/AudioFrame"
#: Where ros-drivers' capture node tells the format of its AudioData.
INFO = "audio_common_msgs/msg/AudioInfo"

#: numpy's types of the raw formats, by GStreamer's names.
_RAW: Mapping[str, str] = {
    "U8": "u1",
    "S8": "i1",
    "S16LE": "<i2",
    "S16BE": ">i2",
    "S32LE": "<i4",
    "S32BE": ">i4",
    "F32LE": "<f4",
    "F32BE": ">f4",
}
#: Coded streams by how they begin, and how many messages in a row must begin with a frame of MPEG to be such a one.
_CODED: Mapping[bytes, str] = {b"ID3": "mp3", b"fLaC": "flac", b"OggS": "ogg"}
#: What `coding_format` may be called, and the format that it is here.
_CODINGS: Mapping[str, str] = {"mp3": "mp3", "ogg": "ogg", "opus": "ogg", "vorbis": "ogg"}
_UNCODED = ("", "wave", "wav", "raw")
_MPEG_FRAMES = 3
#: After so many messages in a row that hold samples the stream is coded no more; coded bytes, taken for samples, have a
#: deviation of some 18 900, which no sound has.
_PLAIN, _LOUDEST = 20, 12_000


class AudioDecoder:
    """Turns the messages of one topic into chunks, in their order.

    `settings`: what a message does not tell of itself. A message without a stamp gives a chunk with stamp 0.
    """

    def __init__(self, settings: AudioFormatSettings | None = None) -> None:
        settings = settings or AudioFormatSettings()
        self._format, self._rate, self._channels = settings.format, settings.sample_rate, settings.channels
        self._mp3: Codec | None = None
        self._ogg: OggDecoder | None = None
        self._coded, self._frames, self._plain = "", 0, 0

    def decode(self, type_name: str, message: Any) -> list[AudioChunk]:
        """The sound that is complete with this message: one chunk, which may be empty; of coded streams another where
        they change their format or have a hole.

        Raises `AudioError` for a message that holds no sound that can be used.
        """
        return _DECODERS[type_name](self, message)

    def set_format(self, info: Any) -> None:
        """What ros-drivers' `AudioInfo` says of the messages that follow. Raises `AudioError` for an unknown format."""
        if not hasattr(info, "sample_format"):
            raise AudioError("audio info without sample_format: only that of ros-drivers' audio_common is needed")
        coded = str(info.coding_format).lower()
        found = _CODINGS.get(coded) or str(info.sample_format).upper()
        if coded not in _CODINGS and (coded not in _UNCODED or found not in _RAW):
            raise AudioError(f"audio in format '{coded} {found}'"[:200] + ": capture it as wave (S16LE), mp3 or ogg")
        check_rate(info.sample_rate)
        self._coded, self._frames, self._plain = "", 0, 0
        self._format, self._rate, self._channels = found, int(info.sample_rate), int(info.channels)

    def _bytes(self, data: Any, stamp_ns: int = 0, frame_id: str = "") -> list[AudioChunk]:
        """Raw or coded bytes as the settings or the info describe them."""
        content = np.asarray(data, np.uint8).tobytes()
        if self._format in _CODINGS:
            decode = self._decode_ogg if self._format == "ogg" else self._decode_mp3
            nothing = AudioChunk(np.zeros((0, 1), np.int16), self._rate, stamp_ns, frame_id=frame_id)
            return [replace(chunk, frame_id=frame_id) for chunk in decode(content, stamp_ns)] or [nothing]
        self._check_raw(content)
        kind = np.dtype(_RAW[self._format])
        if len(content) % (kind.itemsize * max(1, self._channels)):
            raise AudioError(
                f"audio of {len(content)} bytes does not hold whole frames of {self._format} in {self._channels} "
                "channels: set audio.format and audio.channels to what the source sends"
            )
        return self._chunk(np.frombuffer(content, kind), self._rate, self._channels, stamp_ns, frame_id)

    def _decode_mp3(self, content: bytes, stamp_ns: int) -> list[AudioChunk]:
        self._mp3 = self._mp3 or Codec("mp3", "mp3")
        try:
            return [AudioChunk(samples, rate, stamp_ns) for samples, rate in self._mp3.parse(content)]
        except CodecError as error:
            raise AudioError(f"audio that is no mp3 ({error}): set audio.format to what the source sends") from None

    def _decode_ogg(self, content: bytes, stamp_ns: int) -> list[AudioChunk]:
        self._ogg = self._ogg or OggDecoder()
        return [
            AudioChunk(found.samples, found.sample_rate, found.stamp_ns, found.first_sample)
            for found in self._ogg.decode(content, stamp_ns)
        ]

    def _check_raw(self, content: bytes) -> None:
        """Raises `AudioError` for what is taken for samples and is a coded stream, from its beginning or where message
        after message begins with a frame of MPEG, as samples do not."""
        begins = next((name for magic, name in _CODED.items() if content.startswith(magic)), "")
        self._coded = begins or self._coded
        is_frame = len(content) > 3 and content[0] == 0xFF and content[1] & 0xE6 == 0xE2 and 0 < content[2] >> 4 < 15
        self._frames = self._frames + 1 if is_frame else 0
        if self._frames >= _MPEG_FRAMES:
            self._coded = "mp3"
        # The source may have been restarted with the format that is asked for.
        self._plain = 0 if begins or is_frame or not _are_samples(content) else self._plain + 1
        if self._plain >= _PLAIN:
            self._coded = ""
        if self._coded:
            cure = "capture it as wave, mp3 or ogg"
            if self._coded in _CODINGS:
                cure = f"set audio.format (--audio-format) to {self._coded}"
            raise AudioError(f"these bytes are {self._coded} and no samples in {self._format}: {cure}")

    def _chunk(
        self, samples: np.ndarray, rate: int, channels: int, stamp_ns: int = 0, frame_id: str = ""
    ) -> list[AudioChunk]:
        check_rate(rate)
        return [AudioChunk(deinterleave(pcm16(samples), channels), int(rate), stamp_ns, frame_id=frame_id)]

    def _frame(self, message: Any) -> list[AudioChunk]:
        return [audio_from_msg(message)]

    def _array(self, message: Any) -> list[AudioChunk]:
        """Of an array of frames its second dimension is the channels."""
        sizes = [int(dim.size) for dim in message.layout.dim]
        if len(sizes) > 2:
            raise AudioError(f"audio in an array of {len(sizes)} dimensions: give it frames, or frames and channels")
        channels = sizes[1] if len(sizes) == 2 else self._channels
        samples = np.asarray(message.data, np.int16)[int(message.layout.data_offset) :]
        return self._chunk(samples, self._rate, channels)

    def _data(self, message: Any) -> list[AudioChunk]:
        if not hasattr(message, "data"):
            raise AudioError("audio without rate and channels: publish AudioStamped, which has them")
        return self._bytes(message.data)

    def _data_stamped(self, message: Any) -> list[AudioChunk]:
        return self._bytes(message.audio.data, time_to_ns(message.header.stamp), str(message.header.frame_id))

    def _typed(self, message: Any, stamp_ns: int = 0, frame_id: str = "") -> list[AudioChunk]:
        """The one array that is filled."""
        data, info = message.audio_data, message.info
        kinds = ("float32", "int32", "int16", "int8", "uint8")
        arrays = [np.asarray(getattr(data, f"{kind}_data"), kind) for kind in kinds]
        filled = [array for array in arrays if len(array)]
        if len(filled) > 1:
            raise AudioError("audio with samples of two types: fill one of the arrays")
        samples = filled[0] if filled else np.zeros(0, np.int16)
        return self._chunk(samples, int(info.rate), int(info.channels), stamp_ns, frame_id)

    def _typed_stamped(self, message: Any) -> list[AudioChunk]:
        return self._typed(message.audio, time_to_ns(message.header.stamp), str(message.header.frame_id))


def _are_samples(content: bytes) -> bool:
    """Whether bytes may be 16-bit samples and are no coded stream, in which all values are as frequent."""
    samples = np.frombuffer(content[: len(content) // 2 * 2], np.int16)
    return bool(len(samples)) and float(samples.std()) < _LOUDEST


_DECODERS: Mapping[str, Callable[[AudioDecoder, Any], list[AudioChunk]]] = {
    FRAME: AudioDecoder._frame,
    "audio_common_msgs/msg/AudioStamped": AudioDecoder._typed_stamped,
    "audio_common_msgs/msg/Audio": AudioDecoder._typed,
    "audio_common_msgs/msg/AudioDataStamped": AudioDecoder._data_stamped,
    "audio_common_msgs/msg/AudioData": AudioDecoder._data,
    "std_msgs/msg/Int16MultiArray": AudioDecoder._array,
}
#: Types of messages that carry sound, this package's own first.
AUDIO_TYPES = tuple(_DECODERS)
