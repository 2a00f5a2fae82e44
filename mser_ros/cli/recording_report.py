"""What a report tells of a recording beside its estimates, gathered while the recording is worked off."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..audio.sound_files import write_opus
from ..evaluation.findings import Clip, Making, Track
from ..messages.records import Record, estimate_of, nanoseconds
from ..recognition.bundle import MANIFEST, Bundle
from ..settings import StateSettings
from ..stages.emotion import EmotionStage
from ..stages.state import states_over_time
from ..types import NS_PER_S, PersonState, UtteranceEvent, UtteranceState

REPORT = "report.html"
#: Folder of sounds, as long as they are not in the page.
SOUNDS = "sound"
_NAME = re.compile("[0-9a-f]{16}[.]ogg")
_BIT_RATE = 16_000


@dataclass
class Clips:
    """Words and sounds of utterances. The sounds lie in a folder of `out`, one file each, until a page holds them; what
    else is known goes into the note by which a recording is gone on with."""

    out: Path
    words: bool = True  # whether what was said may be told
    found: dict[str, Clip] = field(default_factory=dict)

    def note(self, event: UtteranceEvent) -> None:
        """Take the words of an utterance, once they are final."""
        said = event.transcript
        if self.words and event.state is UtteranceState.ENDED and said.is_final:
            words = [(word.text, -1.0 if word.confidence is None else round(word.confidence, 3)) for word in said.words]
            self.found[event.utterance_id] = Clip(words, said.language, said.translation)

    def keep(self, record: Record, stage: EmotionStage) -> None:
        """Keep the sound of an utterance whose final estimate this is."""
        start_ns, end_ns = nanoseconds(record["speech_start"]), nanoseconds(record["speech_end"])
        wave = stage.heard(record["voice_id"], start_ns, end_ns) if self.words else None
        if wave is None:
            return
        (self.out / SOUNDS).mkdir(exist_ok=True)
        name = hashlib.sha256(record["utterance_id"].encode()).hexdigest()[:16]  # ids may hold what paths may not
        write_opus(self.out / SOUNDS / f"{name}.ogg", wave, bit_rate=_BIT_RATE)
        clip = self.found.get(record["utterance_id"], Clip())
        self.found[record["utterance_id"]] = replace(clip, sound=f"{SOUNDS}/{name}.ogg")

    def recall(self, noted: Mapping[str, Clip]) -> None:
        """Take up what an earlier call has noted; a sound that is gone is left out."""
        for name, clip in noted.items():
            self.found[name] = clip if (self.out / clip.sound).is_file() else replace(clip, sound="")

    def discard(self) -> None:
        """Leave no sounds of ours behind, those of an earlier call neither."""
        for path in (self.out / SOUNDS).glob("*.ogg"):
            if is_clip(path):
                path.unlink()
        with suppress(OSError):
            (self.out / SOUNDS).rmdir()


def is_clip(path: Path) -> bool:
    """Whether the name of a file in a folder of sounds is one of ours."""
    return bool(_NAME.fullmatch(path.name))


def clips_as_json(clips: Mapping[str, Clip]) -> dict[str, Any]:
    return {name: asdict(clip) for name, clip in clips.items()}


def clips_from_json(noted: Mapping[str, Any]) -> dict[str, Clip]:
    """Raises `KeyError`, `TypeError`, `ValueError` for what `clips_as_json` did not give."""
    return {
        name: Clip(
            [(str(text), float(sure)) for text, sure in item["words"]],
            str(item["language"]),
            str(item["translation"]),
            str(item["sound"]),
        )
        for name, item in noted.items()
    }


def tracks(records: Sequence[Record], labels: Sequence[str], settings: StateSettings) -> list[Track]:
    """How each person was over time, by the stamps, at the rate at which the emotion node tells it."""
    estimates = [estimate_of(record) for record in records]
    until_ns = max((estimate.stamp_ns for estimate in estimates), default=0)
    found: dict[str, list[PersonState]] = {}
    timed = ((estimate, estimate.stamp_ns) for estimate in estimates)
    for state in states_over_time(timed, settings, labels, until_ns):
        found.setdefault(state.person_id, []).append(state)
    return [
        Track(
            person=person,
            period_s=1 / settings.rate_hz,
            times_s=[state.stamp_ns / NS_PER_S for state in states],
            shares=np.stack([state.probabilities for state in states]),
            labels=[state.label for state in states],
        )
        for person, states in found.items()
    ]


def making(bundle: Bundle, choices: Mapping[str, object], recogniser: str, command: str) -> Making:
    """How estimates are made now. `choices`: by name; empty ones are not told of."""
    return Making(
        version=__version__,
        made_at=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        bundle=bundle.model_id,
        checksum=hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest(),
        recogniser=recogniser,
        command=command,
        settings={name: str(value) for name, value in choices.items()},
    )
