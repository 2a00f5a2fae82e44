"""A bundle is replaced as a whole: an export that is killed at any step leaves the old one or the new one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes_bundle import write_tiny_bundle

from mser_ros.errors import SettingsError
from mser_ros.recognition.bundle import load_bundle, write_manifest
from mser_ros.training.export.target import check_target, replacing

#: Exports NEW over a copy of OLD again and again, each time killed one step later: before it opens, makes, renames or
#: removes its next file or folder. Then an export that fails, then one that works. A line of JSON for each.
KILLED = """
import itertools, json, os, shutil, signal, sys
from pathlib import Path
from mser_ros.errors import BundleError
from mser_ros.recognition.bundle import load_bundle
from mser_ros.training.export.target import replacing

old, new, place = map(Path, sys.argv[1:])
out = place / "bundle"
steps = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}

def write(folder):
    for item in sorted(new.iterdir()):
        shutil.copyfile(item, folder / item.name)

def found():
    try:
        return load_bundle(out).name
    except BundleError as error:
        return str(error)

for count in itertools.count():
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(old, out)
    (out / "mine").mkdir()
    (out / "mine" / "notes.txt").write_text("dear")
    if (process := os.fork()) == 0:
        left = [count]
        def kill(event, _arguments):
            if event in steps:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(kill)
        with replacing(out) as folder:
            write(folder)
        os._exit(0)
    _, status = os.waitpid(process, 0)
    told = {"killed": os.WIFSIGNALED(status), "killed_leaves": found(), "missing": not out.exists()}
    try:
        with replacing(out):
            raise InterruptedError
    except InterruptedError:
        told["failed_leaves"] = found()
    with replacing(out) as folder:
        write(folder)
    told["leaves"] = found()
    told["kept"] = (out / "mine" / "notes.txt").read_text()
    told["files"] = sorted(str(path.relative_to(place)) for path in place.rglob("*"))
    print(json.dumps(told), flush=True)
    if not told["killed"]:
        break
"""


def bundle(folder: Path, name: str) -> Path:
    """A real bundle of this name, and of files that bundles of other names have not."""
    write_tiny_bundle(folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / f"LICENSE-{name}.txt").write_text(name)
    del manifest["format"], manifest["files"]
    write_manifest(folder, {**manifest, "name": name})
    return folder


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of them left."""
    root = tmp_path_factory.mktemp("killed")
    old, new = (str(bundle(root / name, name)) for name in ("old", "new"))
    command = [sys.executable, "-c", KILLED, old, new, str(root / "place")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_wherever_an_export_is_killed_the_old_bundle_or_the_new_one_is_whole(exports: list[dict[str, Any]]) -> None:
    assert len(exports) > 15
    assert not exports[-1]["killed"]
    there = [one["killed_leaves"] for one in exports if not one["missing"]]
    assert there[0] == "old"
    assert there[-1] == "new"
    assert set(there) == {"old", "new"}
    assert sum(one["missing"] for one in exports) <= 1, "the instant between two renames"


def test_after_a_kill_the_next_export_finds_a_whole_bundle_even_if_it_fails(exports: list[dict[str, Any]]) -> None:
    assert {one["failed_leaves"] for one in exports} == {"old", "new"}


def test_the_next_export_leaves_nothing_else_behind_and_takes_nothing_away(exports: list[dict[str, Any]]) -> None:
    assert {one["leaves"] for one in exports} == {"new"}
    assert {one["kept"] for one in exports} == {"dear"}
    files = {tuple(one["files"]) for one in exports}
    assert len(files) == 1
    assert not [file for file in files.pop() if file.startswith(".") or "LICENSE-old" in file]


def test_an_export_that_fails_leaves_the_old_bundle_and_nothing_beside_it(tmp_path: Path) -> None:
    out = bundle(tmp_path / "bundle", "old")

    def fail() -> None:
        with replacing(out) as folder:
            (folder / "half.onnx").write_text("half")
            raise ValueError("no more space")

    with pytest.raises(ValueError, match="no more space"):
        fail()
    assert load_bundle(out).name == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_where_the_second_rename_fails_the_old_bundle_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = bundle(tmp_path / "bundle", "old")
    rename, calls = os.rename, []

    def second_fails(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr("mser_ros.training.export.target.os.rename", second_fails)

    def replace() -> None:
        with replacing(out):
            pass

    with pytest.raises(KeyboardInterrupt):
        replace()
    assert load_bundle(out).name == "old"


def test_a_first_bundle_is_made_with_the_folders_above_it(tmp_path: Path) -> None:
    out = tmp_path / "models" / "mine"
    with replacing(out) as folder:
        bundle(folder, "first")
        assert not out.exists()
    assert load_bundle(out).name == "first"


def test_where_the_folder_is_a_link_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    bundle(tmp_path / "v3", "old")
    link = tmp_path / "current"
    link.symlink_to("v3")
    with replacing(link) as folder:
        bundle(folder, "new")
    assert link.is_symlink()
    assert load_bundle(tmp_path / "v3").name == load_bundle(link).name == "new"


def test_the_current_folder_is_not_pulled_from_under_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = bundle(tmp_path / "bundle", "old")
    monkeypatch.chdir(out)
    with pytest.raises(
        SettingsError, match="the current folder, and cannot be replaced as a whole: name a folder in it"
    ):
        check_target(Path())
