"""What is measured of hearing: segments, how sure words are, noise of a given loudness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clips import spoken
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.asr.confidence import ConfidenceMap, read_confidence_map
from mser_ros.audio.waveform import to_float
from mser_ros.errors import TranscriberError
from mser_ros.evaluation import segments
from mser_ros.evaluation.calibration import fit_confidence
from mser_ros.evaluation.confidence import calibration_error, reliability, utterances, words
from mser_ros.evaluation.noise import babble, in_noise, rms, speech_shaped
from mser_ros.evaluation.words import HeardWords, edits, judge, right_words
from mser_ros.types import Transcript, Word

WORDS = st.lists(st.sampled_from("abc"), max_size=6)


# -- words


@pytest.mark.parametrize(
    ("truth", "heard", "right"),
    [
        ("dogs are sitting by the door", "dogs are sitting by the door", "111111"),
        ("dogs are sitting by the door", "docks are sitting by door", "01111"),
        ("dogs are sitting", "the dogs are are sitting", "01101 01011"),
        ("dogs", "", ""),
        ("", "dogs", "0"),
    ],
)
def test_the_right_words_are_those_of_the_shortest_alignment(truth: str, heard: str, right: str) -> None:
    found = "".join("01"[flag] for flag in right_words(truth.split(), heard.split()))
    assert found in (right.split() or [""])


@given(WORDS, WORDS)
def test_no_alignment_has_more_right_words_than_the_edits_allow(truth: list[str], heard: list[str]) -> None:
    right = right_words(truth, heard)
    assert len(right) == len(heard)
    assert max(len(truth), len(heard)) - edits(truth, heard) <= sum(right) <= min(len(truth), len(heard))


def test_a_word_of_several_parts_is_right_if_all_are_and_punctuation_does_not_matter() -> None:
    parts = (("Mother-in-law,", 0.9), ("don't", 0.8), ("-", 0.5), ("well-none", 0.4), ("Go!", 0.3))
    heard = Transcript("", words=tuple(Word(text, 0, 0, value) for text, value in parts))
    expected = HeardWords((0.9, 0.8, 0.4, 0.3), (True, True, False, True))
    assert judge(heard, "mother in law don't well done go") == expected


def test_bins_hold_each_word_once_and_the_error_is_their_mean_distance() -> None:
    heard = [
        HeardWords((0.05, 0.75, 1.0), (False, True, True)),
        HeardWords((0.75,), (False,)),
    ]
    bins = reliability(*words(heard))
    assert [(item.low, item.count, item.right) for item in bins] == [(0.0, 1, 0.0), (0.7, 2, 0.5), (0.95, 1, 1.0)]
    assert calibration_error(bins) == pytest.approx((0.05 + 2 * 0.25) / 4)
    confidence, share = utterances([*heard, HeardWords((), ())])
    assert (confidence.tolist(), share.tolist()) == (pytest.approx([0.6, 0.75]), pytest.approx([2 / 3, 0.0]))


# -- the map of confidences


def test_a_map_that_is_fitted_makes_confidences_true() -> None:
    rng = np.random.default_rng(0)
    probability = rng.beta(4, 1, 4000)
    truth = ConfidenceMap(0.6, 0.3, -0.5)
    right = rng.random(4000) < [truth(value) for value in probability]
    found = fit_confidence(probability[:2000], right[:2000])
    mapped = np.array([found(value) for value in probability[2000:]])
    before = calibration_error(reliability(probability[2000:], right[2000:]))
    assert calibration_error(reliability(mapped, right[2000:])) < 0.04 < before / 3


def test_too_few_words_change_little() -> None:
    found = fit_confidence(np.array([0.8, 0.9]), np.array([True, True]))
    assert found(0.8) == pytest.approx(0.8, abs=0.1)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_the_map_that_ships_never_falls_and_stays_between_0_and_1(values: list[float]) -> None:
    mapped = [read_confidence_map()(value) for value in sorted(values)]
    assert mapped == sorted(mapped)
    assert all(0 <= value <= 1 for value in mapped)


def test_without_a_change_the_map_is_the_probability() -> None:
    assert [ConfidenceMap()(value) for value in (0.1, 0.5, 0.93)] == pytest.approx([0.1, 0.5, 0.93])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("certain: 1", "holds no map of confidences"),
        ("certain: [", "holds no map of confidences"),
        ("certain: -1\ndoubtful: 1\noffset: 0", "falls"),
    ],
)
def test_a_broken_map_is_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "map.yaml").write_text(content)
    with pytest.raises(TranscriberError, match=message):
        read_confidence_map(tmp_path / "map.yaml")


# -- noise


@pytest.mark.parametrize("snr_db", [20, 0])
@pytest.mark.parametrize("kind", [babble, speech_shaped])
def test_noise_is_as_loud_as_is_asked_for_and_always_the_same(kind, snr_db: float) -> None:
    voice = to_float(spoken()) * 0.1
    noise = kind([to_float(spoken(1)), voice], len(voice), np.random.default_rng(3))
    heard = to_float(in_noise(voice, noise, snr_db))
    assert 20 * np.log10(rms(voice) / rms(heard - voice)) == pytest.approx(snr_db, abs=0.2)
    again = kind([to_float(spoken(1)), voice], len(voice), np.random.default_rng(3))
    np.testing.assert_array_equal(again, noise)


def test_noise_has_the_spectrum_of_the_speech() -> None:
    voice = to_float(spoken())
    noise = speech_shaped([voice], len(voice), np.random.default_rng(0))
    low, high = (
        [float((np.abs(np.fft.rfft(wave)) ** 2)[first:last].mean()) for wave in (voice, noise)]
        for first, last in ((400, 2000), (len(voice) // 4, len(voice) // 2))
    )
    assert low[1] / high[1] == pytest.approx(low[0] / high[0], rel=0.5)


# -- segments


def test_segments_are_scored_one_to_one() -> None:
    true = [(16_000, 48_000), (80_000, 112_000), (160_000, 192_000)]
    found = [(15_000, 50_000), (82_000, 90_000), (91_000, 110_000), (220_000, 240_000)]
    scores = segments.score(true, found, 250_000)
    assert (scores.precision, scores.recall) == (0.5, pytest.approx(2 / 3))
    assert scores.f1 == pytest.approx(4 / 7)
    assert segments.score(true, true, 250_000) == segments.SegmentScores(1, 1, 1, 1)
    assert segments.score(true, [], 250_000) == segments.SegmentScores(0, 0, 0, 0)
    assert segments.score(true, [(0, 250_000)], 250_000).precision == 0


@pytest.mark.parametrize("snr_db", [None, 10])
def test_people_in_silence_and_noise_are_found(snr_db: float | None) -> None:
    clips = [to_float(spoken(number)) for number in (0, 1, 0)]
    speech, spans = segments.in_a_row(clips, np.random.default_rng(0))
    noise = None if snr_db is None else speech_shaped(clips, len(speech), np.random.default_rng(1))
    heard = segments.stream(speech, noise, snr_db or 0)
    scores = segments.score(spans, segments.find(heard), len(speech))
    assert (scores.precision, scores.recall) == (1, 1)
    assert scores.time_recall > 0.9


def test_the_detector_of_webrtc_hears_speech_and_no_silence() -> None:
    pytest.importorskip("webrtcvad", reason="webrtcvad is not installed: pip install webrtcvad-wheels")
    vad = segments.WebRtcVad(3)
    speech, spans = segments.in_a_row([to_float(spoken())], np.random.default_rng(0))
    found = segments.find(segments.stream(speech, None, 0), vad)
    assert segments.score(spans, found, len(speech)).recall == 1
    vad.reset()
    assert [vad.probability(np.zeros(512, np.int16)) for _ in range(20)] == [0.0] * 20
