"""How fast and how large a bundle is beside the plain transformers that it was made of, on this machine, one thread.

Each side runs in a process of its own, so that neither's memory counts for the other:
`python -m mser_ros.training.speed.serving bundle|transformers FOLDER SECONDS ROUNDS` prints one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BundleError
from ...evaluation.memory import peak_mb
from ...types import SAMPLE_RATE

_TEXT = "i really did not expect to see you here today so please sit down and tell me all about it"
WORDS = tuple(_TEXT.split())
_WORDS_PER_S = 3


def sentence(seconds: float) -> str:
    """About as many words as are spoken in that time, one at least."""
    return " ".join(WORDS[index % len(WORDS)] for index in range(max(1, round(seconds * _WORDS_PER_S))))


def utterance(seconds: float) -> tuple[np.ndarray, str]:
    """A voice float32 (samples,) at 16 kHz and about as many words as fit: what they are does not change the time."""
    samples = np.random.default_rng(0).normal(scale=0.1, size=round(seconds * SAMPLE_RATE)).astype(np.float32)
    return samples, sentence(seconds)


def compare(bundle: Path, models: Path, *, seconds: float, rounds: int) -> dict[str, Any]:
    """Figures of both and their ratios. `models`: holds the folders `speech` and `text` of the transformers.

    `median_s` is what an utterance takes, `cpu_s` what of it is work: on a busy machine the latter is to be trusted.
    """
    ours, plain = (
        _measure(kind, folder, seconds, rounds) for kind, folder in (("bundle", bundle), ("transformers", models))
    )
    return {
        "seconds": seconds,
        "bundle": ours,
        "transformers": plain,
        "times_faster": round(plain["median_s"] / ours["median_s"], 2),
        "times_less_work": round(plain["cpu_s"] / ours["cpu_s"], 2),
        "memory_share": round(ours["memory_mb"] / plain["memory_mb"], 2),
    }


def _measure(kind: str, folder: Path, seconds: float, rounds: int) -> dict[str, float]:
    command = [sys.executable, "-m", __name__, kind, str(folder), str(seconds), str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BundleError(f"{folder} cannot be measured ({last}): export it again")
    return json.loads(done.stdout.splitlines()[-1])


def _bundle(folder: Path, seconds: float) -> Callable[[], object]:
    from ...recognition.bundle import load_bundle
    from ...recognition.recognizer import EmotionRecognizer
    from ...types import Transcript, Utterance, Waveform, to_ns

    samples, text = utterance(seconds)
    said = Utterance("speed", 0, to_ns(seconds), audio=Waveform(samples, SAMPLE_RATE), transcript=Transcript(text))
    recognizer = EmotionRecognizer(load_bundle(folder))
    return lambda: recognizer.recognize(said)


def _transformers(folder: Path, seconds: float) -> Callable[[], object]:
    from ..models import torchaudio_guard  # noqa: F401  before transformers

    import torch  # isort: skip
    from transformers import pipeline  # isort: skip

    torch.set_num_threads(1)
    samples, text = utterance(seconds)
    hear = pipeline("audio-classification", model=str(folder / "speech"), device="cpu")
    read = pipeline("text-classification", model=str(folder / "text"), device="cpu")
    return lambda: (hear({"raw": samples, "sampling_rate": SAMPLE_RATE}), read(text))


def main(kind: str, folder: str, seconds: str, rounds: str) -> None:
    run = {"bundle": _bundle, "transformers": _transformers}[kind](Path(folder), float(seconds))
    run()
    walls_s, works_s = [], []
    for _ in range(int(rounds)):
        wall_s, work_s = time.perf_counter(), time.process_time()
        run()
        walls_s.append(time.perf_counter() - wall_s)
        works_s.append(time.process_time() - work_s)
    median_s, cpu_s = (round(float(np.median(times)), 4) for times in (walls_s, works_s))
    print(json.dumps({"median_s": median_s, "cpu_s": cpu_s, "memory_mb": round(peak_mb())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
