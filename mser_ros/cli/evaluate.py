"""`mser evaluate`: how good a bundle is on a corpus."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..asr.registry import choose, create_transcriber
from ..asr.transcriber import Transcriber
from ..corpora import Corpus, corpus_folder, open_corpus, people_of
from ..corpora.pseudo import SOURCES
from ..errors import CorpusError, SettingsError
from ..evaluation import plots
from ..evaluation.predict import Evaluation, Labelled
from ..evaluation.predict import evaluate as run_evaluation
from ..evaluation.report import Report
from ..recognition.bundle import Bundle, load_bundle
from ..recognition.recognizer import EmotionRecognizer
from ..settings import AsrSettings
from ..settings.schema import build
from ..training.config.files import parse_value
from ..types import Modalities
from .tables import plain_console, wide_console


@click.command()
@click.option("--bundle", "bundle_path", default="", metavar="DIR", help="Bundle to measure.  [the default one]")
@click.option(
    "--corpus", "corpus_text", required=True, metavar="NAME[=PATH]", help="Corpus; PATH if not in MSER_DATA_DIR."
)
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Of the corpus, as labels=perceived.")
@click.option(
    "-m", "--modalities", default="", metavar="A,B", help="Use no others.  [all that bundle and corpus share]"
)
@click.option("--subset", default="", metavar="A,B", help="Only these people.  [everybody]")
@click.option(
    "--asr",
    is_flag=False,
    flag_value="auto",
    default="",
    metavar="[BACKEND]",
    help="Recognise the words as well.",
)
@click.option("--asr-model", default="", metavar="DIR", help="Model of the speech recogniser.")
@click.option("--asr-language", default="", metavar="TAG", help="What is spoken, as pl, or auto.  [en]")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures to this file."
)
@click.option(
    "--plots", "plots_path", type=click.Path(path_type=Path, file_okay=False), help="Write pictures to this folder."
)
@click.option("--resamples", type=click.IntRange(100), default=1000, show_default=True, help="Of the bootstrap.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the bootstrap.")
def evaluate(
    bundle_path: str,
    corpus_text: str,
    options: tuple[str, ...],
    modalities: str,
    subset: str,
    asr: str,
    asr_model: str,
    asr_language: str,
    json_path: Path | None,
    plots_path: Path | None,
    resamples: int,
    seed: int,
) -> None:
    """Measure a bundle on a corpus: accuracy, calibration and selective answers, with bootstrap intervals.

    Corpora are iemocap, ravdess, nemo, goemotions, meld, egait, bandai_namco, pseudo, and under any other name a folder
    with a manifest.tsv. Every set of the modalities is measured; those asked for come first.
    """
    console, errors = wide_console(), plain_console(stderr=True)
    for folder in (json_path and json_path.parent, plots_path):
        if folder is not None:  # made before the work, not after it, so that a mistake costs nothing
            folder.mkdir(parents=True, exist_ok=True)
    bundle = load_bundle(bundle_path)
    corpus = _corpus(corpus_text, options)
    if subset:
        corpus = corpus.subset(_names(subset, "--subset"))
    chosen = _modalities(bundle, corpus, modalities, asr)
    seen = _seen_people(bundle, corpus, chosen)
    warnings = _warnings(bundle, corpus, chosen, seen)
    for warning in warnings:
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    transcriber = _transcriber(asr, asr_model, asr_language) if asr else None
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as progress:

        def track(items: Iterable[Labelled]) -> Iterable[Labelled]:
            return progress.track(items, total=len(corpus.items), description=corpus.name)

        evaluation = run_evaluation(
            EmotionRecognizer(bundle), corpus.items, chosen, transcriber=transcriber, track=track
        )
    if chosen not in evaluation.by_subset and chosen not in evaluation.by_subset_asr:
        raise CorpusError(
            f"no item of corpus '{corpus.name}' has what bundle {bundle.model_id} understands as "
            f"{' or '.join(chosen)}: choose other modalities or another bundle"
        )
    people = np.array([item.sources[0].person if item.sources else item.person for item in corpus.items])
    report = Report(evaluation, chosen, people=people, cluster_unit=corpus.cluster_unit, resamples=resamples, seed=seed)
    title = f"{bundle.model_id} on {corpus.name}{' (SYNTHETIC)' if corpus.synthetic else ''}"
    console.print(f"\n{title}: {len(corpus.items)} items of {len(people_of(corpus.items))} people", style="bold")
    if corpus.note:
        console.print(corpus.note, style="dim")
    console.print(report)
    if json_path is not None:
        content = {**_about(bundle, corpus, warnings, seen), **report.as_json()}
        json_path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if plots_path is not None:
        _draw(plots_path, report, evaluation, title)


def _corpus(text: str, options: Sequence[str]) -> Corpus:
    name, equals, path = text.partition("=")
    if not name or (equals and not path):
        raise SettingsError(f"--corpus '{text}' is not of the form NAME or NAME=PATH")
    return open_corpus(name, corpus_folder(name, path), **_options(name, options))


def _transcriber(backend: str, model: str, language: str) -> Transcriber:
    values = {"backend": backend, "model_path": model} | ({"language": language} if language else {})
    settings = build(AsrSettings, values)
    choice = choose(settings)
    click.echo(f"words are read by {choice}", err=True)
    return create_transcriber(settings, choice)


def _names(text: str, option: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SettingsError(f"{option} '{text}' names nothing: list names with commas between them, or leave it away")
    return names


def _options(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Options of the corpus; values are read as YAML. People are not dealt into folds to be measured."""
    options: dict[str, Any] = {"folds": 1} if name == "pseudo" else {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"--option '{text}' is not of the form KEY=VALUE, as in labels=perceived")
        options[key] = parse_value(value, text)
    return options


