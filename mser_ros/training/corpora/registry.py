"""Corpora by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...errors import CorpusError
from . import manifest, movement, text
from .base import Corpus, require_folder

#: Reader of each named corpus: called with its folder and keyword options.
CORPORA: Mapping[str, Callable[..., Corpus]] = {
    "ravdess": manifest.ravdess,
    "nemo": manifest.nemo,
    "goemotions": text.goemotions,
    "meld": text.meld,
    "egait": movement.egait,
}


def open_corpus(name: str, path: str | Path, **options: Any) -> Corpus:
    """The corpus `name` in the folder `path`.

    Names that are not in `CORPORA` are folders with a `manifest.tsv` like RAVDESS's. Options are those of the reader.
    Raises `CorpusError` that lists, by file, what is missing; an unknown option is refused with the known ones.
    """
    folder = Path(path).expanduser()
    require_folder(name, folder)
    reader = CORPORA.get(name)
    known = [] if reader is None else list(inspect.signature(reader).parameters)[1:]
    for option in options:
        if option not in known:
            raise CorpusError(f"corpus '{name}' has no option '{option}': {_choices(known)}")
    return manifest.plain(name, folder) if reader is None else reader(folder, **options)


def _choices(known: list[str]) -> str:
    return f"it has {', '.join(known)}" if known else "it has none"
