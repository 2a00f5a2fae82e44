"""`mser live`: this machine's microphone into the nodes, and every emotion as a line; or without ROS, onto a page."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from ..audio.capture import Device, MicrophoneCapture, find_device, list_devices
from ..audio.file_capture import FileCapture
from ..audio.sound_files import open_sound_file
from ..errors import AudioError, SettingsError
from ..messages.records import Record, emotion_record, seconds
from ..settings import BACKENDS, AsrSettings, EmotionSettings, MicrophoneSettings, PoseSettings, SpeechSettings
from ..settings.schema import build
from .idle_options import refuse_idle
from .page_options import page_options, print_address
from .tables import plain_console

if TYPE_CHECKING:
    from ..page.session import LiveSession

#: Until Ctrl-C: what threads may wait for has a bound [s].
_FOREVER_S = 1e9


@dataclass(frozen=True)
class _Choices:
    """What to listen to and look at, by which models, and for how long. Empty: none, or the default; `device`: the
    microphone, None where a file or a browser takes its place; `recogniser`: settings of `asr.*` by name."""

    device: Device | None
    file: str
    camera: str
    bundle: str
    recogniser: Mapping[str, str]
    length_s: float

    @property
    def film(self) -> str:
        """The file that the camera stands for, if it does for any."""
        return self.file if self.camera == "film" else ""


@click.command()
@click.option("--device", default="", help="Microphone, by its number or a part of its name.  [the system's default]")
@click.option(
    "--file", default="", help="Play this sound file or film in place of a device (on a page: once it is open)."
)
@click.option("--camera", default="", help="Also look through this camera (0, /dev/video0), or at 'film': --file's.")
@click.option("--bundle", default="", help="Model bundle.  [the default one]")
@click.option("--asr", "backend", type=click.Choice(BACKENDS), help="Speech recogniser.")
@click.option("--asr-model", default="", help="Folder of the recogniser's model.")
@click.option("--asr-language", default="", help="What is spoken, as pl, or auto.  [en]")
@click.option(
    "--seconds",
    "length_s",
    type=click.FloatRange(min=0),
    help="Stop after this time.  [at Ctrl-C; when a file is over, but for a page]",
)
@click.option(
    "--browser", is_flag=True, help="Show it on a page, without ROS; the browser's own microphone and camera will do."
)
@page_options
def live(
    device: str,
    file: str,
    camera: str,
    bundle: str,
    backend: str | None,
    asr_model: str,
    asr_language: str,
    length_s: float | None,
    browser: bool,
    words: bool,
    where: dict[str, Any],
) -> int:
    """Listen to a microphone and show every emotion until Ctrl-C.

    The nodes run as processes of their own, and what they publish is printed. With --browser no ROS is needed: the same
    pipeline shows a page, which also takes the microphone and the camera of the browser that looks at it. The options
    from --host on belong to that page; --no-words holds in the terminal as well.
    """
    console = plain_console(soft_wrap=True)
    if file:
        refuse_idle(("device",), "no --file, which takes its place", "leave one of them away")
    if camera == "film" and not file:
        raise SettingsError("--camera film looks at the film of --file: name that as well")
    model = str(Path(asr_model).expanduser().absolute()) if asr_model else ""
    asked = {"backend": backend, "model_path": model, "language": asr_language}
    recogniser = {name: value for name, value in asked.items() if value}
    if file:
        file = str(Path(file).expanduser())  # a shell leaves the '~' of --file=~/talk.wav as it is
        open_sound_file(file)  # told at once, and not by a node that waits for a better one
    wants_device = bool(device) or not browser
    devices = list_devices() if wants_device and not file else None
    if devices == []:
        raise AudioError("there is no microphone: plug one in, play a --file, or let a browser listen by --browser")
    microphone = find_device(device, devices) if devices else None
    length_s = _FOREVER_S if length_s is None else min(_FOREVER_S, length_s)
    chosen = _Choices(microphone, file, camera, bundle, recogniser, length_s)
    if browser:
        return _on_page(console, chosen, words=words, where=where)
    return _through_nodes(console, chosen, words=words)


def _on_page(console: Console, chosen: _Choices, *, words: bool, where: dict[str, Any]) -> int:
    from ..page.board import Board
    from ..page.server import Controls, PageServer
    from ..page.session import BrowserInputs, LiveSession
    from ..recognition.bundle import load_bundle
    from ..recognition.recognizer import EmotionRecognizer
    from ..stages.pipeline import EmotionPipeline

    # Told to end, it ends as at Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console.print("Loading ...", style="dim")
    recognizer = EmotionRecognizer(load_bundle(chosen.bundle), EmotionSettings(transcripts=words))
    speech = SpeechSettings(asr=build(AsrSettings, chosen.recogniser))
    board = Board(words=words)
    device, file = chosen.device, chosen.file
    sound = f"file '{Path(file).name}'" if file else f"microphone {device}" if device else ""
    with ExitStack() as stack:
        session = stack.enter_context(LiveSession(EmotionPipeline.create(recognizer, speech=speech), board))
        inputs = BrowserInputs(session, sound=sound, sight=chosen.camera)
        stack.callback(inputs.stop)
        server = stack.enter_context(PageServer(board, Controls(session.listen, session.erase), inputs=inputs, **where))
        if not file:
            _start(stack, session, chosen, sound)
        print_address(console, server)
        deadline_s = time.monotonic() + chosen.length_s
        try:
            if file:
                console.print("The file is played as soon as somebody opens the page.")
                if not server.hub.is_watched.wait(deadline_s - time.monotonic()):
                    return 0
                _start(stack, session, chosen, sound)
            threading.Event().wait(max(0.0, deadline_s - time.monotonic()))
        except KeyboardInterrupt:
            console.print("")
    return 0


def _start(stack: ExitStack, session: LiveSession, chosen: _Choices, sound: str) -> None:
    """Feed the session with what this machine itself hears and sees, until the stack is left. What is seen comes first:
    sound that is played while the networks of bodies are loaded would be ahead of the film's pictures."""
    from ..page.session import look, play

    capture: FileCapture | MicrophoneCapture | None = None
    if sound:
        number = str(chosen.device.number) if chosen.device else ""
        settings = build(MicrophoneSettings, {"device": number, "file": chosen.file})
        capture = (FileCapture if chosen.file else MicrophoneCapture)(settings, time.time_ns)
        stack.callback(capture.close)
    if chosen.camera:
        from ..vision.sources import Camera, FilmPlayer

        rate_hz = PoseSettings().rate_hz
        pictures = (
            FilmPlayer(chosen.film, time.time_ns, rate_hz=rate_hz, loop=False)
            if chosen.film
            else Camera(chosen.camera, time.time_ns, rate_hz=rate_hz)
        )
        stack.callback(pictures.close)
        look(session, pictures)
    if capture is not None:
        session.board.notice(source=sound)
        play(session, capture, sound)


