"""One recording through the live pipeline, without ROS and faster than real time: what `mser annotate` does of each."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from ..asr.registry import choose, create_transcriber
from ..errors import BagError, DamagedBagError, DependencyError, ModelError, MserError, NoRoomError
from ..evaluation.recording_page import check_packages
from ..messages.bag_files import is_bag
from ..messages.bag_writer import clear_bag, copy_with_topics
from ..messages.bags import Bag
from ..messages.raw_audio import RAW_AUDIO, audio_to_raw_fields
from ..messages.records import Record
from ..mocap.stream import SkeletonStream
from ..recognition.bundle import load_bundle
from ..recognition.recognizer import EmotionRecognizer
from ..stages.emotion import EmotionStage
from ..stages.pipeline import EmotionPipeline
from ..stages.speech import SpeechStage
from ..types import AudioChunk
from ..vision.networks import PoseNetworks
from ..vision.sources import has_picture
from .annotation_choices import Choices
from .annotation_work import EMOTION, STATE, Message, Work, why_nobody
from .inputs import Item, open_files, read_bag
from .recording_report import making

#: With `Choices.mcap` a bag of results holds the sound as well.
SOUND = "/sound"
#: The bag with the estimates added.
COPY = "annotated"
TYPES = {EMOTION: "mser_msgs/msg/Emotion", STATE: "mser_msgs/msg/EmotionState", SOUND: RAW_AUDIO}
_NO_TEXT = "no words are read, as asr.foreign takes them from a bag's topic: --asr auto lets our recogniser read"
#: Called with the items of a recording and their number; yields them while it shows how far they are worked off.
Track = Callable[[Iterable[Item], int, str], Iterable[Item]]


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
        copy = out / COPY
        true = Path(os.path.realpath(source))
        if Path(os.path.realpath(copy)) in (true, *true.parents):
            raise BagError(f"the results would overwrite {source}: name another folder with -o")
        chosen = self.choices
        blind: tuple[str, ...] = ()
        with Bag(source) if from_bag else nullcontext() as bag:
            if bag:
                items, count, notes = self._read(bag)
            else:
                eyes, blind = self._eyes(source) if chosen.bodies and not skeleton else (None, ())
                blind = (*blind, *((_NO_TEXT,) if self._speech.asr.foreign else ()))
                items, count, notes = open_files(source, skeleton, eyes, chosen.mocap.layout, chosen.up, chosen.unit)
            work = Work(
                self.pipeline,
                source,
                out,
                skeleton=skeleton,
                choices=chosen,
                bundle=self.bundle,
                making=self.making,
                resume=resume,
            )
            try:
                work.run(track(items, count, source.name) if track else items)
                if not work.finals:
                    work.discard()
                    raise MserError("; ".join([why_nobody(source, work), *notes]))
                work.finish()
                if bag or chosen.mcap:
                    self._write_bag(bag, source, copy, work)
                work.report((*blind, *notes))
            except KeyboardInterrupt:
                with suppress(KeyboardInterrupt):  # whoever does not want to wait for a picture has what goes on
                    if not work.is_whole:
                        work.finish()
                        work.report((*blind, *notes))
                raise Interrupted(work.done_s) from None
            work.settle()
        begin_s = min(record["speech_start"]["sec"] for record in work.shown) if bag else 0.0
        return Annotated(work.finals, (*blind, *notes, *work.oddities), work.dropped, work.seconds, begin_s)

    def _read(self, bag: Bag) -> tuple[Iterator[Item], int, Sequence[str]]:
        chosen = self.choices
        text = chosen.text_topic if self._speech.asr.foreign else None
        return read_bag(bag, chosen.audio_topic, chosen.skeleton_topic, chosen.audio, chosen.mocap, text_topic=text)

    def _eyes(self, source: Path) -> tuple[PoseNetworks | None, tuple[str, ...]]:
        """What finds the people of a film, loaded once; a note where that is missing. Nothing for sound alone."""
        if not has_picture(source):
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

    def _write_bag(self, bag: Bag | None, source: Path, target: Path, work: Work) -> None:
        """A copy of the bag, or a new one, with what was found out."""
        clear_bag(target)  # of an earlier run
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
        except (DamagedBagError, NoRoomError) as error:  # what is whole was annotated all the same
            work.dropped |= {f"there is no copy of the bag with the emotions: {error}": 1}

    def _sound(self, source: Path) -> Iterator[Message]:
        """The sound of a recording, which is read once more."""
        with Bag(source) if is_bag(source) else nullcontext() as bag:
            if bag:
                items, _, _ = self._read(bag)
            else:
                items, _, _ = open_files(source, None)
            for item in items:
                with suppress(MserError):  # which was told of when it was heard
                    data = item.load()
                    if isinstance(data, AudioChunk):
                        yield SOUND, audio_to_raw_fields(data), item.log_ns
