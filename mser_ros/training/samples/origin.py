"""What a run is begun with, as hashes: a run that goes on must not mix two states of its data or of its encoders."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from ...corpora import Item
from ...errors import SettingsError
from ..config.settings import ExperimentConfig
from ..models.pretrained import model_source
from ..models.whisper import whisper_folder
from ..runs.folder import Origin
from ..runs.warm_start import encoder_runs, weights_of
from .data import Data
from .inputs import Sample, tokenizer_json

#: What counts of an item. A recording counts by its length alone: decoders and resamplers differ in rounding.
_ASPECTS: Mapping[str, Callable[[Item, Sample], object]] = {
    "items": lambda item, _: (item.item_id, [source.item_id for source in item.sources]),
    "labels": lambda item, _: (item.label, item.valence, item.arousal),
    "people": lambda item, _: (item.person, item.people, item.group, item.cluster, item.split),
    "transcripts": lambda _, sample: (sample.text, sample.confidence),
    "recordings": lambda _, sample: [part is not None and len(part) for part in (sample.speech, sample.positions)],
}


def origin_of(config: ExperimentConfig, data: Data, folds: Iterable[str]) -> Origin:
    """Hashes of every source of the data, of the weights that the encoders' runs have in these folds ('fold0' ...
    'final'), and of models in local folders."""
    out: dict[str, Mapping[str, str]] = {}
    pairs: dict[str, list[tuple[Item, Sample]]] = {}
    for item, entry, sample in zip(data.items, data.entries, data.samples, strict=True):
        pairs.setdefault(entry.source, []).append((item, sample))
    for source, found in pairs.items():
        out[source] = {name: _hash(repr(aspect(*pair)).encode() for pair in found) for name, aspect in _ASPECTS.items()}
    for run in encoder_runs(config):
        weights = {}
        for fold in folds:
            with suppress(SettingsError):  # whoever needs weights that are not there says so
                weights[f"weights of {fold}"] = _hash(_blocks([weights_of(run, fold)]))
        out[str(run)] = weights
    for modality in config.modalities:
        stream = getattr(config.model.streams, modality)
        if stream.kind == "pretrained":
            out[stream.source] = {**out.get(stream.source, {}), **_model(config, modality, stream.source)}
        elif stream.kind == "whisper":
            out[stream.source] = {"weights": _hash(_blocks([whisper_folder(stream.source) / "model.bin"]))}
    return out


def _model(config: ExperimentConfig, modality: str, source: str) -> dict[str, str]:
    """Of a model in a local folder, which can be written again; a name at the hub stands for one state of it."""
    folder = Path(model_source(source))
    if not folder.is_dir():
        return {}
    found = {"weights": _hash(_blocks([*sorted(folder.glob("*.safetensors")), folder / "config.json"]))}
    return found if modality != "text" else {**found, "tokenizer": _hash([tokenizer_json(config).encode()])}


def _blocks(paths: Iterable[Path]) -> Iterable[bytes]:
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                yield block


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]
