"""Words that were said and words that were heard: which of them are right."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ..types import Transcript


@dataclass(frozen=True)
class HeardWords:
    """What was heard in one clip: the `confidence` of each word, and whether it is `right`; of whom and how, where that
    is known."""

    confidence: tuple[float, ...]
    right: tuple[bool, ...]
    person: str = ""
    condition: str = ""


def judge(transcript: Transcript, truth: str) -> HeardWords:
    """Words that have a confidence, held against what was said."""
    tokens = [words_of(word.text) for word in transcript.words]
    flags = iter(right_words(words_of(truth), [token for word in tokens for token in word]))
    right = [all(list(islice(flags, len(word)))) for word in tokens]
    kept = [
        (word.confidence, is_right)
        for word, is_right, token in zip(transcript.words, right, tokens, strict=True)
        if token and word.confidence is not None
    ]
    return HeardWords(tuple(value for value, _ in kept), tuple(is_right for _, is_right in kept))


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation. Marks belong to the letter before, as vowels of Hindi and Thai do; it does
    not matter how an umlaut is coded."""
    kept = ""
    for letter in unicodedata.normalize("NFC", text.lower()):
        is_mark = unicodedata.category(letter).startswith("M") and kept[-1:].strip() != ""
        kept += letter if letter.isalnum() or is_mark or letter in "'’" else " "
    return kept.replace("’", "'").split()


def edits(truth: Sequence[str], heard: Sequence[str]) -> int:
    """Words to insert, delete or replace (Levenshtein 1966)."""
    return int(_distances(truth, heard)[-1, -1])


def right_words(truth: Sequence[str], heard: Sequence[str]) -> list[bool]:
    """Which of the words heard were said, by an alignment with the fewest edits."""
    table = _distances(truth, heard)
    right = [False] * len(heard)
    row, column = len(truth), len(heard)
    while row and column:
        same = truth[row - 1] == heard[column - 1]
        if table[row, column] == table[row - 1, column - 1] + (not same):
            row, column = row - 1, column - 1
            right[column] = same
        elif table[row, column] == table[row - 1, column] + 1:
            row -= 1
        else:
            column -= 1
    return right


def _distances(truth: Sequence[str], heard: Sequence[str]) -> np.ndarray:
    """Edits between the first words of both: int, (words said + 1, words heard + 1)."""
    table = np.zeros((len(truth) + 1, len(heard) + 1), int)
    table[:, 0], table[0] = range(len(truth) + 1), range(len(heard) + 1)
    for row, word in enumerate(truth, 1):
        for column, other in enumerate(heard, 1):
            replaced = table[row - 1, column - 1] + (word != other)
            table[row, column] = min(replaced, table[row - 1, column] + 1, table[row, column - 1] + 1)
    return table
