"""What more people would bring: an experiment's folds, each trained on ever more of the people that it may learn from.

Where the curve still rises with the last doubling, more people are worth more than another network; where it is flat,
they are not. Every point is of all people, each judged by models that have not met them, several times: with other
folds and other people to learn from. As many steps are made with few people as with all. Of a corpus that is only
trained on as large a share is learned from, but its people are not counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...corpora.folds import Fold
from ...errors import SettingsError
from ...evaluation.metrics import plain, score
from ...evaluation.plots import learning_curves
from ..config.settings import ExperimentConfig
from ..runs.folder import check_origin, check_run, open_run
from ..runs.predictions import PREDICTIONS, OutOfFold
from ..runs.warm_start import encoder_runs
from ..samples.data import Data, load_data
from ..samples.origin import origin_of
from ..samples.variants import with_variants
from .experiment import make_folds, run_fold

#: Shares of the people who may be learned from.
SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
#: What a folder keeps of the curve.
CURVE, PICTURE = "learning_curve.json", "learning_curve.png"

Log = Callable[[str], None]


def measure_learning_curve(
    config: ExperimentConfig, folder: Path, *, repeats: int = 3, shares: Sequence[float] = SHARES, log: Log = print
) -> dict[str, Any]:
    """By source, a row for each share: people learned from, UA over all repeats with its 95 % interval by bootstrap
    over people, and the UA of each repeat. Written into `folder` with a picture; what is already there is kept.

    Raises `CorpusError` for broken data, `SettingsError` for encoders that come from runs, which know everybody, and
    where `folder` holds the curve of another experiment.
    """
    if encoder_runs(config):
        raise SettingsError("a learning curve needs encoders that know no people: leave their 'weights' away")
    cache = config.cache or str(folder.parent / ".features")
    config = replace(config, in_domain=False, cache=cache, folds=replace(config.folds, final=False, transfer=False))
    check_run(config, folder)
    data = load_data(config, log=log)
    origin = origin_of(config, data, ["final"])
    check_origin(origin, folder)
    open_run(config, origin, folder)
    data = replace(data, samples=with_variants(config, data.samples))
    parts: dict[float, list[OutOfFold]] = {share: [] for share in shares}
    people: dict[float, list[int]] = {share: [] for share in shares}
    for repeat in range(repeats):
        seeded = replace(config, seed=config.seed + repeat)
        for share in shares:
            epochs, patience = (round(count / share) for count in (config.optimiser.epochs, config.optimiser.patience))
            longer = replace(seeded, optimiser=replace(config.optimiser, epochs=epochs, patience=patience))
            found = []
            for number, fold in enumerate(make_folds(config.folds, data, seeded.seed)):
                few = _with_fewer_people(data, fold, share, np.random.default_rng((seeded.seed, number)))
                people[share].append(len(data.people(index for index in few.train if data.entries[index].test)))
                place = folder / f"repeat{repeat}" / f"{share:g}" / f"fold{number}"
                title = f"repeat {repeat + 1}/{repeats}, {share:.0%} of the people, fold {number + 1}"
                found.append(run_fold(longer, data, few, place, title, log)[0][PREDICTIONS])
            parts[share].append(OutOfFold.join(found))
    curve = {
        source: [_row([rows.of(source) for rows in parts[share]], people[share]) for share in shares]
        for source in parts[shares[0]][0].sources
    }
    (folder / CURVE).write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
    learning_curves(
        {source: [(row["people"], row["ua"], *row["interval"]) for row in rows] for source, rows in curve.items()},
        folder / PICTURE,
        title=f"{config.name}, people whom it has not met",
    )
    return curve


def _with_fewer_people(data: Data, fold: Fold, share: float, rng: np.random.Generator) -> Fold:
    """The fold with a share of the training people of each corpus, so that what one of them alone shows is always
    there; those of a smaller share are among those of a larger one."""
    everybody = sorted(data.people(fold.train))
    kept = set()
    for corpus in sorted({corpus for corpus, _ in everybody}):
        own = [person for person in everybody if person[0] == corpus]
        order = rng.permutation(len(own))
        kept |= {own[index] for index in order[: max(1, round(share * len(own)))]}
    train = tuple(index for index in fold.train if data.people([index]) <= kept)
    return replace(fold, train=train)


def _row(repeats: Sequence[OutOfFold], people: Sequence[int]) -> Mapping[str, Any]:
    scores = score(OutOfFold.join(list(repeats)).predictions())
    each = [score(rows.predictions(), resamples=0).values["ua"] for rows in repeats]
    return {
        "people": round(float(np.mean(people)), 1),
        "ua": round(scores.values["ua"], 4),
        "interval": [plain(end, 4) for end in scores.intervals["ua"]],
        "each": [round(value, 4) for value in each],
    }
