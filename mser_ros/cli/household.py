"""`mser household`: what twenty labelled clips of the people whom a robot lives with are worth."""

from __future__ import annotations

from pathlib import Path

import click

from .tables import figures, interval, wide_console
from .train import folders_of
from .training_runs import MOVED, RUNS, training_packages


@click.command()
@RUNS
@MOVED
@click.option("--clips", default=20, show_default=True, type=click.IntRange(2, 1000), help="Labelled clips of each.")
def household(runs: tuple[Path, ...], moved: tuple[str, ...], clips: int) -> None:
    """Add some clips of each tested person in turn to what RUNS learned from, as 'mser train --add' does, and judge
    that person's other clips with and without.

    RUNS: folders that 'mser train' wrote. A network is trained for each person: minutes for a logistic regression, long
    for anything else. What is found is kept in each run's folder, and 'mser export' puts it into the model card.
    """
    with training_packages():
        from ..training.fit.household import measure_household
        from ..training.runs.finished import read_runs
    folders = folders_of(moved)
    read_runs(runs, folders)  # what is wrong with one of them is told before any is measured
    console = wide_console()
    for run in runs:
        found = measure_household(run, moved=folders, clips=clips, log=lambda text: click.echo(text, err=True))
        columns = ("source", "people", "clips", "without", "with", "gain", "95 %", "better", "worse")
        table = figures(columns, left=("source",), title=str(run))
        for source, row in found.items():
            mean, low, high = row["gain"]
            table.add_row(
                source,
                str(row["people"]),
                f"{row['clips']:.0f}",
                f"{row['before']:.3f}",
                f"{row['after']:.3f}",
                f"{mean:+.3f}",
                interval(low, high, "+.3f"),
                str(row["better"]),
                str(row["worse"]),
            )
        console.print(table)
