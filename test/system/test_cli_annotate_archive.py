"""`mser annotate` of an archive: one table, by several processes."""

from __future__ import annotations

import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from annotations import (
    Annotate,
    annotator,
    conversation,
    finals_of,
    sounds_of,
    write_bag,
    write_sound,
)
from fakes_bundle import write_tiny_bundle
from pages import parse, text_of

from mser_ros.cli import archive
from mser_ros.cli.annotation_choices import Choices
from mser_ros.cli.archive_files import find_recordings, is_recording, left_out
from mser_ros.cli.main import main
from mser_ros.labels import LABELS


def test_links_lead_to_recordings_and_in_circles_to_none(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("archive/deep", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    write_sound(tmp_path / "elsewhere" / "far.wav", speech)
    write_sound(tmp_path / "archive" / "near.wav", speech)
    folder = tmp_path / "archive"
    (folder / "linked").symlink_to("../elsewhere")
    (folder / "deep" / "up").symlink_to("..")
    (folder / "round.wav").symlink_to("round.wav")
    found = find_recordings([folder], without=tmp_path / "out")
    assert [str(path.relative_to(folder)) for path in found] == ["near.wav", "round.wav", "linked/far.wav"]
    assert annotate(folder / "round.wav", out=tmp_path / "out") == 1
    assert "there is no sound file" in capsys.readouterr().err


def test_a_folder_that_may_not_be_read_costs_nothing_but_itself(
    annotate: Annotate,
    tmp_path: Path,
    speech: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = tmp_path / "disk" / "lost+found"
    lost.mkdir(parents=True)
    write_sound(tmp_path / "disk" / "talk.wav", speech)
    scandir, iterdir = os.scandir, Path.iterdir

    def look(into: Callable[[Any], Any], folder: Any) -> Any:  # as root, who runs tests in containers, may read it
        if Path(folder) == lost:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return into(folder)

    monkeypatch.setattr(os, "scandir", lambda folder: look(scandir, folder))
    monkeypatch.setattr(Path, "iterdir", lambda folder: look(iterdir, folder))
    assert annotate(tmp_path / "disk", out=tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "1 recording, 0 of them without a result" in printed.out
    assert f"left out, as it cannot be read (Permission denied): {lost}" in printed.err
    assert annotate(lost, out=tmp_path / "out") == 1
    assert "Permission denied" in capsys.readouterr().err


def test_what_lies_beside_a_bag_is_a_recording_of_its_own(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a folder of a session; what is none is told of."""
    session = tmp_path / "session"
    (session / "sub").mkdir(parents=True)
    write_bag(tmp_path / "bag", speech)
    (tmp_path / "bag" / "bag.mcap").rename(session / "robot.mcap")
    write_sound(session / "talk.wav", speech)
    write_sound(session / "sub" / "other.wav", speech)
    (session / "notes.txt").touch()
    assert annotate(session, out=tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "3 recordings, 0 of them without a result" in printed.out
    assert "left out, as no sound, film or bag is named so: 1 .txt" in printed.err
    assert (tmp_path / "out" / "robot.mcap" / "annotated").is_dir()


def test_a_bag_is_a_folder_where_more_than_one_file_is_of_it(tmp_path: Path) -> None:
    def found(*names: str) -> list[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        recordings = find_recordings([folder], without=tmp_path / "out")
        assert is_recording(folder) is (recordings == [folder])
        return [str(path.relative_to(folder)) for path in recordings]

    assert found("run_0.mcap", "run_1.mcap") == ["."]
    assert found("run_0.mcap", "run_1.mcap", "talk.wav", "sub/a.wav") == [".", "talk.wav", "sub/a.wav"]
    assert found("bag/run.db3", "bag/run.db3-wal", "bag/notes.txt") == ["bag"]
    assert found("run.mcap", "walk.mcap") == ["run.mcap", "walk.mcap"]
    assert found("run.mcap", "sub/a.wav") == ["run.mcap", "sub/a.wav"]
    assert found("bag/metadata.yaml", "talk.wav") == ["talk.wav", "bag"], "whose files are lost"
    assert found("metadata.yaml", "a.wav", "b.wav") == ["a.wav", "b.wav"], "of something else"


def test_a_bag_that_is_named_alone_is_one_recording_and_what_lies_beside_it_is_told(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "archive" / "bag", speech)
    write_sound(bag / "talk.wav", speech)
    assert annotate(bag, out=tmp_path / "out") == 0
    assert f"left out, as {bag} is a bag: talk.wav (name such files as well)" in capsys.readouterr().err
    assert len(finals_of(tmp_path / "out")) == 1
    found = find_recordings([tmp_path / "archive"], without=tmp_path / "out")
    assert found == [bag, bag / "talk.wav"]
    assert left_out([tmp_path / "archive"], found, without=tmp_path / "out") == ({}, [])


def test_what_was_thrown_away_and_what_was_found_before_is_no_recording(
    tiny_bundle: Path, tmp_path: Path, speech: np.ndarray
) -> None:
    archive = tmp_path / "archive"
    trash = archive / ".Trash-1000" / "files"
    trash.mkdir(parents=True)
    write_sound(trash / "deleted.wav", speech)
    write_sound(archive / "talk.wav", speech)
    write_bag(archive / "bag", speech)

    def rows(out: Path) -> list[str]:
        call = ["annotate", str(archive), "-o", str(out), "--bundle", str(tiny_bundle), "--asr", "none"]
        assert main([*call, "--no-provisional"]) == 0
        with (out / "results.csv").open(encoding="utf-8-sig", newline="") as stream:
            return [str(Path(row["recording"]).relative_to(archive)) for row in csv.DictReader(stream)]

    assert rows(archive / "first") == rows(archive / "second") == ["bag", "talk.wav"]
    clip = archive / "first" / "talk.wav" / "sound" / "0123456789abcdef.ogg"
    clip.parent.mkdir()
    write_sound(clip, speech)
    write_sound(clip.with_name("mine.ogg"), speech)
    found = find_recordings([archive], without=archive / "second")
    assert [str(path.relative_to(archive)) for path in found] == ["talk.wav", "bag", "first/talk.wav/sound/mine.ogg"]
    assert left_out([archive], found, without=archive / "second") == ({}, [])


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (["annotate", "archive", "-o", "archive"], "the results would lie among the recordings of archive"),
        (
            ["annotate", "archive/a.wav", "archive/b.wav", "-o", "archive"],
            "the results of archive/a.wav would lie in the folder archive/a.wav, but archive/a.wav is a recording",
        ),
        (
            ["annotate", "archive", "-o", "out"],
            "the results of archive/a.wav would lie in the folder out/a.wav, but out/a.wav is a file",
        ),
    ],
)
def test_results_never_lie_where_something_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: list[str], why: str
) -> None:
    """And that is told before a model is loaded."""
    monkeypatch.chdir(tmp_path)
    for name in ("archive/a.wav", "archive/b.wav", "out/a.wav"):
        path = Path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    assert main([*call, "--bundle", "nowhere"]) == 1
    assert capsys.readouterr() == ("", f"mser: {why}: name another folder with -o\n")
    assert all(path.read_bytes() == b"mine" for path in tmp_path.rglob("*.wav"))


def test_a_recording_that_is_named_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("archive").mkdir()
    Path("archive/a.wav").touch()
    sources = [Path("archive/a.wav"), tmp_path / "archive" / "a.wav", Path("archive")]
    assert find_recordings(sources, without=tmp_path / "out") == [Path("archive/a.wav")]


def test_what_macos_puts_beside_files_is_no_recording(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    double = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(4070)
    folder = tmp_path / "stick"
    folder.mkdir()
    write_sound(folder / "talk.wav", speech)
    bag = write_bag(folder / "bag", speech)
    for beside in ("._talk.wav", "bag/._bag_0.mcap", ".DS_Store"):
        (folder / beside).write_bytes(double)
    (bag / "metadata.yaml").unlink()
    assert annotate(folder, out=tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "2 recordings, 0 of them without a result" in printed.out
    assert "left out" not in printed.err
    assert annotate(folder / "._talk.wav", out=tmp_path / "one") == 1
    assert "is what macOS keeps beside a file, and no sound: name the file itself" in capsys.readouterr().err


def test_a_name_that_is_not_utf8_is_a_row_of_the_archive(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray
) -> None:
    (tmp_path / "archive").mkdir()
    good = write_sound(tmp_path / "archive" / "good.wav", speech)
    try:
        (tmp_path / "archive" / "\udcff.wav").write_bytes(good.read_bytes())
    except OSError:
        pytest.skip("this file system takes no such names")
    for _ in range(2):  # the second call reads the table of the first
        assert annotate(tmp_path / "archive", "--html", out=tmp_path / "out") == 0
        with (tmp_path / "out" / "results.csv").open(
            encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as table:
            reasons = {Path(row["recording"]).name: row["reason"] for row in csv.DictReader(table)}
        assert reasons["good.wav"] == ""
        assert "rename it" in reasons["\udcff.wav"]
        told = [text_of(row) for row in parse(tmp_path / "out" / "index.html").iter("tr")]
        assert sum("rename it" in row for row in told) == 1


def test_an_archive_becomes_one_table_in_which_broken_recordings_have_their_reason(
    tiny_bundle: Path, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "archive"
    (archive / "deep").mkdir(parents=True)
    soundfile.write(archive / "one.wav", speech, 16000)
    soundfile.write(archive / "deep" / "two.flac", conversation(speech, 2), 16000)
    (archive / "broken.wav").write_bytes(b"RIFF is not enough")
    (archive / "notes.txt").write_text("no recording")
    write_bag(archive / "bag", speech)
    command = ["annotate", str(archive), "-o", str(archive / "out"), "--bundle", str(tiny_bundle), "--asr", "none"]
    assert main([*command, "--html", "--workers", "2"]) == 0
    printed = capsys.readouterr()
    assert "4 recordings, 1 of them without a result, 4 utterances" in printed.out
    assert "left out, as no sound, film or bag is named so: 1 .txt" in printed.err

    def rows() -> dict[str, dict[str, str]]:
        with (archive / "out" / "results.csv").open(encoding="utf-8-sig", newline="") as stream:
            return {str(Path(row["recording"]).relative_to(archive)): row for row in csv.DictReader(stream)}

    first = rows()
    assert sorted(first) == ["bag", "broken.wav", "deep/two.flac", "one.wav"]
    assert "is text and no sound" in first["broken.wav"]["reason"]
    assert first["deep/two.flac"]["utterances"] == "2"
    assert sum(int(first["deep/two.flac"][label]) for label in (*LABELS, "unknown")) == 2
    assert len(finals_of(archive / "out" / "deep" / "two.flac")) == 2
    assert (archive / "out" / "bag" / "annotated" / "metadata.yaml").is_file()
    links = [link.get("href") or "" for link in parse(archive / "out" / "index.html").iter("a")][1:]
    assert links == [f"{name}/report.html" for name in ("bag", "deep/two.flac", "one.wav")]
    assert all(len(sounds_of(archive / "out" / link)) >= 1 for link in links)

    # What is done is not done again; what has changed is.
    soundfile.write(archive / "one.wav", conversation(speech, 3), 16000)
    assert main([*command, "--html", "--resume"]) == 0
    again = rows()
    assert again["one.wav"]["utterances"] == "3"
    assert again["deep/two.flac"] == first["deep/two.flac"], "to the second that it took"


def test_an_archive_is_done_again_with_a_bundle_that_was_exported_again(
    tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "archive").mkdir()
    write_sound(tmp_path / "archive" / "talk.wav", speech)
    found = []
    for least_s in (0.0, 60.0):
        annotate = annotator(write_tiny_bundle(tmp_path / "bundle", speech={"min_s": least_s}), monkeypatch)
        assert annotate(tmp_path / "archive", "--resume", out=tmp_path / "out") == 0
        found.append(finals_of(tmp_path / "out" / "talk.wav")[0]["evidence"][0]["available"])
    assert found == [True, False]


def test_an_archive_without_a_recording_is_one_sentence(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["annotate", str(tmp_path / "empty"), "-o", str(tmp_path / "out"), "--bundle", str(tiny_bundle)]) == 1
    assert "there is no recording in" in capsys.readouterr().err


def test_a_process_that_dies_costs_its_recording_alone(tiny_bundle: Path, tmp_path: Path, speech: np.ndarray) -> None:
    for name in ("a", "b", "c"):
        soundfile.write(tmp_path / f"{name}.wav", speech, 16000)
    paths = [tmp_path / f"{name}.wav" for name in ("a", "b", "c")]
    places = {str(path): tmp_path / "out" / path.name for path in paths}
    choices = Choices(bundle=str(tiny_bundle), backend="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive, "_annotate", die_of_b)
        found = {Path(row.recording).name: row for row in archive._share(paths, places, choices, 2)}
    assert {name: row.reason for name, row in found.items()} == {
        "a.wav": "",
        "b.wav": "its process died: is there enough memory?",
        "c.wav": "",
    }


def die_of_b(path: Path, out: Path) -> archive.Row:
    if path.name == "b.wav":
        os._exit(9)
    return archive.Row(str(path))
