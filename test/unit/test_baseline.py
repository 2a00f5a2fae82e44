"""One voice is judged by itself: on voices whose offset is known because it was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from fakes_bundle import write_tiny_bundle

from mser_ros.errors import BundleError
from mser_ros.recognition.baseline import BaselineSpec, VoiceBaseline, VoiceBaselines
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import EmotionSettings
from mser_ros.types import Utterance, Waveform, to_ns

CENTRE = np.eye(4) - 0.25
SPEC = BaselineSpec(means=3.0 * CENTRE, between=1.0 * CENTRE, within=0.25 * CENTRE)


def centred(rng: np.random.Generator, deviation: float) -> np.ndarray:
    values = rng.normal(0, deviation, 4)
    return values - values.mean()


def said(rng: np.random.Generator, label: int, offset: np.ndarray) -> np.ndarray:
    return SPEC.means[label] + offset + centred(rng, 0.5)


@pytest.mark.parametrize("order", ["random", "angry first"])
def test_the_offset_of_a_voice_is_found_whatever_is_felt_in_which_order(order: str) -> None:
    rng = np.random.default_rng(0)
    offset = np.array([1.2, -0.8, -0.6, 0.2])
    labels = np.repeat(np.arange(4), 10)
    if order == "random":
        labels = rng.permutation(labels)
    voice = VoiceBaseline(SPEC)
    for label in labels:
        voice.learn(said(rng, int(label), offset) + 5.0)  # what all classes have in common tells nothing
    np.testing.assert_allclose(voice.offset, offset, atol=0.25)
    assert voice.utterances == 40


def test_a_voice_that_is_angry_from_its_first_word_stays_angry() -> None:
    rng = np.random.default_rng(1)
    voice = VoiceBaseline(SPEC)
    for _ in range(30):
        angry = said(rng, 0, np.zeros(4))
        assert voice.correct(angry).argmax() == 0
        voice.learn(angry)
    assert np.abs(voice.offset).max() < 0.3


def test_a_voice_that_nobody_has_heard_is_judged_as_everybody() -> None:
    logits = np.array([1.0, 2.0, 3.0, 4.0])
    voices = VoiceBaselines(SPEC)
    np.testing.assert_array_equal(voices.correct("", logits), logits)
    voices.learn("anna", logits)
    np.testing.assert_array_equal(voices.correct("ben", logits), logits)
    assert not np.array_equal(voices.correct("anna", logits), logits)
    voices.forget("anna")
    np.testing.assert_array_equal(voices.correct("anna", logits), logits)


def test_of_too_many_voices_the_one_that_was_silent_for_longest_is_forgotten() -> None:
    voices, logits = VoiceBaselines(SPEC), np.array([1.0, 0, 0, 0])
    for number in range(33):
        voices.learn(str(number), logits)
        voices.learn("0", logits)
    assert not np.array_equal(voices.correct("0", logits), logits)
    np.testing.assert_array_equal(voices.correct("1", logits), logits)


def entry() -> dict:
    return {name: getattr(SPEC, name).tolist() for name in ("means", "between", "within")}


def utterance(level: float, voice: str = "") -> Utterance:
    samples = np.full(16000, level, np.float32)
    samples[::2] *= -1
    return Utterance("u", 0, to_ns(1), audio=Waveform(samples, 16000), voice_id=voice)


def test_the_recogniser_remembers_a_voice_only_where_it_is_told_to(tmp_path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path / "bundle", speech={"baseline": entry()}))
    recognizer = EmotionRecognizer(bundle)
    before = recognizer.recognize(utterance(0.05)).probabilities
    np.testing.assert_array_equal(recognizer.recognize(utterance(0.05)).probabilities, before)
    for _ in range(5):
        recognizer.recognize(utterance(0.05), learn=True)
    after = recognizer.recognize(utterance(0.05)).probabilities
    assert not np.allclose(after, before, atol=1e-3)
    np.testing.assert_array_equal(recognizer.recognize(utterance(0.05, "ben")).probabilities, before)
    recognizer.forget()
    np.testing.assert_array_equal(recognizer.recognize(utterance(0.05)).probabilities, before)


def test_it_can_be_switched_off(tmp_path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path / "bundle", speech={"baseline": entry()}))
    recognizer = EmotionRecognizer(bundle, EmotionSettings(personal_baseline=False))
    before = recognizer.recognize(utterance(0.05), learn=True).probabilities
    np.testing.assert_array_equal(recognizer.recognize(utterance(0.05), learn=True).probabilities, before)


def test_a_baseline_of_other_labels_is_refused(tmp_path) -> None:
    with pytest.raises(BundleError, match="the baseline's matrices are not those of the labels"):
        load_bundle(write_tiny_bundle(tmp_path / "bundle", speech={"baseline": {**entry(), "means": [[1.0]]}}))


@pytest.mark.parametrize("learned", [(1, 10), (10, 1), (10, 10)])
def test_of_two_voices_that_turn_out_to_be_one_person_s_the_one_of_which_more_was_learned_is_kept(
    learned: tuple[int, int],
) -> None:
    voices = VoiceBaselines(SPEC)
    for voice, times, sign in zip(("v1", "v2"), learned, (-1, 1), strict=True):
        for _ in range(times):
            voices.learn(voice, sign * np.array([2.0, 0.0, 0.0, 0.0]))
    before = voices.state()
    voices.rename(lambda name: "ann", {"v1", "v2"})
    assert voices.state() == {"ann": before["v1" if learned == (10, 1) else "v2"]}


def test_a_voice_that_turns_out_to_be_a_person_s_is_known_by_that_name_unless_the_person_was_known() -> None:
    voices = VoiceBaselines(SPEC)
    logits = np.array([2.0, 0.0, 0.0, 0.0])
    voices.learn("voice", logits)
    corrected = voices.correct("voice", logits)
    voices.rename(lambda name: "ann" if name == "voice" else name, {"voice"})
    np.testing.assert_array_equal(voices.correct("ann", logits), corrected)
    assert set(voices.state()) == {"ann"}
    voices.learn("other", -logits)
    voices.rename(lambda name: "ann", {"other"})
    np.testing.assert_array_equal(voices.correct("ann", logits), corrected)
    assert set(voices.state()) == {"ann"}
