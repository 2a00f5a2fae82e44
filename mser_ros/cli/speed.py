"""`mser speed`: a bundle beside the plain transformers of the same architectures."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ..errors import DependencyError


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("models", type=click.Path(path_type=Path))
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=3.0, show_default=True, help="Length of the voice.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=20, show_default=True, help="Utterances each.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Also write the numbers to this file.")
def speed(bundle: Path, models: Path, seconds: float, rounds: int, json_path: Path | None) -> None:
    """Compare BUNDLE with the transformers in MODELS (its folders `speech` and `text`), one thread each.

    Both answer the same made-up utterance, one after the other, each in a process of its own.
    """
    try:
        from ..training.serving import compare
    except ImportError as error:
        raise DependencyError(f"this needs more packages ({error}): pip install 'mser_ros[train]'") from None
    found = compare(bundle, models, seconds=seconds, rounds=rounds)
    for name in ("bundle", "transformers"):
        part = found[name]
        times = f"{part['median_s'] * 1000:.0f} ms, {part['cpu_s'] * 1000:.0f} ms of them work"
        click.echo(f"{name}: {times}, {part['memory_mb']} MB")
    ratios = f"{found['times_faster']} times as fast, {found['times_less_work']} times less work"
    click.echo(f"{ratios}, {found['memory_share']:.0%} of the memory")
    if json_path:
        json_path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
