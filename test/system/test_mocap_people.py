"""Bodies of people who were recorded pass the stream of skeletons as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skeleton_runs import Run, frames_of

from mser_ros.mocap.readers import read_motion


def passed_as_they_are(motion: np.ndarray, layout: str) -> list[str]:
    """What was said of it."""
    run = Run().give(frames_of(motion, layout))
    assert run.found == {}
    np.testing.assert_array_equal(np.stack([made.positions for made in run.made]), motion.astype(np.float32))
    return run.notes


def test_people_who_walk_pass_as_they_are_and_those_whose_depth_is_reversed_are_told(data_dir: Path) -> None:
    walks = np.load(data_dir / "egait" / "egait_intended.npz")["joints"]
    notes = [note for walk in walks for note in passed_as_they_are(walk, "egait16")]
    assert len(notes) == 24
    assert all("bend backward" in note for note in notes)


def test_people_who_box_dance_and_kick_pass_as_they_are(data_dir: Path) -> None:
    for path in sorted((data_dir / "bandai_namco").glob("*.bvh.gz")):
        passed_as_they_are(read_motion(path).positions, "bandai21")
