"""What is found out about a recording, before it becomes a page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..messages.records import Record
from .timeline import Recording


@dataclass(frozen=True)
class Clip:
    """What is known of an utterance beside its estimate. `words`: each with its confidence, -1 where there is none, in
    the order of the transcript; `sound`: the file of its sound, relative to the page; '' for none."""

    words: Sequence[tuple[str, float]] = ()
    language: str = ""
    translation: str = ""
    sound: str = ""


@dataclass(frozen=True)
class Track:
    """A person's state over time, each for `period_s`. `times_s`: (T,); `shares`: (T, C), `labels`: T."""

    person: str
    period_s: float
    times_s: Sequence[float]
    shares: np.ndarray
    labels: Sequence[str]


@dataclass(frozen=True)
class Making:
    """How the estimates were made; `checksum`: of the bundle's manifest, which holds those of its files. `settings`:
    what was chosen other than it is by default; `made_at`: a date for people."""

    version: str
    made_at: str
    bundle: str
    checksum: str
    recogniser: str
    command: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """All that a page is made of. `records`: estimates in order (see `records.emotion_record`); `clips`: by utterance;
    `notes`: what is odd about the recording; `dropped`: what could not be used, and how often; `silent`: why there is
    no sound, where that was not asked for; `is_whole`: it was not interrupted."""

    title: str
    seconds: float
    records: Sequence[Record]
    recording: Recording
    making: Making
    clips: Mapping[str, Clip] = field(default_factory=dict)
    tracks: Sequence[Track] = ()
    notes: Sequence[str] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    silent: str = ""
    is_whole: bool = True
