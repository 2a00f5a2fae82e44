"""What every speech recogniser of this package can do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from ..types import SAMPLE_NS, Transcript, Word

#: Samples that a recogniser is given at once, whatever the caller's pieces: results must not depend on those.
PIECE = 1024


def partial_wait(period: int, *, is_early: bool) -> int:
    """How long after one partial text the next is due, in the unit of `period`: at first half of it, because the first
    words take two readings that agree."""
    return period // 2 if is_early else period


class Transcriber(Protocol):
    """Reads one utterance after the other: `start`, `accept` as often as audio comes, `finish` (or `reset`).

    The same audio gives the same transcript, however it is cut and whatever was heard before; only where the language
    is to be found out and is not certain may what was spoken before tell. Audio is int16, shape
    (n,), 16 kHz mono. Models are loaded when the object is made; nothing later reads a file.
    """

    @property
    def language(self) -> str:
        """BCP 47 tag of the transcripts, 'und' where it is not known yet, '' where none are given."""

    @property
    def counters(self) -> Mapping[str, int]:
        """What the diagnostics show of this recogniser: counts since it was made, by their names."""

    def start(self, start_ns: int) -> None:
        """A new utterance whose first sample has this time; an open one is forgotten."""

    def accept(self, samples: np.ndarray) -> None:
        """The next audio of the utterance."""

    def partial(self) -> Transcript:
        """The present guess: not final, without words. Asking does not change what comes out in the end."""

    def pause(self, samples: int) -> Transcript:
        """The voice has paused, and the utterance may have ended after so many samples: what `finish` would say then,
        as far as that is known. A recogniser that reads utterances as a whole does so now."""

    def finish(self, samples: int | None = None) -> Transcript:
        """The utterance is over, after so many samples (None: all that were accepted; what was said behind them belongs
        to the next one): the final transcript, with the times and confidences of its words."""

    def reset(self) -> None:
        """Forget the open utterance."""

    def another(self) -> Transcriber:
        """One that reads another voice at the same time, with this one's model where that can be shared: it is not to
        be closed, nor used when this one is."""

    def close(self) -> None:
        """Free the model; nothing may be called afterwards."""


class NullTranscriber:
    """Reads nothing: the backend 'none'."""

    language = ""
    counters: Mapping[str, int] = {}

    def start(self, start_ns: int) -> None:
        pass

    def accept(self, samples: np.ndarray) -> None:
        pass

    def partial(self) -> Transcript:
        return Transcript("", is_final=False)

    def pause(self, samples: int) -> Transcript:
        return self.partial()

    def finish(self, samples: int | None = None) -> Transcript:
        return Transcript("")

    def reset(self) -> None:
        pass

    def another(self) -> NullTranscriber:
        return self

    def close(self) -> None:
        pass


class Pieces:
    """Cuts audio of any lengths into pieces of `PIECE` samples."""

    def __init__(self) -> None:
        self._held = np.zeros(0, np.int16)

    def push(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        """The pieces that are now complete."""
        held = np.concatenate([self._held, samples])
        whole = len(held) - len(held) % PIECE
        self._held = held[whole:]
        yield from held[:whole].reshape(-1, PIECE)

    def rest(self) -> np.ndarray:
        """What is left over; the next piece starts anew."""
        rest, self._held = self._held, np.zeros(0, np.int16)
        return rest


def begun_before(words: Iterable[Word], start_ns: int, samples: int | None) -> tuple[Word, ...]:
    """The words that begin within so many samples after the start; all where it is None."""
    return tuple(word for word in words if samples is None or word.start_ns < start_ns + samples * SAMPLE_NS)


def mean_confidence(words: Sequence[Word]) -> float | None:
    """Confidence of a text: the mean of its words', that is the share of words expected to be right."""
    known = [word.confidence for word in words if word.confidence is not None]
    return float(np.mean(known)) if known else None


def transcript_of(words: Sequence[Word], language: str) -> Transcript:
    """The final text of words that are written with spaces between them."""
    return Transcript(" ".join(word.text for word in words), mean_confidence(words), tuple(words), language)
