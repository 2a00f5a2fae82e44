"""EmotionRecognizer: one utterance in, one estimate out, by the graphs of a bundle (onnxruntime)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import BundleError
from ..labels import UNKNOWN, valence_arousal
from ..settings import EmotionSettings
from ..types import AbstainReason, EmotionEstimate, EstimateState, ModalityEvidence, Utterance
from .baseline import BaselineSpec, VoiceBaselines
from .bundle import Bundle
from .decision import NEUTRAL, contradiction, label_set, subset_name, with_neutral_share
from .fusion import FusionGraph
from .graph import Graph
from .posteriors import despite_plain_words, log_linear, softmax
from .readers import Reading, create_reader


@dataclass(frozen=True, slots=True, eq=False)
class _Decision:
    """Posterior of each modality, the same as far as its evidence is to be believed, its share, and the fused
    posterior: None where there was nothing to fuse. `affect`: valence and arousal where a graph estimates them; else
    they follow from the posterior."""

    posteriors: Mapping[str, np.ndarray] = field(default_factory=dict)
    believed: Mapping[str, np.ndarray] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    fused: np.ndarray | None = None
    affect: np.ndarray | None = None
    reason: AbstainReason = AbstainReason.NONE


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """What the planner is told of a decision."""

    posterior: np.ndarray | None = None
    label_set: tuple[str, ...] = ()
    incongruent: bool = False
    reason: AbstainReason = AbstainReason.NONE


class EmotionRecognizer:
    """Runs a bundle on utterances. Not thread-safe; one per thread.

    Every graph is run once at the start, so that the first utterance of a conversation is as fast as the next.
    Raises `BundleError` when a graph cannot be loaded or does not have the signature that the manifest promises.
    """

    def __init__(self, bundle: Bundle, settings: EmotionSettings | None = None) -> None:
        self.bundle = bundle
        self.settings = settings or EmotionSettings()
        self._readers = {name: create_reader(name, bundle, self.settings) for name in bundle.modalities}
        self._baselines: VoiceBaselines | None = None
        speech = bundle.modalities.get("speech")
        if speech and speech.baseline and self.settings.personal_baseline:
            self._baselines = VoiceBaselines(BaselineSpec.of(speech.baseline, len(bundle.labels)))
        self._fusion: FusionGraph | None = None
        if bundle.fusion.kind == "graph":
            graph = Graph(bundle.file(bundle.fusion.graph), threads=self.settings.threads)
            self._fusion = FusionGraph(graph, bundle.fusion.modalities)
        self._warm_up()

    def recognize(
        self,
        utterance: Utterance,
        *,
        modalities: Collection[str] | None = None,
        state: EstimateState = EstimateState.FINAL,
        learn: bool = False,
    ) -> EmotionEstimate:
        """Estimate what the person feels.

        `modalities`: use no others (None: all that the utterance has). `learn`: remember how this voice sounds, and
        judge what it says later by itself (see `baseline`); voices go by person_id, else voice_id. An utterance without
        usable evidence gives the label 'unknown' with the reason; it is not an error. Raises `AudioError` for audio of
        another sample rate than the bundle's, `SkeletonError` for a skeleton that does not fit its layout, and
        `BundleError` where what comes out is no number.
        """
        return self.recognize_each(utterance, [modalities], state=state, learn=learn)[0]

    def read_ahead(self, utterance: Utterance) -> None:
        """Read what may be a whole utterance, so that its estimate costs next to nothing if it is."""
        for reader in self._readers.values():
            reader.read(utterance)

    def learned(self) -> dict[str, Any]:
        """What was learned of voices, for JSON; empty where nothing is."""
        return {} if self._baselines is None else self._baselines.state()

    def restore(self, learned: Mapping[str, Any]) -> None:
        """Know the voices that `learned` gave, and no others."""
        if self._baselines is not None:
            self._baselines.restore(learned)

    def rename(self, current_name: Callable[[str], str], names: Collection[str]) -> None:
        """Who of `names` goes by another one now, as `current_name` tells, is judged by what was learned under that."""
        if self._baselines is not None:
            self._baselines.rename(current_name, names)

    def forget(self, voice: str | None = None) -> None:
        """Forget how one voice sounds, or all of them."""
        if self._baselines is not None:
            self._baselines.forget(voice)

    def recognize_each(
        self,
        utterance: Utterance,
        subsets: Sequence[Collection[str] | None],
        *,
        state: EstimateState = EstimateState.FINAL,
        learn: bool = False,
    ) -> list[EmotionEstimate]:
        """As `recognize`, for several sets of modalities; each modality is read once."""
        read = {
            name: reader.read(utterance)
            for name, reader in self._readers.items()
            if any(subset is None or name in subset for subset in subsets)
        }
        if self._baselines is not None and "speech" in read and read["speech"].outputs:
            read["speech"] = self._by_itself(utterance, read["speech"], self._baselines, learn=learn)
        estimates = []
        for subset in subsets:
            chosen = {
                name: read[name] if subset is None or name in subset else Reading() for name in self.bundle.modalities
            }
            estimates.append(self._estimate(utterance, state, chosen, self._decide(chosen)))
        return estimates

    def abstain(
        self, utterance: Utterance, reason: AbstainReason, *, state: EstimateState = EstimateState.FINAL
    ) -> EmotionEstimate:
        """The estimate 'unknown' for this reason, without looking at any evidence."""
        return self._estimate(
            utterance, state, dict.fromkeys(self.bundle.modalities, Reading()), _Decision(reason=reason)
        )

    def whose(self, person_id: str, voice_id: str) -> str:
        """The name under which something is learned of a voice: that under which estimates go."""
        return person_id or self.settings.person_id or voice_id

    def _by_itself(self, utterance: Utterance, reading: Reading, baselines: VoiceBaselines, *, learn: bool) -> Reading:
        """What the voice says, judged by how this voice usually sounds. A graph that joins is given the same, though it
        learned from voices as they are: over all of them the offsets cancel out, so that what it has learned holds."""
        voice = self.whose(utterance.person_id, utterance.voice_id)
        logits = reading.outputs["logits"][0].astype(np.float64)
        corrected = baselines.correct(voice, logits)
        self._check_finite(corrected)  # before it is learned, and stays
        if learn:
            baselines.learn(voice, logits)
        return replace(reading, outputs={**reading.outputs, "logits": corrected[None]})

    def _decide(self, readings: Mapping[str, Reading]) -> _Decision:
        present = {name: reading for name, reading in readings.items() if reading.outputs}
        if present:
            return self._fuse_graph(present) if self._fusion is not None else self._fuse_log_linear(present)
        reasons = {reading.reason: None for reading in readings.values()}  # in order, each once
        reasons.pop(AbstainReason.NO_EVIDENCE, None)
        return _Decision(reason=next(iter(reasons), AbstainReason.NO_EVIDENCE))

    def _posterior(self, name: str, logits: np.ndarray) -> np.ndarray:
        return softmax(logits[0] / self.bundle.modalities[name].temperature)

    def _fuse_log_linear(self, present: Mapping[str, Reading]) -> _Decision:
        fusion = self.bundle.fusion
        posteriors = {name: self._posterior(name, reading.outputs["logits"]) for name, reading in present.items()}
        # Alone, a calibrated modality speaks for itself, as far as its evidence is to be believed.
        alone = len(present) == 1
        weights = {
            name: reading.gate * (1.0 if alone else self.bundle.modalities[name].weight)
            for name, reading in present.items()
        }
        temperature = 1.0 if alone else fusion.temperature
        evidence, prior = dict(posteriors), np.asarray(fusion.prior)
        if not alone and "text" in evidence and NEUTRAL in self.bundle.labels:
            neutral = self.bundle.labels.index(NEUTRAL)
            evidence["text"] = despite_plain_words(evidence["text"], prior, neutral, fusion.plain_words)
        fused = log_linear(evidence, weights, prior, temperature=temperature)
        total = sum(weights.values())
        shares = {name: weight / total if total else 1 / len(weights) for name, weight in weights.items()}
        return _Decision(posteriors, self._believed(present, posteriors), shares, fused)

    def _believed(self, present: Mapping[str, Reading], posteriors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        even = np.full(len(self.bundle.labels), 1.0)
        return {
            name: log_linear({name: posterior}, {name: present[name].gate}, even)
            for name, posterior in posteriors.items()
        }

    def _fuse_graph(self, present: Mapping[str, Reading]) -> _Decision:
        outputs = self._run_fusion(present)
        posteriors = {
            name: self._posterior(name, reading.outputs["logits"])
            for name, reading in present.items()
            if "logits" in reading.outputs
        }
        fused = softmax(outputs["logits"][0] / self.bundle.fusion.temperature)
        # What each contributes is hidden in the graph: they share alike.
        affect = outputs["affect"][0] if "affect" in outputs else None
        believed = self._believed(present, posteriors)
        return _Decision(posteriors, believed, dict.fromkeys(present, 1 / len(present)), fused, affect)

    def _run_fusion(self, present: Mapping[str, Reading]) -> dict[str, np.ndarray]:
        assert self._fusion is not None
        outputs = {name: reading.outputs for name, reading in present.items()}
        return self._fusion(outputs, text_confidence=present["text"].gate if "text" in present else 0.0)

    def _estimate(
        self, utterance: Utterance, state: EstimateState, readings: Mapping[str, Reading], decision: _Decision
    ) -> EmotionEstimate:
        labels = self.bundle.labels
        told = self._told(decision)
        abstains = told.reason is not AbstainReason.NONE
        probabilities = np.full(len(labels), 1 / len(labels)) if told.posterior is None else told.posterior
        valence, arousal = (0.0, 0.0) if told.posterior is None else valence_arousal(labels, probabilities)
        if decision.affect is not None:
            valence, arousal = np.clip(decision.affect, -1.0, 1.0).tolist()
        best = int(np.argmax(probabilities))
        evidence = tuple(
            ModalityEvidence(
                name,
                bool(reading.outputs),
                reading.age_s,
                decision.posteriors.get(name),
                decision.weights.get(name, 0.0),
                reading.in_domain,
                AbstainReason.NONE if reading.outputs else reading.reason,
                self.bundle.modalities[name].model,
            )
            for name, reading in readings.items()
        )
        return EmotionEstimate(
            stamp_ns=utterance.end_ns,
            state=state,
            labels=labels,
            probabilities=probabilities.astype(np.float32),
            label=UNKNOWN if abstains else labels[best],
            confidence=0.0 if abstains else float(probabilities[best]),
            utterance_id=utterance.utterance_id,
            person_id=utterance.person_id or self.settings.person_id,
            voice_id=utterance.voice_id,
            body_id=utterance.body_id,
            frame_id=utterance.frame_id,
            speech_start_ns=utterance.start_ns,
            speech_end_ns=utterance.end_ns,
            label_set=told.label_set,
            coverage=self.bundle.decision.coverage if told.label_set else 0.0,
            valence=valence,
            arousal=arousal,
            evidence=evidence,
            transcript=utterance.transcript.text if utterance.transcript and self.settings.transcripts else "",
            abstain_reason=told.reason,
            incongruent=told.incongruent,
            model_id=self.bundle.model_id,
        )

    def _told(self, decision: _Decision) -> _Told:
        if decision.fused is None:
            return _Told(reason=decision.reason)
        self._check_finite(decision.fused, *decision.posteriors.values())
        if decision.affect is not None:
            self._check_finite(decision.affect)
        spec, labels = self.bundle.decision, self.bundle.labels
        posterior = with_neutral_share(decision.fused, labels, self.settings.neutral_share)
        # Fitted on even classes; where these are as `neutral_share` says, sets that are made of what is told hold the
        # truth about as often, or more often (see the model card).
        largest_miss = spec.largest_miss.get(subset_name(tuple(decision.weights)))
        classes = () if largest_miss is None else label_set(posterior, labels, largest_miss)
        prior = np.full(len(labels), 1 / len(labels))
        incongruent = bool(0 < spec.incongruent_above < contradiction(list(decision.believed.values()), prior))
        doubtful = incongruent and float(posterior.max()) < self.settings.least_agreed
        return _Told(posterior, classes, incongruent, AbstainReason.DISAGREEMENT if doubtful else AbstainReason.NONE)

    def _check_finite(self, *outputs: np.ndarray) -> None:
        """The first of several classes that are no number would be the most probable one."""
        if not all(np.isfinite(values).all() for values in outputs):
            raise BundleError(
                f"what bundle {self.bundle.path} makes of an utterance is no number: export the bundle again, and "
                "forget what was learned of voices"
            )

    def _warm_up(self) -> None:
        wanted = "logits" if self._fusion is None else "features"
        readings = {}
        for name, reader in self._readers.items():
            outputs = reader.warm_up()
            self._check_outputs(
                self.bundle.modalities[name].graph, outputs, wanted, self.bundle.modalities[name].domain
            )
            readings[name] = Reading(outputs)
        if self._fusion is not None:
            self._check_outputs(self.bundle.fusion.graph, self._run_fusion(readings), "logits")

    def _check_outputs(
        self, graph: str, outputs: Mapping[str, np.ndarray], wanted: str, domain: Sequence[str] = ()
    ) -> None:
        why = "" if wanted in outputs else f"has no output '{wanted}'"
        if ("domain" in outputs) != bool(domain) or (domain and outputs["domain"].shape != (1, len(domain))):
            why = "does not tell apart what the manifest says it does"
        for name, values in outputs.items():
            if name.endswith("logits") and values.shape != (1, len(self.bundle.labels)):
                why = f"gives {name} of shape {values.shape} for {len(self.bundle.labels)} labels"
            if name == "affect" and values.shape != (1, 2):
                why = f"gives valence and arousal of shape {values.shape}"
        if why:
            raise BundleError(f"graph {graph} of bundle {self.bundle.path} {why}: export the bundle again")
