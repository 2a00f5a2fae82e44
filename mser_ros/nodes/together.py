"""Every node in a process of its own beside all of them in one (`mser run`): a measurement of `mser bench`."""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from mser_msgs.msg import AudioFrame, Emotion, Utterance
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from ..errors import DependencyError
from ..messages import conversions
from ..messages.bags import Bag
from ..messages.conversions import time_to_ns
from ..types import NS_PER_S, to_ns
from .load import pss, see_somebody, usages
from .processes import NodeProcesses
from .replay import ReplaySession, wait_for_nodes

#: As the launch file starts them; who is seen is published by this process.
_SPOKEN_TO = ("microphone", "speech", "mocap", "emotion")
#: Clocks of the two nodes' stamps are one; so far their stamps of one block may differ, and hardly ever do [s].
_SAME_S = 0.02
#: Waited for the first estimates, after all that was to be heard [s].
_PATIENCE_S = 60.0


class OneProcess(NodeProcesses):
    """All nodes in one process, which goes by the name 'run'."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(["run"], **arguments)

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "mser_ros.cli.main", name]


@dataclass
class Spoken:
    """What was published while somebody spoke: sound by the stamp of its end, the rest in order, with the time [ns] at
    which its node gave it to the middleware, which no wait of whoever listens changes."""

    audio: list[tuple[int, int]] = field(default_factory=list)
    voice: list[tuple[int, int]] = field(default_factory=list)
    utterances: list[tuple[Utterance, int]] = field(default_factory=list)
    emotions: list[tuple[Emotion, int]] = field(default_factory=list)

    def hops_s(self) -> list[float]:
        """From a block of the microphone node to the same of the speech node, which has heard, checked and passed it
        on, while nobody speaks with some before it."""
        audio = sorted(self.audio)
        stamps = [stamp_ns for stamp_ns, _ in audio]
        found = []
        for stamp_ns, given_ns in self.voice:
            index = bisect_left(stamps, stamp_ns - to_ns(_SAME_S))
            if index < len(audio) and stamps[index] <= stamp_ns + to_ns(_SAME_S):
                found.append((given_ns - audio[index][1]) / NS_PER_S)
        return found

    def finals_s(self) -> list[float]:
        """From the speech node's news that an utterance has ended to its FINAL, unless it was given up before that."""
        ended: dict[str, int] = {}
        for event, given_ns in self.utterances:
            if event.state == Utterance.ENDED:
                ended.setdefault(event.utterance_id, given_ns)
        return [
            (given_ns - ended[emotion.utterance_id]) / NS_PER_S
            for emotion, given_ns in self.emotions
            if emotion.state == Emotion.FINAL and given_ns >= ended.get(emotion.utterance_id, sys.maxsize)
        ]

    def firsts_s(self) -> list[float]:
        """From the moment at which somebody has spoken for a second to the first PROVISIONAL."""
        first: dict[str, float] = {}
        for emotion, given_ns in self.emotions:
            if emotion.state == Emotion.PROVISIONAL:
                due_ns = time_to_ns(emotion.speech_start) + NS_PER_S
                first.setdefault(emotion.utterance_id, (given_ns - due_ns) / NS_PER_S)
        return list(first.values())


@dataclass(frozen=True)
class Measured:
    """Of one way to run the nodes: latencies [s], share of one core, and memory [bytes], shared pages counted once."""

    hops_s: Sequence[float]
    finals_s: Sequence[float]
    firsts_s: Sequence[float]
    share: float
    memory: int

    def numbers(self) -> dict[str, float]:
        """For JSON."""
        found: dict[str, float] = {"utterances": len(self.finals_s)}
        for name, seconds in (("hop", self.hops_s), ("final", self.finals_s), ("first", self.firsts_s)):
            for percent in (50, 95):
                found[f"{name}_p{percent}_ms"] = round(float(np.percentile(seconds, percent)) * 1000, 1)
        return found | {"share_of_core": round(self.share, 4), "memory_mb": round(self.memory / 1e6, 1)}


def compare(
    bag: Path, folder: Path, *, rounds: int, parameters: Mapping[str, object], begin: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Let a file that holds the bag's sound be spoken so often, in `folder`, to nodes in four processes and in one.

    `begin` is told what is measured now. Raises `DependencyError` where nodes do not start or nobody is understood.
    """
    path, length_s = folder / "talk.wav", _write_sound(bag, folder / "talk.wav")
    given = {**parameters, "microphone:file": str(path), "microphone:loop": True}
    found = {}
    for name, nodes in (
        ("four processes", NodeProcesses(_SPOKEN_TO, parameters=given)),
        ("one process", OneProcess(parameters=given)),
    ):
        begin(name)
        measured = _measure(nodes, rounds * length_s)
        if not (measured.hops_s and measured.finals_s and measured.firsts_s):
            raise DependencyError(f"no utterance of {bag} got a provisional and a final emotion: see 'mser doctor'")
        found[name] = measured.numbers()
    return found


def _measure(nodes: NodeProcesses, seconds: float) -> Measured:
    with nodes, ReplaySession() as session:
        wait_for_nodes(session, nodes)
        spoken = _listen(session)
        before, begin_s = usages(nodes), time.monotonic()
        see_somebody(session, seconds)
        after, lasted_s = usages(nodes), time.monotonic() - begin_s
        # Who speaks goes on: on a slow machine the first estimates come late, and are told of all the same.
        session.wait(lambda: bool(spoken.finals_s() and spoken.firsts_s()), _PATIENCE_S)
        share = sum(after[name].cpu_s - before[name].cpu_s for name in before) / lasted_s
        memory = sum(pss(process.pid) for process in nodes.processes.values())
    return Measured(spoken.hops_s(), spoken.finals_s(), spoken.firsts_s(), share, memory)


def _listen(session: ReplaySession) -> Spoken:
    spoken = Spoken()

    def hear(kind: type, topic: str, note: Callable[[Any, int], None]) -> None:
        def take(message: Any, info: Mapping[str, int]) -> None:
            note(message, int(info["source_timestamp"]))

        def take_alone(message: Any) -> None:
            note(message, time.time_ns())

        # rclpy counts its arguments; that of Humble gives the message alone, of which its arrival has to do.
        callback: Any = take if hasattr(Subscription, "CallbackType") else take_alone
        session.node.create_subscription(kind, topic, callback, QoSProfile(depth=1000))

    def noting_its_end(where: list[tuple[int, int]]) -> Callable[[Any, int], None]:
        return lambda message, given_ns: where.append((conversions.audio_from_msg(message).end_ns, given_ns))

    hear(AudioFrame, "audio", noting_its_end(spoken.audio))
    hear(AudioFrame, "voice", noting_its_end(spoken.voice))
    hear(Utterance, "utterance", lambda message, given_ns: spoken.utterances.append((message, given_ns)))
    hear(Emotion, "emotion", lambda message, given_ns: spoken.emotions.append((message, given_ns)))
    return spoken


def _write_sound(bag: Path, path: Path) -> float:
    """What a bag's topic /audio holds, as a file; its length [s]. There must be some, and all of one rate."""
    with Bag(bag) as source:
        chunks = [conversions.audio_from_msg(message.decode()) for message in source.messages(["/audio"])]
    samples, rate = np.concatenate([chunk.samples for chunk in chunks]), chunks[0].sample_rate
    soundfile.write(path, samples, rate)
    return len(samples) / rate
