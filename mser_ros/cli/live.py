"""`mser live`: the nodes as processes of their own, this machine's microphone, and every emotion as a line."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from ..audio.capture import find_device, list_devices
from ..errors import SettingsError
from ..messages import conversions
from ..messages.records import Record, emotion_record, seconds
from ..nodes.processes import NodeProcesses
from ..nodes.replay import ReplaySession
from ..settings import BACKENDS
from .demo import NODES, isolate, wait_for_nodes
from .lines import LEGEND, emotion_line


@click.command()
@click.option("--device", default="", help="Microphone, by its number or a part of its name.  [the system's default]")
@click.option("--file", default="", help="Play this sound file or film in place of a device.")
@click.option("--camera", default="", help="Also look through this camera (0, /dev/video0), or at 'film': --file's.")
@click.option("--bundle", default="", help="Model bundle.  [the default one]")
@click.option("--asr", "backend", type=click.Choice(BACKENDS), help="Speech recogniser.")
@click.option("--seconds", "length_s", type=click.FloatRange(min=0), help="Stop after this time.  [at Ctrl-C]")
def live(device: str, file: str, camera: str, bundle: str, backend: str | None, length_s: float | None) -> int:
    """Listen to a microphone and print every emotion that the nodes publish, until Ctrl-C."""
    console = Console(highlight=False, soft_wrap=True)
    if camera == "film" and not file:
        raise SettingsError("--camera film looks at the film of --file: name that as well")
    chosen = None if file else find_device(device, list_devices())
    source = f"file '{file}'" if chosen is None else str(chosen)
    isolate()
    shown: list[Record] = []

    def show(message: object) -> None:
        record = emotion_record(conversions.to_fields(message))
        if not shown:
            console.print(LEGEND.format(labels=", ".join(record["labels"])), style="dim")
            shown.append(record)
        console.print(emotion_line(record, begin_s=seconds(shown[0]["speech_start"])))

    parameters: dict[str, object] = {"microphone:file": str(Path(file).absolute())} if file else {}
    parameters |= {"microphone:device": str(chosen.number)} if chosen else {}
    parameters |= ({"emotion:bundle": bundle} if bundle else {}) | ({"speech:asr.backend": backend} if backend else {})
    if camera:
        parameters |= {"pose:file": str(Path(file).absolute())} if camera == "film" else {"pose:device": camera}
    names = ("microphone", *(["pose"] if camera else []), *NODES)
    console.print(f"Starting {', '.join(names)} as processes of their own ...", style="dim")
    with NodeProcesses(names, parameters=parameters) as nodes, ReplaySession(on_emotion=show) as session:
        wait_for_nodes(session, nodes)
        console.print(f"Listening to {source}. Ctrl-C ends it.", style="bold")
        try:
            session.wait(lambda: bool(nodes.ended()), length_s or float("inf"))
        except KeyboardInterrupt:
            console.print("")
        gone = nodes.ended()
        for name, problem in session.problems().items():
            console.print(f"{name}: {problem}", style="yellow")
    if gone:
        console.print(f"These nodes ended by themselves: {', '.join(gone)}", style="bold red")
    return 1 if gone else 0
