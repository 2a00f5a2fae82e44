"""Between messages and values: the one place that knows the fields of mser_msgs.

Messages are read by their field names alone and written from plain dictionaries, so that the same code serves rclpy's
messages in the nodes and those of the `rosbags` library offline. Nothing here imports ROS.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from ..audio.waveform import check_rate, deinterleave
from ..errors import AudioError, MserError, RequestError, SkeletonError
from ..languages import language_tag
from ..types import (
    NS_PER_S,
    AudioChunk,
    EmotionEstimate,
    Goal,
    PersonState,
    Progress,
    SkeletonFrame,
    StateEvent,
    Transcript,
    UtteranceEvent,
    UtteranceState,
    Word,
)

#: Bounds of what is taken from a message [characters], so that a broken publisher fills neither memory nor log: names
#: and tags; ids of utterances, which are a voice's name, a time and a count; the text of an utterance, of which a fast
#: speaker needs 2,000 in the longest one that settings allow.
MAX_NAME = 256
MAX_ID = 320
MAX_TEXT = 10_000
#: Words of an utterance, and joints of a body: several times what any recogniser or tracker is known to give.
MAX_WORDS = 1_000
MAX_JOINTS = 2_000

Fields = dict[str, Any]
M = TypeVar("M")


def time_to_ns(time: Any) -> int:
    """A `builtin_interfaces/Time` as nanoseconds."""
    return int(time.sec) * NS_PER_S + int(time.nanosec)


def ns_to_time(ns: int) -> Fields:
    return {"sec": int(ns // NS_PER_S), "nanosec": int(ns % NS_PER_S)}


def header_fields(stamp_ns: int, frame_id: str) -> Fields:
    return {"stamp": ns_to_time(stamp_ns), "frame_id": frame_id}


def fill(message: M, fields: Mapping[str, Any], nested: Mapping[str, type] | None = None) -> M:
    """Set the fields of a message, in place. `nested`: message class of each field that is a list of messages."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            fill(getattr(message, name), value)
        elif isinstance(value, np.ndarray):
            # rclpy looks at every element of anything but an array of the right type.
            packed = array(getattr(message, name).typecode)
            packed.frombytes(np.ascontiguousarray(value, packed.typecode).tobytes())
            setattr(message, name, packed)
        elif nested and name in nested:
            setattr(message, name, [fill(nested[name](), item) for item in value])
        else:
            setattr(message, name, value)
    return message


def to_fields(message: Any) -> Any:
    """A message as plain dictionaries, lists, numbers and texts."""
    names = None
    if hasattr(message, "get_fields_and_field_types"):
        names = list(message.get_fields_and_field_types())
    elif dataclasses.is_dataclass(message):
        # `rosbags` lists a message's constants, all in capitals, among its fields.
        names = [item.name for item in dataclasses.fields(message) if not item.name.isupper()]
        names = [name for name in names if name != "__msgtype__"]
    if names is not None:
        return {name: to_fields(getattr(message, name)) for name in names}
    if isinstance(message, np.ndarray):
        return message.tolist()
    if isinstance(message, np.generic):
        return message.item()
    if hasattr(message, "typecode") or isinstance(message, list | tuple):
        return [to_fields(item) for item in message]
    return message


def _check_lengths(error: type[MserError], what: str, limit: int, **fields: Any) -> None:
    """Raise `error` where one of these fields is longer than `limit`."""
    for name, value in fields.items():
        if len(value) > limit:
            unit = "characters" if isinstance(value, str) else "entries"
            raise error(f"{what} whose {name} has {len(value)} {unit}: send at most {limit}")


def audio_from_msg(message: Any) -> AudioChunk:
    """Raises `AudioError` when rate, channels and samples do not fit together, or a name is too long."""
    _check_lengths(AudioError, "audio", MAX_NAME, voice_id=message.voice_id, frame_id=message.header.frame_id)
    check_rate(message.sample_rate)
    return AudioChunk(
        samples=deinterleave(np.asarray(message.samples, np.int16), int(message.channels)),
        sample_rate=int(message.sample_rate),
        stamp_ns=time_to_ns(message.header.stamp),
        first_sample=int(message.first_sample),
        voice_id=message.voice_id,
        frame_id=message.header.frame_id,
    )


def audio_to_fields(chunk: AudioChunk) -> Fields:
    """Fields of `AudioFrame`."""
    return {
        "header": header_fields(chunk.stamp_ns, chunk.frame_id),
        "voice_id": chunk.voice_id,
        "sample_rate": chunk.sample_rate,
        "channels": chunk.channels,
        "first_sample": chunk.first_sample,
        "samples": chunk.samples.reshape(-1),
    }


