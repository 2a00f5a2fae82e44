"""The arithmetic that turns scores into posteriors and joins them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: Smallest probability that enters a logarithm: one confident mistake must not silence every other modality.
FLOOR = 1e-6


def softmax(scores: np.ndarray) -> np.ndarray:
    """Posterior of scores along the last axis, in float64."""
    shifted = np.exp(np.asarray(scores, np.float64) - np.max(scores, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def log_linear(
    posteriors: Mapping[str, np.ndarray], weights: Mapping[str, float], prior: np.ndarray, *, temperature: float = 1.0
) -> np.ndarray:
    """Fuse posteriors by their weighted product, each relative to the prior; shapes (..., C), result (..., C).

    log p = log prior + sum_m w_m (log p_m - log prior). With weights of 1 this is exact for modalities that are
    independent given the class; smaller ones discount what they have in common (logarithmic pool, Genest & Zidek 1986).
    """
    log_prior = np.log(np.asarray(prior, np.float64) / np.sum(prior))
    scores = log_prior + sum(
        weights[name] * (np.log(np.maximum(posterior, FLOOR)) - log_prior) for name, posterior in posteriors.items()
    )
    return softmax(scores / temperature)


def despite_plain_words(posterior: np.ndarray, prior: np.ndarray, neutral: int, share: float) -> np.ndarray:
    """What words tell of a feeling where this share of what is said with a feeling is worded as if there were none.

    `posterior`: what the words themselves show, (..., C); its result too. A feeling is then as likely behind them as
    1 - share of its own words and share of those of class `neutral` make it, so that plain words say little against a
    voice, while words that show a feeling say nearly what they said.
    """
    likelihood = np.asarray(posterior, np.float64) / prior
    mixed = (1 - share) * likelihood + share * likelihood[..., [neutral]]
    weighed = mixed * prior
    return weighed / weighed.sum(axis=-1, keepdims=True)
