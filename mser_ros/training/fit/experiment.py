"""One experiment from data to out-of-fold predictions and a final model, in a run folder that can be resumed.

::

    RUN/config.yaml environment.json corpora.json      what was run, on what, whom the final model has seen
        origin.json                                    hashes of the data and encoders that it was begun with
        fold0/ … final/                                metrics.csv, TensorBoard events, best and last .safetensors
        predictions.npz summary.json confusion_*.png   of everybody, each by the model that never saw them
        predictions_speech+text.npz …                  the same with these modalities alone, if there are several
        without_ravdess/ … transfer.npz                of each corpus, by a model that learned from the others alone
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...corpora import folds as split
from ...errors import SettingsError
from ...evaluation.concordance import concordance
from ...evaluation.metrics import plain, score
from ...evaluation.plots import confusion_matrix
from ...labels import LABELS
from ...types import subsets_of
from ..config.settings import ExperimentConfig, FoldsConfig
from ..models.build import build_model
from ..runs.folder import Origin, check_origin, check_run, note_corpora, open_run, read_corpora
from ..runs.predictions import PREDICTIONS, TRANSFER, OutOfFold, describe, subset_file
from ..runs.warm_start import BEST, People, check_folds, check_tested, encoder_runs, write_fold
from ..samples.data import Data, load_data
from ..samples.features import with_features
from ..samples.inputs import Sample
from ..samples.origin import origin_of
from ..samples.variants import with_variants
from .domain import FOUND, can_judge, fit_domain, summarise_judges
from .fitting import FITTED, Fitted, check_numbers, fit, leads
from .predicting import predict_subsets

Log = Callable[[str], None]


def run_experiment(config: ExperimentConfig, folder: Path, *, log: Log = print) -> dict[str, Any]:
    """Train every fold and the final model; what is already in `folder` is kept. Returns the summary.

    Raises `CorpusError` for broken data, `SettingsError` where `folder` holds another experiment, or one that was begun
    with other data or encoders.
    """
    if not leads():
        log = _silent
    check_run(config, folder)
    if config.in_domain and not can_judge(config):
        raise SettingsError("in_domain is for experiments of one modality, voices or bodies: set it to false")
    build_model(config, fold="fold0")  # what it lacks is better told before minutes of reading than after
    for run in encoder_runs(config):
        read_corpora(run)
    data = load_data(config, log=log)
    plan = make_folds(config.folds, data, config.seed)
    for number, fold in enumerate(plan):
        check_folds(config, f"fold{number}", _sides(data, fold))
    transfers = make_transfers(config, data, log=log) if config.folds.transfer else []
    origin = _origin(config, data, plan)
    check_origin(origin, folder)
    if leads():
        open_run(config, origin, folder)
    data = replace(data, samples=with_variants(config, data.samples))
    parts, fitted = [], []
    for number, fold in enumerate(plan):
        part, result = run_fold(config, data, fold, folder / f"fold{number}", f"fold {number + 1}/{len(plan)}", log)
        parts.append(part)
        fitted.append(result)
    usual = round(float(np.median([result.epoch + 1 for result in fitted])))
    if config.folds.final:
        _run_final(config, data, plan, usual, folder, log)
    transferred = [
        run_fold(config, data, fold, folder / fold.name, fold.name.replace("_", " "), log, epochs=usual)[0]
        for fold in transfers
    ]
    if not leads():
        return {}
    trained = _trained_on(config, data, plan)
    note_corpora(config, data.corpora, data.people(trained), folder, rated=data.rated(trained))
    joined = {name: OutOfFold.join([part[name] for part in parts]) for name in parts[0]}
    for name, rows in joined.items():
        rows.save(folder / name)
    predictions = joined.pop(PREDICTIONS)
    summary = summarise(predictions, fitted)
    if joined:
        summary["subsets"] = {
            "+".join(subset): summarise(joined[subset_file(subset, config.modalities)], [])
            for subset in subsets_of(config.modalities)[1:]
        }
    if config.folds.final:
        summary["final_epochs"] = usual
    if transferred:
        rows = OutOfFold.join([part[PREDICTIONS] for part in transferred])
        rows.save(folder / TRANSFER)
        summary["transfer"] = summarise(rows, [])
    if config.in_domain:
        summary["in_domain"] = summarise_judges([folder / f"fold{number}" for number in range(len(plan))], data.corpora)
        summary["in_domain"]["transfer"] = {
            fold.name: summarise_judges([folder / fold.name], data.corpora)["people_out"] for fold in transfers
        }
    summary["synthetic"] = [source for source in predictions.sources if _mark(data, source)]
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    for source in predictions.sources:
        scores = score(predictions.of(source).predictions())
        path = folder / f"confusion_{source.replace(':', '_')}.png"
        confusion_matrix(scores, path, title=f"{config.name} on {source}, out of fold{_mark(data, source)}")
    return summary


def _silent(_text: str) -> None:
    pass


def _origin(config: ExperimentConfig, data: Data, plan: Sequence[split.Fold]) -> Origin:
    return origin_of(config, data, [*(f"fold{number}" for number in range(len(plan))), "final"])


def load_folds(config: ExperimentConfig, folder: Path, *, log: Log = print) -> tuple[Data, list[split.Fold]]:
    """The data of a run that is trained, and its folds.

    Raises `SettingsError` where they are not those that it was trained with: its folds would judge whom they have met.
    """
    data = load_data(config, log=log)
    plan = make_folds(config.folds, data, config.seed)
    check_origin(_origin(config, data, plan), folder, cure="train anew in another folder")
    for number, fold in enumerate(plan):
        place = folder / f"fold{number}"
        if not (place / BEST).is_file():
            raise SettingsError(f"the weights {place / BEST} are gone: train the run again")
        check_tested(place, data.people(fold.test))
    return data, plan


def make_folds(config: FoldsConfig, data: Data, seed: int) -> list[split.Fold]:
    """Folds over the tested corpora; those that are only trained on join every training set."""
    tested = [index for index, entry in enumerate(data.entries) if entry.test]
    items = [data.items[index] for index in tested]
    if config.scheme == "people":
        plan = split.by_people(items, k=config.count, seed=seed)
    elif config.scheme == "group":
        plan = split.by_group(items)
    else:
        plan = split.by_split(items, seed=seed)
    extra = tuple(index for index, entry in enumerate(data.entries) if not entry.test)
    out = []
    for fold in plan:
        train, validation, test = (tuple(tested[i] for i in part) for part in (fold.train, fold.validation, fold.test))
        if config.validation == "test":
            train, validation = train + validation, test
        elif config.validation == "none":
            train, validation = train + validation, ()
        out.append(split.Fold(fold.name, train + _without(data, extra, validation + test), validation, test))
    if config.test_group:
        out = [fold for fold in out if config.test_group in {data.items[index].group for index in fold.test}]
        if not out:
            raise SettingsError(f"folds.test_group '{config.test_group}' is no group of this corpus")
    return out[: config.only or None]


def make_transfers(config: ExperimentConfig, data: Data, *, log: Log = print) -> list[split.Fold]:
    """For each tested corpus a fold that tests all of it and trains on the others, where these show all of its classes.

    Raises `SettingsError` where there are no others, or an encoder comes from a run, which knows all of them.
    """
    tested = sorted({item.corpus for item, entry in zip(data.items, data.entries, strict=True) if entry.test})
    if len({item.corpus for item in data.items}) < 2:
        raise SettingsError("folds.transfer needs two corpora or more: name another one, or set it to false")
    if encoder_runs(config):
        raise SettingsError("folds.transfer needs encoders that know no corpus: leave their 'weights' away")
    out = []
    for corpus in tested:
        train = tuple(index for index, item in enumerate(data.items) if item.corpus != corpus)
        test = tuple(
            index for index, item in enumerate(data.items) if item.corpus == corpus and data.entries[index].test
        )
        learned = {data.items[index].label for index in train if data.entries[index].repeat}
        lacking = [label for label in LABELS if label in {data.items[index].label for index in test} - learned]
        if lacking:
            log(f"{corpus} is not predicted from the other corpora, in which nobody is {' or '.join(lacking)}")
        else:
            out.append(split.Fold(f"without_{corpus}", train, (), test))
    return out


def _without(data: Data, indices: Sequence[int], held_out: Sequence[int]) -> tuple[int, ...]:
    people = {person for index in held_out for person in data.items[index].people}
    return tuple(index for index in indices if not people & set(data.items[index].people))


def run_fold(
    config: ExperimentConfig, data: Data, fold: split.Fold, folder: Path, title: str, log: Log, epochs: int = 0
) -> tuple[dict[str, OutOfFold], Fitted]:
    """Train one fold in `folder`, unless that is done: predictions of its test set, by the name of their file."""
    subsets = {subset_file(subset, config.modalities): subset for subset in subsets_of(config.modalities)}
    if (folder / PREDICTIONS).is_file():
        return {name: OutOfFold.load(folder / name) for name in reversed(subsets)}, Fitted.load(folder)
    sides = _sides(data, fold)
    inherited = check_folds(config, folder.name, sides)
    write_fold(folder, {name: people | inherited.get(name, set()) for name, people in sides.items()})
    data = _with_features(config, data, folder)
    network, result = fit(
        config,
        train=data.repeated(fold.train),
        validation=[data.samples[index] for index in fold.validation] or None,
        folder=folder,
        title=title,
        epochs=epochs,
    )
    tested = [data.samples[index] for index in fold.test]
    in_domain = None
    if config.in_domain:
        judged = fit_domain(
            config, network, train=_named(data, fold.train), test=_named(data, fold.test), folder=folder
        )
        in_domain = judged.in_domain
        log(f"{title}: {judged}")
    predicted = predict_subsets(config, network, tested, list(subsets.values()))
    there = {
        name: np.array([any(sample.has(one) for one in subset) for sample in tested])
        for name, subset in subsets.items()
    }
    found = dict(zip(subsets, predicted.logits, strict=True))
    check_numbers((torch.from_numpy(found[name][there[name]]) for name in subsets), title)
    items, sources = [data.items[i] for i in fold.test], [data.entries[i].source for i in fold.test]
    out = {}
    for name in reversed(subsets):
        affect = predicted.affect if name == PREDICTIONS else None
        out[name] = describe(items, sources, found[name], fold.name, affect, in_domain).select(there[name])
        if leads():
            out[name].save(folder / name)  # that of all modalities is the last one: with it the fold is done
    ua = score(out[PREDICTIONS].predictions(), resamples=0).values["ua"]
    chosen = f"epoch {result.epoch + 1}"
    if fold.validation:
        chosen = f"validation {config.optimiser.metric.upper()} {result.score:.3f} at {chosen}"
    log(f"{title}: {chosen}, test UA {ua:.3f}{_speed(result)}")
    return out, result


def _with_features(config: ExperimentConfig, data: Data, folder: Path) -> Data:
    cache = Path(config.cache).expanduser() if config.cache else folder.parent.parent / ".features"
    return replace(data, samples=with_features(config, data.samples, fold=folder.name, cache=cache))


def _named(data: Data, indices: Sequence[int]) -> list[tuple[str, Sample]]:
    """People and their samples."""
    return [(f"{data.items[index].corpus}-{data.items[index].person}", data.samples[index]) for index in indices]


def _sides(data: Data, fold: split.Fold) -> dict[str, People]:
    parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
    return {name: data.people(indices) for name, indices in parts.items()}


def _speed(result: Fitted) -> str:
    found = result.throughput
    if not found.get("utterances_per_s"):
        return ""
    gpu = f", GPU {found['gpu_use']:.0%} busy" if "gpu_use" in found else ""
    return f" ({found['utterances_per_s']:.0f} utterances/s, {found['memory_mb']:.0f} MB{gpu})"


def _run_final(
    config: ExperimentConfig, data: Data, plan: Sequence[split.Fold], epochs: int, folder: Path, log: Log
) -> None:
    """Train on everybody, for as long as was best in the folds; with a single fold its model is the final one."""
    final = folder / "final"
    if len(plan) > 1 and not _is_done(config, final):
        trained = _trained_on(config, data, plan)
        data = _with_features(config, data, final)
        folds = [folder / f"fold{number}" / BEST for number in range(len(plan))]
        everybody = data.repeated(trained)
        network, _ = fit(
            config, train=everybody, validation=None, folder=final, title="final", epochs=epochs, folds=folds
        )
        if config.in_domain:
            fit_domain(config, network, train=_named(data, trained), test=(), folder=final)
        log(f"final model: {epochs} epochs on everybody")


def _is_done(config: ExperimentConfig, final: Path) -> bool:
    return (final / FITTED).is_file() and (not config.in_domain or (final / FOUND).is_file())


def _trained_on(config: ExperimentConfig, data: Data, plan: Sequence[split.Fold]) -> Sequence[int]:
    """What the model learned that the run ends with; without one, whatever any fold learned."""
    if len(plan) == 1:
        return plan[0].train
    if config.folds.final:
        return range(len(data.items))
    return sorted({index for fold in plan for index in fold.train})


def _mark(data: Data, source: str) -> str:
    """What must stand wherever a figure of this source stands."""
    return ", SYNTHETIC" if data.corpora[source.partition(":")[0]].synthetic else ""


def summarise(predictions: OutOfFold, fitted: Sequence[Fitted]) -> dict[str, Any]:
    """Figures by source, from out-of-fold predictions."""
    summary: dict[str, Any] = {"seconds": round(sum(result.seconds for result in fitted))} if fitted else {}
    for source in predictions.sources:
        rows = predictions.of(source)
        scores = score(rows.predictions())
        summary[source] = {
            "items": len(rows),
            "people": len(rows.people),
            **{name: round(scores.values[name], 4) for name in ("ua", "wa", "macro_f1")},
            "intervals": {name: [plain(end, 4) for end in scores.intervals[name]] for name in ("ua", "wa", "macro_f1")},
        }
        if np.isfinite(rows.affect).any():
            found = concordance(rows.affect_truth, rows.affect, rows.cluster)
            named = zip(("valence", "arousal"), found, strict=True)
            summary[source]["ccc"] = {name: [plain(number, 4) for number in numbers] for name, numbers in named}
    return summary
