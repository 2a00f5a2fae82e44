"""IEMOCAP (Busso et al. 2008), from a user's own licensed copy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from ..errors import CorpusError
from ..labels import IEMOCAP
from ..mocap.layouts import MARKER_BINS, MARKER_LAYOUT
from ..types import SkeletonSequence, Transcript, Utterance, to_ns
from .base import Corpus, Item, refuse, require_items
from .files import read_sound
from .iemocap_files import MOCAP, Turn, binned_mocap, mocap_files, read_transcripts, read_turns

#: Which codes count as happy. Merged is usual (5,531 utterances of four classes); paper A takes 'exc' alone (4,936).
_HAPPY: Mapping[str, frozenset[str]] = MappingProxyType(
    {"merged": frozenset({"hap", "exc"}), "exc": frozenset({"exc"}), "hap": frozenset({"hap"})}
)
#: Which markers count. In paper A's fused notebooks those of hands and head were lost to a check of their shape.
_MARKERS = ("all", "face")
_SESSIONS = (1, 2, 3, 4, 5)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The options of `iemocap`."""

    happy: str
    listener_mocap: bool
    markers: str

    def keeps(self, code: str) -> bool:
        return code in IEMOCAP and (IEMOCAP[code] != "happy" or code in _HAPPY[self.happy])

    def seen(self, turn: Turn, mocap: tuple[Path | None, ...]) -> tuple[Path | None, ...]:
        """Of the files of a dialogue in the order of `MOCAP`, those that count for a turn."""
        if not (turn.is_marked or self.listener_mocap):
            return (None, None, None)
        return mocap if self.markers == "all" else (mocap[0], None, None)


@dataclass(frozen=True, slots=True)
class _Files:
    """Where one utterance lies."""

    wav: Path
    mocap: tuple[Path | None, ...]
    text: str | None


def iemocap(
    folder: Path,
    *,
    happy: str = "merged",
    listener_mocap: bool = False,
    markers: str = "all",
    sessions: int | Collection[int] = _SESSIONS,
) -> Corpus:
    """IEMOCAP's four classes. `folder`: the release itself or the folder around it.

    `happy`: 'merged' (hap and exc), 'exc' or 'hap'. The markers are worn by one actor at a time: without
    `listener_mocap` an utterance of the other one has no skeleton; with it, as in paper A's protocol, it has that of
    the listener. `markers`: 'all', or 'face': hands and head are 0 and not seen, as in paper A's fused notebooks.
    Valence, activation (arousal) and dominance are mapped from 1..5 to -1..1. The skeleton is paper A's representation,
    see `iemocap_files.binned_mocap`; its layout is 'iemocap200'.
    """
    for option, value, known in (("happy", happy, _HAPPY), ("markers", markers, _MARKERS)):
        if value not in known:
            raise CorpusError(f"corpus 'iemocap': {option} must be one of {', '.join(known)}, not '{value}'")
    wanted = [sessions] if not isinstance(sessions, Collection) else list(sessions)
    if not wanted or any(number not in _SESSIONS for number in wanted):
        raise CorpusError(f"corpus 'iemocap': sessions must be some of 1 to 5, not {sessions!r}")
    choice = _Choice(happy, listener_mocap, markers)
    inner = folder / "IEMOCAP_full_release"
    root = inner if inner.is_dir() else folder
    missing: list[str] = []
    odd: list[str] = []
    items: list[Item] = []
    for number in wanted:
        items += _session(root, number, choice, missing, odd)
    if missing:
        refuse("iemocap", root, missing, "restore it from your copy of IEMOCAP")
    require_items("iemocap", root, items)
    folders = [name for name, _ in (MOCAP if markers == "all" else MOCAP[:1])]
    wordless = sum(not item.loader.keywords["files"].text for item in items)  # type: ignore[attr-defined]
    has_mocap = any(any(root.glob(f"Session*/dialog/{name}/Ses*.txt")) for name in folders)
    note = "happy is " + {"merged": "hap and exc", "exc": "exc only", "hap": "hap only"}[happy]
    if listener_mocap:
        note += "; motion capture is of the marked actor, who is often the listener"
    if markers == "face":
        note += "; motion capture is of the face alone"
    if odd:
        note += f"; {len(odd)} lines are odd, such as {odd[0]}"
    if wordless:
        note += f"; {wordless} utterances have no transcript"
    modalities = ("speech", "text", "mocap") if has_mocap else ("speech", "text")
    return Corpus("iemocap", tuple(items), modalities, "IEMOCAP release form", "dialogue", note=note)


