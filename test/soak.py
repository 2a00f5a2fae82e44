"""Half an hour of a robot's life in accelerated time: does anything grow? `make soak`, or python test/soak.py --help.

People come and go, each for ten seconds: they speak, a fan hums, it is silent, and bodies walk by; a person manager
(ROS4HRI) tells who they are, by ids that never come again. All of it goes through the checks of skeletons, the
pipeline, the states that rest on it, and waits for an emotion. The process's own memory (USS), its threads and its open
files are noted each simulated minute.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import audio_from_msg, skeleton_from_msg
from mser_ros.mocap.cadence import Cadence
from mser_ros.mocap.stream import SkeletonStream
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import AsrSettings, EmotionSettings, MocapSettings, SpeechSettings, StateSettings
from mser_ros.stages.emotion import EmotionStage
from mser_ros.stages.identities import Identities, Kind, Match
from mser_ros.stages.people import People
from mser_ros.stages.pipeline import EmotionPipeline
from mser_ros.stages.speech import SpeechStage
from mser_ros.stages.state import EmotionStates
from mser_ros.stages.waiting import Wait
from mser_ros.types import NS_PER_S, SAMPLE_RATE, AudioChunk, Goal, SkeletonFrame, to_ns

DEMO = Path(__file__).parents[1] / "demo" / "demo.mcap"
#: A person's stay [s]; of three, one speaks and is seen, one hums, and one is silent.
STAY_S = 10.0
#: More than any part of the package remembers; their names come again after so many.
PEOPLE = 100
#: Growth after the warm-up that is not one [bytes].
MOST_GROWTH = 2_000_000
_BLOCK = 1024


@dataclass(frozen=True)
class Held:
    """What the process holds at a simulated minute."""

    minute: float
    memory: int
    threads: int
    files: int
    finals: int


def lives(minutes: float) -> Iterator[AudioChunk | SkeletonFrame]:
    """What a microphone and a camera would give, in the order of their stamps."""
    items: list[AudioChunk | SkeletonFrame] = []
    with Bag(DEMO) as bag:
        begin_ns = bag.start_ns
        for message in bag.messages(["/audio", "/skeleton_in"]):
            if message.log_ns - begin_ns >= to_ns(STAY_S):
                break
            is_audio = message.topic == "/audio"
            items.append((audio_from_msg if is_audio else skeleton_from_msg)(message.decode()))
    rng = np.random.default_rng(0)
    count = round(STAY_S * SAMPLE_RATE / _BLOCK)
    sounds = [np.zeros((_BLOCK, 1), np.int16), rng.normal(0, 300, (_BLOCK, 1)).astype(np.int16)]
    sample = 0
    for stay in range(round(minutes * 60 / STAY_S)):
        since_ns, name = begin_ns + to_ns(stay * STAY_S), f"person {stay % PEOPLE}"
        if stay % 3 == 0:
            for item in items:
                moved_ns = item.stamp_ns - begin_ns + since_ns
                if isinstance(item, AudioChunk):
                    yield replace(item, stamp_ns=moved_ns, voice_id=name, first_sample=sample + item.first_sample)
                else:
                    yield replace(item, stamp_ns=moved_ns, body_id=name)
        else:
            for block in range(count):
                stamp_ns = since_ns + block * _BLOCK * NS_PER_S // SAMPLE_RATE
                yield AudioChunk(sounds[stay % 3 - 1], SAMPLE_RATE, stamp_ns, sample + block * _BLOCK, name)
        sample += round(STAY_S * SAMPLE_RATE)


def introduce(identities: Identities, stay: int) -> Iterator[frozenset[str]]:
    """What ROS4HRI's nodes tell of who is there now, and of who was there before; whom each of it is about."""
    voice, person, face = (Kind.VOICE, f"person {stay % PEOPLE}"), (Kind.PERSON, f"anonymous {stay}"), f"face {stay}"
    yield identities.vanish(f"known {stay - 1}")
    yield identities.make_up(voice)
    yield identities.make_up(person)
    yield identities.match(Match(voice, (Kind.FACE, face), 0.9))
    yield identities.match(Match((Kind.FACE, face), person, 0.8))
    yield identities.alias(person[1], f"known {stay}")
    yield identities.link(f"known {stay}", Kind.BODY, voice[1])


