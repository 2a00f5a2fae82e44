"""What a bundle's manifest says of a modality, from the run it comes of."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from ...errors import SettingsError
from ...evaluation.metrics import score
from ...recognition.bundle import IN_DOMAIN
from ..config.files import overrides_of, read_config
from ..config.settings import ExperimentConfig
from ..runs.finished import FinishedRun
from ..runs.predictions import OutOfFold
from ..runs.warm_start import encoder_runs
from ..samples.inputs import how_fed, tokenizer_json
from ..samples.outliers.draw import REASONS
from .agreement import Agreement
from .baseline_fit import fit_baseline, measure_baseline
from .fusion_fit import by_person, figures
from .licences import weights_licence
from .temperatures import fit_temperatures, shipped


def modality_entry(
    run: FinishedRun,
    modality: str,
    folder: Path,
    rows: OutOfFold | None,
    precision: str,
    agreement: Agreement,
    *,
    stem: str = "",
) -> dict[str, Any]:
    """The manifest's entry; writes the tokenizer into `folder`. `rows`: what this modality alone said, if it can.
    `stem`: of its files' names, if not the modality's."""
    tokenizer = f"{stem}.json" if stem not in ("", modality) else "tokenizer.json"
    stem = stem or modality
    temperatures = fit_temperatures(rows) if rows is not None else None
    stream = getattr(run.config.model.streams, modality)
    entry: dict[str, Any] = {
        "graph": f"{stem}.onnx",
        **representation(run.config, modality, folder, tokenizer=tokenizer),
        "temperature": round(temperatures.shipped, 4) if temperatures else 1.0,
        "weight": 1.0,
        "languages": list(run.config.inputs.languages),
        "licence": weights_licence(run.corpora),
        "trained_on": sorted(run.corpora),
        "people": {name: entry["people"] for name, entry in sorted(run.corpora.items())},
        "run": run.config.name or run.folder.name,
        "starts_from": [other.name for other in encoder_runs(run.config)],
        "overrides": _overrides(run),
        "precision": precision,
        "export_check": agreement.as_json(),
        "metrics": {},
    }
    if rows is not None and temperatures is not None:
        entry["judged_by"] = temperatures.method
        entry["metrics"] = {
            source: {
                "synthetic": run.synthetic([source]),
                **figures(score(temperatures.predictions(rows.of(source)))),
                **by_person(rows.of(source)),
            }
            for source in rows.sources
        }
        if modality == "speech" and (baseline := fit_baseline(rows)) is not None:
            entry["baseline"] = baseline
            entry["baseline_metrics"] = measure_baseline(rows)
        if (unmet := run.transfer) is not None:
            entry["transfer"] = {
                source: figures(score(shipped(unmet.of(source), temperatures.shipped))) for source in unmet.sources
            }
    if run.config.in_domain:
        entry["domain"] = [IN_DOMAIN, *(reason.name.lower() for reason in REASONS[modality])]
        entry["judge"] = dict(run.in_domain)
    if (robustness := run.robustness) is not None:
        entry["robustness"] = robustness
    if (household := run.household) is not None:
        entry["household"] = household
    if run.config.notes:
        entry["protocol"] = run.config.notes
    return {**entry, "base": stream.source} if stream.source else entry


def _overrides(run: FinishedRun) -> dict[str, list[str]]:
    """What was set otherwise than in the experiment of that name, of the run and of those that it starts from."""
    configs = {run.config.name: run.config}
    for other in encoder_runs(run.config):
        with suppress(SettingsError):  # it need not lie there any more
            configs[other.name] = read_config(other)
    found = {name: overrides_of(config) for name, config in configs.items()}
    return {name: given for name, given in found.items() if given is not None}


def representation(
    config: ExperimentConfig, modality: str, folder: Path, *, tokenizer: str = "tokenizer.json"
) -> dict[str, Any]:
    """How the recogniser feeds a modality's graph, for its entry; writes the tokenizer into `folder`."""
    entry = how_fed(config, modality)
    if modality == "text":
        entry["tokenizer"] = tokenizer
        (folder / tokenizer).write_text(tokenizer_json(config), encoding="utf-8")
    return entry
