"""Every setting of the robot path: its default, meaning, unit and range. Nothing else in the package repeats a default.

The nodes declare their parameters from these classes, `config/emotion.yaml` lists them (a test compares both), and
the documentation is made from them. A node's parameter name is the path of field names joined by dots: `asr.backend`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import SettingsError
from ..types import SAMPLE_RATE
from .schema import Setting, group, setting

#: How the speaker's body is chosen among several.
BODY_CHOICES = ("most", "nearest", "largest", "only")

#: The speech recognisers.
BACKENDS = ("auto", "whisper", "vosk", "pocketsphinx", "none")


@dataclass(frozen=True)
class StreamSettings:
    """Putting a stream of audio blocks in order."""

    fill_s: float = setting(
        0.2,
        "Lost audio up to this length becomes silence; a longer loss ends the utterance",
        unit="s",
        low=0,
        high=5,
    )
    stamp_tolerance_s: float = setting(
        0.4,
        "Lateness up to this is jitter; stamps that stay further from the count of samples set the clock anew",
        unit="s",
        low=0.001,
        high=5,
    )


@dataclass(frozen=True)
class SegmenterSettings:
    """Cutting speech out of the stream."""

    start_threshold: float = setting(0.5, "Speech begins at this voice probability", low=0.05, high=0.95)
    end_threshold: float = setting(0.35, "Speech may end below this voice probability", low=0.01, high=0.95)
    start_s: float = setting(0.096, "Voice must last this long before an utterance starts", unit="s", low=0.032, high=1)
    min_speech_s: float = setting(0.25, "Utterances with less voice than this are cancelled", unit="s", low=0, high=5)
    hangover_s: float = setting(0.5, "Silence that ends an utterance", unit="s", low=0.1, high=5)
    pause_s: float = setting(
        0.16,
        "Silence at which words and emotion are worked out ahead, in case the utterance is over; 0: never",
        unit="s",
        low=0,
        high=5,
    )
    pre_roll_s: float = setting(0.2, "Audio kept before the first voice", unit="s", low=0, high=2)
    post_roll_s: float = setting(0.1, "Audio kept after the last voice", unit="s", low=0, high=2)
    max_speech_s: float = setting(
        15.0,
        "A longer utterance is cut where its last third is quietest, and goes on as the next",
        unit="s",
        low=1,
        high=60,
    )

    def validate(self) -> None:
        """Raises `SettingsError` for values that contradict each other."""
        if self.end_threshold > self.start_threshold:
            raise SettingsError("segmenter.end_threshold must not lie above segmenter.start_threshold: lower it")
        if self.min_speech_s > self.max_speech_s:
            raise SettingsError("segmenter.min_speech_s must not lie above segmenter.max_speech_s: lower it")


@dataclass(frozen=True)
class AsrSettings:
    """Reading the words."""

    backend: str = setting(
        "auto",
        "Speech recogniser; auto: that of the model in model_path, else whisper if its model is here, or pocketsphinx",
        choices=BACKENDS,
    )
    model_path: str = setting(
        "", "Folder of the recogniser's model; empty: whisper-base from 'mser models', or pocketsphinx's own"
    )
    language: str = setting(
        "en", "BCP 47 tag of the language that is spoken, or auto (whisper only); a Vosk model goes by its name"
    )
    phrases: str = setting("", "All that may be said, in phrases with ';' between them (vosk only); empty: anything")
    translate: bool = setting(False, "Also translate what is said into English (whisper only)")
    threads: int = setting(1, "Threads of the recogniser (whisper only)", low=1, high=16)
    partial_period_s: float = setting(
        0.7, "Time between provisional transcripts while a person speaks; 0: none", unit="s", low=0, high=10
    )
    foreign: bool = setting(False, "Words are what another recogniser publishes on topic `text`, and none of ours")
    foreign_wait_s: float = setting(
        2.0, "How long they are waited for after the end of an utterance, on the ROS clock", unit="s", low=0, high=30
    )

    def validate(self) -> None:
        """Raises `SettingsError` for values that contradict each other."""
        if self.backend == "vosk" and not self.model_path:
            raise SettingsError(
                "asr.backend 'vosk' needs asr.model_path: the folder of a downloaded Vosk model (asr_model:=FOLDER "
                "where ros2 launch starts the node)"
            )


@dataclass(frozen=True)
class AudioFormatSettings:
    """What audio messages of other packages do not tell of themselves (AudioData, Int16MultiArray)."""

    format: str = setting(
        "S16LE",
        "Format of their samples",
        choices=("S16LE", "S16BE", "S32LE", "S32BE", "F32LE", "F32BE", "S8", "U8", "mp3", "ogg"),
    )
    sample_rate: int = setting(SAMPLE_RATE, "Their rate", unit="Hz", low=8000, high=192000)
    channels: int = setting(1, "Their channels", low=1, high=64)


@dataclass(frozen=True)
class RobotVoiceSettings:
    """What the speech node does while the robot itself speaks, as the topic `robot_speaking` tells."""

    barge_in: bool = setting(False, "People are heard all the same, so the microphone must not hear the robot")
    tail_s: float = setting(0.3, "The robot's voice rings on for this long", unit="s", low=0, high=5)


@dataclass(frozen=True)
class Ros4HriVoicesSettings:
    """Voices as ROS4HRI (REP-155) tells them apart."""

    enabled: bool = setting(False, "Hear each voice of /humans/voices and tell there what it says (needs hri_msgs)")


@dataclass(frozen=True)
class SpeechSettings:
    """The speech node: hears and reads."""

    voice_id: str = setting("voice", "voice_id for audio that names none")
    stall_s: float = setting(
        1.0, "Audio that stays away this long ends the utterance, on the ROS clock", unit="s", low=0.2, high=30
    )
    listening: bool = setting(
        True,
        "People are listened to from the start of the process on; false: once ~/stop_listening is called with false",
    )
    audio: AudioFormatSettings = group(AudioFormatSettings)
    robot: RobotVoiceSettings = group(RobotVoiceSettings)
    stream: StreamSettings = group(StreamSettings)
    segmenter: SegmenterSettings = group(SegmenterSettings)
    asr: AsrSettings = group(AsrSettings)
    ros4hri: Ros4HriVoicesSettings = group(Ros4HriVoicesSettings)


@dataclass(frozen=True)
class PoseSettings:
    """The pose node: finds bodies in the images of a camera."""

    device: str = setting(
        "", "Camera that the node opens itself, by its number or as /dev/video0; empty: images come by topic `image`"
    )
    file: str = setting("", "A film or picture that is played in place of a camera; empty: none")
    loop: bool = setting(False, "The film begins anew at its end")
    rate_hz: float = setting(15.0, "Images that are looked at in a second, at most", unit="Hz", low=0.1, high=120)
    max_people: int = setting(3, "People that are followed at a time, at most", low=1, high=20)
    field_of_view: float = setting(
        60.0,
        "Horizontal field of view of a camera without `camera_info`, which tells how far away people are",
        unit="degrees",
        low=5,
        high=170,
    )
    model_path: str = setting(
        "", "A .task of MediaPipe's pose landmarker, or a folder of its networks; empty: pose from 'mser models'"
    )
    threads: int = setting(1, "Threads of the networks", low=1, high=16)
    frame_id: str = setting("camera", "TF frame of a camera that the node opens itself (x right, y down, z ahead)")


@dataclass(frozen=True)
class MocapSettings:
    """The mocap node: sees."""

    layout: str = setting("", "Joint layout for skeletons that name none, a file of config/skeletons without '.yaml'")
    joints: str = setting(
        "",
        "Names of that layout's joints in the order in which a PoseArray or numbered markers send them, separated by "
        "commas, '-' for what is no joint; empty: the layout's own order",
    )
    aspect: float = setting(
        0.0,
        "Width / height of the image that ROS4HRI's points are fractions of; 0: what camera_info tells, else 4 / 3",
        low=0,
        high=100,
    )
    tf_pattern: str = setting("{joint}_{body}", "How frames of bodies are named, where skeletons come as TF frames")
    min_confidence: float = setting(0.1, "Joints below this confidence count as not seen", low=0, high=1)


@dataclass(frozen=True)
class StateSettings:
    """How a person is over time (topic `state`)."""

    rate_hz: float = setting(2.0, "How often it is published; 0: never", unit="Hz", low=0, high=50)
    gain: float = setting(0.8, "How far a sure estimate moves it", low=0.01, high=1, live=True)
    decay_s: float = setting(
        60.0,
        "Time in which it falls back to what is usual for this person, but for a third",
        unit="s",
        low=1,
        high=3600,
        live=True,
    )
    usual_gain: float = setting(
        0.03,
        "How far a sure estimate moves what is usual for this person; 0: even classes are, of everybody",
        low=0,
        high=1,
        live=True,
    )
    least: float = setting(0.4, "Nothing more probable than this: unknown", low=0, high=1, live=True)
    margin: float = setting(
        0.1, "So much more probable another class must be to become the label", low=0, high=1, live=True
    )
    forget_s: float = setting(
        300.0, "Somebody of whom nothing was heard for so long is forgotten", unit="s", low=1, high=86400, live=True
    )
    events: str = setting(
        "",
        "What is told on topic `event` when it begins and ends: label, confidence and seconds, as 'sad 0.6 20; angry "
        "0.7 2'",
    )


@dataclass(frozen=True)
class Ros4HriPeopleSettings:
    """People as ROS4HRI (REP-155) knows them."""

    enabled: bool = setting(
        False, "Follow /humans/persons, and publish the expression of each of /humans/voices (needs hri_msgs)"
    )
    faces: bool = setting(False, "Publish it for the person's face as well, where no other node does")
    least_match: float = setting(
        0.5, "Ids that match with less confidence (/humans/candidate_matches) are not one person's", low=0.01, high=1
    )


@dataclass(frozen=True)
class MarkerSettings:
    """Labels for rviz and Foxglove (topic `markers`), made only while somebody looks."""

    above: float = setting(0.3, "How far over the head a label stands", unit="m", low=0, high=2)
    height: float = setting(0.12, "Height of a label's letters", unit="m", low=0.01, high=2)
    frame_id: str = setting(
        "", "TF frame of the label of whom no body is seen in space; empty: the microphone's, else the camera's"
    )
    x: float = setting(0.0, "Its place there", unit="m", low=-1000, high=1000)
    y: float = setting(0.0, "Its place there", unit="m", low=-1000, high=1000)
    z: float = setting(0.3, "Its place there", unit="m", low=-1000, high=1000)


@dataclass(frozen=True)
class EmotionSettings:
    """The emotion node: fuses and decides."""

    bundle: str = setting("", "Folder of the model bundle; empty: the default one")
    threads: int = setting(1, "Threads of the inference engine", low=1, high=16)
    person_id: str = setting("", "person_id to put into every estimate", live=True)
    body: str = setting(
        "most",
        "Whose body is the speaker's, of several: that which is seen most, the nearest to the origin of its frame, the "
        "largest in the camera's eye, or the only one (of several, none)",
        choices=BODY_CHOICES,
    )
    provisional_start_s: float = setting(
        1.0, "First provisional estimate after this much speech; 0: none", unit="s", low=0, high=15, live=True
    )
    provisional_period_s: float = setting(
        0.5, "Time between provisional estimates", unit="s", low=0.1, high=15, live=True
    )
    continuous_period_s: float = setting(
        5.0,
        "Time between estimates (CONTINUOUS) of a body of whom nothing is said, and of a speech that goes on; 0: none",
        unit="s",
        low=0,
        high=60,
        live=True,
    )
    evidence_timeout_s: float = setting(
        0.25,
        "How long a final estimate waits for late audio and skeletons, on the ROS clock",
        unit="s",
        low=0,
        high=5,
        live=True,
    )
    text_timeout_s: float = setting(
        3.0,
        "How long a final estimate waits for the final transcript, on the ROS clock",
        unit="s",
        low=0,
        high=30,
        live=True,
    )
    min_speech_s: float = setting(0.3, "Shorter utterances give no estimate from the voice", unit="s", low=0.05, high=5)
    min_level_db: float = setting(
        -60.0, "Quieter voices (RMS) give no estimate from the voice", unit="dB of full scale", low=-90, high=0
    )
    max_clipped: float = setting(
        0.1, "A larger share of samples at full scale gives no estimate from the voice", low=0.001, high=1
    )
    personal_baseline: bool = setting(
        True, "Learn, while somebody talks, how this voice differs from others, and judge it by itself"
    )
    voices_folder: str = setting(
        "",
        "Folder that keeps what was learned of people from run to run, until ~/forget_voices; empty: only in memory",
    )
    neutral_share: float = setting(
        0.25,
        "Share of what people say here that is neutral, by which estimates are corrected; 0.25: all classes are even, "
        "as in training, and daily life is mostly neutral",
        low=0.01,
        high=0.99,
        live=True,
    )
    transcripts: bool = setting(True, "Estimates tell what was said; it is judged all the same", live=True)
    least_agreed: float = setting(
        0.5,
        "Where voice, words and body contradict each other, estimates less sure than this abstain",
        low=0,
        high=1,
        live=True,
    )
    state: StateSettings = group(StateSettings)
    markers: MarkerSettings = group(MarkerSettings)
    ros4hri: Ros4HriPeopleSettings = group(Ros4HriPeopleSettings)


@dataclass(frozen=True)
class MicrophoneSettings:
    """The microphone node: captures from a sound device."""

    device: str = setting("", "Number of the sound device, or a part of its name; empty: the system's default")
    channels: int = setting(1, "Channels to open", low=1, high=64)
    sample_rate: int = setting(SAMPLE_RATE, "Rate to open; 0: the device's own", unit="Hz", low=0, high=192000)
    block_s: float = setting(0.064, "Length of a block", unit="s", low=0.01, high=1)
    frame_id: str = setting("microphone", "TF frame of the microphone")
    file: str = setting("", "A sound file or film that is played in place of a device; empty: none")
    loop: bool = setting(False, "The file begins anew at its end")


#: Settings of each node by its name, in the order in which data flows.
NODES: Mapping[str, type] = {
    "microphone": MicrophoneSettings,
    "speech": SpeechSettings,
    "pose": PoseSettings,
    "mocap": MocapSettings,
    "emotion": EmotionSettings,
}


#: Parameters that every node has beside its settings.
AUTOSTART = Setting("autostart", True, "Configure and activate at start, without a manager", "", None, None, ())
USE_SIM_TIME = Setting(
    "use_sim_time", False, "Follow /clock, as for a bag that is played with --clock", "", None, None, ()
)
