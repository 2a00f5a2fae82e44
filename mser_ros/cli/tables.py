"""Tables: on a terminal, in whatever a command's output is led into, and in Markdown in a page of the documentation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ..errors import SettingsError


def plain_console(**more: Any) -> Console:
    """A console that prints what it is given: brackets and colons of file names and words are no marks of a style.
    `more`: as rich's Console."""
    return Console(highlight=False, markup=False, emoji=False, **more)


def wide_console(width: int = 120, **more: Any) -> Console:
    """As `plain_console`, of the terminal's width; where there is no terminal, of `width` characters instead of rich's
    80."""
    console = plain_console(**more)
    if not console.is_terminal:
        console.width = width
    return console


def figures(columns: Sequence[str], *, left: Collection[str], title: str | None = None) -> Table:
    """An empty table of figures, which stand at the right of their columns, but for the words of those in `left`."""
    empty = Table(title=title, show_edge=False, pad_edge=False)
    for column in columns:
        empty.add_column(column, justify="left" if column in left else "right")
    return empty


def interval(low: float | None, high: float | None, form: str = ".3f") -> str:
    """A cell; a dash where there is no interval, as of one person."""
    return "–" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def write_option(example: str, *marks: str):  # type: ignore[no-untyped-def]
    """The option --write of a command; `example`: a page that has a place for its tables, which are put between
    `marks`. A page without one is refused before anything is measured."""

    def check(_context: click.Context, _parameter: click.Parameter, page: Path | None) -> Path | None:
        if page is not None:
            for mark in marks:
                _around(page, mark)
        return page

    return click.option(
        "--write",
        "page",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        callback=check,
        help=f"Put the tables between the marks of this page, as {example}.",
    )


def json_option():  # type: ignore[no-untyped-def]
    """The option --json of a command that measures; the folder of that file is made before the work, not after it."""

    def make_folder(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path | None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    return click.option(
        "--json",
        "json_path",
        type=click.Path(path_type=Path, dir_okay=False),
        callback=make_folder,
        help="Also write the numbers to this file.",
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of Markdown."""
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def show_table(page: Path | None, mark: str, lines: Sequence[str]) -> None:
    """Print them, and put them between the marks of a page.

    Raises `SettingsError` where the page has no such marks.
    """
    content = "\n".join(lines)
    click.echo(content)
    if page is None:
        return
    before, after = _around(page, mark)
    page.write_text(f"{before}{content}\n{after}", encoding="utf-8")


def _around(page: Path, mark: str) -> tuple[str, str]:
    """What of a page stands before its tables and behind them, with the marks."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise SettingsError(f"{page} has no place for these tables: put '{begin.strip()}' and '{end}' into it")
    return text.split(begin, 1)[0] + begin, end + text.split(end, 1)[1]
