"""`mser robustness`: what a trained model is worth in noise, in a room, over the telephone, after one second."""

from __future__ import annotations

from pathlib import Path

import click

from .tables import figures, interval, wide_console
from .train import folders_of
from .training_runs import MOVED, RUNS, training_packages


@click.command()
@RUNS
@MOVED
def robustness(runs: tuple[Path, ...], moved: tuple[str, ...]) -> None:
    """Judge changed inputs by RUNS (folders that 'mser train' wrote), each person by the fold that never met them.

    Voices with noise, in a room, over the telephone, quieter and cut short; words as a recogniser writes them; bodies
    half seen and at few frames a second. What is found is kept in each run's folder, and 'mser export' puts it into the
    model card.
    """
    with training_packages():
        from ..training.fit.robustness import measure_robustness
        from ..training.runs.finished import read_runs
    folders = folders_of(moved)
    read_runs(runs, folders)  # what is wrong with one of them is told before any is measured
    console = wide_console()
    for run in runs:
        found = measure_robustness(run, moved=folders, log=lambda text: click.echo(text, err=True))
        columns = ("source", "input", "items", "UA", "95 %", "of the unchanged one's")
        table = figures(columns, left=("source", "input"), title=str(run))
        for source, conditions in found.items():
            for name, row in conditions.items():
                share = "–" if row["share"] is None else f"{row['share']:.0%}"
                cells = (str(row["items"]), f"{row['ua']:.3f}", interval(*row["interval"]), share)
                table.add_row(source, name, *cells)
            table.add_section()
        console.print(table)
