"""`mser doctor`: says what is missing and how to mend it, and whether the nodes can run."""

from __future__ import annotations

import builtins
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mser_ros.cli.doctor import Finding, Verdict, examine
from mser_ros.cli.main import main
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag
from mser_ros.testing import FakeTranscriber

DEMO = Path(__file__).parents[2] / "demo" / "demo.mcap"


def block(monkeypatch: pytest.MonkeyPatch, names: Collection[str]) -> None:
    """Make packages impossible to import for the rest of a test."""
    real = builtins.__import__

    def guarded(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] in names:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", guarded)
    import importlib

    load = importlib.import_module
    monkeypatch.setattr(
        "mser_ros.cli.doctor.import_module", lambda name: guarded(name) if name.split(".")[0] in names else load(name)
    )


def found(bundle: str = "", asr_model: str = "") -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(bundle, asr_model)}


@pytest.fixture
def ros_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if ROS were installed, so that the rest decides."""
    monkeypatch.setattr("mser_ros.cli.doctor._rclpy", lambda: "jazzy")
    monkeypatch.setattr("mser_ros.cli.doctor._mser_msgs", lambda: "Emotion")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if recognisers were loaded, which takes longer than to examine all the rest."""
    monkeypatch.setattr("mser_ros.asr.registry.create_transcriber", lambda *_: FakeTranscriber())


@pytest.mark.usefixtures("loaded")
def test_without_a_bundle_the_nodes_cannot_run(
    ros_found: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--bundle", str(tmp_path / "nowhere")]) == 1
    assert "The nodes cannot run: mend model bundle." in capsys.readouterr().out


def test_what_is_there_is_found(tiny_bundle: Path) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    findings = found(str(tiny_bundle))
    for what in ("Python", "ROS 2 (rclpy)", "interfaces (mser_msgs)", "data files", "model bundle"):
        assert findings[what].verdict is Verdict.OK, findings[what]
    assert "Emotion with 22 fields" in findings["interfaces (mser_msgs)"].found


@pytest.mark.usefixtures("loaded")
def test_without_ros_the_cure_is_named_and_the_exit_code_is_1(
    monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block(monkeypatch, {"rclpy", "mser_msgs", "launch_ros"})
    findings = found(str(tiny_bundle))
    assert findings["ROS 2 (rclpy)"].verdict is Verdict.BROKEN
    assert "source /opt/ros" in findings["ROS 2 (rclpy)"].cure
    assert "colcon build" in findings["interfaces (mser_msgs)"].cure
    assert findings["ros2 launch"].verdict is Verdict.OPTIONAL
    assert main(["doctor", "--bundle", str(tiny_bundle)]) == 1
    assert "mend ROS 2 (rclpy), interfaces (mser_msgs)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("loaded")
def test_what_plays_bags_is_looked_for(monkeypatch: pytest.MonkeyPatch, ros_found: None, tiny_bundle: Path) -> None:
    monkeypatch.setattr("mser_ros.nodes.launch_arguments.has_ros2_bag", lambda: False)
    finding = found(str(tiny_bundle))["ros2 bag"]
    assert (finding.verdict, finding.found) == (Verdict.OPTIONAL, "no command 'ros2 bag', which replay.launch.py needs")
    assert finding.cure.endswith("or replay with 'mser demo --bag BAG'")
    monkeypatch.setattr("mser_ros.nodes.launch_arguments.has_ros2_bag", lambda: True)
    assert found(str(tiny_bundle))["ros2 bag"].verdict is Verdict.OK


@pytest.mark.usefixtures("loaded")
def test_what_is_not_needed_to_run_does_not_count(
    monkeypatch: pytest.MonkeyPatch, ros_found: None, tiny_bundle: Path
) -> None:
    block(monkeypatch, {"torch", "launch_ros", "sounddevice"})
    findings = found(str(tiny_bundle))
    assert findings["training"].verdict is Verdict.OPTIONAL
    assert findings["microphone"].verdict is Verdict.OPTIONAL
    assert main(["doctor", "--bundle", str(tiny_bundle)]) == 0


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers", "soxr", "rosbags", "yaml"])
def test_a_missing_package_of_the_robot_is_named_with_its_cure(
    monkeypatch: pytest.MonkeyPatch, package: str, tiny_bundle: Path
) -> None:
    block(monkeypatch, {package})
    (finding,) = [item for item in examine(str(tiny_bundle), "") if item.cure.startswith("pip install ")][:1]
    assert finding.verdict is Verdict.BROKEN
    assert finding.what.lower().replace("py", "") == package.replace("py", "")


def test_a_model_of_the_recogniser_that_is_none_is_broken(tmp_path: Path, tiny_bundle: Path) -> None:
    finding = found(str(tiny_bundle), str(tmp_path / "nowhere"))["speech recogniser"]
    assert finding.verdict is Verdict.BROKEN
    assert str(tmp_path / "nowhere") in finding.found


def test_everything_that_is_missing_or_broken_has_a_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    block(monkeypatch, {"rclpy", "mser_msgs", "torch", "launch_ros", "sounddevice", "pocketsphinx", "soxr"})
    for finding in examine(str(tmp_path / "nowhere"), str(tmp_path)):
        assert finding.found
        assert (finding.cure != "") == (finding.verdict is not Verdict.OK), finding


# -- of a bag


def test_a_bag_is_described_with_what_can_be_read_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(DEMO)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("/audio" in line and "mser_msgs/msg/AudioFrame" in line for line in lines)
    whole = re.search(r"([\d.]+) s, (\d+) of (\d+) messages read", lines[-1])
    assert whole
    assert whole[2] == whole[3]
    cut = tmp_path / "cut.mcap"
    cut.write_bytes(DEMO.read_bytes()[: DEMO.stat().st_size // 2])
    assert main(["doctor", str(cut)]) == 0
    out = capsys.readouterr().out
    part = re.search(r"([\d.]+) s, (\d+) of (\d+) messages read", out)
    assert part
    assert 0 < int(part[2]) < int(whole[2])
    assert "note: the recorder of cut.mcap did not finish" in out


def test_damage_within_a_bag_is_told_with_what_was_read_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(DEMO.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    (tmp_path / "bad.mcap").write_bytes(content)
    assert main(["doctor", str(tmp_path / "bad.mcap")]) == 1
    out = capsys.readouterr().out
    found = re.search(r"(\d+) of (\d+) messages read", out)
    assert found
    assert int(found[1]) < int(found[2])
    assert "it is damaged; take another copy of it, or record it again" in out


def test_messages_that_do_not_fit_their_type_are_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Bag(DEMO) as bag, BagWriter(tmp_path / "cut") as writer:
        messages, _ = writer.copy(bag, without=[topic for topic in bag.topics if topic != "/audio"])
        for message in messages:
            writer.write_raw(replace(message, raw=message.raw[:20]))
    assert main(["doctor", str(tmp_path / "cut")]) == 1
    out = capsys.readouterr().out
    assert re.search(r" 0 of [1-9]\d* messages read", out)
    assert len(re.findall("note: /audio: the bag .* cannot be read", out)) == 1


def test_what_is_no_bag_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.startswith("mser: there is no bag")
