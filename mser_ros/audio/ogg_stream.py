"""A stream of Ogg, cut anywhere, as sound: chained, damaged, or joined in the midst of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..errors import AudioError
from .coded import CodecError, pyav
from .ogg_codecs import OggCodec, guess_codec, open_codec
from .ogg_pages import LONGEST_PAGE, PacketJoiner, Page, PageReader

#: Samples of all channels that one message may hold: a few bytes can claim any number [values].
_MOST_VALUES = 1 << 24
#: A longer hole in the count is none that anybody heard [s].
_LONGEST_HOLE_S = 60
#: Streams that are known at a time; no film has so many.
_MOST_BESIDE = 64
#: Pages without a beginning by which a codec is told, or is not.
_PAGES_TO_GUESS = 3
_MISSED = (
    "the beginning of an Ogg stream was missed, without which only Opus and FLAC are heard: start its source after the "
    "node, or let it send Opus"
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples without a hole, int16 (frames, channels). `first_sample`: counted from the beginning of their stream, or
    from where it was joined, with what was lost. `stamp_ns`: of their page, see `PageReader.push`."""

    samples: np.ndarray
    sample_rate: int
    first_sample: int
    stamp_ns: int


class _Stream:
    """One logical stream, from its codec on."""

    def __init__(self, serial: int, codec: OggCodec, first: Page | None = None) -> None:
        self.serial = serial
        self._codec = codec
        self._joiner = PacketJoiner()
        self._sequence: int | None = first.sequence if first else None
        self._granule: int | None = None
        self._rate = 0
        #: Samples since that granule, those still to be left out at the beginning, and the count.
        self._since, self._skip, self._count = 0, codec.skip, 0

    def take(self, page: Page, room: int) -> tuple[list[Stretch], AudioError | None]:
        """The sound that is complete with this page, until there are more values than `room`; and why something in the
        page is no sound."""
        follows = self._sequence is not None and page.sequence == (self._sequence + 1) & 0xFFFFFFFF
        self._sequence = page.sequence
        if not follows:
            self._codec.lose()
        sounds: list[tuple[np.ndarray, int]] = []
        fault: AudioError | None = None
        for packet in self._joiner.join(page, follows=follows):
            try:
                sounds += self._codec.take(packet)
            except CodecError as error:
                name = self._codec.name
                fault = AudioError(f"{name} in Ogg that cannot be decoded ({error}): look for the fault in its source")
            except AudioError as error:
                fault = error
            if sum(samples.size for samples, _ in sounds) > room:
                break
        return self._place(page, sounds), fault

    def _place(self, page: Page, sounds: list[tuple[np.ndarray, int]]) -> list[Stretch]:
        """Where the samples of a page stand in the count, by its granule."""
        self._since += sum(len(samples) for samples, _ in sounds)
        self._rate = sounds[-1][1] if sounds else self._rate
        if page.granule >= 0 and (self._granule is not None or self._since):  # that of a header tells nothing
            missing = page.granule - (self._granule or 0) - self._since
            if missing < 0 and page.ends and sounds:  # the last packet is filled up
                samples, rate = sounds[-1]
                sounds[-1] = samples[: max(0, len(samples) + missing)], rate
            elif missing > 0 and self._granule is not None:
                is_hole = missing <= _LONGEST_HOLE_S * self._rate
                self._count = self._count + missing if is_hole else 0
            self._granule, self._since = page.granule, 0
        out = []
        for samples, rate in sounds:
            left_out = min(self._skip, len(samples))
            self._skip -= left_out
            if len(samples) > left_out:
                out.append(Stretch(samples[left_out:], rate, self._count, page.stamp_ns))
                self._count += len(samples) - left_out
        return out


