"""Where a recording can be gone on with: from where nobody spoke, whatever came after it."""

from __future__ import annotations

import json
from pathlib import Path

from mser_ros.cli.annotation_progress import PART, PROGRESS, Progress
from mser_ros.types import to_ns

OF = {"recording": "talk.wav"}


def write_lines(folder: Path, count: int) -> None:
    text = "".join(json.dumps({"line": number}) + "\n" for number in range(count))
    (folder / PART).write_text(text, encoding="utf-8")


def note(progress: Progress, times: list[int]) -> None:
    progress.note(times, dropped={"empty": 1}, learned={}, clips={})


def test_what_came_after_the_last_quiet_place_is_done_anew(tmp_path: Path) -> None:
    progress = Progress(tmp_path, OF)
    progress.follow(to_ns(10.0), is_quiet=True, lines=3, utterances=1)
    progress.follow(to_ns(11.0), is_quiet=False, lines=4, utterances=2)
    progress.follow(to_ns(12.0), is_quiet=False, lines=5, utterances=2)
    write_lines(tmp_path, 5)
    times = [to_ns(at_s) for at_s in (8.0, 9.0, 10.0, 11.0, 12.0)]
    note(progress, times)

    noted = Progress(tmp_path, OF).recall()
    assert (noted.done_ns, noted.times, noted.utterances) == (to_ns(10.0), times[:3], 1)
    assert noted.records == [{"line": 0}, {"line": 1}, {"line": 2}]
    assert noted.dropped == {"empty": 1}
    assert len((tmp_path / PART).read_text().splitlines()) == 3


def test_while_it_stays_quiet_the_place_follows_behind_what_may_still_begin(tmp_path: Path) -> None:
    progress = Progress(tmp_path, OF)
    for now_s, done_s in ((10.0, 10.0), (11.0, 10.0), (12.5, 10.5), (30.0, 28.0)):
        progress.follow(to_ns(now_s), is_quiet=True, lines=3, utterances=1)
        assert progress.done_ns == to_ns(done_s)


def test_what_was_told_of_bodies_in_a_silence_is_not_lost(tmp_path: Path) -> None:
    progress = Progress(tmp_path, OF)
    times = []
    for now_s in range(60):
        times.append(to_ns(now_s))
        progress.follow(to_ns(now_s), is_quiet=True, lines=len(times), utterances=0)
    write_lines(tmp_path, len(times))
    note(progress, times)
    noted = Progress(tmp_path, OF).recall()
    assert noted.done_ns == to_ns(57.0)
    assert noted.times == times[:58]
    progress.follow(to_ns(61.0), is_quiet=False, lines=60, utterances=1)
    note(progress, times)
    assert Progress(tmp_path, OF).recall().times == times[:58], "as before: somebody speaks now"


def test_nothing_is_noted_before_the_first_quiet_place(tmp_path: Path) -> None:
    progress = Progress(tmp_path, OF)
    progress.follow(to_ns(1.0), is_quiet=False, lines=0, utterances=0)
    note(progress, [])
    assert not (tmp_path / PROGRESS).exists()


def test_a_note_of_another_recording_or_of_lines_that_are_lost_is_none(tmp_path: Path) -> None:
    progress = Progress(tmp_path, OF)
    progress.follow(to_ns(10.0), is_quiet=True, lines=2, utterances=1)
    write_lines(tmp_path, 2)
    note(progress, [1, 2])
    assert Progress(tmp_path, {"recording": "other.wav"}).recall().done_ns == 0
    assert Progress(tmp_path, OF).recall().done_ns == to_ns(10.0)
    (tmp_path / PART).write_text('{"line": 0}\n{"li', encoding="utf-8")
    assert Progress(tmp_path, OF).recall().done_ns == 0
