"""`mser demo`: the three nodes as processes of their own, a recorded person played into them over DDS."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from ..audio.stream import AudioStream
from ..audio.waveform import to_int16
from ..corpora import open_corpus
from ..errors import BagError, CorpusError, MserError
from ..evaluation.timeline import Recording, draw_timeline
from ..labels import LABELS
from ..messages import conversions
from ..messages.audio_topics import AUDIO_TYPES
from ..messages.bag_order import find_disorder
from ..messages.bag_writer import BagWriter, clear_bag
from ..messages.bags import Bag
from ..messages.records import Record, emotion_record, write_jsonl
from ..nodes.domain import keep_domain
from ..nodes.processes import NodeProcesses
from ..nodes.replay import CORE_NODES, ReplaySession, wait_for_nodes
from ..resources import share_dir
from ..types import NS_PER_S, SAMPLE_NS, SAMPLE_RATE, AudioChunk, SkeletonFrame
from .heard_beside import HeardBeside
from .idle_options import refuse_idle
from .inputs import Bodies, choose_topic, read_bag
from .lines import LEGEND, counted, emotion_line
from .tables import plain_console

AUDIO = "mser_msgs/msg/AudioFrame"
#: Corpora of acted speech, and when and in which blocks their people speak.
_PEOPLE = ("ravdess", "nemo")
_BEGIN_NS, _BLOCK = 1_700_000_000 * NS_PER_S, 1024


@click.command()
@click.option(
    "--bag", metavar="BAG", type=click.Path(path_type=Path), help="Bag to replay.  [the demo bag of this package]"
)
@click.option("--audio-topic", default="", help="Audio topic of BAG.  [the only one]")
@click.option("--skeleton-topic", default="", help="Skeleton topic of BAG.  [the only one]")
@click.option(
    "--data", type=click.Path(path_type=Path), help="Folder with 'ravdess' or 'nemo': people of these speak instead."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("demo_out"), show_default=True)
@click.option("--rate", type=click.FloatRange(0.1, 5), default=1.0, show_default=True, help="Speed of the replay.")
@click.option("--bundle", default="", help="Model bundle.  [the default one]")
def demo(
    bag: Path | None, audio_topic: str, skeleton_topic: str, data: Path | None, out: Path, rate: float, bundle: str
) -> int:
    """Start the nodes, replay a recorded person into them and print every emotion they publish.

    The demo bag is synthetic: it shows that everything works, not how accurate it is. With --data real people speak,
    whom the default bundle knows: it has learned from these corpora.
    """
    console = plain_console(soft_wrap=True)
    if bag and data:
        raise BagError("a demo has one source: leave --bag or --data away")
    if not bag:
        refuse_idle(("audio_topic", "skeleton_topic"), "a --bag")
    data = data and data.expanduser()  # which no shell does in 'make demo DATA=~/data'
    path = bag or (write_people(data, out / "people", console) if data else share_dir() / "demo" / "demo.mcap")
    isolate()
    with Bag(path) as source:
        begin_s = source.start_ns / NS_PER_S
        topics, unheard = _topics(source, audio_topic, skeleton_topic)
        length_s = (source.end_ns - source.start_ns) / NS_PER_S
        disorder = find_disorder(source, topics)
        odd = [f"{one.fault}: the nodes lose what comes late; mser annotate does not" for one in disorder]
        for note in (*source.notes, *odd, *unheard):
            console.print(f"note: {note}", style="yellow")
    out.mkdir(parents=True, exist_ok=True)
    records: list[Record] = []

    def show(message: object) -> None:
        record = emotion_record(conversions.to_fields(message))
        if not records:
            console.print(LEGEND.format(labels=", ".join(record["labels"])), style="dim")
        records.append(record)
        console.print(emotion_line(record, begin_s=begin_s))

    console.print(f"Starting {', '.join(CORE_NODES)} as processes of their own ...", style="dim")
    console.print(how_to_watch(), style="dim")
    parameters: dict[str, object] = {"use_sim_time": True} | ({"emotion:bundle": bundle} if bundle else {})
    if data:  # one of these corpora is Polish
        parameters["speech:asr.language"] = "auto"
    with NodeProcesses(CORE_NODES, parameters=parameters) as nodes, ReplaySession(on_emotion=show) as session:
        wait_for_nodes(session, nodes)
        console.print(f"Replaying {path.name}: {length_s:.0f} s", style="dim")
        session.play(path, rate=rate, topics=topics, names=topics)
        complete = session.finish(rate=rate)
    bad_exits = {name: code for name, code in nodes.exit_codes.items() if code}
    _write(out, records, path, audio_topic, skeleton_topic)
    finals = [record for record in records if record["state"] == "FINAL"]
    found = f"{counted(len(finals), 'utterance')}, {counted(len(records), 'emotion')}"
    summary = f"{found} → {out / 'emotions.jsonl'}, {out / 'timeline.png'}"
    if not complete or not finals or bad_exits:
        console.print(f"Incomplete: {summary} {bad_exits or ''}", style="bold red")
        return 1
    console.print(f"Done: {summary}", style="bold green")
    return 0


def write_people(data: Path, target: Path, console: Console) -> Path:
    """A bag in which somebody of each corpus of acted speech in `data` says a sentence in each emotion."""
    corpora = [open_corpus(name, data / name) for name in _PEOPLE if (data / name).is_dir()]
    if not corpora:
        raise CorpusError(f"there is neither {' nor '.join(_PEOPLE)} in {data}: name the folder that holds one of them")
    clear_bag(target)  # of an earlier demo
    target.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    sample = 0
    with BagWriter(target) as writer:
        for corpus in corpora:
            person = str(rng.choice(sorted({item.person for item in corpus.items})))
            for label in LABELS:
                theirs = [item for item in corpus.items if item.person == person and item.label == label]
                audio = theirs[int(rng.integers(len(theirs)))].load().audio if theirs else None
                if audio is None:
                    continue
                samples = np.pad(to_int16(audio.samples), SAMPLE_RATE)
                spoken_s = (sample + SAMPLE_RATE) / SAMPLE_RATE
                console.print(f"{spoken_s:8.1f} s  {label:<8} is acted by {corpus.name} {person}", style="dim")
                for first in range(0, len(samples) - _BLOCK + 1, _BLOCK):
                    stamp_ns = _BEGIN_NS + sample * SAMPLE_NS
                    block = AudioChunk(samples[first : first + _BLOCK, None], SAMPLE_RATE, stamp_ns, sample)
                    writer.write("/audio", AUDIO, conversions.audio_to_fields(block), block.end_ns)
                    sample += _BLOCK
    return target


def isolate() -> None:
    """Keep this process and its children to this machine, in a ROS domain that nobody else here uses."""
    os.environ["ROS_DOMAIN_ID"] = str(keep_domain())
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    if _is_humble():
        os.environ["ROS_LOCALHOST_ONLY"] = "1"


def how_to_watch() -> str:
    """Of nodes that were isolated: how another terminal finds them."""
    local = "ROS_LOCALHOST_ONLY=1 " if _is_humble() else ""
    return f"On a page, from another terminal: {local}ROS_DOMAIN_ID={os.environ.get('ROS_DOMAIN_ID', '0')} mser view"


def _is_humble() -> bool:
    """Whether this is ROS 2 Humble, which does not know the discovery range; later ones warn of what it has instead."""
    return os.environ.get("ROS_DISTRO") == "humble"


def _topics(bag: Bag, audio_topic: str, skeleton_topic: str) -> tuple[dict[str, str], list[str]]:
    """The topics of a bag that are played, and the names that the nodes know them by; sentences on others. Raises
    `BagError`."""
    heard = choose_topic(bag, audio_topic, AUDIO_TYPES, "--audio-topic")
    if not heard:
        has = ", ".join(f"{name} ({kind})" for name, kind in sorted(bag.topics.items()))
        raise BagError(f"the bag {bag.path} has no sound, it has {has}: record a topic of type {AUDIO} with it")
    bodies, beside = Bodies(bag, skeleton_topic, None, "--skeleton-topic").topics, HeardBeside(bag, heard, None)
    names = {heard: "/audio"} | ({beside.robot: "/robot_speaking"} if beside.robot else {})
    if len(bodies) == 1:
        return names | {bodies[0]: "/skeleton_in"}, beside.notes
    return names, [*beside.notes, *(f"{topic} is not played: mser annotate reads it" for topic in bodies)]


def _write(out: Path, records: list[Record], bag: Path, audio_topic: str, skeleton_topic: str) -> None:
    write_jsonl(out / "emotions.jsonl", records)
    recording, stream = Recording(), AudioStream()
    with Bag(bag) as source:
        for item in read_bag(source, audio_topic, skeleton_topic)[0]:
            with suppress(MserError):  # the nodes have said it
                data = item.load()
                if isinstance(data, AudioChunk):
                    for heard in stream.push(data, item.log_ns):
                        if isinstance(heard, AudioChunk):
                            recording.add(heard)
                elif isinstance(data, SkeletonFrame):
                    recording.add(data)
    draw_timeline(records, recording, out / "timeline.png", title=f"mser_ros: {bag.name}, through the live nodes")
