"""What a page may be given to show: somebody said something, is judged, is known, and is seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from mser_ros.messages.conversions import emotion_to_fields, state_to_fields
from mser_ros.messages.records import emotion_record
from mser_ros.page.board import Board
from mser_ros.types import (
    NS_PER_S,
    AbstainReason,
    EmotionEstimate,
    EstimateState,
    ModalityEvidence,
    PersonState,
    SkeletonFrame,
    Transcript,
    UtteranceEvent,
    UtteranceState,
    Word,
)

T0 = 1_700_000_000 * NS_PER_S
LABELS = ("angry", "happy", "sad", "neutral")


def said(text: str, at_s: float = 0.0, *, name: str = "voice-1") -> UtteranceEvent:
    end_ns = T0 + round((at_s + 1) * NS_PER_S)
    words = tuple(Word(word, end_ns, end_ns, 0.5) for word in text.split())
    transcript = Transcript(text, 0.5, words, "en")
    return UtteranceEvent(name, UtteranceState.ENDED, end_ns, end_ns - NS_PER_S, end_ns, transcript, voice_id="voice")


def judged(at_s: float = 0.0, *, name: str = "voice-1") -> dict[str, Any]:
    end_ns = T0 + round((at_s + 1) * NS_PER_S)
    happy = np.array([0.1, 0.7, 0.1, 0.1], np.float32)
    evidence = (
        ModalityEvidence("speech", True, 0.0, happy, 1.0, 0.9),
        ModalityEvidence("mocap", False, reason=AbstainReason.OUT_OF_DISTRIBUTION),
    )
    estimate = EmotionEstimate(
        end_ns, EstimateState.FINAL, LABELS, happy, "happy", 0.7, utterance_id=name, voice_id="voice",
        speech_start_ns=end_ns - NS_PER_S, speech_end_ns=end_ns, evidence=evidence, transcript="a secret",
    )  # fmt: skip
    return emotion_record(emotion_to_fields(estimate))


def person(name: str = "voice") -> dict[str, Any]:
    even, sure = np.full(4, 0.25, np.float32), np.array([0.1, 0.7, 0.1, 0.1], np.float32)
    state = PersonState(
        T0 + 9 * NS_PER_S, name, LABELS, sure, "happy", 0.7, 0.5, 0.4, T0, even * 0, sure, "voice-1", 1.5
    )
    return dict(state_to_fields(state))


def raising() -> np.ndarray:
    """A body of 15 joints at (3, 1) that faces +x and raises its left hand, (15, 3)."""
    arms = [[0, 0.2, 1.5], [0, 0.45, 1.6], [0, 0.5, 1.9], [0, -0.2, 1.5], [0, -0.25, 1.2], [0, -0.25, 0.9]]
    legs = [[0, y, z] for y in (0.1, -0.1) for z in (0.95, 0.5, 0.1)]
    return np.array([[0, 0, 1], [0, 0, 1.5], [0, 0, 1.7], *arms, *legs], np.float32) + np.array([3, 1, 0], np.float32)


def stand(board: Board, positions: np.ndarray, *, name: str = "body", sure: np.ndarray | None = None) -> None:
    """A second of a body that stands still."""
    for number in range(15):
        stamp_ns = T0 + number * NS_PER_S // 15
        confidence = np.ones(15, np.float32) if sure is None else sure
        board.skeleton(SkeletonFrame(stamp_ns, name, "canonical15", positions, confidence))
