"""What a few labelled clips of somebody are worth: each person of a finished run is once the one whom a robot lives
with, whose clips are learned from beside everybody that the fold's model knows, as `mser train --add` does it.

Judged on that person's other clips, with the model that never met them and with the one that did.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...corpora.base import Item
from ...errors import SettingsError
from ...evaluation.metrics import plain
from ...evaluation.resampling import is_alone, replicates
from ..config.files import OWN_REPEAT
from ..progress import track
from ..runs.finished import HOUSEHOLD, FinishedRun
from ..runs.warm_start import BEST
from ..samples.variants import with_variants
from .experiment import load_folds
from .fitting import Fitted, fit
from .predicting import predict, restore

#: Clips of somebody from which a figure is made at least.
_LEAST = 2
_RESAMPLES = 2000


def measure_household(
    folder: Path,
    *,
    clips: int = 20,
    moved: Mapping[str, str] | None = None,
    log: Callable[[str], None] = print,
) -> dict[str, dict[str, Any]]:
    """Learn `clips` clips of each person in turn, of every class as many and at most half of what there is; kept in the
    run's folder and returned, by source. `moved`: where the run's corpora lie now, by name.

    Raises `SettingsError` for a run of several modalities, one without folds of people, whose weights are gone, or
    whose data have changed since.
    """
    config = FinishedRun.read(folder, moved=moved).config
    if len(config.modalities) != 1 or config.folds.scheme == "split":
        raise SettingsError(f"the run in {folder} does not test people by folds with one modality: nothing to measure")
    data, plan = load_folds(config, folder, log=log)
    data = replace(data, samples=with_variants(config, data.samples))
    found: dict[str, list[tuple[str, int, float, float]]] = {}
    for number, fold in enumerate(plan):
        weights = folder / f"fold{number}" / BEST
        before, epochs = restore(config, weights), Fitted.load(weights.parent).epoch + 1
        train = data.repeated(fold.train)
        people: dict[tuple[str, str], list[int]] = {}
        for index in fold.test:
            people.setdefault((data.entries[index].source, data.items[index].person), []).append(index)
        for (source, person), indices in track(list(people.items()), f"fold {number + 1}/{len(plan)}"):
            own = set(choose_clips(data.items, indices, clips, seed=config.seed))
            rest = [index for index in indices if index not in own]
            if len(own) < _LEAST or len(rest) < _LEAST:
                continue
            with tempfile.TemporaryDirectory() as scratch:
                after, _ = fit(
                    config,
                    train=[*train, *(data.samples[index] for index in own for _ in range(OWN_REPEAT))],
                    validation=None,
                    folder=Path(scratch) / weights.parent.name,  # encoders of other runs are those of this fold
                    title=person,
                    epochs=epochs,
                )
            samples, truth = [data.samples[i] for i in rest], np.array([data.samples[i].label for i in rest])
            known, learned = (_ua(truth, predict(config, network, samples)) for network in (before, after))
            found.setdefault(source, []).append((person, len(own), known, learned))
    if not found:
        raise SettingsError(
            f"nobody whom the run in {folder} tests has clips enough to learn {clips} of: each class needs one to "
            "learn and one to judge; name more with --clips, or measure a run with more of each person"
        )
    summary = {source: _summarise(rows) for source, rows in found.items()}
    (folder / HOUSEHOLD).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def choose_clips(items: Sequence[Item], indices: Sequence[int], clips: int, *, seed: int) -> list[int]:
    """So many of a person's items, of every class as many, drawn at random; at most half of those of a class."""
    by_class: dict[str, list[int]] = {}
    for index in indices:
        by_class.setdefault(items[index].label, []).append(index)
    rng = np.random.default_rng((seed, len(indices)))
    return [
        index
        for _, same in sorted(by_class.items())
        for index in rng.permutation(same)[: min(len(same) // 2, clips // len(by_class))].tolist()
    ]


def _ua(truth: np.ndarray, logits: np.ndarray) -> float:
    """The mean recall of the classes that somebody shows."""
    right = logits.argmax(1) == truth
    return float(np.mean([right[truth == kind].mean() for kind in np.unique(truth)]))


def _summarise(rows: Sequence[tuple[str, int, float, float]]) -> dict[str, Any]:
    """Means over people, each counting alike; the interval of the gain by bootstrap over people, None of
    a single one."""
    clips, before, after = np.array([row[1:] for row in rows]).T
    gain = after - before
    people = np.array([row[0] for row in rows])
    ends = np.full(2, np.nan)
    if not is_alone(people):
        drawn = replicates(people, resamples=_RESAMPLES, seed=0)
        means = np.concatenate([weights @ gain / weights.sum(1) for weights in drawn])
        ends = np.quantile(means, [0.025, 0.975])
    return {
        "people": len(rows),
        "clips": round(float(clips.mean()), 1),
        "before": round(float(before.mean()), 4),
        "after": round(float(after.mean()), 4),
        "gain": [plain(number, 4) for number in (gain.mean(), *ends)],
        "better": int((gain > 0).sum()),
        "worse": int((gain < 0).sum()),
    }
