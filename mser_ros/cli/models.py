"""`mser models`: pre-trained models that are too large for this package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from ..errors import BundleError, ModelError
from ..model_store.assembly import SOURCES, sources_of
from ..model_store.catalogue import Model
from ..model_store.store import ModelStore
from ..model_store.transport import Progress as Report
from ..recognition.bundle import weights_of
from .tables import wide_console

_NAME = click.argument("name", metavar="NAME")


@click.group()
def models() -> None:
    """Get pre-trained models and keep them in a folder of yours: $MSER_MODELS, or mser_ros/models in XDG_DATA_HOME."""


def _store(bundle: Path | None = None) -> ModelStore:
    """With what a bundle leaves to the store: the one that is named, else the default one."""
    own: list[Model] = []
    with suppress(*([] if bundle else [BundleError])):
        own = weights_of(bundle or "")
    return ModelStore(more=own)


@models.command("list")
def list_() -> None:
    """List the models that can be had, and which of them are here."""
    store = _store()
    console = wide_console()
    table = Table(show_edge=False, pad_edge=False)
    for column in ("model", "here", "MB", "licence", "from", "what it is"):
        table.add_column(column, justify="right" if column == "MB" else "left")
    for name, model in store.catalogue.items():
        state = "yes" if store.find(name) else "damaged" if store.folder(name).exists() else "–"
        published = store.catalogue.get(model.merge.base, model) if model.merge else model
        sources = ", ".join(sources_of(published))
        table.add_row(name, state, f"{model.size / 1e6:.0f}", f"{model.licence}, {model.owner}", sources, model.title)
    console.print(table)
    console.print(f"folder: {store.root}", soft_wrap=True)


@models.command()
@_NAME
@click.option("--from", "source", type=click.Choice(list(SOURCES)), default=None, help="Only from there.  [anywhere]")
@click.option("--bundle", metavar="DIR", type=click.Path(path_type=Path), help="Whose weights are wanted.  [default]")
def get(name: str, source: str | None, bundle: Path | None) -> None:
    """Bring the model NAME, unless it is here: every file is checked against its published hash.

    What an interrupted download had is kept: call again to go on.
    """
    store = _store(bundle)
    if found := store.find(name):
        click.echo(f"{name} is here: {found}")
        return
    with _bars() as report:
        folder = store.get(name, source=source or "", progress=report)
    model = store.model(name)
    click.echo(f"{name}: {folder} (licence: {model.licence}, {model.owner})")


@models.command()
@_NAME
def path(name: str) -> None:
    """Print the folder of the model NAME, for scripts; exit code 1 where it is not here."""
    click.echo(_store().require(name))


@models.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
def verify(names: tuple[str, ...]) -> int:
    """Check every file of the models NAME, or of all that are here, against its published hash."""
    store = _store()
    chosen = names or tuple(name for name in store.catalogue if store.folder(name).exists())
    if not chosen:
        raise ModelError(f"there is no model in {store.root}: call 'mser models get NAME'")
    damaged = []
    for name in chosen:
        if not store.folder(name).exists():
            store.require(name)
        with _bars() as report:
            problems = store.verify(name, report)
        damaged += [name] if problems else []
        click.echo(f"{name}: {'; '.join(problems) or 'every file as published'}")
    if damaged:
        folders = " ".join(str(store.folder(name)) for name in damaged)
        raise ModelError(f"{', '.join(damaged)} is damaged: remove {folders} and call 'mser models get {damaged[0]}'")
    return 0


@contextmanager
def _bars() -> Iterator[Report]:
    """Progress on the terminal's error stream: a bar for each file."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done)

        yield report
