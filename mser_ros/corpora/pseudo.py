"""A pseudo-multimodal corpus: voices, lines and walks of one class, but of different people, put together.

It stands in for a real multimodal corpus where there is none. It is synthetic: its parts agree on the class and on
nothing else, so that modalities are independent given the class, and fusion looks better on it than on real people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from ..errors import CorpusError
from ..labels import LABELS
from ..types import SkeletonSequence, Utterance
from . import manifest, movement, text
from .base import BETWEEN_PEOPLE, Corpus, Item

_VOICES = {"ravdess": manifest.ravdess, "nemo": manifest.nemo}
#: The corpora whose people are in it.
SOURCES = (*_VOICES, "goemotions", "egait")
_NOTE = (
    "SYNTHETIC: clips, lines and walks of one class but of different people, combined; "
    "shows that fusion works, not how well it would work on one real person"
)


def pseudo(
    folder: Path, *, folds: int = 5, repeats: int = 1, seed: int = 0, labels: str = "intended", text_split: str = ""
) -> Corpus:
    """For every clip of RAVDESS and nEMO, `repeats` times: a line of GoEmotions and a walk of E-Gait of its class.

    `folder` holds the folders `goemotions`, `egait`, and `ravdess` or `nemo` or both. The people of each corpus are
    first dealt into `folds` blocks and then combined within a block, so `Item.person` and `Item.group` are the block:
    leaving blocks out never has a speaker, commenter or walker on two sides. `Item.cluster` names the source people.
    `labels`: those of E-Gait, 'intended' or 'perceived'. `text_split`: only lines of that set ('train', 'dev').
    """
    from .folds import deal

    for option, value, least in (("folds", folds, 1), ("repeats", repeats, 1), ("seed", seed, 0)):
        if value < least:
            raise CorpusError(f"corpus 'pseudo': {option} must be {least} or more, not {value}")
    voices = [reader(folder / name) for name, reader in _VOICES.items() if (folder / name).is_dir()]
    if not voices:
        raise CorpusError(f"corpus 'pseudo' needs a folder ravdess or nemo in {folder}: give the folder around them")
    for name in ("goemotions", "egait"):
        if not (folder / name).is_dir():
            raise CorpusError(f"corpus 'pseudo' needs a folder {name} in {folder}: give the folder around it")
    written = text.goemotions(folder / "goemotions")
    lines = [item for item in written.items if text_split in ("", item.split)]
    if not lines:
        raise CorpusError(f"corpus 'goemotions' has no set '{text_split}': text_split is train, dev or empty")
    walks = movement.egait(folder / "egait", labels=labels)
    pools = [[item for voice in voices for item in voice.items], lines, list(walks.items)]
    parts = [deal(pool, k=folds, seed=seed) for pool in pools]
    rng = np.random.default_rng(seed)
    items = []
    for block in range(folds):
        for label in LABELS:
            chosen = [
                [item for item, part in zip(pool, dealt.tolist(), strict=True) if part == block and item.label == label]
                for pool, dealt in zip(pools, parts, strict=True)
            ]
            items += _combine(f"block{block}", label, chosen, repeats, rng)
    return Corpus(
        "pseudo",
        tuple(items),
        ("speech", "text", "mocap"),
        " and ".join(dict.fromkeys([*(voice.licence for voice in voices), written.licence, walks.licence])),
        "source person",
        synthetic=True,
        note=_NOTE,
    )


def _combine(
    block: str, label: str, pools: Sequence[Sequence[Item]], repeats: int, rng: np.random.Generator
) -> list[Item]:
    """Every voice with a line and a walk; each line and each walk comes once before any comes again."""
    voices, lines, walks = ([pool[i] for i in rng.permutation(len(pool))] for pool in pools)
    if not voices:
        return []
    if not lines or not walks:
        raise CorpusError(f"corpus 'pseudo' has too few people of class '{label}' for so many folds: ask for fewer")
    count = len(voices) * repeats
    triples = zip(*(islice(cycle(pool), count) for pool in (voices, lines, walks)), strict=True)
    return [_item(block, label, sources) for sources in triples]


def _item(block: str, label: str, sources: tuple[Item, ...]) -> Item:
    item = Item(
        corpus="pseudo",
        item_id="+".join(source.item_id for source in sources),
        label=label,
        person=block,
        group=block,
        cluster="",
        duration_s=sources[0].duration_s,
        loader=_load,
        sources=sources,
    )
    return replace(item, cluster=BETWEEN_PEOPLE.join(":".join(person) for person in item.people))


def _load(item: Item) -> Utterance:
    """Voice, words and walk as one utterance: the walk ends as the voice does."""
    voice, line, walk = (source.load() for source in item.sources)
    assert walk.skeleton is not None
    length_ns = voice.end_ns - voice.start_ns
    walk_ns = int(walk.skeleton.stamps_ns[-1])
    end_ns = max(length_ns, walk_ns)
    return Utterance(
        utterance_id=f"{item.corpus}/{item.item_id}",
        start_ns=end_ns - length_ns,
        end_ns=end_ns,
        audio=voice.audio,
        transcript=line.transcript,
        skeleton=_shift(walk.skeleton, end_ns - walk_ns),
        person_id=item.person,
    )


def _shift(skeleton: SkeletonSequence, by_ns: int) -> SkeletonSequence:
    return replace(skeleton, stamps_ns=skeleton.stamps_ns + by_ns)
