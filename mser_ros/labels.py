"""The four classes, how corpora name them, and where they lie on the plane of valence and arousal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

#: The classes of 4-class IEMOCAP, in the order of every probability vector of this package.
LABELS: tuple[str, ...] = ("angry", "happy", "sad", "neutral")

#: What the label field says when the estimate abstains.
UNKNOWN = "unknown"

#: One colour per class, distinguishable with the common kinds of colour blindness (after Okabe & Ito 2008).
COLOURS: Mapping[str, str] = MappingProxyType(
    {"angry": "#D55E00", "happy": "#E6B800", "sad": "#0072B2", "neutral": "#8C8C8C", UNKNOWN: "#FFFFFF"}
)

#: Valence and arousal (-1..1) of each class: set by hand in the quadrants that Russell's circumplex of affect (1980)
#: gives them, not fitted to data.
VALENCE_AROUSAL: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"angry": (-0.6, 0.5), "happy": (0.9, 0.4), "sad": (-0.7, -0.4), "neutral": (0.0, 0.0)}
)

#: What people call the classes in lists of their own recordings.
OWN: Mapping[str, str] = MappingProxyType(
    {
        **{label: label for label in LABELS},
        **{"anger": "angry", "happiness": "happy", "joy": "happy", "sadness": "sad"},
        **{"ang": "angry", "hap": "happy", "neu": "neutral"},
    }
)

#: IEMOCAP's category codes; 'exc' counts as happy in the usual four classes (5,531 utterances).
IEMOCAP: Mapping[str, str] = MappingProxyType(
    {"ang": "angry", "hap": "happy", "exc": "happy", "sad": "sad", "neu": "neutral"}
)

#: GoEmotions' 27 emotions and neutral, as far as they fall into one of the four classes.
GOEMOTIONS: Mapping[str, str] = MappingProxyType(
    {
        "anger": "angry",
        "annoyance": "angry",
        "joy": "happy",
        "amusement": "happy",
        "excitement": "happy",
        "sadness": "sad",
        "grief": "sad",
        "disappointment": "sad",
        "remorse": "sad",
        "neutral": "neutral",
    }
)

#: All of them, and neutral.
GOEMOTIONS_NAMES = frozenset(GOEMOTIONS) | {
    "admiration", "approval", "caring", "confusion", "curiosity", "desire", "disapproval", "disgust", "embarrassment",
    "fear", "gratitude", "love", "nervousness", "optimism", "pride", "realization", "relief", "surprise",
}  # fmt: skip

#: MELD's seven emotions, as far as they are one of the four classes.
MELD: Mapping[str, str] = MappingProxyType({"anger": "angry", "joy": "happy", "sadness": "sad", "neutral": "neutral"})
MELD_NAMES = frozenset(MELD) | {"surprise", "fear", "disgust"}


def valence_arousal(labels: Sequence[str], probabilities: np.ndarray) -> tuple[float, float]:
    """Expected valence and arousal (each -1..1) of a posterior over `labels`.

    `probabilities`: shape (C,), sums to 1. Classes without a place on the plane count as its origin.
    """
    points = np.array([VALENCE_AROUSAL.get(label, (0.0, 0.0)) for label in labels])
    valence, arousal = np.asarray(probabilities) @ points
    return float(valence), float(arousal)
