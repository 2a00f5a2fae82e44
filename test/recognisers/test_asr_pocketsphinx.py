from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import noise, silence, spoken

from mser_ros.asr.registry import create_transcriber
from mser_ros.asr.transcriber import Transcriber
from mser_ros.errors import TranscriberError
from mser_ros.settings import AsrSettings
from mser_ros.types import NS_PER_S, Transcript

pytest.importorskip("pocketsphinx", reason="pocketsphinx is not installed: pip install pocketsphinx")

START_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    transcriber = create_transcriber(AsrSettings(backend="pocketsphinx"))
    yield transcriber
    transcriber.close()


@pytest.fixture(scope="module")
def expected(transcriber: Transcriber) -> Transcript:
    """What is read of `utterance()`."""
    return read(transcriber, utterance())


def utterance(number: int = 0) -> np.ndarray:
    """The first words of a sentence, between silence: 1.7 s."""
    return np.concatenate([silence(0.2), spoken(number)[:19_200], silence(0.3)])


def read(transcriber: Transcriber, samples: np.ndarray, size: int = 512) -> Transcript:
    transcriber.start(START_NS)
    for first in range(0, len(samples), size):
        transcriber.accept(samples[first : first + size])
    return transcriber.finish()


def test_words_have_times_in_order_and_confidences(transcriber: Transcriber, expected: Transcript) -> None:
    samples, transcript = utterance(), expected
    assert {"feel", "sad"} & set(transcript.text.split())
    assert transcript.is_final
    assert transcript.language == transcriber.language == "en"
    assert transcript.text == " ".join(word.text for word in transcript.words)
    assert not set("<>[]()+") & set(transcript.text)
    assert transcript.confidence is not None
    assert 0 < transcript.confidence < 1
    for word in transcript.words:
        assert START_NS <= word.start_ns < word.end_ns <= START_NS + len(samples) * NS_PER_S // 16_000
        assert word.confidence is not None
        assert 0 <= word.confidence <= 1
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(transcript.words))
    assert transcript.words[0].start_ns >= START_NS + NS_PER_S // 10, "the silence before holds no word"


@pytest.mark.parametrize("size", [100, 1_023, 1_025, 16_000, 10**6])
def test_the_text_does_not_depend_on_how_the_audio_is_cut(
    transcriber: Transcriber, expected: Transcript, size: int
) -> None:
    assert read(transcriber, utterance(), size) == expected


@pytest.mark.parametrize("before", ["noise", "speech", "silence", "a reset in the middle", "nothing"])
def test_the_text_does_not_depend_on_what_was_heard_before(
    transcriber: Transcriber, expected: Transcript, before: str
) -> None:
    if before == "noise":
        read(transcriber, noise(1.0, 8_000))
    elif before == "speech":
        read(transcriber, utterance(1))
    elif before == "silence":
        read(transcriber, silence(1.0))
    elif before == "a reset in the middle":
        transcriber.start(0)
        transcriber.accept(utterance(1)[:15_000])
        transcriber.reset()
    else:
        transcriber.start(0)
        transcriber.finish()
    assert read(transcriber, utterance()) == expected


def test_asking_for_partials_changes_nothing_and_they_grow(transcriber: Transcriber, expected: Transcript) -> None:
    samples = utterance()
    transcriber.start(START_NS)
    partials = []
    for first in range(0, len(samples), 512):
        transcriber.accept(samples[first : first + 512])
        partials.append(transcriber.partial())
    assert transcriber.finish() == expected
    assert partials[0].text == ""
    assert partials[-1].text != ""
    assert not any(partial.is_final or partial.words for partial in partials)


@pytest.mark.parametrize("samples", [silence(0), silence(0.00007), silence(0.5), silence(2), noise(2, 3_000)])
def test_without_speech_there_are_few_words_and_no_failure(transcriber: Transcriber, samples: np.ndarray) -> None:
    assert len(read(transcriber, samples).words) <= 3


def test_speech_cut_anywhere_still_gives_what_was_heard(transcriber: Transcriber) -> None:
    samples = utterance()
    for length in range(9_000, 25_000, 4_000):
        transcriber.start(START_NS)
        transcriber.accept(samples[:length])
        partial = transcriber.partial().text
        assert not partial or transcriber.finish().text


def test_a_start_forgets_the_open_utterance(transcriber: Transcriber, expected: Transcript) -> None:
    transcriber.start(START_NS)
    transcriber.accept(utterance(1))
    assert read(transcriber, utterance()) == expected


def test_audio_outside_an_utterance_is_ignored(transcriber: Transcriber) -> None:
    transcriber.reset()
    transcriber.accept(utterance())
    assert transcriber.partial().text == ""
    assert transcriber.finish() == Transcript("", language="en")


def test_another_recogniser_reads_the_same_and_nothing_is_printed_or_warned(
    expected: Transcript, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(create_transcriber(AsrSettings(backend="pocketsphinx")), utterance()) == expected
    assert capfd.readouterr() == ("", "")


def test_a_folder_without_a_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, message in {"missing": "there is no folder", "empty": "must hold one folder with a file 'mdef'"}.items():
        with pytest.raises(TranscriberError, match=message) as caught:
            create_transcriber(AsrSettings(backend="pocketsphinx", model_path=str(tmp_path / name)))
        assert "\n" not in str(caught.value)


def test_a_broken_model_is_refused_in_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "en").mkdir()
    for name in ("en/mdef", "words.dict", "words.lm.bin"):
        (tmp_path / name).write_text("junk")
    with pytest.raises(TranscriberError, match="download it again") as caught:
        create_transcriber(AsrSettings(backend="pocketsphinx", model_path=str(tmp_path)))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_model_in_a_folder_of_its_own_reads_the_same(expected: Transcript, tmp_path: Path) -> None:
    from pocketsphinx import get_model_path

    model = Path(get_model_path("en-us"))
    own = tmp_path / "own"
    own.mkdir()
    for part in ("en-us", "cmudict-en-us.dict", "en-us.lm.bin", "en-us-phone.lm.bin"):
        (own / part).symlink_to(model / part)
    assert read(create_transcriber(AsrSettings(backend="pocketsphinx", model_path=str(own))), utterance()) == expected
