"""`mser train`: an experiment from data to a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import yaml

from ..errors import SettingsError
from .training_runs import resumable, training_packages

DATA = click.option("--data", multiple=True, metavar="NAME=PATH", help="Folder of a corpus; else MSER_DATA_DIR/NAME.")


def folders_of(data: Sequence[str]) -> dict[str, str]:
    """The folders that `--data` gives, by corpus. Raises `SettingsError`."""
    folders: dict[str, str] = {}
    for text in data:
        name, equals, place = text.partition("=")
        if not (name and equals and place):
            raise SettingsError(f"--data '{text}' is not of the form NAME=PATH")
        if name in folders:
            raise SettingsError(f"--data gives two folders of '{name}': choose one")
        folders[name] = place
    return folders


@click.command()
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@DATA
@click.option(
    "--add",
    multiple=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Recordings of your own, with a manifest.tsv, that are learned from as well.",
)
@click.option("--print", "shows", is_flag=True, help="Print all settings, bases and overrides resolved; train nothing.")
@click.option("--run", type=click.Path(path_type=Path, file_okay=False), help="Run folder; runs/NAME if not given.")
def train(
    config: str,
    overrides: tuple[str, ...],
    data: tuple[str, ...],
    add: tuple[Path, ...],
    shows: bool,
    run: Path | None,
) -> None:
    """Train CONFIG, the name or the file of an experiment (see config/train), over its folds, then on everybody.

    A run that was interrupted goes on where it stopped when the same command is given again.
    """
    from ..training.config.files import check_encoders, config_tree, load_config

    experiment = load_config(config, overrides=overrides, data=folders_of(data), add=add)
    if shows:
        click.echo(yaml.safe_dump(config_tree(experiment), sort_keys=False, allow_unicode=True), nl=False)
        return
    check_encoders(experiment)
    with training_packages("training"):  # only now, as torch and Lightning take seconds to load
        from ..training.fit.experiment import run_experiment
    folder = run or Path("runs") / experiment.name
    with resumable(folder):
        summary = run_experiment(experiment, folder, log=click.echo)
    if not summary:
        return  # one of several processes, and not the first
    parts = {"": summary, **{f" from {name} alone": part for name, part in summary.get("subsets", {}).items()}}
    for part, by_source in parts.items():
        for source, figures in by_source.items():
            if isinstance(figures, dict) and "ua" in figures:
                scores = f"UA {figures['ua']:.3f}, WA {figures['wa']:.3f}, out of fold, {figures['items']} items"
                mark = ", SYNTHETIC" if source in summary["synthetic"] else ""
                click.echo(f"{source}{part}: {scores}{mark}")
    click.echo(f"run folder: {folder}")
