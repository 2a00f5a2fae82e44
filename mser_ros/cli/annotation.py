"""One recording through the live pipeline, without ROS and faster than real time: what `mser annotate` does of each."""

from __future__ import annotations

import heapq
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..asr.registry import choose, create_transcriber
from ..audio.sound_files import FILMS
from ..errors import BagError, DamagedBagError, DependencyError, ModelError, MserError
from ..evaluation.recording_page import Findings, check_packages, write_page
from ..evaluation.timeline import Recording, draw_timeline
from ..messages import conversions
from ..messages.bag_files import is_bag
from ..messages.bag_writer import copy_with_topics
from ..messages.bags import RAW_AUDIO, Bag
from ..messages.records import Record, emotion_fields, emotion_record, estimate_of, write_csv
from ..mocap.stream import SkeletonStream
from ..recognition.bundle import load_bundle
from ..recognition.recognizer import EmotionRecognizer
from ..settings import AudioFormatSettings, EmotionSettings, MocapSettings, SpeechSettings, StateSettings
from ..settings.schema import build
from ..stages.emotion import EmotionStage
from ..stages.oddities import oddities
from ..stages.pipeline import EmotionPipeline
from ..stages.speech import SpeechStage
from ..stages.state import states_over_time
from ..types import NS_PER_S, AudioChunk, EmotionEstimate, UtteranceEvent, UtteranceState, to_ns
from ..vision.networks import PoseNetworks
from ..vision.sources import has_picture
from .inputs import Item, open_files, read_bag
from .recording_report import REPORT, Clips, making, tracks

#: What a bag of results holds beside what was recorded: estimates, states, and with `Choices.mcap` the sound.
EMOTION, STATE, SOUND = "/emotion", "/state", "/sound"
TYPES = {EMOTION: "mser_msgs/msg/Emotion", STATE: "mser_msgs/msg/EmotionState", SOUND: RAW_AUDIO}
LINES = "emotions.jsonl"
#: What was found so far, and from where to go on.
PART, PROGRESS = ".emotions.part", ".progress.json"
#: No microphone that hears a voice gives peaks below this [dB of full scale].
_SILENT_DB = -55.0
#: The voice that makes an utterance begins at most so long before that is decided [s].
_BEGIN_S = 2.0
#: How often it is noted how far a recording was worked off [s].
_NOTE_S = 5.0
#: Audio whose pieces are shorter than this in the mean holds no utterance [s].
_BROKEN_S = 1.0
#: Provisional estimates of longer recordings cannot be told apart in a picture [s].
_SHORT_S = 600.0
#: Motion before the place where a recording is gone on with, that belongs to what is said there [s].
_MOTION_S = 10.0

#: Topic, fields and log time.
Message = tuple[str, Mapping[str, Any], int]
#: Called with the items of a recording and their number; yields them while it shows how far they are worked off.
Track = Callable[[Iterable[Item], int, str], Iterable[Item]]


@dataclass(frozen=True)
class Choices:
    """What a user chose for all recordings alike. Empty: the default."""

    bundle: str = ""
    backend: str = ""
    asr_model: str = ""
    audio_topic: str = ""
    skeleton_topic: str = ""
    bodies: bool = True  # of films
    provisional: bool = True  # estimates while somebody speaks as well
    transcripts: bool = True  # estimates tell what was said
    html: bool = False  # a report is written as well
    mcap: bool = False  # a bag is written of any recording, with sound that Foxglove plays
    audio: AudioFormatSettings = field(default_factory=AudioFormatSettings)
    mocap: MocapSettings = field(default_factory=MocapSettings)
    asr_language: str = ""  # what is spoken
    command: str = field(default="", repr=False, compare=False)  # as it was typed: it changes no result

    def differing(self) -> dict[str, object]:
        """What is chosen other than it is by default, of what changes results."""
        usual = _flat(asdict(Choices()))
        return {
            name: value
            for name, value in _flat(asdict(self)).items()
            if value != usual[name] and name not in ("bundle", "html", "mcap", "command")
        }

    @property
    def speech(self) -> SpeechSettings:
        """Raises `SettingsError`."""
        chosen = {"backend": self.backend, "language": self.asr_language, "model_path": self.asr_model}
        given: dict[str, object] = {f"asr.{name}": value for name, value in chosen.items() if value}
        return build(SpeechSettings, given if self.provisional else given | {"asr.partial_period_s": 0.0})

    @property
    def emotion(self) -> EmotionSettings:
        """Raises `SettingsError`."""
        given: dict[str, object] = {"transcripts": self.transcripts}
        return build(EmotionSettings, given if self.provisional else given | {"provisional_start_s": 0.0})


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


