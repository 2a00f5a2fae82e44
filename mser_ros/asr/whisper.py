"""Whisper as a recogniser of utterances: words, times, confidences, partial texts, a guard against invented text."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from ..errors import TranscriberError
from ..languages import primary_language
from ..types import SAMPLE_RATE, Transcript, Word, to_ns
from .confidence import ConfidenceMap, read_confidence_map
from .transcriber import mean_confidence, partial_wait
from .whisper_model import LONGEST, Decoded, Encoded, WhisperModel

#: Languages that are written without spaces between words.
_UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})
#: What a character looks like whose bytes are not all there.
_UNFINISHED = "\ufffd"
#: Shorter audio holds no word [samples].
_SHORTEST = SAMPLE_RATE // 10
#: Longer audio than can be encoded at once is cut where it is quietest over this length, in the last part [samples].
_QUIET, _CUT_FROM = SAMPLE_RATE // 10, LONGEST * 2 // 3
#: How much less likely a token becomes when a text that went round in circles is read again.
_PENALTY = 1.2
#: What zlib makes so much shorter in UTF-8 than in one byte a letter owes that to its script, not to what it says: long
#: plain texts in Tamil and Georgian come to 1.8, loops in such scripts to less.
_SCRIPT = 1.4
#: Partial texts may take this part of the time.
_PARTIAL_SHARE = 0.5
#: A partial text's word of this confidence is told without a second reading: of first words that are told, as many are
#: wrong with it as without.
_SURE = 0.7
#: A language that is less probable is not certain; the last certain one of a voice goes before it where it is not
#: improbable itself.
_CERTAIN, _IMPROBABLE = 0.5, 0.05


@dataclass(frozen=True)
class Guard:
    """When a text counts as invented, which Whisper's are in noise, music and silence.

    `log_probability`: a text whose tokens have less in the mean is guessed; `silent_log_probability`: the same where
    nobody speaks with a probability above `no_speech`. `repetition`: a text that zlib makes shorter by this factor says
    the same again and again. The first, the third and the fourth value are those of Whisper's own transcription.
    `letters_per_s`: nobody can say more, in any script; of tokens there may be 0.4 to a letter, or three.
    """

    log_probability: float = -1.0
    silent_log_probability: float = -0.5
    no_speech: float = 0.6
    repetition: float = 2.4
    letters_per_s: float = 40.0

    def refuses(self, decoded: Decoded, text: str, duration_s: float) -> bool:
        """`text`: what the tokens spell."""
        if not decoded.tokens:
            return False
        least = self.silent_log_probability if decoded.no_speech > self.no_speech else self.log_probability
        return (
            not any(letter.isalnum() for letter in text)
            or float(np.mean(decoded.log_probabilities)) < least
            or repetition(text) > self.repetition
            or len("".join(text.split())) > self.letters_per_s * max(duration_s, 1.0)
        )


def repetition(text: str) -> float:
    """How much shorter zlib makes a text, apart from what its script, of up to three bytes a letter, adds to that."""
    foreign: dict[str, int] = {}
    letters = bytes(
        ord(letter) if letter.isascii() else 128 + foreign.setdefault(letter, len(foreign)) % 128 for letter in text
    )
    return min(_shortened(text.encode()), _SCRIPT * _shortened(letters))


def _shortened(content: bytes) -> float:
    return len(content) / len(zlib.compress(content))


class WhisperTranscriber:
    """Reads each utterance as a whole when it is over.

    Partial texts come from reading what there is so far every `partial_period_s`, and more often until the first words
    are told (`partial_wait`). What two readings in a row agree on is told, and never taken back (local agreement,
    Macháček et al. 2023); so is what one reading is sure of and says more behind, as the last word may be half of
    another. They are left out where they would take more than half of the time.

    What language is spoken, where that is to be found out, does not depend on what was said before, unless it is not
    certain: few words may sound like any.

    A word's confidence is the probability of its tokens, each given those before, as a map turns it into the share of
    such words that are right.
    """

    def __init__(
        self,
        model: WhisperModel,
        *,
        language: str = "en",
        translate: bool = False,
        partial_period_s: float = 0.5,
        confidence: ConfidenceMap | None = None,
    ) -> None:
        """`language`: a BCP 47 tag, or 'auto'. `confidence`: None for the map of this package, which was measured with
        Whisper base. Raises `TranscriberError` for a language that the model does not know."""
        code = primary_language(language)
        if code != "auto" and code not in model.languages:
            many = len(model.languages)
            cure = f"'auto' or the code of one of the {many} it knows, as de, en, ja, pl" if many > 1 else "'en'"
            raise TranscriberError(
                f"this Whisper model does not know the language '{language}': set asr.language to {cure}"
            )
        self._model = model
        self._fixed = "" if code == "auto" else code
        self._tag = "und" if code == "auto" else language
        self._translate = translate
        self._period = round(partial_period_s * SAMPLE_RATE)
        self._guard = Guard()
        self._calibrated = confidence or read_confidence_map()
        self._rejected = self._skipped = 0
        self._open: _Utterance | None = None
        self._spoken = ""  # the last certain language

    @property
    def language(self) -> str:
        return self._open.language if self._open else self._tag

    @property
    def counters(self) -> Mapping[str, int]:
        return {"rejected_texts": self._rejected, "skipped_partials": self._skipped}

    def start(self, start_ns: int) -> None:
        self._open = _Utterance(start_ns, self._tag)

    def accept(self, samples: np.ndarray) -> None:
        if self._open:
            self._open.pieces.append(samples)
            self._open.samples += len(samples)

    def partial(self) -> Transcript:
        heard = self._open
        if heard is None:
            return Transcript("", language=self.language, is_final=False)
        is_early = bool(heard.asked_at) and not heard.agreed
        if self._period and heard.samples - heard.asked_at >= partial_wait(self._period, is_early=is_early):
            heard.asked_at = heard.samples
            if (heard.samples - heard.read_at) / SAMPLE_RATE * _PARTIAL_SHARE < heard.cost_s:
                self._skipped += 1
            else:
                began_s = time.perf_counter()
                reading = self._transcribe(heard, is_final=False, samples=heard.samples)
                heard.agree(reading.transcript.words)
                heard.cost_s = time.perf_counter() - began_s
                heard.read_at = heard.samples
        return Transcript(
            self._joined([word.text for word in heard.agreed], heard.language),
            confidence=mean_confidence(heard.agreed),
            language=heard.language,
            is_final=False,
        )

    def pause(self, samples: int) -> Transcript:
        heard = self._open
        if heard is None:
            return self.partial()
        began_s = time.perf_counter()
        ahead = heard.ahead = self._transcribe(heard, is_final=True, samples=samples)
        heard.agree(ahead.transcript.words)
        heard.cost_s = time.perf_counter() - began_s
        heard.read_at = heard.asked_at = heard.samples
        return ahead.transcript

    def finish(self, samples: int | None = None) -> Transcript:
        heard, transcript = self._open, Transcript("", language=self.language)
        if heard:
            samples = heard.samples if samples is None else samples
            reading = heard.ahead
            if reading is None or reading.samples != samples:
                reading = self._transcribe(heard, is_final=True, samples=samples)
            self._rejected += reading.rejected
            self._spoken = reading.certain or self._spoken
            transcript = reading.transcript
        self.reset()
        return transcript

    def reset(self) -> None:
        self._open = None

    def another(self) -> WhisperTranscriber:
        twin = copy(self)
        twin._open, twin._spoken = None, ""
        twin._rejected = twin._skipped = 0
        return twin

    def close(self) -> None:
        self.reset()
        self._model.close()

    def _transcribe(self, heard: _Utterance, *, is_final: bool, samples: int) -> _Reading:
        """Read so many samples of what was heard; word times and a translation only in the end."""
        words: list[Word] = []
        rejected = 0
        certain = ""
        translations = []
        for begin, clip in _cut(np.concatenate([*heard.pieces, np.zeros(0, np.int16)])[:samples]):
            if len(clip) < _SHORTEST:
                continue
            encoded = self._model.encode(clip)
            if not self._fixed and not words:
                heard.language, is_certain = self._likeliest(self._model.detect_language(encoded))
                certain = heard.language if is_certain else certain
            language = self._fixed or heard.language
            decoded = self._decode(encoded, language, "transcribe")
            if decoded is None:
                rejected += 1
            elif is_final:
                words += self._timed(encoded, decoded, language, clip, heard.start_ns + to_ns(begin / SAMPLE_RATE))
                if self._translate and language != "en":
                    english = self._decode(encoded, language, "translate")
                    translations += [self._model.text(english.tokens).strip()] if english else []
            else:
                words += [
                    Word(text, 0, 0, self._confidence(decoded, first, last))
                    for text, first, last in self._groups(decoded.tokens, language)
                ]
        transcript = Transcript(
            text=self._joined([word.text for word in words], heard.language),
            confidence=mean_confidence(words),
            words=tuple(words),
            language=heard.language,
            is_final=is_final,
            translation=" ".join(translations),
        )
        return _Reading(samples, transcript, rejected, certain if words else "")

    def _likeliest(self, languages: Mapping[str, float]) -> tuple[str, bool]:
        """The language that is spoken, and whether that is certain."""
        first = next(iter(languages))
        if languages[first] >= _CERTAIN:
            return first, True
        return (self._spoken if languages.get(self._spoken, 0.0) >= _IMPROBABLE else first), False

    def _decode(self, encoded: Encoded, language: str, task: str) -> Decoded | None:
        """What is said in a clip, None for what seems invented. A loop is read again, with a penalty on it."""
        decoded = self._model.decode(encoded, language, task=task)
        if repetition(self._model.text(decoded.tokens)) > self._guard.repetition:
            decoded = self._model.decode(encoded, language, task=task, repetition_penalty=_PENALTY)
        text = self._model.text(decoded.tokens)
        return None if self._guard.refuses(decoded, text, encoded.duration_s) else decoded

    def _timed(
        self, encoded: Encoded, decoded: Decoded, language: str, clip: np.ndarray, offset_ns: int
    ) -> Iterator[Word]:
        """Words with times, which lie where the clip is not quiet, and confidences."""
        spans = self._model.token_spans(encoded, language, decoded.tokens)
        begin_s, end_s = _voiced(clip)
        for text, first, last in self._groups(decoded.tokens, language):
            start = min(max(spans[first][0], begin_s), end_s)
            begin_s = min(max(spans[last - 1][1], start), end_s)
            yield Word(
                text, offset_ns + to_ns(start), offset_ns + to_ns(begin_s), self._confidence(decoded, first, last)
            )

    def _confidence(self, decoded: Decoded, first: int, last: int) -> float | None:
        """Of the tokens first to last as a word; its punctuation does not matter, and by itself is none."""
        spelled = [
            value
            for token, value in zip(decoded.tokens[first:last], decoded.log_probabilities[first:last], strict=True)
            if any(letter.isalnum() or letter == _UNFINISHED for letter in self._model.text((token,)))
        ]
        return self._calibrated(math.exp(min(0.0, sum(spelled)))) if spelled else None

    def _groups(self, tokens: Sequence[int], language: str) -> list[tuple[str, int, int]]:
        """Words with the tokens they are made of: (text, first, one past the last)."""
        groups: list[tuple[str, int, int]] = []
        first = 0
        for last in range(1, len(tokens) + 1):
            piece = self._model.text(tuple(tokens[first:last]))
            if (_UNFINISHED in piece or not piece.strip()) and last < len(tokens):
                continue  # in the middle of a character, or a space that belongs to the next
            opens = language in _UNSPACED or piece.startswith(" ") or not groups
            if opens and (any(letter.isalnum() for letter in piece) or not groups):
                groups.append((piece.strip(), first, last))
            else:
                text, begin, _ = groups[-1]
                groups[-1] = (text + piece.rstrip(), begin, last)
            first = last
        return groups

    def _joined(self, words: Sequence[str], language: str) -> str:
        return ("" if primary_language(language) in _UNSPACED else " ").join(words)


@dataclass(frozen=True)
class _Reading:
    """What was read of the first so many `samples`, how many of its pieces were `rejected` as invented, and what its
    language is for `certain`, else ''."""

    samples: int
    transcript: Transcript
    rejected: int
    certain: str


@dataclass
class _Utterance:
    """What was heard of an utterance, and how far partial texts have come. Counts are of samples. `ahead`: what was
    read in its last pause."""

    start_ns: int
    language: str
    pieces: list[np.ndarray] = field(default_factory=list)
    samples: int = 0
    asked_at: int = 0
    read_at: int = 0
    cost_s: float = 0.0
    ahead: _Reading | None = None
    newest: Sequence[Word] = ()
    agreed: list[Word] = field(default_factory=list)

    def agree(self, words: Sequence[Word]) -> None:
        """Take in one more reading. Two in a row that go on in the same way are believed, and one that goes on from
        what was told where it is sure; what was told once stays."""
        told, newest, reading = ([_bare(word.text) for word in some] for some in (self.agreed, self.newest, words))
        goes_on = reading[: len(told)] == told
        before = newest[_end_of(told, newest) :]
        # What was told may stand elsewhere in this reading, where words were found before it.
        for number in range(_end_of(told, reading), len(words)):
            is_sure = goes_on and (words[number].confidence or 0.0) >= _SURE and number + 1 < len(words)
            if not is_sure and before[:1] != reading[number : number + 1]:
                break
            self.agreed.append(words[number])
            before = before[1:]
        self.newest = words


def _end_of(told: Sequence[str], reading: Sequence[str]) -> int:
    """With how many of its words a reading says what was told, as nearly as it does; all where it says something else,
    as nothing goes on from what was told then."""
    edits = list(range(len(reading) + 1))  # from what was told so far to so many words of the reading
    for count, word in enumerate(told, 1):
        row = [count]
        for at, other in enumerate(reading, 1):
            row.append(min(row[-1] + 1, edits[at] + 1, edits[at - 1] + (word != other)))
        edits = row
    fewest = min(edits)
    if fewest > len(told) // 2:
        return len(reading)
    return max(at for at, count in enumerate(edits) if count == fewest)


def _bare(word: str) -> str:
    """A word without case and punctuation, which change from one reading to the next."""
    return "".join(letter for letter in word.lower() if letter.isalnum())


def _cut(samples: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Pieces that can be encoded at once, each with the index of its first sample."""
    pieces, first = [], 0
    while len(samples) - first > LONGEST:
        tail = samples[first + _CUT_FROM : first + LONGEST].astype(np.float32)
        level = (tail[: len(tail) // _QUIET * _QUIET].reshape(-1, _QUIET) ** 2).sum(axis=1)
        length = _CUT_FROM + int(np.argmin(level)) * _QUIET + _QUIET // 2
        pieces.append((first, samples[first : first + length]))
        first += length
    return [*pieces, (first, samples[first:])]


def _voiced(samples: np.ndarray) -> tuple[float, float]:
    """Where the first and the last sound is that is not much quieter than the loudest [s]."""
    size = SAMPLE_RATE // 50
    padded = np.pad(samples.astype(np.float32), (0, -len(samples) % size))
    level = np.sqrt((padded.reshape(-1, size) ** 2).mean(axis=1))
    loud = np.flatnonzero(level > 0.05 * level.max())
    if not len(loud):
        return 0.0, len(samples) / SAMPLE_RATE
    return float(loud[0]) * size / SAMPLE_RATE, min((loud[-1] + 1) * size, len(samples)) / SAMPLE_RATE
