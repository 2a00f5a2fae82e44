"""The pipeline without ROS, live: sound and pictures of this machine or of a browser in, a board for people out."""

from __future__ import annotations

import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..audio.waveform import check_rate, level_db, to_float
from ..errors import AudioError, ImageError, MserError, RequestError
from ..messages.conversions import emotion_to_fields, state_to_fields
from ..messages.records import emotion_record
from ..settings import PoseSettings
from ..stages.people import People
from ..stages.pipeline import EmotionPipeline
from ..stages.state import EmotionStates
from ..types import AudioChunk, EmotionEstimate, SkeletonFrame, UtteranceEvent
from ..worker import Worker
from .board import Board
from .server import Inputs

#: What a browser's message begins with: its kind, and of sound the rate and the index of the first sample.
_SOUND, _PICTURE = 1, 2
_SOUND_HEAD, _PICTURE_HEAD = struct.Struct("<B3xId"), struct.Struct("<B3x")
#: How often people's states and the pipeline's counters are told [s].
_STATES_S, _COUNTERS_S = 0.5, 1.0
#: How long somebody waits for what they asked for: the pipeline may be reading words [s].
_PATIENCE_S = 10.0
#: How often is looked meanwhile whether it will be done at all [s].
_LOOK_S = 0.1
#: How long a problem with what comes is shown [s].
_SHOWN_S = 10.0


