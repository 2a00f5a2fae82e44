"""Vosk: streaming recognition in many languages, with a model that the user downloads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..errors import DependencyError, TranscriberError
from ..types import SAMPLE_RATE, Transcript, Word, to_ns
from .model_files import State, state_of
from .transcriber import Pieces, begun_before, transcript_of

#: Each line: any one of these files must be there.
_NEEDED = (
    ("am/final.mdl", "final.mdl"),
    ("conf/mfcc.conf", "mfcc.conf"),
    ("conf/model.conf", "mfcc.conf"),  # models of the old kind have none
    ("graph/HCLG.fst", "graph/HCLr.fst", "HCLG.fst", "HCLr.fst"),
)
#: What else must be there where the first file is.
_COMPANIONS = {
    "graph/HCLG.fst": ("graph/words.txt",),
    "HCLG.fst": ("words.txt",),
    "graph/HCLr.fst": ("graph/Gr.fst", "graph/disambig_tid.int"),
    "HCLr.fst": ("Gr.fst", "disambig_tid.int"),
}
#: Of a model that adapts to the speaker, in the folder 'ivector'.
_IVECTOR = ("final.dubm", "final.ie", "final.mat", "global_cmvn.stats", "online_cmvn.conf", "splice.conf")
#: The word of many models for what is none of theirs.
_UNKNOWN = "[unk]"
#: Models learn from audio with noise of one step added, so that digital silence has a logarithm. Kaldi draws it anew
#: each time, and words and confidences change with it; ours is always the same.
_DITHER = np.rint(np.random.default_rng(1).standard_normal(SAMPLE_RATE)).astype(np.int32)
#: What is read of a model only when a recogniser is made, or hears something, is read here as well.
_TRIAL = """
import sys, vosk
vosk.SetLogLevel(-1)
recognizer = vosk.KaldiRecognizer(vosk.Model(sys.argv[1]), 16000.0)
recognizer.AcceptWaveform(bytes(32000))
recognizer.FinalResult()
"""
#: How the library begins a line on the standard error stream: severity, and place in its source.
_NATIVE = re.compile(r"^(?:ERROR|ASSERTION_FAILED)(?: \(.*?\))?:? +(.*)", re.MULTILINE)


class VoskTranscriber:
    """Vosk on one utterance at a time; the segmenter decides where an utterance ends, not Kaldi's end-pointing.

    Each utterance gets a recogniser of its own, because Vosk's reset keeps the speaker adaptation of what it heard
    before, and hears our own dither in place of Kaldi's. A word's confidence is that of Kaldi's minimum Bayes risk
    decoding.
    """

    counters: Mapping[str, int] = {}

    def __init__(self, model_path: str, *, language: str = "en", phrases: Sequence[str] = ()) -> None:
        """`phrases`: all that may be said, word for word; empty: anything.

        Raises `DependencyError` without Vosk, `TranscriberError` for a folder that is not a Vosk model, and for phrases
        that it cannot take.
        """
        folder = Path(model_path)
        check_model(folder)
        try:
            import vosk
        except (ImportError, OSError) as error:
            raise DependencyError(
                f"vosk cannot be imported ({error}): pip install vosk, or set asr.backend to 'pocketsphinx'"
            ) from None
        self.language = language
        vosk.SetLogLevel(-1)
        _try_loading(folder, state_of(folder))
        with _without_dither(folder) as copy:
            self._model = vosk.Model(str(copy))
        arguments: tuple[Any, ...] = (float(SAMPLE_RATE),)
        if phrases:
            arguments += (json.dumps(self._grammar(phrases, folder), ensure_ascii=False),)
        self._new_recognizer = lambda: vosk.KaldiRecognizer(self._model, *arguments)
        self._recognizer: Any = None
        self._start_ns = 0
        self._pieces = Pieces()
        self._heard = 0
        self._results: list[dict[str, Any]] = []

    def start(self, start_ns: int) -> None:
        self.reset()
        self._start_ns = start_ns
        self._recognizer = self._new_recognizer()
        self._recognizer.SetWords(True)

    def accept(self, samples: np.ndarray) -> None:
        if self._recognizer is not None:
            for piece in self._pieces.push(samples):
                self._process(piece)

    def partial(self) -> Transcript:
        # Before the first audio there is no "partial".
        newest = json.loads(self._recognizer.PartialResult()).get("partial", "") if self._recognizer else ""
        parts = (*(result["text"] for result in self._results), newest)
        words = [word for part in parts for word in part.split() if word != _UNKNOWN]
        return Transcript(" ".join(words), language=self.language, is_final=False)

    def pause(self, samples: int) -> Transcript:
        return self.partial()

    def finish(self, samples: int | None = None) -> Transcript:
        if self._recognizer is not None:
            self._process(self._pieces.rest())
            self._results.append(json.loads(self._recognizer.FinalResult()))
        found = (item for result in self._results for item in result.get("result", ()))
        words = tuple(self._word(item) for item in found if item["word"] != _UNKNOWN)
        self.reset()
        return transcript_of(begun_before(words, self._start_ns, samples), self.language)

    def reset(self) -> None:
        self._recognizer = None
        self._pieces.rest()
        self._heard = 0
        self._results = []

    def another(self) -> VoskTranscriber:
        twin = copy(self)
        twin._recognizer, twin._pieces, twin._heard, twin._results = None, Pieces(), 0, []
        return twin

    def close(self) -> None:
        self.reset()
        del self._model, self._new_recognizer

    def _grammar(self, phrases: Sequence[str], folder: Path) -> list[str]:
        """With the model's word for anything else, if it has one."""
        if not any((folder / name).is_file() for name in ("graph/HCLr.fst", "HCLr.fst")):
            raise TranscriberError(
                f"the Vosk model in '{folder}' is of a kind that takes no phrases: set asr.phrases to '', or take a "
                "small model"
            )
        words = sorted({word for phrase in phrases for word in phrase.split()})
        if unknown := [word for word in words if self._model.vosk_model_find_word(word) < 0]:
            raise TranscriberError(
                f"the Vosk model in '{folder}' does not know the word '{unknown[0]}': spell it as in the transcripts "
                "of this model, or leave it out of asr.phrases"
            )
        has_unknown = self._model.vosk_model_find_word(_UNKNOWN) >= 0
        return [*phrases, *([_UNKNOWN] if has_unknown else [])]

    def _process(self, samples: np.ndarray) -> None:
        if not len(samples):
            return
        dither = np.take(_DITHER, range(self._heard, self._heard + len(samples)), mode="wrap")
        self._heard += len(samples)
        dithered = np.clip(samples + dither, -32_768, 32_767).astype(np.int16)
        # True: Kaldi thinks that the speaker has paused, and puts what it heard so far aside.
        if self._recognizer.AcceptWaveform(dithered.tobytes()):
            self._results.append(json.loads(self._recognizer.Result()))

    def _word(self, item: dict[str, Any]) -> Word:
        return Word(
            text=item["word"],
            start_ns=self._start_ns + to_ns(item["start"]),
            end_ns=self._start_ns + to_ns(item["end"]),
            confidence=min(1.0, max(0.0, float(item["conf"]))),
        )


