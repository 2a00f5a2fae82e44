"""What a bag holds beside sound and bodies, and nodes hear: when the robot itself speaks, and words of another
recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..messages import conversions
from ..messages.bags import Bag, BagMessage
from ..messages.hri import text_from_msg
from ..types import Transcript

ROBOT, TEXT = "robot_speaking", "text"
_ROBOT_TYPES = ("std_msgs/msg/Bool",)
_TEXT_TYPES = ("std_msgs/msg/String", "hri_msgs/msg/LiveSpeech")


@dataclass(frozen=True)
class RobotVoice:
    """The robot begins or ends to speak."""

    speaks: bool


@dataclass(frozen=True)
class ForeignText:
    """What another recogniser has read, at this time of the clock that stamps audio."""

    text: Transcript
    at_ns: int


class HeardBeside:
    """Those topics of a bag. `topics`: which are read; `robot`: of these the robot's; `notes`: which are not, and what
    helps."""

    def __init__(self, bag: Bag, audio_topic: str, text_topic: str | None) -> None:
        """`audio_topic`: beside which they lie; '' for none, then nothing is heard. `text_topic`: '' to find it, None
        where our own recogniser reads."""
        self.notes: list[str] = []
        self.topics: list[str] = []
        self.robot = ""
        if not audio_topic:
            return
        self.robot = self._find(bag, audio_topic, ROBOT, _ROBOT_TYPES)
        if text_topic:
            bag.require(text_topic, *_TEXT_TYPES)
        text = text_topic or self._find(bag, audio_topic, TEXT, _TEXT_TYPES)
        if text and text_topic is None:
            self.notes.append(f"{text} is not read: where asr.foreign is set, words are taken from it in place of ours")
        elif text_topic is not None and not text:
            self.notes.append(
                "no words are read, as asr.foreign takes them from a topic 'text', which the bag lacks: name another "
                "one by --text-topic, or let our recogniser read by --asr auto"
            )
        self.topics = [self.robot] if self.robot else []
        self.topics += [text] if text and text_topic is not None else []

    def read(self, message: BagMessage) -> RobotVoice | ForeignText:
        """A message of one of the topics. Raises `MserError`."""
        decoded = message.decode()
        if message.topic == self.robot:
            return RobotVoice(bool(decoded.data))
        stamp_ns = conversions.time_to_ns(decoded.header.stamp) if hasattr(decoded, "header") else 0
        return ForeignText(text_from_msg(decoded), stamp_ns or message.log_ns)

    def _find(self, bag: Bag, audio_topic: str, name: str, kinds: Sequence[str]) -> str:
        """The topic of that name beside the audio, else the only one; '' where there is none."""
        named = sorted(topic for topic in bag.topics if topic.rsplit("/", 1)[-1] == name)
        fitting = [topic for topic in named if bag.topics[topic] in kinds]
        beside = f"{audio_topic.rpartition('/')[0]}/{name}"
        if beside in fitting or len(fitting) == 1:
            return beside if beside in fitting else fitting[0]
        if fitting:
            self.notes.append(f"of {', '.join(fitting)} none is read: only {beside} would belong to {audio_topic}")
        elif named:
            of_types = f"of type {', '.join(bag.topics[topic] for topic in named)}"
            self.notes.append(f"{', '.join(named)} is not read, as it is {of_types}: publish {' or '.join(kinds)}")
        return ""
