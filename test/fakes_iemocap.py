"""A small made-up tree in the layout of IEMOCAP, with the traps of the real one. Every value in it is invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

#: Turns of one dialogue: speaker and number, code, and the class it counts as ('' = none).
TURNS = (
    ("F000", "neu"),
    ("M000", "ang"),
    ("F001", "hap"),
    ("M001", "exc"),
    ("F002", "sad"),
    ("M002", "fru"),
    ("F003", "ang"),
    ("M003", "xxx"),
    ("FXX0", "neu"),
    ("M004", "sad"),
)
WORDS = {"neu": "well: it is a table", "ang": "go away now", "hap": "how lovely", "exc": "we won", "sad": "i miss her"}
PITCH_HZ = {"neu": 120.0, "ang": 260.0, "hap": 340.0, "exc": 340.0, "sad": 80.0}
TURN_S, GAP_S = 0.8, 0.2


def _numbered(name: str, first: int, last: int) -> list[str]:
    return [f"{name}{number}" for number in range(first, last + 1)]


FACE = [*_numbered("CH", 1, 3), *_numbered("FH", 1, 3), *_numbered("LC", 1, 8), *_numbered("RC", 1, 8)]
FACE += ["LLID", "RLID", "MH", "MNOSE", "LNSTRL", "TNOSE", "RNSTRL", *_numbered("LBM", 0, 3), *_numbered("RBM", 0, 3)]
FACE += [*_numbered("LBRO", 1, 4), *_numbered("RBRO", 1, 4), *_numbered("Mou", 1, 8), "LHD", "RHD"]
HANDS = [*_numbered("LH", 1, 3), *_numbered("RH", 1, 3)]
HEAD = ["pitch", "roll", "yaw", "tra_x", "tra_y", "tra_z"]


def dialogues(session: int) -> list[str]:
    """One dialogue for each marked actor; one of session 5 has its motion capture stored under another name."""
    female = f"Ses{session:02d}F_impro01"
    return [female, "Ses05M_script01_1b" if session == 5 else f"Ses{session:02d}M_script01_1"]


def write_iemocap(
    root: Path, *, sessions: tuple[int, ...] = (1, 2, 3, 4, 5), mocap: bool = True, rate_hz: int = 120, seed: int = 0
) -> Path:
    """Write the tree below `root` and return the folder of the release. `rate_hz`: of motion capture; that of the real
    one takes long to write and to read."""
    release = root / "IEMOCAP_full_release"
    rng = np.random.default_rng(seed)
    for session in sessions:
        for dialogue in dialogues(session):
            _dialogue(release / f"Session{session}", dialogue, rate_hz=rate_hz if mocap else 0, rng=rng)
    (release / "Session4" / "dialog" / "MOCAP_head" / "Ses04F_impro01.txt").unlink(missing_ok=True)  # some is missing
    return release


def _dialogue(session: Path, dialogue: str, *, rate_hz: int, rng: np.random.Generator) -> None:
    """`rate_hz`: of motion capture; 0: without."""
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    script = []
    sounds = session / "sentences" / "wav" / dialogue
    sounds.mkdir(parents=True)
    (sounds / f"._{dialogue}_F000.wav").write_bytes(b"\x00\x05\x16\x07junk")
    for number, (turn, code) in enumerate(TURNS):
        name, start = f"{dialogue}_{turn}", 0.5 + number * (TURN_S + GAP_S)
        end = start + TURN_S
        lines += [
            f"[{start:.4f} - {end:.4f}]\t{name}\t{code}\t[{1 + number % 5:.4f}, 2.5000, {'3.0000' if number else ''}]",
            "C-E2:\tAnger;\t()",
            "C-E3:\tAnger; Frustration;\t(raised: voice)",
            "A-E3:\tval 2; act 4; dom  ;\t()",
            "",
        ]
        script.append(f"{name} [{start:08.4f}-{end:08.4f}]: {WORDS.get(code, 'hm')}")
        script.append("M: hm")
        tone = np.sin(2 * np.pi * PITCH_HZ.get(code, 200.0) * np.arange(round(TURN_S * 16000)) / 16000)
        noise = rng.normal(scale=0.01, size=len(tone))
        soundfile.write(sounds / f"{name}.wav", (0.2 * tone + noise).astype(np.float32), 16000, subtype="PCM_16")
    _write(session / "dialog" / "EmoEvaluation" / f"{dialogue}.txt", lines)
    _write(session / "dialog" / "EmoEvaluation" / f"._{dialogue}.txt", ["\x00\x05\x16\x07 junk"])
    _write(session / "dialog" / "EmoEvaluation" / "Categorical" / f"{dialogue}_e1_cat.txt", ["junk"])
    _write(session / "dialog" / "transcriptions" / f"{dialogue}.txt", script)
    if rate_hz:
        length_s = 0.5 + len(TURNS) * (TURN_S + GAP_S)
        stored = dialogue.removesuffix("b") if dialogue == "Ses05M_script01_1b" else dialogue
        _mocap(session / "dialog" / "MOCAP_rotated" / f"{stored}.txt", FACE, ["X", "Y", "Z"], length_s, rate_hz, rng)
        _mocap(session / "dialog" / "MOCAP_hand" / f"{stored}.txt", HANDS, ["X", "Y", "Z"], length_s, rate_hz, rng)
        _mocap(session / "dialog" / "MOCAP_head" / f"{stored}.txt", HEAD, [""], length_s, rate_hz, rng)


def _mocap(
    path: Path, names: list[str], axes: list[str], length_s: float, rate_hz: int, rng: np.random.Generator
) -> None:
    frames = round(length_s * rate_hz)
    values = rng.normal(scale=10.0, size=(frames, len(names) * len(axes)))
    values[: frames // 10, :3] = np.nan
    cells = " ".join(["%.3f"] * values.shape[1])
    rows = [f"{n + 1} {n / rate_hz:.5f} {cells % tuple(row)}" for n, row in enumerate(values.tolist())]
    rows = [row.replace("nan", "NaN") for row in rows]
    header = ["Frame# Time " + " ".join(names), " ".join(axes * len(names))]
    _write(path, [*header, *rows, ""])


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
