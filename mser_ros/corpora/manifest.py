"""Folders of sound files (and perhaps motion files) with a `manifest.tsv`: RAVDESS, nEMO and anybody's own data.

The manifest is text; its first line names the columns. It is tab-separated, and where the names are quoted, so is the
rest; or separated by commas or semicolons with quotes as spreadsheets write them, as `manifest.csv` as well.
Needed: `label` (one of the four classes, or what `labels.OWN` takes for one), `speaker`, and at least one of `file` (a
sound file), `text` and `skeleton` (a motion file: BVH or npz, see `mocap.readers`). Understood besides: `begin_s` and
`end_s` of the stretch of its files that a line is about, where they hold more (empty: from their begin, to their end),
`duration_s`, `language` (BCP 47), `sex` (f, m), `group` (such as a session), `dialogue`, `split` (train, dev or
validation, test), `valence`, `arousal`, `dominance` (-1..1). Other columns are ignored, and named in the corpus's note.
Lines that stand there twice count once; a file, or a stretch of it, that two lines tell different things of is a fault.
Paths are relative to the folder; those of Windows are understood.
"""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from ..errors import AudioError, CorpusError
from ..labels import LABELS, OWN
from ..mocap.readers import read_motion
from ..types import Transcript, Utterance, to_ns
from .base import BETWEEN_PEOPLE, Corpus, Item, refuse, require_items
from .files import changed_ns, is_usable, read_sound, read_text, sound_duration_s, stretch
from .text import repeated_note

MANIFEST = "manifest.tsv"
#: What it may be called, the first that is there.
_NAMES = (MANIFEST, "manifest.csv")
#: What separates its cells, of those in its first line the first.
_SEPARATORS = "\t,;"
_DAY_S = 86400.0
_RANGES = {"duration_s": (0.0, _DAY_S), "begin_s": (0.0, _DAY_S), "end_s": (0.0, _DAY_S)}
_RANGES |= {"valence": (-1.0, 1.0), "arousal": (-1.0, 1.0), "dominance": (-1.0, 1.0)}
_COLUMNS = {"file", "text", "skeleton", "label", "speaker", "language", "sex", "group", "dialogue", "split", *_RANGES}
_SPLITS = {
    "training": "train", "val": "dev", "valid": "dev", "validation": "dev", "development": "dev", "testing": "test",
}  # fmt: skip
#: What is said of a recording's end by hand may lie so far behind it [s].
_SLACK_S = 0.5
#: Of letters with marks, in one piece or in two.
_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
_CARRIERS: Mapping[str, str] = {"file": "speech", "text": "text", "skeleton": "mocap"}


def ravdess(folder: Path) -> Corpus:
    """RAVDESS speech (Livingstone & Russo 2018); its actors of odd number are men, those of even number women."""
    corpus = _read("ravdess", folder, language="en")
    items = tuple(replace(item, sex=_ravdess_sex(item.person)) for item in corpus.items)
    note = "acted; two fixed sentences, so its text is no cue"
    return replace(corpus, items=items, modalities=("speech",), licence="CC-BY-NC-SA-4.0", note=note)


def nemo(folder: Path) -> Corpus:
    """nEMO (AMU-CAI): Polish, every sentence spoken in every emotion."""
    corpus = _read("nemo", folder, language="pl")
    note = "acted; Polish, the same sentences in every class, so its text is no cue"
    return replace(corpus, modalities=("speech",), licence="CC-BY-NC-SA-4.0", note=note)


def plain(name: str, folder: Path) -> Corpus:
    """Anybody's own data: a folder with a `manifest.tsv`."""
    return _read(name, folder, language="")


def _ravdess_sex(actor: str) -> str:
    return ("f", "m")[int(actor) % 2] if actor.isdigit() else ""


