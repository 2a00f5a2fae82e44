"""The emotion node under test with what surrounds it, and scenes to give it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from ros_world import (
    T0,
    AudioFrame,
    Emotion,
    Skeleton,
    Utterance,
    audio_message,
    demo_values,
    skeleton_message,
    utterance_message,
)

from mser_ros.types import AudioChunk, SkeletonFrame, Transcript, UtteranceEvent, UtteranceState, to_ns

LAST = (Emotion.FINAL, Emotion.RETRACTED)
#: Waits that nothing here exceeds: what is tested must not depend on them.
PATIENT = {"evidence_timeout_s": 5.0, "text_timeout_s": 30.0}
BLOCK = 4000
_TOPIC = {AudioFrame: "voice", Utterance: "utterance", Skeleton: "skeleton"}
_MESSAGE = {AudioChunk: audio_message, UtteranceEvent: utterance_message, SkeletonFrame: skeleton_message}


@dataclass(frozen=True)
class Scene:
    """What the speech and the mocap node would say of one utterance of two seconds."""

    voice: list[AudioChunk]
    events: list[UtteranceEvent]
    skeletons: list[SkeletonFrame]

    @property
    def name(self) -> str:
        return self.events[0].utterance_id


def scene(number: int, *, text: str = "happy words", rms: float = 0.05, voice_id: str = "ann") -> Scene:
    """Utterance `number`, which begins ten seconds after the one before."""
    base_ns = T0 + to_ns(10.0 * number)
    start_ns, end_ns = base_ns + to_ns(0.5), base_ns + to_ns(2.5)
    rng = np.random.default_rng(number)
    samples = np.clip(rng.normal(0, rms * 32768, (12 * BLOCK, 1)), -32768, 32767).astype(np.int16)
    voice = [
        AudioChunk(samples[at : at + BLOCK], 16000, base_ns + at * 62_500, at, voice_id, "microphone")
        for at in range(0, len(samples), BLOCK)
    ]
    silence = Transcript("", is_final=False)
    final = Transcript(text, 0.9, language="en")
    name = f"{voice_id}-{number}"
    states = UtteranceState
    events = [
        UtteranceEvent(name, states.STARTED, start_ns + to_ns(0.1), start_ns, start_ns + to_ns(0.1), silence, voice_id),
        UtteranceEvent(name, states.PARTIAL, start_ns + to_ns(1), start_ns, start_ns + to_ns(1), silence, voice_id),
        UtteranceEvent(name, states.ENDED, end_ns, start_ns, end_ns, silence, voice_id),
        UtteranceEvent(name, states.ENDED, end_ns, start_ns, end_ns, final, voice_id),
    ]
    seen = demo_values(until_s=3)[1]
    skeletons = [replace(frame, stamp_ns=base_ns + frame.stamp_ns - T0, body_id="body") for frame in seen]
    return Scene(voice, events, skeletons)


class Robot:
    """The node under test with what surrounds it. Its clock stands still until a test sets it, unless
    `use_sim_time=False` is given: so no wait for late data ends, however busy the machine is."""

    def __init__(self, world, bundle, **parameters):
        self.world = world
        self.emotions: list[Emotion] = world.listen(Emotion, "emotion")
        self.node = world.node("emotion", bundle=str(bundle), **({"use_sim_time": True} | PATIENT | parameters))
        world.wait_for_outputs(self.node, "emotion")
        self._publishers = {topic: world.publisher(kind, topic) for kind, topic in _TOPIC.items()}
        self._given = Counter[str]()
        self._kind: type | None = None

    def give(self, *items):
        """Publish values or messages, each kind after what stands before it was taken; of a scene, its news last."""
        for item in items:
            if isinstance(item, Scene):
                self.give(*item.skeletons, *item.voice, *item.events)
                continue
            message = _MESSAGE[type(item)](item) if type(item) in _MESSAGE else item
            if type(message) is not self._kind or sum(self._given.values()) % 100 == 0:  # the nodes' queues are short
                self.node.wait_to_receive(**self._given)
                self._kind = type(message)
            topic = _TOPIC[type(message)]
            self._publishers[topic].publish(message)
            self._given[topic] += 1
        self.node.wait_to_receive(**self._given)

    def last(self, name: str) -> Emotion:
        """The last emotion of an utterance, once it is there."""
        self.world.wait(lambda: name in self.ended(), f"the last emotion of {name}")
        return next(item for item in self.emotions if item.utterance_id == name and item.state in LAST)

    def ended(self) -> Counter[str]:
        return Counter(item.utterance_id for item in self.emotions if item.state in LAST)

    def assert_nothing_follows_a_last_emotion(self):
        """To be asked after the last emotion of a later utterance: whatever was to come before has come by then."""
        assert set(self.ended().values()) == {1}
        closed = set()
        for item in self.emotions:
            assert item.utterance_id not in closed
            if item.state in LAST:
                closed.add(item.utterance_id)
