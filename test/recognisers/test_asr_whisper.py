"""Whisper: right words with times and confidences, partial texts that stay, and nothing invented."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from clips import demo_sentences, noise, recordings, silence
from tokenizers import Tokenizer

from mser_ros.asr import whisper
from mser_ros.asr.registry import create_transcriber
from mser_ros.asr.transcriber import mean_confidence
from mser_ros.asr.whisper import Guard, WhisperTranscriber
from mser_ros.asr.whisper_model import LONGEST, Decoded, WhisperModel, most_tokens
from mser_ros.errors import TranscriberError
from mser_ros.evaluation.sounds import chords, hum, motor
from mser_ros.evaluation.words import edits, words_of
from mser_ros.settings import AsrSettings
from mser_ros.types import NS_PER_S, SAMPLE_RATE, Transcript, Word, to_ns

pytest.importorskip("ctranslate2", reason="ctranslate2 is not installed: pip install ctranslate2")

START_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def model(whisper_base: Path) -> Iterator[WhisperModel]:
    model = WhisperModel(whisper_base)
    yield model
    model.close()


@pytest.fixture
def transcriber(model: WhisperModel) -> WhisperTranscriber:
    return WhisperTranscriber(model)


def read(transcriber: WhisperTranscriber, samples: np.ndarray, size: int = 1024) -> Transcript:
    transcriber.start(START_NS)
    for first in range(0, len(samples), size):
        transcriber.accept(samples[first : first + size])
    return transcriber.finish()


@pytest.fixture(scope="module")
def heard_alone(model: WhisperModel) -> Callable[[int], Transcript]:
    """A sentence of the demo, read by a recogniser that heard nothing before."""
    return cache(lambda number: read(WhisperTranscriber(model), demo_sentences()[number][0]))


def word_error_rate(texts: Iterable[str], clips: Sequence[tuple[np.ndarray, str]]) -> float:
    errors = [edits(words_of(truth), words_of(text)) for text, (_, truth) in zip(texts, clips, strict=True)]
    return sum(errors) / sum(len(words_of(text)) for _, text in clips)


# -- words


def test_the_words_of_the_demo_are_right(heard_alone: Callable[[int], Transcript]) -> None:
    """But for numbers, which it writes as digits, and what is hard to understand of a synthetic voice."""
    texts = [heard_alone(number).text for number in range(6)]
    assert word_error_rate(texts, demo_sentences()) <= 0.25


def test_the_words_of_people_are_right(transcriber: WhisperTranscriber, data_dir: Path) -> None:
    clips = recordings(data_dir / "ravdess")
    assert word_error_rate([read(transcriber, samples).text for samples, _ in clips], clips) <= 0.12


def test_a_sentence_is_read_once(model: WhisperModel, data_dir: Path) -> None:
    """In a window of its own length, which has no end without the one that was put there."""
    clips = recordings(data_dir / "ravdess")[::2]
    found = [model.text(model.decode(model.encode(samples), "en").tokens) for samples, _ in clips]
    assert sum(len(words_of(text)) for text in found) <= 1.3 * sum(len(words_of(text)) for _, text in clips)


def test_words_have_times_in_order_and_confidences(transcriber: WhisperTranscriber) -> None:
    samples = np.concatenate([silence(0.7), demo_sentences()[4][0], silence(0.8)])
    transcript = read(transcriber, samples)
    assert (transcript.is_final, transcript.language, transcriber.language) == (True, "en", "en")
    assert transcript.translation == ""
    assert transcript.text == " ".join(word.text for word in transcript.words)
    assert transcript.confidence is not None
    assert 0.3 < transcript.confidence <= 1
    assert len(transcript.words) >= 4
    for word in transcript.words:
        assert word.start_ns < word.end_ns
        assert word.confidence is not None
        assert 0 <= word.confidence <= 1
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(transcript.words))
    assert transcript.words[0].start_ns >= START_NS + to_ns(0.7), "the silence before holds no word"
    assert transcript.words[-1].end_ns <= START_NS + to_ns(len(samples) / SAMPLE_RATE - 0.8)


@pytest.fixture(scope="module")
def missed(heard_alone: Callable[[int], Transcript]) -> Transcript:
    """'I miss her so much', read at once by a recogniser that heard nothing before."""
    return heard_alone(3)


@pytest.mark.parametrize("size", [100, 1_023, 16_000, 10**6])
def test_the_text_does_not_depend_on_how_the_audio_is_cut(
    transcriber: WhisperTranscriber, missed: Transcript, size: int
) -> None:
    assert read(transcriber, demo_sentences()[3][0], size) == missed


@pytest.mark.parametrize("before", ["noise", "speech", "a reset in the middle", "partial texts", "nothing"])
def test_the_text_does_not_depend_on_what_was_heard_before(
    transcriber: WhisperTranscriber, missed: Transcript, before: str
) -> None:
    if before == "noise":
        read(transcriber, noise(2, 5_000))
    elif before == "speech":
        read(transcriber, demo_sentences()[4][0])
    elif before == "a reset in the middle":
        transcriber.start(0)
        transcriber.accept(demo_sentences()[4][0])
        transcriber.reset()
    elif before == "partial texts":
        transcriber.start(0)
        transcriber.accept(demo_sentences()[4][0])
        transcriber.partial()
    else:
        transcriber.start(0)
        transcriber.finish()
    assert read(transcriber, demo_sentences()[3][0]) == missed


def test_an_utterance_longer_than_a_window_is_read_to_its_end(transcriber: WhisperTranscriber) -> None:
    pieces = [np.concatenate([samples, silence(0.4)]) for samples, _ in demo_sentences()] * 2
    samples = np.concatenate(pieces)
    assert len(samples) > 1.2 * LONGEST
    transcript = read(transcriber, samples)
    truth = [word for _, text in demo_sentences() for word in words_of(text)] * 2
    assert edits(truth, words_of(transcript.text)) / len(truth) <= 0.3
    assert all(one.end_ns <= other.start_ns for one, other in pairwise(transcript.words))
    assert transcript.words[-1].start_ns > START_NS + to_ns(LONGEST / SAMPLE_RATE)


@pytest.mark.parametrize("length", [0, 1, 1_599, 1_600, 4_000, LONGEST, LONGEST + 1])
def test_audio_of_any_length_is_read(transcriber: WhisperTranscriber, length: int) -> None:
    assert read(transcriber, silence(40)[:length]).text == ""


def test_audio_outside_an_utterance_is_ignored(transcriber: WhisperTranscriber) -> None:
    transcriber.accept(demo_sentences()[0][0])
    assert transcriber.partial() == Transcript("", language="en", is_final=False)
    assert transcriber.finish() == Transcript("", language="en")


def test_another_one_reads_another_voice_with_the_same_model(
    transcriber: WhisperTranscriber, heard_alone: Callable[[int], Transcript]
) -> None:
    (one, _), (other, _) = demo_sentences()[:2]
    expected = heard_alone(0).text, heard_alone(1).text
    twin = transcriber.another()
    for reader in (transcriber, twin):
        reader.start(START_NS)
    for first in range(0, max(len(one), len(other)), 4000):
        transcriber.accept(one[first : first + 4000])
        twin.accept(other[first : first + 4000])
    assert (transcriber.finish().text, twin.finish().text) == expected


def test_two_recognisers_do_not_disturb_each_other(
    model: WhisperModel, whisper_base: Path, heard_alone: Callable[[int], Transcript]
) -> None:
    others = WhisperModel(whisper_base)
    clips = [demo_sentences()[3][0], demo_sentences()[4][0]]
    expected = [heard_alone(number) for number in (3, 4)]
    with ThreadPoolExecutor(3) as pool:
        both = [WhisperTranscriber(model), WhisperTranscriber(others), WhisperTranscriber(model)]
        found = list(pool.map(lambda one: [read(one, samples) for samples in clips], both))
    others.close()
    assert found == [expected] * 3


# -- nothing invented


@pytest.mark.parametrize("language", ["en", "auto"])
@pytest.mark.parametrize(
    "sound",
    [
        silence(2),
        noise(1.5, 300),
        noise(3, 6_000),
        hum(3, 1_500),
        motor(4, 3_000),
        chords(4, 2_000),
        chords(2, 8_000, 3),
    ],
    ids=["silence", "faint", "noise", "hum", "motor", "music", "loud music"],
)
def test_what_is_no_speech_gives_no_words(model: WhisperModel, sound: np.ndarray, language: str) -> None:
    transcriber = WhisperTranscriber(model, language=language)
    transcript = read(transcriber, sound)
    assert (transcript.text, transcript.words, transcript.confidence) == ("", (), None)


def test_what_is_rejected_is_counted_and_what_is_said_is_not(transcriber: WhisperTranscriber) -> None:
    read(transcriber, demo_sentences()[4][0])
    assert transcriber.counters["rejected_texts"] == 0
    read(transcriber, noise(3, 6_000))
    assert transcriber.counters["rejected_texts"] == 1


def decoded(*, mean: float = -0.1, count: int = 6, no_speech: float = 0.1) -> Decoded:
    return Decoded(tuple(range(count)), (mean,) * count, no_speech)


@pytest.mark.parametrize(
    ("found", "text", "refused"),
    [
        (decoded(), "I feel sad.", False),
        (decoded(mean=-1.1), "I feel sad.", True),
        (decoded(mean=-0.9), "I feel sad.", False),
        (decoded(mean=-0.6, no_speech=0.7), "I feel sad.", True),
        (decoded(no_speech=0.9), "I feel sad.", False),
        (decoded(), "You are. " * 12, True),
        (decoded(), "no, no, no, no, no", False),
        (decoded(), "谢谢观看 " * 6, True),
        (
            decoded(),
            "nobody at all can read out such a long text as this one is within the time of two seconds, however plain",
            True,
        ),
        (decoded(count=40), "many tokens for few letters", False),
        (decoded(), "...", True),
        (decoded(count=0), "", False),
    ],
)
def test_the_guard_refuses_what_is_doubtful(found: Decoded, text: str, refused: bool) -> None:
    assert Guard().refuses(found, text, 2.0) is refused


#: That somebody is glad of a visit.
GLAD = {
    "en": "I am very happy that you came to see me today",
    "hi": "मुझे बहुत खुशी है कि तुम आज मुझसे मिलने आए",
    "ta": "நீங்கள் இன்று என்னைப் பார்க்க வந்ததில் மிக்க மகிழ்ச்சி",
    "te": "ఈ రోజు మీరు నన్ను చూడటానికి వచ్చినందుకు చాలా సంతోషం",
    "bn": "তুমি আজ আমাকে দেখতে এসেছ বলে আমি খুব খুশি",
    "th": "ฉันดีใจมากที่คุณมาหาฉันวันนี้ และอยู่กินข้าวด้วยกัน",
    "ka": "ძალიან მიხარია რომ დღეს ჩემს სანახავად მოხვედი",
    "my": "ဒီနေ့ ကျွန်တော့်ကို လာတွေ့တဲ့အတွက် အရမ်းဝမ်းသာပါတယ်",
}


def test_letters_of_three_bytes_are_no_loop() -> None:
    """A day with a daughter, in Tamil."""
    text = (
        "நான் இன்று காலை எழுந்தேன். என் மகள் என்னைப் பார்க்க வந்தாள். நாங்கள் ஒன்றாகச் சாப்பிட்டோம். "
        "பிறகு பூங்காவில் நடந்தோம். மாலையில் மழை பெய்தது, அதனால் வீட்டிற்குத் திரும்பினோம். அவள் என் கையைப் பிடித்துக்கொண்டாள்."
    )
    assert whisper.repetition(text) < 2.1 < 2.4 < whisper._shortened(text.encode())
    assert whisper.repetition(text + text) > 2.4


@pytest.mark.parametrize("language", GLAD)
def test_what_can_be_said_in_the_time_is_taken_in_any_script(whisper_base: Path, language: str) -> None:
    """Where the tokens are bytes, there are many of them."""
    text, duration_s = GLAD[language], len(GLAD[language]) / 16
    tokens = Tokenizer.from_file(str(whisper_base / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    found = Decoded(tuple(tokens), (-0.1,) * len(tokens), 0.1)
    assert not Guard().refuses(found, text, duration_s)
    assert len(tokens) < most_tokens(duration_s, language)
    assert Guard().refuses(found, f"{text} {text}", duration_s / 2), "nobody speaks so fast"
    assert Guard().refuses(found, f"{text} " * 9, duration_s * 9), "the same again and again"


def test_a_text_that_goes_round_in_circles_is_read_again(
    transcriber: WhisperTranscriber, model: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = model.decode(model.encode(demo_sentences()[4][0]), "en")
    penalties = []

    def decode(encoded: object, language: str, *, task: str, repetition_penalty: float = 1.0) -> Decoded:
        penalties.append(repetition_penalty)
        if repetition_penalty > 1:
            return right
        return Decoded(right.tokens * 9, right.log_probabilities * 9, right.no_speech)

    monkeypatch.setattr(model, "decode", decode)
    assert words_of(read(transcriber, demo_sentences()[4][0]).text) == words_of(model.text(right.tokens))
    assert penalties == [1.0, whisper._PENALTY]


# -- partial texts


@pytest.fixture
def time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading costs nothing, however busy this machine is."""
    monkeypatch.setattr(whisper.time, "perf_counter", lambda: 0.0)


