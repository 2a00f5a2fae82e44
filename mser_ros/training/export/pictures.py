"""The picture of a model card: how far each model's confidence can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...evaluation.metrics import Predictions
from ...evaluation.plots import trust
from ..runs.predictions import UNMET, OutOfFold
from .temperatures import fit_temperatures, shipped

TRUST = "trust.png"


def draw_trust(
    models: Mapping[str, OutOfFold], folder: Path, *, fused: Mapping[str, Predictions], synthetic: bool = False
) -> str:
    """Draw the reliability and the risk-coverage curve of each model into `folder`; the name of the file.

    `models`: what each predicted of people, and of corpora, that it had not met. `fused`: what all together made of
    such people, by name; they may be put together of several: `synthetic`.
    """
    panels: dict[str, Predictions] = {}
    for name, rows in models.items():
        strange = np.char.endswith(rows.source, UNMET)
        temperatures = fit_temperatures(rows.select(~strange))
        panels[name] = temperatures.predictions(rows.select(~strange))
        if strange.any():
            panels[f"{name}{UNMET} corpora"] = shipped(rows.select(strange), temperatures.shipped)
    for name, judged in fused.items():
        panels[f"{name}, SYNTHETIC" if synthetic else name] = judged
    trust(panels, folder / TRUST)
    return TRUST
