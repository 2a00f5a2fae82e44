"""What is known of a recording: records of its estimates, what was heard, and findings of which a page is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mser_ros.audio.sound_files import write_opus
from mser_ros.evaluation.findings import Clip, Findings, Making, Track
from mser_ros.evaluation.timeline import Recording
from mser_ros.labels import LABELS, UNKNOWN
from mser_ros.messages.conversions import emotion_to_fields
from mser_ros.messages.records import emotion_record
from mser_ros.types import (
    NS_PER_S,
    AbstainReason,
    AudioChunk,
    EmotionEstimate,
    EstimateState,
    ModalityEvidence,
    SkeletonFrame,
    Waveform,
    to_ns,
)

T0 = 1_700_000_000 * NS_PER_S
SURE = np.array([0.05, 0.85, 0.05, 0.05])


def record(
    end_s: float, *, begin_s: float = 1.0, state: EstimateState = EstimateState.FINAL, **changes: Any
) -> dict[str, Any]:
    evidence = (ModalityEvidence("speech", True, 0, SURE, 0.7), ModalityEvidence("mocap", True, 0, SURE, 0.3))
    fields: dict[str, Any] = {
        "stamp_ns": T0 + to_ns(end_s), "state": state, "labels": LABELS, "probabilities": SURE, "label": "happy",
        "confidence": 0.85, "utterance_id": "u", "speech_start_ns": T0 + to_ns(begin_s),
        "speech_end_ns": T0 + to_ns(end_s), "evidence": evidence, "transcript": "so happy to see you",
    }  # fmt: skip
    return emotion_record(emotion_to_fields(EmotionEstimate(**fields | changes)))


def abstaining(end_s: float = 2.0, **changes: Any) -> dict[str, Any]:
    evidence = (ModalityEvidence("speech", False), ModalityEvidence("mocap", False))
    return record(
        end_s, probabilities=np.full(4, 0.25), label=UNKNOWN, confidence=0.0, evidence=evidence, transcript="",
        abstain_reason=AbstainReason.TOO_SHORT, **changes,
    )  # fmt: skip


def recording(seconds: float = 4.0, rate: int = 16000, channels: int = 1) -> Recording:
    heard = Recording()
    wave = (8000 * np.sin(np.arange(round(seconds * rate)) / 20)).astype(np.int16)
    heard.add(AudioChunk(np.repeat(wave[:, None], channels, axis=1), rate, T0))
    for number in range(round(seconds * 25)):
        heard.add(SkeletonFrame(T0 + number * 40_000_000, "b", "egait16", np.zeros((16, 3)), np.ones(16)))
    return heard


MAKING = Making("0.1.0", "2026-01-02 03:04 UTC", "tiny-1", "ab12" * 16, "vosk", "mser annotate x", {"bodies": "False"})
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> & {{ 7 * 7 }}"


def found(*records: dict[str, Any], **changes: Any) -> Findings:
    known = {"title": "talk.wav", "seconds": 4.0, "records": records, "recording": recording(), "making": MAKING}
    return Findings(**(known | changes))


def sound(folder: Path, name: str, seconds: float = 1.0) -> str:
    """A voice's file beside a page, and its place."""
    (folder / "sound").mkdir(exist_ok=True)
    noise = np.random.default_rng(1).normal(0, 0.1, round(16000 * seconds)).astype(np.float32)
    write_opus(folder / "sound" / f"{name}.ogg", Waveform(noise, 16000), bit_rate=16_000)
    return f"sound/{name}.ogg"


def conversation(folder: Path) -> Findings:
    """Two people, one utterance of each kind."""
    records = [
        record(2.0, utterance_id="a", person_id="ann", transcript="so happy to see you", label_set=("happy", "sad"),
               coverage=0.9),
        record(3.0, begin_s=2.2, utterance_id="b", person_id="bob", transcript="Grüße, I am sad", label="sad",
               probabilities=np.array([0.05, 0.05, 0.85, 0.05]), incongruent=True),
        dict(abstaining(begin_s=3.1, end_s=3.3, utterance_id="c", person_id="bob"), transcript="hm"),
        record(3.5, begin_s=3.4, utterance_id="d", state=EstimateState.RETRACTED),
    ]  # fmt: skip
    clips = {
        "a": Clip(
            (("so", 0.9), ("happy", 0.2), ("to", 0.6), ("see", -1.0), ("you", 1.0)), "en", "", sound(folder, "a")
        ),
        "b": Clip((("Grüße,", 0.7),), "de", "Greetings, I am sad", sound(folder, "b")),
    }
    shares = np.tile([0.1, 0.7, 0.1, 0.1], (6, 1))
    track = Track("ann", 0.5, [1_700_000_002 + step / 2 for step in range(6)], shares, ["happy"] * 4 + [UNKNOWN] * 2)
    return found(*records, clips=clips, tracks=[track], notes=["3 samples of audio are missing"], dropped={"odd": 2})
