"""What the live nodes cost and how fast they answer: the measurements behind `mser bench`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mser_msgs.msg import AudioFrame, Emotion, Skeleton, Utterance

from ..messages import conversions
from ..mocap.buffer import SkeletonBuffer
from ..mocap.canonical import canonicalise
from ..mocap.stream import SkeletonStream
from ..settings import MocapSettings
from ..types import NS_PER_S, SAMPLE_RATE, AudioChunk, SkeletonFrame, to_ns
from .processes import NodeProcesses
from .replay import ReplaySession

_CHUNK = 1024
#: People in view of the measurement of bodies.
PEOPLE_IN_VIEW = 10
_RATE_HZ = 30
#: What the body's model looks at [s].
_WINDOW_S = 5.0
#: Somebody who stands, as layout canonical15 has it [m].
_STANDING = np.array(
    [
        [0, 0, 0.95], [0, 0, 1.4], [0.05, 0, 1.6],
        [0, 0.2, 1.4], [0, 0.25, 1.1], [0.05, 0.25, 0.85], [0, -0.2, 1.4], [0, -0.25, 1.1], [0.05, -0.25, 0.85],
        [0, 0.1, 0.95], [0.02, 0.1, 0.5], [0, 0.1, 0.1], [0, -0.1, 0.95], [0.02, -0.1, 0.5], [0, -0.1, 0.1],
    ],
    np.float32,
)  # fmt: skip


@dataclass(frozen=True)
class Usage:
    """What a process has used: CPU time in seconds, resident memory and its peak in bytes."""

    cpu_s: float
    rss: int
    peak: int


def usage(pid: int) -> Usage:
    """Of a process of this machine (Linux)."""
    times = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    cpu_s = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    return Usage(cpu_s, int(status["VmRSS"].split()[0]) * 1024, int(status["VmHWM"].split()[0]) * 1024)


def pss(pid: int) -> int:
    """Memory of a process of this machine [bytes], what it shares with others counted in part (Linux)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def idle_load(session: ReplaySession, nodes: NodeProcesses, seconds: float) -> dict[str, float]:
    """Share of one core that each node uses while it hears a quiet room and sees a standing body at 30 Hz."""
    audio = session.node.create_publisher(AudioFrame, "audio", 100)
    session.wait(lambda: audio.get_subscription_count() > 0, 10)
    noise = np.random.default_rng(0).normal(0, 10, (64, _CHUNK, 1)).astype(np.int16)
    begin_ns, begin_s = time.time_ns(), time.monotonic()
    before = usages(nodes)
    blocks = 0

    def hum(now_s: float) -> None:
        nonlocal blocks
        while blocks * _CHUNK / SAMPLE_RATE <= now_s:
            stamp_ns = begin_ns + to_ns(blocks * _CHUNK / SAMPLE_RATE)
            chunk = AudioChunk(noise[blocks % 64], SAMPLE_RATE, stamp_ns, blocks * _CHUNK)
            audio.publish(conversions.fill(AudioFrame(), conversions.audio_to_fields(chunk)))
            blocks += 1

    see_somebody(session, seconds, meanwhile=hum)
    after = usages(nodes)
    lasted_s = time.monotonic() - begin_s
    session.node.destroy_publisher(audio)
    return {name: (after[name].cpu_s - before[name].cpu_s) / lasted_s for name in before}


def see_somebody(
    session: ReplaySession, seconds: float, *, meanwhile: Callable[[float], None] = lambda now_s: None
) -> None:
    """Publish a body that stands, at 30 Hz for so long; `meanwhile` is called now and then with the seconds since."""
    skeleton = session.node.create_publisher(Skeleton, "skeleton_in", 100)
    session.wait(lambda: skeleton.get_subscription_count() > 0, 10)
    begin_ns, begin_s = time.time_ns(), time.monotonic()
    frames = 0
    while (now_s := time.monotonic() - begin_s) < seconds:
        meanwhile(now_s)
        while frames / _RATE_HZ <= now_s:
            frame = _standing("body", begin_ns + to_ns(frames / _RATE_HZ), _STANDING)
            skeleton.publish(conversions.fill(Skeleton(), conversions.skeleton_to_fields(frame)))
            frames += 1
        time.sleep(0.005)
    session.node.destroy_publisher(skeleton)


