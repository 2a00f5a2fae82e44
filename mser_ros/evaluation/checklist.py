"""A test of behaviour for models of words: `config/checklist.yaml`, kind by kind, in the manner of CheckList (Ribeiro
et al. 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with CheckList")."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..corpora.phrases import Phrase


@dataclass(frozen=True)
class Outcome:
    """What became of one kind of sentence; `failed`: those that were judged wrong, and what was said of them."""

    kind: str
    total: int
    failed: tuple[tuple[Phrase, str], ...]

    @property
    def passed(self) -> float:
        """The share of sentences that were judged right."""
        return 1 - len(self.failed) / self.total


def measure_checklist(kinds: Mapping[str, Sequence[Phrase]], say: Callable[[str], str]) -> list[Outcome]:
    """`say`: the label of a text."""
    outcomes = []
    for kind, sentences in kinds.items():
        said = [(sentence, say(sentence.text)) for sentence in sentences]
        failed = tuple((sentence, label) for sentence, label in said if label not in sentence.labels)
        outcomes.append(Outcome(kind, len(sentences), failed))
    return outcomes


def share_passed(outcomes: Sequence[Outcome]) -> float:
    """Of all kinds, each of which counts the same."""
    return sum(outcome.passed for outcome in outcomes) / len(outcomes)