class LiveSession:
    """Runs a pipeline in a thread of its own, and shows on a board what comes of it, while the `with` block lasts.

    `push_*`, `flush`, `listen` and `erase` may be called from any thread. Data that cannot be used cost themselves;
    they are counted and shown, as are those that come faster than they can be worked off.
    """

    def __init__(self, pipeline: EmotionPipeline, board: Board) -> None:
        self.board = board
        self._pipeline = pipeline
        pipeline.on_event, pipeline.on_audio = self._on_event, self._on_audio
        recognizer = pipeline.emotion.recognizer
        self._states = EmotionStates(labels=recognizer.bundle.labels)
        self._people = People(recognizer, self._states)
        self._dropped = self._rejected = 0
        self._problem, self._problem_s = "", 0.0
        self._states_s = self._counters_s = 0.0
        self._worker: Worker | None = None
        board.notice(listening=True)

    def __enter__(self) -> LiveSession:
        self._worker = Worker("pipeline", tick=self._tick, is_waiting=lambda: True, on_bug=self.fail)
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.stop(within_s=1.0)
        self._pipeline.speech.close()

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take sound that was heard just now."""
        arrival_ns = time.time_ns()
        self._submit(lambda: self._show(self._pipeline.push_audio(chunk, arrival_ns)))

    def push_skeleton(self, frame: SkeletonFrame) -> None:
        """Take a body that was seen just now."""
        arrival_ns = time.time_ns()

        def see() -> None:
            self.board.skeleton(frame)
            self._show(self._pipeline.push_skeleton(frame, arrival_ns))

        self._submit(see)

    def flush(self) -> None:
        """A source is over: finish what is open."""
        self._submit(lambda: self._show(self._pipeline.flush()), is_order=True)

    def listen(self, listening: bool) -> str:
        """Hear people, or hear nothing; what to tell who has asked."""
        self._wait_for(lambda: self._show(self._pipeline.listen(listening)))
        self.board.notice(listening=listening)
        return "listening" if listening else "not listening: nothing is kept"

    def erase(self) -> str:
        """Forget what was learned of people; what to tell who has asked."""

        def forget() -> None:
            self._people.erase()
            for _ in self._states.forget():
                pass

        self._wait_for(forget)
        return "what was learned of voices is forgotten"

    def reject(self, error: MserError) -> None:
        """Something that came could not be used."""
        self._rejected += 1
        self._problem, self._problem_s = str(error), time.monotonic()

    # -- in the pipeline's thread

    def _submit(self, work: Callable[[], None], *, is_order: bool = False) -> None:
        def guarded() -> None:
            try:
                work()
            except MserError as error:
                self.reject(error)

        if self._worker is not None and not self._worker.submit(guarded, is_order=is_order):
            self._dropped += 1

    def _wait_for(self, work: Callable[[], None]) -> None:
        done = threading.Event()

        def do() -> None:
            work()
            done.set()

        self._submit(do, is_order=True)
        deadline_s = time.monotonic() + _PATIENCE_S
        while not done.wait(_LOOK_S):
            if self._worker is not None and self._worker.has_died:
                raise RequestError("it was not done, as a bug has ended the pipeline: start it again")
            if time.monotonic() > deadline_s:
                raise RequestError(f"it was not done within {_PATIENCE_S:.0f} s, but will be: this machine is busy")

    def _show(self, estimates: Iterable[EmotionEstimate]) -> None:
        for estimate in estimates:
            self.board.estimate(emotion_record(emotion_to_fields(estimate)))
            self._states.push(estimate, time.time_ns())
        self._tell()

    def _tick(self) -> None:
        self._show(self._pipeline.tick(time.time_ns()))

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._states_s >= _STATES_S:
            self._states_s = now_s
            for state in self._states.at(time.time_ns())[0]:
                self.board.person(state_to_fields(state))
        if now_s - self._counters_s >= _COUNTERS_S:
            self._counters_s = now_s
            problem = self._problem if now_s - self._problem_s < _SHOWN_S else ""
            self.board.node("pipeline", level=int(bool(problem)), message=problem or "active", values=self._values())

    def _values(self) -> dict[str, str]:
        worker = self._worker
        values = {
            **self._pipeline.speech.counters,
            "backlog": worker.backlog if worker else 0,
            "dropped": self._dropped,
            "rejected": self._rejected,
            "recogniser": self._pipeline.speech.recogniser,
            "bundle": self._pipeline.emotion.recognizer.bundle.model_id,
        }
        return {key: str(value) for key, value in values.items()}

    def _on_event(self, event: UtteranceEvent) -> None:
        self.board.utterance(event)

    def _on_audio(self, chunk: AudioChunk) -> None:
        self.board.level(level_db(to_float(chunk.samples)), chunk.end_ns, chunk.voice_id)

    def fail(self, error: Exception) -> None:
        """A bug ended a thread: say so, on the page as well."""
        traceback.print_exception(error)
        self.board.node("pipeline", level=2, message=f"a bug, please report it: {error!r}", values=self._values())


class Eyes:
    """Finds bodies in pictures, in a thread of its own; of those that come meanwhile only the newest is looked at."""

    def __init__(self, session: LiveSession, settings: PoseSettings | None = None) -> None:
        """Raises `ModelError` or `DependencyError` where bodies cannot be found."""
        from ..vision.networks import PoseNetworks
        from ..vision.people import PeopleTracker

        settings = settings or PoseSettings()
        self._session = session
        self._field_of_view = settings.field_of_view
        self._tracker = PeopleTracker(
            PoseNetworks(settings.model_path, threads=settings.threads),
            max_people=settings.max_people,
            rate_hz=settings.rate_hz,
        )
        self._lock = threading.Lock()
        self._next: tuple[int, Any] | None = None
        self._worker = Worker("eyes", tick=lambda: None, is_waiting=lambda: False, on_bug=session.fail)

    def see(self, stamp_ns: int, picture: bytes | np.ndarray) -> None:
        """Take a JPEG or the colours, uint8 RGB (height, width, 3)."""
        with self._lock:
            is_behind, self._next = self._next is not None, (stamp_ns, picture)
        if not is_behind:
            self._worker.submit(self._look)

    def close(self) -> None:
        self._worker.stop(within_s=1.0)

    def _look(self) -> None:
        from ..messages.images import image_from_msg
        from ..vision.people import skeleton_of

        with self._lock:
            waiting, self._next = self._next, None
        if waiting is None:
            return
        stamp_ns, picture = waiting
        try:
            if isinstance(picture, bytes):
                picture = image_from_msg(SimpleNamespace(format="jpeg", data=picture))
            for person in self._tracker.update(picture, stamp_ns):
                frame = skeleton_of(person, stamp_ns, picture, field_of_view=self._field_of_view, frame_id="camera")
                self._session.push_skeleton(frame)
        except MserError as error:
            self._session.reject(error)


class BrowserInputs(Inputs):
    """One browser's microphone and one browser's camera as the session's sound and sight, where it has none yet."""

    are_taken = True

    def __init__(self, session: LiveSession, *, sound: str = "", sight: str = "") -> None:
        """`sound` and `sight`: what the session hears and sees already, which a browser does not replace."""
        self._session = session
        self._others = {"microphone": sound, "camera": sight}
        self._lock = threading.Lock()
        self._owners: dict[str, object] = {}
        self._eyes: Eyes | None = None

    def open(self, owner: object, kind: str) -> None:
        if self._others[kind]:
            raise RequestError(f"{self._others[kind]} is used: start 'mser live --browser' without it for this {kind}")
        with self._lock:
            if self._owners.get(kind, owner) is not owner:
                raise RequestError(f"another browser's {kind} is used: stop it there first")
            if kind == "camera" and self._eyes is None:
                self._eyes = Eyes(self._session)
            self._owners[kind] = owner
        if kind == "microphone":
            self._session.board.notice(source="a browser's microphone")

    def take(self, owner: object, data: bytes) -> None:
        try:
            if data[:1] == bytes([_SOUND]) and self._owners.get("microphone") is owner:
                self._session.push_audio(_sound(data))
            elif data[:1] == bytes([_PICTURE]) and self._owners.get("camera") is owner and self._eyes is not None:
                self._eyes.see(time.time_ns(), data[_PICTURE_HEAD.size :])
        except MserError as error:
            self._session.reject(error)

    def close(self, owner: object, kind: str = "") -> None:
        with self._lock:
            gone = [name for name, held in self._owners.items() if held is owner and kind in ("", name)]
            for name in gone:
                del self._owners[name]
        if "microphone" in gone:
            self._session.flush()
            self._session.board.notice(source="")

    def stop(self) -> None:
        """Look at nothing more."""
        if self._eyes is not None:
            self._eyes.close()


