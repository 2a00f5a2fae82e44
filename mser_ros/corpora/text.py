"""Corpora of written lines: GoEmotions, and the transcripts of MELD."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path

from ..labels import GOEMOTIONS, MELD
from ..types import Transcript, Utterance
from .base import Corpus, Item, refuse, require_items
from .files import read_text


def goemotions(folder: Path) -> Corpus:
    """GoEmotions (Demszky et al. 2020): comments whose labels all fall into one of the four classes.

    Reads `labels.txt` and those of `train.tsv`, `dev.tsv` and `test.tsv` that are there: text, label numbers, comment.
    """
    splits = [split for split in ("train", "dev", "test") if (folder / f"{split}.tsv").is_file()]
    missing = [] if (folder / "labels.txt").is_file() else ["labels.txt"]
    if not splits:
        missing += ["train.tsv", "dev.tsv"]
    if missing:
        refuse("goemotions", folder, missing, "restore the files")
    names = read_text(folder / "labels.txt").split()
    classes = {str(number): GOEMOTIONS.get(name) for number, name in enumerate(names)}
    items: list[Item] = []
    faults: list[str] = []
    for split in splits:
        # Only a line feed ends a row: comments may hold every other kind of line separator.
        for number, line in enumerate(read_text(folder / f"{split}.tsv").split("\n"), 1):
            cells = line.rstrip("\r").split("\t")
            if cells == [""]:
                continue
            if len(cells) != 3 or any(label not in classes for label in cells[1].split(",")):
                faults.append(f"{split}.tsv line {number}: text, known label numbers and a comment id")
                continue
            found = {classes[label] for label in cells[1].split(",")}
            label = found.pop()
            if label is not None and not found:
                items.append(
                    spoken_line("goemotions", cells[2], label, cells[0], person=cells[2], cluster=cells[2], split=split)
                )
    if faults:
        refuse("goemotions", folder, faults, "restore the files")
    require_items("goemotions", folder, items)
    return Corpus("goemotions", tuple(items), ("text",), "CC-BY-4.0", "comment")


def meld(folder: Path) -> Corpus:
    """MELD's transcripts (Poria et al. 2019): lines of a television series, for evaluation only."""
    splits = [split for split in ("train", "dev", "test") if (folder / f"{split}_sent_emo.csv").is_file()]
    if not splits:
        refuse("meld", folder, ["train_sent_emo.csv", "dev_sent_emo.csv"], "restore the files")
    items: list[Item] = []
    faults: list[str] = []
    needed = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
    for split in splits:
        name = f"{split}_sent_emo.csv"
        table = csv.DictReader(io.StringIO(read_text(folder / name)), restval="")
        try:
            rows = [(table.line_num, row) for row in table]
        except csv.Error as error:
            refuse("meld", folder, [f"{name} after line {table.line_num}: {error}"], "restore the files")
        lacking = [f"{name}: column '{column}'" for column in needed if column not in (table.fieldnames or ())]
        if lacking:
            refuse("meld", folder, lacking, "restore the files")
        for line, row in rows:
            if empty := [column for column in needed if not row[column]]:
                faults.append(f"{name} line {line}: {', '.join(empty)}")
            elif label := MELD.get(row["Emotion"]):
                dialogue = f"{split}-{row['Dialogue_ID']}"
                place = f"{dialogue}-{row['Utterance_ID']}"
                text = row["Utterance"]
                items.append(
                    spoken_line("meld", place, label, text, person=row["Speaker"], cluster=dialogue, split=split)
                )
    if faults:
        refuse("meld", folder, faults, "restore the files")
    require_items("meld", folder, items)
    return Corpus(
        "meld",
        tuple(items),
        ("text",),
        "GPL-3.0",
        "dialogue",
        evaluation_only=True,
        note="lines of a television series: for evaluation only",
    )


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
