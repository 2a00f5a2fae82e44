"""What the live nodes cost and how fast they answer: the measurements behind `mser bench`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mser_msgs.msg import AudioFrame, Emotion, Skeleton, Utterance

from ..messages import conversions
from ..mocap.layouts import get_layout
from ..types import SAMPLE_RATE, AudioChunk, SkeletonFrame, to_ns
from .processes import NodeProcesses
from .replay import ReplaySession

_CHUNK = 1024


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


def idle_load(session: ReplaySession, nodes: NodeProcesses, seconds: float) -> dict[str, float]:
    """Share of one core that each node uses while it hears a quiet room and sees a standing body at 30 Hz."""
    audio = session.node.create_publisher(AudioFrame, "audio", 100)
    skeleton = session.node.create_publisher(Skeleton, "skeleton_in", 100)
    session.wait(lambda: audio.get_subscription_count() > 0 and skeleton.get_subscription_count() > 0, 10)
    noise = np.random.default_rng(0).normal(0, 10, (64, _CHUNK, 1)).astype(np.int16)
    layout = get_layout("egait16")
    body = np.zeros((len(layout.joints), 3), np.float32)
    body[:, 1] = np.linspace(0, 1, len(body))
    begin_ns, begin_s = time.time_ns(), time.monotonic()
    before = usages(nodes)
    frames = blocks = 0
    while (now_s := time.monotonic() - begin_s) < seconds:
        while blocks * _CHUNK / SAMPLE_RATE <= now_s:
            stamp_ns = begin_ns + to_ns(blocks * _CHUNK / SAMPLE_RATE)
            chunk = AudioChunk(noise[blocks % 64], SAMPLE_RATE, stamp_ns, blocks * _CHUNK)
            audio.publish(conversions.fill(AudioFrame(), conversions.audio_to_fields(chunk)))
            blocks += 1
        while frames / 30 <= now_s:
            seen = np.ones(len(body), np.float32)
            frame = SkeletonFrame(begin_ns + to_ns(frames / 30), "body", "egait16", body, seen)
            skeleton.publish(conversions.fill(Skeleton(), conversions.skeleton_to_fields(frame)))
            frames += 1
        time.sleep(0.005)
    after = usages(nodes)
    lasted_s = time.monotonic() - begin_s
    session.node.destroy_publisher(audio)
    session.node.destroy_publisher(skeleton)
    return {name: (after[name].cpu_s - before[name].cpu_s) / lasted_s for name in before}


def latencies(session: ReplaySession) -> list[float]:
    """Seconds from the arrival of each utterance's end, as the segmenter decides it, to that of its final emotion."""
    ended: dict[str, float] = {}
    for arrived_s, message in session.utterances:
        if message.state == Utterance.ENDED:
            ended.setdefault(message.utterance_id, arrived_s)
    final = {message.utterance_id: at_s for at_s, message in session.emotions if message.state == Emotion.FINAL}
    return [final[name] - at_s for name, at_s in ended.items() if name in final]


def usages(nodes: NodeProcesses) -> dict[str, Usage]:
    """What each node has used so far."""
    return {name: usage(process.pid) for name, process in nodes.processes.items()}