def _sound(data: bytes) -> AudioChunk:
    """A block as the page sends it: without a time, which its arrival tells. Raises `AudioError`."""
    try:
        _, rate, first = _SOUND_HEAD.unpack_from(data)
        samples = np.frombuffer(data, "<i2", offset=_SOUND_HEAD.size)
        first_sample = int(first)
        if not 0 <= first_sample < 1 << 53:
            raise ValueError(f"first sample {first}")
    except (struct.error, ValueError, OverflowError) as error:
        raise AudioError(f"a block of a browser's sound cannot be read ({error}): load the page again") from None
    check_rate(rate)
    return AudioChunk(samples[:, None].astype(np.int16), rate, 0, first_sample, frame_id="browser")


def play(session: LiveSession, capture: Iterable[AudioChunk], name: str) -> threading.Thread:
    """Feed a microphone or a file of this machine to a session, in a thread that ends with it."""
    return _feed("sound", lambda: _hear(session, capture, name))


def look(session: LiveSession, pictures: Iterable[Any]) -> threading.Thread:
    """Feed a camera or a film of this machine (`vision.sources`) to a session likewise. Raises as `Eyes`."""
    eyes = Eyes(session)
    return _feed("sight", lambda: _see(session, eyes, pictures))


def _hear(session: LiveSession, capture: Iterable[AudioChunk], name: str) -> None:
    try:
        for chunk in capture:
            session.push_audio(chunk)
    except AudioError as error:
        session.reject(error)
    session.flush()
    session.board.notice(source=f"{name} is over")


def _see(session: LiveSession, eyes: Eyes, pictures: Iterable[Any]) -> None:
    try:
        for picture in pictures:
            eyes.see(picture.stamp_ns, picture.pixels)
    except ImageError as error:
        session.reject(error)
    finally:
        eyes.close()


def _feed(name: str, work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread
