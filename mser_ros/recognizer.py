"""EmotionRecognizer: one utterance in, one estimate out, by the graphs of a bundle (onnxruntime)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .audio.waveform import clipped_share, level_db
from .bundle import Bundle, ModalitySpec
from .errors import BundleError
from .inference import Graph, log_linear, softmax
from .labels import UNKNOWN, valence_arousal
from .mocap.canonical import canonicalise
from .settings import EmotionSettings
from .types import (
    NS_PER_S,
    AbstainReason,
    EmotionEstimate,
    EstimateState,
    ModalityEvidence,
    Transcript,
    Utterance,
    Waveform,
)

Feeds = dict[str, np.ndarray]
#: Posterior of each modality, its share of the decision, fused posterior.
_Fused = tuple[dict[str, np.ndarray], dict[str, float], np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """What one modality gave: its outputs and the age of its evidence, or the reason why there is none."""

    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    age_s: float = 0.0
    gate: float = 1.0
    reason: AbstainReason = AbstainReason.NO_EVIDENCE


class EmotionRecognizer:
    """Runs a bundle on utterances. Not thread-safe; one per thread.

    `warm_up` runs every graph once, so that the first utterance of a conversation is as fast as the next.
    Raises `BundleError` when a graph cannot be loaded or does not have the signature that the manifest promises.
    """

    def __init__(self, bundle: Bundle, settings: EmotionSettings | None = None, *, warm_up: bool = True) -> None:
        self.bundle = bundle
        self.settings = settings or EmotionSettings()
        self._graphs = {name: self._graph(spec.graph) for name, spec in bundle.modalities.items()}
        self._fusion = self._graph(bundle.fusion.graph) if bundle.fusion.kind == "graph" else None
        self._tokenizer = self._load_tokenizer()
        self._readers: dict[str, Callable[[ModalitySpec, Utterance], _Reading]] = {
            "speech": self._hear,
            "text": self._read,
            "mocap": self._see,
        }
        if warm_up:
            self._warm_up()

    def recognize(
        self,
        utterance: Utterance,
        *,
        modalities: Collection[str] | None = None,
        state: EstimateState = EstimateState.FINAL,
    ) -> EmotionEstimate:
        """Estimate what the person feels.

        `modalities`: use no others (None: all that the utterance has). An utterance without usable evidence gives the
        label 'unknown' with the reason; it is not an error.
        """
        return self.recognize_each(utterance, [modalities], state=state)[0]

    def recognize_each(
        self,
        utterance: Utterance,
        subsets: Sequence[Collection[str] | None],
        *,
        state: EstimateState = EstimateState.FINAL,
    ) -> list[EmotionEstimate]:
        """As `recognize`, for several sets of modalities; each modality is read once."""
        read = {
            name: self._readers[name](spec, utterance)
            for name, spec in self.bundle.modalities.items()
            if any(subset is None or name in subset for subset in subsets)
        }
        return [
            self._decide(
                utterance,
                {
                    name: read[name] if subset is None or name in subset else _Reading()
                    for name in self.bundle.modalities
                },
                state,
            )
            for subset in subsets
        ]

    def _decide(self, utterance: Utterance, readings: Mapping[str, _Reading], state: EstimateState) -> EmotionEstimate:
        present = {name: reading for name, reading in readings.items() if reading.outputs}
        if not present:
            reasons = [reading.reason for reading in readings.values() if reading.reason != AbstainReason.NO_EVIDENCE]
            return self._estimate(utterance, state, readings, {}, {}, None, (reasons or [AbstainReason.NO_EVIDENCE])[0])
        fuse = self._fuse_graph if self._fusion is not None else self._fuse_log_linear
        posteriors, weights, fused = fuse(present)
        return self._estimate(utterance, state, readings, posteriors, weights, fused, AbstainReason.NONE)

    def _graph(self, name: str) -> Graph:
        return Graph(self.bundle.file(name), threads=self.settings.threads)

    # -- modalities

    def _hear(self, spec: ModalitySpec, utterance: Utterance) -> _Reading:
        audio = utterance.audio
        if audio is None or len(audio.samples) == 0:
            return _Reading()
        if audio.sample_rate != spec.sample_rate:
            raise BundleError(
                f"the bundle wants audio at {spec.sample_rate} Hz, not {audio.sample_rate} Hz: resample it beforehand"
            )
        reason = self._unusable(audio, max(self.settings.min_speech_s, spec.min_s))
        if reason is not AbstainReason.NONE:
            return _Reading(reason=reason)
        samples = audio.samples[-round(spec.max_s * spec.sample_rate) :].astype(np.float32, copy=False)
        if spec.normalise:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        return _Reading(self._graphs["speech"](waveform=samples[None]))

    def _unusable(self, audio: Waveform, min_s: float) -> AbstainReason:
        if audio.duration_s < min_s:
            return AbstainReason.TOO_SHORT
        if level_db(audio.samples) < self.settings.min_level_db:
            return AbstainReason.TOO_QUIET
        if clipped_share(audio.samples) > self.settings.max_clipped:
            return AbstainReason.CLIPPED
        return AbstainReason.NONE

    def _read(self, spec: ModalitySpec, utterance: Utterance) -> _Reading:
        transcript = utterance.transcript
        if transcript is None or not transcript.text.strip() or not _understands(spec, transcript):
            return _Reading()
        ids = self._tokenizer.encode(transcript.text).ids
        gate = 1.0 if transcript.confidence is None else float(np.clip(transcript.confidence, 0.0, 1.0))
        if gate == 0:
            return _Reading()
        tokens = np.array([ids], np.int64)
        return _Reading(self._graphs["text"](input_ids=tokens, attention_mask=np.ones_like(tokens)), gate=gate)

    def _see(self, spec: ModalitySpec, utterance: Utterance) -> _Reading:
        sequence = utterance.skeleton
        if sequence is None or len(sequence.stamps_ns) == 0:
            return _Reading()
        if (spec.representation == "iemocap200") != (sequence.layout == "iemocap200"):
            return _Reading()  # face, hands and head in bins, or a body: neither can be made of the other
        if spec.representation == "iemocap200":
            positions, mask = sequence.positions, sequence.confidence > 0
        else:
            if sequence.duration_s < spec.min_s:
                return _Reading(reason=AbstainReason.TOO_SHORT)
            motion = canonicalise(
                sequence, rate_hz=spec.rate_hz, window_s=spec.window_s, end_ns=int(sequence.stamps_ns[-1])
            )
            if motion is None:
                return _Reading()
            positions, mask = motion.positions, motion.mask
        outputs = self._graphs["mocap"](
            positions=np.where(mask[..., None], positions, 0).astype(np.float32)[None],
            mask=mask.astype(np.float32)[None],
        )
        return _Reading(outputs, age_s=max(0, utterance.end_ns - int(sequence.stamps_ns[-1])) / NS_PER_S)

    # -- fusion

    def _posterior(self, name: str, logits: np.ndarray) -> np.ndarray:
        return softmax(logits / self.bundle.modalities[name].temperature)

    def _fuse_log_linear(self, present: Mapping[str, _Reading]) -> _Fused:
        posteriors = {name: self._posterior(name, reading.outputs["logits"][0]) for name, reading in present.items()}
        if len(present) == 1:  # alone, a calibrated modality speaks for itself
            return posteriors, dict.fromkeys(present, 1.0), next(iter(posteriors.values()))
        weights = {name: self.bundle.modalities[name].weight * reading.gate for name, reading in present.items()}
        fusion = self.bundle.fusion
        fused = log_linear(posteriors, weights, np.asarray(fusion.prior), temperature=fusion.temperature)
        total = sum(weights.values()) or 1.0
        return posteriors, {name: weight / total for name, weight in weights.items()}, fused

    def _fuse_graph(self, present: Mapping[str, _Reading]) -> _Fused:
        assert self._fusion is not None
        names = self.bundle.fusion.modalities
        feeds: Feeds = {}
        for name, shape in self._fusion.inputs.items():
            if name == "present":
                feeds[name] = np.array([[float(item in present) for item in names]], np.float32)
            elif name == "text_confidence":
                feeds[name] = np.array([[present["text"].gate if "text" in present else 0.0]], np.float32)
            elif name in present:
                feeds[name] = present[name].outputs["features"]
            else:  # a place holder: `present` masks it out
                feeds[name] = np.zeros([size if isinstance(size, int) else 1 for size in shape], np.float32)
        outputs = self._fusion(**feeds)
        posteriors = {}
        for name, reading in present.items():
            logits = outputs.get(f"{name}_logits", reading.outputs.get("logits"))
            if logits is not None:
                posteriors[name] = self._posterior(name, logits[0])
        fused = softmax(outputs["logits"][0] / self.bundle.fusion.temperature)
        return posteriors, dict.fromkeys(present, 1.0 / len(present)), fused

    # -- the estimate

    def _estimate(
        self,
        utterance: Utterance,
        state: EstimateState,
        readings: Mapping[str, _Reading],
        posteriors: Mapping[str, np.ndarray],
        weights: Mapping[str, float],
        fused: np.ndarray | None,
        reason: AbstainReason,
    ) -> EmotionEstimate:
        labels = self.bundle.labels
        abstains = fused is None
        probabilities = np.full(len(labels), 1 / len(labels)) if fused is None else fused
        valence, arousal = valence_arousal(labels, probabilities)
        best = int(np.argmax(probabilities))
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
            valence=0.0 if abstains else valence,
            arousal=0.0 if abstains else arousal,
            evidence=tuple(
                ModalityEvidence(
                    name, bool(reading.outputs), reading.age_s, posteriors.get(name), weights.get(name, 0.0)
                )
                for name, reading in readings.items()
            ),
            transcript=utterance.transcript.text if utterance.transcript else "",
            abstain_reason=reason,
            model_id=self.bundle.model_id,
        )

    def _load_tokenizer(self) -> Any:
        spec = self.bundle.modalities.get("text")
        if spec is None:
            return None
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self.bundle.file(spec.tokenizer)))
        except Exception as error:  # a bare Exception is all that this library raises
            raise BundleError(f"the tokenizer of bundle {self.bundle.path} cannot be loaded: {error}") from None
        tokenizer.no_padding()
        tokenizer.enable_truncation(spec.max_tokens)
        return tokenizer

    def _warm_up(self) -> None:
        feeds: dict[str, Feeds] = {
            "speech": {"waveform": np.zeros((1, 16000), np.float32)},
            "text": {"input_ids": np.ones((1, 4), np.int64), "attention_mask": np.ones((1, 4), np.int64)},
        }
        for name, spec in self.bundle.modalities.items():
            frames, joints = (200, 63) if spec.representation == "iemocap200" else (15, 15)
            skeleton = {
                "positions": np.zeros((1, frames, joints, 3), np.float32),
                "mask": np.ones((1, frames, joints), np.float32),
            }
            outputs = self._graphs[name](**feeds.get(name, skeleton))
            needed = "features" if self._fusion is not None and name in self.bundle.fusion.modalities else "logits"
            if needed not in outputs:
                raise BundleError(f"graph {spec.graph} of bundle {self.bundle.path} has no output '{needed}'")


def _understands(spec: ModalitySpec, transcript: Transcript) -> bool:
    def primary(tag: str) -> str:
        return tag.split("-")[0].lower()

    return not spec.languages or not transcript.language or primary(transcript.language) in map(primary, spec.languages)
