"""Folders of sound files (and perhaps motion files) with a `manifest.tsv`: RAVDESS, nEMO and anybody's own data.

The manifest is UTF-8, tab-separated, without quoting; its first line names the columns. Needed: `label` (one of the
four classes), `speaker`, and at least one of `file` (a sound file), `text` and `skeleton` (a motion file: BVH or npz,
see `mocap.readers`). Understood besides: `duration_s`, `language` (BCP 47), `sex` (f, m), `group` (such as a session),
`dialogue`, `split` (train, dev, test), `valence`, `arousal`, `dominance` (-1..1). Other columns are ignored. Paths are
relative to the folder.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import AudioError
from ..labels import LABELS
from ..mocap.readers import read_motion
from ..types import Transcript, Utterance, to_ns
from .base import Corpus, Item, refuse, require_items
from .files import is_usable, read_sound, sound_duration_s

MANIFEST = "manifest.tsv"
_CURE = f"restore the files or mend {MANIFEST}"
_RANGES = {"duration_s": (0.0, 86400.0), "valence": (-1.0, 1.0), "arousal": (-1.0, 1.0), "dominance": (-1.0, 1.0)}
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
    path = folder / MANIFEST
    if not path.is_file():
        refuse(name, folder, [MANIFEST], _CURE)
    columns, rows = _rows(name, path)
    lacking = [f"{MANIFEST}: column '{column}'" for column in ("label", "speaker") if column not in columns]
    if not any(column in columns for column in _CARRIERS):
        lacking.append(f"{MANIFEST}: a column 'file', 'text' or 'skeleton'")
    if lacking:
        refuse(name, folder, lacking, _CURE)
    faults = [fault for number, row in rows for fault in _faults(folder, number, row)]
    if faults:
        refuse(name, folder, faults, _CURE)
    items = []
    for number, row in rows:
        try:
            items.append(_item(name, folder, language, number, row))
        except AudioError as error:
            faults.append(str(error))
    if faults:
        refuse(name, folder, faults, _CURE)
    require_items(name, folder, items)
    modalities = tuple(modality for column, modality in _CARRIERS.items() if any(row.get(column) for _, row in rows))
    unit = "dialogue" if "dialogue" in columns else "speaker"
    return Corpus(name, tuple(items), modalities, "not stated", unit)


def _rows(name: str, path: Path) -> tuple[tuple[str, ...], list[tuple[int, dict[str, str]]]]:
    """Columns, and the rows by line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
            rows = [(number, row) for number, row in enumerate(reader, 2) if any(row.values())]
            return tuple(reader.fieldnames or ()), rows
    except UnicodeDecodeError:
        refuse(name, path.parent, [f"{MANIFEST}: it is not UTF-8"], f"save {MANIFEST} as UTF-8")
    except csv.Error as error:
        refuse(name, path.parent, [f"{MANIFEST}: it is no table ({error})"], _CURE)


def _faults(folder: Path, number: int, row: dict[str, str]) -> list[str]:
    at = f"{MANIFEST} line {number}"
    faults = [row[kind] for kind in ("file", "skeleton") if row.get(kind) and not is_usable(folder / row[kind])]
    if row["label"] not in LABELS:
        faults.append(f"{at}: label '{row['label']}' is none of {', '.join(LABELS)}")
    if not row["speaker"]:
        faults.append(f"{at}: no speaker")
    if not any(row.get(column) for column in _CARRIERS):
        faults.append(f"{at}: no file, text or skeleton")
    for column, (low, high) in _RANGES.items():
        try:
            if not low <= float(row.get(column) or 0) <= high:
                faults.append(f"{at}: {column} '{row[column]}' is not within {low:g} to {high:g}")
        except ValueError:
            faults.append(f"{at}: {column} '{row[column]}' is no number")
    if None in row:  # where csv puts what has no column
        faults.append(f"{at}: more cells than columns")
    return faults


def _item(name: str, folder: Path, language: str, number: int, row: dict[str, str]) -> Item:
    sound = folder / row["file"] if row.get("file") else None
    motion = folder / row["skeleton"] if row.get("skeleton") else None
    duration = float(row.get("duration_s") or 0)
    if not duration and sound is not None:
        duration = sound_duration_s(sound)
    text = row.get("text") or None
    speaker = row["speaker"]
    return Item(
        corpus=name,
        item_id=row.get("file") or row.get("skeleton") or f"line{number}",
        label=row["label"],
        person=speaker,
        group=row.get("group") or speaker,
        cluster=row.get("dialogue") or speaker,
        split=row.get("split") or "",
        sex=(row.get("sex") or "").lower()[:1],
        valence=_number(row.get("valence")),
        arousal=_number(row.get("arousal")),
        dominance=_number(row.get("dominance")),
        duration_s=duration,
        loader=partial(_load, sound=sound, motion=motion, text=text, language=row.get("language") or language),
    )


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _load(item: Item, *, sound: Path | None, motion: Path | None, text: str | None, language: str) -> Utterance:
    audio = read_sound(sound) if sound else None
    skeleton = read_motion(motion) if motion else None
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
