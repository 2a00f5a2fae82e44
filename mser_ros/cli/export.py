"""`mser export`: finished runs to a bundle that the robot loads."""

from __future__ import annotations

from pathlib import Path

import click

from .train import folders_of
from .training_runs import MOVED, training_packages


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", "--output", "output", required=True, type=click.Path(path_type=Path), help="Folder of the bundle."
)
@click.option("--name", default="", help="Name of the bundle; that of the folder if not given.")
@click.option("--version", default="0.1.0", show_default=True, help="Version of the bundle.")
@click.option("--int8/--fp32", default=True, show_default=True, help="Quantise what stays faithful when quantised.")
@click.option(
    "--delta",
    is_flag=True,
    help="Of encoders that were trained with 'low_rank' ship the difference alone; 'mser models get' makes the rest.",
)
@click.option(
    "--fallback",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="What takes the place of its modality until then.  [that modality is needed]",
)
@click.option(
    "--rest",
    metavar="BUNDLE",
    type=click.Path(path_type=Path),
    help="A bundle whose other modalities are taken over as they are, such as models/default.",
)
@MOVED
def export(
    runs: tuple[Path, ...],
    output: Path,
    name: str,
    version: str,
    int8: bool,
    delta: bool,
    fallback: Path | None,
    rest: Path | None,
    moved: tuple[str, ...],
) -> None:
    """Export RUNS (folders that 'mser train' wrote, one per modality) as a bundle.

    With --rest and no run, fusion, decision and card of that bundle are made anew of what its models predicted.
    """
    with training_packages("exporting"):
        from ..training.export.bundle import export_bundle
    export_bundle(
        runs,
        output,
        name=name,
        version=version,
        int8=int8,
        delta=delta,
        fallback=fallback,
        rest=rest,
        moved=folders_of(moved),
        log=click.echo,
    )