def partials(transcriber: WhisperTranscriber, samples: np.ndarray) -> list[Transcript]:
    transcriber.start(START_NS)
    found = []
    for first in range(0, len(samples), 1024):
        transcriber.accept(samples[first : first + 1024])
        found.append(transcriber.partial())
    return found


@pytest.mark.usefixtures("time_stands_still")
def test_a_partial_text_grows_and_nothing_is_taken_back(
    model: WhisperModel, heard_alone: Callable[[int], Transcript]
) -> None:
    transcriber = WhisperTranscriber(model, partial_period_s=0.5)
    told = words = 0
    for number, (samples, text) in enumerate(demo_sentences()[:2]):
        found = partials(transcriber, samples)
        for one, other in pairwise(found):
            assert other.text.startswith(one.text)
        assert not any(one.is_final or one.words for one in found)
        assert all((one.confidence is None) == (not one.text) for one in found)
        told, words = told + len(words_of(found[-1].text)), words + len(words_of(text))
        assert transcriber.finish() == heard_alone(number), "asking changes nothing"
    assert told >= words // 3, "much of it is known before the end"


def test_only_what_two_readings_agree_on_is_told() -> None:
    heard = whisper._Utterance(0, "en")
    told = []
    readings = (
        "Good",
        "Good mourning",
        "Good morning, the",
        "good morning. The meeting",
        "God morning the Meeting",
        "x",
    )
    for reading in readings:
        heard.agree(a_reading(reading))
        told.append(" ".join(word.text for word in heard.agreed))
    assert told == ["", "Good", "Good", *["Good morning. The"], *["Good morning. The Meeting"] * 2]


