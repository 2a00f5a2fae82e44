"""From finished runs to a bundle: graphs, calibration, fusion, manifest, model card, licences."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle import load_bundle, write_manifest
from ..errors import SettingsError
from ..evaluation.metrics import score
from ..labels import LABELS
from .agreement import compare
from .card import licence_notices, model_card, weights_licence
from .config import ExperimentConfig
from .data import load_data
from .experiment import CORPORA, final_weights, read_config
from .fitting import restore
from .fusion_fit import balanced_temperature, combine, figures, fuse, measure
from .graphs import write_graph
from .inputs import tokenizer_json
from .predictions import OutOfFold
from .quantise import quantise

#: Real utterances on which a graph is compared with its network.
CHECKED = 400
REPRESENTATION = {"speech": "waveform", "text": "tokens", "mocap": "canonical15"}

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run of one modality."""

    folder: Path
    config: ExperimentConfig
    modality: str
    corpora: Mapping[str, Mapping[str, Any]]
    rows: OutOfFold


def open_finished(folder: Path) -> Run:
    """Raises `SettingsError` where the run is not finished, or its weights must not be given away."""
    config = read_config(folder)
    path = folder / CORPORA
    if not path.is_file():
        raise SettingsError(f"the run in {folder} is not finished: give the same 'mser train' command again")
    corpora = json.loads(path.read_text(encoding="utf-8"))
    barred = [name for name, entry in corpora.items() if entry["evaluation_only"]]
    if barred:
        raise SettingsError(f"the run in {folder} was trained on {', '.join(barred)}, which is for evaluation only")
    if len(config.modalities) != 1:
        raise SettingsError(f"the run in {folder} has {len(config.modalities)} modalities: name runs of one each")
    return Run(folder, config, config.modalities[0], corpora, OutOfFold.load(folder / "predictions.npz"))


def export_bundle(
    folders: Sequence[Path], out: Path, *, name: str = "", version: str = "0.1.0", int8: bool = True, say: Say = print
) -> None:
    """Write a bundle of one run per modality, replacing what `out` holds once everything has worked.

    Raises `SettingsError` (an unfinished run, two of one modality), `CorpusError` (the data for the check is missing).
    """
    runs = [open_finished(folder) for folder in folders]
    names = [run.modality for run in runs]
    if len(set(names)) != len(names):
        raise SettingsError("two of these runs are of the same modality: name one of each")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        modalities = {run.modality: _export_modality(run, folder, int8=int8, say=say) for run in runs}
        manifest: dict[str, Any] = {
            "name": name or out.name,
            "version": version,
            "labels": list(LABELS),
            "modalities": modalities,
            "fusion": _fit_fusion(runs, modalities),
        }
        (folder / "MODEL_CARD.md").write_text(model_card(manifest), encoding="utf-8")
        for file, text in licence_notices(manifest).items():
            (folder / file).write_text(text, encoding="utf-8")
        write_manifest(folder, manifest)
        bundle = load_bundle(folder)
        _replace(out, folder)
    say(f"{out}: {bundle.size_bytes / 1e6:.1f} MB")


def _export_modality(run: Run, folder: Path, *, int8: bool, say: Say) -> dict[str, Any]:
    modality, config = run.modality, run.config
    network = restore(config, final_weights(run.folder))
    graph = folder / f"{modality}.onnx"
    samples = load_data(config, limit=CHECKED, say=lambda _text: None).samples
    write_graph(network, modality, config, graph)
    precision = "fp32"
    check = compare(network, graph, modality, config, samples)
    if not check.good:
        raise SettingsError(f"the exported graph of {modality} disagrees with its network ({check}): report this")
    if int8:
        small = folder / f"{modality}.int8.onnx"
        quantise(graph, small)
        quantised = compare(network, small, modality, config, samples)
        if quantised.good:
            precision, check = "int8", quantised
            small.replace(graph)
        else:
            small.unlink()
            say(f"{modality}: stays fp32, int8 gives the same label for {quantised.labels:.3f} only")
    say(f"{modality}: {precision}, {graph.stat().st_size / 1e6:.1f} MB, same label {check.labels:.3f}")
    temperature = balanced_temperature(run.rows)
    entry: dict[str, Any] = {
        "graph": graph.name,
        "representation": REPRESENTATION[modality],
        **_representation(run, folder),
        "temperature": round(temperature, 4),
        "weight": 1.0,
        "languages": list(config.inputs.languages),
        "licence": weights_licence(run.corpora),
        "trained_on": sorted(run.corpora),
        "people": {name: entry["people"] for name, entry in sorted(run.corpora.items())},
        "precision": precision,
        "export_check": check.as_json(),
        "metrics": {
            source: figures(score(run.rows.of(source).predictions(temperature))) for source in run.rows.sources
        },
    }
    base = getattr(config.model.streams, modality).source
    return {**entry, "base": base} if base else entry


def _representation(run: Run, folder: Path) -> dict[str, Any]:
    inputs = run.config.inputs
    if run.modality == "speech":
        return {"sample_rate": 16000, "max_s": inputs.max_s, "normalise": inputs.normalise}
    if run.modality == "mocap":
        return {"rate_hz": inputs.rate_hz, "window_s": inputs.window_s, "min_s": inputs.min_s}
    (folder / "tokenizer.json").write_text(tokenizer_json(run.config), encoding="utf-8")
    return {"tokenizer": "tokenizer.json", "max_tokens": inputs.max_tokens}


def _fit_fusion(runs: Sequence[Run], modalities: dict[str, Any]) -> dict[str, Any]:
    """The fusion's entry; sets the modalities' weights."""
    prior = np.full(len(LABELS), 1 / len(LABELS))
    fusion: dict[str, Any] = {"kind": "log_linear", "prior": prior.tolist(), "temperature": 1.0}
    if len(runs) < 2:
        return fusion
    rows = {run.modality: run.rows for run in runs}
    temperatures = {name: entry["temperature"] for name, entry in modalities.items()}
    fit = fuse(combine(rows, temperatures, half=0), prior)
    for name, weight in fit.weights.items():
        modalities[name]["weight"] = round(weight, 4)
    fusion["temperature"] = round(fit.temperature, 4)
    fusion["metrics"] = measure(combine(rows, temperatures, half=1), fit, prior)
    return fusion


def _replace(out: Path, folder: Path) -> None:
    """Put the new bundle in the place of the old one; a folder that is no bundle is never emptied."""
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").is_file():
        raise SettingsError(f"{out} is not empty and not a bundle: name another folder")
    out.mkdir(parents=True, exist_ok=True)
    for item in out.iterdir():
        if item.is_file():
            item.unlink()
    for item in folder.iterdir():
        shutil.move(str(item), out / item.name)
