"""Tables on a terminal, and in whatever a command's output is led into."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import Console
from rich.table import Table


def wide_console(width: int = 120) -> Console:
    """A console of the terminal's width; where there is no terminal, of `width` characters instead of rich's 80."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = width
    return console


def figures(columns: Sequence[str], *, left: Collection[str], title: str | None = None) -> Table:
    """An empty table of figures, which stand at the right of their columns, but for the words of those in `left`."""
    table = Table(title=title, show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="left" if column in left else "right")
    return table
