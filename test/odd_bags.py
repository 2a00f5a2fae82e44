"""Bags with what goes wrong on robots, one oddity or many, drawn by hypothesis or named; all of them are made up."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from mocap_poses import pose_of

from mser_ros.audio.waveform import to_int16
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.conversions import audio_to_fields, skeleton_to_fields
from mser_ros.types import NS_PER_S, AudioChunk, SkeletonFrame, to_ns

AUDIO, SKELETON = "mser_msgs/msg/AudioFrame", "mser_msgs/msg/Skeleton"
T0 = 1_700_000_000 * NS_PER_S
#: Topic, type, fields and log time.
Message = tuple[str, str, dict[str, Any], int]


@dataclass(frozen=True)
class Oddities:
    """What is odd about a bag. Times are seconds from its beginning.

    `turns`: silence and voice by turns, silence first. `arrival_s`: messages are late by up to this. `stamp_s`: stamps
    err by up to this. `lost`, `repeated`, `swapped`, `broken`: shares of the blocks of audio. `gap`: audio that is
    missing, beginning and length. `stall`: what comes from then on comes so much later. `change_s`: another rate and
    number of channels from then on. `jump`: the clock of the stamps is moved from then on, by so much. `other_voice`: a
    second one speaks at the same time. `split`: in so many files, without metadata. `skeletons`: there are some, of
    which `odd_skeletons` are lost, repeated, late, unseen or without a time. `seed` draws what is left open.
    """

    turns: tuple[float, ...] = (0.5, 1.2, 0.9, 0.8, 1.0)
    rate: int = 16_000
    channels: int = 1
    block_s: float = 0.064
    level: float = 0.3
    is_stamped: bool = True
    counts: bool = True
    arrival_s: float = 0.0
    stamp_s: float = 0.0
    lost: float = 0.0
    repeated: float = 0.0
    swapped: float = 0.0
    broken: float = 0.0
    gap: tuple[float, float] | None = None
    stall: tuple[float, float] | None = None
    change_s: float | None = None
    jump: tuple[float, float] | None = None
    other_voice: bool = False
    split: int = 1
    skeletons: bool = True
    odd_skeletons: float = 0.0
    seed: int = 0

    def write(self, path: Path) -> Path:
        """The bag, in a folder that is made."""
        messages = sorted(self._audio() + (self._bodies() if self.skeletons else []), key=lambda message: message[3])
        size = -(-len(messages) // self.split)
        path.mkdir(parents=True)
        for number in range(self.split):
            part = path / f"part{number}"
            with BagWriter(part) as writer:
                for topic, type_name, fields, log_ns in messages[number * size : (number + 1) * size]:
                    writer.write(topic, type_name, fields, log_ns)
            shutil.move(next(part.glob("*.mcap")), path / f"run_{number}.mcap")
            shutil.rmtree(part)
        return path

    def _audio(self) -> list[Message]:
        rng = np.random.default_rng(self.seed)
        found = self._voice(rng, "left" if self.other_voice else "")
        if self.other_voice:
            found += self._voice(rng, "right")
        return found

    def _voice(self, rng: np.random.Generator, voice_id: str) -> list[Message]:
        length_s, at_s, first = sum(self.turns), 0.0, 0
        found: list[Message] = []
        while at_s < length_s:
            is_changed = self.change_s is not None and at_s >= self.change_s
            rate, channels = (48_000, 2) if is_changed else (self.rate, self.channels)
            frames = round(self.block_s * rate)
            samples = self._samples(at_s, frames, rate, channels)
            stamp_ns = T0 + to_ns(at_s) + self._moved_ns(at_s) + to_ns(rng.uniform(0, self.stamp_s))
            chunk = AudioChunk(samples, rate, stamp_ns * self.is_stamped, first * self.counts, voice_id, "mic")
            first += frames
            at_s += frames / rate
            log_ns = T0 + to_ns(at_s + self._late_s(at_s) + rng.uniform(0, self.arrival_s))
            chances = rng.random(4)
            if chances[0] < self.lost or (self.gap and self.gap[0] <= at_s < sum(self.gap)):
                continue
            if chances[1] < self.swapped:
                log_ns += to_ns(1.1 * self.block_s)
            fields = audio_to_fields(chunk)
            found.append(("/audio", AUDIO, fields, log_ns))
            if chances[2] < self.repeated:
                found.append(("/audio", AUDIO, fields, log_ns + 1))
            if chances[3] < self.broken:
                found.append(("/audio", AUDIO, fields | {"channels": 0}, log_ns + 2))
        return found

    def _samples(self, at_s: float, frames: int, rate: int, channels: int) -> np.ndarray:
        time_s = at_s + np.arange(frames) / rate
        edges = np.cumsum(self.turns)
        is_voice = np.searchsorted(edges, time_s, side="right") % 2 == 1
        wave = np.where(is_voice, np.sin(2 * np.pi * 210 * time_s) * self.level, 0)
        return np.repeat(to_int16(wave)[:, None], channels, axis=1)

    def _moved_ns(self, at_s: float) -> int:
        return to_ns(self.jump[1]) if self.jump and at_s >= self.jump[0] else 0

    def _late_s(self, at_s: float) -> float:
        return self.stall[1] if self.stall and at_s >= self.stall[0] else 0.0

    def _bodies(self) -> list[Message]:
        rng = np.random.default_rng(self.seed + 1)
        still = pose_of("egait16")
        found: list[Message] = []
        for at_s in np.arange(0, sum(self.turns), 1 / 15):
            stamp_ns = T0 + to_ns(at_s) + self._moved_ns(at_s)
            positions = (still + 0.03 * np.sin(3 * at_s + still)).astype(np.float32)
            frame = SkeletonFrame(stamp_ns, "body", "egait16", positions, np.ones(16, np.float32), "camera")
            fields, log_ns = skeleton_to_fields(frame), T0 + to_ns(at_s + self._late_s(at_s) + 0.01)
            is_odd, kind = rng.random() < self.odd_skeletons, rng.integers(5)
            if is_odd and kind == 0:
                continue
            if is_odd and kind == 1:
                found.append(("/skeleton_in", SKELETON, fields, log_ns + 1))
            if is_odd and kind == 2:
                log_ns += to_ns(0.1)
            if is_odd and kind == 3:
                fields["confidence"] = np.zeros(16, np.float32)
            if is_odd and kind == 4:
                fields["header"] = {"stamp": {"sec": 0, "nanosec": 0}, "frame_id": ""}
            found.append(("/skeleton_in", SKELETON, fields, log_ns))
        return found


def odd_bags() -> st.SearchStrategy[Oddities]:
    """Bags with some of the oddities."""
    shares = st.sampled_from([0.0, 0.0, 0.05, 0.2])
    spans = st.sampled_from([0.3, 0.6, 0.9, 1.3])
    return st.builds(
        Oddities,
        turns=st.lists(spans, min_size=3, max_size=6).map(tuple),
        rate=st.sampled_from([8_000, 16_000, 44_100, 48_000]),
        channels=st.sampled_from([1, 2]),
        block_s=st.sampled_from([0.02, 0.064, 0.1]),
        level=st.sampled_from([0.3, 1.2]),
        is_stamped=st.booleans(),
        counts=st.booleans(),
        arrival_s=st.sampled_from([0.0, 0.0, 0.03, 0.1]),
        stamp_s=st.sampled_from([0.0, 0.0, 0.004, 0.03]),
        lost=shares,
        repeated=shares,
        swapped=shares,
        broken=shares,
        gap=st.none() | st.tuples(st.sampled_from([0.8, 1.5]), st.sampled_from([0.15, 0.7, 2.0])),
        stall=st.none() | st.tuples(st.sampled_from([0.8, 1.5]), st.sampled_from([0.5, 3.0])),
        change_s=st.none() | st.sampled_from([0.9, 1.7]),
        jump=st.none() | st.tuples(st.sampled_from([0.9, 1.7]), st.sampled_from([-30.0, -0.3, 0.4, 3600.0])),
        other_voice=st.booleans(),
        split=st.sampled_from([1, 2, 3]),
        skeletons=st.booleans(),
        odd_skeletons=shares,
        seed=st.integers(0, 99),
    )


#: Named ones, for tests that have no time for many.
KINDS: dict[str, Oddities] = {
    "nothing odd": Oddities(),
    "uncounted and unstamped": Oddities(is_stamped=False, counts=False, arrival_s=0.03),
    "lossy": Oddities(lost=0.2, repeated=0.2, swapped=0.2, broken=0.05, odd_skeletons=0.2),
    "a change of rate": Oddities(change_s=1.7, split=2),
    "a jump of the clock": Oddities(jump=(1.7, 3600.0)),
    "overdriven": Oddities(rate=48_000, level=1.2, channels=2),
}
