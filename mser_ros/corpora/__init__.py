"""Corpora of emotional speech, text and movement, all read as the `Utterance` that the robot uses.

Nothing below this package imports torch: `mser evaluate` reads the same corpora beside the robot path.
"""

from .base import Corpus, Item, people_of
from .registry import CORPORA, corpus_folder, open_corpus

__all__ = ["CORPORA", "Corpus", "Item", "corpus_folder", "open_corpus", "people_of"]