class OggDecoder:
    """Hears one stream of sound: the last that began, or was joined. Raises `DependencyError` where PyAV is missing."""

    def __init__(self) -> None:
        pyav("Ogg")  # now, and not when a stream begins, so that every message tells
        self._reader = PageReader()
        self._stream: _Stream | None = None
        self._last: Page | None = None
        #: Streams that began beside it, and why what began last cannot be heard.
        self._beside: set[int] = set()
        self._why_not: AudioError | None = None
        #: The last pages of a stream whose beginning was missed, and how many there were since anything was heard.
        self._strays: deque[Page] = deque(maxlen=_PAGES_TO_GUESS)
        self._missed = 0

    def decode(self, content: bytes, stamp_ns: int = 0) -> list[Stretch]:
        """The sound of the pages that are complete now.

        Raises `AudioError` where there is none and that will not pass by itself, and for a message that is no piece of
        a stream.
        """
        heard: list[Stretch] = []
        fault: AudioError | None = None
        room = _MOST_VALUES
        for page in self._reader.push(content, stamp_ns):
            if self._last is not None and page == replace(self._last, stamp_ns=page.stamp_ns):
                continue  # came twice
            try:
                found, why_not = self._take(page, room)
            except AudioError as error:
                found, why_not = [], error
            self._last, fault = page, why_not or fault
            heard += found
            room -= sum(each.samples.size for each in found)
            if room < 0:
                raise AudioError("a message with minutes of sound in Ogg: send it in pieces, as it is made")
        if not heard and fault is not None:
            raise fault
        if not heard and content and self._reader.strange > LONGEST_PAGE:
            raise AudioError("audio that is no Ogg: set audio.format (--audio-format) to what the source sends")
        return _joined(heard)

    def _take(self, page: Page, room: int) -> tuple[list[Stretch], AudioError | None]:
        if page.begins:
            self._begin(page)
        elif self._stream is not None and page.serial == self._stream.serial:
            self._strays.clear()
            self._missed = 0
            return self._stream.take(page, room)
        elif page.serial not in self._beside:
            return self._join(page, room)
        elif self._stream is None and self._why_not is not None:
            raise self._why_not
        return [], None

    def _begin(self, page: Page) -> None:
        """A stream begins. Those that are sent at the same time begin one after the other, before anything else of them
        comes; of several with sound the last is heard."""
        if self._last is None or not self._last.begins or len(self._beside) >= _MOST_BESIDE:
            self._stream, self._why_not = None, None
            self._beside.clear()
        self._strays.clear()
        self._missed = 0
        try:
            codec = open_codec(page.pieces[0] if page.pieces else b"")
        except AudioError as error:
            codec, self._why_not = None, error
        if codec is None:
            self._beside.add(page.serial)
            return
        if self._stream is not None:
            self._beside.add(self._stream.serial)
        self._beside.discard(page.serial)
        self._stream = _Stream(page.serial, codec, page)

    def _join(self, page: Page, room: int) -> tuple[list[Stretch], AudioError | None]:
        """A page of a stream whose beginning was missed. Nothing of it is heard until it is clear what it holds."""
        last = self._strays[-1] if self._strays else None
        if last is not None and (page.serial, page.sequence) != (last.serial, last.sequence + 1):
            self._strays.clear()
        self._strays.append(page)
        self._missed += 1
        joiner = PacketJoiner()
        packets = [joiner.join(each, follows=number > 0) for number, each in enumerate(self._strays)]
        codec = guess_codec([(each.granule, found) for each, found in zip(self._strays, packets, strict=True)])
        if codec is None:
            if self._missed < _PAGES_TO_GUESS:
                return [], None
            raise AudioError(_MISSED)
        self._stream, self._why_not = _Stream(page.serial, codec), None
        self._beside.clear()
        heard: list[Stretch] = []
        fault: AudioError | None = None
        for each in self._strays:
            found, why_not = self._stream.take(each, room)
            heard, fault = heard + found, why_not or fault
        self._strays.clear()
        return heard, fault


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Those that follow on each other as one."""
    groups: list[list[Stretch]] = []
    ends: tuple[int, int, int] | None = None
    for stretch in stretches:
        length, channels = stretch.samples.shape
        if groups and (stretch.first_sample, stretch.sample_rate, channels) == ends:
            groups[-1].append(stretch)
        else:
            groups.append([stretch])
        ends = (stretch.first_sample + length, stretch.sample_rate, channels)
    return [replace(group[0], samples=np.concatenate([each.samples for each in group])) for group in groups]
