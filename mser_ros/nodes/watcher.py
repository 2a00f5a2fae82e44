"""A node that only listens: what the others tell, for whoever shows it."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from mser_msgs.msg import AudioFrame, Emotion, EmotionState, Skeleton, Utterance
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from ..audio.waveform import level_db, to_float
from ..errors import MserError, RequestError
from ..messages import conversions
from ..messages.records import Record, emotion_record
from ..types import SkeletonFrame, UtteranceEvent
from .diagnostics import Health
from .spinner import Spinner, init_ros, on_signals

#: Bodies are looked at so often, for so long that those of one image are seen; what comes between is not even read [s].
_BODY_PERIOD_S, _BODY_OPEN_S = 0.1, 0.03
#: How long an answer of a node is waited for [s].
_PATIENCE_S = 5.0


class Shown(Protocol):
    """Where a `Watcher` puts what it hears (`page.board.Board` is one). Called in the executor's thread."""

    def utterance(self, event: UtteranceEvent) -> None: ...
    def estimate(self, record: Record) -> None: ...
    def person(self, fields: Any) -> None: ...
    def skeleton(self, frame: SkeletonFrame) -> None: ...
    def level(self, decibel: float, stamp_ns: int, voice_id: str) -> None: ...
    def node(self, name: str, *, level: int, message: str, values: Any) -> None: ...
    def notice(self, **values: Any) -> None: ...
    def allow_words(self, allowed: bool) -> None: ...


class Watcher(Node):
    """Subscribes `utterance`, `emotion`, `state`, `skeleton`, `voice`, `listening` and `/diagnostics`; calls the
    services `speech/stop_listening` and `emotion/forget_voices`. What cannot be used
    is counted and told, as of a node among the others.

    Whether words may be shown is the emotion node's parameter `transcripts`, as its diagnostics tell.
    """

    def __init__(self, shown: Shown, **arguments: Any) -> None:
        super().__init__("page", **arguments)
        self.health = Health(self.get_logger())
        self._shown = shown
        self._looked_s = 0.0
        self._hear(Utterance, "utterance", self._on_utterance)
        self._estimates = self._hear(Emotion, "emotion", self._on_emotion).topic_name
        self._hear(EmotionState, "state", self._on_state)
        self._hear(DiagnosticArray, "/diagnostics", self._on_diagnostics)
        self._hear(Bool, "listening", self._on_listening, kept=True)
        # Sound and bodies come often, and one that is lost is no loss.
        self._hear(AudioFrame, "voice", self._on_voice, depth=4, reliable=False)
        self._hear(Skeleton, "skeleton", self._on_skeleton, depth=4, reliable=False, raw=True)
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._stop = self.create_client(SetBool, "speech/stop_listening")
        self._forget = self.create_client(Trigger, "emotion/forget_voices")

    def listen(self, listening: bool) -> str:
        """Have the speech node listen, or not; what it answers. From any thread but the executor's.

        Raises `RequestError` where no node answers, or it refuses.
        """
        return self._ask(self._stop, SetBool.Request(data=not listening), "speech")

    def erase(self) -> str:
        """Have the emotion node forget what it has learned of people; as `listen`."""
        return self._ask(self._forget, Trigger.Request(), "emotion")

    def _hear(
        self,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        *,
        depth: int = 64,
        reliable: bool = True,
        kept: bool = False,
        raw: bool = False,
    ) -> Subscription:
        def take(message: Any) -> None:
            try:
                callback(message)
            except MserError as error:
                self.health.reject(error)

        qos = QoSProfile(
            depth=depth,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
        )
        return self.create_subscription(kind, topic, take, qos, raw=raw)

    def _on_utterance(self, message: Utterance) -> None:
        self._shown.utterance(conversions.utterance_from_msg(message))

    def _on_emotion(self, message: Emotion) -> None:
        try:
            record = emotion_record(conversions.to_fields(message))
        except ValueError as error:  # a state or a reason that there is not
            raise RequestError(f"an emotion of another version of mser_msgs ({error}): build both alike") from None
        self._shown.estimate(record)

    def _on_state(self, message: EmotionState) -> None:
        self._shown.person(conversions.to_fields(message))

    def _on_listening(self, message: Bool) -> None:
        self._shown.notice(listening=bool(message.data))

    def _on_voice(self, message: AudioFrame) -> None:
        chunk = conversions.audio_from_msg(message)
        self._shown.level(level_db(to_float(chunk.samples)), chunk.end_ns, chunk.voice_id)

    def _on_skeleton(self, message: bytes) -> None:
        since_s = time.monotonic() - self._looked_s
        if _BODY_OPEN_S < since_s < _BODY_PERIOD_S:
            return
        if since_s >= _BODY_PERIOD_S:
            self._looked_s += since_s
        self._shown.skeleton(conversions.skeleton_from_msg(deserialize_message(message, Skeleton)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            space, _, name = status.name.rpartition("/")
            values = {item.key: item.value for item in status.values}
            level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
            self._shown.node(status.name, level=level, message=status.message, values=values)
            if name == "emotion" and space == self.get_namespace().rstrip("/") and "transcripts" in values:
                self._shown.allow_words(values["transcripts"] == "True")

    def _report(self) -> None:
        problem = self.health.current()
        level, message = (problem.level, problem.sentence) if problem else (0, "active")
        if not problem and not self.count_publishers(self._estimates):
            level, message = 1, f"nobody publishes {self._estimates}: start the nodes, or use their ROS_DOMAIN_ID"
        values = {"rejected": str(self.health.rejected)}
        self._shown.node(self.get_fully_qualified_name(), level=int(level), message=message, values=values)

    def _ask(self, client: Any, request: Any, node: str) -> str:
        if not client.wait_for_service(_PATIENCE_S):
            raise RequestError(f"no node answers {client.srv_name}: start the {node} node")
        future = client.call_async(request)
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        if not done.wait(_PATIENCE_S):
            client.remove_pending_request(future)
            raise RequestError(f"{client.srv_name} did not answer within {_PATIENCE_S:.0f} s: look at its diagnostics")
        answer = future.result()
        if not answer.success:
            raise RequestError(answer.message or f"{client.srv_name} refused")
        return str(answer.message)


def run_watcher(
    shown: Shown, serve: Callable[[Watcher], AbstractContextManager[None]], arguments: Sequence[str] = ()
) -> int:
    """Watch, inside of what `serve` gives, until SIGINT or SIGTERM; the exit code, 1 where ROS cannot understand the
    `arguments`, which begin with `--ros-args`."""
    spinner: Spinner | None = None
    is_ending = threading.Event()

    def end() -> None:
        is_ending.set()
        if spinner is not None:
            spinner.stop()

    with on_signals((signal.SIGINT, signal.SIGTERM), end):
        if not init_ros([sys.argv[0], *arguments]):
            return 1
        watcher = Watcher(shown)
        spinner = Spinner()
        try:
            spinner.add(watcher)
            with serve(watcher):
                if not is_ending.is_set():
                    spinner.spin()
        finally:
            spinner.close()
            watcher.destroy_node()
            rclpy.try_shutdown()
    return 0
