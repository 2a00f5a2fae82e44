"""What each modality makes of an utterance: the graphs of a bundle, fed with what was heard, read and seen.

Training prepares its samples with the functions of this module, and checks exported graphs through its readers: what a
network is fed with is written once.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from ..audio.waveform import centred, clipped_share, level_db, trim
from ..errors import AudioError, BundleError
from ..languages import primary_language
from ..mocap.canonical import MAX_GAP_S, canonicalise
from ..mocap.layouts import JOINTS, MARKER_BINS, MARKER_LAYOUT, MARKERS
from ..settings import EmotionSettings
from ..types import NS_PER_S, AbstainReason, SkeletonSequence, Transcript, Utterance, Waveform, to_ns
from .bundle import Bundle, ModalitySpec
from .graph import Graph
from .posteriors import softmax

#: Utterances whose readings are remembered: those of people who talk at the same time.
_REMEMBERED = 8
#: How far words that may still change are believed where their recogniser tells of final ones alone how sure it is: in
#: babble as loud as the voice so many words are right. Else a guess would count for more than what it becomes.
_GUESSED = 0.7


#: Vosk's, Kaldi's, Whisper's and IEMOCAP's names of sounds.
_NOISES = re.compile(
    r"[\[<(](?:unk|noise|spn|sil|silence|laugh(?:ter|s|ing)?|breath(?:ing|s)?|cough(?:ing|s)?|music|applause|garbage|"
    r"inaudible|blank[_ ]audio|sigh(?:s|ing)?|lipsmack|crying|sobbing)[\])>]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What one modality gave: the outputs of its graph, or the reason why there are none.

    `age_s`: from the end of its evidence to the end of the utterance. `gate` (0..1): how far the evidence itself is to
    be believed. `in_domain`: 0..1, how sure the graph is that this is like what it has learned from; -1 where it does
    not judge that.
    """

    outputs: Mapping[str, np.ndarray] = field(default_factory=dict)
    age_s: float = 0.0
    gate: float = 1.0
    in_domain: float = -1.0
    reason: AbstainReason = AbstainReason.NO_EVIDENCE


class Reader(Protocol):
    """One modality of a bundle."""

    def read(self, utterance: Utterance) -> Reading:
        """What this modality says of the utterance; no outputs where it has nothing usable."""

    def warm_up(self) -> Mapping[str, np.ndarray]:
        """The outputs for an input without meaning. Raises `BundleError` where the graph wants another input."""


class Remembered:
    """A reader that remembers what it read last: in a pause it reads ahead what may be the whole utterance."""

    def __init__(self, reader: Reader, evidence: Callable[[Utterance], bytes]) -> None:
        self._reader = reader
        self._evidence = evidence
        self._last: OrderedDict[bytes, Reading] = OrderedDict()

    def read(self, utterance: Utterance) -> Reading:
        key = self._evidence(utterance)
        if key not in self._last:
            self._last[key] = self._reader.read(utterance)
            if len(self._last) > _REMEMBERED:
                self._last.popitem(last=False)
        return self._last[key]

    def warm_up(self) -> Mapping[str, np.ndarray]:
        return self._reader.warm_up()


def _heard(utterance: Utterance) -> bytes:
    audio = utterance.audio
    return _digest() if audio is None else _digest(audio.samples, f"{audio.sample_rate} {audio.clipped}")


def _said(utterance: Utterance) -> bytes:
    transcript = utterance.transcript
    if transcript is None:
        return _digest()
    return _digest(transcript.text, str(_text_gate(transcript)), transcript.language, transcript.translation)


def _seen(utterance: Utterance) -> bytes:
    body = utterance.skeleton
    if body is None:
        return _digest()
    return _digest(body.positions, body.confidence, body.stamps_ns, body.layout, str(utterance.end_ns))


