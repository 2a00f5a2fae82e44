"""Which files and folders below a folder are recordings, and what is none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..audio.sound_files import FILMS
from ..messages.bag_files import METADATA, is_bag_file, recording_of
from .annotation import COPY
from .annotation_work import CELLS, LINES, PICTURE
from .archive import INDEX, TABLE
from .recording_report import REPORT, SOUNDS, is_clip

#: Files of results, beside the first of them.
_RESULTS = (LINES, CELLS, PICTURE, REPORT)
#: Endings of sound files.
_SOUNDS = (
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2", ".mpga",
    ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".sph", ".nist", ".voc", ".wv", ".tta", ".ape", *FILMS,
)  # fmt: skip


def is_recording(path: Path) -> bool:
    """Whether this is one recording, if it is named alone: a file that may be one, or the folder of a bag. Who names
    the folder of a bag that has its metadata means that, whatever else lies in it."""
    if not path.is_dir():
        return path.is_file()
    names = [item.name for item in path.iterdir() if not item.name.startswith("._") and item.is_file()]
    bags = [name for name in names if is_bag_file(Path(name))]
    if not bags and METADATA not in names:
        return False
    if bags and METADATA in names:
        return True
    found = find_recordings([path], without=path)
    return found == [path] or (len(bags) == 1 and found == [path / bags[0]])


def find_recordings(sources: Sequence[Path], *, without: Path) -> list[Path]:
    """Every bag, sound file and film that is named or lies in a folder that is, once and in order; not those in
    `without`, but where that is named itself.

    A bag is a folder where its files have others beside them that belong to them, else its file. Raises `OSError` where
    a source may not be read. A folder below one that may not, holds none: `left_out` tells it.
    """
    found: dict[str, Path] = {}
    for source in sources:
        if not source.is_dir():
            found.setdefault(os.path.abspath(source), source)
            continue
        any(source.iterdir())  # or it may not be read
        for here, folders, files in _walk(source, without):
            folders.sort()
            for path in _recordings(here, folders, files):
                found.setdefault(os.path.abspath(path), path)
    return list(found.values())


def beside_bag(path: Path, *, without: Path) -> list[Path]:
    """What lies in the folder of a bag and is another recording; nothing beside a file."""
    found = find_recordings([path], without=without) if path.is_dir() else []
    return [one for one in found if one != path and not (one.parent == path and is_bag_file(one))]


def _recordings(folder: Path, folders: Sequence[str], files: Sequence[str]) -> list[Path]:
    """What is a recording of the files of this folder, or is made of them."""
    # What macOS puts beside a file on a stick has its name after '._'.
    names = sorted(name for name in files if not name.startswith("._"))
    bags = [name for name in names if is_bag_file(Path(name))]
    sounds = [name for name in names if name.lower().endswith(_SOUNDS)]
    is_told = METADATA in names
    if bags and (is_told or len({recording_of(Path(name)) for name in bags}) == 1):
        is_folder = is_told or len(bags) > 1 or not (sounds or folders)
        bags = [""] if is_folder else bags
    elif is_told and not (sounds or folders):
        bags = [""]  # its files are lost, which is told
    return [folder / name for name in (*bags, *sounds)]


def _walk(
    source: Path, without: Path, tell: Callable[[OSError], None] | None = None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As `os.walk`, but not into `without`, nor into what is hidden, as the wastebasket of a stick, nor where results
    of ours lie; also into folders that are links, each folder once. `tell`: is told of each folder that cannot be
    read."""
    seen = {os.path.realpath(without)} - {os.path.realpath(source)}
    for folder, folders, files in os.walk(source, onerror=tell, followlinks=True):
        if (true := os.path.realpath(folder)) in seen:
            folders.clear()
        else:
            seen.add(true)
            folders[:] = [name for name in folders if not name.startswith(".")]
            if LINES in files:
                folders[:] = [name for name in folders if name != COPY]
                files = [name for name in files if name not in _RESULTS]
            if TABLE in files:
                files = [name for name in files if name not in (TABLE, INDEX)]
            if os.path.basename(folder) == SOUNDS:
                files = [name for name in files if not is_clip(Path(name))]
            yield Path(folder), folders, files


def left_out(
    sources: Sequence[Path], recordings: Sequence[Path], *, without: Path
) -> tuple[Counter[str], Sequence[OSError]]:
    """How many files of which endings lie in the folders and are no recordings, nor parts of one, and why which folders
    cannot be read; hidden ones do not count."""
    taken, found, unread = set(recordings), Counter[str](), list[OSError]()
    for source in filter(Path.is_dir, sources):
        for here, _, files in _walk(source, without, unread.append):
            others = [name for name in files if here / name not in taken and not name.startswith(".")]
            if here in taken:
                bags = tuple(name for name in files if is_bag_file(Path(name)))
                # SQLite keeps a log beside its file.
                others = [name for name in others if name != METADATA and not name.startswith(bags)]
            found.update(Path(name).suffix.lower() or name for name in others)
    return found, unread