def test_what_one_reading_is_sure_of_is_told_but_for_its_last_word() -> None:
    """Which may be half of another; and what goes on from something else than was told goes on elsewhere."""
    heard = whisper._Utterance(0, "en")
    told = []
    for reading in ("We!", "We! could!", "We! couldn't! go home! to!", "She couldn't go! home! today!", "We couldn't"):
        heard.agree(a_reading(reading))
        told.append(" ".join(word.text for word in heard.agreed))
    assert told == ["", "We", "We couldn't", *["We couldn't go home"] * 2]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        (["I want you", "I want you", "I really want you to", "I really want you to go"], "I want you to"),
        (["I want you", "I want you", "really I! really! want! you! to! go!"], "I want you"),
        (["I really want", "I really want", "I want to go", "I want to go"], "I really want to go"),
        (["no no", "no no", "oh no no I", "oh no no I do"], "no no I"),
        (["see the cat", "see the cat", "see a cat now", "see a cat now"], "see the cat now"),
        (["see the cat", "see the cat", "what is it now", "what is it now"], "see the cat"),
    ],
)
def test_what_was_told_is_not_told_again_where_words_are_found_before_it(readings: list[str], expected: str) -> None:
    heard = whisper._Utterance(0, "en")
    for reading in readings:
        heard.agree(a_reading(reading))
    assert " ".join(word.text for word in heard.agreed) == expected


