"""The recognisers by name, and which of them the settings mean."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..errors import DependencyError, TranscriberError
from ..model_store.store import ModelStore
from ..settings import AsrSettings
from ..types import language_tag, primary_language
from .transcriber import NullTranscriber, Transcriber

#: The model that whisper and 'auto' take where no folder is named.
WHISPER = "whisper-base"


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
    path = settings.model_path
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

    Raises `TranscriberError` for a model that cannot be used, `DependencyError` for a recogniser not installed, and
    what `choose` raises.
    """
    choice = choice or choose(settings)
    phrases = [phrase.strip() for phrase in settings.phrases.split(";") if phrase.strip()]
    if phrases and choice.backend != "vosk":
        raise TranscriberError(
            f"only vosk can be told what may be said, and words are read by {choice.backend}: set asr.phrases to '', "
            "or asr.backend to 'vosk'"
        )
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
