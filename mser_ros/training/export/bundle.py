"""From finished runs to a bundle: graphs, calibration, fusion, manifest, model card, licences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnx

from ...corpora.phrases import read_phrases
from ...errors import SettingsError
from ...evaluation.checklist import measure_checklist, share_passed
from ...labels import LABELS
from ...model_store.store import ModelStore
from ...recognition.bundle import ModalitySpec, load_bundle, read_spec, weights_of, write_manifest
from ...recognition.graph import Graph
from ...recognition.readers import TextReader, make_tokenizer
from ...resources import checklist_file
from ..fit.domain import restore_judge
from ..fit.predicting import restore
from ..runs.finished import FinishedRun, read_runs
from ..runs.predictions import OutOfFold
from ..samples.data import load_data
from ..samples.inputs import how_fed, load_tokenizer
from .agreement import CHECKED, Comparison
from .card import model_card
from .decision_fit import fit_decision, measure_decision
from .delta import fold_low_rank, leave_weights
from .fusion_fit import EVEN, PLAIN_WORDS, Fused, Trial, combine, fuse, measure, predictions_of, try_out
from .graphs import write_graph
from .licences import licence_notices
from .manifest import modality_entry
from .pictures import draw_trust
from .quantise import shrink
from .rest import Exported, Rest, keep_predictions
from .streams import export_streams
from .target import check_target, replacing

Log = Callable[[str], None]

#: How often the people are divided anew to measure what sets of classes keep.
_DIVISIONS = 10


def export_bundle(
    folders: Sequence[Path],
    out: Path,
    *,
    name: str = "",
    version: str = "0.1.0",
    int8: bool = True,
    delta: bool = False,
    fallback: Path | None = None,
    rest: Path | None = None,
    moved: Mapping[str, str] | None = None,
    log: Log = print,
) -> None:
    """Write a bundle of one run per modality, or of one run of several, which replaces `out` as a whole once all has
    worked (see `target.replacing`). Of no run, the rest is weighed anew.

    `delta`: of encoders with a fine-tuning of low rank only that is shipped, and `mser models get` makes the rest.
    `fallback`: a run that takes the place of that of its modality where this has not been done.
    `rest`: a bundle whose other modalities are taken over as they are; fusion and decision are fitted anew.
    `moved`: where the runs' corpora lie now, by name.

    Raises `SettingsError` (an unfinished run, two of one modality, `out` is something else than a bundle),
    `CorpusError` (the data for the check is missing).
    """
    check_target(out)
    if not folders and not rest:
        raise SettingsError("there is nothing to export: name a run, or a bundle with --rest")
    known = read_runs([*folders, *([fallback] if fallback else [])], moved or {})
    runs, poorer = known[: len(folders)], known[-1] if fallback else None
    _check_runs(runs, poorer, rest=rest, delta=delta)
    names = [run.modality for run in runs]
    # What ships without its weights needs a fallback still: that of the bundle, where there is no other.
    replaced = [poorer.modality] if poorer else [] if delta else names
    others = Rest.read(rest, without=names, without_fallback=replaced) if rest else None
    models: dict[str, Exported] = {}
    with replacing(out) as folder:
        if any(map(_has_several, runs)):
            modalities, fused = export_streams(runs[0], folder, int8=int8, log=log)
        else:
            for run in runs:
                weights = f"{name or out.name}-{run.modality}" if delta else ""
                models[run.modality] = _export_modality(run, folder, int8=int8, log=log, weights=weights)
            if others:
                others.copy(folder)
                _ask_anew(others, folder)
                models = {name: {**models, **others.models}[name] for name in dict.fromkeys([*others.order, *models])}
            modalities = {name: model.entry for name, model in models.items()}
            fused = fit_log_linear({name: model.rows for name, model in models.items()}, modalities)
        manifest: dict[str, Any] = {
            "name": name or out.name,
            "version": version,
            "labels": list(LABELS),
            "modalities": modalities,
            "fusion": fused.entry,
            "decision": fused.decision,
        }
        instead = dict(others.fallback) if others else {}
        if poorer:
            stem = f"{poorer.modality}_small"
            instead[poorer.modality] = _export_modality(poorer, folder, int8=int8, log=log, stem=stem)
        pictured = {"fused": fused.judged} if fused.judged else {}
        if instead:
            manifest["fallback"], poorly = _fallback(instead, models)
            pictured |= {"fused, fallback": poorly.judged} if poorly.judged else {}
        judged = {name: model.rows for name, model in models.items()}
        judged |= {f"{name}, fallback": model.rows for name, model in instead.items()}
        synthetic = fused.entry.get("metrics", {}).get("synthetic", False)
        manifest["picture"] = draw_trust(judged, folder, fused=pictured, synthetic=synthetic)
        (folder / "MODEL_CARD.md").write_text(model_card(manifest), encoding="utf-8")
        for file, text in licence_notices(manifest).items():
            (folder / file).write_text(text, encoding="utf-8")
        write_manifest(folder, manifest)
        for published in weights_of(folder):  # here, too, they are wanted
            ModelStore(more=[published]).get(published.name)
        bundle = load_bundle(folder)
    log(f"{out}: {bundle.size_bytes / 1e6:.1f} MB")


def _check_runs(runs: Sequence[FinishedRun], poorer: FinishedRun | None, *, rest: Path | None, delta: bool) -> None:
    """Raises `SettingsError` for runs that cannot be exported, or not together."""
    for run in (*runs, *([poorer] if poorer else [])):
        run.check_exportable()
    names = [run.modality for run in runs]
    several = [run.folder for run in runs if _has_several(run)]
    if several and len(runs) > 1:
        raise SettingsError(f"the run in {several[0]} has several modalities: export it alone")
    if len(set(names)) != len(names):
        raise SettingsError("two of these runs are of the same modality: name one of each")
    if poorer and (several or poorer.modality not in names or not delta):
        raise SettingsError("a fallback takes the place of one of several runs that are exported with --delta")
    if rest and several:
        raise SettingsError("a run of several modalities has a fusion of its own: nothing can be put beside it")


def _has_several(run: FinishedRun) -> bool:
    """Whether a run is of several modalities, which were trained together."""
    return len(run.config.modalities) > 1


def _fallback(poorer: Mapping[str, Exported], models: Mapping[str, Exported]) -> tuple[dict[str, Any], Fused]:
    """What differs in the manifest where these models take the place of those of their modality, and how all are fused
    then."""
    together = {**models, **poorer}
    entries = {name: dict(model.entry) for name, model in together.items()}
    fused = fit_log_linear({name: model.rows for name, model in together.items()}, entries)
    modalities = {name: entry if name in poorer else {"weight": entry["weight"]} for name, entry in entries.items()}
    return {"modalities": modalities, "fusion": fused.entry, "decision": fused.decision}, fused


def _export_modality(
    run: FinishedRun, folder: Path, *, int8: bool, log: Log, stem: str = "", weights: str = ""
) -> Exported:
    """`stem`: of its files' names. `weights`: the name in `mser models` of what is left to the published model."""
    modality, config = run.modality, run.config
    network = restore(config, run.final_weights)
    factors = fold_low_rank(network)
    graph = folder / f"{stem or modality}.onnx"
    samples = load_data(config, limit=CHECKED, log=lambda _text: None).samples
    judge = restore_judge(config, network, run.final_weights.parent) if config.in_domain else None
    write_graph(network, modality, config, graph, judge=judge)
    whole = onnx.load(graph)
    made = shrink({modality: graph}, Comparison(network, config, samples), int8=int8, log=log)
    entry = modality_entry(run, modality, folder, run.rows(), *made[modality], stem=graph.stem)
    if modality == "text":
        spec = ModalitySpec(graph.name, **how_fed(config, "text"))
        entry["checklist"] = _checklist(TextReader(spec, Graph(graph), load_tokenizer(config)))
    if factors and weights:
        entry["weights"] = leave_weights(graph, whole, network, factors, entry["base"], weights)
    rows = run.rows_of_strangers()
    keep_predictions(entry, rows, folder)
    return Exported(entry, rows)


