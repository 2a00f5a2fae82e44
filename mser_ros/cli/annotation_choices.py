"""What a user chose for every recording that `mser annotate` is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..settings import (
    AudioFormatSettings,
    EmotionSettings,
    MocapSettings,
    SpeechSettings,
    StateSettings,
)
from ..settings.parameters import build_parameters


@dataclass(frozen=True)
class Choices:
    """What a user chose for all recordings alike. Empty: the default."""

    bundle: str = ""
    backend: str = ""
    asr_model: str = ""
    audio_topic: str = ""
    skeleton_topic: str = ""
    text_topic: str = ""  # with the words of another recogniser
    bodies: bool = True  # of films
    provisional: bool = True  # estimates while somebody speaks as well
    transcripts: bool = True  # estimates tell what was said
    html: bool = False  # a report is written as well
    mcap: bool = False  # a bag is written of any recording, with sound that Foxglove plays
    audio: AudioFormatSettings = field(default_factory=AudioFormatSettings)
    mocap: MocapSettings = field(default_factory=MocapSettings)
    asr_language: str = ""  # what is spoken
    up: str = ""  # of a motion file
    unit: str = ""
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of a parameter file, by node
    command: str = field(default="", repr=False, compare=False)  # as it was typed: it changes no result

    def differing(self) -> dict[str, object]:
        """What is chosen other than it is by default, of what changes results."""
        usual = _flat(asdict(Choices()))
        return {
            name: value
            for name, value in _flat(asdict(self)).items()
            if value != usual.get(name) and name not in ("bundle", "html", "mcap", "command")
        }

    @property
    def speech(self) -> SpeechSettings:
        """Raises `SettingsError`."""
        chosen = {"backend": self.backend, "language": self.asr_language, "model_path": self.asr_model}
        given = self._of("speech") | {f"asr.{name}": value for name, value in chosen.items() if value}
        if self.backend or self.asr_model:  # which outweigh a file that leaves the reading to others
            given["asr.foreign"] = False
        elif given.get("asr.foreign"):
            given["asr.backend"] = "none"
        return build_parameters(SpeechSettings, given if self.provisional else given | {"asr.partial_period_s": 0.0})

    @property
    def emotion(self) -> EmotionSettings:
        """Raises `SettingsError`."""
        given = self._of("emotion") | {"transcripts": self.transcripts}
        return build_parameters(EmotionSettings, given if self.provisional else given | {"provisional_start_s": 0.0})

    @property
    def state(self) -> StateSettings:
        """Its rate is the usual one where the file says never: what is read offline is asked for."""
        found = self.emotion.state
        return found if found.rate_hz else replace(found, rate_hz=StateSettings().rate_hz)

    def _of(self, node: str) -> dict[str, Any]:
        return dict(self.params.get(node, {}))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found
