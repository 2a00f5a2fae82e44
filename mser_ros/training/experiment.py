"""One experiment from data to out-of-fold predictions and a final model, in a run folder that can be resumed.

::

    RUN/config.yaml environment.json corpora.json      what was run, on what, whom the final model has seen
        fold0/ … final/                                metrics.csv, TensorBoard events, best and last .safetensors
        predictions.npz summary.json confusion_*.png   of everybody, each by the model that never saw them
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import SettingsError
from ..evaluation.metrics import score
from ..evaluation.plots import confusion_matrix
from ..labels import LABELS
from . import folds as split
from .config import ExperimentConfig, FoldsConfig
from .config_files import build_config, config_tree
from .corpora.base import Item
from .data import Data, load_data
from .environment import describe_environment
from .fitting import Fitted, fit, predict
from .predictions import OutOfFold

CONFIG = "config.yaml"
CORPORA = "corpora.json"

Say = Callable[[str], None]


def run_experiment(config: ExperimentConfig, folder: Path, *, say: Say = print) -> dict[str, Any]:
    """Train every fold and the final model; what is already in `folder` is kept. Returns the summary.

    Raises `CorpusError` for broken data, `SettingsError` where `folder` holds another experiment.
    """
    open_run(config, folder)
    data = load_data(config, say=say)
    plan = make_folds(config.folds, data, config.seed)
    (folder / "environment.json").write_text(json.dumps(describe_environment(), indent=2) + "\n", encoding="utf-8")
    parts, fitted = [], []
    for number, fold in enumerate(plan):
        part, result = _run_fold(config, data, fold, folder / f"fold{number}", f"fold {number + 1}/{len(plan)}", say)
        parts.append(part)
        fitted.append(result)
    predictions = OutOfFold.join(parts)
    predictions.save(folder / "predictions.npz")
    summary = summarise(predictions, fitted)
    if config.folds.final:
        summary["final_epochs"] = _run_final(config, data, plan, fitted, folder, say)
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    for source in predictions.sources:
        scores = score(predictions.of(source).predictions())
        path = folder / f"confusion_{source.replace(':', '_')}.png"
        confusion_matrix(scores, path, title=f"{config.name} on {source}, out of fold")
    return summary


def open_run(config: ExperimentConfig, folder: Path) -> None:
    """Make the run folder, or check that it holds this experiment."""
    if (folder / CONFIG).is_file():
        if read_config(folder) != config:
            raise SettingsError(f"{folder} holds a run with other settings: name another folder with --run")
        return
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(config_tree(config), sort_keys=False, allow_unicode=True)
    (folder / CONFIG).write_text(text, encoding="utf-8")


def read_config(folder: Path) -> ExperimentConfig:
    """The experiment of a run folder. Raises `SettingsError` where it is none."""
    path = folder / CONFIG
    if not path.is_file():
        raise SettingsError(f"{folder} is not a run folder, it has no {CONFIG}: name what 'mser train' wrote")
    return build_config(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))


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
        out.append(split.Fold(fold.name, train + _without(data, extra, validation + test), validation, test))
    if config.test_group:
        out = [fold for fold in out if config.test_group in {data.items[index].group for index in fold.test}]
        if not out:
            raise SettingsError(f"folds.test_group '{config.test_group}' is no group of this corpus")
    return out[: config.only or None]


def _without(data: Data, indices: Sequence[int], held_out: Sequence[int]) -> tuple[int, ...]:
    people = {person for index in held_out for person in data.items[index].people}
    return tuple(index for index in indices if not people & set(data.items[index].people))


def _run_fold(
    config: ExperimentConfig, data: Data, fold: split.Fold, folder: Path, title: str, say: Say
) -> tuple[OutOfFold, Fitted]:
    done = folder / "predictions.npz"
    if done.is_file():
        return OutOfFold.load(done), Fitted.load(folder)
    network, result = fit(
        config,
        train=data.repeated(fold.train),
        validation=[data.samples[index] for index in fold.validation],
        folder=folder,
        title=title,
    )
    logits = predict(config, network, [data.samples[index] for index in fold.test])
    predictions = describe(
        [data.items[i] for i in fold.test], [data.entries[i].source for i in fold.test], logits, fold.name
    )
    predictions.save(done)
    ua = score(predictions.predictions(), resamples=0).values["ua"]
    say(f"{title}: validation UA {result.score:.3f} at epoch {result.epoch + 1}, test UA {ua:.3f}")
    return predictions, result


def _run_final(
    config: ExperimentConfig, data: Data, plan: Sequence[split.Fold], fitted: Sequence[Fitted], folder: Path, say: Say
) -> int:
    """Train on everybody, for as long as was best in the folds; with a single fold its model is the final one."""
    single = len(plan) == 1
    trained = plan[0].train if single else tuple(range(len(data.items)))
    people: dict[str, set[str]] = {}
    for index in trained:
        for corpus, person in data.items[index].people:
            people.setdefault(corpus, set()).add(person)
    epochs = round(float(np.median([result.epoch + 1 for result in fitted])))
    if not single and not (folder / "final" / "best.safetensors").is_file():
        fit(
            config, train=data.repeated(trained), validation=None, folder=folder / "final", title="final", epochs=epochs
        )
        say(f"final model: {epochs} epochs on everybody")
    corpora = {
        name: {
            "licence": corpus.licence,
            "cluster_unit": corpus.cluster_unit,
            "synthetic": corpus.synthetic,
            "evaluation_only": corpus.evaluation_only,
            "note": corpus.note,
            "people": sorted(people.get(name, ())),
        }
        for name, corpus in data.corpora.items()
    }
    (folder / CORPORA).write_text(json.dumps(corpora, indent=1) + "\n", encoding="utf-8")
    return epochs


def final_weights(folder: Path) -> Path:
    """The weights that a run ends with: those of everybody's model, or of the only fold."""
    final = folder / "final" / "best.safetensors"
    return final if final.is_file() else folder / "fold0" / "best.safetensors"


def describe(items: Sequence[Item], sources: Sequence[str], logits: np.ndarray, fold: str) -> OutOfFold:
    """OutOfFold with the identity of their items."""
    return OutOfFold(
        source=np.array(sources, str),
        item_id=np.array([item.item_id for item in items], str),
        person=np.array([item.person for item in items], str),
        cluster=np.array([item.cluster for item in items], str),
        fold=np.full(len(items), fold),
        label=np.array([LABELS.index(item.label) for item in items], np.int64),
        logits=logits.astype(np.float32),
    )


def summarise(predictions: OutOfFold, fitted: Sequence[Fitted]) -> dict[str, Any]:
    """Figures by source, from out-of-fold predictions."""
    summary: dict[str, Any] = {"seconds": round(sum(result.seconds for result in fitted))}
    for source in predictions.sources:
        rows = predictions.of(source)
        scores = score(rows.predictions())
        summary[source] = {
            "items": len(rows),
            "people": len(set(rows.person.tolist())),
            **{name: round(scores.values[name], 4) for name in ("ua", "wa", "macro_f1")},
            "intervals": {name: [round(end, 4) for end in scores.intervals[name]] for name in ("ua", "wa", "macro_f1")},
        }
    return summary
