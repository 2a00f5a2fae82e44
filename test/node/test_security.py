"""SROS2 under Enforce: with the keys of the policy the nodes work, and without keys nobody is heard or hears.

Needs sros2 and a middleware with the security plug-ins of DDS, which ROS 2 from apt has.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_processes import node_command, parameters, running, stop
from policy import PATH
from ros_world import AudioFrame, Emotion, Skeleton, WaitForEmotion, World, audio_message, demo_values, skeleton_message

keystore = pytest.importorskip("sros2.keystore", reason="sros2 is missing: apt install ros-$ROS_DISTRO-sros2")

#: What this test may do: give sound and bodies, and read what comes of them.
PEER = """<?xml version="1.0" encoding="UTF-8"?>
<policy version="0.2.0"><enclaves><enclave path="/peer"><profiles><profile ns="/" node="peer">
  <topics publish="ALLOW">
    <topic>audio</topic> <topic>skeleton_in</topic> <topic>clock</topic>
    <topic>parameter_events</topic> <topic>rosout</topic>
  </topics>
  <topics subscribe="ALLOW"> <topic>diagnostics</topic> <topic>emotion</topic> <topic>clock</topic> </topics>
  <services reply="ALLOW">
    <service>~/describe_parameters</service> <service>~/get_parameter_types</service>
    <service>~/get_parameters</service> <service>~/get_type_description</service>
    <service>~/list_parameters</service> <service>~/set_parameters</service>
    <service>~/set_parameters_atomically</service>
  </services>
  <actions call="ALLOW"> <action>wait_for_emotion</action> </actions>
</profile></profiles></enclave></enclaves></policy>
"""
#: Somebody who talks to the nodes without keys, until a line comes; it then tells what it heard, and who heard it.
INTRUDER = """
import rclpy, sys, threading
from mser_msgs.msg import AudioFrame, Emotion
rclpy.init()
node, heard = rclpy.create_node("intruder"), []
node.create_subscription(Emotion, "emotion", heard.append, 10)
audio = node.create_publisher(AudioFrame, "audio", 10)
threading.Thread(target=rclpy.spin, args=(node,), daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
print(len(heard), audio.get_subscription_count(), node.get_node_names(), flush=True)
"""


@pytest.fixture
def secure(ros: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of the nodes; that of this process has the keys of the peer."""
    keys, theirs = tmp_path / "keys", tmp_path / "peer.xml"
    theirs.write_text(PEER)
    keystore.create_keystore(keys)
    for name, policy in (("/mser_ros", PATH), ("/peer", theirs)):
        keystore.create_enclave(keys, name)
        keystore.create_permission(keys, name, policy)
    monkeypatch.setenv("ROS_SECURITY_KEYSTORE", str(keys))
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    monkeypatch.setenv("ROS_SECURITY_STRATEGY", "Enforce")
    monkeypatch.setenv("ROS_SECURITY_ENCLAVE_OVERRIDE", "/peer")
    probe = [sys.executable, "-c", "import rclpy; rclpy.init(); rclpy.create_node('peer')"]
    done = subprocess.run(probe, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this middleware has no security plug-ins: {done.stderr.strip().splitlines()[-1]}")
    return os.environ | {"ROS_SECURITY_ENCLAVE_OVERRIDE": "/mser_ros"}


@pytest.fixture
def peer(secure: dict[str, str]) -> Iterator[World]:
    world = World()
    yield world
    world.close()


def test_under_enforce_the_nodes_work_and_without_keys_nobody_hears_or_is_heard(
    peer: World, secure: dict[str, str], tiny_bundle: Path, tmp_path: Path
) -> None:
    commands = {name: node_command(name, *parameters(tiny_bundle)) for name in ("speech", "mocap", "emotion")}
    open_to_all = {name: value for name, value in os.environ.items() if not name.startswith("ROS_SECURITY")}
    intruder = subprocess.Popen(
        [sys.executable, "-c", INTRUDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=open_to_all
    )
    assert intruder.stdin is not None
    assert intruder.stdout is not None
    try:
        assert intruder.stdout.readline() == "ready\n"
        with running(tmp_path, environment=secure, **commands) as processes:
            emotions = peer.listen(Emotion, "emotion")
            linked = {"/speech": ("voice", "utterance"), "/mocap": ("skeleton",), "/emotion": ("emotion",)}
            peer.wait(
                lambda: all(
                    int(peer.diagnostics.get(node, {}).get(f"subscribers {topic}", 0)) > 0
                    for node, topics in linked.items()
                    for topic in topics
                ),
                "links between the nodes",
            )
            client = peer.waiting()
            goal = client.send("sad", confidence=1.0, timeout_s=0.1)
            assert goal.accepted
            assert client.result(goal)[1].outcome == WaitForEmotion.Result.TIMED_OUT
            ear, eye = peer.publisher(AudioFrame, "audio"), peer.publisher(Skeleton, "skeleton_in")
            audio, skeletons = demo_values(until_s=5.1)
            for frame in skeletons[:100]:
                eye.publish(skeleton_message(frame))
            for chunk in audio:
                ear.publish(audio_message(chunk))
            peer.wait(lambda: any(item.state == Emotion.FINAL for item in emotions), "a final emotion")
            final = next(item for item in emotions if item.state == Emotion.FINAL)
            assert {item.modality: item.available for item in final.evidence}["speech"], "sound came through"
            intruder.stdin.write("\n")
            intruder.stdin.flush()
            assert intruder.stdout.readline() == "0 0 ['intruder']\n"
            assert stop(processes) == dict.fromkeys(commands, 0)
        for name in commands:
            assert "Traceback" not in (tmp_path / name).read_text()
    finally:
        intruder.kill()
        intruder.wait()


def test_who_has_keys_may_do_no_more_than_its_policy_says(peer: World) -> None:
    with pytest.raises(Exception, match="voice"):
        peer.peer.create_publisher(AudioFrame, "voice", 10)