def _ask_anew(others: Rest, folder: Path) -> None:
    """Have models of words that are taken over say what they make of sentences that were not asked when they were
    exported. Not those whose weights lie elsewhere."""
    kinds = read_phrases(checklist_file())
    for model in (*others.models.values(), *others.fallback.values()):
        entry = model.entry
        if "checklist" in entry and "weights" not in entry and kinds.keys() != entry["checklist"]["kinds"].keys():
            spec = read_spec(entry)
            tokenizer = make_tokenizer((folder / spec.tokenizer).read_text(encoding="utf-8"), spec.max_tokens)
            entry["checklist"] = _checklist(TextReader(spec, Graph(folder / spec.graph), tokenizer))


def _checklist(reader: TextReader) -> dict[str, Any]:
    """What a graph that ships makes of the sentences of `mser checklist`, kind by kind: right, of so many."""
    outcomes = measure_checklist(
        read_phrases(checklist_file()), lambda text: LABELS[int(reader.run(text)["logits"].argmax())]
    )
    found = {item.kind: [item.total - len(item.failed), item.total] for item in outcomes}
    return {"passed": round(share_passed(outcomes), 4), "kinds": found}


def fit_log_linear(rows: Mapping[str, OutOfFold], modalities: dict[str, Any]) -> Fused:
    """How separately trained modalities are fused; sets `weight` in their entries. `rows`: what each predicted of
    people and, where that is known, of corpora that it had not met, so that its weight is what it has earned there as
    well."""
    temperatures = {name: entry["temperature"] for name, entry in modalities.items()}
    try:
        combined = combine(rows, temperatures)
        trial = try_out(rows, EVEN)
    except SettingsError:
        if len(rows) > 1:
            raise
        return Fused({"kind": "log_linear", "prior": EVEN.tolist(), "temperature": 1.0}, {}, None)
    fit = fuse(combined, EVEN)
    decision = fit_decision(combined, fit, EVEN)
    decision["metrics"] = measure_decision([trial, *_more_divisions(rows)], EVEN)
    entry: dict[str, Any] = {"kind": "log_linear", "prior": EVEN.tolist(), "temperature": round(fit.temperature, 4)}
    if len(rows) > 1:
        for name, weight in fit.weights.items():
            modalities[name]["weight"] = round(weight, 4)
        if "text" in rows:
            entry["plain_words"] = PLAIN_WORDS
        entry["metrics"] = measure(trial, EVEN)
    judged = predictions_of(trial.met, list(rows), trial.fit, EVEN) if len(rows) > 1 else None
    return Fused(entry, decision, judged)


def _more_divisions(rows: Mapping[str, OutOfFold]) -> Iterator[Trial]:
    """Others than the first: what sets of classes keep differs from one half of few people to the next."""
    for seed in range(1, _DIVISIONS):
        with suppress(SettingsError):  # few people: not each half of them has every class
            yield try_out(rows, EVEN, seed=seed)
