"""One recording worked off: its estimates go to a file as they come; tables, picture and report are made of them."""

from __future__ import annotations

import heapq
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import MserError
from ..evaluation.findings import Findings, Making
from ..evaluation.recording_page import write_page
from ..evaluation.timeline import Recording, draw_timeline
from ..languages import primary_language
from ..messages import conversions
from ..messages.records import Record, emotion_fields, emotion_record, estimate_of, write_csv
from ..recognition.bundle import Bundle
from ..stages.oddities import oddities
from ..stages.pipeline import EmotionPipeline
from ..stages.state import states_over_time
from ..types import (
    NS_PER_S,
    AbstainReason,
    AudioChunk,
    EmotionEstimate,
    SkeletonFrame,
    UtteranceEvent,
    UtteranceState,
    to_ns,
)
from .annotation_choices import Choices
from .annotation_progress import PART, Progress
from .heard_beside import ROBOT, ForeignText, RobotVoice
from .inputs import Data, Item
from .lines import counted
from .recording_report import REPORT, Clips, tracks

#: What a bag of results holds beside what was recorded: estimates and states.
EMOTION, STATE = "/emotion", "/state"
LINES, CELLS, PICTURE = "emotions.jsonl", "emotions.csv", "timeline.png"
#: No microphone that hears a voice gives peaks below this [dB of full scale].
_SILENT_DB = -55.0
#: Audio whose pieces are shorter than this in the mean holds no utterance [s].
_BROKEN_S = 1.0
#: Provisional estimates of longer recordings cannot be told apart in a picture [s].
_SHORT_S = 600.0
#: Motion before the place where a recording is gone on with, that belongs to what is said there [s].
_MOTION_S = 10.0

#: Topic, fields and log time.
Message = tuple[str, Mapping[str, Any], int]


