"""What a bundle's manifest says of a modality, from the run it comes of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import SettingsError
from ...evaluation.metrics import score
from ..config.files import read_config
from ..config.settings import ExperimentConfig
from ..runs.folder import read_corpora
from ..runs.predictions import PREDICTIONS, OutOfFold
from ..runs.warm_start import encoder_runs
from ..samples.inputs import tokenizer_json
from .agreement import Agreement
from .fusion_fit import figures
from .graphs import reads_markers
from .licences import weights_licence
from .temperatures import fit_temperatures


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run. `modality`: its only one, or the first. `rows`: what all of its modalities say together."""

    folder: Path
    config: ExperimentConfig
    modality: str
    corpora: Mapping[str, Mapping[str, Any]]
    rows: OutOfFold

    def synthetic(self, sources: Iterable[str]) -> bool:
        """Whether figures of these sources are."""
        return any(entry["synthetic"] for entry in self._tested(sources))

    def notes(self, sources: Iterable[str]) -> list[str]:
        """What a reader of figures of these sources must know."""
        return [entry["note"] for entry in self._tested(sources) if entry["note"]]

    def _tested(self, sources: Iterable[str]) -> list[Mapping[str, Any]]:
        return [self.corpora[name] for name in dict.fromkeys(source.split(":")[0] for source in sources)]


def open_finished(folder: Path) -> Run:
    """Raises `SettingsError` where the run is not finished, has no final model, or must not be given away."""
    config = read_config(folder)
    corpora = read_corpora(folder)
    rows = OutOfFold.load(folder / PREDICTIONS)
    if not config.folds.final and len(set(rows.fold.tolist())) > 1:
        raise SettingsError(
            f"the run in {folder} has no final model, because folds.final is false: train it with folds.final=true in "
            "another folder (--run)"
        )
    barred = [name for name, entry in corpora.items() if entry["evaluation_only"]]
    if barred:
        raise SettingsError(f"the run in {folder} was trained on {', '.join(barred)}, which is for evaluation only")
    return Run(folder, config, config.modalities[0], corpora, rows)


def modality_entry(
    run: Run, modality: str, folder: Path, rows: OutOfFold | None, precision: str, agreement: Agreement
) -> dict[str, Any]:
    """The manifest's entry; writes the tokenizer into `folder`. `rows`: what this modality alone said, if it can."""
    temperatures = fit_temperatures(rows) if rows is not None else None
    stream = getattr(run.config.model.streams, modality)
    entry: dict[str, Any] = {
        "graph": f"{modality}.onnx",
        **representation(run.config, modality, folder),
        "temperature": round(temperatures.shipped, 4) if temperatures else 1.0,
        "weight": 1.0,
        "languages": list(run.config.inputs.languages),
        "licence": weights_licence(run.corpora),
        "trained_on": sorted(run.corpora),
        "people": {name: entry["people"] for name, entry in sorted(run.corpora.items())},
        "run": run.config.name or run.folder.name,
        "starts_from": [other.name for other in encoder_runs(run.config)],
        "precision": precision,
        "export_check": agreement.as_json(),
        "metrics": {},
    }
    if rows is not None and temperatures is not None:
        entry["judged_by"] = temperatures.told
        entry["metrics"] = {
            source: {"synthetic": run.synthetic([source]), **figures(score(temperatures.predictions(rows.of(source))))}
            for source in rows.sources
        }
    if run.config.notes:
        entry["protocol"] = run.config.notes
    return {**entry, "base": stream.source} if stream.source else entry


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
