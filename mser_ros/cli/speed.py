"""`mser speed`: what full-size networks cost, on the robot and in training, and what the recognisers do."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import click

from ..errors import SettingsError
from .tables import json_option, show_table, table, write_option
from .training_runs import training_packages

_JSON = json_option()


@click.group()
def speed() -> None:
    """Measure speed and memory on this machine: of full-size networks, and of the speech recognisers."""


@speed.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.argument("models", required=False, type=click.Path(path_type=Path))
@click.option("--seconds", type=click.FloatRange(0.5, 60), default=3.0, show_default=True, help="Length of the voice.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=20, show_default=True, help="Utterances each.")
@_JSON
def serving(bundle: Path | None, models: Path | None, seconds: float, rounds: int, json_path: Path | None) -> None:
    """Compare BUNDLE with the plain transformers in MODELS (its folders `speech` and `text`), one thread each.

    Both answer the same made-up utterance, one after the other, each in a process of its own. Without arguments: paper
    B's fusion of wav2vec2-base and BERT-base, with random weights, whose cost is that of trained ones.
    """
    if bundle is not None and models is None:
        raise SettingsError("name the folder of the transformers as well, or neither of the two")
    with training_packages():
        from ..training.speed.full_size import full_size_config, write_bundle, write_sources
        from ..training.speed.serving import compare
    with tempfile.TemporaryDirectory() as scratch:
        if bundle is None or models is None:
            click.echo("making wav2vec2-base and BERT-base with random weights, and a bundle of them", err=True)
            models, bundle = write_sources(Path(scratch) / "models"), Path(scratch) / "bundle"
            write_bundle(full_size_config("paper_b_fusion", models), bundle)
        found = compare(bundle, models, seconds=seconds, rounds=rounds)
    for name in ("bundle", "transformers"):
        part = found[name]
        times = f"{part['median_s'] * 1000:.0f} ms, {part['cpu_s'] * 1000:.0f} ms of them work"
        click.echo(f"{name}: {times}, {part['memory_mb']} MB")
    ratios = f"{found['times_faster']} times as fast, {found['times_less_work']} times less work"
    click.echo(f"{ratios}, {found['memory_share']:.0%} of the memory")
    _keep(found, json_path)


@speed.command()
@click.argument("config")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--utterances", type=click.IntRange(1, 1_000_000), default=5531, show_default=True, help="As many as IEMOCAP has."
)
@click.option("--seconds", type=click.FloatRange(0.6, 60), default=4.6, show_default=True, help="Their mean length.")
@_JSON
def training(config: str, overrides: tuple[str, ...], utterances: int, seconds: float, json_path: Path | None) -> None:
    """Time one epoch of CONFIG, the name or the file of an experiment, on made-up utterances.

    Hugging Face ids stand for wav2vec2-base and BERT-base with random weights, so that nothing is downloaded; what a
    frozen one gives is read from disk, as in an experiment after its first fold.
    """
    with training_packages():
        from ..training.speed.full_size import full_size_config, time_epoch, write_sources
    with tempfile.TemporaryDirectory() as scratch:
        experiment = full_size_config(config, write_sources(Path(scratch) / "models"), overrides)
        found = time_epoch(experiment, Path(scratch), utterances=utterances, mean_s=seconds)
    where = f"GPU {found['gpu_use']:.0%} busy" if "gpu_use" in found else f"threads: {experiment.threads}"
    rate = f"{found['utterances_per_s']:.1f} utterances/s, {found['memory_mb']:.0f} MB, {where}"
    click.echo(f"{utterances} utterances in {found['epoch_s']} s: {rate}")
    _keep(found, json_path)


@speed.command()
@click.option(
    "--corpus", "corpus_text", default="ravdess", show_default=True, metavar="NAME[=PATH]", help="Recordings."
)
@click.option("--clips", type=click.IntRange(1, 100_000), default=84, show_default=True, help="So many of them.")
@click.option("--language", default="en", show_default=True, metavar="TAG", help="What is spoken in them.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 30),
    default=0.0,
    show_default=True,
    help="So much of each, with what is said in the middle; 0: all.",
)
@click.option("--vosk-model", default="", metavar="DIR", help="Measure vosk as well, with this model.")
@_JSON
@write_option("docs/recogniser.md", "recognisers")
def recognisers(
    corpus_text: str,
    clips: int,
    language: str,
    seconds: float,
    vosk_model: str,
    json_path: Path | None,
    page: Path | None,
) -> None:
    """Compare the speech recognisers on recordings: word error rate, time, memory. Prints a table in Markdown.

    Each reads them in a process of its own with one thread; faster-whisper too, where it is installed.
    """
    from ..corpora.registry import corpus_folder
    from ..evaluation.recognisers import LANGUAGES, LICENCES, REFERENCE, measure

    name, _, path = corpus_text.partition("=")
    found, lacking = measure(
        name,
        corpus_folder(name, path),
        clips=clips,
        seconds=seconds,
        language=language,
        models={"vosk": vosk_model},
    )
    columns = (
        "recogniser",
        "word error rate",
        "a clip takes",
        "processor time",
        "memory",
        "model",
        "languages",
        "licence",
    )
    rows = [
        (
            item.name,
            f"{item.word_error_rate:.2f}",
            f"{item.ms:.0f} ms",
            f"{item.work_ms:.0f} ms",
            f"{item.memory_mb:.0f} MB",
            f"{item.model_mb:.0f} MB" if item.model_mb else "in its package",
            LANGUAGES[item.name],
            LICENCES[item.name],
        )
        for item in found
    ]
    told = [f"{item.clips} clips of {name}, {item.clip_s} s in the mean, one thread." for item in found[:1]]
    work = {item.name: item.work_ms for item in found}
    if {"whisper", REFERENCE} <= set(work):
        told += [f"{REFERENCE} with its defaults does {work[REFERENCE] / work['whisper']:.1f} times the work of ours."]
    show_table(page, "recognisers", [*table(columns, rows), "", *told])
    for other, why in lacking.items():
        click.echo(f"{other}: {why}", err=True)
    _keep({"corpus": name, "recognisers": [asdict(item) for item in found], "lacking": lacking}, json_path)


@speed.command()
@click.option(
    "--minutes",
    "lengths",
    type=click.FloatRange(0.1, 600),
    multiple=True,
    default=(10.0, 60.0),
    show_default=True,
    help="Length of a recording; several: say it again.",
)
@click.option("--asr", "backends", multiple=True, default=("none", "whisper"), show_default=True, metavar="NAME")
@click.option(
    "--provisional/--no-provisional", "provisional", default=None, help="As of mser annotate.  [both, one by one]"
)
@click.option("--corpus", default="", metavar="NAME[=PATH]", help="People of a corpus, with pauses.  [the demo bag]")
@_JSON
def annotate(
    lengths: tuple[float, ...], backends: tuple[str, ...], provisional: bool | None, corpus: str, json_path: Path | None
) -> None:
    """Time `mser annotate` on long recordings, with and without words, and with and without what is estimated while
    somebody still speaks. Prints a table in Markdown.

    They are made of the voices of the demo bag, or of a corpus; each is annotated in a process of its own. With Whisper
    an hour takes minutes.
    """
    from .annotation_speed import measure

    click.echo("| recording | of it speech | words | estimates | times real time | of one core | memory |")
    click.echo("|---|---|---|---|---|---|---|")
    found = []
    ways = (False, True) if provisional is None else (provisional,)
    for backend, is_provisional, minutes in product(backends, ways, lengths):
        item = measure(minutes, backend, provisional=is_provisional, corpus=corpus)
        kinds = "provisional, final" if is_provisional else "final"
        fast = f"{item.times:.0f} × ({item.cores:.1f} cores) | {item.work_times:.0f} ×"
        click.echo(f"| {minutes:g} min | {item.speech:.0%} | {backend} | {kinds} | {fast} | {item.peak_mb:.0f} MB |")
        found.append(asdict(item))
    _keep({"annotate": found}, json_path)


def _keep(found: dict[str, Any], path: Path | None) -> None:
    if path:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
