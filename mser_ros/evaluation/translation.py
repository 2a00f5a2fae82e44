"""What Whisper's own translation into English makes of what is said in another language, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..asr.registry import create_transcriber
from ..audio.waveform import to_int16
from ..corpora.base import Item
from ..settings import AsrSettings
from ..types import Transcript
from .loading import load_each


@dataclass(frozen=True)
class Translated:
    """What was `said`, `heard`, and its `translation`. `plain_s`, `both_s`: processor time without translation, and
    with it."""

    said: str
    heard: str
    translation: str
    plain_s: float
    both_s: float


def translate(
    items: Sequence[Item],
    language: str,
    *,
    model_path: str = "",
    track: Callable[[Iterable[Item]], Iterable[Item]] = iter,
) -> list[Translated]:
    """Read each item twice, with translation and without. Raises `CorpusError` for items that cannot be loaded."""
    plain, both = (
        create_transcriber(AsrSettings("whisper", model_path, language=language, translate=translates))
        for translates in (False, True)
    )
    found = []
    for _, utterance in load_each(track(items)):
        if utterance.audio is None or utterance.transcript is None:
            continue
        times_s: list[float] = []
        transcript = Transcript("")
        for transcriber in (plain, both):
            began_s = time.process_time()
            transcriber.start(0)
            transcriber.accept(to_int16(utterance.audio.samples))
            transcript = transcriber.finish()
            times_s.append(time.process_time() - began_s)
        found.append(Translated(utterance.transcript.text, transcript.text, transcript.translation, *times_s))
    return found
