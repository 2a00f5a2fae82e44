"""Tables in Markdown that a command prints, and puts into a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import SettingsError


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Its lines."""
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def show_table(page: Path | None, mark: str, lines: Sequence[str]) -> None:
    """Print them, and put them between the marks of a page.

    Raises `SettingsError` where the page has no such marks.
    """
    content = "\n".join(lines)
    click.echo(content)
    if page is None:
        return
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    text = page.read_text(encoding="utf-8")
    if begin not in text or end not in text:
        raise SettingsError(f"{page} has no place for these tables: put '{begin.strip()}' and '{end}' into it")
    before, after = text.split(begin, 1)[0], text.split(end, 1)[1]
    page.write_text(f"{before}{begin}{content}\n{end}{after}", encoding="utf-8")
