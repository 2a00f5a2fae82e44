"""A network of several streams as graphs: one for each modality, which gives features, and one that joins them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import SettingsError
from ..evaluation.metrics import score
from ..inference import Graph, softmax
from .agreement import Agreement
from .config import ExperimentConfig
from .data import load_data
from .experiment import final_weights
from .fitting import restore
from .fusion import FusionNetwork
from .fusion_fit import balanced_temperature, figures
from .graphs import write_fusion_graph, write_graph
from .inputs import Collator, Sample
from .manifest import Run, modality_entry
from .predictions import OutOfFold, subset_file, subsets_of
from .quantise import quantise

FUSION = "fusion"
#: Real utterances on which the graphs are compared with the network.
CHECKED = 400


def export_streams(
    run: Run, folder: Path, *, int8: bool, say: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the graphs into `folder`; the manifest's entries of the modalities and of the fusion."""
    network = restore(run.config, final_weights(run.folder))
    assert isinstance(network, FusionNetwork)
    samples = load_data(run.config, limit=CHECKED, say=lambda _text: None).samples
    graphs = {name: folder / f"{name}.onnx" for name in (*network.modalities, FUSION)}
    for name in network.modalities:
        write_graph(network, name, run.config, graphs[name])
    write_fusion_graph(network, graphs[FUSION])
    truth = _network_posteriors(network, run.config, samples)
    check = _agreement(truth, _graph_posteriors(graphs, run.config, samples))
    if not check.good:
        raise SettingsError(f"the exported graphs disagree with their network ({check}): report this")
    small: dict[str, Agreement] = {}
    for name, graph in graphs.items() if int8 else ():
        quantised = folder / f"{name}.int8.onnx"
        quantise(graph, quantised)
        # With those that are int8 already: what counts is what all of them say together.
        found = _agreement(truth, _graph_posteriors({**graphs, name: quantised}, run.config, samples))
        if found.good:
            quantised.replace(graph)
            small[name] = check = found
        else:
            quantised.unlink()
            say(f"{name}: stays fp32, int8 gives the same label for {found.labels:.3f} only")
    for name, graph in graphs.items():
        say(f"{name}: {_precision(name, small)}, {graph.stat().st_size / 1e6:.1f} MB")
    say(f"same label {check.labels:.3f}, largest difference of a probability {check.difference:.3f}")
    rows = {subset: _rows(run, subset) for subset in subsets_of(network.modalities)}
    entries = {
        name: modality_entry(
            run,
            name,
            folder,
            rows[(name,)] if name in network.heads else None,
            precision=_precision(name, small),
            check=small.get(name, check),
        )
        for name in network.modalities
    }
    return entries, _fusion_entry(network, run, rows, precision=_precision(FUSION, small), check=check)


def _precision(name: str, small: Mapping[str, Agreement]) -> str:
    return "int8" if name in small else "fp32"


def _rows(run: Run, subset: Sequence[str]) -> OutOfFold:
    return OutOfFold.load(run.folder / subset_file(subset, run.config.modalities))


def _fusion_entry(
    network: FusionNetwork, run: Run, rows: Mapping[tuple[str, ...], OutOfFold], *, precision: str, check: Agreement
) -> dict[str, Any]:
    temperature = balanced_temperature(rows[network.modalities])
    subsets = {
        "+".join(subset): figures(score(found.predictions(temperature)))
        for subset, found in sorted(rows.items(), key=lambda pair: len(pair[0]))
        if len(found)
    }
    synthetic = any(entry["synthetic"] for entry in run.corpora.values())
    notes = [entry["note"] for entry in run.corpora.values() if entry["note"]]
    return {
        "kind": "graph",
        "graph": f"{FUSION}.onnx",
        "modalities": list(network.modalities),
        "temperature": round(temperature, 4),
        "precision": precision,
        "export_check": check.as_json(),
        "metrics": {"synthetic": synthetic, "note": "; ".join(["Out of fold", *notes]), "subsets": subsets},
    }


def _network_posteriors(network: FusionNetwork, config: ExperimentConfig, samples: Sequence[Sample]) -> np.ndarray:
    """(N, C), of one utterance at a time as on the robot."""
    collate, out = Collator(config), []
    network.eval()
    for index, sample in enumerate(samples):
        batch = collate([(index, sample)])
        with torch.inference_mode():
            out.append(network(batch.inputs, batch.present, batch.confidence).logits[0].numpy())
    return softmax(np.array(out))


def _graph_posteriors(graphs: Mapping[str, Path], config: ExperimentConfig, samples: Sequence[Sample]) -> np.ndarray:
    """(N, C), with place holders for missing modalities, as the recogniser runs them."""
    sessions, collate, out = {name: Graph(path) for name, path in graphs.items()}, Collator(config), []
    fusion = sessions[FUSION]
    for index, sample in enumerate(samples):
        batch = collate([(index, sample)])
        feeds = {"present": batch.present.numpy(), "text_confidence": batch.confidence.numpy()[:, None]}
        for name, fed in batch.inputs.items():
            if sample.has(name):
                session = sessions[name]
                feeds[name] = session(**{key: fed[key].numpy() for key in session.inputs})["features"]
            else:
                shape = [size if isinstance(size, int) else 1 for size in fusion.inputs[name]]
                feeds[name] = np.zeros(shape, np.float32)
        out.append(fusion(**{name: feeds[name] for name in fusion.inputs})["logits"][0])
    return softmax(np.array(out))


def _agreement(one: np.ndarray, other: np.ndarray) -> Agreement:
    same = one.argmax(1) == other.argmax(1)
    return Agreement(len(one), float(np.abs(one - other).max()), float(same.mean()))
