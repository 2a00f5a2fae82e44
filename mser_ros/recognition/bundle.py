"""A bundle: the folder that carries a trained system from training to the robot.

It holds `manifest.json`, ONNX graphs, the tokenizer, a model card and licences, and nothing that can run code. Every
file but the manifest is listed there with its SHA-256, and loading refuses a folder where one differs.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from ..errors import BundleError, ModelError
from ..mocap.layouts import MARKER_LAYOUT
from ..model_store.catalogue import CATALOGUE, Merge, Model, ModelFile
from ..model_store.store import ModelStore
from ..resources import default_bundle_dir
from ..types import SAMPLE_RATE, AbstainReason
from .baseline import BaselineSpec
from .decision import DecisionSpec, parse_decision

#: The manifest format that this version reads and writes.
FORMAT = 1
MANIFEST = "manifest.json"
#: Evidence that is less surely in the domain does not count, unless a bundle says otherwise.
LEAST_IN_DOMAIN = 0.5
#: The first of what a graph's output 'domain' tells apart.
IN_DOMAIN = "in_domain"

T = TypeVar("T")

#: What a graph may be fed with, by modality.
REPRESENTATIONS: Mapping[str, tuple[str, ...]] = {
    "speech": ("waveform",),
    "text": ("tokens",),
    "mocap": ("canonical15", MARKER_LAYOUT),
}


@dataclass(frozen=True)
class ModalitySpec:
    """How one modality is computed.

    `graph`: ONNX file. `temperature`: divides its logits, which calibrates them. `weight`: its exponent in log-linear
    fusion. `languages`: BCP 47 tags that a text model was trained for; empty: any. `sample_rate` [Hz], `max_s`,
    `trim_db` (silence at both ends that is left out, 0: none) and `normalise` (zero mean, unit variance per utterance)
    belong to waveforms; `tokenizer`, `max_tokens` to tokens;
    `rate_hz`, `window_s` to skeletons; `min_s` is the least evidence in seconds.

    `domain`: what the graph's output of that name tells apart, 'in_domain' first and then reasons to abstain (names of
    `AbstainReason` in lower case); empty: the graph does not judge that. Evidence of which the share of 'in_domain' is
    below `least_in_domain` does not count. `baseline`: how voices differ (see `BaselineSpec`); empty: nobody knows.

    `base`: the published model that it was made of, `run`: the experiment. `weights`: what the graph leaves to a file
    that the store of models makes (see `stored_weights`); empty: nothing.
    """

    graph: str
    representation: str
    temperature: float = 1.0
    weight: float = 1.0
    sample_rate: int = SAMPLE_RATE
    min_s: float = 0.0
    max_s: float = 15.0
    trim_db: float = 0.0
    normalise: bool = False
    tokenizer: str = ""
    max_tokens: int = 64
    languages: tuple[str, ...] = ()
    rate_hz: float = 15.0
    window_s: float = 5.0
    domain: tuple[str, ...] = ()
    least_in_domain: float = LEAST_IN_DOMAIN
    baseline: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""
    run: str = ""
    weights: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    precision: str = "fp32"
    trained_on: tuple[str, ...] = ()
    people: Mapping[str, list[str]] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """What tells it from another model of the same modality."""
        return self.base or self.run


@dataclass(frozen=True)
class FusionSpec:
    """How modalities are fused.

    `log_linear`: log p = log prior + sum over modalities of weight x (log p_m - log prior), a product of experts whose
    exponents are fitted. `graph`: an ONNX graph over the modalities' features, with an output `logits` and, if it
    estimates valence and arousal, `affect`. `temperature` divides the fused logits. `plain_words`: share of what is
    said with a feeling in plain words that `log_linear` allows for (see `posteriors.despite_plain_words`).
    """

    kind: str = "log_linear"
    prior: tuple[float, ...] = ()
    temperature: float = 1.0
    graph: str = ""
    modalities: tuple[str, ...] = ()
    plain_words: float = 0.0


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. `path`: its folder. `decision`: what the planner is told beside the posterior. `model_id`:
    name and version, as estimates carry it. `weights`: by modality, the folder of what its graph leaves to another
    file. `lacks`: the model of `mser models` in place of which a poorer one is used; '' if none is."""

    path: Path
    name: str
    version: str
    labels: tuple[str, ...]
    modalities: Mapping[str, ModalitySpec]
    fusion: FusionSpec
    manifest: Mapping[str, Any]
    decision: DecisionSpec = field(default_factory=DecisionSpec)
    weights: Mapping[str, Path] = field(default_factory=dict)
    lacks: str = ""

    @property
    def model_id(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def advice(self) -> str:
        """How to get a better judgement out of this bundle; '' where it does its best already."""
        if not self.lacks:
            return ""
        return f"the smaller model of words is used: 'mser models get {self.lacks}' brings the better one"

    @property
    def size_bytes(self) -> int:
        """Of every listed file."""
        return sum(int(entry["bytes"]) for entry in self.manifest["files"].values())

    def file(self, name: str) -> Path:
        """A file of this bundle that the manifest lists."""
        return self.path / name


def load_bundle(path: str | Path = "") -> Bundle:
    """Read and verify a bundle; an empty path means the default one.

    Where a graph's weights are not in the store of models, the bundle's fallback takes the place of that model.

    Raises `BundleError`: no such folder, no or a broken manifest, another format, a missing, truncated or changed file,
    or a manifest whose parts do not fit together; weights that are missing while there is no fallback.
    """
    folder = Path(path).expanduser() if str(path) else default_bundle_dir()
    manifest = _read_manifest(folder)
    _verify_files(folder, manifest)
    try:
        bundle = _parse(folder, manifest)
        _check(bundle)
        weights = {name: stored_weights(spec, folder) for name, spec in bundle.modalities.items() if spec.weights}
        found = _places(weights)
        if lacking := [weights[name].name for name, place in found.items() if place is None]:
            return _fallback(folder, manifest, lacking[0])
        return replace(bundle, weights={name: place for name, place in found.items() if place is not None})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"the manifest of bundle {folder} is not valid ({error!r}): export the bundle again"
        ) from None


