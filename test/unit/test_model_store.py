"""Models are brought whole or not at all, from pip, a hub or a URL, and every file is the published one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loopback import Loopback
from toy_model import BIG, HUB, SMALL, check_whole, hub, published, sentence, store_of, zipped

from mser_ros.cli.main import main
from mser_ros.errors import DependencyError, ModelError
from mser_ros.model_store import assembly, transport
from mser_ros.model_store.assembly import sources_of
from mser_ros.model_store.catalogue import CATALOGUE, LICENCES, Archive, Model, Wheel
from mser_ros.model_store.store import NOTICE, ModelStore, models_dir

ROOT = Path(__file__).parents[2]
# -- by HTTP


@pytest.fixture
def server() -> Iterator[Loopback]:
    with hub() as served:
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


def test_nobody_there_is_one_sentence_with_the_command(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    found = sentence(store_of(tmp_path, HUB))
    assert "Connection refused" in found
    assert "call 'mser models get toy'" in found


def test_an_environment_without_pip_is_told_of_and_another_source_serves(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mser_ros.model_store.transport.find_spec", lambda name: None)
    in_wheels = replace(HUB, wheels=(Wheel("toy", "1.0", 1),))
    cure = "this environment has no pip: call 'python -m ensurepip', or 'uv pip install pip'"
    with pytest.raises(DependencyError, match=f"^{cure}$"):
        store_of(tmp_path, replace(in_wheels, hub=None)).get("toy")
    del server.files["/somebody/toy/resolve/0123abc/small.json"]
    found = sentence(store_of(tmp_path, in_wheels))
    assert cure in found
    assert "answers 404" in found
    server.files["/somebody/toy/resolve/0123abc/small.json"] = SMALL
    store = store_of(tmp_path, in_wheels)
    store.get("toy")
    check_whole(store)


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


# -- an archive at a URL


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


def test_what_was_brought_before_an_interruption_needs_no_space_again(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store_of(tmp_path, HUB)
    partial = made.root / ".toy.partial" / "model"
    partial.mkdir(parents=True)
    (partial / "rest.bin").write_bytes(bytes(2_000_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    made.get("toy")


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


def test_the_progress_of_a_wheel_survives_folders_that_vanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip removes its scratch folders whenever it likes."""
    (tmp_path / "whole.whl").write_bytes(b"12345")

    def vanishing(folder: Path, pattern: str) -> Iterator[Path]:
        yield folder / "whole.whl"
        raise FileNotFoundError(folder / "gone")

    monkeypatch.setattr(Path, "rglob", vanishing)
    assert transport._largest_in(tmp_path) == 5
