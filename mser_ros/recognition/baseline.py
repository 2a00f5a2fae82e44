"""How one voice usually sounds: what a person sounds like when nothing moves them is not what the average person does.

A voice that is loud and bright by nature looks angry to a model of everybody. The offset of one voice is estimated
while it talks, in the logits of a linear classifier, where it has the same effect as in the features. It starts from
that of the population, none, and moves as far as utterances outweigh how much voices differ (empirical Bayes). What an
utterance tells of the offset depends on what was felt in it, which nobody knows: the classes are weighed by how well
each explains the utterance with the offset so far, so that a voice that is angry from its first word stays angry.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Voices that are remembered; the one that was silent for longest is forgotten first.
_VOICES = 32
#: Keeps covariances of logits, which are known up to a constant only, from being singular.
_RIDGE = 1e-3


@dataclass(frozen=True, eq=False)
class BaselineSpec:
    """How logits, centred over the classes, vary. `means`: (C, C), of each true class. `between`: covariance (C, C) of
    the offsets of voices. `within`: that of one voice's utterances of one class."""

    means: np.ndarray
    between: np.ndarray
    within: np.ndarray

    @classmethod
    def of(cls, entry: Mapping[str, Any], classes: int) -> BaselineSpec:
        """From a manifest. Raises `ValueError` for what are no such matrices."""
        parts = [np.array(entry[name], np.float64) for name in ("means", "between", "within")]
        if any(part.shape != (classes, classes) or not np.isfinite(part).all() for part in parts):
            raise ValueError("the baseline's matrices are not those of the labels")
        return cls(*parts)


class VoiceBaseline:
    """One voice."""

    def __init__(self, spec: BaselineSpec) -> None:
        ridge = _RIDGE * np.eye(len(spec.means))
        self._spec = spec
        self._within = spec.within + ridge
        self._weight = np.linalg.inv(self._within)
        self._precision = np.linalg.inv(spec.between + ridge)
        self._sum = np.zeros(len(spec.means))
        self.offset = np.zeros(len(spec.means))
        self.utterances = 0

    def correct(self, logits: np.ndarray) -> np.ndarray:
        """Logits (C,) without the offset of this voice."""
        return logits - self.offset

    def learn(self, logits: np.ndarray) -> None:
        """Take an utterance of this voice into account, (C,)."""
        centred = logits - logits.mean()
        apart = centred - self.offset - self._spec.means
        expected = np.linalg.inv(self._within + np.linalg.inv(self._precision))
        likelihood = -0.5 * np.einsum("ci,ij,cj->c", apart, expected, apart)
        share = np.exp(likelihood - likelihood.max())
        share /= share.sum()
        self._sum += self._weight @ (centred - share @ self._spec.means)
        self._precision = self._precision + self._weight
        self.offset = np.linalg.solve(self._precision, self._sum)
        self.utterances += 1

    def state(self) -> dict[str, Any]:
        """What was learned, for JSON."""
        return {"sum": self._sum.tolist(), "precision": self._precision.tolist(), "utterances": self.utterances}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._sum, self._precision = np.array(state["sum"]), np.array(state["precision"])
        self.utterances = int(state["utterances"])
        self.offset = np.linalg.solve(self._precision, self._sum)


class VoiceBaselines:
    """Every voice by its name; '' is the only one where nobody tells them apart."""

    def __init__(self, spec: BaselineSpec) -> None:
        self._spec = spec
        self._voices: OrderedDict[str, VoiceBaseline] = OrderedDict()

    def correct(self, voice: str, logits: np.ndarray) -> np.ndarray:
        """Logits (C,) without the offset of this voice, as far as it is known."""
        return self._voices[voice].correct(logits) if voice in self._voices else logits

    def learn(self, voice: str, logits: np.ndarray) -> None:
        """Take an utterance of this voice into account, (C,)."""
        self._voices.setdefault(voice, VoiceBaseline(self._spec)).learn(logits)
        self._voices.move_to_end(voice)
        if len(self._voices) > _VOICES:
            self._voices.popitem(last=False)

    def state(self) -> dict[str, Any]:
        """What was learned of each voice, for JSON."""
        return {voice: baseline.state() for voice, baseline in self._voices.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Know the voices that `state` gave, and no others."""
        self._voices.clear()
        for voice, learned in state.items():
            self._voices[voice] = VoiceBaseline(self._spec)
            self._voices[voice].restore(learned)
            if len(self._voices) > _VOICES:
                self._voices.popitem(last=False)

    def rename(self, current_name: Callable[[str], str], names: Collection[str]) -> None:
        """What is known of voices of these names goes over to the name that `current_name` gives, unless something is
        known of that. Of several that turn out to be one, the one of which most was learned does."""
        moved = {voice: after for voice in self._voices if voice in names and (after := current_name(voice)) != voice}
        # Of equals, the one that was heard last.
        found = [(moved[voice], self._voices.pop(voice)) for voice in reversed(moved)]
        for after, baseline in sorted(found, key=lambda pair: -pair[1].utterances):
            self._voices.setdefault(after, baseline)

    def forget(self, voice: str | None = None) -> None:
        """Forget one voice, or all."""
        if voice is None:
            self._voices.clear()
        else:
            self._voices.pop(voice, None)