def a_reading(text: str) -> list[Word]:
    """A reading; it is sure of the words with a '!'."""
    return [Word(word.rstrip("!"), 0, 0, 0.95 if word.endswith("!") else 0.5) for word in text.split()]


def counted(model: WhisperModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How long what was encoded is, a number for each time."""
    lengths: list[int] = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda samples: lengths.append(len(samples)) or encode(samples))
    return lengths


@pytest.mark.usefixtures("time_stands_still")
def test_a_partial_text_is_read_once_a_period_and_twice_until_the_first_words(
    model: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = counted(model, monkeypatch)
    found = partials(WhisperTranscriber(model, partial_period_s=0.5), demo_sentences()[5][0][:32_000])
    first = 1024 * (1 + next(number for number, one in enumerate(found) if one.text))
    assert first in lengths[1:]
    waits = [other - one for one, other in pairwise([0, *lengths])]
    # The first block with which so much has come since the last time.
    assert waits == [8_192, *(4_096 if length <= first else 8_192 for length in lengths[1:])]
    lengths.clear()
    partials(WhisperTranscriber(model, partial_period_s=0), demo_sentences()[5][0][:32_000])
    assert lengths == []


def test_on_a_slow_machine_partial_texts_are_left_out_and_counted(
    model: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading takes 0.6 s of a time in which 0.5 s come: after each, 1.2 s must have come."""
    monkeypatch.setattr(whisper, "_SURE", 2.0)  # no word is told yet, and so twice as many partial texts are due
    lengths = counted(model, monkeypatch)
    times_s = iter(np.arange(100) * 0.6)
    monkeypatch.setattr(whisper.time, "perf_counter", lambda: next(times_s))
    transcriber = WhisperTranscriber(model, partial_period_s=0.5)
    partials(transcriber, demo_sentences()[0][0][: 8_192 * 6])
    assert lengths == [8_192, 8_192 + 4_096 * 5, 8_192 + 4_096 * 10]
    assert transcriber.counters["skipped_partials"] == 8


# -- pauses


def heard(transcriber: WhisperTranscriber, samples: np.ndarray) -> None:
    transcriber.start(START_NS)
    transcriber.accept(samples)


def test_what_was_read_in_a_pause_is_the_text_when_it_has_lasted(
    model: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = counted(model, monkeypatch)
    transcriber = WhisperTranscriber(model)
    samples = np.concatenate([demo_sentences()[4][0], silence(0.5)])
    heard(transcriber, samples[:-3_200])
    told = transcriber.pause(len(samples) - 8_000)
    assert (told.is_final, lengths) == (True, [len(samples) - 8_000])
    transcriber.accept(samples[-3_200:])
    assert transcriber.finish(len(samples) - 8_000) == told
    assert len(lengths) == 1, "it was not read again"
    assert read(transcriber, samples[:-8_000]) == told, "as without a pause"


def test_a_pause_after_which_the_voice_goes_on_changes_nothing(transcriber: WhisperTranscriber) -> None:
    first, second = demo_sentences()[3][0], demo_sentences()[4][0]
    whole = np.concatenate([first, silence(0.3), second])
    heard(transcriber, whole[: len(first) + 3_200])
    told = transcriber.pause(len(first) + 1_600)
    transcriber.accept(whole[len(first) + 3_200 :])
    assert transcriber.finish(len(whole)) == read(transcriber, whole) != told


def test_a_text_is_refused_once_however_often_it_was_read(transcriber: WhisperTranscriber) -> None:
    heard(transcriber, noise(3, 6_000))
    transcriber.pause(40_000)
    assert transcriber.counters["rejected_texts"] == 0, "the utterance may not be over"
    transcriber.finish(40_000)
    assert transcriber.counters["rejected_texts"] == 1


def test_a_pause_outside_an_utterance_is_ignored(transcriber: WhisperTranscriber) -> None:
    assert transcriber.pause(16_000) == Transcript("", language="en", is_final=False)


# -- languages


@pytest.mark.parametrize(("tag", "code"), [("en", "en"), ("en-US", "en"), ("pl", "pl")])
def test_a_fixed_language_is_told_as_it_was_set(model: WhisperModel, tag: str, code: str) -> None:
    transcriber = WhisperTranscriber(model, language=tag)
    assert transcriber.language == tag
    assert read(transcriber, demo_sentences()[4][0]).language == tag
    assert next(iter(model.detect_language(model.encode(demo_sentences()[4][0])))) == "en"


def test_the_language_is_found_out(model: WhisperModel, data_dir: Path) -> None:
    transcriber = WhisperTranscriber(model, language="auto")
    assert transcriber.language == "und"
    for corpus, language in (("ravdess", "en"), ("nemo", "pl")):
        found = [read(transcriber, samples).language for samples, _ in recordings(data_dir / corpus)[:6]]
        assert found.count(language) >= 5, found
    assert transcriber.language == "und", "the next one is not known yet"


def test_a_language_that_is_not_certain_is_the_last_certain_one_unless_it_is_improbable(
    model: WhisperModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcriber, samples = WhisperTranscriber(model, language="auto"), demo_sentences()[4][0]
    found = model.decode(model.encode(samples), "en")
    monkeypatch.setattr(model, "decode", lambda *arguments, **options: found)

    def heard(**languages: float) -> str:
        monkeypatch.setattr(model, "detect_language", lambda encoded: languages)
        return read(transcriber, samples).language

    assert heard(la=0.4, pl=0.3) == "la", "nothing is known of this voice yet"
    assert heard(pl=0.9, en=0.1) == "pl"
    assert heard(la=0.4, pl=0.1) == "pl"
    assert heard(la=0.4, pl=0.01) == "la"
    assert heard(en=0.6, pl=0.4) == "en"
    assert heard(la=0.4, pl=0.3, en=0.1) == "en"
    transcriber = transcriber.another()
    assert heard(la=0.4, en=0.3) == "la", "another voice"


def test_a_translation_stands_beside_the_original(model: WhisperModel, data_dir: Path) -> None:
    transcriber = WhisperTranscriber(model, language="auto", translate=True)
    found = [read(transcriber, samples) for samples, _ in recordings(data_dir / "nemo")[:4]]
    polish = [one for one in found if one.language == "pl" and one.text]
    assert polish
    assert any(one.translation and one.translation != one.text for one in polish)
    english = read(transcriber, demo_sentences()[4][0])
    assert (english.language, english.translation) == ("en", "")


def test_a_language_that_the_model_does_not_know_is_refused(model: WhisperModel) -> None:
    with pytest.raises(TranscriberError) as refused:
        WhisperTranscriber(model, language="tlh")
    assert str(refused.value) == (
        "this Whisper model does not know the language 'tlh': set asr.language to 'auto' or the code of one of the "
        "99 it knows, as de, en, ja, pl"
    )
    assert len(model.languages) == 99
    assert {"de", "en", "ja", "pl"} <= set(model.languages)


def test_a_model_of_english_alone_names_it() -> None:
    english = Mock(spec=WhisperModel, languages=("en",))
    with pytest.raises(TranscriberError, match=r"the language 'pl': set asr.language to 'en'$"):
        WhisperTranscriber(english, language="pl")


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("en", " Good morning, Mrs. O'Neill - how are you?", "Good|morning,|Mrs.|O'Neill -|how|are|you?"),
        ("pl", " Źdźbło żółtej trawy…", "Źdźbło|żółtej|trawy…"),
        ("ko", " 안녕하세요 반갑습니다.", "안녕하세요|반갑습니다."),
        ("en", " Fine 🙂!", "Fine 🙂!"),
    ],
)
def test_tokens_become_words(transcriber: WhisperTranscriber, language: str, text: str, words: str) -> None:
    tokens = transcriber._model._tokenizer.encode(text, add_special_tokens=False).ids
    groups = transcriber._groups(tokens, language)
    assert [word for word, _, _ in groups] == words.split("|")
    assert [first for _, first, _ in groups] == [0, *(last for _, _, last in groups[:-1])]
    assert groups[-1][2] == len(tokens)


@pytest.mark.parametrize("text", ["... I am sad", "– I am sad", "I am sad"])
def test_a_word_without_a_letter_makes_no_text_surer(transcriber: WhisperTranscriber, text: str) -> None:
    tokens = tuple(transcriber._model._tokenizer.encode(text, add_special_tokens=False).ids)
    found = Decoded(tokens, (-1.0,) * len(tokens), 0.1)
    words = [
        Word(word, 0, 0, transcriber._confidence(found, first, last))
        for word, first, last in transcriber._groups(tokens, "en")
    ]
    spelled = [word.confidence for word in words if any(letter.isalnum() for letter in word.text)]
    assert len(spelled) == 3
    assert mean_confidence(words) == pytest.approx(np.mean(spelled))


def test_a_language_without_spaces_has_none(transcriber: WhisperTranscriber) -> None:
    tokens = transcriber._model._tokenizer.encode("今日は、鷺が飛ぶ。", add_special_tokens=False).ids
    words = [word for word, _, _ in transcriber._groups(tokens, "ja")]
    assert len(words) > 3
    assert not any("\ufffd" in word for word in words)
    assert transcriber._joined(words, "ja") == "今日は、鷺が飛ぶ。"


# -- models


def shorter(name: str, part: float) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = (path / name).read_bytes()
        (path / name).unlink()
        (path / name).write_bytes(content[: int(len(content) * part)])

    return change


def other(name: str, content: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        (path / name).unlink()
        (path / name).write_bytes(content)

    return change


@pytest.mark.parametrize("name", ["model.bin", "config.json", "tokenizer.json", "vocabulary.txt"])
@pytest.mark.parametrize("how", ["missing", "empty", "half", "junk"])
def test_a_broken_model_is_refused_in_one_sentence(whisper_base: Path, tmp_path: Path, name: str, how: str) -> None:
    folder = linked(whisper_base, tmp_path)
    {
        "missing": lambda path: (path / name).unlink(),
        "empty": other(name, b""),
        "half": shorter(name, 0.5),
        "junk": other(name, b"\xff\x00junk" * 99),
    }[how](folder)
    with pytest.raises(TranscriberError) as caught:
        create_transcriber(AsrSettings(backend="whisper", model_path=str(folder)))
    assert "\n" not in str(caught.value)
    assert (f"lacks {name}" if how == "missing" else "cannot be loaded") in str(caught.value)
    assert "mser models" in str(caught.value)


@pytest.mark.parametrize("part", [1e-8, 1e-6, 0.99, 0.9999999])
def test_a_model_that_ends_too_early_is_refused(whisper_base: Path, tmp_path: Path, part: float) -> None:
    folder = linked(whisper_base, tmp_path)
    shorter("model.bin", part)(folder)
    with pytest.raises(TranscriberError, match="cannot be loaded"):
        WhisperModel(folder)


@pytest.mark.parametrize("config", [b"{}", b"[]"])
def test_a_configuration_of_something_else_is_refused(whisper_base: Path, tmp_path: Path, config: bytes) -> None:
    folder = linked(whisper_base, tmp_path)
    other("config.json", config)(folder)
    with pytest.raises(TranscriberError, match="cannot be loaded"):
        WhisperModel(folder)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TranscriberError, match=r"there is no folder .* set asr.model_path"):
        create_transcriber(AsrSettings(backend="whisper", model_path=str(tmp_path / "nowhere")))


def test_a_users_model_in_a_folder_of_its_own_reads_the_same(
    heard_alone: Callable[[int], Transcript], whisper_base: Path, tmp_path: Path
) -> None:
    folder = linked(whisper_base, tmp_path)
    own = create_transcriber(AsrSettings(backend="whisper", model_path=str(folder)))
    assert isinstance(own, WhisperTranscriber)
    assert read(own, demo_sentences()[4][0]) == heard_alone(4)
    own.close()


def linked(model: Path, tmp_path: Path) -> Path:
    """A copy whose files can be replaced one by one."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).symlink_to(file)
    return folder


def test_the_encoder_is_there_for_others(model: WhisperModel) -> None:
    samples = demo_sentences()[0][0]
    encoded = model.encode(samples)
    assert encoded.states.dtype == np.float32
    assert encoded.states.shape[1] == 512
    assert encoded.duration_s == len(samples) / SAMPLE_RATE
    assert len(encoded.states) == pytest.approx((encoded.duration_s + 0.5) / 0.02, abs=2)
    assert np.isfinite(encoded.states).all()


def test_the_time_of_a_word_is_that_of_its_sound(
    transcriber: WhisperTranscriber, heard_alone: Callable[[int], Transcript]
) -> None:
    """The same sentence a second later has the same words a second later."""
    samples = demo_sentences()[4][0]
    one, other = heard_alone(4), read(transcriber, np.concatenate([silence(1.0), samples]))
    assert words_of(one.text) == words_of(other.text)
    for early, late in zip(one.words, other.words, strict=True):
        assert late.start_ns - early.start_ns == pytest.approx(NS_PER_S, abs=to_ns(0.15))