def _text_gate(transcript: Transcript) -> float:
    """How far the words are to be believed, 0..1."""
    if transcript.confidence is None:
        return 1.0 if transcript.is_final else _GUESSED
    return float(np.clip(transcript.confidence, 0.0, 1.0))


_EVIDENCE = {"speech": _heard, "text": _said, "mocap": _seen}


def _digest(*parts: np.ndarray | str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        content = part.encode() if isinstance(part, str) else np.ascontiguousarray(part).tobytes()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()


def create_reader(name: str, bundle: Bundle, settings: EmotionSettings) -> Reader:
    """The reader of a modality. Raises `BundleError` for a graph or tokenizer that cannot be loaded."""
    spec = bundle.modalities[name]
    graph = Graph(bundle.file(spec.graph), threads=settings.threads, weights=bundle.weights.get(name))
    reader: Reader
    if name == "speech":
        reader = SpeechReader(spec, graph, settings)
    elif name == "text":
        reader = TextReader(spec, graph, _load_tokenizer(bundle, spec))
    else:
        reader = MocapReader(spec, graph)
    return Remembered(reader, _EVIDENCE[name])


def judge(outputs: Mapping[str, np.ndarray], spec: ModalitySpec, *, age_s: float = 0.0, gate: float = 1.0) -> Reading:
    """The reading of a graph's outputs, believed as far as the graph finds its input like what it has learned from:
    where that is too little, what it says means nothing and is left out."""
    if "domain" not in outputs:
        return Reading(outputs, age_s, gate)
    shares = softmax(outputs["domain"][0])
    in_domain = float(shares[0])
    if in_domain >= spec.least_in_domain:
        return Reading(outputs, age_s, gate * in_domain, in_domain)
    reason = AbstainReason[spec.domain[1 + int(shares[1:].argmax())].upper()]
    return Reading(age_s=age_s, in_domain=in_domain, reason=reason)


def spoken(text: str) -> str:
    """A transcript without what recognisers and annotators write for sounds that are no words, such as [unk]; '' where
    no letter and no digit is left, as of '...' or '♪', which some write for silence and music."""
    said = " ".join(_NOISES.sub(" ", text).split())
    return said if any(map(str.isalnum, said)) else ""


def last_seconds(samples: np.ndarray, max_s: float, sample_rate: int) -> np.ndarray:
    """The end of a waveform, (samples,), as far as it counts."""
    return samples[-round(max_s * sample_rate) :]


def normalise(samples: np.ndarray) -> np.ndarray:
    """A waveform of zero mean and unit variance, as wav2vec 2.0 wants."""
    return (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)


def make_tokenizer(text: str, max_tokens: int) -> Tokenizer:
    """A tokenizer from its JSON, for one transcript at a time. Raises `ValueError` for what is no tokenizer."""
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # a bare Exception is all that this library raises
        raise ValueError(str(error)) from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


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
        return judge(self.run(audio.samples), spec)

    def run(self, samples: np.ndarray) -> Mapping[str, np.ndarray]:
        """The graph's outputs for a waveform, float32 (samples,) in -1..1."""
        spec = self._spec
        samples = trim(centred(samples), spec.trim_db, spec.sample_rate)
        samples = last_seconds(samples, spec.max_s, spec.sample_rate).astype(np.float32, copy=False)
        return self._graph(waveform=(normalise(samples) if self._spec.normalise else samples)[None])

    def warm_up(self) -> Mapping[str, np.ndarray]:
        return self._graph(waveform=np.zeros((1, self._spec.sample_rate), np.float32))

    def _unusable(self, audio: Waveform) -> AbstainReason:
        if audio.duration_s < max(self._settings.min_speech_s, self._spec.min_s):
            return AbstainReason.TOO_SHORT
        if level_db(centred(audio.samples)) < self._settings.min_level_db:
            return AbstainReason.TOO_QUIET
        if max(audio.clipped, clipped_share(audio.samples)) > self._settings.max_clipped:
            return AbstainReason.CLIPPED
        return AbstainReason.NONE


class TextReader:
    """The words in a language that the model was trained for, or their translation into English; the recogniser's
    confidence is their gate."""

    def __init__(self, spec: ModalitySpec, graph: Graph, tokenizer: Tokenizer) -> None:
        self._spec = spec
        self._graph = graph
        self._tokenizer = tokenizer

    def read(self, utterance: Utterance) -> Reading:
        transcript = utterance.transcript
        if transcript is None or not spoken(transcript.text):
            return Reading()
        text = self._understood(transcript)
        if not text:
            return Reading(reason=AbstainReason.UNKNOWN_LANGUAGE)
        gate = _text_gate(transcript)
        return judge(self.run(text), self._spec, gate=gate) if gate > 0 else Reading()

    def run(self, text: str) -> Mapping[str, np.ndarray]:
        """The graph's outputs for a transcript; none where it holds no token."""
        ids = self._tokenizer.encode(text).ids if text.strip() else []
        return self._feed(np.array([ids], np.int64)) if ids else {}

    def warm_up(self) -> Mapping[str, np.ndarray]:
        return self._feed(np.ones((1, 4), np.int64))

    def _feed(self, tokens: np.ndarray) -> Mapping[str, np.ndarray]:
        return self._graph(input_ids=tokens, attention_mask=np.ones_like(tokens))

    def _understood(self, transcript: Transcript) -> str:
        known = {primary_language(tag) for tag in self._spec.languages}
        language = primary_language(transcript.language)
        if not known or not language or language in known:
            return spoken(transcript.text)
        return spoken(transcript.translation) if "en" in known else ""


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
            motion = canonicalise(sequence, rate_hz=spec.rate_hz, window_s=spec.window_s, end_ns=newest_ns)
            if motion is None:
                return Reading()
            # A gap more, so that a body that is there all the time is seen for the whole window.
            since_ns = newest_ns - to_ns(max(spec.window_s, spec.min_s) + MAX_GAP_S)
            if _seen_s(sequence, since_ns) < spec.min_s:
                return Reading(reason=AbstainReason.TOO_SHORT)
            positions, mask = motion.positions, motion.mask
        return judge(self.run(positions, mask), spec, age_s=max(0, utterance.end_ns - newest_ns) / NS_PER_S)

    def warm_up(self) -> Mapping[str, np.ndarray]:
        spec = self._spec
        frames = max(1, round(spec.rate_hz * spec.window_s))
        shape = (MARKER_BINS, MARKERS) if spec.representation == MARKER_LAYOUT else (frames, len(JOINTS))
        return self.run(np.zeros((*shape, 3)), np.ones(shape, bool))

    def run(self, positions: np.ndarray, mask: np.ndarray) -> Mapping[str, np.ndarray]:
        """The graph's outputs for motion, (T, J, 3) with its mask (T, J): what is not seen counts as 0."""
        return self._graph(
            positions=np.where(mask[..., None], positions, 0).astype(np.float32)[None],
            mask=mask.astype(np.float32)[None],
        )


def _seen_s(sequence: SkeletonSequence, since_ns: int) -> float:
    """For how long a body was seen from a time on [s]; gaps that are not interpolated do not count."""
    seen = np.isfinite(sequence.positions).all(axis=2) & (sequence.confidence > 0)
    stamps_ns = sequence.stamps_ns[seen.any(axis=1) & (sequence.stamps_ns >= since_ns)]
    gaps_s = np.diff(stamps_ns) / NS_PER_S
    return float(gaps_s[gaps_s <= MAX_GAP_S].sum())


def _load_tokenizer(bundle: Bundle, spec: ModalitySpec) -> Tokenizer:
    try:
        return make_tokenizer(bundle.file(spec.tokenizer).read_text(encoding="utf-8"), spec.max_tokens)
    except ValueError as error:
        raise BundleError(
            f"the tokenizer of bundle {bundle.path} cannot be loaded ({error}): export the bundle again"
        ) from None
