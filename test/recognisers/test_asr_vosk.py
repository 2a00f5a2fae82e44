"""The real library on a real model: the Korean one of the store, or the user's (MSER_VOSK_MODEL)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from clips import noise, silence, spoken

from mser_ros.asr import vosk
from mser_ros.asr.model_files import state_of
from mser_ros.asr.registry import create_transcriber
from mser_ros.asr.transcriber import Transcriber
from mser_ros.asr.vosk import check_model
from mser_ros.audio.waveform import to_int16
from mser_ros.errors import TranscriberError
from mser_ros.settings import AsrSettings
from mser_ros.types import NS_PER_S, Transcript

pytest.importorskip("vosk", reason="vosk is not installed: pip install vosk")

FILES = (
    "am/final.mdl", "conf/mfcc.conf", "conf/model.conf", "graph/HCLr.fst", "graph/Gr.fst", "graph/disambig_tid.int",
)  # fmt: skip
IVECTOR = tuple(
    f"ivector/{name}"
    for name in ("final.dubm", "final.ie", "final.mat", "global_cmvn.stats", "online_cmvn.conf", "splice.conf")
)


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
        ("conf/model.conf", "lacks conf/model.conf"),
        ("graph/HCLr.fst", "lacks graph/HCLG.fst"),
        ("graph/Gr.fst", "lacks graph/Gr.fst"),
        ("graph/disambig_tid.int", "lacks graph/disambig_tid.int"),
        *((name, f"lacks {name}") for name in IVECTOR),
    ],
)
def test_a_model_that_lacks_a_file_is_refused_by_its_name(tmp_path: Path, missing: str, message: str) -> None:
    model = junk_model(tmp_path / "model", tuple(name for name in FILES + IVECTOR if name != missing))
    with pytest.raises(TranscriberError, match=f"{message}: unpack its download again") as caught:
        create_transcriber(settings(model))
    assert "\n" not in str(caught.value)


def test_a_static_graph_needs_its_words(tmp_path: Path) -> None:
    files = (*FILES[:3], "graph/HCLG.fst")
    with pytest.raises(TranscriberError, match=r"lacks graph/words\.txt"):
        check_model(junk_model(tmp_path, files))
    check_model(junk_model(tmp_path, (*files, "graph/words.txt")))


@pytest.mark.parametrize("files", [FILES, ("final.mdl", "mfcc.conf", "HCLG.fst", "words.txt")], ids=["new", "old"])
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
    with pytest.raises(TranscriberError, match="unpack its download again") as caught:
        create_transcriber(settings(junk_model(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("am/final.mdl", "Failed to read"),
        ("conf/model.conf", "silence-phones"),
        ("graph/HCLr.fst", "Failed to read"),
        ("graph/disambig_tid.int", "exit code"),  # the library ends the process, and says nothing
        ("ivector/final.ie", "Failed to read"),
        ("ivector/splice.conf", "Assertion failed"),  # the same, and does
    ],
)
def test_a_real_model_of_which_a_file_is_cut_off_is_refused_with_the_librarys_own_reason(
    vosk_model: Path, tmp_path: Path, broken: str, reason: str
) -> None:
    if not (vosk_model / broken).is_file():
        pytest.skip(f"this Vosk model has no {broken}: the store's Korean one does")
    for path in vosk_model.rglob("*"):
        copy = tmp_path / path.relative_to(vosk_model)
        if path.is_dir():
            copy.mkdir(exist_ok=True, parents=True)
        elif path != vosk_model / broken:
            copy.parent.mkdir(exist_ok=True, parents=True)
            copy.symlink_to(path)
    whole = (vosk_model / broken).read_bytes()
    (tmp_path / broken).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TranscriberError) as caught:
        create_transcriber(settings(tmp_path))
    assert reason in str(caught.value)
    assert "unpack its download again" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_was_loaded_is_tried_again_when_a_file_of_it_has_changed(
    transcriber: Transcriber, vosk_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vosk.sys, "executable", shutil.which("false"))  # whatever is tried now fails
    state = state_of(vosk_model)
    vosk._try_loading(vosk_model, state)
    with pytest.raises(TranscriberError, match="cannot load the model"):
        vosk._try_loading(vosk_model, state[1:])


#: Words that espeak-ng's Korean voice says clearly enough for a small model that need only tell them apart.
COMMANDS = ("안녕하세요", "음악", "오늘", "서울", "정지", "전화", "아침", "로봇")


@pytest.fixture(scope="module")
def is_korean(vosk_model: Path) -> bool:
    return vosk_model.name == "vosk-ko"


@pytest.fixture(scope="module")
def speech(is_korean: bool) -> np.ndarray:
    """Somebody speaks, about the model's language if we have a voice for it: int16, shape (n,), 16 kHz."""
    return korean("서울 오늘")[0] if is_korean else spoken()


def korean(*texts: str, voice: str = "ko") -> list[np.ndarray]:
    pytest.importorskip("espeakng_loader", reason="espeakng-loader is not installed: pip install espeakng-loader")
    from mser_ros.training.samples.outliers.synthetic_voice import speak

    waves = speak([(text, voice, 120, 50) for text in texts])
    return [np.concatenate([silence(0.2), to_int16(wave), silence(0.3)]) for wave in waves]


@pytest.fixture(scope="module")
def transcriber(vosk_model: Path) -> Iterator[Transcriber]:
    """It understands anything."""
    transcriber = create_transcriber(settings(vosk_model))
    yield transcriber
    transcriber.close()


@pytest.fixture(scope="module")
def transcript(transcriber: Transcriber, speech: np.ndarray) -> Transcript:
    return read(transcriber, speech)


