"""`mser doctor` loads the recogniser that would be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from mser_ros.cli.main import main


def test_with_ros_a_bundle_and_a_recogniser_the_nodes_can_run(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mser_ros.cli.doctor._rclpy", lambda: "jazzy")
    monkeypatch.setattr("mser_ros.cli.doctor._mser_msgs", lambda: "Emotion")
    assert main(["doctor", "--bundle", str(tiny_bundle)]) == 0
    out = capsys.readouterr().out
    assert "The nodes can run." in out
    assert "tiny-1, speech, text, mocap" in out
