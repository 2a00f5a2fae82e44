"""From the probability of a word's tokens to the share of such words that are right."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from ..errors import TranscriberError
from ..resources import whisper_confidence_file

#: Probabilities nearer to 0 and 1 are not told apart.
EDGE = 1e-4


@dataclass(frozen=True)
class ConfidenceMap:
    """Beta calibration (Kull, Silva Filho & Flach 2017): the log-odds of being right are `certain` times the logarithm
    of a probability p, less `doubtful` times that of 1 - p, and `offset`. It never falls, as neither factor is
    negative; with 1, 1 and 0 nothing is changed.
    """

    certain: float = 1.0
    doubtful: float = 1.0
    offset: float = 0.0

    def __call__(self, probability: float) -> float:
        """0..1 to 0..1."""
        value = min(max(probability, EDGE), 1.0 - EDGE)
        log_odds = self.certain * math.log(value) - self.doubtful * math.log(1.0 - value) + self.offset
        return 1.0 / (1.0 + math.exp(-log_odds))


def read_confidence_map(path: Path | None = None) -> ConfidenceMap:
    """From a file that `mser hearing confidence --fit` wrote: that of this package unless one is named.

    Raises `TranscriberError` for a file that holds no such map.
    """
    path = path or whisper_confidence_file()
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        found = ConfidenceMap(*(float(values[name]) for name in ("certain", "doubtful", "offset")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise TranscriberError(
            f"'{path}' holds no map of confidences ({error}): install this package again, or call 'mser hearing "
            "confidence --fit'"
        ) from None
    if not (found.certain >= 0 and found.doubtful >= 0 and math.isfinite(found.offset)):
        raise TranscriberError(f"the map of confidences in '{path}' falls: 'certain' and 'doubtful' must be 0 or more")
    return found
