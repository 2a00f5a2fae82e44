"""The files of a model: whether they are still those that were loaded before."""

from __future__ import annotations

from pathlib import Path

#: Name below the folder, and number on the disk, size and time of change of each file.
State = tuple[tuple[str, int, int, int], ...]


def state_of(folder: Path) -> State:
    """Two folders of the same state hold the same model: what was found out of one holds for the other. A link counts
    as what it leads to."""
    files = ((str(path.relative_to(folder)), path.stat()) for path in sorted(folder.rglob("*")) if path.is_file())
    return tuple((name, found.st_ino, found.st_size, found.st_mtime_ns) for name, found in files)
