"""A model that was loaded before is known again, and one of which anything has changed is not."""

from __future__ import annotations

import os
from pathlib import Path

from mser_ros.asr.model_files import state_of


def test_a_model_is_known_again_until_a_file_of_it_changes(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "graph").mkdir(parents=True)
    (model / "words.txt").write_text("one")
    (model / "graph" / "large.fst").write_text("two")
    before = state_of(model)
    assert [name for name, *_ in before] == ["graph/large.fst", "words.txt"]
    assert state_of(model) == before
    time_ns = (model / "words.txt").stat().st_mtime_ns
    (model / "words.txt").write_text("other")
    os.utime(model / "words.txt", ns=(time_ns, time_ns))
    longer = state_of(model)
    assert longer != before
    os.utime(model / "words.txt", ns=(time_ns, time_ns + 1))
    assert state_of(model) not in (before, longer)
    (model / "words.txt").unlink()
    assert state_of(model) == before[:1]


def test_links_to_a_model_are_the_same_model_and_a_copy_in_place_of_one_is_another(tmp_path: Path) -> None:
    model, links = tmp_path / "model", tmp_path / "links"
    model.mkdir()
    links.mkdir()
    for name in ("a", "b"):
        (model / name).write_text(name)
        (links / name).symlink_to(model / name)
    assert state_of(links) == state_of(model)
    (links / "b").unlink()
    (links / "b").write_text("b")
    time_ns = (model / "b").stat().st_mtime_ns
    os.utime(links / "b", ns=(time_ns, time_ns))
    assert state_of(links) != state_of(model)