def bodies_load(seconds: float = 10.0) -> float:
    """Share of one core that `PEOPLE_IN_VIEW` people at 30 Hz cost: their skeletons checked, mended and kept, and each
    of them made canonical twice a second, as often as an estimate is due while somebody speaks. Without ROS."""
    settings = MocapSettings()
    stream, kept = SkeletonStream(settings), SkeletonBuffer(settings, history_s=_WINDOW_S + 1)
    restless = np.random.default_rng(0).normal(0, 0.005, (_RATE_HZ, *_STANDING.shape)).astype(np.float32)
    begin_ns, begin_s = NS_PER_S, time.process_time()
    for number in range(round(seconds * _RATE_HZ)):
        stamp_ns = begin_ns + to_ns(number / _RATE_HZ)
        for body in range(PEOPLE_IN_VIEW):
            # Two metres apart, so that nobody is taken for somebody else.
            positions = _STANDING + restless[(number + body) % _RATE_HZ] + np.array([0, 2 * body, 0], np.float32)
            kept.push(stream.push(_standing(f"body {body}", stamp_ns, positions)))
        if number % (_RATE_HZ // 2) == 0 and (seen := kept.window(stamp_ns - to_ns(_WINDOW_S), stamp_ns)):
            for _ in range(PEOPLE_IN_VIEW):
                canonicalise(seen, rate_hz=15.0, window_s=_WINDOW_S, end_ns=stamp_ns)
    return (time.process_time() - begin_s) / seconds


def _standing(body_id: str, stamp_ns: int, positions: np.ndarray) -> SkeletonFrame:
    return SkeletonFrame(stamp_ns, body_id, "canonical15", positions, np.ones(len(positions), np.float32))


def latencies(session: ReplaySession) -> list[float]:
    """Seconds from the arrival of each utterance's end, as the segmenter decides it, to that of its final emotion."""
    ended: dict[str, float] = {}
    for arrived_s, message in session.utterances:
        if message.state == Utterance.ENDED:
            ended.setdefault(message.utterance_id, arrived_s)
    final = {message.utterance_id: at_s for at_s, message in session.emotions if message.state == Emotion.FINAL}
    return [final[name] - at_s for name, at_s in ended.items() if name in final]


def first_words(session: ReplaySession) -> list[float]:
    """Seconds from the end of each utterance's first word to the arrival of the first words that are told of it, in a
    replay in real time.

    What the beginning was decided from had just been heard when its news arrived.
    """
    begun: dict[str, tuple[float, Utterance]] = {}
    told: dict[str, float] = {}
    found = []
    for arrived_s, message in session.utterances:
        name = message.utterance_id
        if message.state == Utterance.STARTED:
            begun[name] = arrived_s, message
        if message.text:
            told.setdefault(name, arrived_s)
        if message.state == Utterance.ENDED and message.is_text_final and message.words and name in begun:
            began_s, start = begun.pop(name)
            heard_ns = conversions.time_to_ns(start.end) - conversions.time_to_ns(message.words[0].end)
            found.append(told[name] - began_s + heard_ns / NS_PER_S)
    return found


def spoken_s(session: ReplaySession) -> float:
    """How long somebody spoke in all, by the utterances."""
    ends = {message.utterance_id: message for _, message in session.utterances if message.state == Utterance.ENDED}
    spans = ((conversions.time_to_ns(one.start), conversions.time_to_ns(one.end)) for one in ends.values())
    return sum(last - first for first, last in spans) / NS_PER_S


def usages(nodes: NodeProcesses) -> dict[str, Usage]:
    """What each node has used so far."""
    return {name: usage(process.pid) for name, process in nodes.processes.items()}
