"""Where a bundle is written: beside the folder that it then replaces as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import SettingsError
from ...recognition.bundle import MANIFEST


def check_target(out: Path) -> None:
    """Raise `SettingsError` where a bundle cannot be written: a folder that is no bundle is never emptied."""
    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out} is a file: name a folder for the bundle")
    if out.exists() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise SettingsError(f"{out} is not empty and not a bundle: name another folder")
    if out.is_mount() or out.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise SettingsError(
            f"{out} is mounted or the current folder, and cannot be replaced as a whole: name a folder in it"
        )


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """An empty folder to write a bundle into; it takes the place of `out` when the block ends without an error.

    Whenever the process is killed, `out` is the whole old bundle or the whole new one. One instant is left, between two
    renames, in which it is neither: the old one then lies beside it as `.NAME.old`, and the next export puts it back
    before it begins. Folders within the old bundle, which no export wrote, are kept. Raises `SettingsError` as
    `check_target`.
    """
    out = out.resolve()  # where `out` is a link, what it points to is replaced
    new, old = (out.with_name(f".{out.name}.{age}") for age in ("new", "old"))
    _recover(out, new, old)
    check_target(out)
    new.mkdir(parents=True)
    try:
        yield new
        check_target(out)
        _swap(out, new, old)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _recover(out: Path, new: Path, old: Path) -> None:
    """Tidy up after an export that was killed."""
    if new.is_dir():
        shutil.rmtree(new)
    if old.is_dir() and not out.exists():
        os.rename(old, out)
    elif old.is_dir():
        _discard(old, out)


def _swap(out: Path, new: Path, old: Path) -> None:
    if not out.exists():
        os.rename(new, out)
        return
    try:
        os.rename(out, old)
        os.rename(new, out)
    except BaseException:
        if not out.exists():
            os.rename(old, out)
        raise
    _discard(old, out)


def _discard(old: Path, out: Path) -> None:
    """Remove what was replaced, but for folders, which are not the export's."""
    for folder in old.iterdir():
        if folder.is_dir() and not (out / folder.name).exists():
            os.rename(folder, out / folder.name)
    shutil.rmtree(old)
