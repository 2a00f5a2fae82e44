"""People who read prompts aloud, out of packages of Debian: what neutral sounds like in many voices and languages.

`mser models get neutral-voices` brings the packages. Each voice is what a package holds of one language, which is one
reader or few; a recording that is shorter than an utterance is joined with the next, a longer one is cut.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from ..audio.waveform import centred, trim
from ..errors import AudioError
from ..types import SAMPLE_RATE, Utterance, Waveform, to_ns
from .base import Corpus, Item, refuse, require_items
from .files import is_usable, read_sound

#: What they are in the store of `mser models`.
VOICES_MODEL = "neutral-voices"
#: Which recordings of a package, by its name, are read, and whose each is: the group `voice`, else the package's.
RECORDINGS: Mapping[str, str] = {
    "klettres-data": r"share/klettres/(?P<voice>\w+)/.*\.ogg",
    "ktuberling-data": r"share/ktuberling/sounds/(?P<voice>\w+)/[^/]*\.(ogg|wav|opus)",
    "gcin-voice": r".*/(?P<voice>\d)\.ogg",
    **{
        f"asterisk-core-sounds-{language}-wav": r"share/asterisk/sounds/(?!.*(silence|beep|tt-|letters|digits)).*\.wav"
        for language in ("en", "es", "fr", "it", "ru")
    },
}
#: Silence at both ends of a recording, so far below its loudest moment, is left out [dB].
_TRIM_DB = 40.0
#: An utterance is a recording of at least so many seconds, or several that are as long as the second; a longer one than
#: the third is cut into parts of at most the fourth.
_ALONE_S, _JOINED_S, _LONG_S, _PART_S = 1.5, 1.8, 5.0, 3.5
#: Between recordings that are joined.
_PAUSE_S = 0.15
#: Shorter recordings are clicks, fainter ones silence.
_LEAST_S, _LEAST_PEAK = 0.12, 1e-3
_CURE = f"call 'mser models get {VOICES_MODEL}'"


def neutral_voices(folder: Path, *, most: int = 12) -> Corpus:
    """Debian's packages in `folder`, each as `PACKAGE.deb`; those that are missing are not read. `most`: of a voice so
    many utterances.

    Raises `CorpusError` for a package that is damaged, and where there is none.
    """
    packages = [path for name in RECORDINGS if is_usable(path := folder / f"{name}.deb")]
    if not packages:
        refuse("neutral_voices", folder, [f"{name}.deb" for name in RECORDINGS], _CURE)
    items = [
        _item(voice, number, samples)
        for package in packages
        for voice, found in _recordings(package).items()
        for number, samples in zip(range(most), _utterances(found), strict=False)
    ]
    require_items("neutral_voices", folder, items)
    note = "prompts that are read aloud; who reads is known by package and language alone"
    return Corpus(
        "neutral_voices", tuple(items), ("speech",), "CC-BY-SA-3.0 and GPL-2.0-or-later", "speaker", note=note
    )


def _item(voice: str, number: int, samples: np.ndarray) -> Item:
    return Item(
        corpus="neutral_voices",
        item_id=f"{voice}/{number}",
        label="neutral",
        person=voice,
        group=voice,
        cluster=voice,
        duration_s=len(samples) / SAMPLE_RATE,
        loader=partial(_load, samples=samples),
    )


def _load(item: Item, *, samples: np.ndarray) -> Utterance:
    audio = Waveform(samples, SAMPLE_RATE)
    return Utterance(f"neutral_voices/{item.item_id}", start_ns=0, end_ns=to_ns(item.duration_s), audio=audio)


def _recordings(package: Path) -> dict[str, list[tuple[str, bytes]]]:
    """The recordings of each voice of a package with their names, in an order that has nothing to do with these."""
    chosen, found = re.compile(RECORDINGS[package.stem]), dict[str, list[tuple[str, bytes]]]()
    try:
        with tarfile.open(fileobj=_content(package), mode="r:") as files:
            for file in files:
                name = file.name.removeprefix("./usr/")
                if file.isfile() and (match := chosen.fullmatch(name)):
                    language = match.groupdict().get("voice") or ""
                    content = files.extractfile(file)
                    assert content is not None
                    found.setdefault("-".join(filter(None, (package.stem, language))), []).append(
                        (name, content.read())
                    )
    except (OSError, EOFError, ValueError, lzma.LZMAError, tarfile.TarError) as error:
        refuse("neutral_voices", package.parent, [f"{package.name} ({error})"], _CURE)
    for recordings in found.values():
        recordings.sort(key=lambda pair: hashlib.sha256(pair[0].encode()).digest())
    return found


def _content(package: Path) -> io.BufferedIOBase:
    """The tar file of a package, which is an archive of ar (see deb(5)). Raises `ValueError` for something else."""
    data = package.read_bytes()
    at = 8
    while data[:8] == b"!<arch>\n" and at + 60 <= len(data):
        name, size = data[at : at + 16].decode("ascii", "replace").strip(" /"), int(data[at + 48 : at + 58])
        if name == "data.tar.xz":
            return lzma.open(io.BytesIO(data[at + 60 : at + 60 + size]))
        at += 60 + size + size % 2
    raise ValueError("it is no package with a data.tar.xz")


def _utterances(recordings: list[tuple[str, bytes]]) -> Iterator[np.ndarray]:
    """Float waveforms (samples,) at 16 kHz."""
    waiting: list[np.ndarray] = []
    for name, content in recordings:
        samples = _read(name, content)
        if len(samples) < _LEAST_S * SAMPLE_RATE or np.abs(samples).max() < _LEAST_PEAK:
            continue
        seconds = len(samples) / SAMPLE_RATE
        if seconds > _LONG_S:
            yield from np.array_split(samples, int(np.ceil(seconds / _PART_S)))
        elif seconds >= _ALONE_S:
            yield samples
        else:
            waiting += [np.zeros(round(_PAUSE_S * SAMPLE_RATE), np.float32)] * bool(waiting) + [samples]
            if sum(map(len, waiting)) >= _JOINED_S * SAMPLE_RATE:
                yield np.concatenate(waiting)
                waiting = []


def _read(name: str, content: bytes) -> np.ndarray:
    """What is heard of a recording; nothing of one that cannot be read."""
    with tempfile.NamedTemporaryFile(suffix=Path(name).suffix) as file:
        file.write(content)
        file.flush()
        try:
            return trim(centred(read_sound(Path(file.name)).samples), _TRIM_DB, SAMPLE_RATE)
        except AudioError:
            return np.zeros(0, np.float32)
