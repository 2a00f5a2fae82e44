"""IEMOCAP's text files: annotations, transcripts and motion capture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import CorpusError
from ..mocap.layouts import MARKER_BINS, MARKERS
from .files import read_text

#: Folders of motion capture and their values per frame, in the order of paper A's columns.
MOCAP: tuple[tuple[str, int], ...] = (("MOCAP_rotated", 165), ("MOCAP_hand", 18), ("MOCAP_head", 6))

_NUMBER = r"\s*(-?\d+(?:\.\d*)?)\s*"
_TURN = re.compile(rf"^\[{_NUMBER}-{_NUMBER}\]\s+(\S+)\s+(\w+)(?:\s+\[([^\]]*)\])?")
_LINE = re.compile(r"^(Ses\w+)\s*(?:\[[^\]]*\])?\s*:\s*(.*)$")
#: Dialogue, actor who wears the markers, speaker. Some ids end in letters, such as MXX0.
_ID = re.compile(r"^(Ses\d\d([FM])_\w+)_([FM])\w+$")


@dataclass(frozen=True, slots=True)
class Turn:
    """One annotated utterance. Times are seconds of the dialogue; `vad` is valence, activation, dominance (1..5)."""

    name: str
    start_s: float
    end_s: float
    code: str
    vad: tuple[float | None, float | None, float | None]

    @property
    def speaker(self) -> str:
        """Session and letter of who speaks: Ses01F."""
        match = _ID.match(self.name)
        assert match
        return self.name[:5] + match[3]

    @property
    def is_marked(self) -> bool:
        """True where the speaker is the one who wears the markers."""
        match = _ID.match(self.name)
        return bool(match and match[2] == match[3])


def read_turns(path: Path) -> tuple[list[Turn], list[str]]:
    """The summary lines of an EmoEvaluation file, and what is odd about some; single annotators' lines are left out. Of
    a turn that stands there twice the first line counts; attributes beyond 1 to 5 are not known."""
    turns: dict[str, Turn] = {}
    odd = []
    for number, line in enumerate(_lines(path), 1):
        if not line.startswith("["):
            continue
        match = _TURN.match(line)
        if not match or not _ID.match(match[3]) or float(match[2]) <= float(match[1]):
            odd.append(f"line {number}: '{line[:60]}' is no turn with a start, a later end, an id and a code")
            continue
        told = _vad(match[5])
        valence, arousal, dominance = (value if value and 1 <= value <= 5 else None for value in told)
        if told != (valence, arousal, dominance):
            odd.append(f"line {number}: an attribute is beyond 1 to 5")
        vad = valence, arousal, dominance
        turn = Turn(match[3], float(match[1]), float(match[2]), match[4].lower(), vad)
        if turns.setdefault(turn.name, turn) != turn:
            odd.append(f"line {number}: {turn.name} stands there already, with other content")
    return list(turns.values()), odd


def read_transcripts(path: Path) -> tuple[dict[str, str], list[str]]:
    """Text by utterance, and what is odd about some; lines without an id are skipped."""
    texts: dict[str, str] = {}
    odd = []
    for number, line in enumerate(_lines(path), 1):
        if (match := _LINE.match(line)) and texts.setdefault(match[1], match[2].strip()) != match[2].strip():
            odd.append(f"line {number}: {match[1]} stands there already, with other words")
    return texts, odd


def mocap_files(session: Path, dialogue: str) -> tuple[Path | None, ...]:
    """The dialogue's files in the order of `MOCAP`; None for one that is missing.

    That of Ses05M_script01_1b is stored without its last letter.
    """
    names = [dialogue, dialogue[:-1]] if dialogue.endswith("b") else [dialogue]
    candidates = [[session / "dialog" / folder / f"{name}.txt" for name in names] for folder, _ in MOCAP]
    return tuple(next((path for path in paths if path.is_file()), None) for paths in candidates)


def binned_mocap(files: tuple[Path | None, ...], start_s: float, end_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Paper A's representation of an utterance: positions float32, (200, 63, 3), and whether seen, bool, (200, 63).

    The frames within the utterance (both ends excluded) are cut into 200 consecutive bins of equal count, as in the
    public code that the paper builds on (Tripathi & Beigi 2018); a bin is the mean of its frames, NaN where a frame of
    it is NaN or it has no frame, and NaN becomes 0. Flattened, the columns are 165 of the face, 18 of the hands, 6 of
    the head, each in the order of its file; all are 0 where the file is missing.
    """
    parts = [_bins(path, width, start_s, end_s) for path, (_, width) in zip(files, MOCAP, strict=True)]
    values = np.concatenate(parts, axis=1).reshape(MARKER_BINS, MARKERS, 3)
    return np.nan_to_num(values, nan=0.0).astype(np.float32), np.isfinite(values).any(axis=2)


def _bins(path: Path | None, width: int, start_s: float, end_s: float) -> np.ndarray:
    binned = np.full((MARKER_BINS, width), np.nan)
    if path is None:
        return binned
    times_s, values = read_mocap(path, width)
    inside = values[(times_s > start_s) & (times_s < end_s)]
    # As np.array_split cuts; of a short turn the last bins hold no frame.
    each, longer = divmod(len(inside), MARKER_BINS)
    sizes = np.full(MARKER_BINS, each) + (np.arange(MARKER_BINS) < longer)
    filled = sizes > 0
    if filled.any():
        starts = np.cumsum(sizes)[filled] - sizes[filled]
        binned[filled] = np.add.reduceat(inside, starts, axis=0, dtype=np.float64) / sizes[filled, None]
    return binned


@lru_cache(maxsize=6)
def read_mocap(path: Path, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Times [s], shape (T,), and values, shape (T, width), of a motion capture file of a dialogue.

    Reading a dialogue takes seconds, so the last two are kept: go through utterances in the corpus's order.
    Frames with another number of values are skipped. Raises `CorpusError` where no frame is left.
    """
    rows = [line for line in _lines(path) if line[:1].isdigit()]
    try:
        frames = np.loadtxt(rows, ndmin=2) if rows else np.empty((0, width + 2))
    except ValueError:  # ragged: one frame at a time
        split = (line.split() for line in rows)
        frames = np.array([cells for cells in map(_floats, split) if len(cells) == width + 2], np.float64, ndmin=2)
    if frames.shape[1] != width + 2 or not len(frames):
        raise CorpusError(f"{path} has no frame of {width} values: restore the file from your copy of IEMOCAP")
    return frames[:, 1], frames[:, 2:].astype(np.float32)


def _floats(cells: list[str]) -> list[float]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return []


def _vad(text: str | None) -> tuple[float | None, float | None, float | None]:
    cells = [cell.strip() for cell in (text or "").split(",")]
    numbers = [float(cell) if re.fullmatch(r"-?\d+(\.\d+)?", cell) else None for cell in cells]
    valence, arousal, dominance = (numbers + [None] * 3)[:3]
    return valence, arousal, dominance


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in read_text(path).splitlines()]
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error}): restore it from your copy of IEMOCAP") from None
