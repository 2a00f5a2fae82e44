"""Vosk: streaming recognition in many languages, with a model that the user downloads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DependencyError, TranscriberError
from ..types import SAMPLE_RATE, Transcript, Word, to_ns
from .transcriber import Pieces, mean_confidence

#: Each line: any one of these files must be there.
_NEEDED = (
    ("am/final.mdl", "final.mdl"),
    ("conf/mfcc.conf", "mfcc.conf"),
    ("graph/HCLG.fst", "graph/HCLr.fst", "HCLG.fst", "HCLr.fst"),
)


class VoskTranscriber:
    """Vosk on one utterance at a time; the segmenter decides where an utterance ends, not Kaldi's end-pointing.

    Each utterance gets a recogniser of its own, because Vosk's reset keeps the speaker adaptation of what it heard
    before. A word's confidence is that of Kaldi's minimum Bayes risk decoding.
    """

    counters: Mapping[str, int] = {}

    def __init__(self, model_path: str, *, language: str = "en") -> None:
        """Raises `DependencyError` without Vosk, `TranscriberError` for a folder that is not a Vosk model."""
        check_model(Path(model_path))
        try:
            import vosk
        except (ImportError, OSError) as error:
            raise DependencyError(
                f"vosk cannot be imported ({error}): pip install vosk, or set asr.backend to 'pocketsphinx'"
            ) from None
        self.language = language
        vosk.SetLogLevel(-1)
        try:
            self._model = vosk.Model(str(model_path))
        except Exception as error:  # what vosk raises is a bare Exception
            raise TranscriberError(
                f"Vosk cannot load the model in '{model_path}' ({error}): unpack it again from its download"
            ) from None
        self._new_recognizer = lambda: vosk.KaldiRecognizer(self._model, float(SAMPLE_RATE))
        self._recognizer: Any = None
        self._start_ns = 0
        self._pieces = Pieces()
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
        newest = json.loads(self._recognizer.PartialResult())["partial"] if self._recognizer else ""
        text = " ".join(part for part in (*(result["text"] for result in self._results), newest) if part)
        return Transcript(text, language=self.language, is_final=False)

    def pause(self, samples: int) -> Transcript:
        return self.partial()

    def finish(self, samples: int | None = None) -> Transcript:
        if self._recognizer is not None:
            self._process(self._pieces.rest())
            self._results.append(json.loads(self._recognizer.FinalResult()))
        words = tuple(self._word(item) for result in self._results for item in result.get("result", ()))
        text = " ".join(result["text"] for result in self._results if result["text"])
        self.reset()
        return Transcript(
            text=text,
            confidence=mean_confidence([word.confidence for word in words if word.confidence is not None]),
            words=words,
            language=self.language,
        )

    def reset(self) -> None:
        self._recognizer = None
        self._pieces.rest()
        self._results = []

    def another(self) -> VoskTranscriber:
        twin = copy(self)
        twin._recognizer, twin._pieces, twin._results = None, Pieces(), []
        return twin

    def close(self) -> None:
        self.reset()
        del self._model

    def _process(self, samples: np.ndarray) -> None:
        # True: Kaldi thinks that the speaker has paused, and puts what it heard so far aside.
        if len(samples) and self._recognizer.AcceptWaveform(samples.tobytes()):
            self._results.append(json.loads(self._recognizer.Result()))

    def _word(self, item: dict[str, Any]) -> Word:
        return Word(
            text=item["word"],
            start_ns=self._start_ns + to_ns(item["start"]),
            end_ns=self._start_ns + to_ns(item["end"]),
            confidence=min(1.0, max(0.0, float(item["conf"]))),
        )


def check_model(path: Path) -> None:
    """Raises `TranscriberError` unless the folder looks like an unpacked Vosk model: the library itself would only say
    that it failed."""
    if not path.is_dir():
        raise TranscriberError(
            f"there is no folder '{path}': set asr.model_path to an unpacked model of https://alphacephei.com/vosk/models"
        )
    for names in _NEEDED:
        if not any((path / name).is_file() for name in names):
            inner = next((child.name for child in sorted(path.iterdir()) if (child / "am").is_dir()), None)
            cure = f"set asr.model_path to '{path / inner}'" if inner else "unpack the model's download again"
            raise TranscriberError(f"'{path}' is not a Vosk model, it lacks {names[0]}: {cure}")
    for folder in (path / "graph", path):
        if (folder / "HCLr.fst").is_file() and not (folder / "Gr.fst").is_file():
            raise TranscriberError(f"'{folder}' has HCLr.fst but lacks Gr.fst: unpack the model's download again")
