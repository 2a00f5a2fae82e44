"""`mser learning-curve`: what more people would bring."""

from __future__ import annotations

from pathlib import Path

import click

from .tables import figures, interval, wide_console
from .train import DATA, folders_of
from .training_runs import resumable, training_packages


@click.command()
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@DATA
@click.option(
    "--repeats", type=click.IntRange(1, 100), default=3, show_default=True, help="Each with folds of its own."
)
@click.option(
    "--run",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the curve; runs/NAME_learning_curve if not given.",
)
def learning_curve(
    config: str, overrides: tuple[str, ...], data: tuple[str, ...], repeats: int, run: Path | None
) -> None:
    """Train CONFIG on an eighth, a quarter, half and all of the people that each of its folds may learn from.

    Prints how well people are judged whom the models have not met, by how many they had met, and draws it. One that was
    interrupted goes on where it stopped when the same command is given again.
    """
    from ..training.config.files import load_config

    experiment = load_config(config, overrides=overrides, data=folders_of(data))
    with training_packages():
        from ..training.fit.learning_curve import PICTURE, measure_learning_curve
    folder = run or Path("runs") / f"{experiment.name}_learning_curve"
    with resumable(folder):
        found = measure_learning_curve(experiment, folder, repeats=repeats, log=lambda text: click.echo(text, err=True))
    table = figures(("source", "people learned from", "UA", "95 %", "each repeat"), left=("source",))
    for source, rows in found.items():
        for row in rows:
            each = ", ".join(f"{value:.3f}" for value in row["each"])
            table.add_row(source, f"{row['people']:g}", f"{row['ua']:.3f}", interval(*row["interval"]), each)
        table.add_section()
    wide_console().print(table)
    click.echo(f"picture: {folder / PICTURE}")