@pytest.fixture(scope="module")
def commanded(vosk_model: Path, is_korean: bool, transcript: Transcript) -> Iterator[Transcriber]:
    """It understands some words, and nothing else."""
    words = COMMANDS if is_korean else sorted({word.text for word in transcript.words})
    own = AsrSettings(backend="vosk", model_path=str(vosk_model), phrases="; ".join(words))
    transcriber = create_transcriber(own)
    yield transcriber
    transcriber.close()


def read(transcriber: Transcriber, samples: np.ndarray, size: int = 512) -> Transcript:
    transcriber.start(NS_PER_S)
    for first in range(0, len(samples), size):
        transcriber.accept(samples[first : first + size])
        transcriber.partial()
    return transcriber.finish()


def test_speech_gives_words_with_times_and_confidences(transcript: Transcript, speech: np.ndarray) -> None:
    assert transcript.words
    assert transcript.is_final
    assert transcript.text == " ".join(word.text for word in transcript.words)
    assert transcript.confidence == pytest.approx(np.mean([word.confidence for word in transcript.words]))
    assert all(0 < word.confidence <= 1 for word in transcript.words)
    assert transcript.words[0].start_ns >= NS_PER_S
    assert transcript.words[-1].end_ns <= NS_PER_S + len(speech) * NS_PER_S // 16_000
    assert all(one.start_ns < one.end_ns <= other.start_ns for one, other in pairwise(transcript.words))


def test_what_is_said_behind_the_end_belongs_to_the_next_utterance(
    transcriber: Transcriber, transcript: Transcript, speech: np.ndarray
) -> None:
    middle = transcript.words[len(transcript.words) // 2]
    transcriber.start(NS_PER_S)
    transcriber.accept(speech)
    found = transcriber.finish((middle.start_ns - NS_PER_S) * 16_000 // NS_PER_S)
    assert found.words == transcript.words[: transcript.words.index(middle)]


def test_partial_texts_come_while_somebody_speaks(commanded: Transcriber, speech: np.ndarray) -> None:
    commanded.start(0)
    texts = []
    for first in range(0, len(speech), 1024):
        commanded.accept(speech[first : first + 1024])
        guess = commanded.partial()
        assert not guess.is_final
        texts.append(guess.text)
    final = commanded.finish()
    assert texts[0] == ""
    assert texts[-1]
    assert len(set(texts)) >= 2
    assert final.text.startswith(texts[-1].split()[0])


def test_what_was_heard_before_and_how_it_is_cut_changes_nothing(commanded: Transcriber, speech: np.ndarray) -> None:
    expected = read(commanded, speech)
    assert expected.words
    read(commanded, noise(1.0, 3_000))
    assert read(commanded, speech, 16_000) == expected
    commanded.start(0)
    commanded.accept(speech[: len(speech) // 2])
    commanded.reset()
    assert commanded.partial().text == ""
    assert read(commanded, speech, 777) == expected


def test_silence_says_nothing(commanded: Transcriber) -> None:
    found = read(commanded, silence(1.0))
    assert (found.text, found.words, found.confidence) == ("", (), None)


def test_of_a_few_words_the_right_ones_are_understood(commanded: Transcriber, is_korean: bool) -> None:
    if not is_korean:
        pytest.skip("there is no voice whose words are known: unset MSER_VOSK_MODEL for the store's Korean model")
    heard = [read(commanded, clip).text for voice in ("ko", "ko+f2") for clip in korean(*COMMANDS, voice=voice)]
    right = sum(text == said for text, said in zip(heard, COMMANDS * 2, strict=True))
    assert right >= 14, heard


def test_nothing_else_is_ever_understood(commanded: Transcriber, transcript: Transcript, is_korean: bool) -> None:
    known = set(COMMANDS) if is_korean else {word.text for word in transcript.words}
    said = korean("감사합니다 우리 친구")[0] if is_korean else spoken(1)
    assert {word.text for word in read(commanded, said).words} <= known


def test_a_word_that_the_model_does_not_know_is_one_sentence(vosk_model: Path) -> None:
    own = AsrSettings(backend="vosk", model_path=str(vosk_model), phrases="zzyzzx")
    with pytest.raises(TranscriberError, match=r"does not know the word 'zzyzzx': spell it .* asr\.phrases") as caught:
        create_transcriber(own)
    assert "\n" not in str(caught.value)


def test_two_recognisers_at_once_hear_what_each_hears_alone(
    vosk_model: Path, commanded: Transcriber, transcript: Transcript, transcriber: Transcriber, speech: np.ndarray
) -> None:
    alone = read(commanded, speech)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(read, commanded, speech)
        other = threads.submit(read, transcriber, speech)
        assert one.result() == alone
        assert other.result() == transcript


def test_one_model_reads_two_voices_at_once(commanded: Transcriber, speech: np.ndarray) -> None:
    clips = (speech, speech[: len(speech) // 2])
    expected = [read(commanded, clip).text for clip in clips]
    readers = (commanded, commanded.another())
    for reader in readers:
        reader.start(NS_PER_S)
    for first in range(0, len(speech), 4000):
        for clip, reader in zip(clips, readers, strict=True):
            reader.accept(clip[first : first + 4000])
    assert [reader.finish().text for reader in readers] == expected


def test_two_hundred_utterances_take_no_more_memory_than_twenty(commanded: Transcriber, speech: np.ndarray) -> None:
    process, held = psutil.Process(), []
    for number in range(201):
        read(commanded, speech[1600:8000], 3200)
        if number in (20, 200):
            held.append(process.memory_info().rss)
    assert held[1] - held[0] < 4e6
