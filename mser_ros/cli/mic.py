"""`mser mic`: is the microphone heard, is a voice found, are the words right?"""

from __future__ import annotations

import time
from collections.abc import Iterable

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..audio.capture import MicrophoneCapture, find_device, list_devices
from ..audio.file_capture import FileCapture
from ..audio.waveform import level_db, to_float
from ..errors import AudioError
from ..settings import BACKENDS, AsrSettings, MicrophoneSettings, SpeechSettings
from ..settings.schema import build
from ..stages.speech import SpeechStage
from ..types import AudioChunk, UtteranceEvent, UtteranceState
from .idle_options import refuse_idle
from .lines import counted
from .tables import plain_console

#: Ends of the meter [dB of full scale].
_LOW_DB, _HIGH_DB = -60.0, 0.0
_WIDTH = 40
#: How often a line is printed where the output is no terminal [s].
_PERIOD_S = 1.0


@click.command()
@click.option("--list", "lists", is_flag=True, help="List the devices that can record, and end.")
@click.option("--device", default="", help="Number of the device, or a part of its name.  [the system's default]")
@click.option("--file", default="", help="Play this sound file or film in place of a device.")
@click.option(
    "--asr", "backend", type=click.Choice(BACKENDS), default="auto", show_default=True, help="Who reads words."
)
@click.option("--asr-model", default="", help="Folder of the recogniser's model.")
@click.option("--asr-language", default="en", show_default=True, help="What is spoken, as pl, or auto.")
@click.option("--seconds", "length_s", type=click.FloatRange(min=0), help="Stop after this time.  [at Ctrl-C]")
def mic(
    lists: bool, device: str, file: str, backend: str, asr_model: str, asr_language: str, length_s: float | None
) -> int:
    """Show the devices and, until Ctrl-C, how loud a microphone is, when somebody speaks, and the words that are read.

    Nothing is published or kept; ROS is not needed.
    """
    console = plain_console()
    if file:
        refuse_idle(("lists", "device"), "no --file, which takes a device's place", "leave one of them away")
    else:
        devices = list_devices()
        if devices:
            console.print(_devices(devices))
        elif lists:
            console.print("there is no microphone")
        if lists:
            return 0
        device = str(find_device(device, devices).number)
    settings = build(MicrophoneSettings, {"device": device, "file": file, "sample_rate": 0})
    chosen = {"backend": backend, "model_path": asr_model, "language": asr_language}
    stage = SpeechStage(SpeechSettings(asr=build(AsrSettings, chosen)))
    console.print(f"words are read by {stage.recogniser}", style="dim")
    capture = (FileCapture if file else MicrophoneCapture)(settings, time.time_ns)
    console.print(f"Speak to {capture.device}, {capture.sample_rate} Hz. Ctrl-C ends it.", style="bold")
    meter, is_gone = _Meter(console), False
    try:
        with Live(console=console, transient=True, auto_refresh=False, vertical_overflow="crop") as live:
            begun_s = time.monotonic()
            for chunk in capture:
                meter.hear(chunk, stage.push(chunk))
                live.update(meter.picture(), refresh=console.is_terminal)
                if length_s is not None and time.monotonic() - begun_s >= length_s:
                    break
            else:
                is_gone = not file
    except KeyboardInterrupt:
        pass
    finally:
        capture.close()
        meter.take(stage.flush())
        stage.close()
    told = [f"{counted(meter.utterances, 'utterance')}, at most {meter.loudest_db:.0f} dB"]
    losses = ((capture.overflows, "by the device"), (capture.dropped, "as this machine is too slow"))
    told += [f"{counted(count, 'block')} lost {why}" for count, why in losses if count]
    console.print("; ".join(told), style="bold")
    if is_gone:
        raise AudioError(f"microphone {capture.device} is gone: plug it in again")
    return 0


def _devices(devices: Iterable[object]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for column in ("number", "name", "channels", "rate [Hz]", ""):
        table.add_column(column)
    for item in devices:
        number, name, channels, rate, is_default = (
            getattr(item, field) for field in ("number", "name", "channels", "sample_rate", "is_default")
        )
        table.add_row(str(number), name, str(channels), str(rate), "default" if is_default else "")
    return table


class _Meter:
    """What is heard now."""

    def __init__(self, console: Console) -> None:
        self.utterances = 0
        self.loudest_db = float("-inf")
        self._console = console
        self._level_db, self._speaks, self._words = float("-inf"), False, ""
        self._told_s = time.monotonic()

    def hear(self, chunk: AudioChunk, items: Iterable[AudioChunk | UtteranceEvent]) -> None:
        self._level_db = level_db(to_float(chunk.samples))
        self.loudest_db = max(self.loudest_db, self._level_db)
        self.take(items)
        if not self._console.is_terminal and time.monotonic() - self._told_s >= _PERIOD_S:
            self._told_s = time.monotonic()
            self._console.print(self.picture())

    def take(self, items: Iterable[AudioChunk | UtteranceEvent]) -> None:
        for event in items:
            if not isinstance(event, UtteranceEvent):
                continue
            self._speaks = event.state not in (UtteranceState.ENDED, UtteranceState.CANCELLED)
            self._words = event.transcript.text if self._speaks else ""
            if event.state is UtteranceState.ENDED and event.transcript.is_final:
                self.utterances += 1
                length_s = (event.end_ns - event.start_ns) / 1e9
                words = event.transcript.text or "(no words)"
                sure = "" if event.transcript.confidence is None else f", {event.transcript.confidence:.0%} sure"
                self._console.print(f"{length_s:.1f} s{sure}: {words}")

    def picture(self) -> Text:
        share = (max(_LOW_DB, min(_HIGH_DB, self._level_db)) - _LOW_DB) / (_HIGH_DB - _LOW_DB)
        bar = round(share * _WIDTH)
        colour = "red" if self._level_db > -3 else "yellow" if self._level_db > -9 else "green"
        level = f"{self._level_db:4.0f} dB" if self._level_db > _LOW_DB else " quiet "
        text = Text.assemble(("█" * bar, colour), ("·" * (_WIDTH - bar), "dim"), f" {level} ")
        text.append("speaks " if self._speaks else "       ", style="bold")
        return text.append(self._words)
