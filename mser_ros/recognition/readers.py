"""What each modality makes of an utterance: the graphs of a bundle, fed with what was heard, read and seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from ..audio.waveform import clipped_share, level_db
from ..errors import AudioError, BundleError
from ..mocap.canonical import canonicalise
from ..mocap.layouts import JOINTS, MARKER_BINS, MARKER_LAYOUT, MARKERS
from ..settings import EmotionSettings
from ..types import NS_PER_S, AbstainReason, Transcript, Utterance, Waveform
from .bundle import Bundle, ModalitySpec
from .graph import Graph


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one modality gave: the outputs of its graph, or the reason why there are none.

    `age_s`: from the end of its evidence to the end of the utterance. `gate` (0..1): how far the evidence itself is to
    be believed.
    """

    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    age_s: float = 0.0
    gate: float = 1.0
    reason: AbstainReason = AbstainReason.NO_EVIDENCE


class Reader(Protocol):
    """One modality of a bundle."""

    def read(self, utterance: Utterance) -> Reading:
        """What this modality says of the utterance; no outputs where it has nothing usable."""

    def warm_up(self) -> Mapping[str, np.ndarray]:
        """The outputs for an input without meaning. Raises `BundleError` where the graph wants another input."""


def create_reader(name: str, bundle: Bundle, settings: EmotionSettings) -> Reader:
    """The reader of a modality. Raises `BundleError` for a graph or tokenizer that cannot be loaded."""
    spec = bundle.modalities[name]
    graph = Graph(bundle.file(spec.graph), threads=settings.threads)
    if name == "speech":
        return SpeechReader(spec, graph, settings)
    if name == "text":
        return TextReader(spec, graph, _load_tokenizer(bundle, spec))
    return MocapReader(spec, graph)


class SpeechReader:
    """The voice, unless it is too short, too quiet or clipped."""

    def __init__(self, spec: ModalitySpec, graph: Graph, settings: EmotionSettings) -> None:
        self._spec = spec
        self._graph = graph
        self._settings = settings

    def read(self, utterance: Utterance) -> Reading:
        audio, spec = utterance.audio, self._spec
        if audio is None or len(audio.samples) == 0:
            return Reading()
        if audio.sample_rate != spec.sample_rate:
            raise AudioError(
                f"audio at {audio.sample_rate} Hz, but the bundle wants {spec.sample_rate} Hz: resample it beforehand"
            )
        reason = self._unusable(audio)
        if reason is not AbstainReason.NONE:
            return Reading(reason=reason)
        samples = audio.samples[-round(spec.max_s * spec.sample_rate) :].astype(np.float32, copy=False)
        if spec.normalise:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        return Reading(self._graph(waveform=samples[None]))

    def warm_up(self) -> Mapping[str, np.ndarray]:
        return self._graph(waveform=np.zeros((1, self._spec.sample_rate), np.float32))

    def _unusable(self, audio: Waveform) -> AbstainReason:
        if audio.duration_s < max(self._settings.min_speech_s, self._spec.min_s):
            return AbstainReason.TOO_SHORT
        if level_db(audio.samples) < self._settings.min_level_db:
            return AbstainReason.TOO_QUIET
        if clipped_share(audio.samples) > self._settings.max_clipped:
            return AbstainReason.CLIPPED
        return AbstainReason.NONE


class TextReader:
    """The words, in a language that the model was trained for; the recogniser's confidence is their gate."""

    def __init__(self, spec: ModalitySpec, graph: Graph, tokenizer: Tokenizer) -> None:
        self._spec = spec
        self._graph = graph
        self._tokenizer = tokenizer

    def read(self, utterance: Utterance) -> Reading:
        transcript = utterance.transcript
        if transcript is None or not self._understands(transcript):
            return Reading()
        gate = 1.0 if transcript.confidence is None else float(np.clip(transcript.confidence, 0.0, 1.0))
        ids = self._tokenizer.encode(transcript.text).ids if transcript.text.strip() else []
        if not ids or not gate > 0:
            return Reading()
        return Reading(self._run(np.array([ids], np.int64)), gate=gate)

    def warm_up(self) -> Mapping[str, np.ndarray]:
        return self._run(np.ones((1, 4), np.int64))

    def _run(self, tokens: np.ndarray) -> Mapping[str, np.ndarray]:
        return self._graph(input_ids=tokens, attention_mask=np.ones_like(tokens))

    def _understands(self, transcript: Transcript) -> bool:
        def primary(tag: str) -> str:
            return tag.split("-")[0].lower()

        known = self._spec.languages
        return not known or not transcript.language or primary(transcript.language) in map(primary, known)


class MocapReader:
    """The body: its canonical motion up to the newest frame, or paper A's markers as they are."""

    def __init__(self, spec: ModalitySpec, graph: Graph) -> None:
        self._spec = spec
        self._graph = graph

    def read(self, utterance: Utterance) -> Reading:
        sequence, spec = utterance.skeleton, self._spec
        if sequence is None or len(sequence.stamps_ns) == 0:
            return Reading()
        # Face, hands and head in bins, or a body: neither can be made of the other.
        if (spec.representation == MARKER_LAYOUT) != (sequence.layout == MARKER_LAYOUT):
            return Reading()
        newest_ns = int(sequence.stamps_ns[-1])
        if spec.representation == MARKER_LAYOUT:
            positions = sequence.positions
            mask = (sequence.confidence > 0) & np.isfinite(positions).all(axis=-1)
        else:
            if sequence.duration_s < spec.min_s:
                return Reading(reason=AbstainReason.TOO_SHORT)
            motion = canonicalise(sequence, rate_hz=spec.rate_hz, window_s=spec.window_s, end_ns=newest_ns)
            if motion is None:
                return Reading()
            positions, mask = motion.positions, motion.mask
        return Reading(self._run(positions, mask), age_s=max(0, utterance.end_ns - newest_ns) / NS_PER_S)

    def warm_up(self) -> Mapping[str, np.ndarray]:
        spec = self._spec
        frames = max(1, round(spec.rate_hz * spec.window_s))
        shape = (MARKER_BINS, MARKERS) if spec.representation == MARKER_LAYOUT else (frames, len(JOINTS))
        return self._run(np.zeros((*shape, 3)), np.ones(shape, bool))

    def _run(self, positions: np.ndarray, mask: np.ndarray) -> Mapping[str, np.ndarray]:
        return self._graph(
            positions=np.where(mask[..., None], positions, 0).astype(np.float32)[None],
            mask=mask.astype(np.float32)[None],
        )


def _load_tokenizer(bundle: Bundle, spec: ModalitySpec) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(bundle.file(spec.tokenizer)))
    except Exception as error:  # a bare Exception is all that this library raises
        raise BundleError(
            f"the tokenizer of bundle {bundle.path} cannot be loaded ({error}): export the bundle again"
        ) from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(spec.max_tokens)
    return tokenizer
