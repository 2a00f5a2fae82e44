"""Words as the robot hears them: people in a stream, found by the segmenter and read as their utterances are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..asr.transcriber import Transcriber
from ..audio.waveform import to_int16
from ..corpora.base import Item
from ..evaluation.loading import load_each
from ..evaluation.noise import babble, in_noise
from ..evaluation.segments import LEVEL, in_a_row
from ..evaluation.words import edits, words_of
from ..settings import AsrSettings, SegmenterSettings, SpeechSettings
from ..stages.speech import SpeechStage
from ..types import NS_PER_S, SAMPLE_NS, SAMPLE_RATE, AudioChunk, UtteranceEvent, UtteranceState, Word

#: An edge of an utterance may lie so far inside of what is said: the first and last sounds are the softest [s].
_EDGE_S = 0.1
_BLOCK = 1024


@dataclass(frozen=True)
class Clip:
    """What became of a clip: what was `said` in it, and the `texts` and `languages` of the utterances found in it.

    `begin_s`, `end_s`: how much of what is said lies before the first of them, and behind the last.
    """

    person: str
    said: str
    texts: tuple[str, ...]
    languages: tuple[str, ...]
    begin_s: float
    end_s: float

    @property
    def errors(self) -> int:
        """Words to insert, delete or replace."""
        return edits(words_of(self.said), words_of(" ".join(self.texts)))


@dataclass(frozen=True)
class Listened:
    """What was heard of a stream. `invented`: texts of utterances in which nobody of it speaks."""

    clips: tuple[Clip, ...]
    invented: tuple[str, ...]

    @property
    def word_error_rate(self) -> float:
        """Of what is said in the clips; what is invented between them is an error, too."""
        extra = sum(len(words_of(text)) for text in self.invented)
        return (sum(clip.errors for clip in self.clips) + extra) / sum(len(words_of(clip.said)) for clip in self.clips)

    @property
    def lost(self) -> int:
        """Clips in which no utterance was found."""
        return sum(not clip.texts for clip in self.clips)

    @property
    def split(self) -> int:
        """Clips that became several utterances."""
        return sum(len(clip.texts) > 1 for clip in self.clips)

    @property
    def cut(self) -> int:
        """Clips whose first or last sounds lie outside of their utterances."""
        return sum(bool(clip.texts) and max(clip.begin_s, clip.end_s) > _EDGE_S for clip in self.clips)

    def mistaken(self, language: str) -> int:
        """Clips of which anything was taken for another language."""
        return sum(any(found != language for found in clip.languages) for clip in self.clips)


def listen(
    transcriber: Transcriber,
    items: Sequence[Item],
    noises: Sequence[Item] = (),
    snr_db: float | None = None,
    *,
    make_noise: Callable[[Sequence[np.ndarray], int, np.random.Generator], np.ndarray] = babble,
    track: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> Listened:
    """A stream of each person: their clips as loud as each other, in silence, or in noise that `make_noise` makes of
    `noises` (see `evaluation.noise`).

    Raises `CorpusError` for items that cannot be loaded.
    """
    rng = np.random.default_rng(0)
    voices = [utterance.audio.samples for _, utterance in load_each(noises) if utterance.audio is not None]
    clips: list[Clip] = []
    invented: list[str] = []
    for person in track(sorted({item.person for item in items})):
        said = [
            (utterance.audio.samples, utterance.transcript.text)
            for _, utterance in load_each([item for item in items if item.person == person])
            if utterance.audio is not None and utterance.transcript is not None
        ]
        wave, spans = in_a_row([samples for samples, _ in said], rng, whole=True)
        if snr_db is None:
            samples = to_int16(wave)
        else:
            samples = in_noise(wave, make_noise(voices, len(wave), rng), snr_db, level=LEVEL)
        heard = _hear(transcriber, samples)
        taken: set[int] = set()
        for span, (_, text) in zip(spans, said, strict=True):
            own = [number for number, (first, last, _, _) in enumerate(heard) if first < span[1] and last > span[0]]
            taken.update(own)
            clips.append(
                Clip(
                    person,
                    text,
                    tuple(heard[number][2] for number in own),
                    tuple(heard[number][3] for number in own if heard[number][2]),
                    (heard[own[0]][0] - span[0]) / SAMPLE_RATE if own else 0.0,
                    (span[1] - heard[own[-1]][1]) / SAMPLE_RATE if own else 0.0,
                )
            )
        invented += [text for number, (_, _, text, _) in enumerate(heard) if number not in taken and text]
    return Listened(tuple(clips), tuple(invented))


@dataclass(frozen=True)
class Unspoken:
    """What was heard in a sound in which nobody speaks: how many `utterances`, and the `texts` that were read."""

    utterances: int
    texts: tuple[str, ...]


def invent(transcriber: Transcriber, sound: np.ndarray) -> Unspoken:
    """Hear a sound in which nobody speaks: int16, (n,), 16 kHz."""
    heard = _hear(transcriber, sound)
    return Unspoken(len(heard), tuple(text for _, _, text, _ in heard if text))


@dataclass(frozen=True)
class Provisional:
    """What was told of an utterance while it lasted. `waits_s`: of each word that was told, the time from its end, by
    the final transcript, to the sound that it was told after, computing not counted; `wrong`: how many of these words
    are not the final ones; `words`: of the final transcript."""

    waits_s: tuple[float, ...]
    wrong: int
    words: int


def follow(
    transcriber: Transcriber,
    items: Sequence[Item],
    *,
    track: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> list[Provisional]:
    """A stream of each person in quiet, as of `listen`, and what is told of it as the nodes do if nothing is set.

    Raises `CorpusError` for items that cannot be loaded.
    """
    rng = np.random.default_rng(0)
    found = []
    for person in track(sorted({item.person for item in items})):
        own = load_each([item for item in items if item.person == person])
        wave, _ = in_a_row([one.audio.samples for _, one in own if one.audio is not None], rng, whole=True)
        told: list[tuple[str, int]] = []
        for heard_ns, event in _events(transcriber, to_int16(wave), SpeechSettings(voice_id="somebody")):
            if event.state is UtteranceState.STARTED:
                told = []
            elif event.state is UtteranceState.PARTIAL:
                told += [(word, heard_ns) for word in words_of(event.transcript.text)[len(told) :]]
            elif event.transcript.is_final:
                found.append(_judge(told, event.transcript.words))
    return found


def _judge(told: Sequence[tuple[str, int]], words: Sequence[Word]) -> Provisional:
    final = [(text, word.end_ns) for word in words for text in words_of(word.text)]
    pairs = list(zip(told, final, strict=False))
    wrong = sum(one != other for (one, _), (other, _) in pairs) + max(0, len(told) - len(final))
    return Provisional(tuple((at_ns - end_ns) / NS_PER_S for (_, at_ns), (_, end_ns) in pairs), wrong, len(final))


def _hear(transcriber: Transcriber, samples: np.ndarray) -> list[tuple[int, int, str, str]]:
    """First sample, one past the last, text and language of each utterance of a stream."""
    # What is read in pauses is what would be read in the end, and is left out for its time.
    settings = SpeechSettings(
        segmenter=SegmenterSettings(pause_s=0.0), asr=AsrSettings(partial_period_s=0.0), voice_id="somebody"
    )
    return [
        (
            event.start_ns // SAMPLE_NS - SAMPLE_RATE,
            event.end_ns // SAMPLE_NS - SAMPLE_RATE,
            event.transcript.text,
            event.transcript.language,
        )
        for _, event in _events(transcriber, samples, settings)
        if event.state is UtteranceState.ENDED and event.transcript.is_final
    ]


def _events(
    transcriber: Transcriber, samples: np.ndarray, settings: SpeechSettings
) -> Iterator[tuple[int, UtteranceEvent]]:
    """What becomes of a stream that begins a second after zero, each with the time up to which it had been heard."""
    stage = SpeechStage(settings, transcriber=transcriber, on_failure=_raise)
    for first in range(0, len(samples), _BLOCK):
        block = samples[first : first + _BLOCK, np.newaxis]
        chunk = AudioChunk(block, SAMPLE_RATE, SAMPLE_RATE * SAMPLE_NS + first * SAMPLE_NS, first)
        yield from ((chunk.end_ns, event) for event in stage.push(chunk) if isinstance(event, UtteranceEvent))
    yield from ((chunk.end_ns, event) for event in stage.flush() if isinstance(event, UtteranceEvent))


def _raise(error: Exception) -> None:
    raise error