@lru_cache(maxsize=4)
def _try_loading(folder: Path, _state: State) -> None:
    """Load a model in a process of its own: what is broken in it may make the library end the process, and the reason
    it only writes to the standard error stream. Once for all, where that worked, while its files stay as they are."""
    done = subprocess.run([sys.executable, "-c", _TRIAL, str(folder)], capture_output=True, text=True, errors="replace")
    if done.returncode:
        said = _NATIVE.search(done.stderr)
        reason = said[1] if said else (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise TranscriberError(
            f"Vosk cannot load the model in '{folder}' ({reason.strip()}): unpack its download again"
        )


@contextmanager
def _without_dither(folder: Path) -> Iterator[Path]:
    """The model once more, in links, but for the one setting. Nothing is read of it after it is loaded."""
    with TemporaryDirectory() as scratch:
        (Path(scratch) / "conf").mkdir()
        for path in (*folder.iterdir(), *(folder / "conf").glob("*")):
            copy = Path(scratch) / path.relative_to(folder)
            if path.name == "mfcc.conf":
                copy.write_bytes(path.read_bytes() + b"\n--dither=0\n")
            elif path.name != "conf":
                copy.symlink_to(path.absolute())
        yield Path(scratch)


def check_model(path: Path) -> None:
    """Raises `TranscriberError` unless the folder looks like an unpacked Vosk model: the library itself would only say
    that it failed."""
    if not path.is_dir():
        raise TranscriberError(
            f"there is no folder '{path}': set asr.model_path to an unpacked model of https://alphacephei.com/vosk/models"
        )
    inner = next((child.name for child in sorted(path.iterdir()) if (child / "am").is_dir()), None)
    cure = f"set asr.model_path to '{path / inner}'" if inner else "unpack its download again"
    needed = [*_NEEDED, *((name,) for part, names in _COMPANIONS.items() if (path / part).is_file() for name in names)]
    if (path / "ivector").is_dir():
        needed += [(f"ivector/{name}",) for name in _IVECTOR]
    for names in needed:
        if not any((path / name).is_file() for name in names):
            raise TranscriberError(f"'{path}' is not a whole Vosk model, it lacks {names[0]}: {cure}")
