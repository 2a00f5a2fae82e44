"""The command line as a whole: help, hints, exit codes, parameters, and how an emotion looks as a line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from mser_ros import __version__
from mser_ros.cli.lines import emotion_line
from mser_ros.cli.main import COMMANDS, main
from mser_ros.labels import LABELS
from mser_ros.messages.conversions import emotion_to_fields
from mser_ros.messages.records import emotion_record
from mser_ros.resources import config_file
from mser_ros.settings import NODES
from mser_ros.types import NS_PER_S, AbstainReason, EmotionEstimate, EstimateState, ModalityEvidence

ROOT = Path(__file__).parents[2]


def test_the_help_lists_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, text) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text[:20])}", out, re.MULTILINE)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_is_given_both_ways(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", option]) == 0
    assert capsys.readouterr().out.startswith("Usage: mser params")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) in (0, 2)
    out, err = capsys.readouterr()
    assert "Usage: mser" in out + err
    assert "annotate" in out + err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("anotate", "did you mean 'annotate'?"), ("docter", "did you mean 'doctor'?"), ("xyz", "--help")],
)
def test_an_unknown_command_is_refused_with_a_hint(typed: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([typed]) == 2
    err = capsys.readouterr().err
    assert f"No such command '{typed}': " in err
    assert hint in err


def test_an_unknown_option_is_refused_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", "--html"]) == 2
    assert "--html" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["-talk.wav", "-o.wav"])
def test_a_file_that_looks_like_an_option_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """As a shell lists it for '*.wav'; the second would be taken for a folder of that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    assert main(["annotate", name, "-o", "out"]) == 2
    assert f"the file '{name}' would be taken for options: name it './{name}'" in capsys.readouterr().err
    assert main(["annotate", f"./{name}", "-o", "out"]) == 1
    assert main(["annotate", "-o", "out", "--", name]) == 1
    assert capsys.readouterr().err.count("is empty") == 2