class Work:
    """One recording: its estimates go to a file as they come; now and then it is noted from where to go on."""

    def __init__(
        self,
        make_pipeline: Callable[[Callable[[str], None]], EmotionPipeline],
        source: Path,
        out: Path,
        *,
        skeleton: Path | None,
        choices: Choices,
        bundle: Bundle,
        making: Making,
        resume: bool,
    ) -> None:
        """`make_pipeline`: gives a new one; told what is to take sentences about odd skeletons. `making`: for the
        report. `resume`: go on where an earlier call stopped, if there was one."""
        self._source, self._out = source, out
        self._title = source.name or source.resolve().name  # '.' has none
        self._choices, self._labels, self._making = choices, bundle.labels, making
        words = bundle.modalities.get("text")
        self._understood = ", ".join(sorted({primary_language(tag) for tag in words.languages})) if words else ""
        self.finals: list[Record] = []
        self.shown: list[Record] = []
        self.dropped: dict[str, int] = {}
        self.recording = Recording()
        self._times: list[int] = []  # when the robot would have published each record, on the clock of the bag
        self._first_ns: int | None = None
        self._log_ns = 0
        self._open: set[str] = set()
        out.mkdir(parents=True, exist_ok=True)
        self._progress = Progress(out, self._identity(skeleton))
        self._clips = Clips(out, words=choices.transcripts) if choices.html else None
        self._is_embedded = False  # the report holds the sounds
        self._notes: dict[str, None] = {}
        self._pipeline = make_pipeline(lambda sentence: self._notes.setdefault(sentence))
        self._pipeline.on_audio = self.recording.add
        self._pipeline.on_event = self._note_event
        if not resume:
            self._progress.forget()
        self._pipeline.emotion.recognizer.restore(self._recall() if resume else {})
        if self._clips and not self._progress.done_ns:
            self._clips.discard()  # those of an earlier call
        self._lines = (out / PART).open("a" if self._progress.done_ns else "w", encoding="utf-8")

    @property
    def seconds(self) -> float:
        """Of the recording, as far as it was read."""
        return (self._log_ns - (self._first_ns or 0)) / NS_PER_S

    @property
    def counters(self) -> Mapping[str, Any]:
        """What befell the data, as far as it was read in this call."""
        emotion, texts = self._pipeline.emotion, self._pipeline.texts
        heard = {**self._pipeline.speech.counters, **(texts.counters if texts else {})}
        return {**heard, **asdict(emotion.counters), **asdict(emotion.skeletons.counters)}

    @property
    def oddities(self) -> tuple[str, ...]:
        """Sentences about the data, as far as it was read in this call."""
        return *self._notes, *oddities(self.counters), *self._foreign()

    def _foreign(self) -> Iterator[str]:
        """Whether words were read that the model of words does not understand."""
        count = sum(
            any(item["reason"] == AbstainReason.UNKNOWN_LANGUAGE.name for item in record["evidence"])
            for record in self.finals
        )
        if count:
            yield (
                f"the words of {counted(count, 'utterance')} did not count, as the model of words knows "
                f"{self._understood} alone: asr.translate in a --params-file helps with some"
            )

    @property
    def done_s(self) -> float:
        return 0.0 if self._first_ns is None else max(0.0, (self._progress.done_ns - self._first_ns) / NS_PER_S)

    @property
    def is_whole(self) -> bool:
        """Whether all of the recording is worked off."""
        return self._progress.is_whole

    def run(self, items: Iterable[Item]) -> None:
        resumes_ns = self._progress.done_ns
        for item in items:
            self._log_ns = item.log_ns
            if self._first_ns is None:
                self._first_ns = item.log_ns
            if self.is_whole or (resumes_ns and item.log_ns <= resumes_ns):
                self._look_at(item, resumes_ns)
                continue
            try:
                self._push(item.load(), item.log_ns)
            except MserError as error:
                self.dropped[str(error)] = self.dropped.get(str(error), 0) + 1
            self._note_progress()
        if not self.is_whole:
            self._take(self._pipeline.flush())
            self._progress.end(self._log_ns, lines=len(self._times), utterances=self._pipeline.speech.utterances)
            self._write_progress()

    def _push(self, data: Data, log_ns: int) -> None:
        if isinstance(data, AudioChunk):
            self._take(self._pipeline.push_audio(data, log_ns))
        elif isinstance(data, RobotVoice):
            self._take(self._pipeline.robot_speaks(data.speaks, log_ns))
        elif isinstance(data, ForeignText):
            self._take(self._pipeline.push_text(data.text, data.at_ns, log_ns))
        else:
            self.recording.add(data)
            self._take(self._pipeline.push_skeleton(data, log_ns))

    def _look_at(self, item: Item, resumes_ns: int) -> None:
        """What was worked off before is drawn; the newest motion belongs to what comes."""
        with suppress(MserError):
            data = item.load()
            if not isinstance(data, AudioChunk | SkeletonFrame):
                return  # nobody speaks where it is gone on, the robot neither
            self.recording.add(data)
            if self.is_whole or isinstance(data, AudioChunk):
                return
            if item.log_ns > resumes_ns - to_ns(_MOTION_S):
                for _ in self._pipeline.push_skeleton(data):
                    pass

    def finish(self) -> None:
        """Write the tables and the picture of what was found."""
        if not self.is_whole:
            self._note_progress(at_once=True)
        self._lines.close()
        shutil.copyfile(self._out / PART, self._out / LINES)
        if self.finals:
            write_csv(self._out / CELLS, self.finals)
            draw_timeline(self.shown, self.recording, self._out / PICTURE, title=self._title)

    def report(self, notes: Sequence[str]) -> None:
        """Write the report of what was found, if one is wanted. `notes`: what the caller knows to be odd."""
        if self._clips is None or not self.finals:
            return
        silent = "" if self._choices.transcripts else "What was said is not told, so there is neither text nor sound."
        found = Findings(
            title=self._title,
            seconds=self.seconds,
            records=self.shown,
            recording=self.recording,
            making=self._making,
            clips=self._clips.found,
            tracks=tracks(self.shown, self.finals[0]["labels"], self._choices.state),
            notes=(*notes, *self.oddities),
            dropped=self.dropped,
            silent=silent,
            is_whole=self.is_whole,
        )
        self._is_embedded = write_page(self._out / REPORT, found)

    def settle(self) -> None:
        """All is written that was wanted: keep nothing that only served to go on."""
        self._progress.forget()  # first: it needs the rest
        if self._clips and self._is_embedded:
            self._clips.discard()
        os.replace(self._out / PART, self._out / LINES)

    def discard(self) -> None:
        """Nothing was found: leave nothing that looks like a result."""
        self._lines.close()
        (self._out / PART).unlink(missing_ok=True)
        self._progress.forget()
        if self._clips:
            self._clips.discard()
        if not any(self._out.iterdir()):
            self._out.rmdir()

    def messages(self) -> Iterator[Message]:
        """Each estimate and, at a steady rate, the state of each person, in the order of their times."""
        estimates = ((EMOTION, emotion_fields(record), log_ns) for record, log_ns in self._records())
        return heapq.merge(estimates, self._states(), key=lambda message: message[2])

    def _states(self) -> Iterator[Message]:
        found = ((estimate_of(record), log_ns) for record, log_ns in self._records())
        for state in states_over_time(found, self._choices.state, self._labels, self._log_ns):
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

    def _identity(self, skeleton: Path | None) -> dict[str, Any]:
        files = [path.stat() for path in (self._source, *([skeleton] if skeleton else ()))]
        # A bundle that was exported once more may have the name of the one before.
        choices = asdict(replace(self._choices, bundle=self._making.checksum, command=""))
        return {"files": [[file.st_size, file.st_mtime_ns] for file in files], "choices": choices}

    def _recall(self) -> Mapping[str, Any]:
        """Take up what an earlier call found; what had been learned of voices by then."""
        noted = self._progress.recall()
        self.dropped = dict(noted.dropped)
        self._pipeline.speech.utterances = noted.utterances
        if self._clips:
            self._clips.recall(noted.clips)
        for record, log_ns in zip(noted.records, noted.times, strict=True):
            self._keep(record, log_ns)
        return noted.learned

    def _note_progress(self, *, at_once: bool = False) -> None:
        speech = self._pipeline.speech
        is_quiet = not (self._open or self._pipeline.emotion.is_waiting or speech.is_robot_heard)
        utterances = speech.utterances
        self._progress.follow(self._log_ns, is_quiet=is_quiet, lines=len(self._times), utterances=utterances)
        if at_once or self._progress.is_due:
            self._write_progress()

    def _write_progress(self) -> None:
        self._lines.flush()
        learned = self._pipeline.emotion.recognizer.learned()
        clips = self._clips.found if self._clips else {}
        self._progress.note(self._times, dropped=self.dropped, learned=learned, clips=clips)


def why_nobody(source: Path, work: Work) -> str:
    """Why no utterance was found, and what helps."""
    first = max(work.dropped, key=lambda problem: work.dropped[problem], default="")
    counters = work.counters
    if first and sum(work.dropped.values()) * 2 > counters["received"]:
        return f"nothing in {source} can be used: {first}"
    if not work.recording.level and counters["robot_samples"]:
        return (
            f"nobody but the robot speaks in {source}, by its topic {ROBOT}: where people are to be heard meanwhile, "
            "set robot.barge_in in a --params-file"
        )
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
