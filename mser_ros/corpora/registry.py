"""Corpora by name."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ..errors import CorpusError, ModelError, SettingsError
from ..model_store.store import ModelStore
from ..resources import phrases_file
from ..settings.schema import Setting
from . import manifest, movement, text
from .base import Corpus, require_folder
from .iemocap import iemocap
from .neutral_voices import VOICES_MODEL, neutral_voices
from .phrases import phrases
from .pseudo import pseudo

#: Reader of each named corpus: called with its folder and keyword options.
CORPORA: Mapping[str, Callable[..., Corpus]] = {
    "ravdess": manifest.ravdess,
    "nemo": manifest.nemo,
    "goemotions": text.goemotions,
    "meld": text.meld,
    "egait": movement.egait,
    "bandai_namco": movement.bandai_namco,
    "iemocap": iemocap,
    "phrases": phrases,
    "neutral_voices": neutral_voices,
    "pseudo": pseudo,
}


#: Where corpora lie that no path was given for: a folder for each, by its name.
DATA_DIR = "MSER_DATA_DIR"


def corpus_folder(name: str, path: str | Path = "") -> Path:
    """`path`, or where that is empty the folder of this name in MSER_DATA_DIR; for 'pseudo', that folder itself; for
    'phrases', that of this package's configuration; for 'neutral_voices', that to which `mser models get` brings them.

    Raises `CorpusError` where neither is given, or they have not been brought.
    """
    if str(path):
        return Path(path).expanduser()
    if name == "phrases":
        return phrases_file().parent
    if name == "neutral_voices":
        try:
            return ModelStore().require(VOICES_MODEL)
        except ModelError as error:
            raise CorpusError(str(error)) from None
    root = os.environ.get(DATA_DIR)
    if not root:
        raise CorpusError(f"where is corpus '{name}'? give its folder as {name}=FOLDER or set {DATA_DIR}")
    return Path(root) if name == "pseudo" else Path(root) / name


def open_corpus(name: str, path: str | Path, **options: Any) -> Corpus:
    """The corpus `name` in the folder `path`.

    Names that are not in `CORPORA` are folders with a `manifest.tsv` like RAVDESS's. Options are those of the reader.
    Raises `CorpusError` that lists, by file, what is missing; an unknown option is refused with the known ones, one of
    another type than its default with the right type.
    """
    folder = Path(path).expanduser()
    near = get_close_matches(name, CORPORA, 1)
    if near and near[0] != name and not folder.is_dir():
        raise CorpusError(
            f"there is no corpus '{name}' and no folder {folder}: did you mean '{near[0]}'? If not, give its path with "
            f"--data or --corpus, as {name}=FOLDER"
        )
    require_folder(name, folder)
    reader = CORPORA.get(name)
    known = {} if reader is None else dict(list(inspect.signature(reader).parameters.items())[1:])
    for option, value in options.items():
        if option not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise CorpusError(f"corpus '{name}' has no option '{option}': {has}")
        _check_type(name, option, known[option].default, value)
    return manifest.plain(name, folder) if reader is None else reader(folder, **options)


def _check_type(name: str, option: str, default: Any, value: Any) -> None:
    if not isinstance(default, (bool, int, str)):
        return  # the reader itself checks what may have several types
    try:
        Setting(option, default, "", "", None, None, ()).check(value)
    except SettingsError as error:
        raise CorpusError(f"corpus '{name}': {error}") from None
