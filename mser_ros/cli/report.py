"""`mser report`: training runs beside the papers."""

from __future__ import annotations

from pathlib import Path

import click

from .training_runs import training_packages


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    "--output",
    "output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.md"),
    show_default=True,
)
@click.option(
    "--resamples", type=click.IntRange(100, 100000), default=1000, show_default=True, help="Of the bootstrap."
)
def report(runs: tuple[Path, ...], output: Path, resamples: int) -> None:
    """Write one Markdown page that holds RUNS (folders that 'mser train' wrote) against the papers' tables."""
    with training_packages("the report"):
        from ..training.report.page import write_report
    write_report(runs, output, resamples=resamples)
    click.echo(f"written: {output}")
