"""The recogniser does what the bundle's manifest defines, with every set of modalities, and says why it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes_bundle import WORDS, write_tiny_bundle
from hypothesis import given
from hypothesis import strategies as st
from mocap_poses import pose_of
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, normalizers

from mser_ros.audio.waveform import trim
from mser_ros.errors import AudioError, BundleError, SkeletonError
from mser_ros.labels import LABELS, UNKNOWN, valence_arousal
from mser_ros.mocap.canonical import canonicalise
from mser_ros.recognition.bundle import MANIFEST, load_bundle, write_manifest
from mser_ros.recognition.decision import label_set, with_neutral_share
from mser_ros.recognition.readers import spoken
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import EmotionSettings
from mser_ros.types import (
    NS_PER_S,
    AbstainReason,
    EmotionEstimate,
    EstimateState,
    ModalityEvidence,
    SkeletonSequence,
    Transcript,
    Utterance,
    Waveform,
    to_ns,
)

NAMES = ("speech", "text", "mocap")
SUBSETS = list(chain.from_iterable(combinations(NAMES, size) for size in (1, 2, 3)))
END_NS = 1_700_000_003 * NS_PER_S
PRIOR = (0.4, 0.3, 0.2, 0.1)
#: A calibration in which no number can be taken for another.
CALIBRATION: dict[str, dict] = {
    "speech": {"temperature": 2.0, "weight": 0.9},
    "text": {"temperature": 1.5, "weight": 0.7},
    "mocap": {"temperature": 0.8, "weight": 1.2},
}
LOG_LINEAR = {"kind": "log_linear", "prior": list(PRIOR), "temperature": 1.3}


def voice(level: float = 0.1, *, seconds: float = 1.0, rate: int = 16000) -> Waveform:
    samples = np.full(round(seconds * rate), level, np.float32)
    samples[::2] *= -1
    return Waveform(samples, rate)


def body(*, frames: int = 60, layout: str = "egait16", end_ns: int = END_NS, lean: float = 0.0) -> SkeletonSequence:
    positions = np.repeat(pose_of(layout)[None], frames, axis=0)
    positions[..., 1] += lean * np.arange(positions.shape[1])
    stamps = end_ns - (np.arange(frames)[::-1] * to_ns(1 / 30))
    return SkeletonSequence(stamps.astype(np.int64), positions, np.ones(positions.shape[:2], np.float32), layout, "b")


def said(text: str = "happy sad happy", confidence: float | None = None, language: str = "en") -> Transcript:
    return Transcript(text, confidence, language=language)


def utterance(**changes: object) -> Utterance:
    """An utterance with everything, unless `changes` say otherwise."""
    whole = Utterance("u", END_NS - 3 * NS_PER_S, END_NS, voice(), said(), body(), "v", "b", "p", "mic")
    return replace(whole, **changes)  # type: ignore[arg-type]


def only(*names: str) -> Utterance:
    fields = {"speech": "audio", "text": "transcript", "mocap": "skeleton"}
    return utterance(**{field: None for name, field in fields.items() if name not in names})


def evidence(estimate: EmotionEstimate, name: str) -> ModalityEvidence:
    return next(item for item in estimate.evidence if item.modality == name)


def available(estimate: EmotionEstimate) -> list[str]:
    return [item.modality for item in estimate.evidence if item.available]


def assert_equal_estimates(one: EmotionEstimate, other: EmotionEstimate) -> None:
    np.testing.assert_array_equal(one.probabilities, other.probabilities)
    for mine, its in zip(one.evidence, other.evidence, strict=True):
        np.testing.assert_array_equal(mine.probabilities, its.probabilities)


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> EmotionRecognizer:
    folder = tmp_path_factory.mktemp("calibrated")
    return EmotionRecognizer(load_bundle(write_tiny_bundle(folder, fusion=LOG_LINEAR, **CALIBRATION)))


@pytest.fixture(scope="module")
def graph_fused(tmp_path_factory: pytest.TempPathFactory) -> EmotionRecognizer:
    folder = tmp_path_factory.mktemp("fused")
    fusion = {"kind": "graph", "temperature": 2.5}
    return EmotionRecognizer(load_bundle(write_tiny_bundle(folder, fusion=fusion, **CALIBRATION)))


# -- the definition, written down a second time


def softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max())
    return raised / raised.sum()


def logits_by_hand(item: Utterance) -> dict[str, np.ndarray]:
    """What the graphs of the tiny bundle are to give."""
    logits: dict[str, np.ndarray] = {}
    if item.audio is not None:
        logits["speech"] = np.abs(item.audio.samples).mean() * np.array([40.0, 10, -20, -10])
    if item.transcript is not None:
        words = item.transcript.text.split()
        logits["text"] = np.array([2.0 * words.count(word) for word in WORDS[1:]])
    if item.skeleton is not None:
        motion = canonicalise(item.skeleton, rate_hz=15, window_s=4, end_ns=int(item.skeleton.stamps_ns[-1]))
        assert motion is not None
        logits["mocap"] = np.append(motion.positions.sum(axis=(0, 1)) / motion.mask.sum(), 0.0)
    return logits


def posteriors_by_hand(item: Utterance) -> dict[str, np.ndarray]:
    return {name: softmax(value / CALIBRATION[name]["temperature"]) for name, value in logits_by_hand(item).items()}


def product_of_experts(posteriors: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """p is the prior times the product of (p_m / prior) to the power of w_m, to the power of 1 / temperature."""
    prior = np.array(PRIOR)
    product = prior * np.prod([(p / prior) ** weights[name] for name, p in posteriors.items()], axis=0)
    cooled = product ** (1 / LOG_LINEAR["temperature"])  # type: ignore[operator]
    return cooled / cooled.sum()


# -- every set of modalities


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_every_set_of_modalities_is_fused_as_defined(recognizer: EmotionRecognizer, names: Sequence[str]) -> None:
    item = only(*names)
    estimate = recognizer.recognize(item)
    posteriors = posteriors_by_hand(item)
    weights = {name: CALIBRATION[name]["weight"] for name in names}
    expected = posteriors[names[0]] if len(names) == 1 else product_of_experts(posteriors, weights)
    np.testing.assert_allclose(estimate.probabilities, expected, atol=1e-5)
    assert available(estimate) == list(names)
    for name in names:
        np.testing.assert_allclose(evidence(estimate, name).probabilities, posteriors[name], atol=1e-5)
        assert evidence(estimate, name).weight == pytest.approx(weights[name] / sum(weights.values()))
    assert estimate.label == LABELS[int(np.argmax(expected))]
    assert estimate.confidence == pytest.approx(expected.max(), abs=1e-5)
    assert estimate.abstain_reason is AbstainReason.NONE


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_leaving_out_a_modality_and_not_having_it_are_the_same(
    recognizer: EmotionRecognizer, graph_fused: EmotionRecognizer, names: Sequence[str]
) -> None:
    for item in (recognizer, graph_fused):
        np.testing.assert_array_equal(
            item.recognize(utterance(), modalities=names).probabilities, item.recognize(only(*names)).probabilities
        )


def test_several_sets_at_once_give_what_each_gives_alone(recognizer: EmotionRecognizer) -> None:
    together = recognizer.recognize_each(utterance(), [*SUBSETS, None, ()], state=EstimateState.PROVISIONAL)
    apart = [recognizer.recognize(utterance(), modalities=names) for names in [*SUBSETS, None, ()]]
    for one, other in zip(together, apart, strict=True):
        assert one.state is EstimateState.PROVISIONAL
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert available(one) == available(other)


@pytest.mark.parametrize("names", [names for names in SUBSETS if len(names) < 3], ids="+".join)
def test_what_is_missing_is_said_to_be_missing(recognizer: EmotionRecognizer, names: Sequence[str]) -> None:
    estimate = recognizer.recognize(only(*names))
    for name in set(NAMES) - set(names):
        assert not evidence(estimate, name).available
        assert evidence(estimate, name).probabilities is None
        assert evidence(estimate, name).weight == 0


def test_an_estimate_carries_who_and_when_and_what(recognizer: EmotionRecognizer) -> None:
    estimate = recognizer.recognize(utterance())
    assert (estimate.utterance_id, estimate.voice_id, estimate.body_id, estimate.person_id, estimate.frame_id) == (
        "u", "v", "b", "p", "mic",
    )  # fmt: skip
    assert (estimate.stamp_ns, estimate.speech_start_ns, estimate.speech_end_ns) == (
        END_NS,
        END_NS - 3 * NS_PER_S,
        END_NS,
    )
    assert estimate.transcript == "happy sad happy"
    assert estimate.model_id == "tiny-1"
    assert estimate.labels == LABELS
    assert estimate.state is EstimateState.FINAL
    assert estimate.latency_s == -1
    assert (estimate.valence, estimate.arousal) == pytest.approx(
        valence_arousal(LABELS, estimate.probabilities), abs=1e-6
    )


def test_the_person_of_the_settings_is_named_where_the_utterance_names_none(tiny_bundle: Path) -> None:
    recognizer = EmotionRecognizer(load_bundle(tiny_bundle), EmotionSettings(person_id="anna"))
    assert recognizer.recognize(utterance(person_id="")).person_id == "anna"
    assert recognizer.recognize(utterance()).person_id == "p"


@pytest.mark.parametrize("order", [("mocap", "text", "speech"), ("text", "speech", "mocap")], ids="+".join)
@pytest.mark.parametrize("fusion", [LOG_LINEAR, {"kind": "graph", "temperature": 2.5}], ids=["log_linear", "graph"])
def test_the_order_of_modalities_in_a_bundle_does_not_matter(
    recognizer: EmotionRecognizer,
    graph_fused: EmotionRecognizer,
    tmp_path: Path,
    order: tuple[str, ...],
    fusion: dict,
) -> None:
    reordered = EmotionRecognizer(
        load_bundle(write_tiny_bundle(tmp_path / "b", fusion=fusion, modalities=order, **CALIBRATION))
    )
    original = recognizer if fusion is LOG_LINEAR else graph_fused
    for item in (utterance(), only("mocap", "text"), only("speech", "mocap")):
        np.testing.assert_allclose(
            reordered.recognize(item).probabilities, original.recognize(item).probabilities, atol=1e-6
        )
        assert {name: evidence(reordered.recognize(item), name).weight for name in NAMES} == pytest.approx(
            {name: evidence(original.recognize(item), name).weight for name in NAMES}
        )
    assert [item.modality for item in reordered.recognize(utterance()).evidence] == list(order)


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_a_bundle_may_have_any_modalities(tmp_path: Path, names: tuple[str, ...]) -> None:
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", modalities=names)))
    estimate = recognizer.recognize(utterance())
    assert [item.modality for item in estimate.evidence] == list(names)
    assert available(estimate) == list(names)


# -- nothing to go by


def test_without_any_evidence_the_label_is_unknown_and_the_reason_is_given(recognizer: EmotionRecognizer) -> None:
    for estimate in (recognizer.recognize(only()), recognizer.recognize(utterance(), modalities=())):
        assert estimate.label == UNKNOWN
        assert estimate.confidence == 0
        assert estimate.abstain_reason is AbstainReason.NO_EVIDENCE
        assert (estimate.valence, estimate.arousal) == (0, 0)
        np.testing.assert_allclose(estimate.probabilities, 0.25)
        assert available(estimate) == []


@pytest.mark.parametrize("state", [EstimateState.FINAL, EstimateState.RETRACTED])
def test_one_can_abstain_without_a_look_at_the_evidence(recognizer: EmotionRecognizer, state: EstimateState) -> None:
    estimate = recognizer.abstain(utterance(), AbstainReason.FAILED, state=state)
    assert (estimate.state, estimate.label, estimate.abstain_reason) == (state, UNKNOWN, AbstainReason.FAILED)
    assert (estimate.confidence, estimate.valence, estimate.arousal) == (0, 0, 0)
    np.testing.assert_allclose(estimate.probabilities, 0.25)
    assert {item.modality: item.weight for item in estimate.evidence} == dict.fromkeys(NAMES, 0.0)
    assert available(estimate) == []


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (voice(seconds=0.29), AbstainReason.TOO_SHORT),
        (voice(0.0009), AbstainReason.TOO_QUIET),
        (voice(0.0), AbstainReason.TOO_QUIET),
        (voice(1.0), AbstainReason.CLIPPED),
        (Waveform(np.zeros(0, np.float32), 16000), AbstainReason.NO_EVIDENCE),
    ],
    ids=["short", "quiet", "silent", "clipped", "empty"],
)
def test_a_voice_that_cannot_be_used_is_not_used_and_the_reason_is_given(
    recognizer: EmotionRecognizer, audio: Waveform, reason: AbstainReason
) -> None:
    alone = recognizer.recognize(replace(only(), audio=audio))
    assert (alone.label, alone.abstain_reason) == (UNKNOWN, reason)
    assert not evidence(alone, "speech").available
    with_words = recognizer.recognize(replace(only("text"), audio=audio))
    assert with_words.abstain_reason is AbstainReason.NONE
    np.testing.assert_array_equal(with_words.probabilities, recognizer.recognize(only("text")).probabilities)


@pytest.mark.parametrize("audio", [voice(seconds=0.3), voice(0.0011), voice(0.99)], ids=["short", "quiet", "loud"])
def test_a_voice_just_within_the_limits_is_used(recognizer: EmotionRecognizer, audio: Waveform) -> None:
    assert available(recognizer.recognize(replace(only(), audio=audio))) == ["speech"]


def test_the_limits_of_the_voice_are_settings(tiny_bundle: Path) -> None:
    generous = EmotionSettings(min_speech_s=0.05, min_level_db=-90.0, max_clipped=1.0)
    recognizer = EmotionRecognizer(load_bundle(tiny_bundle), generous)
    for audio in (voice(seconds=0.05), voice(0.0001), voice(1.0)):
        assert available(recognizer.recognize(replace(only(), audio=audio))) == ["speech"]


def test_the_least_voice_is_the_larger_of_settings_and_bundle(tmp_path: Path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path / "b", speech={"min_s": 0.8}))
    estimate = EmotionRecognizer(bundle).recognize(replace(only(), audio=voice(seconds=0.7)))
    assert estimate.abstain_reason is AbstainReason.TOO_SHORT


def test_audio_of_another_rate_is_an_error_that_names_the_cure(recognizer: EmotionRecognizer) -> None:
    with pytest.raises(AudioError, match=r"audio at 8000 Hz, but the bundle wants 16000 Hz: resample"):
        recognizer.recognize(utterance(audio=voice(rate=8000)))


DOMAIN = {"domain": ["in_domain", "out_of_distribution", "not_speech"]}


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> EmotionRecognizer:
    """Finds voices louder than 0.1 unlike what it has learned from."""
    return EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("judging"), speech=DOMAIN)))


def test_a_voice_unlike_what_was_learned_from_counts_nothing_and_says_why(judging: EmotionRecognizer) -> None:
    loud = judging.recognize(utterance(audio=voice(0.3)))
    spoken = evidence(loud, "speech")
    assert (spoken.available, spoken.probabilities, spoken.weight) == (False, None, 0.0)
    assert spoken.reason is AbstainReason.OUT_OF_DISTRIBUTION
    assert spoken.in_domain == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(
        loud.probabilities, judging.recognize(utterance(), modalities=("text", "mocap")).probabilities
    )
    assert (loud.abstain_reason, loud.label) != (AbstainReason.OUT_OF_DISTRIBUTION, UNKNOWN)


def test_a_voice_like_what_was_learned_from_counts_and_tells_how_like_it_is(judging: EmotionRecognizer) -> None:
    quiet = judging.recognize(utterance(audio=voice(0.05)))
    spoken = evidence(quiet, "speech")
    assert spoken.available
    assert spoken.reason is AbstainReason.NONE
    in_domain, *others = np.exp([10 - 100 * 0.05, 0, -5])
    assert spoken.in_domain == pytest.approx(in_domain / (in_domain + sum(others)), abs=1e-4)
    assert evidence(quiet, "text").in_domain == -1


def test_nothing_but_what_is_unlike_everything_learned_makes_the_estimate_abstain(judging: EmotionRecognizer) -> None:
    estimate = judging.recognize(replace(only("speech"), audio=voice(0.3)))
    assert (estimate.label, estimate.confidence) == (UNKNOWN, 0.0)
    assert estimate.abstain_reason is AbstainReason.OUT_OF_DISTRIBUTION


def test_how_like_it_must_be_is_the_bundles_to_say(tmp_path: Path) -> None:
    strict = DOMAIN | {"least_in_domain": 0.999}
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "bundle", speech=strict)))
    assert not evidence(recognizer.recognize(utterance(audio=voice(0.05))), "speech").available


@pytest.mark.parametrize("domain", [["in_domain"], ["other", "not_speech"], ["in_domain", "nonsense"]])
def test_a_bundle_that_tells_apart_what_nobody_knows_is_refused(tmp_path: Path, domain: list[str]) -> None:
    with pytest.raises(BundleError, match="what 'speech' tells apart is unknown to this version"):
        load_bundle(write_tiny_bundle(tmp_path / "bundle", speech={"domain": domain}))


def test_a_graph_that_tells_apart_something_else_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle", speech=DOMAIN)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["modalities"]["speech"]["domain"] = ["in_domain", "not_speech"]
    write_manifest(folder, manifest)
    with pytest.raises(BundleError, match="does not tell apart what the manifest says"):
        EmotionRecognizer(load_bundle(folder))


DECISION = {"coverage": 0.9, "largest_miss": {"mocap+speech+text": 0.8, "text": 0.0}, "incongruent_above": 0.2}


def deciding(folder: Path, **settings: float) -> EmotionRecognizer:
    bundle = load_bundle(write_tiny_bundle(folder))
    manifest = json.loads((bundle.path / MANIFEST).read_text())
    write_manifest(bundle.path, {**manifest, "decision": DECISION})
    return EmotionRecognizer(load_bundle(bundle.path), EmotionSettings(**settings))


def test_an_estimate_tells_the_classes_that_hold_the_truth_as_often_as_the_bundle_promises(tmp_path: Path) -> None:
    recognizer = deciding(tmp_path / "bundle")
    whole = recognizer.recognize(utterance())
    assert whole.coverage == 0.9
    assert whole.label_set == label_set(np.float64(whole.probabilities), LABELS, 0.8)
    assert recognizer.recognize(only("text")).label_set == (recognizer.recognize(only("text")).label,)
    speech = recognizer.recognize(only("speech"))
    assert (speech.label_set, speech.coverage) == ((), 0.0), "nothing is promised for the voice alone"


@pytest.mark.parametrize("share", [0.02, 0.25, 0.8, 0.98])
def test_the_label_is_in_its_set_whatever_share_of_life_is_neutral(tmp_path: Path, share: float) -> None:
    recognizer = deciding(tmp_path / "bundle", neutral_share=share)
    for words in ("happy", "sad sad", "angry", "table"):
        estimate = recognizer.recognize(utterance(transcript=said(words)))
        assert estimate.label in (estimate.label_set[0], UNKNOWN)
        assert estimate.label_set == label_set(np.float64(estimate.probabilities), LABELS, 0.8)


def test_words_against_the_voice_are_told_and_abstain_where_nothing_is_sure(tmp_path: Path) -> None:
    recognizer = deciding(tmp_path / "bundle", least_agreed=1.0)
    against = utterance(audio=voice(0.1), transcript=said("sad sad"))
    estimate = recognizer.recognize(against, modalities=("speech", "text"))
    assert estimate.incongruent
    assert (estimate.label, estimate.abstain_reason) == (UNKNOWN, AbstainReason.DISAGREEMENT)
    assert estimate.probabilities.sum() == pytest.approx(1)
    assert estimate.probabilities.max() > 0.3, "what was found stays told"
    alone = recognizer.recognize(against, modalities=("text",))
    assert (alone.incongruent, alone.label) == (False, "sad")
    sure = deciding(tmp_path / "other", least_agreed=0.0).recognize(against, modalities=("speech", "text"))
    assert sure.incongruent
    assert sure.label != UNKNOWN


def test_words_count_less_where_a_feeling_may_have_plain_ones_and_another_modality_knows(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle", fusion=LOG_LINEAR, **CALIBRATION)
    manifest = json.loads((bundle / MANIFEST).read_text())
    write_manifest(bundle, {**manifest, "fusion": {**manifest["fusion"], "plain_words": 0.3}})
    recognizer, item = EmotionRecognizer(load_bundle(bundle)), only("speech", "text")
    posteriors = posteriors_by_hand(item)
    prior = np.array(PRIOR)
    words = posteriors["text"] / prior
    words = prior * (0.7 * words + 0.3 * words[LABELS.index("neutral")])
    posteriors["text"] = words / words.sum()
    estimate = recognizer.recognize(item)
    expected = product_of_experts(posteriors, {name: CALIBRATION[name]["weight"] for name in ("speech", "text")})
    np.testing.assert_allclose(estimate.probabilities, expected, atol=1e-5)
    told = evidence(estimate, "text").probabilities
    np.testing.assert_allclose(told, posteriors_by_hand(item)["text"], atol=1e-5)
    alone = recognizer.recognize(only("text"))
    np.testing.assert_allclose(alone.probabilities, posteriors_by_hand(only("text"))["text"], atol=1e-5)
    write_manifest(bundle, {**manifest, "fusion": {**manifest["fusion"], "plain_words": 1.0}})
    with pytest.raises(BundleError, match="share of plain words is out of range"):
        load_bundle(bundle)


def test_in_a_neutral_life_an_estimate_is_neutral_more_often(tmp_path: Path, recognizer: EmotionRecognizer) -> None:
    even = recognizer.recognize(only("speech"))
    calm = EmotionRecognizer(recognizer.bundle, EmotionSettings(neutral_share=0.9)).recognize(only("speech"))
    np.testing.assert_allclose(
        calm.probabilities, with_neutral_share(np.float64(even.probabilities), LABELS, 0.9), rtol=1e-5
    )
    assert calm.probabilities[LABELS.index("neutral")] > even.probabilities[LABELS.index("neutral")]


def test_of_a_long_utterance_the_newest_audio_counts(tmp_path: Path) -> None:
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", speech={"max_s": 1.0})))
    loud_then_soft = Waveform(np.concatenate([voice(0.5, seconds=3).samples, voice(0.05).samples]), 16000)
    np.testing.assert_array_equal(
        recognizer.recognize(replace(only(), audio=loud_then_soft)).probabilities,
        recognizer.recognize(replace(only(), audio=voice(0.05))).probabilities,
    )


def test_silence_at_both_ends_counts_where_the_model_was_trained_with_it(tmp_path: Path) -> None:
    trims = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", speech={"trim_db": 40.0})))
    keeps = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "c")))
    padded = replace(only(), audio=Waveform(np.pad(voice().samples, 16_000), 16000))
    short = replace(only(), audio=Waveform(np.pad(voice().samples, 1_600), 16000))
    np.testing.assert_array_equal(trims.recognize(padded).probabilities, trims.recognize(short).probabilities)
    assert not np.allclose(keeps.recognize(padded).probabilities, keeps.recognize(short).probabilities)


@pytest.mark.parametrize(
    ("before_s", "after_s", "left_s"),
    [(0.0, 0.0, 1.0), (0.06, 0.0, 1.06), (2.0, 0.0, 1.1), (0.0, 2.0, 1.1), (2.0, 2.0, 1.2)],
)
def test_a_tenth_of_a_second_of_silence_stays(before_s: float, after_s: float, left_s: float) -> None:
    samples = voice().samples
    padded = np.pad(samples, (round(16_000 * before_s), round(16_000 * after_s)))
    trimmed = trim(padded, 40.0, 16_000)
    assert len(trimmed) == pytest.approx(16_000 * left_s, abs=320)
    assert np.count_nonzero(trimmed) == len(samples)


def test_what_is_not_silence_stays() -> None:
    soft = voice(0.002).samples
    loud_within = np.concatenate([soft, voice(0.1).samples, soft])
    assert len(trim(loud_within, 40.0, 16_000)) == len(loud_within)
    assert len(trim(loud_within, 30.0, 16_000)) < len(loud_within)
    for samples in (soft, np.zeros(16_000, np.float32), soft[:100], soft[:0]):
        np.testing.assert_array_equal(trim(samples, 40.0, 16_000), samples)
        np.testing.assert_array_equal(trim(loud_within, 0.0, 16_000), loud_within)


def test_a_reading_ahead_is_remembered_and_changes_nothing(recognizer: EmotionRecognizer) -> None:
    item = utterance()
    before = recognizer.recognize(item)
    recognizer.read_ahead(replace(item, transcript=said("sad"), audio=voice(0.3)))
    assert_equal_estimates(recognizer.recognize(item), before)


def test_what_is_remembered_is_that_of_the_same_evidence_only(recognizer: EmotionRecognizer) -> None:
    """Each change of what is heard, said or seen makes another estimate."""
    fresh = EmotionRecognizer(recognizer.bundle)
    for change in (
        {"audio": voice(0.11)},
        {"transcript": said("sad sad sad")},
        {"skeleton": body(lean=0.02)},
        {"audio": None},
        {"transcript": None},
        {"skeleton": None},
    ):
        recognizer.recognize(utterance())
        assert_equal_estimates(recognizer.recognize(utterance(**change)), fresh.recognize(utterance(**change)))


def test_a_constant_offset_of_the_microphone_changes_nothing(recognizer: EmotionRecognizer) -> None:
    plain = recognizer.recognize(only("speech"))
    offset = recognizer.recognize(replace(only(), audio=Waveform(voice().samples + np.float32(0.05), 16000)))
    np.testing.assert_allclose(offset.probabilities, plain.probabilities, atol=1e-5)
    soft = replace(only(), audio=Waveform(voice(0.0001).samples + np.float32(0.3), 16000))
    assert recognizer.recognize(soft).abstain_reason is AbstainReason.TOO_QUIET


def test_audio_is_normalised_where_the_model_wants_it(tmp_path: Path) -> None:
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", speech={"normalise": True})))
    soft, loud = (voice(level).samples + np.float32(0.3) for level in (0.05, 0.2))
    estimates = [recognizer.recognize(replace(only(), audio=Waveform(samples, 16000))) for samples in (soft, loud)]
    np.testing.assert_allclose(estimates[0].probabilities, estimates[1].probabilities, atol=1e-3)
    np.testing.assert_allclose(estimates[0].probabilities, softmax(np.array([40.0, 10, -20, -10])), atol=1e-3)


# -- words


@pytest.mark.parametrize("text", ["", " ", "\t\n", ".", "...", "?", "♪♪", "— …"])
def test_no_words_are_no_evidence(recognizer: EmotionRecognizer, text: str) -> None:
    estimate = recognizer.recognize(replace(only(), transcript=said(text)))
    assert (estimate.label, estimate.abstain_reason) == (UNKNOWN, AbstainReason.NO_EVIDENCE)


def retokenized(folder: Path, change: Callable[[Tokenizer], None]) -> EmotionRecognizer:
    """A recogniser whose tokenizer was changed, and then listed as it is."""
    write_tiny_bundle(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    change(tokenizer)
    tokenizer.save(str(folder / "tokenizer.json"))
    manifest = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, {key: value for key, value in manifest.items() if key not in ("format", "files")})
    return EmotionRecognizer(load_bundle(folder))


def test_words_that_the_tokenizer_takes_away_are_no_evidence(tmp_path: Path) -> None:
    def drop_dots(tokenizer: Tokenizer) -> None:
        tokenizer.normalizer = normalizers.Replace("…", "")

    recognizer = retokenized(tmp_path / "b", drop_dots)
    estimate = recognizer.recognize(replace(only(), transcript=said("…")))
    assert estimate.abstain_reason is AbstainReason.NO_EVIDENCE


def test_padding_that_a_tokenizer_was_saved_with_does_not_enter(tmp_path: Path) -> None:
    padded = retokenized(tmp_path / "a", lambda tokenizer: tokenizer.enable_padding(length=20, pad_id=1))
    plain = retokenized(tmp_path / "b", lambda tokenizer: None)
    item = replace(only(), transcript=said("happy"))
    np.testing.assert_array_equal(padded.recognize(item).probabilities, plain.recognize(item).probabilities)


@pytest.mark.parametrize(
    ("language", "understood"),
    [
        *(("en", True), ("en-GB", True), ("EN", True), ("", True), ("pl", False), ("pl_PL", False)),
        *(("en_US", True), ("en_GB.UTF-8", True), ("en_IE@euro", True), ("C.UTF-8", True), ("POSIX", True)),
    ],
)
def test_words_in_a_language_that_the_model_does_not_know_are_not_used(
    recognizer: EmotionRecognizer, language: str, understood: bool
) -> None:
    estimate = recognizer.recognize(replace(only("speech"), transcript=said(language=language)))
    words = evidence(estimate, "text")
    assert (words.available, words.reason) == (understood, AbstainReason["NONE" if understood else "UNKNOWN_LANGUAGE"])
    assert estimate.label != UNKNOWN, "the voice counts"
    assert estimate.transcript == "happy sad happy", "it is shown all the same"
    alone = recognizer.recognize(replace(only(), transcript=said(language=language)))
    assert (alone.label == UNKNOWN, alone.abstain_reason) == (not understood, words.reason)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[unk] happy [unk]", "happy"),
        ("[LAUGHTER] happy [BREATHING] sad", "happy sad"),
        ("<unk> (laughs) happy [BLANK_AUDIO]", "happy"),
        ("[unk]", ""),
        ("(laughs)! [Music].", ""),
        ("happy [NAME] <3 (sad)", "happy [NAME] <3 (sad)"),
    ],
)
def test_names_of_sounds_are_no_words(recognizer: EmotionRecognizer, text: str, words: str) -> None:
    assert spoken(text) == words
    estimate = recognizer.recognize(replace(only("speech"), transcript=said(text)))
    assert evidence(estimate, "text").available is bool(words)
    foreign = recognizer.recognize(replace(only("speech"), transcript=said(text, language="pl")))
    assert evidence(foreign, "text").reason is AbstainReason["UNKNOWN_LANGUAGE" if words else "NO_EVIDENCE"]


def test_of_words_that_are_not_understood_the_translation_is_read(recognizer: EmotionRecognizer) -> None:
    def read(transcript: Transcript) -> EmotionEstimate:
        return recognizer.recognize(replace(only(), transcript=transcript))

    translated = read(replace(said("radość smutek", language="pl"), translation="happy happy sad"))
    np.testing.assert_array_equal(translated.probabilities, read(said("happy happy sad")).probabilities)
    assert translated.transcript == "radość smutek", "what was said is shown"
    understood = read(replace(said("sad"), translation="happy happy"))
    np.testing.assert_array_equal(understood.probabilities, read(said("sad")).probabilities)


def test_a_model_of_another_language_reads_no_english_translation(tmp_path: Path) -> None:
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", text={"languages": ["de"]})))
    transcript = replace(said("radość", language="pl"), translation="happy")
    assert available(recognizer.recognize(replace(only("speech"), transcript=transcript))) == ["speech"]


def test_a_model_of_any_language_reads_every_language(tmp_path: Path) -> None:
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", text={"languages": []})))
    assert available(recognizer.recognize(replace(only(), transcript=said(language="pl")))) == ["text"]


def test_the_weight_of_the_words_is_multiplied_by_their_confidence(recognizer: EmotionRecognizer) -> None:
    item = replace(only("speech", "text"), transcript=said(confidence=0.4))
    estimate = recognizer.recognize(item)
    weights = {"speech": 0.9, "text": 0.7 * 0.4}
    np.testing.assert_allclose(estimate.probabilities, product_of_experts(posteriors_by_hand(item), weights), atol=1e-5)
    assert evidence(estimate, "text").weight == pytest.approx(0.28 / 1.18)


def test_words_alone_are_believed_as_far_as_their_confidence_goes(recognizer: EmotionRecognizer) -> None:
    item = replace(only(), transcript=said(confidence=0.3))
    raised = np.array(PRIOR) ** 0.7 * posteriors_by_hand(item)["text"] ** 0.3
    estimate = recognizer.recognize(item)
    np.testing.assert_allclose(estimate.probabilities, raised / raised.sum(), atol=1e-5)
    assert evidence(estimate, "text").weight == 1


@pytest.mark.parametrize(("confidence", "as_if"), [(None, 1.0), (7.0, 1.0), (-1.0, 0.0), (float("nan"), 0.0)])
def test_a_confidence_that_is_none_or_no_share_never_spoils_an_estimate(
    recognizer: EmotionRecognizer, confidence: float | None, as_if: float
) -> None:
    odd, plain = (
        recognizer.recognize(replace(only("speech", "text"), transcript=said(confidence=value)))
        for value in (confidence, as_if)
    )
    np.testing.assert_array_equal(odd.probabilities, plain.probabilities)
    assert np.all(np.isfinite(odd.probabilities))


def test_words_without_any_confidence_are_not_used(recognizer: EmotionRecognizer) -> None:
    assert available(recognizer.recognize(replace(only("speech"), transcript=said(confidence=0.0)))) == ["speech"]


def test_of_a_long_text_the_first_tokens_count(tmp_path: Path) -> None:
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", text={"max_tokens": 3})))
    long, short = "angry sad angry " + "happy " * 500, "angry sad angry"
    np.testing.assert_array_equal(
        recognizer.recognize(replace(only(), transcript=said(long))).probabilities,
        recognizer.recognize(replace(only(), transcript=said(short))).probabilities,
    )


# -- bodies


def test_joints_that_are_no_numbers_count_as_not_seen(recognizer: EmotionRecognizer) -> None:
    whole, holed, masked = body(), body(), body()
    holed.positions[10:20, 5] = np.nan
    holed.positions[30, 3, 1] = np.inf
    masked.confidence[10:20, 5] = 0
    masked.confidence[30, 3] = 0
    with_nan, with_mask, plain = (
        recognizer.recognize(replace(only(), skeleton=item)).probabilities for item in (holed, masked, whole)
    )
    assert np.all(np.isfinite(with_nan))
    np.testing.assert_allclose(with_nan, with_mask, atol=1e-6)
    assert not np.array_equal(with_nan, plain)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_a_body_of_which_nothing_is_seen_is_no_evidence(recognizer: EmotionRecognizer, confidence: float) -> None:
    empty = body()
    empty.confidence[:] = confidence
    if confidence:
        empty.positions[:] = np.nan
    estimate = recognizer.recognize(replace(only(), skeleton=empty))
    assert (estimate.label, estimate.abstain_reason) == (UNKNOWN, AbstainReason.NO_EVIDENCE)


def test_a_body_without_frames_is_no_evidence(recognizer: EmotionRecognizer) -> None:
    assert recognizer.recognize(replace(only(), skeleton=body(frames=0))).label == UNKNOWN


def test_a_body_seen_too_briefly_is_not_used(tmp_path: Path) -> None:
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", mocap={"min_s": 0.5})))
    brief, enough = (recognizer.recognize(replace(only(), skeleton=body(frames=frames))) for frames in (15, 17))
    assert brief.abstain_reason is AbstainReason.TOO_SHORT
    assert available(enough) == ["mocap"]


@pytest.mark.parametrize("away", ["gone", "not seen"])
def test_a_body_that_was_away_and_is_glimpsed_at_the_end_is_not_used(tmp_path: Path, away: str) -> None:
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", mocap={"min_s": 0.5})))
    whole = body(frames=270)  # nine seconds
    is_there = np.arange(270) < 30
    is_there[-1] = True
    if away == "gone":
        glimpse = replace(
            whole,
            stamps_ns=whole.stamps_ns[is_there],
            positions=whole.positions[is_there],
            confidence=whole.confidence[is_there],
        )
    else:
        glimpse = replace(whole, confidence=np.where(is_there[:, None], whole.confidence, 0).astype(np.float32))
    estimate = recognizer.recognize(replace(only(), skeleton=glimpse))
    assert estimate.abstain_reason is AbstainReason.TOO_SHORT


@pytest.mark.parametrize(("rate_hz", "least_s"), [(5, 0.5), (30, 4.0)])
def test_a_body_that_is_there_all_the_time_is_seen_long_enough(tmp_path: Path, rate_hz: int, least_s: float) -> None:
    """At the rate of a slow tracker, and where as much is asked for as a model looks at."""
    recognizer = EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path / "b", mocap={"min_s": least_s})))
    steady = body(frames=6 * rate_hz)
    stamps_ns = END_NS - np.arange(6 * rate_hz)[::-1] * (NS_PER_S // rate_hz)
    assert available(recognizer.recognize(replace(only(), skeleton=replace(steady, stamps_ns=stamps_ns)))) == ["mocap"]


def test_the_age_of_the_body_is_told(recognizer: EmotionRecognizer) -> None:
    late = recognizer.recognize(utterance(skeleton=body(end_ns=END_NS - to_ns(1.5))))
    assert evidence(late, "mocap").age_s == pytest.approx(1.5)
    assert evidence(late, "speech").age_s == 0


def test_a_body_is_looked_at_up_to_its_newest_frame(recognizer: EmotionRecognizer) -> None:
    fresh, late = (utterance(skeleton=body(frames=150, end_ns=END_NS - to_ns(age_s))) for age_s in (0, 1.5))
    for item in (fresh, late):
        assert item.skeleton is not None
        item.skeleton.positions[:, 6, 1] += np.linspace(0, 0.5, 150, dtype=np.float32)  # a hand goes up
    np.testing.assert_array_equal(recognizer.recognize(late).probabilities, recognizer.recognize(fresh).probabilities)


def test_every_joint_layout_of_a_body_serves(recognizer: EmotionRecognizer) -> None:
    for layout in ("egait16", "canonical15", "bandai21", "hri18", "coco17"):
        assert available(recognizer.recognize(replace(only(), skeleton=body(layout=layout)))) == ["mocap"]


def test_face_markers_are_no_body(recognizer: EmotionRecognizer) -> None:
    markers = SkeletonSequence(np.arange(200), np.ones((200, 63, 3)), np.ones((200, 63)), "iemocap200")
    assert recognizer.recognize(replace(only(), skeleton=markers)).abstain_reason is AbstainReason.NO_EVIDENCE


def test_a_model_of_face_markers_takes_them_as_they_are_and_no_body(tmp_path: Path) -> None:
    bundle = load_bundle(write_tiny_bundle(tmp_path / "b", mocap={"representation": "iemocap200"}))
    recognizer = EmotionRecognizer(bundle)
    positions = np.tile(np.float32([1, 2, 3]), (200, 63, 1))
    positions[0, 0] = np.nan
    confidence = np.ones((200, 63), np.float32)
    positions[1], confidence[1] = 1e6, 0
    markers = SkeletonSequence(np.arange(200), positions, confidence, "iemocap200")
    estimate = recognizer.recognize(replace(only(), skeleton=markers))
    np.testing.assert_allclose(estimate.probabilities, softmax(np.array([1.0, 2, 3, 0])), atol=1e-5)
    assert not available(recognizer.recognize(only("mocap")))


def test_a_layout_that_nobody_knows_is_an_error(recognizer: EmotionRecognizer) -> None:
    with pytest.raises(SkeletonError, match="martian7"):
        recognizer.recognize(utterance(skeleton=replace(body(), layout="martian7")))


# -- fusion by a graph


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_a_fusion_graph_is_given_features_logits_and_who_is_present(
    graph_fused: EmotionRecognizer, names: Sequence[str]
) -> None:
    item = only(*names)
    if item.transcript is not None:
        item = replace(item, transcript=said(confidence=0.5))
    logits = logits_by_hand(item)
    share = {"speech": 2.0, "text": 0.5, "mocap": 1.0}  # as features and as logits; by its confidence; as features
    features = {name: value * share[name] for name, value in logits.items()}
    estimate = graph_fused.recognize(item)
    np.testing.assert_allclose(estimate.probabilities, softmax(sum(features.values()) / 2.5), atol=1e-5)
    assert sum(entry.weight for entry in estimate.evidence) == pytest.approx(1)
    for name in names:
        own = logits[name] / CALIBRATION[name]["temperature"]
        np.testing.assert_allclose(evidence(estimate, name).probabilities, softmax(own), atol=1e-5)


def test_a_fusion_graph_without_evidence_is_not_asked(graph_fused: EmotionRecognizer) -> None:
    assert graph_fused.recognize(only()).label == UNKNOWN


def with_affect(folder: Path, value: Sequence[float]) -> Path:
    """The fused bundle, whose fusion graph says the same valence and arousal of everything."""
    write_tiny_bundle(folder, fusion={"kind": "graph", "temperature": 2.5}, **CALIBRATION)
    model = onnx.load(folder / "fusion.onnx")
    shape = [1, len(value)]
    model.graph.initializer.append(numpy_helper.from_array(np.array([value], np.float32), "said"))
    model.graph.node.append(helper.make_node("Identity", ["said"], ["affect"]))
    model.graph.output.append(helper.make_tensor_value_info("affect", TensorProto.FLOAT, shape))
    onnx.save(model, folder / "fusion.onnx")
    manifest = json.loads((folder / MANIFEST).read_text())
    write_manifest(folder, {key: value for key, value in manifest.items() if key not in ("format", "files")})
    return folder


def test_valence_and_arousal_are_those_of_the_fusion_graph_where_it_estimates_them(
    graph_fused: EmotionRecognizer, tmp_path: Path
) -> None:
    item = utterance()
    plain = graph_fused.recognize(item)
    assert (plain.valence, plain.arousal) == pytest.approx(valence_arousal(LABELS, plain.probabilities), abs=1e-6)
    recognizer = EmotionRecognizer(load_bundle(with_affect(tmp_path / "b", [-0.25, 0.75])))
    estimate = recognizer.recognize(item)
    assert (estimate.valence, estimate.arousal) == (-0.25, 0.75)
    np.testing.assert_array_equal(estimate.probabilities, plain.probabilities)
    nothing = recognizer.recognize(only())
    assert (nothing.valence, nothing.arousal) == (0, 0)


def test_valence_and_arousal_of_a_graph_never_leave_their_range(tmp_path: Path) -> None:
    estimate = EmotionRecognizer(load_bundle(with_affect(tmp_path / "b", [-3.0, 7.0]))).recognize(utterance())
    assert (estimate.valence, estimate.arousal) == (-1, 1)


def test_a_graph_that_gives_something_else_as_affect_is_refused(tmp_path: Path) -> None:
    bundle = load_bundle(with_affect(tmp_path / "b", [0.1, 0.2, 0.3]))
    with pytest.raises(BundleError, match=r"valence and arousal of shape \(1, 3\): export the bundle again"):
        EmotionRecognizer(bundle)


# -- whatever goes in


@st.composite
def utterances(draw: st.DrawFn) -> Utterance:
    level = draw(st.sampled_from([0.0, 1e-6, 0.001, 0.1, 0.5, 1.0]))
    audio = draw(st.none() | st.builds(voice, st.just(level), seconds=st.sampled_from([0.0, 0.01, 0.4, 2.0])))
    words = st.lists(st.sampled_from([*WORDS[1:], "ünknown", "…", "😀", "\x00"]), max_size=80).map(" ".join)
    confidences = st.none() | st.floats(0, 1)
    transcript = draw(st.none() | st.builds(said, words, confidences, st.sampled_from(["", "en", "pl"])))
    skeleton = draw(st.none() | st.builds(body, frames=st.integers(0, 40), lean=st.floats(-3, 3)))
    if skeleton is not None:
        seed = draw(st.integers(0, 2**16))
        holes = np.random.default_rng(seed).random(skeleton.confidence.shape) < draw(st.sampled_from([0, 0.3, 0.9]))
        skeleton.positions[holes] = draw(st.sampled_from([np.nan, np.inf, 1e30, 0.0]))
        skeleton.confidence[holes] = draw(st.sampled_from([0.0, 0.5, 1.0]))
    return utterance(audio=audio, transcript=transcript, skeleton=skeleton)


@given(utterances(), st.booleans())
def test_whatever_was_heard_read_and_seen_the_probabilities_are_probabilities(
    recognizer: EmotionRecognizer, graph_fused: EmotionRecognizer, item: Utterance, by_graph: bool
) -> None:
    estimate = (graph_fused if by_graph else recognizer).recognize(item)
    assert estimate.probabilities.dtype == np.float32
    assert np.all(np.isfinite(estimate.probabilities))
    assert np.all(estimate.probabilities >= 0)
    assert estimate.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert estimate.label in (*LABELS, UNKNOWN)
    assert (estimate.label == UNKNOWN) == (not available(estimate)) == (estimate.confidence == 0)
    assert (estimate.abstain_reason is AbstainReason.NONE) == bool(available(estimate))
    assert sum(entry.weight for entry in estimate.evidence) == pytest.approx(1 if available(estimate) else 0)
    for entry in estimate.evidence:
        assert (entry.probabilities is not None) == entry.available
        if entry.probabilities is not None:
            assert entry.probabilities.sum() == pytest.approx(1)
