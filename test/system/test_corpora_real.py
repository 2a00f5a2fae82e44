"""The readers on the real recordings: sizes as their documentation states them, and every class present."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mser_ros.corpora import open_corpus
from mser_ros.labels import LABELS


@pytest.mark.parametrize(
    ("name", "options", "items", "people"),
    [
        ("ravdess", {}, 504, 18),
        ("nemo", {}, 2519, 7),
        ("egait", {}, 164, 41),
        ("egait", {"labels": "perceived"}, 302, 115),
        ("bandai_namco", {}, 53, 1),
        ("goemotions", {}, 23331, 23331),
        ("meld", {}, 9142, 262),
        ("pseudo", {"folds": 1}, 3023, 1),
    ],
)
def test_a_corpus_has_its_documented_size(data_dir: Path, name: str, options: dict, items: int, people: int) -> None:
    folder = data_dir if name == "pseudo" else data_dir / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not among the recordings: add its folder to MSER_DATA_DIR")
    corpus = open_corpus(name, folder, **options)
    assert (len(corpus), len(corpus.people)) == (items, people)
    assert set(Counter(item.label for item in corpus.items)) == set(LABELS)
    assert len({item.item_id for item in corpus.items}) == items
    for item in (corpus.items[0], corpus.items[-1]):
        utterance = item.load()
        parts = {"speech": utterance.audio, "text": utterance.transcript, "mocap": utterance.skeleton}
        assert all(parts[modality] is not None for modality in corpus.modalities)