def _session(root: Path, number: int, choice: _Choice, missing: list[str], odd: list[str]) -> list[Item]:
    session = root / f"Session{number}"
    annotations, transcriptions = session / "dialog" / "EmoEvaluation", session / "dialog" / "transcriptions"
    absent = [path for path in (annotations, transcriptions, session / "sentences" / "wav") if not path.is_dir()]
    if absent:
        missing += [f"{path.relative_to(root)}/" for path in ([session] if not session.is_dir() else absent)]
        return []
    dialogues = sorted(path for path in annotations.glob("*.txt") if not path.name.startswith("."))
    if not dialogues:
        missing.append(f"{annotations.relative_to(root)}/*.txt")
    items: list[Item] = []
    for path in dialogues:
        items += _dialogue(root, session, path, choice, missing, odd)
    return items


def _dialogue(
    root: Path, session: Path, annotation: Path, choice: _Choice, missing: list[str], odd: list[str]
) -> list[Item]:
    name = annotation.stem
    turns, strange = read_turns(annotation)
    odd += [f"{annotation.relative_to(root)} {line}" for line in strange]
    if not turns:
        missing.append(f"{annotation.relative_to(root)}: an annotated turn")
    kept = [turn for turn in turns if choice.keeps(turn.code)]
    script = session / "dialog" / "transcriptions" / annotation.name
    if script.is_file():
        texts, strange = read_transcripts(script)
        odd += [f"{script.relative_to(root)} {line}" for line in strange]
    else:
        texts = {}
        missing.append(str(script.relative_to(root)))
    sounds = session / "sentences" / "wav" / name
    there = {path.name for path in sounds.iterdir() if path.stat().st_size} if sounds.is_dir() else set()
    mocap = mocap_files(session, name)
    items = []
    for turn in kept:
        wav = sounds / f"{turn.name}.wav"
        if wav.name not in there:
            missing.append(str(wav.relative_to(root)))
        items.append(_item(session.name, name, turn, _Files(wav, choice.seen(turn, mocap), texts.get(turn.name))))
    return items


def _item(session: str, dialogue: str, turn: Turn, files: _Files) -> Item:
    valence, arousal, dominance = (None if value is None else (value - 3) / 2 for value in turn.vad)
    return Item(
        corpus="iemocap",
        item_id=turn.name,
        label=IEMOCAP[turn.code],
        person=turn.speaker,
        group=session,
        cluster=dialogue,
        sex=turn.speaker[-1].lower(),
        valence=valence,
        arousal=arousal,
        dominance=dominance,
        duration_s=turn.end_s - turn.start_s,
        loader=partial(_load, files=files, start_s=turn.start_s, end_s=turn.end_s),
    )


def _load(item: Item, *, files: _Files, start_s: float, end_s: float) -> Utterance:
    return Utterance(
        utterance_id=f"{item.corpus}/{item.item_id}",
        start_ns=to_ns(start_s),
        end_ns=to_ns(end_s),
        audio=read_sound(files.wav),
        transcript=Transcript(files.text, language="en") if files.text else None,
        skeleton=_skeleton(files.mocap, start_s, end_s),
        person_id=item.person,
    )


def _skeleton(files: tuple[Path | None, ...], start_s: float, end_s: float) -> SkeletonSequence | None:
    """The marked actor in 200 bins, each stamped at its middle; None where no marker is ever seen."""
    if not any(files):
        return None
    positions, seen = binned_mocap(files, start_s, end_s)
    if not seen.any():
        return None
    middles_s = start_s + (np.arange(MARKER_BINS) + 0.5) * (end_s - start_s) / MARKER_BINS
    stamps_ns = np.round(middles_s * 1e9).astype(np.int64)
    return SkeletonSequence(stamps_ns, positions, seen.astype(np.float32), MARKER_LAYOUT)