@dataclass(frozen=True)
class Annotated:
    """What came of one recording. `dropped`: sentences, and how often. `seconds`: its length; `begin_s`: the time that
    its estimates are told from."""

    finals: list[Record]
    notes: tuple[str, ...]
    dropped: Mapping[str, int]
    seconds: float
    begin_s: float


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after what was done has been written down. `done_s`: how much of the recording that was."""

    def __init__(self, done_s: float) -> None:
        super().__init__()
        self.done_s = done_s


class Annotator:
    """Annotates recordings, one after the other, with models that are loaded once."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.bundle = load_bundle(choices.bundle)
        self._recognizer = EmotionRecognizer(self.bundle, choices.emotion)
        self._networks: PoseNetworks | None = None
        self._speech = choices.speech
        recogniser = choose(self._speech.asr)
        self._transcriber = create_transcriber(self._speech.asr, recogniser)
        if choices.html:
            check_packages()
        self.making = making(self.bundle, choices.differing(), recogniser.backend, choices.command)

    def annotate(
        self, source: Path, out: Path, *, skeleton: Path | None = None, resume: bool = False, track: Track | None = None
    ) -> Annotated:
        """Write what `mser annotate` promises into `out`.

        `resume`: go on where an earlier call stopped, if there was one. Raises `MserError` where nothing was found, and
        `Interrupted`.
        """
        from_bag = is_bag(source)
        if from_bag and skeleton:
            raise BagError("--skeleton goes with a sound file: a bag brings its own skeleton topic")
        copy = out / "annotated"
        if copy.resolve() in (source.resolve(), *source.resolve().parents):
            raise BagError(f"the results would overwrite {source}: name another folder with -o")
        chosen = self.choices
        blind: tuple[str, ...] = ()
        with Bag(source) if from_bag else nullcontext() as bag:
            if bag:
                items, count, notes = read_bag(
                    bag, chosen.audio_topic, chosen.skeleton_topic, chosen.audio, chosen.mocap
                )
            else:
                eyes, blind = self._eyes(source) if chosen.bodies and not skeleton else (None, ())
                items, count, notes = open_files(source, skeleton, eyes)
            work = _Work(self, source, out, resume=resume)
            try:
                work.run(track(items, count, source.name) if track else items)
            except KeyboardInterrupt:
                work.finish()
                work.report((*blind, *notes), is_whole=False)
                raise Interrupted(work.done_s) from None
            if not work.finals:
                work.discard()
                raise MserError(_why_nobody(source, work))
            work.finish(is_whole=True)
            if bag or chosen.mcap:
                self._write_bag(bag, source, copy, work)
            work.report((*blind, *notes))
        begin_s = min(record["speech_start"]["sec"] for record in work.shown) if bag else 0.0
        return Annotated(work.finals, (*blind, *notes, *work.oddities), work.dropped, work.seconds, begin_s)

    def _eyes(self, source: Path) -> tuple[PoseNetworks | None, tuple[str, ...]]:
        """What finds the people of a film, loaded once; a note where that is missing. Nothing for sound alone."""
        if source.suffix.lower() not in FILMS or not has_picture(source):
            return None, ()
        if self._networks is None:
            try:
                self._networks = PoseNetworks()
            except (ModelError, DependencyError) as error:
                return None, (f"bodies are not looked for: {error}",)
        return self._networks, ()

    def pipeline(self, on_note: Callable[[str], None] = lambda sentence: None) -> EmotionPipeline:
        """A new one, of the models that are loaded, to which every voice is new. `on_note`: told what is odd about the
        skeletons and was mended."""
        self._recognizer.forget()
        self._transcriber.reset()
        speech = SpeechStage(self._speech, transcriber=self._transcriber)
        mocap = self.choices.mocap
        return EmotionPipeline(speech, EmotionStage(self._recognizer, mocap), SkeletonStream(mocap, on_note=on_note))

    def _write_bag(self, bag: Bag | None, source: Path, target: Path, work: _Work) -> None:
        """A copy of the bag, or a new one, with what was found out."""
        if (target / "metadata.yaml").is_file():
            shutil.rmtree(target)  # of an earlier run
        recorded = bag.topics if bag else {}
        with_sound = self.choices.mcap and self.choices.transcripts
        wanted = {name: TYPES[name] for name in (EMOTION, STATE, *((SOUND,) if with_sound else ()))}
        topics = {name: kind for name, kind in wanted.items() if recorded.get(name, kind) == kind}
        for name in wanted.keys() - topics.keys():
            work.dropped[f"{name} is not in the copy: the bag has another topic of that name"] = 1
        sound = self._sound(source) if SOUND in topics else iter(())
        found = heapq.merge(work.messages(), sound, key=lambda message: message[2])
        messages = (message for message in found if message[0] in topics)
        try:
            skipped = copy_with_topics(bag, target, topics=topics, messages=messages)
            work.dropped |= {f"{topic} is not in the copy: nothing here knows its type": 1 for topic in skipped}
        except DamagedBagError as error:  # what is whole was annotated all the same
            work.dropped |= {f"there is no copy of the bag with the emotions: {error}": 1}

    def _sound(self, source: Path) -> Iterator[Message]:
        """The sound of a recording, which is read once more."""
        chosen = self.choices
        with Bag(source) if is_bag(source) else nullcontext() as bag:
            if bag:
                items, _, _ = read_bag(bag, chosen.audio_topic, chosen.skeleton_topic, chosen.audio, chosen.mocap)
            else:
                items, _, _ = open_files(source, None)
            for item in items:
                with suppress(MserError):  # which was told of when it was heard
                    data = item.load()
                    if isinstance(data, AudioChunk):
                        yield SOUND, conversions.audio_to_raw_fields(data), item.log_ns


