"""A fixed part of what `make fuzz` does at random."""

from __future__ import annotations

import fuzz


def test_damaged_files_are_read_or_refused_in_one_sentence() -> None:
    counts, faults = fuzz.run(seed=20, examples=2500)
    assert faults == []
    kinds = {name.split()[0] for name in counts}
    sounds, images = {"wav", "flac", "ogg", "mp3", "aiff"}, {"mp4", "mkv", "jpg", "png"}
    streams = {"ogg_opus", "ogg_vorbis", "ogg_flac"}
    coded = {"coded_loas", "coded_aac", "coded_wav"}
    assert kinds == {*sounds, *coded, *streams, *images, "mcap", "db3", "npz", "bvh", "manifest", "table"}
    assert sum(count for name, count in counts.items() if name.endswith("read")) > 100, "not everything is refused"
    assert sum(count for name, count in counts.items() if name.endswith("refused")) > 100


def test_a_reader_that_fails_is_found(monkeypatch) -> None:
    def failing(path) -> None:
        raise KeyError("no sentence")

    monkeypatch.setattr(fuzz, "read_sound", failing)
    _, faults = fuzz.run(seed=1, examples=10)
    assert any("KeyError" in fault for fault in faults)