def _read(name: str, folder: Path, *, language: str) -> Corpus:
    path = next((folder / one for one in _NAMES if (folder / one).is_file()), None)
    if path is None:
        beside = [item.name for item in sorted(folder.iterdir()) if item.suffix.lower() in (".csv", ".tsv", ".txt")]
        lacks = f"{MANIFEST} (there is {', '.join(beside[:5])})" if beside else MANIFEST
        refuse(
            name,
            folder,
            [lacks],
            f"write {MANIFEST}, or restore it: a line for each recording, with file, label and "
            "speaker between tabs, and a first line that names these",
        )
    manifest, cure = path.name, f"restore the files or mend {path.name}"
    columns, rows, repeated = _rows(name, path)
    if twice := sorted({column for column in columns if column and columns.count(column) > 1}):
        refuse(name, folder, [f"{manifest}: two columns are named '{column}'" for column in twice], "keep one of them")
    lacking = [f"{manifest}: column '{column}'" for column in ("label", "speaker") if column not in columns]
    if not any(column in columns for column in _CARRIERS):
        lacking.append(f"{manifest}: a column 'file', 'text' or 'skeleton'")
    if lacking:
        lacking.append(f"{manifest}: what its first line names is {', '.join(map(ascii, columns)) or 'nothing'}")
        refuse(name, folder, lacking, cure)
    faults = [fault for number, row in rows for fault in _faults(path, number, row)] + _contradictions(manifest, rows)
    if faults:
        refuse(name, folder, faults, cure)
    items = []
    for number, row in rows:
        try:
            items.append(_item(name, folder, language, number, row))
        except AudioError as error:
            faults.append(str(error))
    if faults:
        refuse(name, folder, faults, cure)
    require_items(name, folder, items)
    modalities = tuple(modality for column, modality in _CARRIERS.items() if any(row.get(column) for _, row in rows))
    unit = "dialogue" if "dialogue" in columns else "speaker"
    unread = sorted(set(columns) - _COLUMNS - {""})
    notes = [f"columns that are not read: {', '.join(unread)}" if unread else "", repeated_note(repeated)]
    return Corpus(name, tuple(items), modalities, "not stated", unit, note="; ".join(filter(None, notes)))


