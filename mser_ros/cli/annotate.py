"""`mser annotate`: recordings through the live pipeline, without ROS and faster than real time."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..errors import MserError, SettingsError
from ..messages.bag_files import is_bag
from ..mocap.layouts import get_layout
from ..settings import BACKENDS, NODES, AudioFormatSettings, MocapSettings, SpeechSettings
from ..settings.parameters import build_parameters
from ..settings.schema import build, flatten
from .annotation import Annotated, Annotator, Interrupted
from .annotation_choices import Choices
from .archive import Row, annotate_all
from .archive_files import beside_bag, find_recordings, is_recording, left_out
from .idle_options import refuse_idle
from .inputs import Item, motion_options, skeleton_options
from .lines import counted, emotion_line
from .params import read_values
from .tables import plain_console

#: Files of which are told by their names.
_NAMED = 5


@click.command()
@click.argument("sources", metavar="INPUT...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option("--skeleton", type=click.Path(path_type=Path), help="Skeleton file (.npz, .bvh) beside a sound file.")
@click.option("--bundle", default="", help="Model bundle.  [the default one]")
@click.option(
    "--params-file",
    "--params",
    type=click.Path(path_type=Path),
    help="Parameter file of the robot's nodes; other options outweigh it.",
)
@click.option("--asr", "backend", type=click.Choice(BACKENDS), help="Speech recogniser.")
@click.option("--asr-model", default="", help="Folder of the recogniser's model.")
@click.option("--asr-language", default="", help="What is spoken, as pl, or auto.  [en]")
@click.option("--audio-topic", default="", help="Audio topic of a bag.  [the only one]")
@click.option(
    "--audio-format", default="", metavar="S16LE,16000,1", help="Format, rate, channels where messages lack it."
)
@click.option("--skeleton-topic", default="", help="Skeleton topic of a bag.  [the only one]")
@click.option("--text-topic", default="", help="Topic of a bag with words, where asr.foreign is set.  [text]")
@skeleton_options
@motion_options
@click.option("--bodies/--no-bodies", default=True, show_default=True, help="Look for people in films.")
@click.option("--html", is_flag=True, help="Also write a report for people: one page with timeline, words and sound.")
@click.option("--mcap", is_flag=True, help="Also write a bag of sound files and films; with sound that Foxglove plays.")
@click.option("--transcripts/--no-transcripts", default=None, help="Whether results tell what was said.  [they do]")
@click.option(
    "--provisional/--no-provisional",
    default=True,
    show_default=True,
    help="Estimates while somebody speaks as well, as the robot gives them; without them it is much faster.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted call stopped.")
@click.option("--workers", type=click.IntRange(1), help="Recordings at a time.  [1; with --ray every core]")
@click.option(
    "--ray",
    "cluster",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    help="On a Ray cluster, or one of this machine's cores; say it after the recordings.",
)
@click.option("--quiet", is_flag=True, help="Do not print the final emotions.")
def annotate(
    sources: tuple[Path, ...],
    out: Path,
    skeleton: Path | None,
    bundle: str,
    params_file: Path | None,
    backend: str | None,
    asr_model: str,
    asr_language: str,
    audio_topic: str,
    audio_format: str,
    skeleton_topic: str,
    text_topic: str,
    mocap: MocapSettings,
    up: str | None,
    unit: str | None,
    bodies: bool,
    html: bool,
    mcap: bool,
    transcripts: bool | None,
    provisional: bool,
    resume: bool,
    workers: int | None,
    cluster: str | None,
    quiet: bool,
) -> int:
    """Estimate the emotions in bags, sound files and films, one or a whole archive.

    Of one recording it writes emotions.jsonl (a message a line), emotions.csv (a final estimate a line), timeline.png,
    and for a bag a copy of it with the topics /emotion and /state added; with --mcap a bag of any recording, for
    Foxglove. Of several, or of a folder of them, it does so in a folder for each and writes results.csv, a line for
    each recording; one that is broken is a line with its reason. With --html there is a report.html beside the others,
    and an index.html of several. Ctrl-C leaves what is done, and --resume goes on from there.
    """
    if backend == "vosk" and not asr_model:
        raise SettingsError("--asr vosk needs a model: name the folder of a downloaded Vosk model by --asr-model")
    given = read_values(params_file) if params_file else {}
    told = given.get("emotion", {}).get("transcripts", True)
    choices = Choices(
        bundle=bundle or given.get("emotion", {}).get("bundle", ""),
        backend=backend or "",
        asr_model=asr_model,
        asr_language=asr_language,
        audio_topic=audio_topic,
        skeleton_topic=skeleton_topic,
        text_topic=text_topic,
        bodies=bodies,
        provisional=provisional,
        transcripts=told if transcripts is None else transcripts,
        html=html,
        mcap=mcap,
        audio=_audio_format(audio_format, given.get("speech", {})),
        mocap=_mocap(mocap, given.get("mocap", {})),
        up=up or "",
        unit=unit or "",
        params={node: _unusual(node, given.get(node, {})) for node in ("speech", "emotion")},
        command=shlex.join(["mser", *(click.get_current_context().find_root().obj or ())]),
    )
    if not choices.speech.asr.foreign:
        refuse_idle(("text_topic",), "asr.foreign in a --params-file", "set that as well")
    if cluster is None and len(sources) == 1 and (is_recording(sources[0]) or not sources[0].is_dir()):
        return _annotate_one(sources[0], out, choices, skeleton=skeleton, resume=resume, quiet=quiet)
    if skeleton:
        raise SettingsError("--skeleton goes with one sound file: annotate the others without it")
    return _annotate_all(sources, out, choices, workers=workers, ray=cluster, resume=resume)


def _annotate_one(
    source: Path, out: Path, choices: Choices, *, skeleton: Path | None, resume: bool, quiet: bool
) -> int:
    _refuse_idle([source], skeleton)
    console, errors = plain_console(soft_wrap=True), plain_console(soft_wrap=True, stderr=True)
    if beside := beside_bag(source, without=out):
        named = ", ".join(str(path.relative_to(source)) for path in beside[:_NAMED])
        more = ", ..." if len(beside) > _NAMED else ""
        errors.print(f"left out, as {source} is a bag: {named}{more} (name such files as well)", style="yellow")
    annotator = Annotator(choices)
    if annotator.bundle.advice:
        errors.print(annotator.bundle.advice, style="yellow")
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    begun_s = time.monotonic()
    with Progress(*columns, TimeRemainingColumn(), console=errors, disable=not errors.is_terminal) as progress:

        def track(items: Iterable[Item], count: int, name: str) -> Iterable[Item]:
            return progress.track(items, total=count, description=name)

        try:
            found = annotator.annotate(source, out, skeleton=skeleton, resume=resume, track=track)
        except Interrupted as stopped:
            progress.stop()
            errors.print(
                f"interrupted: the first {stopped.done_s:.0f} s are in {out}; the same call with --resume goes on",
                style="yellow",
            )
            return 130
    _print(console, found, quiet=quiet)
    speed = found.seconds / max(time.monotonic() - begun_s, 1e-6)
    console.print(
        f"{counted(len(found.finals), 'utterance')} → {out} ({found.seconds:.0f} s, {speed:.0f} × real time)",
        style="bold",
    )
    return 0


def _refuse_idle(recordings: Sequence[Path], skeleton: Path | None = None) -> None:
    """What would change nothing of any of these recordings."""
    are_bags = {is_bag(path) for path in recordings if path.exists()}
    if are_bags == {False}:
        none = f"and {recordings[0]} is none" if len(recordings) == 1 else "which none of these recordings is"
        refuse_idle(
            ("audio_topic", "skeleton_topic", "text_topic", "audio_format", "joints", "aspect", "tf_pattern"),
            f"a bag, {none}",
        )
        if not skeleton:
            refuse_idle(("layout",), "a bag or a --skeleton file")
    elif are_bags == {True}:
        refuse_idle(("bodies",), "a film")
    if not skeleton:
        refuse_idle(("up", "unit"), "a --skeleton file")


def _print(console: Console, found: Annotated, *, quiet: bool) -> None:
    for note in found.notes:
        console.print(f"note: {note}", style="yellow")
    for record in found.finals if not quiet else ():
        console.print(emotion_line(record, begin_s=found.begin_s))
    for problem, times in found.dropped.items():
        console.print(f"dropped {times} x: {problem}", style="yellow")


def _annotate_all(
    sources: tuple[Path, ...], out: Path, choices: Choices, *, workers: int | None, ray: str | None, resume: bool
) -> int:
    console, errors = plain_console(soft_wrap=True), plain_console(soft_wrap=True, stderr=True)
    true = os.path.realpath(out)
    if same := next((source for source in sources if source.is_dir() and os.path.realpath(source) == true), None):
        raise MserError(f"the results would lie among the recordings of {same}: name another folder with -o")
    recordings = find_recordings(sources, without=out)
    if not recordings:
        raise MserError(f"there is no recording in {', '.join(map(str, sources))}: name sound files, films or bags")
    _refuse_idle(recordings)
    others, unread = left_out(sources, recordings, without=out)
    for error in unread:
        errors.print(f"left out, as it cannot be read ({error.strerror}): {error.filename}", style="yellow")
    if others:
        named = ", ".join(f"{count} {ending}" for ending, count in others.most_common(10))
        errors.print(f"left out, as no sound, film or bag is named so: {named}", style="yellow")
    rows: list[Row] = []
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    begun_s = time.monotonic()
    with Progress(*columns, TimeRemainingColumn(), console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task("recordings", total=len(recordings))
        try:
            for row in annotate_all(recordings, out, choices, workers=workers, ray=ray, resume=resume):
                rows.append(row)
                progress.advance(task)
                if row.reason:
                    errors.print(f"{row.recording}: {row.reason}", style="yellow")
        except KeyboardInterrupt:
            progress.stop()
            errors.print(f"interrupted: what is done is in {out}; the same call with --resume goes on", style="yellow")
            return 130
    took_s, heard_s = time.monotonic() - begun_s, sum(row.seconds for row in rows)
    failed = sum(bool(row.reason) for row in rows)
    console.print(
        f"{counted(len(rows), 'recording')}, {failed} of them without a result, "
        f"{counted(sum(row.utterances for row in rows), 'utterance')} → {out / 'results.csv'} "
        f"({heard_s:.0f} s, {heard_s / max(took_s, 1e-6):.0f} × real time)",
        style="bold",
    )
    return 1 if failed == len(rows) else 0


def _unusual(node: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What changes results, of all the parameters that a file may list."""
    usual = {item.name: item.default for item in flatten(NODES[node])} | {"bundle": given.get("bundle")}
    return {name: value for name, value in given.items() if value != usual.get(name, value)}


def _mocap(chosen: MocapSettings, given: Mapping[str, Any]) -> MocapSettings:
    """What options chose, above what a parameter file gives."""
    usual = asdict(MocapSettings())
    own = {name: value for name, value in asdict(chosen).items() if value != usual[name]}
    settings = build_parameters(MocapSettings, {**given, **own})
    if settings.layout:
        get_layout(settings.layout)  # told at once, and not by the first body of an archive
    return settings


def _audio_format(text: str, given: Mapping[str, Any]) -> AudioFormatSettings:
    if not text:
        return build_parameters(SpeechSettings, given).audio
    names = ("format", "sample_rate", "channels")
    values = dict(zip(names, text.split(","), strict=False))
    try:
        return build(
            AudioFormatSettings, {name: value if name == "format" else int(value) for name, value in values.items()}
        )
    except ValueError:
        raise SettingsError(f"--audio-format '{text}': give format, rate and channels, as S16LE,16000,1") from None
