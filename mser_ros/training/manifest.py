"""What a bundle's manifest says of a modality, from the run it comes of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..evaluation.metrics import score
from .agreement import Agreement
from .card import weights_licence
from .config import ExperimentConfig
from .config_files import read_config
from .fusion_fit import balanced_temperature, figures
from .graphs import reads_markers
from .inputs import tokenizer_json
from .predictions import PREDICTIONS, OutOfFold
from .run_folder import CORPORA


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run. `modality`: its only one, or the first."""

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
    return Run(folder, config, config.modalities[0], corpora, OutOfFold.load(folder / PREDICTIONS))


def modality_entry(
    run: Run, modality: str, folder: Path, rows: OutOfFold | None, *, precision: str, check: Agreement
) -> dict[str, Any]:
    """The manifest's entry; writes the tokenizer into `folder`. `rows`: what this modality alone said, if it can."""
    temperature = balanced_temperature(rows) if rows is not None else 1.0
    entry: dict[str, Any] = {
        "graph": f"{modality}.onnx",
        **representation(run.config, modality, folder),
        "temperature": round(temperature, 4),
        "weight": 1.0,
        "languages": list(run.config.inputs.languages),
        "licence": weights_licence(run.corpora),
        "trained_on": sorted(run.corpora),
        "people": {name: entry["people"] for name, entry in sorted(run.corpora.items())},
        "precision": precision,
        "export_check": check.as_json(),
        "metrics": {}
        if rows is None
        else {source: figures(score(rows.of(source).predictions(temperature))) for source in rows.sources},
    }
    base = getattr(run.config.model.streams, modality).source
    return {**entry, "base": base} if base else entry


def representation(config: ExperimentConfig, modality: str, folder: Path) -> dict[str, Any]:
    """How the recogniser feeds a modality's graph, for its entry; writes the tokenizer into `folder`."""
    inputs = config.inputs
    if modality == "speech":
        fed = {"sample_rate": 16000, "max_s": inputs.max_s, "normalise": inputs.normalise}
        return {"representation": "waveform", **fed}
    if modality == "mocap":
        if reads_markers(config):
            return {"representation": "iemocap200"}
        fed = {"rate_hz": inputs.rate_hz, "window_s": inputs.window_s, "min_s": inputs.min_s}
        return {"representation": "canonical15", **fed}
    (folder / "tokenizer.json").write_text(tokenizer_json(config), encoding="utf-8")
    return {"representation": "tokens", "tokenizer": "tokenizer.json", "max_tokens": inputs.max_tokens}
