from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from clips import noise, silence, spoken

from mser_ros.asr.registry import create_transcriber
from mser_ros.asr.transcriber import Transcriber
from mser_ros.asr.vosk import check_model
from mser_ros.errors import TranscriberError
from mser_ros.settings import AsrSettings
from mser_ros.types import NS_PER_S, Transcript

pytest.importorskip("vosk", reason="vosk is not installed: pip install vosk")

FILES = ("am/final.mdl", "conf/mfcc.conf", "conf/model.conf", "graph/HCLr.fst", "graph/Gr.fst")


def junk_model(folder: Path, files: tuple[str, ...] = FILES) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"junk")
    return folder


def settings(path: Path) -> AsrSettings:
    return AsrSettings(backend="vosk", model_path=str(path))


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("am/final.mdl", "lacks am/final.mdl"),
        ("conf/mfcc.conf", "lacks conf/mfcc.conf"),
        ("graph/HCLr.fst", "lacks graph/HCLG.fst"),
        ("graph/Gr.fst", "lacks Gr.fst"),
    ],
)
def test_a_model_that_lacks_a_file_is_refused_by_its_name(tmp_path: Path, missing: str, message: str) -> None:
    model = junk_model(tmp_path / "model", tuple(name for name in FILES if name != missing))
    with pytest.raises(TranscriberError, match=message) as caught:
        create_transcriber(settings(model))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("files", [FILES, ("final.mdl", "mfcc.conf", "HCLG.fst")], ids=["new", "old"])
def test_both_layouts_of_models_are_known(tmp_path: Path, files: tuple[str, ...]) -> None:
    check_model(junk_model(tmp_path, files))


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TranscriberError, match=r"there is no folder .* set asr.model_path"):
        create_transcriber(settings(tmp_path / "nowhere"))


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"PK")
    with pytest.raises(TranscriberError, match="there is no folder"):
        create_transcriber(settings(tmp_path / "model.zip"))


def test_a_model_one_folder_further_down_is_pointed_out(tmp_path: Path) -> None:
    junk_model(tmp_path / "vosk-model-xy")
    with pytest.raises(TranscriberError, match=r"set asr\.model_path to .*vosk-model-xy"):
        create_transcriber(settings(tmp_path))


def test_a_damaged_model_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TranscriberError, match="unpack it again") as caught:
        create_transcriber(settings(junk_model(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def transcriber() -> Iterator[Transcriber]:
    path = os.environ.get("MSER_VOSK_MODEL", "")
    if not path:
        pytest.skip("no Vosk model: set MSER_VOSK_MODEL to the folder of a downloaded English model")
    transcriber = create_transcriber(settings(Path(path)))
    yield transcriber
    transcriber.close()


def read(transcriber: Transcriber, samples: np.ndarray, size: int = 512) -> Transcript:
    transcriber.start(NS_PER_S)
    for first in range(0, len(samples), size):
        transcriber.accept(samples[first : first + size])
        transcriber.partial()
    return transcriber.finish()


def test_a_users_model_gives_words_with_times_and_confidences(transcriber: Transcriber) -> None:
    samples = np.concatenate([silence(0.2), spoken(), silence(2.0), spoken(), silence(0.5)])
    transcript = read(transcriber, samples)
    assert transcript.words
    assert transcript.text == " ".join(word.text for word in transcript.words)
    assert transcript.confidence is not None
    assert 0 <= transcript.confidence <= 1
    assert transcript.words[0].start_ns >= NS_PER_S
    assert transcript.words[-1].end_ns <= NS_PER_S + len(samples) * NS_PER_S // 16_000
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(transcript.words))


def test_a_users_model_reads_the_same_whatever_was_heard_and_however_it_is_cut(transcriber: Transcriber) -> None:
    expected = read(transcriber, spoken())
    read(transcriber, noise(2.0, 3_000))
    assert read(transcriber, spoken(), 16_000) == expected


def test_a_users_model_reads_two_voices_at_once(transcriber: Transcriber) -> None:
    expected = [read(transcriber, spoken(number)).text for number in (0, 1)]
    readers = (transcriber, transcriber.another())
    for reader in readers:
        reader.start(NS_PER_S)
    for first in range(0, 48000, 4000):
        for number, reader in enumerate(readers):
            reader.accept(spoken(number)[first : first + 4000])
    assert [reader.finish().text for reader in readers] == expected
