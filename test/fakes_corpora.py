"""Corpora as they lie in folders, made up and small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def write_sound(path: Path, *, rate: int = 16000, channels: int = 1, seconds: float = 0.5) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(round(rate * seconds)) / rate)
    soundfile.write(path, np.tile(tone[:, None], channels).astype(np.float32), rate)


def write_manifest(folder: Path, *rows: str, columns: str = "file label speaker duration_s text") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [columns.replace(" ", "\t"), *rows]
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_egait(folder: Path, *, walkers: int = 4, frames: int = 75) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = np.repeat([f"{walker:03d}" for walker in range(walkers)], 4)
    np.savez(
        folder / "egait_intended.npz",
        joints=rng.normal(size=(4 * walkers, frames, 16, 3)).astype(np.float32),
        intended=np.tile(np.arange(4), walkers),
        walker=names,
        classes=np.array(["happy", "angry", "sad", "neutral"]),
    )
    return folder


def write_goemotions(folder: Path, *, lines: int = 20) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.txt").write_text("anger\njoy\nsadness\nneutral\nfear\namusement\n")
    rows = [f"line {number}, said\t{number % 4}\tc{number}" for number in range(lines)]
    (folder / "train.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    extra = ['"quoted\u2028 line" with\u0085 breaks\t1,5\td0', "two classes\t0,1\td1", "no class\t4\td2"]
    (folder / "dev.tsv").write_text("\n".join([*extra, "part no class\t0,4\td3"]) + "\n", encoding="utf-8")
    return folder


def write_pseudo(root: Path) -> Path:
    labels = ("angry", "happy", "sad", "neutral")
    rows = []
    (root / "ravdess").mkdir(parents=True)
    for actor in range(1, 5):
        for label in labels:
            name = f"{label}-{actor:02d}.wav"
            write_sound(root / "ravdess" / name, seconds=1.0 if actor < 4 else 3.0)
            rows.append(f"{name}\t{label}\t{actor:02d}\t{1.0 if actor < 4 else 3.0}\tKids are talking by the door")
    write_manifest(root / "ravdess", *rows)
    write_goemotions(root / "goemotions", lines=60)
    write_egait(root / "egait", walkers=5)
    return root