def skeleton_from_msg(message: Any) -> SkeletonFrame:
    """Raises `SkeletonError` when dimensions, positions and confidence do not fit together, or one is too long, and
    for a message without a time."""
    names = {"body_id": message.body_id, "layout": message.layout, "frame_id": message.header.frame_id}
    _check_lengths(SkeletonError, "a skeleton", MAX_NAME, **names)
    _check_lengths(SkeletonError, "a skeleton", 3 * MAX_JOINTS, positions=message.positions)
    _check_lengths(SkeletonError, "a skeleton", MAX_JOINTS, confidence=message.confidence)
    if (stamp_ns := time_to_ns(message.header.stamp)) == 0:
        raise SkeletonError("a skeleton without a time: the publisher must fill header.stamp")
    positions = np.asarray(message.positions, np.float32)
    dimensions = int(message.dimensions)
    if dimensions not in (2, 3):
        raise SkeletonError(f"a skeleton with {dimensions} dimensions: the publisher must set 'dimensions' to 2 or 3")
    if len(positions) == 0 or len(positions) % dimensions:
        raise SkeletonError(
            f"a skeleton with {len(positions)} numbers in {dimensions} dimensions: send {dimensions} for each joint"
        )
    positions = positions.reshape(-1, dimensions)
    confidence = np.asarray(message.confidence, np.float32)
    if len(confidence) not in (0, len(positions)):
        raise SkeletonError(
            f"a skeleton with {len(positions)} joints and {len(confidence)} confidences: send one per joint, or none"
        )
    return SkeletonFrame(
        stamp_ns=stamp_ns,
        body_id=message.body_id,
        layout=message.layout,
        positions=positions,
        confidence=confidence if len(confidence) else np.ones(len(positions), np.float32),
        frame_id=message.header.frame_id,
    )


def skeleton_to_fields(frame: SkeletonFrame) -> Fields:
    """Fields of `Skeleton`."""
    return {
        "header": header_fields(frame.stamp_ns, frame.frame_id),
        "body_id": frame.body_id,
        "layout": frame.layout,
        "dimensions": frame.positions.shape[1],
        "positions": frame.positions.reshape(-1),
        "confidence": frame.confidence,
    }


def _confidence_out(confidence: float | None) -> float:
    return -1.0 if confidence is None else float(confidence)


def _confidence_in(confidence: float) -> float | None:
    """None where it is negative or no number. Raises `AudioError` for percents and the like."""
    if confidence > 1:
        raise AudioError(
            f"a transcript of confidence {confidence:g}: it must lie in 0 to 1, or be -1 where it is not known; divide "
            "by the recogniser's highest value"
        )
    return float(confidence) if confidence >= 0 else None


def utterance_from_msg(message: Any) -> UtteranceEvent:
    """Raises `AudioError` for a state that does not exist, a span that ends before it starts, or what is too long."""
    names = {"voice_id": message.voice_id, "language": message.language, "frame_id": message.header.frame_id}
    _check_lengths(AudioError, "an utterance", MAX_NAME, **names)
    _check_lengths(AudioError, "an utterance", MAX_ID, utterance_id=message.utterance_id)
    _check_lengths(AudioError, "an utterance", MAX_TEXT, text=message.text, translation=message.translation)
    _check_lengths(AudioError, "an utterance", MAX_WORDS, words=message.words)
    for word in message.words:
        _check_lengths(AudioError, "a word", MAX_NAME, text=word.text)
    start_ns, end_ns = time_to_ns(message.start), time_to_ns(message.end)
    if message.state not in iter(UtteranceState) or end_ns < start_ns or not message.utterance_id:
        raise AudioError(
            f"an utterance '{message.utterance_id}' of state {message.state} from {start_ns} to {end_ns} ns: "
            "give it an id, a known state, and an end that is not before its start"
        )
    if not 0 <= message.clipped <= 1:
        raise AudioError(f"an utterance of whose samples {message.clipped:g} are clipped: send a share in 0 to 1")
    words = tuple(
        Word(word.text, time_to_ns(word.start), time_to_ns(word.end), _confidence_in(word.confidence))
        for word in message.words
    )
    return UtteranceEvent(
        utterance_id=message.utterance_id,
        state=UtteranceState(message.state),
        stamp_ns=time_to_ns(message.header.stamp),
        start_ns=start_ns,
        end_ns=end_ns,
        transcript=Transcript(
            text=message.text,
            confidence=_confidence_in(message.text_confidence),
            words=words,
            language=language_tag(message.language),
            is_final=bool(message.is_text_final),
            translation=message.translation,
        ),
        voice_id=message.voice_id,
        frame_id=message.header.frame_id,
        clipped=float(message.clipped),
    )