def _places(weights: Mapping[str, Model]) -> dict[str, Path | None]:
    """Where what a graph leaves to another file lies, by modality; None where it is not here, or this user has no
    folder for models."""
    if not weights:
        return {}
    try:
        store = ModelStore(more=weights.values())
    except ModelError:
        return dict.fromkeys(weights)
    return {name: store.find(model.name) for name, model in weights.items()}


def weights_of(path: str | Path = "") -> list[Model]:
    """What the graphs of a bundle leave to the store of models, by its manifest. Raises `BundleError` as `load_bundle`
    for a manifest that cannot be read."""
    folder = Path(path).expanduser() if str(path) else default_bundle_dir()
    try:
        modalities = _read_manifest(folder)["modalities"].values()
        return [stored_weights(read_spec(entry), folder) for entry in modalities if entry.get("weights")]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(
            f"the manifest of bundle {folder} is not valid ({error!r}): export the bundle again"
        ) from None


def stored_weights(spec: ModalitySpec, folder: Path) -> Model:
    """What a modality's graph leaves to another file, as a model of the store: made of a published one and of the
    bundle's recipe."""
    entry = spec.weights
    base = CATALOGUE[entry["base"]]
    return replace(
        base,
        name=entry["name"],
        title=f"{base.title.partition(':')[0]} with what a bundle's model of words has learned",
        files=(ModelFile(entry["file"], entry["bytes"], entry["sha256"]),),
        wheels=(),
        archive=None,
        hub=None,
        merge=Merge(base.name, folder / entry["recipe"]),
    )


def _fallback(folder: Path, manifest: Mapping[str, Any], lacking: str) -> Bundle:
    """The bundle with what it carries in place of a model that is not here."""
    if "fallback" not in manifest:
        raise BundleError(f"bundle {folder} needs a model that is not here: call 'mser models get {lacking}'")
    instead = manifest["fallback"]
    entries = {name: {**entry, **instead["modalities"].get(name, {})} for name, entry in manifest["modalities"].items()}
    for name, entry in instead["modalities"].items():
        if "graph" in entry:  # another model altogether
            entries[name] = entry
    parts = {"modalities": entries, "fusion": instead["fusion"], "decision": instead["decision"]}
    bundle = replace(_parse(folder, {**manifest, **parts}), manifest=manifest, lacks=lacking)
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
    # A list of thousands of people is one line, not thousands of them.
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\n\s*", " ", found[0]), text)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _read_manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BundleError(f"there is no bundle folder {folder}: name a folder that 'mser export' wrote")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{folder} is not a bundle, it has no {MANIFEST}: point to what 'mser export' wrote"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
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
        decision=parse_decision(manifest.get("decision", {})),
    )


