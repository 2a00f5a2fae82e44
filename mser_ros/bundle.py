"""A bundle: the folder that carries a trained system from training to the robot.

It holds `manifest.json`, ONNX graphs, the tokenizer, a model card and licences, and nothing that can run code. Every
file but the manifest is listed there with its SHA-256, and loading refuses a folder where one differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BundleError
from .resources import default_bundle_dir

#: The manifest format that this version reads and writes.
FORMAT = 1
MANIFEST = "manifest.json"

#: What a graph may be fed with, by modality.
REPRESENTATIONS: Mapping[str, tuple[str, ...]] = {
    "speech": ("waveform",),
    "text": ("tokens",),
    "mocap": ("canonical15", "iemocap200"),
}


@dataclass(frozen=True)
class ModalitySpec:
    """How one modality is computed.

    `graph`: ONNX file. `temperature`: divides its logits, which calibrates them. `weight`: its exponent in log-linear
    fusion. `languages`: BCP 47 tags that a text model was trained for; empty: any. `sample_rate` [Hz], `max_s` and
    `normalise` (zero mean, unit variance per utterance) belong to waveforms; `tokenizer`, `max_tokens` to tokens;
    `rate_hz`, `window_s` to skeletons; `min_s` is the least evidence in seconds.
    """

    graph: str
    representation: str
    temperature: float = 1.0
    weight: float = 1.0
    sample_rate: int = 16000
    min_s: float = 0.0
    max_s: float = 15.0
    normalise: bool = False
    tokenizer: str = ""
    max_tokens: int = 64
    languages: tuple[str, ...] = ()
    rate_hz: float = 15.0
    window_s: float = 5.0
    licence: str = ""
    precision: str = "fp32"
    trained_on: tuple[str, ...] = ()
    people: Mapping[str, list[str]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FusionSpec:
    """How modalities are fused.

    `log_linear`: log p = log prior + sum over modalities of weight x (log p_m - log prior), a product of experts whose
    exponents are fitted. `graph`: an ONNX graph over the modalities' features. `temperature` divides the fused logits.
    """

    kind: str = "log_linear"
    prior: tuple[float, ...] = ()
    temperature: float = 1.0
    graph: str = ""
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. `path`: its folder. `model_id`: name and version, as estimates carry it."""

    path: Path
    name: str
    version: str
    labels: tuple[str, ...]
    modalities: Mapping[str, ModalitySpec]
    fusion: FusionSpec
    manifest: Mapping[str, Any]

    @property
    def model_id(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def size_bytes(self) -> int:
        """Of every listed file."""
        return sum(int(entry["bytes"]) for entry in self.manifest["files"].values())

    def file(self, name: str) -> Path:
        """A file of this bundle that the manifest lists."""
        return self.path / name


def load_bundle(path: str | Path = "") -> Bundle:
    """Read and verify a bundle; an empty path means the default one.

    Raises `BundleError`: no such folder, no or a broken manifest, another format, a missing, truncated or changed file,
    or a manifest whose parts do not fit together.
    """
    folder = Path(path).expanduser() if str(path) else default_bundle_dir()
    manifest = _read_manifest(folder)
    _verify_files(folder, manifest)
    try:
        bundle = _parse(folder, manifest)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"the manifest of bundle {folder} is not valid ({error!r}): export the bundle again"
        ) from None
    _check(bundle)
    return bundle


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Complete `manifest` with the format and the checksum of every file in `folder`, and write it there."""
    files = {
        item.name: {"sha256": _sha256(item), "bytes": item.stat().st_size}
        for item in sorted(folder.iterdir())
        if item.is_file() and item.name != MANIFEST
    }
    text = json.dumps({"format": FORMAT, **manifest, "files": files}, indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _read_manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BundleError(f"there is no bundle folder {folder}: set 'bundle' to a folder that 'mser export' wrote")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is not a bundle, it has no {MANIFEST}: point to what 'mser export' wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{folder / MANIFEST} cannot be read ({error}): copy or export the bundle again") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise BundleError(
            f"bundle {folder} has format {found!r}, this version reads {FORMAT}: export it with this version"
        )
    return manifest


def _verify_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    files = manifest.get("files")
    if not isinstance(files, dict) or not files:
        raise BundleError(f"the manifest of bundle {folder} lists no files: export the bundle again")
    for name, entry in files.items():
        if Path(name).name != name or not isinstance(entry, dict):
            raise BundleError(f"the manifest of bundle {folder} names a file outside of it, '{name}': do not use it")
        item = folder / name
        if not item.is_file():
            raise BundleError(f"bundle {folder} lacks {name}: copy or export the whole folder again")
        if item.stat().st_size != entry.get("bytes"):
            raise BundleError(f"{name} of bundle {folder} is truncated or of another version: copy the bundle again")
        if _sha256(item) != entry.get("sha256"):
            raise BundleError(f"{name} of bundle {folder} was changed after export: restore the original bundle")


def _parse(folder: Path, manifest: Mapping[str, Any]) -> Bundle:
    modalities = {name: _spec(ModalitySpec, entry) for name, entry in manifest["modalities"].items()}
    return Bundle(
        path=folder,
        name=str(manifest["name"]),
        version=str(manifest["version"]),
        labels=tuple(manifest["labels"]),
        modalities=modalities,
        fusion=_spec(FusionSpec, manifest["fusion"]),
        manifest=manifest,
    )


def _spec(kind: type, entry: Mapping[str, Any]) -> Any:
    known = {name: entry[name] for name in kind.__dataclass_fields__ if name in entry}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in known.items()})


def _check(bundle: Bundle) -> None:
    def refuse(why: str) -> BundleError:
        return BundleError(f"the manifest of bundle {bundle.path} is not valid, {why}: export the bundle again")

    fusion = bundle.fusion
    if len(set(bundle.labels)) != len(bundle.labels) or len(bundle.labels) < 2:
        raise refuse("it needs two different labels or more")
    if not bundle.modalities:
        raise refuse("it names no modality")
    listed = bundle.manifest["files"]
    for name, spec in bundle.modalities.items():
        if spec.representation not in REPRESENTATIONS.get(name, ()):
            raise refuse(f"modality '{name}' with representation '{spec.representation}' is unknown to this version")
        if spec.graph not in listed or (spec.representation == "tokens" and spec.tokenizer not in listed):
            raise refuse(f"the graph or tokenizer of '{name}' is not among its files")
        if not (spec.temperature > 0 and np.isfinite(spec.temperature) and spec.weight >= 0):
            raise refuse(f"temperature or weight of '{name}' is out of range")
    if fusion.kind not in ("log_linear", "graph"):
        raise refuse(f"fusion '{fusion.kind}' is unknown to this version")
    if fusion.kind == "log_linear" and (len(fusion.prior) != len(bundle.labels) or min(fusion.prior) <= 0):
        raise refuse("the fusion's prior needs a positive number per label")
    if fusion.kind == "graph" and (fusion.graph not in listed or set(fusion.modalities) - set(bundle.modalities)):
        raise refuse("the fusion's graph or modalities are not part of it")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
