"""From finished runs to a bundle: graphs, calibration, fusion, manifest, model card, licences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import SettingsError
from ...labels import LABELS
from ...recognition.bundle import load_bundle, write_manifest
from ..fit.domain import restore_judge
from ..fit.fitting import restore
from ..runs.finished import FinishedRun
from ..runs.predictions import OutOfFold
from ..samples.data import load_data
from .agreement import CHECKED, Comparison
from .card import model_card
from .decision_fit import fit_decision, measure_decision
from .fusion_fit import combine, fuse, measure, try_out
from .graphs import write_graph
from .licences import licence_notices
from .manifest import modality_entry
from .quantise import shrink
from .streams import export_streams
from .target import check_target, replacing

Log = Callable[[str], None]


def export_bundle(
    folders: Sequence[Path], out: Path, *, name: str = "", version: str = "0.1.0", int8: bool = True, log: Log = print
) -> None:
    """Write a bundle of one run per modality, or of one run of several, which replaces `out` as a whole once all has
    worked (see `target.replacing`).

    Raises `SettingsError` (an unfinished run, two of one modality, `out` is something else than a bundle),
    `CorpusError` (the data for the check is missing).
    """
    check_target(out)
    runs = [FinishedRun.read(folder) for folder in folders]
    for run in runs:
        run.check_exportable()
    names = [run.modality for run in runs]
    several = [run.folder for run in runs if len(run.config.modalities) > 1]
    if several and len(runs) > 1:
        raise SettingsError(f"the run in {several[0]} has several modalities: export it alone")
    if len(set(names)) != len(names):
        raise SettingsError("two of these runs are of the same modality: name one of each")
    decision: dict[str, Any]
    with replacing(out) as folder:
        if several:
            modalities, fusion = export_streams(runs[0], folder, int8=int8, log=log)
            decision = {}
        else:
            modalities = {run.modality: _export_modality(run, folder, int8=int8, log=log) for run in runs}
            fusion, decision = fit_log_linear({run.modality: run.rows_of_strangers() for run in runs}, modalities)
        manifest: dict[str, Any] = {
            "name": name or out.name,
            "version": version,
            "labels": list(LABELS),
            "modalities": modalities,
            "fusion": fusion,
            "decision": decision,
        }
        (folder / "MODEL_CARD.md").write_text(model_card(manifest), encoding="utf-8")
        for file, text in licence_notices(manifest).items():
            (folder / file).write_text(text, encoding="utf-8")
        write_manifest(folder, manifest)
        bundle = load_bundle(folder)
    log(f"{out}: {bundle.size_bytes / 1e6:.1f} MB")


def _export_modality(run: FinishedRun, folder: Path, *, int8: bool, log: Log) -> dict[str, Any]:
    modality, config = run.modality, run.config
    network = restore(config, run.final_weights)
    graph = folder / f"{modality}.onnx"
    samples = load_data(config, limit=CHECKED, log=lambda _text: None).samples
    judge = restore_judge(config, network, run.final_weights.parent) if config.in_domain else None
    write_graph(network, modality, config, graph, judge=judge)
    made = shrink({modality: graph}, Comparison(network, config, samples), int8=int8, log=log)
    return modality_entry(run, modality, folder, run.rows(), *made[modality])


def fit_log_linear(rows: Mapping[str, OutOfFold], modalities: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The entries of fusion and decision of separately trained modalities; sets `weight` in theirs. `rows`: what each
    predicted of people and, where that is known, of corpora that it had not met, so that its weight is what it has
    earned there as well."""
    prior = np.full(len(LABELS), 1 / len(LABELS))
    temperatures = {name: entry["temperature"] for name, entry in modalities.items()}
    try:
        combined = combine(rows, temperatures)
        trial = try_out(rows, prior)
    except SettingsError:
        if len(rows) > 1:
            raise
        return {"kind": "log_linear", "prior": prior.tolist(), "temperature": 1.0}, {}
    fit = fuse(combined, prior)
    decision = fit_decision(combined, fit, prior)
    decision["metrics"] = measure_decision(fit_decision(trial.known, trial.fit, prior), trial.met, trial.fit, prior)
    fusion: dict[str, Any] = {"kind": "log_linear", "prior": prior.tolist(), "temperature": round(fit.temperature, 4)}
    if len(rows) > 1:
        for name, weight in fit.weights.items():
            modalities[name]["weight"] = round(weight, 4)
        fusion["metrics"] = measure(trial, prior)
    return fusion, decision
