"""A network of several streams as graphs: one for each modality, which gives features, and one that joins them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...evaluation.concordance import concordance
from ...evaluation.metrics import score
from ...types import subsets_of
from ..fit.predicting import restore
from ..models.fusion import FusionNetwork
from ..runs.finished import FinishedRun
from ..runs.predictions import OutOfFold
from ..samples.data import load_data
from .agreement import CHECKED, FUSION, Comparison
from .decision_fit import fit_joint_decision
from .fusion_fit import EVEN, Fused, figures
from .graphs import write_fusion_graph, write_graph
from .manifest import modality_entry
from .quantise import shrink
from .temperatures import fit_temperatures


def export_streams(
    run: FinishedRun, folder: Path, *, int8: bool, log: Callable[[str], None]
) -> tuple[dict[str, Any], Fused]:
    """Write the graphs into `folder`; the manifest's entries of the modalities, and how they are fused."""
    network = restore(run.config, run.final_weights)
    assert isinstance(network, FusionNetwork)
    samples = load_data(run.config, limit=CHECKED, log=lambda _text: None).samples
    graphs = {name: folder / f"{name}.onnx" for name in (*network.modalities, FUSION)}
    for name in network.modalities:
        write_graph(network, name, run.config, graphs[name])
    affect = network.affect is not None and run.learned_affect
    write_fusion_graph(network, graphs[FUSION], affect=affect)
    made = shrink(graphs, Comparison(network, run.config, samples), int8=int8, log=log)
    rows = {subset: run.rows(subset) for subset in subsets_of(network.modalities)}
    entries = {
        name: modality_entry(run, name, folder, rows[(name,)] if name in network.heads else None, *made[name])
        for name in network.modalities
    }
    precision, agreement = made[FUSION]
    temperatures = fit_temperatures(rows[network.modalities])
    metrics = {
        "synthetic": run.synthetic(run.rows().sources),
        "note": "; ".join(["Out of fold", *run.notes(run.rows().sources)]),
        "judged_by": temperatures.method,
        "subsets": {
            "+".join(subset): figures(score(temperatures.predictions(found)))
            for subset, found in sorted(rows.items(), key=lambda pair: len(pair[0]))
            if len(found)
        },
    }
    if affect:
        metrics["ccc"] = _concordance(run.rows())
    entry = {
        "kind": "graph",
        "graph": graphs[FUSION].name,
        "modalities": list(network.modalities),
        "temperature": round(temperatures.shipped, 4),
        "precision": precision,
        "export_check": agreement.as_json(),
        "metrics": metrics,
    }
    heads = {name: entries[name]["temperature"] for name in network.modalities if name in network.heads}
    decision = fit_joint_decision(rows, round(temperatures.shipped, 4), heads, EVEN)
    return entries, Fused(entry, decision, temperatures.predictions(rows[network.modalities]))


def _concordance(rows: OutOfFold) -> dict[str, list[float]]:
    """The concordance correlation of valence and arousal, each with its interval, where they were measured."""
    found = zip(("valence", "arousal"), concordance(rows.affect_truth, rows.affect, rows.clusters), strict=True)
    return {name: [round(number, 4) for number in numbers] for name, numbers in found if np.isfinite(numbers).all()}
