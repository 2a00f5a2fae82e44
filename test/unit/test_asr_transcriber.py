from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.asr.registry import create_transcriber
from mser_ros.asr.transcriber import PIECE, NullTranscriber, Pieces, begun_before, mean_confidence
from mser_ros.settings import AsrSettings
from mser_ros.types import SAMPLE_NS, Transcript, Word


def test_the_backend_none_reads_nothing() -> None:
    transcriber = create_transcriber(AsrSettings(backend="none"))
    assert isinstance(transcriber, NullTranscriber)
    transcriber.start(0)
    transcriber.accept(np.ones(16_000, np.int16))
    assert transcriber.partial() == Transcript("", is_final=False)
    assert transcriber.finish() == Transcript("")
    transcriber.reset()
    transcriber.close()


@given(cuts=st.lists(st.integers(0, 5_000), max_size=10))
def test_pieces_have_one_size_and_lose_nothing(cuts: list[int]) -> None:
    samples = np.arange(5_000, dtype=np.int16)
    pieces = Pieces()
    out = [piece for part in np.split(samples, sorted(cuts)) for piece in pieces.push(part)]
    assert all(len(piece) == PIECE for piece in out)
    assert np.array_equal(np.concatenate([*out, pieces.rest()]), samples)
    assert len(pieces.rest()) == 0


def test_confidence_of_a_text_is_the_mean_of_its_words() -> None:
    words = [Word("a", 0, 1, 0.5), Word("b", 1, 2, 1.0), Word("c", 2, 3, None)]
    assert mean_confidence(words) == 0.75
    assert mean_confidence(words[2:]) is None
    assert mean_confidence([]) is None


def test_a_word_belongs_to_the_utterance_in_which_it_begins() -> None:
    words = [
        Word(text, 7 + first * SAMPLE_NS, 7 + last * SAMPLE_NS) for text, first, last in (("a", 0, 5), ("b", 5, 9))
    ]
    assert begun_before(words, 7, None) == tuple(words)
    assert begun_before(words, 7, 6) == tuple(words)
    assert begun_before(words, 7, 5) == tuple(words[:1])