class _Work:
    """One recording: its estimates go to a file as they come; now and then it is noted from where to go on."""

    def __init__(self, annotator: Annotator, source: Path, out: Path, *, resume: bool) -> None:
        self._annotator, self._source, self._out = annotator, source, out
        self.finals: list[Record] = []
        self.shown: list[Record] = []
        self.dropped: dict[str, int] = {}
        self.recording = Recording()
        self._times: list[int] = []  # when the robot would have published each record, on the clock of the bag
        self._first_ns: int | None = None
        self._log_ns = 0
        self._done_ns = 0  # nothing up to here need be looked at again
        self._open: set[str] = set()
        self._noted_s = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)
        self._is_quiet, self._done_lines, self._utterances = False, 0, 0
        self._clips = Clips(out, words=annotator.choices.transcripts) if annotator.choices.html else None
        learned = self._recall() if resume else {}
        if self._clips and not self._done_ns:
            self._clips.discard()  # those of an earlier call
        self._lines = (out / PART).open("a" if self._done_ns else "w", encoding="utf-8")
        self._notes: dict[str, None] = {}
        self._pipeline = annotator.pipeline(lambda sentence: self._notes.setdefault(sentence))
        self._pipeline.on_audio = self.recording.add
        self._pipeline.on_event = self._note_event
        self._pipeline.emotion.recognizer.restore(learned)
        self._pipeline.speech.utterances = self._utterances

    @property
    def seconds(self) -> float:
        """Of the recording, as far as it was read."""
        return (self._log_ns - (self._first_ns or 0)) / NS_PER_S

    @property
    def counters(self) -> Mapping[str, Any]:
        """What befell the data, as far as it was read in this call."""
        emotion = self._pipeline.emotion
        return {**self._pipeline.speech.counters, **asdict(emotion.counters), **asdict(emotion.skeletons.counters)}

    @property
    def oddities(self) -> tuple[str, ...]:
        """Sentences about the data, as far as it was read in this call."""
        return *self._notes, *oddities(self.counters)

    @property
    def done_s(self) -> float:
        return max(0.0, (self._done_ns - (self._first_ns or 0)) / NS_PER_S)

    def run(self, items: Iterable[Item]) -> None:
        resumes_ns = self._done_ns
        for item in items:
            self._log_ns = item.log_ns
            if self._first_ns is None:
                self._first_ns = item.log_ns
            if resumes_ns and item.log_ns <= resumes_ns:
                self._look_at(item, resumes_ns)
                continue
            try:
                data = item.load()
                if isinstance(data, AudioChunk):
                    self._take(self._pipeline.push_audio(data, item.log_ns))
                else:
                    self.recording.add(data)
                    self._take(self._pipeline.push_skeleton(data, item.log_ns))
            except MserError as error:
                self.dropped[str(error)] = self.dropped.get(str(error), 0) + 1
            self._note_progress()
        self._take(self._pipeline.flush())

    def _look_at(self, item: Item, resumes_ns: int) -> None:
        """What was worked off before is drawn; the newest motion belongs to what comes."""
        with suppress(MserError):
            data = item.load()
            self.recording.add(data)
            if not isinstance(data, AudioChunk) and item.log_ns > resumes_ns - to_ns(_MOTION_S):
                for _ in self._pipeline.push_skeleton(data):
                    pass

    def finish(self, *, is_whole: bool = False) -> None:
        """Write the tables and the picture of what was found."""
        if not is_whole:
            self._note_progress(at_once=True)
        self._lines.close()
        if is_whole:
            os.replace(self._out / PART, self._out / LINES)
            (self._out / PROGRESS).unlink(missing_ok=True)
        else:
            shutil.copyfile(self._out / PART, self._out / LINES)
        if self.finals:
            write_csv(self._out / "emotions.csv", self.finals)
            draw_timeline(self.shown, self.recording, self._out / "timeline.png", title=self._source.name)

    def report(self, notes: Sequence[str], *, is_whole: bool = True) -> None:
        """Write the report of what was found, if one is wanted. `notes`: what the caller knows to be odd."""
        if self._clips is None or not self.finals:
            return
        choices = self._annotator.choices
        found = Findings(
            title=self._source.name,
            seconds=self.seconds,
            records=self.shown,
            recording=self.recording,
            making=self._annotator.making,
            clips=self._clips.found,
            tracks=tracks(self.shown, self.finals[0]["labels"]),
            notes=(*notes, *self.oddities),
            dropped=self.dropped,
            silent="" if choices.transcripts else "What was said is not told, so there is neither text nor sound.",
            is_whole=is_whole,
        )
        is_embedded = write_page(self._out / REPORT, found)
        if is_embedded and is_whole:
            self._clips.discard()

    def discard(self) -> None:
        """Nothing was found: leave nothing that looks like a result."""
        self._lines.close()
        for name in (PART, PROGRESS):
            (self._out / name).unlink(missing_ok=True)
        if self._clips:
            self._clips.discard()
        if not any(self._out.iterdir()):
            self._out.rmdir()

    def messages(self) -> Iterator[Message]:
        """Each estimate and, at a steady rate, the state of each person, in the order of their times."""
        estimates = ((EMOTION, emotion_fields(record), log_ns) for record, log_ns in self._records())
        return heapq.merge(estimates, self._states(), key=lambda message: message[2])

    def _states(self) -> Iterator[Message]:
        labels = self._annotator.bundle.labels
        found = ((estimate_of(record), log_ns) for record, log_ns in self._records())
        for state in states_over_time(found, StateSettings(), labels, self._log_ns):
            yield STATE, conversions.state_to_fields(state), state.stamp_ns

    def _records(self) -> Iterator[tuple[Record, int]]:
        """Each estimate and its time, read from the file."""
        with (self._out / LINES).open(encoding="utf-8") as lines:
            for line, log_ns in zip(lines, self._times, strict=True):
                yield json.loads(line), log_ns

    def _take(self, estimates: Iterator[EmotionEstimate]) -> None:
        for estimate in estimates:
            record = emotion_record(conversions.emotion_to_fields(estimate))
            self._lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._keep(record, self._log_ns)
            if self._clips and record["state"] == "FINAL":
                self._clips.keep(record, self._pipeline.emotion)

    def _keep(self, record: Record, log_ns: int) -> None:
        self._times.append(log_ns)
        if record["state"] == "FINAL":
            self.finals.append(record)
        if self.seconds <= _SHORT_S or record["state"] == "FINAL":
            self.shown.append(record)
        elif len(self.shown) > len(self.finals):
            self.shown = list(self.finals)

    def _note_event(self, event: UtteranceEvent) -> None:
        if self._clips:
            self._clips.note(event)
        self._open.add(event.utterance_id)
        if event.state is UtteranceState.CANCELLED or (
            event.state is UtteranceState.ENDED and event.transcript.is_final
        ):
            self._open.discard(event.utterance_id)

    # -- going on where it stopped

    def _identity(self) -> dict[str, Any]:
        found = self._source.stat()
        choices = asdict(replace(self._annotator.choices, bundle=self._annotator.bundle.model_id, command=""))
        return {"bytes": found.st_size, "mtime_ns": found.st_mtime_ns, "choices": choices}

    def _note_progress(self, *, at_once: bool = False) -> None:
        """Only where nobody is speaking: what is open cannot be gone on with."""
        if self._open or self._pipeline.emotion.is_waiting:
            self._is_quiet = False
        elif not self._is_quiet:
            self._is_quiet, self._done_ns, self._done_lines = True, self._log_ns, len(self._times)
            self._utterances = self._pipeline.speech.utterances
        else:
            self._done_ns = max(self._done_ns, self._log_ns - to_ns(_BEGIN_S))
        due = at_once or time.monotonic() - self._noted_s > _NOTE_S
        if not due or not self._done_ns:
            return
        self._noted_s = time.monotonic()
        self._lines.flush()
        note = {
            "of": self._identity(),
            "done_ns": self._done_ns,
            "times": self._times[: self._done_lines],
            "learned": self._pipeline.emotion.recognizer.learned(),
            "utterances": self._utterances,
            "dropped": self.dropped,
            "clips": self._clips.as_json() if self._clips else {},
        }
        new = self._out / f"{PROGRESS}.new"
        new.write_text(json.dumps(note), encoding="utf-8")
        os.replace(new, self._out / PROGRESS)

    def _recall(self) -> Mapping[str, Any]:
        """Take up what an earlier call noted; what had been learned of voices. Nothing, if it was of something else."""
        try:
            note = json.loads((self._out / PROGRESS).read_text(encoding="utf-8"))
            with (self._out / PART).open("r+", encoding="utf-8") as file:
                lines = [file.readline() for _ in note["times"]]
                if note["of"] != self._identity() or not all(line.endswith("\n") for line in lines):
                    return {}
                file.truncate(len("".join(lines).encode()))
            self._done_ns, self._done_lines = int(note["done_ns"]), len(lines)
            self.dropped, self._utterances = dict(note["dropped"]), int(note["utterances"])
            if self._clips:
                self._clips.recall(note["clips"])
            for line, log_ns in zip(lines, note["times"], strict=True):
                self._keep(json.loads(line), log_ns)
            return dict(note["learned"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}


def _why_nobody(source: Path, work: _Work) -> str:
    """Why no utterance was found, and what helps."""
    first = max(work.dropped, key=lambda problem: work.dropped[problem], default="")
    counters = work.counters
    if first and sum(work.dropped.values()) * 2 > counters["received"]:
        return f"nothing in {source} can be used: {first}"
    if not work.recording.level:
        return f"there is no audio in {source}: give a recording of a voice, or name its topic by --audio-topic"
    lost = f" ({sum(work.dropped.values())} pieces were dropped: {first})" if first else ""
    loudest_db = 20 * math.log10(max(*work.recording.level.values(), 1e-5))
    if loudest_db < _SILENT_DB:
        return (
            f"{source} is silent{lost}, {loudest_db:.0f} dB at its loudest: turn the microphone up, or record it again"
        )
    if counters["discontinuities"] > work.seconds / _BROKEN_S:
        pieces = counters["discontinuities"] + 1
        why = "; ".join(oddities({name: counters[name] for name in ("changes", "clock_steps", "lost_samples")}))
        return (
            f"the audio of {source} falls into {pieces} pieces, too short to hold an utterance ({why}): give each "
            "microphone or voice a topic of its own, and let the source count samples"
        )
    return f"nobody speaks in {source}{lost}: give a recording of a voice, close to the microphone"
