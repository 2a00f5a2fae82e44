"""A bundle is loaded as it was exported, or refused with one sentence that names the cure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes_bundle import write_tiny_bundle
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.cli.main import main
from mser_ros.errors import BundleError, MserError
from mser_ros.labels import LABELS
from mser_ros.recognition.bundle import MANIFEST, load_bundle, write_manifest
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.resources import default_bundle_dir


@pytest.fixture
def folder(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A bundle of this test's own, to be damaged."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def read(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text())


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and nothing else."""
    manifest = read(folder)
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def sentence_of(folder: Path) -> str:
    """The one sentence with which a bundle is refused."""
    with pytest.raises(BundleError) as caught:
        EmotionRecognizer(load_bundle(folder))
    text = str(caught.value)
    assert "\n" not in text
    assert ": " in text, "a cure follows the colon"
    return text


def test_a_bundle_is_loaded_as_it_was_written(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.model_id == "tiny-1"
    assert bundle.labels == LABELS
    assert list(bundle.modalities) == ["speech", "text", "mocap"]
    assert bundle.modalities["text"].languages == ("en",)
    assert bundle.modalities["mocap"].window_s == 4.0
    assert bundle.fusion.prior == (0.25,) * 4
    assert bundle.size_bytes == sum(item.stat().st_size for item in folder.iterdir() if item.name != MANIFEST)
    assert bundle.file("text.onnx").is_file()


def test_entries_of_a_later_version_of_the_same_format_are_left_alone(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["modalities"]["speech"].update(invented_later=[1, 2]))
    assert load_bundle(folder).manifest["modalities"]["speech"]["invented_later"] == [1, 2]


def test_whole_numbers_serve_where_a_manifest_wants_numbers(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["modalities"]["speech"].update(temperature=2, weight=1))
    assert load_bundle(folder).modalities["speech"].temperature == 2.0


def test_a_path_with_a_tilde_is_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_bundle("~/bundle").path == folder


def test_no_path_means_the_default_bundle(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr("mser_ros.recognition.bundle.default_bundle_dir", lambda: folder)
    assert load_bundle().path == folder


def test_the_default_bundle_that_ships_is_whole_and_runs() -> None:
    if not (default_bundle_dir() / MANIFEST).is_file():
        pytest.skip("models/default is missing: call 'make bundle'")
    bundle = load_bundle()
    EmotionRecognizer(bundle)
    assert bundle.labels == LABELS
    assert set(bundle.modalities) == {"speech", "text", "mocap"}
    assert "MODEL_CARD.md" in bundle.manifest["files"]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "there is no bundle folder" in sentence_of(tmp_path / "nowhere")


def test_a_file_is_no_bundle(folder: Path) -> None:
    assert "there is no bundle folder" in sentence_of(folder / "speech.onnx")


def test_a_folder_without_a_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert "has no manifest.json" in sentence_of(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"null", b"[]", b'"text"', b"3", b"{}"]
)
def test_a_manifest_that_is_garbage_is_refused(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert "bundle" in sentence_of(folder)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_is_refused_and_named(folder: Path, version: object) -> None:
    edit(folder, lambda manifest: manifest.update(format=version))
    assert f"has format {version!r}, this version reads 1" in sentence_of(folder)


def test_a_missing_file_is_refused_and_named(folder: Path) -> None:
    (folder / "text.onnx").unlink()
    assert "lacks text.onnx" in sentence_of(folder)


def test_a_truncated_file_is_refused_and_named(folder: Path) -> None:
    content = (folder / "mocap.onnx").read_bytes()
    (folder / "mocap.onnx").write_bytes(content[:-1])
    assert "mocap.onnx of bundle" in sentence_of(folder)
    assert "is truncated or of another version" in sentence_of(folder)


def test_a_file_with_one_changed_bit_is_refused_and_named(folder: Path) -> None:
    content = bytearray((folder / "tokenizer.json").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "tokenizer.json").write_bytes(bytes(content))
    assert "tokenizer.json of bundle" in sentence_of(folder)
    assert "was changed after export" in sentence_of(folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/speech.onnx", "./speech.onnx", "."])
def test_a_file_outside_of_the_folder_is_never_looked_at(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_bytes(b"")
    edit(folder, lambda manifest: manifest["files"].update({name: manifest["files"]["speech.onnx"]}))
    assert "names a file outside of it" in sentence_of(folder)


@pytest.mark.parametrize("name", ["..", ""])
def test_a_folder_is_no_file_of_a_bundle(folder: Path, name: str) -> None:
    edit(folder, lambda manifest: manifest["files"].update({name: manifest["files"]["speech.onnx"]}))
    assert "lacks" in sentence_of(folder)


def test_a_graph_that_the_manifest_does_not_list_is_refused(folder: Path) -> None:
    edit(folder, lambda manifest: manifest["modalities"]["speech"].update(graph="../speech.onnx"))
    assert "graph or tokenizer of 'speech' is not among its files" in sentence_of(folder)


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no files": (lambda m: m.update(files={}), "lists no files"),
    "files no map": (lambda m: m.update(files=[1]), "lists no files"),
    "file no map": (lambda m: m["files"].update({"speech.onnx": 3}), "do not use it"),
    "no labels": (lambda m: m.pop("labels"), "labels"),
    "one label": (lambda m: m.update(labels=["angry"]), "two different labels"),
    "labels twice": (lambda m: m.update(labels=["a", "b", "b", "c"]), "two different labels"),
    "labels a text": (lambda m: m.update(labels="abcd"), "labels"),
    "labels numbers": (lambda m: m.update(labels=[1, 2, 3, 4]), "not valid"),
    "no modality": (lambda m: m.update(modalities={}), "names no modality"),
    "modalities a list": (lambda m: m.update(modalities=["speech"]), "not valid"),
    "modality no map": (lambda m: m["modalities"].update(speech="speech.onnx"), "not valid"),
    "unknown modality": (lambda m: m["modalities"].update(smell=m["modalities"]["speech"]), "'smell'"),
    "unknown representation": (lambda m: m["modalities"]["mocap"].update(representation="quaternions"), "quaternions"),
    "representation of another": (lambda m: m["modalities"]["speech"].update(representation="tokens"), "'speech'"),
    "no graph": (lambda m: m["modalities"]["speech"].pop("graph"), "graph"),
    "no tokenizer": (lambda m: m["modalities"]["text"].pop("tokenizer"), "tokenizer of 'text'"),
    "temperature 0": (lambda m: m["modalities"]["speech"].update(temperature=0), "number of 'speech'"),
    "temperature NaN": (lambda m: m["modalities"]["speech"].update(temperature=float("nan")), "number of 'speech'"),
    "temperature a text": (lambda m: m["modalities"]["speech"].update(temperature="hot"), "temperature"),
    "weight negative": (lambda m: m["modalities"]["text"].update(weight=-1), "number of 'text'"),
    "window endless": (lambda m: m["modalities"]["mocap"].update(window_s=float("inf")), "number of 'mocap'"),
    "rate a flag": (lambda m: m["modalities"]["speech"].update(sample_rate=True), "sample_rate"),
    "no fusion": (lambda m: m.pop("fusion"), "fusion"),
    "unknown fusion": (lambda m: m["fusion"].update(kind="magic"), "fusion 'magic'"),
    "fusion temperature 0": (lambda m: m["fusion"].update(temperature=0.0), "temperature"),
    "prior of another length": (lambda m: m["fusion"].update(prior=[0.5, 0.5]), "prior"),
    "prior of 0": (lambda m: m["fusion"].update(prior=[0, 0.5, 0.3, 0.2]), "prior"),
    "prior of NaN": (lambda m: m["fusion"].update(prior=[float("nan"), 0.5, 0.3, 0.2]), "prior"),
    "prior of texts": (lambda m: m["fusion"].update(prior=["a", "b", "c", "d"]), "not valid"),
    "fusion graph not listed": (
        lambda m: m.update(fusion={"kind": "graph", "graph": "fusion.onnx", "modalities": ["speech", "text", "mocap"]}),
        "fusion's graph",
    ),
    "fusion of other modalities": (
        lambda m: m.update(fusion={"kind": "graph", "graph": "speech.onnx", "modalities": ["speech", "smell"]}),
        "its modalities are not the bundle's",
    ),
    "fusion of fewer modalities": (
        lambda m: m.update(fusion={"kind": "graph", "graph": "speech.onnx", "modalities": ["speech"]}),
        "its modalities are not the bundle's",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_manifest_whose_parts_do_not_fit_is_refused(folder: Path, damage: str) -> None:
    change, why = DAMAGE[damage]
    edit(folder, change)
    assert why in sentence_of(folder)


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_command_line_refuses_it_in_one_line(folder: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    edit(folder, DAMAGE[damage][0])
    assert main(["bundle", "verify", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mser: ")
    assert err.count("\n") == 1


@st.composite
def damaged(draw: st.DrawFn) -> Callable[[dict[str, Any]], None]:
    """One value somewhere in a manifest, replaced by anything that JSON can say, or taken out."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=4,
    )
    value, steps, remove = draw(anything), draw(st.lists(st.integers(0, 30), max_size=4)), draw(st.booleans())

    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for step in steps[:-1]:
            inner = [item for item in place.values() if isinstance(item, dict)]
            place = inner[step % len(inner)] if inner else place
        key = sorted(place)[(steps or [0])[-1] % len(place)]
        if remove:
            del place[key]
        else:
            place[key] = value

    return change


@given(damaged())
def test_whatever_a_manifest_says_it_is_loaded_or_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, change: Callable[[dict[str, Any]], None]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed_bundle"
    if not folder.is_dir():
        write_tiny_bundle(folder)
    original = (folder / MANIFEST).read_text()
    refused = "a sentence"
    try:
        edit(folder, change)
        EmotionRecognizer(load_bundle(folder))
    except MserError as error:
        refused = str(error)
    finally:
        (folder / MANIFEST).write_text(original)
    assert "\n" not in refused


def rewrite(folder: Path) -> None:
    """List the files as they are now."""
    write_manifest(folder, {key: value for key, value in read(folder).items() if key not in ("format", "files")})


def test_a_graph_that_is_no_graph_is_refused(folder: Path) -> None:
    (folder / "speech.onnx").write_bytes(b"not a graph at all")
    rewrite(folder)
    assert "speech.onnx cannot be loaded: export the bundle again" in sentence_of(folder)


def test_a_graph_with_the_inputs_of_another_is_refused(folder: Path) -> None:
    shutil.copy(folder / "text.onnx", folder / "speech.onnx")
    rewrite(folder)
    assert "speech.onnx does not run: export the bundle again" in sentence_of(folder)


def test_a_graph_of_other_classes_than_the_labels_is_refused(folder: Path) -> None:
    edit(folder, lambda manifest: manifest.update(labels=["a", "b", "c"]))
    edit(folder, lambda manifest: manifest["fusion"].update(prior=[1, 1, 1]))
    assert "gives logits of shape (1, 4) for 3 labels" in sentence_of(folder)


def test_a_tokenizer_that_is_none_is_refused(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    rewrite(folder)
    assert "the tokenizer of bundle" in sentence_of(folder)


def test_the_command_line_shows_and_verifies_a_bundle(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "verify", str(folder)]) == 0
    assert "tiny-1: 4 files as exported, every graph runs" in capsys.readouterr().out
    assert main(["bundle", "show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "tiny-1" in shown
    assert all(name in shown for name in ("speech", "text", "mocap", "angry", "log_linear"))
    assert main(["bundle", "show", "--json", str(folder)]) == 0
    assert json.loads(capsys.readouterr().out) == read(folder)


def test_a_dot_means_the_bundle_in_this_folder_not_the_default_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["bundle", "verify", "."]) == 0
    assert "tiny-1" in capsys.readouterr().out


def test_without_a_folder_the_command_line_takes_the_default_bundle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mser_ros.recognition.bundle.default_bundle_dir", lambda: folder)
    assert main(["bundle", "verify"]) == 0
    assert "tiny-1" in capsys.readouterr().out


def test_a_user_without_a_home_folder_has_the_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service of the system may run."""

    def homeless() -> Path:
        raise RuntimeError("no home")

    for variable in ("MSER_MODELS", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    bundle = load_bundle()
    assert bundle.lacks == "default-text"
    assert bundle.modalities["text"].model == "minilm"