def read_spec(entry: Mapping[str, Any]) -> ModalitySpec:
    """A manifest's entry of a modality. Raises `TypeError` for a value of another type."""
    return _spec(ModalitySpec, entry)


def _spec(kind: type[T], entry: Mapping[str, Any]) -> T:
    """The part of a manifest as its value type; entries that this version does not know are left alone."""
    return kind(**{item.name: _typed(item, entry[item.name]) for item in fields(kind) if item.name in entry})  # type: ignore[arg-type]


def _typed(item: Any, value: Any) -> Any:
    """A value of a manifest as the field's type, which its default tells; the fields without one are texts."""
    kind: Any
    if item.default_factory is not MISSING:
        kind = item.default_factory
    else:
        kind = str if item.default is MISSING else type(item.default)
    if kind is float and type(value) is int:
        value = float(value)
    elif kind is tuple and isinstance(value, list):
        value = tuple(value)
    if type(value) is not kind:
        raise TypeError(f"{item.name} must be a {kind.__name__}, not {value!r}")
    return value


def _check(bundle: Bundle) -> None:
    def refuse(why: str) -> BundleError:
        return BundleError(f"the manifest of bundle {bundle.path} is not valid, {why}: export the bundle again")

    fusion = bundle.fusion
    if not isinstance(bundle.manifest["labels"], list):
        raise refuse("its labels are no list")
    if len(set(bundle.labels)) != len(bundle.labels) or len(bundle.labels) < 2 or "" in map(str.strip, bundle.labels):
        raise refuse("it needs two different labels or more")
    if not bundle.modalities:
        raise refuse("it names no modality")
    listed = bundle.manifest["files"]
    for name, spec in bundle.modalities.items():
        if spec.representation not in REPRESENTATIONS.get(name, ()):
            raise refuse(f"modality '{name}' with representation '{spec.representation}' is unknown to this version")
        if spec.graph not in listed or (spec.representation == "tokens" and spec.tokenizer not in listed):
            raise refuse(f"the graph or tokenizer of '{name}' is not among its files")
        positive = (spec.temperature, spec.sample_rate, spec.max_s, spec.max_tokens, spec.rate_hz, spec.window_s)
        if not (
            all(map(_is_positive, positive))
            and all(0 <= value < math.inf for value in (spec.weight, spec.min_s, spec.trim_db))
        ):
            raise refuse(f"a number of '{name}' is out of range")
        if spec.domain and not (
            len(spec.domain) > 1
            and spec.domain[0] == IN_DOMAIN
            and all(reason.upper() in AbstainReason.__members__ for reason in spec.domain[1:])
        ):
            raise refuse(f"what '{name}' tells apart is unknown to this version")
        if spec.baseline:
            BaselineSpec.of(spec.baseline, len(bundle.labels))
    if fusion.kind not in ("log_linear", "graph"):
        raise refuse(f"fusion '{fusion.kind}' is unknown to this version")
    if not _is_positive(fusion.temperature):
        raise refuse("the fusion's temperature is out of range")
    if not 0 <= fusion.plain_words < 1:
        raise refuse("the fusion's share of plain words is out of range")
    if fusion.kind == "log_linear" and not (
        len(fusion.prior) == len(bundle.labels) and all(map(_is_positive, fusion.prior))
    ):
        raise refuse("the fusion's prior needs a positive number per label")
    if fusion.kind == "graph" and (fusion.graph not in listed or set(fusion.modalities) != set(bundle.modalities)):
        raise refuse("the fusion's graph is not among its files, or its modalities are not the bundle's")


def _is_positive(value: float) -> bool:
    return 0 < value < math.inf


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