def test_ctrl_c_is_exit_code_130_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("mser_ros.cli.params.as_yaml", interrupt)
    assert main(["params"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("mser_ros.cli.params.as_yaml", stumble)
    with pytest.raises(ZeroDivisionError):
        main(["params"])


def mser(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mser_ros.cli.main", *arguments]


def test_the_module_runs_and_its_exit_code_is_the_commands() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(mser("params"), capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert yaml.safe_load(done.stdout).keys() == {f"/**/{node}" for node in NODES}
    failed = subprocess.run(mser("annotate"), capture_output=True, text=True, env=environment, check=False)
    assert failed.returncode == 2


def test_output_that_nobody_reads_any_more_is_no_error() -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(mser("params"), stdout=writer, stderr=subprocess.PIPE, env=environment, check=False)
    finally:
        os.close(writer)
    assert done.stderr == b""


def test_the_parameters_are_printed_as_tables_for_a_readme(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("**")] == [f"**{node}**" for node in NODES]
    assert "| `segmenter.hangover_s` | `0.5` | Silence that ends an utterance [s], 0.1 to 5 |" in out
    assert all(line.count("|") == 4 for line in out.splitlines() if line.startswith("|"))


@pytest.mark.parametrize("command", ["run", "demo", "bench"])
def test_the_commands_that_need_ros_explain_themselves(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    assert main([command, "--help"]) == 0
    assert f"Usage: mser {command}" in capsys.readouterr().out


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str]]]:
    """Names and ROS arguments of the nodes that `mser run` would have run."""
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    calls: list[tuple[list[str], list[str]]] = []
    monkeypatch.setattr("mser_ros.cli.run.run_nodes", lambda names, arguments: calls.append((names, arguments)) or 0)
    return calls


@pytest.mark.parametrize("option", ["--params-file", "--params"])
def test_run_takes_the_parameter_file_by_both_names_and_hands_on_what_is_for_ros(
    option: str, started: list[tuple[list[str], list[str]]], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**/speech: {ros__parameters: {asr: {backend: none}}}")
    for_ros = ["--ros-args", "-r", "a:=b", "--params-file", "more.yaml", "--whatever"]
    assert main(["run", option, str(mine), "--no-microphone", *for_ros]) == 0
    ((names, arguments),) = started
    assert names == [name for name in NODES if name not in ("microphone", "pose")]
    assert arguments == ["--ros-args", "--params-file", str(mine), "--", *for_ros]
    assert main(["run"]) == 0
    assert main(["run", "--camera"]) == 0
    assert [names for names, _ in started[1:]] == [[name for name in NODES if name != "pose"], list(NODES)]
    assert started[2] == (list(NODES), ["--ros-args", "--params-file", str(config_file()), "--"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--parms", "x.yaml"], "No such option: --parms"),
        (["--no-microphone", "--foo", "--ros-args"], "No such option: --foo"),
        (["x.yaml"], "Got unexpected extra argument (x.yaml)"),
        (["-p", "use_sim_time:=true"], "No such option: -p"),
    ],
)
def test_run_refuses_what_it_does_not_know(
    arguments: list[str],
    sentence: str,
    started: list[tuple[list[str], list[str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", *arguments]) == 2
    assert re.search(re.escape(sentence).replace(":\\ ", r":? '?"), capsys.readouterr().err)
    assert started == []


def test_run_says_what_is_wrong_with_a_parameter_file_before_it_starts(
    started: list[tuple[list[str], list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text("speech: [")
    assert main(["run", "--params-file", str(tmp_path / "mine.yaml")]) == 1
    err = capsys.readouterr().err
    assert "mine.yaml is no YAML" in err
    assert err.count("\n") == 1
    assert started == []


def test_the_data_of_a_demo_may_be_named_from_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["demo", "--data=~/people"]) == 1
    assert f"in {tmp_path / 'people'}: name the folder that holds one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["run", "--params", "nowhere.yaml"], "there is no parameter file nowhere.yaml: name one like"),
        (["demo", "--bag", "nowhere.mcap"], "there is no bag nowhere.mcap: check the path"),
    ],
)
def test_what_is_missing_is_said_before_any_node_is_started(
    arguments: list[str], why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    monkeypatch.setenv("ROS_DOMAIN_ID", "0")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert why in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


# -- an emotion as a line


def line(**changes: object) -> str:
    fields: dict = {
        "stamp_ns": 12 * NS_PER_S + 340_000_000, "state": EstimateState.FINAL, "labels": LABELS,
        "probabilities": np.array([0.05, 0.85, 0.07, 0.03]), "label": "happy", "confidence": 0.85,
        "utterance_id": "voice-1700000001000-7", "transcript": "see you", "latency_s": 0.0834,
        "evidence": tuple(ModalityEvidence(name, name != "text") for name in ("speech", "text", "mocap")),
    }  # fmt: skip
    return emotion_line(emotion_record(emotion_to_fields(EmotionEstimate(**fields | changes))), begin_s=10.0).plain


def test_a_line_tells_time_utterance_state_label_bars_modalities_words_and_latency() -> None:
    assert line() == "    2.34 s    7 final       happy    85%     5% ▇ 85% ▁  7%    3% S·M  “see you”  83 ms"


def test_a_line_of_an_abstaining_estimate_tells_why() -> None:
    text = line(label="unknown", confidence=0.0, abstain_reason=AbstainReason.TOO_QUIET, probabilities=np.full(4, 0.25))
    assert "unknown" in text
    assert "(too quiet)" in text
    assert "   –  " in text


def test_a_line_without_words_or_a_clock_leaves_them_out() -> None:
    text = line(transcript="", latency_s=-1.0)
    assert "“" not in text
    assert not text.endswith("ms")


@pytest.mark.parametrize("state", EstimateState)
def test_every_state_has_a_line(state: EstimateState) -> None:
    assert state.name.lower() in line(state=state)


def test_lines_of_one_bundle_stand_below_each_other() -> None:
    one, other = line(), line(label="sad", confidence=1.0, probabilities=np.array([0.0, 0.0, 1.0, 0.0]))
    assert one.index("S·M") == other.index("S·M")
