"""The values that flow through the package: small, frozen, without ROS.

Times are `int` nanoseconds (`_ns`) of the clock that stamped the data, or `float` seconds (`_s`) for durations.
A modality that is missing is `None`, never zeros. Arrays are not copied and must not be written to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import combinations

import numpy as np

NS_PER_S = 1_000_000_000
#: The one rate of audio behind the speech node, in every corpus and in every bundle [Hz]; a sample lasts `SAMPLE_NS`.
SAMPLE_RATE = 16_000
SAMPLE_NS = NS_PER_S // SAMPLE_RATE

#: Some of the modalities, in the order of their bundle or experiment.
Modalities = tuple[str, ...]


def to_ns(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds * NS_PER_S)


def subsets_of(modalities: Sequence[str]) -> list[Modalities]:
    """Every non-empty set of modalities, the whole one first."""
    return [subset for size in range(len(modalities), 0, -1) for subset in combinations(modalities, size)]


class UtteranceState(IntEnum):
    """Life of an utterance; the numbers are those of `mser_msgs/Utterance`."""

    STARTED = 0
    PARTIAL = 1
    ENDED = 2
    CANCELLED = 3
    PAUSED = 4


class EstimateState(IntEnum):
    """Standing of an estimate; the numbers are those of `mser_msgs/Emotion`."""

    PROVISIONAL = 0
    FINAL = 1
    RETRACTED = 2
    CONTINUOUS = 3


class AbstainReason(IntEnum):
    """Why an estimate says 'unknown'; the numbers are those of `mser_msgs/Emotion`."""

    NONE = 0
    TOO_SHORT = 1
    TOO_QUIET = 2
    CLIPPED = 3
    OVERLAP = 4
    NOT_SPEECH = 5
    OUT_OF_DISTRIBUTION = 6
    DISAGREEMENT = 7
    NO_EVIDENCE = 8
    FAILED = 9
    SOURCE_LOST = 10
    UNKNOWN_LANGUAGE = 11


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """A block of PCM audio as a source delivers it.

    `samples`: int16, shape (frames, channels). `stamp_ns`: time of the first sample. `first_sample`: running index of
    the first sample, per channel, since the source started. `clipped`: float32 (frames,), of each sample the share of
    what it was made of that lay at full scale; None where nobody has looked.
    """

    samples: np.ndarray
    sample_rate: int
    stamp_ns: int
    first_sample: int = 0
    voice_id: str = ""
    frame_id: str = ""
    clipped: np.ndarray | None = None

    @property
    def frames(self) -> int:
        """Samples per channel."""
        return len(self.samples)

    @property
    def channels(self) -> int:
        return int(self.samples.shape[1])

    @property
    def end_ns(self) -> int:
        """Time one past the last sample."""
        return self.stamp_ns + self.frames * NS_PER_S // self.sample_rate


@dataclass(frozen=True, slots=True, eq=False)
class Waveform:
    """Mono audio of one utterance: float32 in -1..1, shape (samples,).

    `clipped`: share (0..1) of its source's samples that lay at full scale, before they were resampled; 0 where nobody
    has looked.
    """

    samples: np.ndarray
    sample_rate: int
    clipped: float = 0.0

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word; `confidence` is 0..1, or None where the recogniser gives none."""

    text: str
    start_ns: int
    end_ns: int
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said; `confidence` is 0..1, or None where the recogniser gives none.

    `language`: BCP 47 tag; 'und' where it is not known yet. `translation`: the same in English, where that was asked
    for and `text` is in another language.
    """

    text: str
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    language: str = ""
    is_final: bool = True
    translation: str = ""


@dataclass(frozen=True, slots=True)
class UtteranceEvent:
    """News of one span of speech, as `mser_msgs/Utterance` carries it. `stamp_ns`: end of the evidence it rests on.
    `clipped`: share (0..1) of its samples that lay at full scale as the source sent them."""

    utterance_id: str
    state: UtteranceState
    stamp_ns: int
    start_ns: int
    end_ns: int
    transcript: Transcript
    voice_id: str = ""
    frame_id: str = ""
    clipped: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class SkeletonFrame:
    """The joints of one body at one moment.

    `positions`: float32, shape (joints, 2 or 3), metres or image fractions; NaN where a joint was not seen.
    `confidence`: float32 in 0..1, shape (joints,); 0 where a joint was not seen.
    """

    stamp_ns: int
    body_id: str
    layout: str
    positions: np.ndarray
    confidence: np.ndarray
    frame_id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class SkeletonSequence:
    """The frames of one body in time order.

    `stamps_ns`: int64, shape (T,), strictly increasing. `positions`: float32, (T, joints, 2 or 3).
    `confidence`: float32 in 0..1, (T, joints); 0 where a joint was not seen (its position is then meaningless).
    """

    stamps_ns: np.ndarray
    positions: np.ndarray
    confidence: np.ndarray
    layout: str
    body_id: str = ""

    @classmethod
    def of(cls, frames: Sequence[SkeletonFrame], *, layout: str, body_id: str) -> SkeletonSequence:
        """The sequence of frames that stand in the order of their stamps."""
        return cls(
            stamps_ns=np.array([frame.stamp_ns for frame in frames], np.int64),
            positions=np.stack([frame.positions for frame in frames]),
            confidence=np.stack([frame.confidence for frame in frames]),
            layout=layout,
            body_id=body_id,
        )

    def frames(self) -> list[SkeletonFrame]:
        return [
            SkeletonFrame(int(stamp_ns), self.body_id, self.layout, positions, confidence)
            for stamp_ns, positions, confidence in zip(self.stamps_ns, self.positions, self.confidence, strict=True)
        ]

    @property
    def duration_s(self) -> float:
        return float(self.stamps_ns[-1] - self.stamps_ns[0]) / NS_PER_S if len(self.stamps_ns) else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Utterance:
    """All that is known of one utterance: what the recogniser is given, on the robot and in training alike."""

    utterance_id: str
    start_ns: int
    end_ns: int
    audio: Waveform | None = None
    transcript: Transcript | None = None
    skeleton: SkeletonSequence | None = None
    voice_id: str = ""
    body_id: str = ""
    person_id: str = ""
    frame_id: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ModalityEvidence:
    """What one modality says by itself. `probabilities`: float32, shape (C,), or None where it was not available.

    `in_domain`: 0..1, how sure it is that this is like what the model has learned from; -1 where nobody judged that.
    `reason`: why it was not available; SOURCE_LOST also where it was, but its newest part is missing. `model`: which of
    the bundle's models it is (see `ModalitySpec`).
    """

    modality: str
    available: bool
    age_s: float = 0.0
    probabilities: np.ndarray | None = None
    weight: float = 0.0
    in_domain: float = -1.0
    reason: AbstainReason = AbstainReason.NONE
    model: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class EmotionEstimate:
    """What the person feels, how sure that is, and why: the content of `mser_msgs/Emotion`, field by field.

    `stamp_ns`: end of the evidence. `probabilities`: float32, shape (C,), sums to 1. `label` is 'unknown' and
    `confidence` 0 when the estimate abstains. `latency_s` is -1 where no clock is shared with the stamps.
    """

    stamp_ns: int
    state: EstimateState
    labels: tuple[str, ...]
    probabilities: np.ndarray
    label: str
    confidence: float
    utterance_id: str = ""
    person_id: str = ""
    voice_id: str = ""
    body_id: str = ""
    frame_id: str = ""
    speech_start_ns: int = 0
    speech_end_ns: int = 0
    label_set: tuple[str, ...] = ()
    coverage: float = 0.0
    valence: float = 0.0
    arousal: float = 0.0
    evidence: tuple[ModalityEvidence, ...] = field(default=())
    transcript: str = ""
    abstain_reason: AbstainReason = AbstainReason.NONE
    incongruent: bool = False
    model_id: str = ""
    latency_s: float = -1.0

    @property
    def subject_id(self) -> str:
        """Whom this is about, as `PersonState` names people: the person, else the voice, else the body; '' where nobody
        is told apart."""
        return self.person_id or self.voice_id or self.body_id


@dataclass(frozen=True, slots=True, eq=False)
class PersonState:
    """How one person is: the content of `mser_msgs/EmotionState`, field by field.

    `person_id`: `subject_id` of the estimates, which names a voice or a body where no person is known.
    `probabilities`: float32 (C,), sums to 1. `label` is 'unknown' and `confidence` 0 where nothing is known (any more).
    `since_ns`: when the label began. `trend`: float32 (C,), change of each probability per second. `usual`: float32
    (C,), sums to 1: what this person mostly shows. `evidence_age_s`: from the end of the newest evidence.
    """

    stamp_ns: int
    person_id: str
    labels: tuple[str, ...]
    probabilities: np.ndarray
    label: str
    confidence: float
    valence: float
    arousal: float
    since_ns: int
    trend: np.ndarray
    usual: np.ndarray
    last_utterance_id: str
    evidence_age_s: float


@dataclass(frozen=True, slots=True)
class Condition:
    """What a planner wants to be told: `label` at `confidence` or more for `duration_s`."""

    label: str
    confidence: float
    duration_s: float

    def __str__(self) -> str:
        return f"{self.label} {self.confidence:g} {self.duration_s:g}"


@dataclass(frozen=True, slots=True)
class StateEvent:
    """A condition began to hold for a person, or holds no more. `since_ns`: from when on the label had held."""

    stamp_ns: int
    person_id: str
    condition: Condition
    begins: bool
    since_ns: int


class Outcome(IntEnum):
    """How a wait for an emotion ended; the numbers are those of `mser_msgs/WaitForEmotion`."""

    REACHED = 0
    TIMED_OUT = 1
    CANCELLED = 2
    PREEMPTED = 3


@dataclass(frozen=True, slots=True)
class Goal:
    """What is waited for: one of `labels` at `confidence` or more, for `duration_s` without a break, within `timeout_s`
    (0: any time). `person_id`: of whom, as `PersonState` names people; '' is anybody."""

    labels: tuple[str, ...]
    confidence: float = 0.0
    duration_s: float = 0.0
    timeout_s: float = 0.0
    person_id: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a wait has come. `state`: of the person for whom it has held for longest, else of whom news are newest;
    None where nobody is known of. `since_ns`: from when on it has held; 0 where it does not. `outcome`: None while it
    lasts."""

    state: PersonState | None = None
    since_ns: int = 0
    held_s: float = 0.0
    waited_s: float = 0.0
    outcome: Outcome | None = None
