"""Tables in Markdown, and the pages that commands write them into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..errors import SettingsError


def write_option(example: str):  # type: ignore[no-untyped-def]
    """The option --write of a command; `example`: a page that has a place for its tables."""
    return click.option(
        "--write",
        "page",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help=f"Put the tables between the marks of this page, as {example}.",
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def show(page: Path | None, mark: str, lines: Sequence[str]) -> None:
    """Print them, and put them between the marks of a page. Raises `SettingsError` for one without such marks."""
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
