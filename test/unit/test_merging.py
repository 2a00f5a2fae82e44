"""Weights that are made of a published model and a small difference: the same bytes on every machine, or none."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mser_ros.errors import ModelError
from mser_ros.model_store.catalogue import Merge, Model, ModelFile
from mser_ros.model_store.merging import PAGE, SHARED, Part, merge, quantise, write_recipe, write_weights
from mser_ros.model_store.store import ModelStore

PARTS = (Part("layer.weight", "matrix", 0), Part("wide.weight", "blocks", PAGE), Part("table", "table", 2 * PAGE))


def silent(what: str, done: int, total: int) -> None:
    pass


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


BASE = {"layer.weight": draw(5, 8), "wide.weight": draw(3, 2 * SHARED), "table": draw(11, 6), "bias": draw(4)}
DOWN, UP = draw(2, 8, seed=1).astype(np.float16), draw(5, 2, seed=2).astype(np.float16)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A base and a recipe for it."""
    base, recipe = tmp_path / "model.safetensors", tmp_path / "text.recipe"
    save_file(BASE, base)
    write_recipe(recipe, {"layer.weight.down": DOWN, "layer.weight.up": UP}, PARTS)
    return base, recipe


def test_what_is_made_is_the_sum_in_bytes(files: tuple[Path, Path], tmp_path: Path) -> None:
    target = tmp_path / "text.weights"
    write_weights(*files, target, silent)
    content = target.read_bytes()
    matrix = np.frombuffer(content, np.int8, 40).reshape(8, 5).T
    wanted = BASE["layer.weight"] + UP.astype(np.float32) @ DOWN.astype(np.float32)
    _, scale = quantise(merge(BASE["layer.weight"], DOWN, UP), "matrix")
    np.testing.assert_allclose(matrix * scale[:, None], wanted, atol=scale.max() * 0.51)
    assert np.abs(matrix.astype(int)).max() == 64, "seven bits"
    blocks = np.frombuffer(content, np.uint8, 6 * SHARED, PAGE).reshape(3, 2, SHARED)
    _, scale = quantise(BASE["wide.weight"], "blocks")
    unpacked = (blocks.astype(np.float32) - 128) * scale[..., None]
    np.testing.assert_allclose(unpacked.reshape(3, -1), BASE["wide.weight"], atol=scale.max() * 0.51)
    table = np.frombuffer(content, np.int8, 66, 2 * PAGE).reshape(11, 6)
    _, scale = quantise(BASE["table"], "table")
    np.testing.assert_allclose(table * scale[:, None], BASE["table"], atol=scale.max() * 0.51)


def test_the_sum_goes_in_one_order() -> None:
    """A library of linear algebra adds in an order of its own, and rounds otherwise."""
    base, down, up = draw(30, 50), draw(8, 50, seed=1).astype(np.float16), draw(30, 8, seed=2).astype(np.float16)
    wanted = base.copy()
    for rank in range(8):
        for row in range(30):
            wanted[row] += np.float32(up[row, rank]) * down[rank].astype(np.float32)
    np.testing.assert_array_equal(merge(base, down, up), wanted)


def test_zeros_have_a_scale() -> None:
    for kind in ("matrix", "table", "blocks"):
        whole, scale = quantise(np.zeros((2, SHARED), np.float32), kind)
        assert np.isfinite(scale).all()
        assert set(np.unique(whole)) == {128 if kind == "blocks" else 0}


@pytest.mark.parametrize("broken", ["base", "recipe", "other"])
def test_files_that_do_not_belong_together_are_one_sentence(
    files: tuple[Path, Path], tmp_path: Path, broken: str
) -> None:
    base, recipe = files
    if broken == "other":
        save_file({"bias": BASE["bias"]}, base)
    else:
        (base if broken == "base" else recipe).write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="do not belong together"):
        write_weights(base, recipe, tmp_path / "text.weights", silent)


# -- in the store


def store_with(files: tuple[Path, Path], folder: Path, *, sha256: str = "") -> ModelStore:
    """A store that has the base and knows what can be made of it."""
    base, recipe = files
    file = ModelFile(base.name, base.stat().st_size, hashlib.sha256(base.read_bytes()).hexdigest())
    published = Model("base", "A base", "MIT", "(c) nobody", "https://example.org", (file,), hub=("somebody/base", "0"))
    made = folder / "made"
    write_weights(base, recipe, made, silent)
    digest = sha256 or hashlib.sha256(made.read_bytes()).hexdigest()
    weights = (ModelFile("text.weights", made.stat().st_size, digest),)
    merged = replace(published, name="words", files=weights, hub=None, merge=Merge("base", recipe))
    store = ModelStore(folder / "models", catalogue={"base": published, "words": merged})
    (store.root / "base").mkdir(parents=True)
    (store.root / "base" / base.name).write_bytes(base.read_bytes())
    return store


def test_the_store_makes_it_once_for_each_version(files: tuple[Path, Path], tmp_path: Path) -> None:
    store = store_with(files, tmp_path)
    assert store.find("words") is None
    folder = store.get("words")
    assert folder == store.find("words") == store.folder("words")
    assert folder.name.startswith("words-"), "another version of the package makes other weights"
    assert store.verify("words") == []
    assert (folder / "LICENCE.txt").is_file()
    stamp = (folder / "text.weights").stat().st_mtime_ns
    store.get("words")
    assert (folder / "text.weights").stat().st_mtime_ns == stamp


def test_weights_that_came_out_otherwise_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    store = store_with(files, tmp_path, sha256="0" * 64)
    with pytest.raises(ModelError, match=r"is not the published file.*verify base"):
        store.get("words")
    assert store.find("words") is None
    assert not store.folder("words").exists()


def test_a_base_that_cannot_be_had_is_said(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(files, tmp_path)
    (store.root / "base" / "model.safetensors").unlink()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("mser_ros.model_store.transport.time.sleep", lambda seconds: None)
    with pytest.raises(ModelError, match="base cannot be had"):
        store.get("words")
