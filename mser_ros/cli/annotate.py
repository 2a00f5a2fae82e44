"""`mser annotate`: the live pipeline over a bag or a sound file, without ROS and faster than real time."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..errors import BagError, DamagedBagError, MserError, SettingsError
from ..evaluation.timeline import Recording, draw_timeline
from ..messages import conversions
from ..messages.bag_files import is_bag
from ..messages.bag_writer import copy_with_topic
from ..messages.records import emotion_record, write_csv, write_jsonl
from ..recognition.bundle import load_bundle
from ..recognition.recognizer import EmotionRecognizer
from ..settings import BACKENDS, AudioFormatSettings, SpeechSettings, build
from ..stages.pipeline import EmotionPipeline
from ..types import AudioChunk, EmotionEstimate, SkeletonFrame
from .inputs import open_bag, open_files
from .lines import emotion_line

EMOTION = "mser_msgs/msg/Emotion"
#: No microphone that hears a voice gives peaks below this [dB of full scale].
_SILENT_DB = -55.0


@click.command()
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option("--skeleton", type=click.Path(path_type=Path), help="Skeleton file (.npz, .bvh) beside a sound file.")
@click.option("--bundle", default="", help="Model bundle.  [the default one]")
@click.option("--asr", "backend", type=click.Choice(BACKENDS), help="Speech recogniser.")
@click.option("--asr-model", default="", help="Folder of the recogniser's model.")
@click.option("--audio-topic", default="", help="Audio topic of the bag.  [the only one]")
@click.option(
    "--audio-format", default="", metavar="S16LE,16000,1", help="Format, rate, channels where messages lack it."
)
@click.option("--skeleton-topic", default="", help="Skeleton topic of the bag.  [the only one of type Skeleton]")
@click.option("--quiet", is_flag=True, help="Do not print the final emotions.")
def annotate(
    source: Path,
    out: Path,
    skeleton: Path | None,
    bundle: str,
    backend: str | None,
    asr_model: str,
    audio_topic: str,
    audio_format: str,
    skeleton_topic: str,
    quiet: bool,
) -> int:
    """Estimate the emotions in a bag or a sound file.

    Writes emotions.jsonl (a message a line), emotions.csv (a final estimate a line), timeline.png, and for a bag a copy
    of it with the topic /emotion added.
    """
    console = Console(highlight=False, soft_wrap=True)
    from_bag = is_bag(source)
    if from_bag and skeleton:
        raise BagError("--skeleton goes with a sound file: a bag brings its own skeleton topic")
    copy = out / "annotated"
    if copy.resolve() in (source.resolve(), *source.resolve().parents):
        raise BagError(f"the results would overwrite {source}: name another folder with -o")
    if backend == "vosk" and not asr_model:
        raise SettingsError("--asr vosk needs a model: name the folder of a downloaded Vosk model by --asr-model")
    speech = build(SpeechSettings, ({"asr.backend": backend} if backend else {}) | {"asr.model_path": asr_model})
    if from_bag:
        items, count, notes = open_bag(source, audio_topic, skeleton_topic, _audio_format(audio_format))
    else:
        items, count, notes = open_files(source, skeleton)
    loaded = load_bundle(bundle)
    pipeline = EmotionPipeline.create(EmotionRecognizer(loaded), speech=speech)
    recording = Recording()
    pipeline.on_audio = recording.add
    found: list[tuple[int, EmotionEstimate]] = []
    rejected: dict[str, int] = {}

    errors = Console(stderr=True)
    if loaded.advice:
        errors.print(loaded.advice, style="yellow", highlight=False, soft_wrap=True)
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, TimeRemainingColumn(), console=errors, disable=not errors.is_terminal) as progress:
        log_ns = 0
        for item in progress.track(items, total=count, description=source.name):
            log_ns = item.log_ns
            try:
                found += [(log_ns, estimate) for estimate in _push(pipeline, item.load(), log_ns, recording)]
            except MserError as error:
                rejected[str(error)] = rejected.get(str(error), 0) + 1
        found += [(log_ns, estimate) for estimate in pipeline.flush()]

    records = [emotion_record(conversions.emotion_to_fields(estimate)) for _, estimate in found]
    finals = [record for record in records if record["state"] == "FINAL"]
    if not finals:
        raise MserError(_why_nobody(source, recording, rejected))
    out.mkdir(parents=True, exist_ok=True)
    write_jsonl(out / "emotions.jsonl", records)
    write_csv(out / "emotions.csv", records)
    draw_timeline(records, recording, out / "timeline.png", title=source.name)
    if from_bag:
        if (copy / "metadata.yaml").is_file():
            shutil.rmtree(copy)  # of an earlier run
        messages = ((conversions.emotion_to_fields(estimate), log_ns) for log_ns, estimate in found)
        try:
            skipped = copy_with_topic(source, copy, topic="/emotion", type_name=EMOTION, messages=messages)
            rejected |= {f"{topic} is not in the copy: nothing here knows its type": 1 for topic in skipped}
        except DamagedBagError as error:  # what is whole was annotated all the same
            rejected |= {f"there is no copy of the bag with the emotions: {error}": 1}
    begin_s = min(record["speech_start"]["sec"] for record in records) if from_bag else 0.0
    for note in notes:
        console.print(f"note: {note}", style="yellow")
    for record in finals if not quiet else ():
        console.print(emotion_line(record, begin_s=begin_s))
    for problem, times in rejected.items():
        console.print(f"dropped {times} x: {problem}", style="yellow")
    console.print(f"{len(finals)} utterances → {out}", style="bold")
    return 0


def _why_nobody(source: Path, recording: Recording, rejected: Mapping[str, int]) -> str:
    """Why no utterance was found, and what helps."""
    first = next(iter(rejected), "")
    if not recording.level:
        if first:
            return f"nothing in {source} can be used: {first}"
        return f"there is no audio in {source}: give a recording of a voice, or name its topic by --audio-topic"
    loudest_db = 20 * math.log10(max(*recording.level.values(), 1e-5))
    if loudest_db < _SILENT_DB:
        return f"{source} is silent, {loudest_db:.0f} dB at its loudest: turn the microphone up, or record it again"
    dropped = f" ({sum(rejected.values())} pieces were dropped: {first})" if first else ""
    return f"nobody speaks in {source}{dropped}: give a recording of a voice, close to the microphone"


def _audio_format(text: str) -> AudioFormatSettings:
    names = ("format", "sample_rate", "channels")
    values = dict(zip(names, text.split(","), strict=False)) if text else {}
    try:
        return build(
            AudioFormatSettings, {name: value if name == "format" else int(value) for name, value in values.items()}
        )
    except ValueError:
        raise SettingsError(f"--audio-format '{text}': give format, rate and channels, as S16LE,16000,1") from None


def _push(
    pipeline: EmotionPipeline, data: AudioChunk | SkeletonFrame, log_ns: int, recording: Recording
) -> Iterator[EmotionEstimate]:
    if isinstance(data, AudioChunk):
        return pipeline.push_audio(data, log_ns)
    recording.add(data)
    return pipeline.push_skeleton(data)