def _modalities(bundle: Bundle, corpus: Corpus, text: str, asr: str) -> Modalities:
    """In the bundle's order."""
    wanted = _names(text, "--modalities") if text else corpus.modalities
    if unknown := [name for name in wanted if text and name not in bundle.modalities]:
        raise SettingsError(
            f"bundle {bundle.model_id} has no modality '{unknown[0]}': it has {', '.join(bundle.modalities)}"
        )
    chosen = tuple(name for name in bundle.modalities if name in wanted)
    if not chosen:
        raise SettingsError(
            f"bundle {bundle.model_id} ({', '.join(bundle.modalities)}) and corpus '{corpus.name}' "
            f"({', '.join(corpus.modalities)}) share no modality: choose another bundle or corpus"
        )
    if asr and ("text" not in chosen or "speech" not in corpus.modalities):
        raise SettingsError(
            "--asr needs a corpus with sound and 'text' among the modalities: add --modalities speech,text"
        )
    return chosen


def _seen_people(bundle: Bundle, corpus: Corpus, chosen: Modalities) -> dict[str, list[str]]:
    """By modality, those of the corpus's people (corpus:name) whom its model was trained on."""
    present = people_of(corpus.items)
    seen = {}
    for name in chosen:
        trained = {(source, person) for source, people in bundle.modalities[name].people.items() for person in people}
        if both := sorted(present & trained):
            seen[name] = [":".join(person) for person in both]
    return seen


def _warnings(bundle: Bundle, corpus: Corpus, chosen: Modalities, seen: dict[str, list[str]]) -> list[str]:
    warnings = [
        f"the {name} model of {bundle.model_id} was trained on {len(people)} people of this corpus "
        f"({', '.join(people[:8])}{', ...' if len(people) > 8 else ''}): its figures here are too good"
        for name, people in seen.items()
    ]
    named = {source for source, _ in people_of(corpus.items)}
    for name in chosen:
        spec = bundle.modalities[name]
        unknown = sorted(named & set(spec.trained_on) - set(spec.people))
        if "pseudo" in spec.trained_on and named & set(SOURCES) and not any(map(spec.people.get, SOURCES)):
            unknown.append(f"pseudo, made of {', '.join(SOURCES)},")
        if unknown:
            warnings.append(
                f"the {name} model of {bundle.model_id} was trained on {', '.join(unknown)} without saying on whom: "
                "its figures here may be too good"
            )
    if extra := [name for name in chosen if name not in corpus.modalities]:
        reason = f": {corpus.note}" if corpus.note else ""
        warnings.append(f"corpus '{corpus.name}' has no {' and no '.join(extra)} that tells an emotion{reason}")
    return warnings


def _about(bundle: Bundle, corpus: Corpus, warnings: list[str], seen: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "bundle": bundle.model_id,
        "corpus": corpus.name,
        "synthetic": corpus.synthetic,
        "people": len(people_of(corpus.items)),
        "note": corpus.note,
        "cluster_unit": corpus.cluster_unit,
        "seen_people": seen,
        "warnings": warnings,
    }


def _draw(folder: Path, report: Report, evaluation: Evaluation, title: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    key = report.main
    plots.confusion_matrix(report.figures, folder / "confusion.png", title=title)
    outcome = evaluation.by_subset.get(key) or evaluation.by_subset_asr[key]
    plots.reliability_diagram(outcome.predictions, folder / "reliability.png", title=title)
    plots.risk_coverage_curve(outcome.predictions, folder / "risk_coverage.png", title=title)
