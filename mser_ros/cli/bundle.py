"""`mser bundle`: show and verify model bundles."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table

from ..recognition.bundle import load_bundle
from .tables import wide_console


@click.group()
def bundle() -> None:
    """Show or verify a model bundle: the folder that 'mser export' writes and the emotion node loads."""


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
    console.print(f"[bold]{loaded.model_id}[/]  {loaded.path}  {loaded.size_bytes / 1e6:.1f} MB")
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
