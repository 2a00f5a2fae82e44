"""Whisper (Radford et al. 2022) on CTranslate2: encoding a clip, and reading what was encoded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DependencyError, TranscriberError
from ..types import SAMPLE_RATE
from .model_files import State, state_of
from .whisper_features import HOP, log_mel

#: What a folder must hold; of a line's names one.
_NEEDED = (("model.bin",), ("config.json",), ("tokenizer.json",), ("vocabulary.txt", "vocabulary.json"))
#: The window that Whisper was trained on, the least silence behind a clip, and the shortest window that is tried: in
#: less, one of six single words is read again and again [frames of 10 ms].
_WINDOW, _SILENCE, _SHORTEST = 3000, 50, 300
#: The longest clip that can be encoded at once [samples].
LONGEST = (_WINDOW - _SILENCE) * HOP
#: How many of the encoder's last frames of a silent window tell the decoder that a clip is over [frames of 20 ms].
_ENDING = 25
#: Those of the models that this process has loaded: to encode a silent window takes longer than to load a model.
_endings: dict[State, np.ndarray] = {}
#: The fastest speech has fewer tokens in a second; the decoder may not write more. In languages whose letters it writes
#: byte by byte, up to three tokens to a letter, there are more; and there is an end to what it can keep in mind.
_TOKENS_PER_S, _BYTES_PER_S, _LENGTH = 20, 60, 448
_BYTEWISE = frozenset(
    {"am", "as", "bn", "bo", "gu", "hi", "hy", "ka", "km", "kn", "lo", "ml", "mr", "my", "ne", "pa", "sa", "si", "te"}
)
#: A position of the encoder's output lasts so long [s].
POSITION_S = 0.02


@dataclass(frozen=True, eq=False)
class Encoded:
    """A clip as the encoder sees it.

    `states`: float32, shape (positions, width), 20 ms each, for whoever else listens to the voice. `duration_s`: of the
    clip without the silence behind it. `memory`: the states and the end of a window, as the decoder reads them.
    """

    states: np.ndarray
    duration_s: float
    memory: Any


@dataclass(frozen=True)
class Decoded:
    """A text as the decoder wrote it: `tokens` without times and other marks, the log-probability of each, and the
    probability that nobody speaks."""

    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    no_speech: float


def most_tokens(duration_s: float, language: str) -> int:
    """What the decoder may write of a clip of this length in this language."""
    return round((1.0 + duration_s) * (_BYTES_PER_S if language in _BYTEWISE else _TOKENS_PER_S))


class WhisperModel:
    """A Whisper model in a folder, converted for CTranslate2; computed in 8 bits on the CPU.

    Whisper was trained on windows of 30 s, and is usually given them, most of them silence. This one encodes a clip in
    its own length: the cost grows with the speech. The decoder then lacks the end of a window, and writes the sentence
    again and again (28 times out of 40); the last frames of a silent window, encoded once and put behind every clip,
    give it back.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """Raises `DependencyError` without CTranslate2, `TranscriberError` for a folder that is not such a model."""
        check_model(folder)
        try:
            import ctranslate2
            from tokenizers import Tokenizer
        except ImportError as error:
            raise DependencyError(
                f"{error.name} is not installed: pip install {error.name}, or set asr.backend to 'pocketsphinx'"
            ) from None
        self._storage = ctranslate2.StorageView.from_array
        try:
            # The model first: its 16 bits and its 8 bits are there at a time, and nothing else should be beside them.
            self._model = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
            )
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            marks = self._tokenizer.get_added_tokens_decoder()
            self._marks = {mark.content.strip("<|>"): number for number, mark in marks.items()}
            self._end = self._marks["endoftext"]
            _check_texts(folder, self._end)
            state = state_of(folder)
            if state not in _endings:
                _endings[state] = self._encode(np.zeros(0, np.int16), _WINDOW)[-_ENDING:].copy()
            self._ending = _endings[state]
        except Exception as error:  # what the two libraries raise has no common class
            raise TranscriberError(
                f"the Whisper model in '{folder}' cannot be loaded ({_first_line(error)}): check it with "
                "'mser models verify', or convert it again"
            ) from None

    @property
    def languages(self) -> tuple[str, ...]:
        """What it can read, as ISO 639 codes; English alone has no marks."""
        codes = sorted(name for name in self._marks if len(name) in (2, 3) and name.isalpha())
        return tuple(codes) if self._model.is_multilingual else ("en",)

    def encode(self, samples: np.ndarray) -> Encoded:
        """`samples`: int16, shape (n,), 16 kHz, at most `LONGEST` of them."""
        frames = min(max(-(-len(samples) // HOP) + _SILENCE, _SHORTEST), _WINDOW)
        states = self._encode(samples, frames + frames % 2)
        memory = self._storage(np.concatenate([states, self._ending])[np.newaxis])
        return Encoded(states, len(samples) / SAMPLE_RATE, memory)

    def decode(
        self, encoded: Encoded, language: str, *, task: str = "transcribe", repetition_penalty: float = 1.0
    ) -> Decoded:
        """Read a clip in its language, or with the task 'translate' in English; the likeliest token each time.

        `repetition_penalty` above 1 makes tokens less likely that stand there already (Keskar et al. 2019).
        """
        prompt = self._prompt(language, task)
        most = most_tokens(encoded.duration_s, "en" if task == "translate" else language)
        result = self._model.generate(
            encoded.memory,
            [prompt],
            beam_size=1,
            repetition_penalty=repetition_penalty,
            max_length=min(len(prompt) + most, _LENGTH),
            max_initial_timestamp_index=50,
            return_no_speech_prob=True,
            return_logits_vocab=True,
        )[0]
        tokens, log_probabilities = [], []
        for token, logits in zip(result.sequences_ids[0], result.logits[0], strict=False):
            if token < self._end:
                tokens.append(token)
                log_probabilities.append(_log_probability(np.asarray(logits).ravel(), token))
        return Decoded(tuple(tokens), tuple(log_probabilities), result.no_speech_prob)

    def detect_language(self, encoded: Encoded) -> dict[str, float]:
        """The probability of each language, the likeliest first."""
        if not self._model.is_multilingual:
            return {"en": 1.0}
        return {mark.strip("<|>"): value for mark, value in self._model.detect_language(encoded.memory)[0]}

    def token_spans(self, encoded: Encoded, language: str, tokens: tuple[int, ...]) -> list[tuple[float, float]]:
        """Begin and end of each token in the clip [s], by what the decoder attended to (dynamic time warping)."""
        if not tokens:
            return []
        prompt = self._prompt(language, "transcribe")
        positions = max(1, round(encoded.duration_s / POSITION_S))
        found = self._model.align(encoded.memory, prompt, [list(tokens)], [2 * positions])[0]
        begins = [0.0] * len(tokens)
        ends = [0.0] * len(tokens)
        for token, position in reversed(found.alignments):
            if token < len(tokens):
                begins[token] = position * POSITION_S
        for token, position in found.alignments:
            if token < len(tokens):
                ends[token] = (position + 1) * POSITION_S
        return list(zip(begins, ends, strict=True))

    def text(self, tokens: tuple[int, ...]) -> str:
        """What tokens spell; an unfinished character is U+FFFD."""
        return self._tokenizer.decode(list(tokens))

    def close(self) -> None:
        """Free the memory; nothing may be called afterwards."""
        self._model.unload_model()
        del self._model

    def _encode(self, samples: np.ndarray, frames: int) -> np.ndarray:
        features = np.ascontiguousarray(log_mel(samples, frames, self._model.n_mels)[np.newaxis])
        return np.array(self._model.encode(self._storage(features), to_cpu=True))[0]

    def _prompt(self, language: str, task: str) -> list[int]:
        marks = ["startoftranscript", *((language, task) if self._model.is_multilingual else ())]
        return [self._marks[mark] for mark in marks]


def check_model(folder: Path) -> None:
    """Raises `TranscriberError` naming what a folder lacks."""
    if not folder.is_dir():
        raise TranscriberError(
            f"there is no folder '{folder}': set asr.model_path to a Whisper model for CTranslate2, or call "
            "'mser models get whisper-base' and set it to ''"
        )
    for names in _NEEDED:
        if not any((folder / name).is_file() for name in names):
            raise TranscriberError(
                f"'{folder}' is no Whisper model for CTranslate2, it lacks {names[0]}: call 'mser models get "
                "whisper-base', or convert the model again"
            )


def _check_texts(folder: Path, end: int) -> None:
    """Raises `ValueError` where CTranslate2 would load what is wrong: its own files beside the weights."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if missing := {"alignment_heads", "suppress_ids"} - set(config):
        raise ValueError(f"config.json lacks {min(missing)}")
    path = folder / "vocabulary.txt"
    if path.is_file():
        words = path.read_text(encoding="utf-8").split("\n")
    else:
        words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
    if len(words) <= end or words[end] != "<|endoftext|>":
        raise ValueError("the vocabulary is not that of tokenizer.json")


def _log_probability(logits: np.ndarray, token: int) -> float:
    highest = float(logits.max())
    return float(logits[token]) - highest - float(np.log(np.exp(logits - highest).sum()))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
