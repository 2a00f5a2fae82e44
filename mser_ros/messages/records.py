"""Emotions as people and scripts like to read them: records, and files of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..types import NS_PER_S, AbstainReason, EmotionEstimate, EstimateState

Record = dict[str, Any]


def emotion_record(fields: Mapping[str, Any]) -> Record:
    """A record from the fields of `Emotion` (see `conversions`).

    The keys are the message's; state and abstain_reason are names, probabilities maps from label to number.
    """
    labels = list(fields["labels"])

    def by_label(values: Iterable[float]) -> dict[str, float]:
        return {label: round(float(value), 6) for label, value in zip(labels, values, strict=False)}

    return {
        **fields,
        "state": EstimateState(fields["state"]).name,
        "abstain_reason": AbstainReason(fields["abstain_reason"]).name,
        "probabilities": by_label(fields["probabilities"]),
        "evidence": [
            {
                **item,
                "reason": AbstainReason(item["reason"]).name,
                "probabilities": by_label(item["probabilities"]),
            }
            for item in fields["evidence"]
        ],
    }


def emotion_fields(record: Record) -> Record:
    """The fields of `Emotion` that a record was made of."""
    return {
        **record,
        "state": int(EstimateState[record["state"]]),
        "abstain_reason": int(AbstainReason[record["abstain_reason"]]),
        "probabilities": list(record["probabilities"].values()),
        "evidence": [
            {
                **item,
                "reason": int(AbstainReason[item["reason"]]),
                "probabilities": list(item["probabilities"].values()),
            }
            for item in record["evidence"]
        ],
    }


def estimate_of(record: Mapping[str, Any]) -> EmotionEstimate:
    """The estimate of a record as far as a person's state rests on it: of whom, when, what, and of which utterance."""
    return EmotionEstimate(
        stamp_ns=nanoseconds(record["header"]["stamp"]),
        state=EstimateState[record["state"]],
        labels=tuple(record["labels"]),
        probabilities=np.array(list(record["probabilities"].values()), np.float32),
        label=record["label"],
        confidence=record["confidence"],
        utterance_id=record["utterance_id"],
        person_id=record["person_id"],
        voice_id=record["voice_id"],
        body_id=record["body_id"],
    )


def person_of(record: Mapping[str, Any]) -> str:
    """Whom the estimate of a record is about: see `EmotionEstimate.subject_id`."""
    return str(record["person_id"] or record["voice_id"] or record["body_id"])


def nanoseconds(time: Mapping[str, int]) -> int:
    """A time of a record."""
    return time["sec"] * NS_PER_S + time["nanosec"]


def seconds(time: Mapping[str, int]) -> float:
    """A time of a record in seconds."""
    return time["sec"] + time["nanosec"] / NS_PER_S


def write_jsonl(path: Path, records: Iterable[Record]) -> None:
    """A record a line."""
    with path.open("w", encoding="utf-8") as stream:
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def write_csv(path: Path, records: Sequence[Record]) -> None:
    """A final estimate a line, for a spreadsheet: Excel takes UTF-8 for another encoding unless a mark comes first."""
    labels = list(records[0]["labels"]) if records else []
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        names = ["utterance_id", "start_s", "end_s", "label", "confidence", *labels, "valence", "arousal"]
        writer.writerow([*names, "modalities", "abstain_reason", "transcript"])
        writer.writerows(_row(record, labels) for record in records if record["state"] == "FINAL")


def _row(record: Record, labels: Sequence[str]) -> list[Any]:
    numbers = [record["confidence"], *(record["probabilities"][label] for label in labels)]
    return [
        record["utterance_id"],
        *(f"{seconds(record[key]):.3f}" for key in ("speech_start", "speech_end")),
        record["label"],
        *(f"{value:.4f}" for value in [*numbers, record["valence"], record["arousal"]]),
        "+".join(item["modality"] for item in record["evidence"] if item["available"]),
        record["abstain_reason"],
        record["transcript"],
    ]
