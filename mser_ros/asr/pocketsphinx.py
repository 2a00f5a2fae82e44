"""The recogniser that needs no download: pocketsphinx, with the English model of its wheel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DependencyError, TranscriberError
from ..types import SAMPLE_NS, Transcript, Word
from .transcriber import Pieces, begun_before, transcript_of

#: A frame of the recogniser's front end.
_FRAME_NS = 10_000_000

#: The cepstral mean is that of the first second of each utterance; decoding waits for it.
_MEAN_SAMPLES = 16_000

#: Put after every utterance: one that is cut in the middle of a word else leaves a lattice without an end, in 5 of 100.
_SILENCE = np.zeros(1_600, np.int16)

_SEARCH, _LISTEN = "_default", "listen"

#: Faint noise that is decoded before every utterance: some of the search's memory of the utterance before survives its
#: restart, and changes scores in the fourth digit. After this it is always the same.
_RINSE = (np.random.default_rng(1).standard_normal(3_200) * 100).astype(np.int16)

_VARIANT = re.compile(r"\(\d+\)$")


class PocketsphinxTranscriber:
    """pocketsphinx 5 on one utterance at a time.

    The recogniser normalises by the mean of the cepstra, which normally drifts along with everything heard, so that a
    result depends on history. Here each utterance brings its own mean: its first second runs through a search for a
    single key phrase (a tenth of the decoding cost), then the real search starts from the beginning. The second
    ('flat') pass is left out: it gains little, and all of its work comes after the end of speech.

    A word's confidence is its posterior in the word lattice.
    """

    counters: Mapping[str, int] = {}

    def __init__(self, model_path: str = "", *, language: str = "en") -> None:
        """Raises `DependencyError` without pocketsphinx, `TranscriberError` for a folder without a model."""
        try:
            from pocketsphinx import Decoder
        except ImportError:
            raise DependencyError(
                "pocketsphinx is not installed: pip install pocketsphinx, or set asr.backend to 'none'"
            ) from None
        self.language = language
        self._model_path = model_path
        options = find_model(Path(model_path)) if model_path else {}
        if options:
            _try_loading(options, model_path)
        # 20 new words a frame instead of all: the same error rate, and less to do at the end.
        self._decoder = Decoder(loglevel="FATAL", fwdflat=False, maxwpf=20, **options)
        self._decoder.add_keyphrase(_LISTEN, "yes")  # any phrase will do, known or not
        self._mean = self._decoder.get_cmn()
        self._open = False
        self._decoding = False
        self._start_ns = 0
        self._samples = 0
        self._pieces = Pieces()
        self._waiting: list[np.ndarray] = []
        self._waiting_samples = 0

    def start(self, start_ns: int) -> None:
        self.reset()
        self._open = True
        self._start_ns = start_ns
        self._samples = 0

    def accept(self, samples: np.ndarray) -> None:
        if not self._open:
            return
        self._samples += len(samples)
        if self._decoding:
            self._decode(samples)
            return
        self._waiting.append(samples)
        self._waiting_samples += len(samples)
        if self._waiting_samples >= _MEAN_SAMPLES:
            self._begin()

    def partial(self) -> Transcript:
        hypothesis = self._decoder.hyp() if self._decoding else None
        text = hypothesis.hypstr if hypothesis else ""
        return Transcript(text, language=self.language, is_final=False)

    def pause(self, samples: int) -> Transcript:
        return self.partial()

    def finish(self, samples: int | None = None) -> Transcript:
        if not self._open:
            return Transcript("", language=self.language)
        if not self._decoding:
            self._begin()
        self._decode(_SILENCE)
        self._process(self._pieces.rest())
        first_pass = list(self._decoder.seg() or ())
        self._decoder.end_utt()
        self._open = self._decoding = False
        # Without a path through the lattice there are no posteriors, but what the search found still stands.
        lattice = self._decoder.seg()
        words = tuple(self._words(first_pass) if lattice is None else self._words(lattice, scored=True))
        return transcript_of(begun_before(words, self._start_ns, samples), self.language)

    def reset(self) -> None:
        if self._decoding:
            self._decoder.end_utt()
        self._open = self._decoding = False
        self._pieces.rest()
        self._waiting, self._waiting_samples = [], 0

    def another(self) -> PocketsphinxTranscriber:
        return PocketsphinxTranscriber(self._model_path, language=self.language)

    def close(self) -> None:
        self.reset()
        del self._decoder

    def _begin(self) -> None:
        """Measure the cepstral mean, then decode what has waited for it."""
        waiting = np.concatenate([*self._waiting, np.zeros(0, np.int16)])
        self._waiting, self._waiting_samples = [], 0
        self._decoder.set_cmn(self._mean)
        mean = self._run(_LISTEN, waiting[:_MEAN_SAMPLES])
        self._run(_SEARCH, _RINSE)
        self._decoder.set_cmn(mean)
        self._start_search(_SEARCH)
        self._decoding = True
        self._decode(waiting)

    def _run(self, search: str, samples: np.ndarray) -> str:
        """One search on its own; returns the mean of the cepstra that it was given."""
        self._start_search(search)
        self._process(samples)
        mean = self._decoder.get_cmn(update=True)
        self._decoder.end_utt()
        self._decoder.set_cmn(self._mean)
        return str(mean)

    def _start_search(self, search: str) -> None:
        self._decoder.activate_search(search)
        with warnings.catch_warnings():
            # Called unnecessary since 5.1, but without it the level of the noise is that of what was heard before.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._decoder.start_stream()
        self._decoder.start_utt()

    def _decode(self, samples: np.ndarray) -> None:
        for piece in self._pieces.push(samples):
            self._process(piece)

    def _process(self, samples: np.ndarray) -> None:
        if len(samples):
            self._decoder.process_raw(samples.tobytes(), no_search=False, full_utt=False)

    def _words(self, parts: Iterable[Any], *, scored: bool = False) -> list[Word]:
        words = []
        last_ns = self._start_ns + self._samples * SAMPLE_NS
        for part in parts:
            if part.word.startswith(("<", "[", "+")):
                continue  # silence and noise
            words.append(
                Word(
                    text=_VARIANT.sub("", part.word),
                    start_ns=min(self._start_ns + part.start_frame * _FRAME_NS, last_ns),
                    end_ns=min(self._start_ns + (part.end_frame + 1) * _FRAME_NS, last_ns),
                    confidence=min(1.0, max(0.0, part.prob)) if scored else None,
                )
            )
        return words


def _try_loading(options: dict[str, str], model_path: str) -> None:
    """Load a foreign model in a process of its own: what is broken in it may make the library end the process."""
    code = "import json, sys, pocketsphinx; pocketsphinx.Decoder(loglevel='FATAL', **json.loads(sys.argv[1]))"
    result = subprocess.run([sys.executable, "-c", code, json.dumps(options)], capture_output=True, text=True)
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or [f"exit code {result.returncode}"]
        raise TranscriberError(f"pocketsphinx cannot load the model in '{model_path}' ({reason[0]}): download it again")


def find_model(path: Path) -> dict[str, str]:
    """The parts of a pocketsphinx model in a folder: acoustic model (a folder with 'mdef'), dictionary, language model.

    Raises `TranscriberError` naming the part that is missing or there twice.
    """
    if not path.is_dir():
        raise TranscriberError(f"there is no folder '{path}': set asr.model_path to a pocketsphinx model, or to ''")
    parts = {
        "hmm": [file.parent for file in (path / "mdef", *path.glob("*/mdef")) if file.is_file()],
        "dict": sorted(path.glob("*.dict")),
        "lm": sorted(
            file for file in path.iterdir() if file.name.endswith((".lm", ".lm.bin")) and "phone" not in file.name
        ),
    }
    named = {"hmm": "folder with a file 'mdef'", "dict": "dictionary (*.dict)", "lm": "language model (*.lm, *.lm.bin)"}
    for part, found in parts.items():
        if len(found) != 1:
            raise TranscriberError(
                f"'{path}' must hold one {named[part]} and holds {len(found)}: set asr.model_path to the folder of one "
                "pocketsphinx model"
            )
    return {part: str(found[0]) for part, found in parts.items()}