def soak(
    minutes: float, *, bundle: str = "", asr: str = "none", tell: Callable[[Held], None] = lambda _: None
) -> list[Held]:
    """Live so long; what was held at each minute."""
    recognizer = EmotionRecognizer(load_bundle(bundle), EmotionSettings())
    identities = Identities()
    heard = SpeechStage(SpeechSettings(asr=AsrSettings(backend=asr)))
    pipeline = EmotionPipeline(heard, EmotionStage(recognizer, identities=identities))
    seen, cadence = SkeletonStream(MocapSettings()), Cadence()
    states = EmotionStates(StateSettings(events="sad 0.5 1; happy 0.5 1; angry 0.5 1"), recognizer.bundle.labels)
    people, process = People(recognizer, states, identities=identities), psutil.Process()
    held: list[Held] = []
    begin_ns = next_ns = 0
    waits: list[Wait] = []
    finals = looked_ns = 0
    stay = -1
    for item in lives(minutes):
        if isinstance(item, AudioChunk):
            estimates = pipeline.push_audio(item)
        else:
            cadence.note(item.body_id, item.stamp_ns)
            estimates = pipeline.push_skeleton(seen.push(item))
        for estimate in estimates:
            states.push(estimate)
            people.meet(estimate)
            finals += estimate.state.name == "FINAL"
        now_ns = item.stamp_ns
        if now_ns - looked_ns > to_ns(0.5):
            looked_ns = now_ns
            told, _ = states.at(now_ns)
            waits = [
                *(wait for wait in waits if wait.look(told, now_ns).outcome is None),
                Wait(Goal(("sad",), 0.5, 0, 9), now_ns),
            ]
            people.note()
        begin_ns = begin_ns or now_ns
        if (now_ns - begin_ns) // to_ns(STAY_S) > stay:
            stay += 1
            for names in introduce(identities, stay):
                states.rename(identities.current_name, names)
                recognizer.rename(identities.current_name, names)
        if now_ns >= (next_ns or begin_ns + 60 * NS_PER_S):
            next_ns = now_ns + 60 * NS_PER_S
            gc.collect()
            memory = process.memory_full_info().uss
            minute = (now_ns - begin_ns) / NS_PER_S / 60
            held.append(Held(minute, memory, process.num_threads(), process.num_fds(), finals))
            tell(held[-1])
    return held


def growth(held: list[Held], warm_up: float) -> dict[str, int]:
    """By how much the second half of what follows the warm-up (minutes) holds more than the first, each at its least:
    what was held for a while and given back is no leak."""
    after = [item for item in held if item.minute >= warm_up]
    half = len(after) // 2
    return {
        name: min(getattr(item, name) for item in after[half:]) - min(getattr(item, name) for item in after[:half])
        for name in ("memory", "threads", "files")
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0, help="simulated minutes (default 30)")
    parser.add_argument("--warm-up", type=float, default=6.0, help="of them, until all that is bounded is full (6)")
    parser.add_argument("--bundle", default="", help="model bundle (the default one)")
    parser.add_argument("--asr", default="none", help="recogniser of words (none)")
    given = parser.parse_args()
    begin_s = time.monotonic()

    def tell(held: Held) -> None:
        print(
            f"minute {held.minute:5.1f}: {held.memory / 1e6:7.1f} MB, {held.threads} threads, {held.files} files, "
            f"{held.finals} utterances ({time.monotonic() - begin_s:.0f} s)",
            flush=True,
        )

    found = growth(soak(given.minutes, bundle=given.bundle, asr=given.asr, tell=tell), given.warm_up)
    print(
        f"growth after the warm-up: {found['memory'] / 1e6:.2f} MB, {found['threads']} threads, {found['files']} files"
    )
    return int(found["memory"] > MOST_GROWTH or found["threads"] > 0 or found["files"] > 0)


if __name__ == "__main__":
    sys.exit(main())
