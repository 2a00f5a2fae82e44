"""What the commands about trained runs share: how they name them, and what they need that a robot lacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ..errors import DependencyError

#: Folders that 'mser train' wrote.
RUNS = click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False, exists=True))
#: Where corpora lie that they were trained on.
MOVED = click.option(
    "--data",
    "moved",
    multiple=True,
    metavar="NAME=PATH",
    help="Folder of a corpus that has moved since the run was trained.",
)


@contextmanager
def training_packages(what: str = "this") -> Iterator[None]:
    """Import from `mser_ros.training` in here. Raises `DependencyError` where a package of the extra is missing, which
    says that `what` needs it."""
    try:
        yield
    except ImportError as error:
        raise DependencyError(f"{what} needs more packages ({error}): pip install 'mser_ros[train]'") from None


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Where this is interrupted, the user is told that the same command goes on with what is in `folder`."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.Abort(f"what is done is in {folder}; the same command goes on") from None
