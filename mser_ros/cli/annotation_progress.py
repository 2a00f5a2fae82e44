"""How far a recording was worked off: noted in a file now and then, so that a later call goes on from there."""

from __future__ import annotations

import json
import os
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..evaluation.findings import Clip
from ..messages.records import Record
from ..types import to_ns
from .recording_report import clips_as_json, clips_from_json

#: The lines that were written so far, and the note.
PART, PROGRESS = ".emotions.part", ".progress.json"
#: The voice that makes an utterance begin at most so long before that is decided [s].
_BEGIN_S = 2.0
#: How often it is noted [s].
_NOTE_S = 5.0


@dataclass(frozen=True)
class Noted:
    """What an earlier call left behind. `is_whole`: all was worked off, though not all was written. `records` and
    `times`: of each line, it and when the robot would have published it; `learned`: of voices; `clips`: by
    utterance."""

    done_ns: int = 0
    is_whole: bool = False
    records: Sequence[Record] = ()
    times: Sequence[int] = ()
    utterances: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    learned: Mapping[str, Any] = field(default_factory=dict)
    clips: Mapping[str, Clip] = field(default_factory=dict)


class Progress:
    """Keeps the note of one recording in the folder of its results. A recording can be gone on with only from where
    nobody spoke: what is open is lost.

    `done_ns`: nothing up to here need be looked at again; 0 where there is no such place yet. `identity`: tells the
    recording, and how it is annotated, from others. `is_whole`: nothing of it need be looked at again, but to draw it.
    """

    def __init__(self, out: Path, identity: Mapping[str, Any]) -> None:
        self._out, self._identity = out, identity
        self.done_ns = 0
        self.is_whole = False
        self._lines, self._utterances = 0, 0
        self._is_quiet = False
        self._noted_s = time.monotonic()

    def recall(self) -> Noted:
        """Take up what an earlier call noted, and cut off the lines that came after it. Empty where there is nothing,
        or it is of something else."""
        try:
            note = json.loads((self._out / PROGRESS).read_text(encoding="utf-8"))
            with (self._out / PART).open("r+", encoding="utf-8") as file:
                lines = [file.readline() for _ in note["times"]]
                if note["of"] != self._identity or not all(line.endswith("\n") for line in lines):
                    return Noted()
                noted = Noted(
                    int(note["done_ns"]),
                    bool(note["is_whole"]),
                    [json.loads(line) for line in lines],
                    note["times"],
                    int(note["utterances"]),
                    dict(note["dropped"]),
                    dict(note["learned"]),
                    clips_from_json(note["clips"]),
                )
                file.truncate(len("".join(lines).encode()))
        except (OSError, ValueError, KeyError, TypeError):
            return Noted()
        self.done_ns, self._lines, self._utterances = noted.done_ns, len(lines), noted.utterances
        self.is_whole = noted.is_whole
        return noted

    def follow(self, log_ns: int, *, is_quiet: bool, lines: int, utterances: int) -> None:
        """Take in where the recording is, whether nobody speaks there, and how much had come of it by then."""
        if not is_quiet:
            self._is_quiet = False
        elif not self._is_quiet:
            self._is_quiet, self.done_ns = True, log_ns
            self._lines, self._utterances = lines, utterances
        else:
            self.done_ns = max(self.done_ns, log_ns - to_ns(_BEGIN_S))

    def end(self, log_ns: int, *, lines: int, utterances: int) -> None:
        """The recording is worked off."""
        self.is_whole, self.done_ns = True, log_ns
        self._lines, self._utterances = lines, utterances

    @property
    def is_due(self) -> bool:
        """Whether the last note is old."""
        return time.monotonic() - self._noted_s > _NOTE_S

    def note(
        self,
        times: Sequence[int],
        *,
        dropped: Mapping[str, int],
        learned: Mapping[str, Any],
        clips: Mapping[str, Clip],
    ) -> None:
        """Write it down, if there is a place to go on from. The lines must have been written before."""
        if not self.done_ns:
            return
        self._noted_s = time.monotonic()
        note = {
            "of": self._identity,
            "done_ns": self.done_ns,
            "is_whole": self.is_whole,
            # Bodies are told of while nobody speaks, too: of what follows behind, what was told up to there.
            "times": times[: max(self._lines, bisect_right(times, self.done_ns))],
            "utterances": self._utterances,
            "dropped": dropped,
            "learned": learned,
            "clips": clips_as_json(clips),
        }
        new = self._out / f"{PROGRESS}.new"
        new.write_text(json.dumps(note), encoding="utf-8")
        os.replace(new, self._out / PROGRESS)

    def forget(self) -> None:
        """There is nothing to go on with, or no more."""
        (self._out / PROGRESS).unlink(missing_ok=True)