def utterance_to_fields(event: UtteranceEvent) -> Fields:
    """Fields of `Utterance`."""
    transcript = event.transcript
    return {
        "header": header_fields(event.stamp_ns, event.frame_id),
        "utterance_id": event.utterance_id,
        "voice_id": event.voice_id,
        "state": int(event.state),
        "start": ns_to_time(event.start_ns),
        "end": ns_to_time(event.end_ns),
        "text": transcript.text,
        "text_confidence": _confidence_out(transcript.confidence),
        "is_text_final": transcript.is_final,
        "words": [
            {
                "text": word.text,
                "start": ns_to_time(word.start_ns),
                "end": ns_to_time(word.end_ns),
                "confidence": _confidence_out(word.confidence),
            }
            for word in transcript.words
        ],
        "language": transcript.language,
        "translation": transcript.translation,
        "clipped": event.clipped,
    }


def emotion_to_fields(estimate: EmotionEstimate) -> Fields:
    """Fields of `Emotion`."""
    return {
        "header": header_fields(estimate.stamp_ns, estimate.frame_id),
        "utterance_id": estimate.utterance_id,
        "person_id": estimate.person_id,
        "voice_id": estimate.voice_id,
        "body_id": estimate.body_id,
        "state": int(estimate.state),
        "speech_start": ns_to_time(estimate.speech_start_ns),
        "speech_end": ns_to_time(estimate.speech_end_ns),
        "labels": list(estimate.labels),
        "probabilities": [float(value) for value in estimate.probabilities],
        "label": estimate.label,
        "confidence": estimate.confidence,
        "label_set": list(estimate.label_set),
        "coverage": estimate.coverage,
        "valence": estimate.valence,
        "arousal": estimate.arousal,
        "evidence": [
            {
                "modality": item.modality,
                "available": item.available,
                "age_s": item.age_s,
                "probabilities": [] if item.probabilities is None else [float(value) for value in item.probabilities],
                "in_domain": item.in_domain,
                "reason": int(item.reason),
                "model": item.model,
                "weight": item.weight,
            }
            for item in estimate.evidence
        ],
        "transcript": estimate.transcript,
        "abstain_reason": int(estimate.abstain_reason),
        "incongruent": estimate.incongruent,
        "model_id": estimate.model_id,
        "latency_s": estimate.latency_s,
    }


def state_to_fields(state: PersonState) -> Fields:
    """Fields of `EmotionState`."""
    return {
        "header": header_fields(state.stamp_ns, ""),
        "person_id": state.person_id,
        "labels": list(state.labels),
        "probabilities": [float(value) for value in state.probabilities],
        "label": state.label,
        "confidence": state.confidence,
        "valence": state.valence,
        "arousal": state.arousal,
        "since": ns_to_time(state.since_ns),
        "trend": [float(value) for value in state.trend],
        "usual": [float(value) for value in state.usual],
        "last_utterance_id": state.last_utterance_id,
        "evidence_age_s": state.evidence_age_s,
    }


def event_to_fields(event: StateEvent) -> Fields:
    """Fields of `EmotionEvent`."""
    return {
        "header": header_fields(event.stamp_ns, ""),
        "person_id": event.person_id,
        "kind": 0 if event.begins else 1,
        "condition": str(event.condition),
        "label": event.condition.label,
        "since": ns_to_time(event.since_ns),
    }


def goal_from_msg(message: Any) -> Goal:
    """Of `WaitForEmotion`. Raises `RequestError` for what is too long."""
    _check_lengths(RequestError, "a goal", MAX_NAME, labels=message.labels, person_id=message.person_id)
    for label in message.labels:
        _check_lengths(RequestError, "a goal", MAX_NAME, label=label)
    # A message's numbers are of single precision: what was written as 0.6 is 0.6.
    confidence, duration_s, timeout_s = (
        round(float(value), 6) for value in (message.confidence, message.duration_s, message.timeout_s)
    )
    return Goal(tuple(message.labels), confidence, duration_s, timeout_s, message.person_id)


def progress_to_fields(progress: Progress) -> Fields:
    """Fields of `WaitForEmotion`'s feedback."""
    return {**_whom(progress), "held_s": progress.held_s, "waited_s": progress.waited_s}


def outcome_to_fields(progress: Progress) -> Fields:
    """Fields of `WaitForEmotion`'s result, of a wait that has ended."""
    assert progress.outcome is not None
    return {"outcome": int(progress.outcome), **_whom(progress), "since": ns_to_time(progress.since_ns)}


def _whom(progress: Progress) -> Fields:
    state = progress.state
    return {
        "person_id": state.person_id if state else "",
        "label": state.label if state else "",
        "confidence": state.confidence if state else 0.0,
    }
