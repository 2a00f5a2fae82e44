"""Corpora of moving people without voice: Emotion-Gait and the Bandai-Namco Research Motion Dataset."""

from __future__ import annotations

import re
import zipfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ..errors import CorpusError
from ..labels import LABELS
from ..mocap.readers import read_motion
from ..types import Utterance
from .base import Corpus, Item, refuse, require_items
from .files import is_usable, sequence_at

#: Frames a second of Emotion-Gait; the corpus does not state it, this is what is usually taken.
EGAIT_RATE_HZ = 30.0
_EGAIT_LABELS = ("intended", "perceived")
_EGAIT_JOINTS = 16


def egait(folder: Path, *, labels: str = "intended") -> Corpus:
    """Emotion-Gait: 75 frames of 16 joints a walk, several walks of each walker.

    `labels`: 'intended', what the walker was asked to feel (balanced), or 'perceived', what watchers saw (more walks).
    """
    if labels not in _EGAIT_LABELS:
        raise CorpusError(f"corpus 'egait': labels must be one of {', '.join(_EGAIT_LABELS)}, not '{labels}'")
    path = folder / f"egait_{labels}.npz"
    if not path.is_file():
        refuse("egait", folder, [path.name], "restore the file")
    arrays = _arrays(path)
    key = "intended" if labels == "intended" else "label"
    faults = [f"{path.name}: array '{name}'" for name in ("joints", key, "walker", "classes") if name not in arrays]
    if not faults and arrays["joints"].shape[2:] != (_EGAIT_JOINTS, 3):
        faults = [f"{path.name}: joints of shape (walks, frames, 16, 3)"]
    if not faults and len({len(arrays[name]) for name in ("joints", key, "walker")}) > 1:
        faults = [f"{path.name}: as many labels and walkers as walks"]
    if not faults and not np.isin(arrays[key], np.arange(len(arrays["classes"]))).all():
        faults = [f"{path.name}: every label a number of one of the classes"]
    if faults:
        refuse("egait", folder, faults, "restore the file")
    classes = [str(name) for name in arrays["classes"]]
    items = tuple(
        Item(
            corpus="egait",
            item_id=f"{labels}-{index:03d}",
            label=classes[arrays[key][index]],
            person=str(walker),
            group=str(walker),
            cluster=str(walker),
            duration_s=arrays["joints"].shape[1] / EGAIT_RATE_HZ,
            loader=_Walk(path, index),
        )
        for index, walker in enumerate(arrays["walker"])
        if classes[arrays[key][index]] in LABELS
    )
    require_items("egait", folder, items)
    return Corpus(
        "egait", items, ("mocap",), "not stated", "walker", note=f"{labels} emotions of walks; 30 Hz is assumed"
    )


def bandai_namco(folder: Path) -> Corpus:
    """Bandai-Namco Research Motion Dataset 1: acted gestures and gaits; the file name tells action and style.

    Its three actors are not named: all are one person here, so that no split can put an actor on two sides.
    """
    items = []
    for path in sorted(folder.glob("dataset-1_*.bvh*")):
        match = _BANDAI_NAME.match(path.name)
        if match and (label := _BANDAI_STYLES.get(match[1])):
            who = "actors"
            name = path.name.split(".")[0]
            items.append(Item("bandai_namco", name, label, who, who, name, loader=partial(_load_motion, path=path)))
    if not items:
        refuse("bandai_namco", folder, ["dataset-1_ACTION_STYLE_NUMBER.bvh or .bvh.gz"], "restore the files")
    if empty := [path.name for path in sorted(folder.glob("dataset-1_*.bvh*")) if not is_usable(path)]:
        refuse("bandai_namco", folder, empty, "restore the files")
    note = "three actors who are not told apart: for training and parsing, its figures say nothing of new people"
    return Corpus("bandai_namco", tuple(items), ("mocap",), "CC-BY-NC-4.0", "file", note=note)


_BANDAI_NAME = re.compile(r"dataset-1_[^_]+_([a-z]+)_\d+\.bvh(?:\.gz)?$")
_BANDAI_STYLES = {"angry": "angry", "happy": "happy", "sad": "sad", "normal": "neutral"}


def _load_motion(item: Item, *, path: Path) -> Utterance:
    skeleton = read_motion(path)
    end_ns = int(skeleton.stamps_ns[-1])
    return Utterance(f"{item.corpus}/{item.item_id}", 0, end_ns, skeleton=skeleton, person_id=item.person)


class _Walk:
    """Loads one walk; a class rather than the array itself, so that items stay small when they are pickled."""

    def __init__(self, path: Path, index: int) -> None:
        self.path = path
        self.index = index

    def __call__(self, item: Item) -> Utterance:
        skeleton = sequence_at(_arrays(self.path)["joints"][self.index], EGAIT_RATE_HZ, "egait16")
        return Utterance(
            utterance_id=f"{item.corpus}/{item.item_id}",
            start_ns=0,
            end_ns=int(skeleton.stamps_ns[-1]),
            skeleton=skeleton,
            person_id=item.person,
        )


@lru_cache(maxsize=4)
def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise CorpusError(f"{path} cannot be read ({error}): restore the file") from None
