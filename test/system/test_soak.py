"""A short part of what `make soak` does."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import soak


def test_nothing_grows_while_people_come_and_go(tiny_bundle: Path) -> None:
    command = [sys.executable, soak.__file__, "--minutes", "11", "--warm-up", "4", "--bundle", str(tiny_bundle)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    *minutes, last = done.stdout.splitlines()
    assert len(minutes) == 10
    assert int(minutes[-1].split(" utterances")[0].split()[-1]) >= 30, "people were heard"
    assert last.startswith("growth after the warm-up: ")


def test_what_grows_is_found_and_what_is_given_back_is_not() -> None:
    flat = [soak.Held(float(minute), 200_000_000, 3, 9, minute) for minute in range(20)]
    assert soak.growth(flat, 4) == {"memory": 0, "threads": 0, "files": 0}
    spike = [replace(item, memory=item.memory + (50_000_000 if item.minute == 15 else 0)) for item in flat]
    assert soak.growth(spike, 4)["memory"] == 0
    leak = [replace(item, memory=item.memory + 500_000 * round(item.minute), files=round(item.minute)) for item in flat]
    found = soak.growth(leak, 4)
    assert found["memory"] > soak.MOST_GROWTH
    assert found["files"] > 0
