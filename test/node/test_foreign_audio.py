"""Speech nodes in a process of their own hear what both packages named audio_common_msgs send, each where it is."""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile
from foreign_messages import Peer, nodes_process
from ogg_streams import lag, ogg, pages
from ros_world import T0, AudioFrame, Utterance, World, demo_values

from mser_ros.messages.conversions import ns_to_time
from mser_ros.types import to_ns

BLOCK = 1600
QUIET = ["-p", "asr.backend:=none", "-p", "stall_s:=30.0"]


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Speech of 3 s, int16 (n,), in whole blocks."""
    samples = np.concatenate([chunk.samples[:, 0] for chunk in demo_values(until_s=4)[0]])[16000:]
    return samples[: len(samples) // BLOCK * BLOCK]


class Ears:
    """A speech node for each name, all in another process."""

    def __init__(self, stack: ExitStack, world: World, tmp_path: Any, prefix: str, **parameters: dict[str, str]):
        self.world = world
        self.voice: dict[str, list[AudioFrame]] = {}
        self.utterances: dict[str, list[Utterance]] = {}
        given: dict[str, list[str]] = {}
        for name, own in parameters.items():
            self.voice[name] = world.listen(AudioFrame, f"/{name}/voice")
            self.utterances[name] = world.listen(Utterance, f"/{name}/utterance")
            given[name] = [*QUIET, *(part for key, value in own.items() for part in ("-p", f"{key}:={value}"))]
        stack.enter_context(nodes_process("speech", tmp_path / "log", given, (prefix,)))
        self.peer = stack.enter_context(Peer(world, prefix))
        world.wait(lambda: all(self.value(name, "subscribers voice") == "1" for name in parameters), "the nodes")

    def value(self, name: str, key: str) -> str:
        return self.world.diagnostics.get(f"/{name}/speech", {}).get(key, "")

    def say(self, name: str, kind: str, *messages: dict[str, Any]) -> None:
        """Publish audio, and wait until all of it was received."""
        self.peer.publish(f"audio_common_msgs/{kind}", f"/{name}/audio", *messages)
        self.world.wait(lambda: self.value(name, "received audio") == str(len(messages)), f"{kind} to be heard")

    def heard(self, name: str, samples: int) -> np.ndarray:
        """What was heard, once it is there; an utterance has begun in it."""
        chunks = self.voice[name]
        self.world.wait(lambda: sum(len(chunk.samples) for chunk in chunks) >= samples, f"the sound at {name}")
        self.world.wait(lambda: bool(self.utterances[name]), f"an utterance at {name}")
        return np.concatenate([np.asarray(chunk.samples, np.int16) for chunk in chunks])


def blocks(samples: np.ndarray) -> list[np.ndarray]:
    return list(samples.reshape(-1, BLOCK))


def header(number: int) -> dict[str, Any]:
    return {"stamp": ns_to_time(T0 + number * to_ns(BLOCK / 16000)), "frame_id": "ear"}


def test_what_ros_drivers_capture_sends_is_heard(world: World, tmp_path, sound):
    """Bare bytes as audio_info describes them or in mp3, stamped ones, and one that holds half a sample."""
    mp3 = BytesIO()
    soundfile.write(mp3, sound, 16000, format="MP3")
    coded = [mp3.getvalue()[at : at + 500] for at in range(0, len(mp3.getvalue()), 500)]
    told = {"channels": 2, "sample_rate": 16000, "sample_format": "S16BE", "coding_format": "wave"}
    stereo = [np.repeat(block, 2).astype(">i2").tobytes() for block in blocks(sound)]
    own = {"bare": {}, "coded": {"audio.format": "mp3"}, "stamped": {"voice_id": "ann"}}
    with ExitStack() as stack:
        ears = Ears(stack, world, tmp_path, "audio_drivers", **own)
        ears.peer.publish("audio_common_msgs/AudioInfo", "/bare/audio_info", told, kept=True)
        world.wait(lambda: ears.value("bare", "received audio_info") == "1", "the info")
        ears.say("bare", "AudioData", *({"data": list(block)} for block in stereo))
        ears.say("coded", "AudioData", *({"data": list(part)} for part in coded))
        stamped = [
            {"header": header(number), "audio": {"data": list(block.tobytes())}}
            for number, block in enumerate(blocks(sound))
        ]
        ears.say("stamped", "AudioDataStamped", {"audio": {"data": [1, 2, 3]}}, *stamped)

        whole = len(sound) - BLOCK
        np.testing.assert_array_equal(ears.heard("bare", whole)[:whole], sound[:whole])
        np.testing.assert_array_equal(ears.heard("stamped", whole)[:whole], sound[:whole])
        first = ears.voice["stamped"][0]
        assert (first.voice_id, first.header.frame_id) == ("ann", "ear")
        assert first.header.stamp.sec * 10**9 + first.header.stamp.nanosec == T0
        # An encoder of mp3 puts silence before the sound, about a thousand samples of it.
        lags = np.correlate(ears.heard("coded", whole)[:whole].astype(float), sound[: whole - 2 * BLOCK].astype(float))
        assert lags.max() > 0.9 * np.sum(sound[: whole - 2 * BLOCK].astype(float) ** 2)
        world.wait(lambda: ears.value("stamped", "rejected") == "1", "the half sample to be counted")
        assert ears.value("bare", "unstamped") == ears.value("bare", "received audio")


def test_what_comes_in_ogg_is_heard_from_its_beginning_or_from_the_midst_of_it(world: World, tmp_path, sound):
    """Opus in bytes as audio_info describes them, Vorbis and stamped Opus, one page in each message; Opus of which the
    beginning was missed; and Vorbis likewise, which is heard when its source begins anew."""
    pytest.importorskip("av", reason="PyAV is missing: call 'make setup-dev', or pip install av")
    wave = sound[:, None] / 32768
    opus = ogg(wave, 16000, "OPUS", page_s=0.1)
    vorbis = pages(ogg(np.repeat(wave, 2, axis=1), 16000, "VORBIS", page_s=0.1))
    told = {"channels": 1, "sample_rate": 16000, "sample_format": "", "coding_format": "ogg"}
    coded = {"audio.format": "ogg"}
    own = {"told": {}, "vorbis": coded, "stamped": coded, "late": coded, "deaf": coded}
    with ExitStack() as stack:
        ears = Ears(stack, world, tmp_path, "audio_drivers", **own)
        ears.peer.publish("audio_common_msgs/AudioInfo", "/told/audio_info", told, kept=True)
        world.wait(lambda: ears.value("told", "received audio_info") == "1", "the info")
        ears.say("told", "AudioData", *({"data": list(opus[at : at + 150])} for at in range(0, len(opus), 150)))
        ears.say("vorbis", "AudioData", *({"data": list(each)} for each in vorbis))
        ears.say(
            "stamped",
            "AudioDataStamped",
            # Two pages of headers come before the first with sound.
            *(
                {"header": header(max(0, number - 2)), "audio": {"data": list(each)}}
                for number, each in enumerate(pages(opus))
            ),
        )
        ears.say("late", "AudioData", *({"data": list(each)} for each in pages(opus)[4:]))
        ears.say("deaf", "AudioData", *({"data": list(each)} for each in vorbis[5:]))
        world.wait(lambda: "was missed" in ears.value("deaf", "last problem"), "a sentence on what was missed")
        assert int(ears.value("deaf", "rejected")) == len(vorbis) - 7
        ears.peer.publish("audio_common_msgs/AudioData", "/deaf/audio", *({"data": list(each)} for each in vorbis))

        for name, missing in (("told", 0), ("vorbis", 0), ("stamped", 0), ("late", 2 * BLOCK), ("deaf", 0)):
            late, alike = lag(ears.heard(name, len(sound) - BLOCK - missing), sound)
            assert (abs(late + missing) < 500, alike > 0.9) == (True, True), name
            assert ears.value(name, "lost_samples") == "0"
        first = ears.voice["stamped"][0]
        assert first.header.frame_id == "ear"
        assert first.header.stamp.sec * 10**9 + first.header.stamp.nanosec == T0
        assert ears.value("told", "rejected") == "0"


def test_what_the_other_package_of_that_name_sends_is_heard(world: World, tmp_path, sound):
    """Every type of samples, with and without a stamp."""
    scaled = {
        "float32": lambda block: (block / 32768).astype(np.float32),
        "int32": lambda block: block.astype(np.int32) << 16,
        "int16": lambda block: block,
        "int8": lambda block: (block >> 8).astype(np.int8),
        "uint8": lambda block: ((block >> 8) + 128).astype(np.uint8),
    }

    def audio(kind: str, block: np.ndarray) -> dict[str, Any]:
        told = {"format": 8, "channels": 1, "rate": 16000, "chunk": BLOCK}
        return {"audio_data": {f"{kind}_data": scaled[kind](block).tolist()}, "info": told}

    kinds = [list(scaled)[number % len(scaled)] for number in range(len(blocks(sound)))]
    messages = [audio(kind, block) for kind, block in zip(kinds, blocks(sound), strict=True)]
    rounded = np.concatenate(
        [(block >> 8) << 8 if "8" in kind else block for kind, block in zip(kinds, blocks(sound), strict=True)]
    )
    with ExitStack() as stack:
        ears = Ears(stack, world, tmp_path, "audio_mgonzs13", plain={}, stamped={})
        ears.say("plain", "Audio", *messages)
        stamped = [{"header": header(number), "audio": message} for number, message in enumerate(messages)]
        ears.say("stamped", "AudioStamped", *stamped, {"audio": audio("float32", np.full(4, np.nan))})
        whole = len(sound) - BLOCK
        for name in ("plain", "stamped"):
            np.testing.assert_array_equal(ears.heard(name, whole)[:whole], rounded[:whole])
        world.wait(lambda: ears.value("stamped", "rejected") == "1", "what is no sound to be counted")
        assert "no numbers" in ears.value("stamped", "last problem")
        assert ears.value("plain", "rejected") == "0"


def test_where_no_such_package_is_installed_the_diagnostics_name_the_cure(world: World, tmp_path, sound):
    with (
        nodes_process("speech", tmp_path / "log", {"": QUIET}),
        Peer(world, "audio_mgonzs13") as peer,
    ):
        peer.publish("audio_common_msgs/AudioStamped", "audio", {}, kept=True)
        world.wait(
            lambda: "audio_common_msgs" in world.diagnostics.get("/speech", {}).get("last problem", ""),
            "a sentence that names the package",
        )
        assert "not installed here: install or build" in world.diagnostics["/speech"]["last problem"]
