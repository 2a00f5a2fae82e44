"""Running a recogniser over labelled utterances, with every set of modalities at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ..asr.transcriber import Transcriber
from ..audio.waveform import to_int16
from ..recognition.recognizer import EmotionRecognizer
from ..types import AbstainReason, EmotionEstimate, Modalities, Transcript, Utterance, subsets_of
from .loading import Loadable, load_each
from .metrics import Predictions
from .words import HeardWords, edits, judge, words_of

#: Why an estimate is one of nothing.
_NO_CASE = (AbstainReason.NO_EVIDENCE, AbstainReason.UNKNOWN_LANGUAGE)


class Labelled(Loadable, Protocol):
    """What an evaluation needs of an item of a corpus."""

    @property
    def label(self) -> str: ...

    @property
    def cluster(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a set of modalities said. `rows`: int, (N,), the items that had evidence for it; the others are left out."""

    rows: np.ndarray
    predictions: Predictions


@dataclass(frozen=True, eq=False)
class Evaluation:
    """`by_subset`: with the corpus's own words. `by_subset_asr`: those with 'text', with recognised words, for the same
    items; empty without a transcriber. `word_errors`, `words`: edits and words of the corpus's transcripts; `heard`:
    what was recognised of each."""

    by_subset: dict[Modalities, Outcome]
    by_subset_asr: dict[Modalities, Outcome]
    word_errors: int = 0
    words: int = 0
    heard: tuple[HeardWords, ...] = ()


def evaluate(
    recognizer: EmotionRecognizer,
    items: Sequence[Labelled],
    modalities: Sequence[str],
    *,
    transcriber: Transcriber | None = None,
    track: Callable[[Iterable[Labelled]], Iterable[Labelled]] = iter,
) -> Evaluation:
    """Load and recognise every item; each modality is computed once per item.

    `track` wraps the items, for a progress bar. With a `transcriber` the sets with 'text' are also computed from what
    it hears; where the corpus has no transcript, from that alone. Raises `CorpusError` for items that cannot be loaded.
    """
    chosen = subsets_of(modalities)
    with_text = [subset for subset in chosen if "text" in subset]
    own: list[list[EmotionEstimate]] = []
    heard: list[list[EmotionEstimate]] = []
    errors = words = 0
    judgements: list[HeardWords] = []
    for _, utterance in load_each(track(items)):
        own.append(recognizer.recognize_each(utterance, chosen))
        if transcriber is not None and utterance.audio is not None:
            transcript = transcribe(transcriber, utterance)
            heard.append(recognizer.recognize_each(replace(utterance, transcript=transcript), with_text))
            if utterance.transcript is not None:
                truth = words_of(utterance.transcript.text)
                errors += edits(truth, words_of(transcript.text))
                words += len(truth)
                judgements.append(judge(transcript, utterance.transcript.text))
        elif transcriber is not None:
            heard.append([own[-1][chosen.index(subset)] for subset in with_text])
    by_subset = {
        subset: outcome
        for number, subset in enumerate(chosen)
        if len((outcome := _outcome(recognizer, items, [row[number] for row in own])).rows)
    }
    by_subset_asr = {}
    for number, subset in enumerate(with_text if heard else []):
        rows = by_subset[subset].rows if subset in by_subset else None
        outcome = _outcome(recognizer, items, [row[number] for row in heard], rows)
        if len(outcome.rows):
            by_subset_asr[subset] = outcome
    return Evaluation(by_subset, by_subset_asr, errors, words, tuple(judgements))


def transcribe(transcriber: Transcriber, utterance: Utterance) -> Transcript:
    """What the recogniser hears in the utterance's audio."""
    assert utterance.audio is not None
    transcriber.start(utterance.start_ns)
    transcriber.accept(to_int16(utterance.audio.samples))
    return transcriber.finish()


def _outcome(
    recognizer: EmotionRecognizer,
    items: Sequence[Labelled],
    estimates: Sequence[EmotionEstimate],
    rows: np.ndarray | None = None,
) -> Outcome:
    """An estimate without any evidence, or of words of a foreign language alone, is no case for its modalities; one
    that abstains otherwise is a failure."""
    labels = recognizer.bundle.labels
    if rows is None:
        evident = [estimate.abstain_reason not in _NO_CASE for estimate in estimates]
        rows = np.flatnonzero(evident)
    chosen = [estimates[row] for row in rows.tolist()]
    predictions = Predictions(
        truth=np.array([labels.index(items[row].label) for row in rows.tolist()], int),
        probabilities=np.array([estimate.probabilities for estimate in chosen], np.float64).reshape(-1, len(labels)),
        clusters=np.array([items[row].cluster for row in rows.tolist()], str),
        answered=np.array([estimate.abstain_reason is AbstainReason.NONE for estimate in chosen], bool),
        labels=labels,
    )
    return Outcome(rows, predictions)