def _through_nodes(console: Console, chosen: _Choices, *, words: bool) -> int:
    from ..messages import conversions
    from ..nodes.processes import NodeProcesses
    from ..nodes.replay import CORE_NODES, ReplaySession, wait_for_nodes
    from .demo import how_to_watch, isolate
    from .lines import LEGEND, emotion_line

    device, file = chosen.device, chosen.file
    source = f"file '{file}'" if device is None else str(device)
    isolate()
    shown: list[Record] = []

    def show(message: object) -> None:
        record = emotion_record(conversions.to_fields(message))
        if not shown:
            console.print(LEGEND.format(labels=", ".join(record["labels"])), style="dim")
            shown.append(record)
        console.print(emotion_line(record, begin_s=seconds(shown[0]["speech_start"])))

    parameters: dict[str, object] = {"microphone:file": str(Path(file).absolute())} if file else {}
    parameters |= {"microphone:device": str(device.number)} if device else {}
    parameters |= {"emotion:bundle": chosen.bundle} if chosen.bundle else {}
    parameters |= {} if words else {"emotion:transcripts": False}
    parameters |= {f"speech:asr.{name}": value for name, value in chosen.recogniser.items()}
    if chosen.camera:
        film = {"pose:file": str(Path(chosen.film).absolute())}
        parameters |= film if chosen.film else {"pose:device": chosen.camera}
    senses = {"microphone": "audio"} | ({"pose": "skeleton_in"} if chosen.camera else {})
    console.print(f"Starting {', '.join((*senses, *CORE_NODES))} as processes of their own ...", style="dim")
    console.print(how_to_watch(), style="dim")
    gone: dict[str, int] = {}
    with NodeProcesses(CORE_NODES, parameters=parameters) as nodes, ReplaySession(on_emotion=show) as session:
        wait_for_nodes(session, nodes)
        # Only now, so that the beginning of a file is heard; and of a film its sound and its pictures at one time.
        with NodeProcesses(tuple(senses), parameters=parameters | {"autostart": not chosen.film}) as sources:

            def is_over() -> bool:
                gone.update(nodes.ended() | sources.ended())
                return bool(gone) or session.diagnostics.get("microphone", {}).get("over") == "True"

            console.print(f"Listening to {source}. Ctrl-C ends it.", style="bold")
            try:
                if chosen.film:
                    session.begin_together(senses, unless=is_over)
                session.wait(is_over, chosen.length_s)
                if not gone and is_over():
                    session.wait_until_done()
            except KeyboardInterrupt:
                console.print("")
        for name, problem in session.problems().items():
            console.print(f"{name}: {problem}", style="yellow")
    if gone:
        console.print(f"These nodes ended by themselves: {', '.join(gone)}", style="bold red")
    return 1 if gone else 0
