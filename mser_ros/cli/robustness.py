"""`mser robustness`: what a trained model is worth in noise, in a room, over the telephone, after one second."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ..errors import DependencyError


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False, exists=True))
def robustness(runs: tuple[Path, ...]) -> None:
    """Judge changed inputs by RUNS (folders that 'mser train' wrote), each person by the fold that never met them.

    Voices with noise, in a room, over the telephone, quieter and cut short; words as a recogniser writes them; bodies
    half seen and at few frames a second. What is found is kept in each run's folder, and 'mser export' puts it into the
    model card.
    """
    try:
        from ..training.fit.robustness import measure_robustness
    except ImportError as error:
        raise DependencyError(f"this needs more packages ({error}): pip install 'mser_ros[train]'") from None
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    for run in runs:
        found = measure_robustness(run, log=lambda text: click.echo(text, err=True))
        table = Table(title=str(run), show_edge=False, pad_edge=False)
        for column in ("source", "input", "items", "UA", "95 %", "of the unchanged one's"):
            table.add_column(column, justify="left" if column in ("source", "input") else "right")
        for source, conditions in found.items():
            for name, row in conditions.items():
                low, high = row["interval"]
                cells = (str(row["items"]), f"{row['ua']:.3f}", f"{low:.3f} to {high:.3f}", f"{row['share']:.0%}")
                table.add_row(source, name, *cells)
            table.add_section()
        console.print(table)
