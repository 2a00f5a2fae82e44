from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from clips import noise, recorded, silence, spoken

from mser_ros.audio.vad import FRAME, SileroVad


def probabilities(vad: SileroVad, samples: np.ndarray) -> np.ndarray:
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    return np.array([vad.probability(frame) for frame in frames])


@pytest.mark.parametrize(
    "samples",
    [silence(2), noise(2, 30), noise(2, 3000), np.full(32_000, 12_000, np.int16)],
    ids=["silence", "hiss", "roar", "offset"],
)
def test_what_is_no_voice_is_not_taken_for_one(samples: np.ndarray) -> None:
    assert probabilities(SileroVad(), samples).max() < 0.5


voices = pytest.mark.parametrize("say", [spoken, recorded])


@voices
def test_a_voice_is_heard_and_the_silence_around_it_is_not(say: Callable[[], np.ndarray]) -> None:
    speech = say()
    heard = probabilities(SileroVad(), np.concatenate([silence(1), speech, silence(1)]))
    before, after = 1 * 16_000 // FRAME - 1, (16_000 + len(speech)) // FRAME + 10
    assert heard[:before].max() < 0.3
    assert np.mean(heard[before:after] > 0.5) > 0.6
    assert heard[after:].max() < 0.3


@voices
@pytest.mark.parametrize("offset", [-12_000, 12_000])
def test_a_constant_offset_changes_little(say: Callable[[], np.ndarray], offset: int) -> None:
    speech = np.concatenate([silence(0.5), say() // 8, silence(0.5)])
    clean = probabilities(SileroVad(), speech)
    shifted = probabilities(SileroVad(), (speech + offset).astype(np.int16))
    assert np.abs(clean - shifted).max() < 0.3


def test_after_a_reset_nothing_of_the_past_is_left() -> None:
    vad = SileroVad()
    samples = np.concatenate([noise(0.3, 500), spoken()])
    first = probabilities(vad, samples)
    vad.reset()
    assert np.array_equal(probabilities(vad, samples), first)


def test_the_model_runs_on_one_thread_and_leaves_the_environment_alone() -> None:
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("threads are counted in /proc, which only Linux has")
    code = """
import os
import numpy as np
from mser_ros.audio.vad import SileroVad
before = len(os.listdir("/proc/self/task"))
vad = SileroVad()
for _ in range(5):
    vad.probability(np.zeros(512, np.int16))
assert len(os.listdir("/proc/self/task")) == before
assert os.environ.get("OMP_THREAD_LIMIT") == os.environ.get("WANTED")
"""
    for wanted in ({}, {"OMP_THREAD_LIMIT": "7", "WANTED": "7"}):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "OPENBLAS_"))}
        subprocess.run([sys.executable, "-c", code], check=True, env={**environment, **wanted})
