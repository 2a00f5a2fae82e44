"""Corpora of written lines: GoEmotions, and the transcripts of MELD."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

from ..labels import GOEMOTIONS, GOEMOTIONS_NAMES, MELD, MELD_NAMES
from ..types import Transcript, Utterance
from .base import Corpus, Item, refuse, require_items
from .files import read_text

_CURE = "restore the files"


def goemotions(folder: Path) -> Corpus:
    """GoEmotions (Demszky et al. 2020): comments whose labels all fall into one of the four classes.

    Reads `labels.txt` and those of `train.tsv`, `dev.tsv` and `test.tsv` that are there: text, label numbers, comment.
    """
    splits = [split for split in ("train", "dev", "test") if (folder / f"{split}.tsv").is_file()]
    missing = [] if (folder / "labels.txt").is_file() else ["labels.txt"]
    if not splits:
        missing += ["train.tsv", "dev.tsv"]
    if missing:
        refuse("goemotions", folder, missing, _CURE)
    names = read_text(folder / "labels.txt").lower().split()
    if strange := sorted(set(names) - GOEMOTIONS_NAMES):
        refuse("goemotions", folder, [f"labels.txt: '{name}' is none of its emotions" for name in strange], _CURE)
    classes = {str(number): GOEMOTIONS.get(name) for number, name in enumerate(names)}
    items: list[Item] = []
    faults: list[str] = []
    seen: dict[str, str] = {}
    repeated = 0
    for split in splits:
        # Only a line feed ends a row: comments may hold every other kind of line separator.
        for number, line in enumerate(read_text(folder / f"{split}.tsv").split("\n"), 1):
            cells = line.rstrip("\r").split("\t")
            if cells == [""]:
                continue
            if len(cells) != 3 or not cells[0].strip() or any(label not in classes for label in cells[1].split(",")):
                faults.append(f"{split}.tsv line {number}: text, known label numbers and a comment id")
                continue
            if (before := seen.setdefault(cells[2], line)) is not line:
                repeated += 1
                if before != line:
                    faults.append(
                        f"{split}.tsv line {number}: comment {cells[2]} stands there already, with other content"
                    )
                continue
            found = {classes[label] for label in cells[1].split(",")}
            label = found.pop()
            if label is not None and not found:
                items.append(
                    spoken_line("goemotions", cells[2], label, cells[0], person=cells[2], cluster=cells[2], split=split)
                )
    if faults:
        refuse("goemotions", folder, faults, _CURE)
    require_items("goemotions", folder, items)
    return Corpus("goemotions", tuple(items), ("text",), "CC-BY-4.0", "comment", note=repeated_note(repeated))


def meld(folder: Path) -> Corpus:
    """MELD's transcripts (Poria et al. 2019): lines of a television series, for evaluation only."""
    splits = [split for split in ("train", "dev", "test") if (folder / f"{split}_sent_emo.csv").is_file()]
    if not splits:
        refuse("meld", folder, ["train_sent_emo.csv", "dev_sent_emo.csv"], _CURE)
    items: list[Item] = []
    faults: list[str] = []
    seen: dict[str, dict[str, str]] = {}
    repeated = 0
    needed = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
    for split in splits:
        name = f"{split}_sent_emo.csv"
        table = csv.DictReader(io.StringIO(read_text(folder / name)), restval="")
        try:
            rows = [(table.line_num, row) for row in table]
        except csv.Error as error:
            refuse("meld", folder, [f"{name} after line {table.line_num}: {error}"], _CURE)
        lacking = [f"{name}: column '{column}'" for column in needed if column not in (table.fieldnames or ())]
        if lacking:
            refuse("meld", folder, lacking, _CURE)
        for line, row in rows:
            if empty := [column for column in needed if not row[column]]:
                faults.append(f"{name} line {line}: {', '.join(empty)}")
                continue
            emotion = row["Emotion"].strip().lower()
            dialogue = f"{split}-{row['Dialogue_ID']}"
            place = f"{dialogue}-{row['Utterance_ID']}"
            if emotion not in MELD_NAMES:
                faults.append(f"{name} line {line}: '{emotion}' is none of {', '.join(sorted(MELD_NAMES))}")
            elif (before := seen.setdefault(place, row)) is not row:
                repeated += 1
                if before["Utterance"] != row["Utterance"] or before["Emotion"] != row["Emotion"]:
                    faults.append(f"{name} line {line}: {place} stands there already, with other content")
            elif label := MELD.get(emotion):
                text = row["Utterance"]
                items.append(
                    spoken_line("meld", place, label, text, person=row["Speaker"], cluster=dialogue, split=split)
                )
    if faults:
        refuse("meld", folder, faults, _CURE)
    require_items("meld", folder, items)
    return Corpus(
        "meld",
        tuple(items),
        ("text",),
        "GPL-3.0",
        "dialogue",
        evaluation_only=True,
        note="; ".join(filter(None, ["lines of a television series: for evaluation only", repeated_note(repeated)])),
    )


def repeated_note(lines: int) -> str:
    """What a corpus says of lines that stand there twice."""
    return f"{lines} lines stand there more than once and count once" if lines else ""


def spoken_line(
    corpus: str, item_id: str, label: str, text: str, *, person: str, cluster: str, split: str = ""
) -> Item:
    """A line that somebody wrote or said, in English."""
    return Item(
        corpus=corpus,
        item_id=item_id,
        label=label,
        person=person,
        group=person,
        cluster=cluster,
        split=split,
        loader=partial(_load, text=text),
    )


def _load(item: Item, *, text: str) -> Utterance:
    return Utterance(
        utterance_id=f"{item.corpus}/{item.item_id}",
        start_ns=0,
        end_ns=0,
        transcript=Transcript(text, language="en"),
        person_id=item.person,
    )
