"""How good, how fast and how large the speech recognisers are, on the same recordings, each in a process of its own.

`python -m mser_ros.evaluation.recognisers NAME MODEL LANGUAGE CORPUS FOLDER CLIPS SECONDS` prints one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ..asr.registry import WHISPER, create_transcriber
from ..asr.transcriber import Transcriber
from ..audio.waveform import to_int16
from ..corpora.registry import open_corpus
from ..errors import CorpusError, ModelError, MserError
from ..model_store.store import ModelStore
from ..settings import AsrSettings
from ..types import SAMPLE_RATE, Transcript
from .loading import load_each
from .memory import peak_mb
from .segments import voiced
from .words import edits, words_of

#: A recogniser to compare with, if it is installed: Whisper as it is usually run, on windows of 30 s.
REFERENCE = "faster-whisper"
#: What each can read, and under which licence it and its model are.
LANGUAGES = {"whisper": "99", "vosk": "that of its model", "pocketsphinx": "English", REFERENCE: "99"}
LICENCES = {"whisper": "MIT", "vosk": "Apache-2.0", "pocketsphinx": "BSD-2-Clause", REFERENCE: "MIT"}
#: Exit code of a process whose recordings cannot be used.
_NO_CORPUS = 3


@dataclass(frozen=True)
class Figures:
    """What a recogniser did. `ms`: what a clip took in the mean, `work_ms`: what of it was work; on a busy machine the
    latter is to be trusted. `clip_s`: the clips' mean length. `model_mb`: its model on disk."""

    name: str
    word_error_rate: float
    ms: float
    work_ms: float
    clip_s: float
    memory_mb: float
    load_s: float
    model_mb: float
    clips: int


def measure(
    corpus: str,
    folder: Path,
    *,
    clips: int = 84,
    seconds: float = 0.0,
    language: str = "en",
    models: Mapping[str, str] | None = None,
) -> tuple[list[Figures], dict[str, str]]:
    """Figures of every recogniser that is there, and why others are not. `models`: folders by recogniser. `seconds`:
    what of each clip is read, with what is said in the middle; 0: all of it.

    The clips are spread over the corpus. Raises `CorpusError` for one without sound and transcripts.
    """
    given = dict(models or {})
    found, lacking = [], {}
    for name in ("whisper", "vosk", "pocketsphinx", REFERENCE):
        if name == "vosk" and not given.get(name):
            lacking[name] = "no model was named"
            continue
        if name == REFERENCE and find_spec("faster_whisper") is None:
            continue
        if name in ("whisper", REFERENCE) and not given.get(name):
            try:
                given[name] = str(ModelStore().require(WHISPER))
            except ModelError as error:
                lacking[name] = str(error)
                continue
        which = (name, given.get(name, ""), language, corpus, str(folder), str(clips), str(seconds))
        command = [sys.executable, "-m", __name__, *which]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == _NO_CORPUS:
            raise CorpusError(done.stderr.strip())
        if done.returncode:
            lacking[name] = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            continue
        found.append(Figures(**json.loads(done.stdout.splitlines()[-1])))
    return found, lacking


class _Reference:
    """faster-whisper with its defaults, but one thread."""

    language = ""
    counters: Mapping[str, int] = {}

    def __init__(self, folder: str, language: str) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=1)
        self._language = language
        self._heard: list[np.ndarray] = []

    def start(self, start_ns: int) -> None:
        self._heard = []

    def accept(self, samples: np.ndarray) -> None:
        self._heard.append(samples)

    def partial(self) -> Transcript:
        return Transcript("", is_final=False)

    def pause(self, samples: int) -> Transcript:
        return self.partial()

    def finish(self, samples: int | None = None) -> Transcript:
        wave = np.concatenate(self._heard).astype(np.float32) / 32768
        segments: Iterable[Any] = self._model.transcribe(wave, language=self._language)[0]
        return Transcript("".join(segment.text for segment in segments).strip())

    def reset(self) -> None:
        self._heard = []

    def another(self) -> _Reference:
        twin = copy(self)
        twin._heard = []
        return twin

    def close(self) -> None:
        del self._model


def _open(name: str, model: str, language: str) -> tuple[Transcriber, float]:
    """A recogniser and the size of its model in megabytes."""
    size = sum(path.stat().st_size for path in Path(model).rglob("*") if path.is_file()) / 1e6 if model else 0.0
    if name == REFERENCE:
        return _Reference(model, language), size
    return create_transcriber(AsrSettings(backend=name, model_path=model, language=language)), size


def _measure(name: str, model: str, language: str, corpus: str, folder: str, clips: str, seconds: str) -> Figures:
    items = open_corpus(corpus, folder).items
    chosen = items[:: max(1, len(items) // int(clips))][: int(clips)]
    began_s = time.perf_counter()
    transcriber, model_mb = _open(name, model, language)
    load_s = time.perf_counter() - began_s
    errors = words = 0
    walls_s, works_s, lengths_s = [], [], []
    for _, utterance in load_each(chosen):
        if utterance.audio is None or utterance.transcript is None:
            raise CorpusError(f"corpus '{corpus}' has items without sound or words: choose another one")
        samples = to_int16(_middle(utterance.audio.samples, float(seconds)))
        wall_s, work_s = time.perf_counter(), time.process_time()
        transcriber.start(0)
        transcriber.accept(samples)
        text = transcriber.finish().text
        works_s.append(time.process_time() - work_s)
        walls_s.append(time.perf_counter() - wall_s)
        lengths_s.append(len(samples) / SAMPLE_RATE)
        truth = words_of(utterance.transcript.text)
        errors += edits(truth, words_of(text))
        words += len(truth)
    return Figures(
        name=name,
        word_error_rate=round(errors / words, 4),
        ms=round(float(np.mean(walls_s)) * 1000, 1),
        work_ms=round(float(np.mean(works_s)) * 1000, 1),
        clip_s=round(float(np.mean(lengths_s)), 2),
        memory_mb=round(peak_mb()),
        load_s=round(load_s, 2),
        model_mb=round(model_mb),
        clips=len(chosen),
    )


def _middle(clip: np.ndarray, seconds: float) -> np.ndarray:
    """So much of it around what is said."""
    size = round(seconds * SAMPLE_RATE) or len(clip)
    first, last = voiced(clip)
    begin = min(max(0, (first + last - size) // 2), max(0, len(clip) - size))
    return clip[begin : begin + size]


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(_measure(*sys.argv[1:]))))
    except CorpusError as error:
        print(error, file=sys.stderr)
        sys.exit(_NO_CORPUS)
    except MserError as error:
        sys.exit(str(error))
