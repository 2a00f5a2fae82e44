"""The recognisers by name, and which of them the settings mean."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from ..errors import DependencyError, TranscriberError
from ..languages import language_tag, primary_language
from ..model_store.catalogue import CATALOGUE
from ..model_store.store import ModelStore
from ..settings import AsrSettings
from .transcriber import NullTranscriber, Transcriber

#: The model that whisper and 'auto' take where no folder is named.
WHISPER = "whisper-base"
#: How Vosk's models are named, as vosk-model-small-de-0.15; and codes in these names that BCP 47 has otherwise.
_VOSK_NAME = re.compile(r"vosk-model-(?:small-)?([a-z]{2})-")
_VOSK_CODES = {"cn": "zh", "kz": "kk", "vn": "vi"}


@dataclass(frozen=True)
class Choice:
    """A recogniser, the folder of its model ('' for its own), and why it was chosen, as half a sentence."""

    backend: str
    model_path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.backend}: {self.reason}"


def choose(settings: AsrSettings) -> Choice:
    """The recogniser that the settings mean; for 'auto' by what is there.

    Raises `ModelError` where whisper is asked for and has no model, `TranscriberError` where a folder is no model,
    `DependencyError` where nothing that could serve is installed.
    """
    path = str(Path(settings.model_path).expanduser()) if settings.model_path else ""
    if settings.backend == "whisper":
        return Choice("whisper", path or str(ModelStore().require(WHISPER)), f"asked for, with {path or WHISPER}")
    if settings.backend != "auto":
        return Choice(settings.backend, path, f"asked for{f', with {path}' if path else ''}")
    return _choose_by_model(Path(path)) if path else _choose_by_what_is_there(settings)


def _choose_by_model(folder: Path) -> Choice:
    kinds = {"vosk": "Vosk", "whisper": "Whisper", "pocketsphinx": "pocketsphinx"}
    for backend, name in kinds.items():
        if _is_model(backend, folder):
            return Choice(backend, str(folder), f"{folder} is a {name} model")
    what = "is no model of vosk, whisper or pocketsphinx" if folder.is_dir() else "does not exist"
    raise TranscriberError(
        f"the folder '{folder}' {what}: set asr.model_path to the folder of a model, or to '' for {WHISPER}"
    )


def _is_model(backend: str, folder: Path) -> bool:
    """Whether a folder holds what is typical of a recogniser's models; what else it lacks is told on loading."""
    marks = {
        "vosk": ("am/final.mdl", "final.mdl"),
        "whisper": ("model.bin",),
        "pocketsphinx": ("mdef", "*/mdef"),
    }
    return any(any(folder.glob(mark)) for mark in marks[backend])


def _choose_by_what_is_there(settings: AsrSettings) -> Choice:
    found = ModelStore().find(WHISPER)
    if found and find_spec("ctranslate2"):
        return Choice("whisper", str(found), f"its model {WHISPER} is here")
    lacks = "ctranslate2 is not installed" if found else f"the model {WHISPER} is not here"
    cure = "pip install ctranslate2" if found else f"'mser models get {WHISPER}' brings a far better recogniser"
    if primary_language(settings.language) != "en" or settings.translate:
        raise TranscriberError(
            f"{lacks}, and pocketsphinx understands English alone: {cure}, or set asr.language to 'en'"
        )
    if find_spec("pocketsphinx") is None:
        raise DependencyError(f"{lacks}, and pocketsphinx is not installed: {cure}, or set asr.backend to 'none'")
    return Choice("pocketsphinx", "", f"{lacks} ({cure})")


def create_transcriber(settings: AsrSettings, choice: Choice | None = None) -> Transcriber:
    """The recogniser that the settings mean, or one that was chosen, its model loaded.

    A Vosk model whose folder tells its language reads that, whatever `settings` say. Raises `TranscriberError` for a
    model that cannot be used and for settings that the recogniser cannot follow, `DependencyError` for a recogniser not
    installed, and what `choose` raises.
    """
    choice = choice or choose(settings)
    told = _language_told(Path(choice.model_path).resolve().name) if choice.backend == "vosk" else ""
    if told and told != primary_language(settings.language):
        settings = replace(settings, language=told)
    _check_abilities(settings, choice)
    phrases = _phrases(settings)
    language = language_tag(settings.language)
    if choice.backend == "whisper":
        from .whisper import WhisperTranscriber
        from .whisper_model import WhisperModel

        return WhisperTranscriber(
            WhisperModel(Path(choice.model_path), threads=settings.threads),
            language=language,
            translate=settings.translate,
            partial_period_s=settings.partial_period_s,
        )
    if choice.backend == "pocketsphinx":
        from .pocketsphinx import PocketsphinxTranscriber

        return PocketsphinxTranscriber(choice.model_path, language=language)
    if choice.backend == "vosk":
        from .vosk import VoskTranscriber

        return VoskTranscriber(choice.model_path, language=language, phrases=phrases)
    return NullTranscriber()


def _phrases(settings: AsrSettings) -> list[str]:
    return [phrase.strip() for phrase in settings.phrases.split(";") if phrase.strip()]


def _language_told(name: str) -> str:
    """The language of a Vosk model by the name of its folder; '' where that does not tell it."""
    if name in CATALOGUE:
        return CATALOGUE[name].language
    found = _VOSK_NAME.match(name)
    return _VOSK_CODES.get(found[1], found[1]) if found else ""


def _check_abilities(settings: AsrSettings, choice: Choice) -> None:
    """Refuse what the recogniser cannot do."""
    reads = f"words are read by {choice.backend}"
    if _phrases(settings) and choice.backend != "vosk":
        raise TranscriberError(
            f"only vosk can be told what may be said, and {reads}: set asr.phrases to '', or asr.backend to 'vosk'"
        )
    if choice.backend not in ("vosk", "pocketsphinx"):
        return
    if settings.translate:
        raise TranscriberError(f"only whisper translates, and {reads}: set asr.translate to false")
    if settings.language == "auto":
        raise TranscriberError(
            f"only whisper finds out the language, and {reads}: set asr.language to that of the model, as 'de'"
        )
    if choice.backend == "pocketsphinx" and not choice.model_path and primary_language(settings.language) != "en":
        raise TranscriberError(
            "pocketsphinx's own model understands English alone: set asr.language to 'en', or asr.model_path to the "
            "folder of another model"
        )
