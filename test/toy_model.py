"""A model that is published on this machine alone, to be brought by a store."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback import Loopback, loopback

from mser_ros.errors import ModelError
from mser_ros.model_store.catalogue import Model, ModelFile
from mser_ros.model_store.store import NOTICE, ModelStore

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


@contextmanager
def hub() -> Iterator[Loopback]:
    """A server that has the toy, and is asked again without much of a pause."""
    with loopback() as served, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", served.url)
        patch.setattr("mser_ros.model_store.transport._PAUSE_S", 0.001)
        served.files = {
            "/somebody/toy/resolve/0123abc/big.bin": BIG,
            "/somebody/toy/resolve/0123abc/small.json": SMALL,
        }
        yield served


def zipped(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return held.getvalue()
