"""`mser bundle`: show and verify model bundles, take parts of them."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from ..recognition.bundle import load_bundle
from .tables import wide_console


@click.group()
def bundle() -> None:
    """Show, verify or divide a model bundle: the folder that 'mser export' writes and the emotion node loads."""


@bundle.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
def show(folder: Path | None, as_json: bool) -> None:
    """Show what is in FOLDER (the default bundle, if none is named)."""
    loaded = load_bundle(folder or "")
    if as_json:
        click.echo(json.dumps(loaded.manifest, indent=2, ensure_ascii=False))
        return
    console = wide_console(140)
    console.print(Text.assemble((loaded.model_id, "bold"), f"  {loaded.path}  {loaded.size_bytes / 1e6:.1f} MB"))
    console.print(f"labels: {', '.join(loaded.labels)}; fusion: {loaded.fusion.kind}")
    table = Table(show_edge=False, pad_edge=False)
    for column in ("modality", "model", "graph", "precision", "MB", "trained on", "licence", "temperature", "weight"):
        table.add_column(column)
    for name, spec in loaded.modalities.items():
        size = loaded.manifest["files"][spec.graph]["bytes"] / 1e6
        table.add_row(
            name,
            spec.model,
            spec.graph,
            spec.precision,
            f"{size:.1f}",
            ", ".join(spec.trained_on),
            spec.licence,
            f"{spec.temperature:.2f}",
            f"{spec.weight:.2f}",
        )
    console.print(table)
    if loaded.advice:
        console.print(loaded.advice, style="yellow")


@bundle.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def verify(folder: Path | None) -> None:
    """Check every file of FOLDER against its checksum, and run every graph once."""
    from ..recognition.recognizer import EmotionRecognizer

    loaded = load_bundle(folder or "")
    EmotionRecognizer(loaded)
    click.echo(f"{loaded.model_id}: {len(loaded.manifest['files'])} files as exported, every graph runs")


@bundle.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "-m",
    "--modality",
    "--modalities",
    "given",
    multiple=True,
    metavar="A,B",
    help="Modalities to take; can be given several times.",
)
@click.option("--commercial", is_flag=True, help="Take those whose weights may be used commercially.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the new bundle.")
def part(folder: Path | None, given: tuple[str, ...], commercial: bool, out: Path) -> None:
    """Write some modalities of FOLDER (the default bundle, if none is named) as a bundle of its own.

    With --commercial nothing is in it that may not be used commercially, by what the manifest says of each model's
    data. Ask a lawyer before you rely on it.
    """
    from ..training.export.part import export_part, permissive_modalities

    loaded = load_bundle(folder or "")
    modalities = tuple(name.strip() for names in given for name in names.split(",") if name.strip())
    if commercial:
        allowed = permissive_modalities(loaded.manifest)
        if refused := [name for name in modalities if name in loaded.modalities and name not in allowed]:
            licence = loaded.modalities[refused[0]].licence
            raise click.UsageError(f"{refused[0]} may not be used commercially (licence: {licence}): leave it out")
        modalities = modalities or tuple(allowed)
    elif not modalities:
        raise click.UsageError("name a modality with -m, or --commercial")
    made = export_part(loaded, modalities, out)
    left = [f"{name} ({spec.licence})" for name, spec in loaded.modalities.items() if name not in made.modalities]
    click.echo(f"{out}: {', '.join(made.modalities)}; left out: {', '.join(left) or 'nothing'}")
