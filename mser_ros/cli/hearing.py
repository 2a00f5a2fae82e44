"""`mser hearing`: how well speech is found, read and translated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import click
import numpy as np
import yaml
from rich.console import Console
from rich.progress import track as show_progress

from ..asr.confidence import ConfidenceMap, read_confidence_map
from ..asr.registry import WHISPER
from ..asr.whisper import WhisperTranscriber
from ..asr.whisper_model import WhisperModel
from ..corpora import Item, corpus_folder, open_corpus
from ..errors import CorpusError, SettingsError
from ..evaluation import confidence as words
from ..evaluation import segments as speech
from ..evaluation.calibration import fit_confidence
from ..evaluation.loading import load_each
from ..evaluation.noise import babble, speech_shaped
from ..evaluation.sounds import SOUNDS
from ..evaluation.translation import translate
from ..evaluation.words import HeardWords, words_of
from ..model_store.store import ModelStore
from ..resources import whisper_confidence_file
from ..settings import AsrSettings
from .stream_words import follow, invent, listen
from .tables import show_table, table, write_option

_SNRS_DB = (20, 10, 5, 0)
_BABBLE_DB = (20, 10, 0)
#: What people talk in, beside quiet.
_NOISES = {"noise": speech_shaped, "babble": babble}
#: Clips of each person whose babble is the noise.
_BABBLED = 12
#: How loud sounds are in which nobody speaks [RMS of 16 bits]: from a quiet room to louder than people.
_LEVELS = (100.0, 1000.0, 4000.0)

_PAGE = "docs/hearing.md"
_MODEL = click.option("--model", default="", metavar="DIR", help="Whisper model.  [whisper-base of 'mser models']")


@click.group()
def hearing() -> None:
    """Measure how well speech is found in a stream, how sure words are, and what translation makes of them."""


@hearing.command()
@click.option("--corpus", "names", multiple=True, default=("ravdess", "nemo"), metavar="NAME[=PATH]", show_default=True)
@click.option("--clips", type=click.IntRange(2, 10_000), default=60, show_default=True, help="So many of each.")
@write_option(_PAGE, "segments")
def segments(names: tuple[str, ...], clips: int, page: Path | None) -> None:
    """Set people in silence and in steady noise, and see which of them are found as segments of speech.

    Beside it, in the same run, the detector of WebRTC in its two strictest modes (pip install webrtcvad-wheels), with
    the same segmenter behind it.
    """
    detectors = {"ours (silero)": None, **{f"webrtcvad, mode {mode}": mode for mode in (2, 3)}}
    rows = []
    for text in names:
        name, items = _items(text)
        waves = [_samples(item) for item in items[:: max(1, len(items) // clips)][:clips]]
        rng = np.random.default_rng(0)
        wave, spans = speech.in_a_row(waves, rng)
        noise = speech_shaped(waves, len(wave), rng)
        for snr_db in _progress((None, *_SNRS_DB), name):
            heard = speech.stream(wave, None if snr_db is None else noise, snr_db or 0.0)
            condition = "silence" if snr_db is None else f"{snr_db} dB"
            for detector, mode in detectors.items():
                vad = None if mode is None else speech.WebRtcVad(mode)
                scores = speech.score(spans, speech.find(heard, vad), len(wave))
                figures = (scores.precision, scores.recall, scores.f1, scores.time_precision, scores.time_recall)
                rows.append([name, condition, detector, *(f"{figure:.2f}" for figure in figures)])
    columns = ["corpus", "noise", "detector", "precision", "recall", "F1", "precision, time", "recall, time"]
    show_table(page, "segments", [*table(columns, rows), "", f"{clips} clips of each corpus."])


@hearing.command("words")
@click.option("--corpus", "names", multiple=True, default=("ravdess", "nemo"), metavar="NAME[=PATH]", show_default=True)
@click.option(
    "--language", "languages", multiple=True, default=("en", "pl"), metavar="TAG", show_default=True, help="Of each."
)
@click.option("--clips", type=click.IntRange(1, 10_000), default=12, show_default=True, help="So many of each person.")
@click.option(
    "--snr", "snrs_db", type=float, multiple=True, default=(10.0,), metavar="DB", show_default=True, help="Of noise."
)
@_MODEL
@write_option(_PAGE, "words")
def spoken_words(
    names: tuple[str, ...],
    languages: tuple[str, ...],
    clips: int,
    snrs_db: tuple[float, ...],
    model: str,
    page: Path | None,
) -> None:
    """Hear people as the robot does, in a stream of each, and count the words that Whisper gets wrong.

    In quiet, in steady noise with the spectrum of speech, and in the babble of six people of the next corpus, who
    babble between what is said as well; told the language, and left to find it out.
    """
    _check_languages(names, languages)
    chosen = [(name, _worded(name, _some(items, clips))) for name, items in map(_items, names)]
    whisper = WhisperModel(Path(model) if model else ModelStore().require(WHISPER))
    noises = [(f"{kind}, {snr_db:g} dB", make, snr_db) for kind, make in _NOISES.items() for snr_db in snrs_db]
    conditions = [("quiet", babble, None), *noises]
    rows = []
    for number, ((name, people), language) in enumerate(zip(chosen, languages, strict=True)):
        babblers = chosen[(number + 1) % len(chosen)][1]
        for told in (language, "auto"):
            reader = WhisperTranscriber(whisper, language=told)
            for condition, make_noise, snr_db in conditions:
                track = partial(_progress, description=name)
                heard = listen(reader, people, babblers, snr_db, make_noise=make_noise, track=track)
                counts = (len(heard.clips), heard.lost, heard.split, heard.cut, heard.mistaken(language))
                row = [name, condition, told, f"{heard.word_error_rate:.3f}", *map(str, counts)]
                rows.append([*row, str(len(heard.invented))])
    columns = ["corpus", "condition", "asr.language", "word error rate", "clips", "not found", "in several utterances"]
    show_table(page, "words", table([*columns, "edges cut off", "other language", "invented texts"], rows))


@hearing.command()
@click.option("--corpus", "names", multiple=True, default=("ravdess", "nemo"), metavar="NAME[=PATH]", show_default=True)
@click.option(
    "--language", "languages", multiple=True, default=("en", "pl"), metavar="TAG", show_default=True, help="Of each."
)
@click.option("--clips", type=click.IntRange(1, 10_000), default=12, show_default=True, help="So many of each person.")
@_MODEL
@write_option(_PAGE, "partials")
def partials(names: tuple[str, ...], languages: tuple[str, ...], clips: int, model: str, page: Path | None) -> None:
    """Hear people as the robot does, and see how soon words are told while somebody speaks, and how many of them are
    wrong by the final transcript.

    Times are between the end of a word and the sound after which it was told; computing comes on top.
    """
    _check_languages(names, languages)
    whisper = WhisperModel(Path(model) if model else ModelStore().require(WHISPER))
    rows = []
    for (name, items), language in zip(map(_items, names), languages, strict=True):
        reader = WhisperTranscriber(whisper, language=language, partial_period_s=AsrSettings().partial_period_s)
        found = follow(reader, _some(items, clips), track=partial(_progress, description=name))
        waits_s = [wait_s for one in found for wait_s in one.waits_s]
        firsts_s = [one.waits_s[0] for one in found if one.waits_s]
        told, words = len(waits_s), sum(one.words for one in found)
        if not told:
            raise CorpusError(
                f"no word of corpus '{name}' was told before its end: is it in the language '{language}'?"
            )
        shares = (told / words, sum(one.wrong for one in found) / told)
        times_s = (np.median(firsts_s), np.percentile(firsts_s, 95), np.mean(waits_s))
        counts = [f"{len(firsts_s)} of {len(found)}", *(f"{100 * share:.0f} %" for share in shares)]
        rows.append([name, language, *counts, *(f"{time_s:.2f} s" for time_s in times_s)])
    columns = ["corpus", "language", "utterances with words", "words told before the end", "of these wrong"]
    show_table(page, "partials", table([*columns, "first words, p50", "p95", "a word, mean"], rows))


@hearing.command()
@click.option(
    "--minutes", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, help="Of all sounds together."
)
@_MODEL
@write_option(_PAGE, "invented")
def invented(minutes: float, model: str, page: Path | None) -> None:
    """Play sounds in which nobody speaks, and count the utterances and texts that are made of them."""
    reader = WhisperTranscriber(WhisperModel(Path(model) if model else ModelStore().require(WHISPER)))
    seconds = minutes * 60 / len(SOUNDS) / len(_LEVELS)
    rows, texts = [], []
    for name, make in SOUNDS.items():
        found = [invent(reader, make(seconds, level)) for level in _progress(_LEVELS, name)]
        texts += [text for item in found for text in item.texts]
        counts = (sum(item.utterances for item in found), sum(len(item.texts) for item in found))
        rows.append([name, f"{seconds * len(_LEVELS) / 60:.1f}", *map(str, counts)])
    told = f"In {minutes:g} minutes {len(texts)} texts were invented" + (f": {'; '.join(texts)}." if texts else ".")
    show_table(page, "invented", [*table(["sound", "minutes", "utterances", "texts"], rows), "", told])


@hearing.command()
@click.option("--corpus", "text", default="ravdess", metavar="NAME[=PATH]", show_default=True, help="Who speaks.")
@click.option("--babble", default="nemo", metavar="NAME[=PATH]", show_default=True, help="Who babbles behind them.")
@click.option("--language", default="en", metavar="TAG", show_default=True, help="What is spoken.")
@click.option("--clips", type=click.IntRange(1, 1000), default=12, show_default=True, help="Of each person.")
@click.option(
    "--fit", is_flag=True, help="Fit the map on half of the people, and write config/whisper_confidence.yaml."
)
@_MODEL
@write_option(_PAGE, "confidence")
def confidence(text: str, babble: str, language: str, clips: int, fit: bool, model: str, page: Path | None) -> None:
    """Hold the confidence of Whisper's words against how many of them are right, in quiet and in babble.

    Judged are every second person, with every second person's babble behind them; with --fit a map of three constants
    is fitted on all the others first.
    """
    folder = Path(model) if model else ModelStore().require(WHISPER)
    name, people = _items(text)
    other, babblers = _items(babble)
    chosen = {
        half: (_worded(name, _half(name, people, half, clips)), _half(other, babblers, half, _BABBLED))
        for half in ((0, 1) if fit else (1,))
    }
    raw = WhisperTranscriber(WhisperModel(folder), language=language, confidence=ConfidenceMap())
    halves = {
        half: words.hear(raw, speaking, babbling, _BABBLE_DB, seed=half, track=_progress)
        for half, (speaking, babbling) in chosen.items()
    }
    if fit:
        found = fit_confidence(*words.words(halves[0]))
        source = (
            f"written by 'mser hearing confidence --fit' on {date.today()}: {len(words.words(halves[0])[0])} words of "
            f"{len({item.person for item in halves[0]})} people of {name}, in quiet and in babble of {other} at "
            f"{', '.join(map(str, _BABBLE_DB))} dB, {folder.name}"
        )
        values = {"certain": found.certain, "doubtful": found.doubtful, "offset": found.offset, "source": source}
        whisper_confidence_file().write_text(yaml.safe_dump(values, sort_keys=False, width=120), encoding="utf-8")
        click.echo(f"written: {whisper_confidence_file()}", err=True)
    show_table(page, "confidence", _reliability(halves[1], read_confidence_map(), name))


def _reliability(heard: Sequence[HeardWords], calibrated: ConfidenceMap, name: str) -> list[str]:
    probability, right = words.words(heard)
    if not len(right):
        raise CorpusError(f"nothing was understood of corpus '{name}': is it in the language that is asked for?")
    mapped = np.array([calibrated(value) for value in probability])
    whole, share = words.utterances(heard)
    mapped_whole, _ = words.utterances(
        [HeardWords(tuple(map(calibrated, item.confidence)), item.right) for item in heard]
    )
    lines = []
    for what, before, after, truth in (
        ("words", probability, mapped, right),
        ("utterances", whole, mapped_whole, share),
    ):
        rows, errors = [], []
        for when, value in (("token probability", before), ("calibrated", after)):
            bins = words.reliability(value, truth)
            errors.append(words.calibration_error(bins))
            rows += [
                [
                    when,
                    f"{item.low:.2f} to {item.high:.2f}",
                    str(item.count),
                    f"{item.confidence:.2f}",
                    f"{item.right:.2f}",
                ]
                for item in bins
            ]
        lines += [*table([what, "confidence", "how many", "mean", "right"], rows), ""]
        lines += [f"Expected calibration error of {what}: {errors[0]:.3f} before, {errors[1]:.3f} calibrated.", ""]
    conditions = []
    for condition in dict.fromkeys(item.condition for item in heard):
        value, is_right = words.words(item for item in heard if item.condition == condition)
        after_mean = f"{np.mean([calibrated(one) for one in value]):.2f}" if len(value) else "–"
        shares = (f"{np.mean(value):.2f}", after_mean, f"{np.mean(is_right):.2f}") if len(value) else ("–",) * 3
        conditions.append([condition, str(len(value)), *shares])
    lines += table(["babble", "words", "token probability", "calibrated", "right"], conditions)
    return [*lines, "", f"{len({item.person for item in heard})} people of {name}, none of whom the map was fitted on."]


@hearing.command()
@click.option("--corpus", "text", default="nemo", metavar="NAME[=PATH]", show_default=True)
@click.option("--language", default="pl", metavar="TAG", show_default=True, help="What is spoken.")
@click.option("--clips", type=click.IntRange(1, 10_000), default=20, show_default=True, help="So many examples.")
@_MODEL
@write_option(_PAGE, "translation")
def translation(text: str, language: str, clips: int, model: str, page: Path | None) -> None:
    """Show what `asr.translate` makes of people who speak another language, and what it costs."""
    name, items = _items(text)
    chosen = _worded(name, items[len(items) // clips // 2 :: max(1, len(items) // clips)][:clips])
    found = translate(chosen, language, model_path=model, track=_progress)
    rows = [[item.said, item.heard, item.translation] for item in found]
    plain, both = (float(np.mean(times)) * 1000 for times in zip(*((i.plain_s, i.both_s) for i in found), strict=True))
    cost = f"Processor time of an utterance: {plain:.0f} ms without translation, {both:.0f} ms with it"
    kept = sum(bool(item.translation) for item in found)
    cost = f"{cost} ({both / plain:.2f} times). {kept} of {len(found)} were translated; the others seemed guessed."
    show_table(page, "translation", [*table(["said", "heard", "translation"], rows), "", cost])


def _check_languages(names: Sequence[str], languages: Sequence[str]) -> None:
    if len(names) != len(languages):
        raise SettingsError(
            f"{len(names)} corpora and {len(languages)} languages: name one --language for each --corpus"
        )


def _items(text: str) -> tuple[str, tuple[Item, ...]]:
    name, _, path = text.partition("=")
    corpus = open_corpus(name, corpus_folder(name, path))
    if "speech" not in corpus.modalities:
        raise CorpusError(f"corpus '{name}' holds no sound: name another one")
    return name, corpus.items


def _worded(name: str, items: Sequence[Item]) -> Sequence[Item]:
    """These items. Raises `CorpusError` where of none it is known what is said."""
    texts = (utterance.transcript.text for _, utterance in load_each(items) if utterance.transcript is not None)
    if not any(map(words_of, texts)):
        raise CorpusError(
            f"corpus '{name}' tells of no recording what is said: give its manifest a column 'text', or name another "
            "corpus"
        )
    return items


def _half(name: str, items: Sequence[Item], half: int, clips: int) -> list[Item]:
    """Some clips of every second person. Raises `CorpusError` where there is none."""
    people = sorted({item.person for item in items})
    if len(people) < 2:
        raise CorpusError(f"corpus '{name}' has one speaker, and every second one is taken: name one with two at least")
    return _some([item for item in items if item.person in people[half::2]], clips)


def _some(items: Sequence[Item], clips: int) -> list[Item]:
    """Some clips of each person."""
    chosen = []
    for person in sorted({item.person for item in items}):
        own = [item for item in items if item.person == person]
        chosen += own[:: max(1, len(own) // clips)][:clips]
    return chosen


def _samples(item: Item) -> np.ndarray:
    ((_, utterance),) = load_each([item])
    if utterance.audio is None:
        raise CorpusError(f"item {item.item_id} holds no sound: take it out")
    return utterance.audio.samples


def _progress(items: Iterable, description: str = "clips"):  # type: ignore[no-untyped-def]
    return show_progress(list(items), description=description, console=Console(stderr=True), transient=True)