def _rows(name: str, path: Path) -> tuple[tuple[str, ...], list[tuple[int, dict[str, str]]], int]:
    """Columns, the rows by line, and how many of them stood there before."""
    # Ends of lines are kept, as quotes may go over several.
    lines = [f"{line}\n" for line in read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    mark = next((mark for mark in _SEPARATORS if lines and mark in lines[0]), "\t")
    is_quoted = mark != "\t" or (bool(lines) and lines[0].startswith('"'))
    reader = csv.DictReader(
        lines,
        delimiter=mark,
        quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
        restval="",
        strict=True,  # a quote that nothing closes would swallow the lines after it
        skipinitialspace=mark != "\t",
    )
    try:
        reader.fieldnames = [column.strip().lower() for column in reader.fieldnames or ()]
        rows: dict[tuple[object, ...], tuple[int, dict[str, str]]] = {}
        count = 0
        for row in reader:
            if any(row.values()):
                count += 1
                label = row.get("label", "").strip().lower()
                row["label"] = OWN.get(label, label)
                for unit in ("speaker", "group", "dialogue"):
                    row[unit] = _unit(row.get(unit, ""))
                split = row.get("split", "").strip().lower()
                row["split"] = _SPLITS.get(split, split)
                for kind in ("file", "skeleton"):
                    if row.get(kind):
                        row[kind] = _usual(path.parent, row[kind])
                rows.setdefault(tuple(map(str, row.values())), (reader.line_num, row))
        return tuple(reader.fieldnames), list(rows.values()), count - len(rows)
    except csv.Error as error:
        refuse(
            name,
            path.parent,
            [f"{path.name}: after line {reader.line_num} it is no table ({error})"],
            f"mend {path.name}",
        )


def _unit(name: str) -> str:
    """One name for somebody whose letters with marks are in one piece or in two, and none that reads as two."""
    return unicodedata.normalize("NFC", name).strip().replace(BETWEEN_PEOPLE, "+")


def _usual(folder: Path, name: str) -> str:
    """One name for a file that may be named in several ways."""
    if not is_usable(folder / name):
        name = name.strip()
    if "\\" in name and not (folder / name).exists():
        name = name.replace("\\", "/")
    if not is_usable(folder / name):  # a Mac writes umlauts in two pieces
        name = next((one for form in _FORMS if is_usable(folder / (one := unicodedata.normalize(form, name)))), name)
    return os.path.normpath(name)


def _contradictions(manifest: str, rows: Sequence[tuple[int, Mapping[str, str]]]) -> list[str]:
    """Lines that tell something else of a recording than an earlier one."""
    first: dict[tuple[object, ...], int] = {}
    found = []
    for number, row in rows:
        try:
            part = _stretch(row)
        except ValueError:  # told as a fault of its own
            continue
        key = row.get("file", ""), row.get("skeleton", ""), *part
        if any(key[:2]) and (before := first.setdefault(key, number)) != number:
            found.append(f"{manifest} line {number}: {key[0] or key[1]} stands in line {before} with other content")
    return found


def _faults(manifest: Path, number: int, row: dict[str, str]) -> list[str]:
    folder, at = manifest.parent, f"{manifest.name} line {number}"
    faults = [row[kind] for kind in ("file", "skeleton") if row.get(kind) and not is_usable(folder / row[kind])]
    if row["label"] not in LABELS:
        faults.append(f"{at}: label '{row['label']}' is none of {', '.join(LABELS)}")
    if not row["speaker"]:
        faults.append(f"{at}: no speaker")
    if not any(row.get(column) for column in _CARRIERS):
        faults.append(f"{at}: no file, text or skeleton")
    if row["split"] not in ("", "train", "dev", "test"):
        faults.append(f"{at}: split '{row['split']}' is none of train, dev, test")
    if _sex(row) not in ("", "f", "m"):
        faults.append(f"{at}: sex '{row['sex']}' is neither f nor m")
    for column, (low, high) in _RANGES.items():
        try:
            if not low <= float(row.get(column) or 0) <= high:
                faults.append(f"{at}: {column} '{row[column]}' is not within {low:g} to {high:g}")
        except ValueError:
            faults.append(f"{at}: {column} '{row[column]}' is no number")
    if not faults and _stretch(row) != (0.0, 0.0):
        begin_s, end_s = _stretch(row)
        if not (row.get("file") or row.get("skeleton")):
            faults.append(f"{at}: begin_s and end_s without a file of which they are")
        elif end_s and end_s <= begin_s:
            faults.append(f"{at}: end_s {end_s:g} does not lie behind begin_s {begin_s:g}")
    if None in row:  # where csv puts what has no column
        faults.append(f"{at}: more cells than columns")
    return faults


def _item(name: str, folder: Path, language: str, number: int, row: dict[str, str]) -> Item:
    sound = folder / row["file"] if row.get("file") else None
    motion = folder / row["skeleton"] if row.get("skeleton") else None
    duration = float(row.get("duration_s") or 0)
    begin_s, end_s = _stretch(row)
    if sound is not None and (begin_s or end_s):
        length_s = _length_s(sound, changed_ns(sound))
        if begin_s >= length_s or end_s > length_s + _SLACK_S:
            part = f"{begin_s:g} s to {f'{end_s:g} s' if end_s else 'its end'}"
            raise AudioError(f"line {number}: {row['file']} ends at {length_s:.2f} s, so there is no {part}")
        duration = min(end_s or length_s, length_s) - begin_s
    elif end_s:
        duration = end_s - begin_s
    elif not duration and sound is not None:
        duration = sound_duration_s(sound)
    part = f" {begin_s:.10g}-{f'{end_s:.10g}' if end_s else 'end'}" if begin_s or end_s else ""
    text = row.get("text") or None
    speaker = row["speaker"]
    return Item(
        corpus=name,
        item_id=f"{row.get('file') or row.get('skeleton') or f'line{number}'}{part}",
        label=row["label"],
        person=speaker,
        group=row.get("group") or speaker,
        cluster=row.get("dialogue") or speaker,
        split=row.get("split") or "",
        sex=_sex(row),
        valence=_number(row.get("valence")),
        arousal=_number(row.get("arousal")),
        dominance=_number(row.get("dominance")),
        duration_s=duration,
        loader=partial(
            _load,
            sound=sound,
            motion=motion,
            text=text,
            language=row.get("language") or language,
            begin_s=begin_s,
            end_s=end_s,
        ),
    )


@lru_cache(maxsize=1)
def _length_s(sound: Path, _changed_ns: int) -> float:
    """Lines of one recording follow each other."""
    return sound_duration_s(sound)


def _stretch(row: Mapping[str, str]) -> tuple[float, float]:
    """Begin and end [s]; an end of 0 is that of the file."""
    return float(row.get("begin_s") or 0), float(row.get("end_s") or 0)


def _sex(row: Mapping[str, str]) -> str:
    """'f', 'm', '' where it is not told, or what is none of them."""
    told = (row.get("sex") or "").strip().lower()
    return "f" if told in ("f", "female", "w", "woman") else "m" if told in ("m", "male", "man") else told


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _load(
    item: Item,
    *,
    sound: Path | None,
    motion: Path | None,
    text: str | None,
    language: str,
    begin_s: float,
    end_s: float,
) -> Utterance:
    audio = read_sound(sound, begin_s, end_s) if sound else None
    skeleton = read_motion(motion) if motion else None
    if skeleton is not None and (begin_s or end_s):
        skeleton = stretch(skeleton, begin_s, end_s)
        if skeleton is None and audio is None:
            raise CorpusError(f"{item.item_id}: nobody is seen in that stretch")
    seconds = max(audio.duration_s if audio else 0.0, skeleton.duration_s if skeleton else 0.0, item.duration_s)
    return Utterance(
        utterance_id=f"{item.corpus}/{item.item_id}",
        start_ns=0,
        end_ns=to_ns(seconds),
        audio=audio,
        transcript=Transcript(text, language=language) if text else None,
        skeleton=skeleton,
        person_id=item.person,
    )
