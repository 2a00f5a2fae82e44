"""`mser params` with a parameter file: the values that the nodes would get, and what is wrong with the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mser_ros.cli.main import main
from mser_ros.cli.params import as_markdown, as_yaml
from mser_ros.nodes.parameter_file import parameters_of, read_parameter_file
from mser_ros.settings import NODES
from mser_ros.settings.parameters import build_parameters

MINE = """
/**/speech:
  ros__parameters:
    use_sim_time: true
    stall_s: 2
    asr: {backend: none}
/robot/emotion:
  ros__parameters: {threads: 4, person_id: "ånna"}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINE, encoding="utf-8")
    return path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["params", *arguments]) == 0
    return capsys.readouterr().out


def test_the_nodes_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "mocap", "speech")
    assert list(yaml.safe_load(out)) == ["/**/speech", "/**/mocap"]
    assert out.startswith("# Every parameter of speech, mocap at its default")
    assert printed(capsys, *NODES) == as_yaml()
    assert printed(capsys, "emotion", "--markdown") in as_markdown()


@pytest.mark.parametrize("option", ["--params-file", "--params"])
def test_a_parameter_file_is_merged_and_what_it_changes_is_seen(
    option: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(capsys, option, str(mine), "speech")
    assert out.startswith(f"# Every parameter of speech with {mine} merged")
    assert "    use_sim_time: true  # Follow /clock" in out
    assert "    stall_s: 2.0  # Audio that stays away" in out
    assert out.count("(default ") == 3
    assert '      backend: "none"  # ' in out
    assert '(default "auto")\n' in out
    assert yaml.safe_load(out)["/**/speech"]["ros__parameters"]["segmenter"]["hangover_s"] == 0.5


def test_what_is_printed_is_a_file_that_gives_the_same(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(printed(capsys, "--params-file", str(mine), "--namespace", "robot"), encoding="utf-8")
    for node, settings_class in NODES.items():
        first, second = (parameters_of(read_parameter_file(path), f"/robot/{node}") for path in (mine, copy))
        assert build_parameters(settings_class, first) == build_parameters(settings_class, second)
    assert second["threads"] == 4
    assert second["person_id"] == "ånna"


def test_an_entry_that_means_none_of_the_nodes_is_told(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["params", "--params-file", str(mine)]) == 0
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["/**/emotion"]["ros__parameters"]["threads"] == 1
    assert err == (
        f"{mine}: '/robot/emotion' means none of /microphone, /speech, /pose, /mocap, /emotion: its parameters have no "
        "effect on them\n"
    )
    assert main(["params", "--params-file", str(mine), "--namespace", "/robot/"]) == 0
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["/**/emotion"]["ros__parameters"]["threads"] == 4
    assert err == ""


def test_tables_show_value_and_default(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "speech", "--markdown", "--params-file", str(mine))
    assert "| parameter | value | default | meaning |\n|---|---|---|---|\n" in out
    assert "| `stall_s` | `2.0` | `1.0` | Audio that stays away" in out
    assert "| `use_sim_time` | `true` | `false` | " in out
    assert all(line.count("|") == 5 for line in out.splitlines() if line.startswith("|"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "/**/speech: {ros__parameters: {stal_s: 1.0}}",
            "unknown setting 'stal_s' in {} for node speech: did you mean",
        ),
        (
            "/**/speech: {ros__parameters: {stall_s: soon}}",
            "stall_s must be a number, not 'soon' in {} for node speech",
        ),
        ("/**: {ros__parameters: {autostart: 1}}", "autostart must be true or false, not 1 in {} for node microphone"),
        (
            "mocap: {ros__parameters: {use_sim_time: on time}}",
            "use_sim_time must be true or false, not 'on time' in {}",
        ),
        ("mocap:\n\tros__parameters: {}", "parameter file {} is no YAML (found character '\\t' that cannot start any"),
        ("mocap: {min_confidence: 0.5}", "parameter file {} has no 'ros__parameters': write it like "),
        ("", "parameter file {} has no 'ros__parameters': write it like "),
        (None, "there is no parameter file {}: name one like "),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(
    content: str | None, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_text(content)
    assert main(["params", "--params-file", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mser: " + sentence.format(path))
    assert err.count("\n") == 1


def test_what_is_no_text_file_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path, tmp_path / "mine.yaml"):
        assert main(["params", "--params-file", str(path)]) == 1
        err = capsys.readouterr().err
        assert f"parameter file {path} cannot be read" in err
        assert err.count("\n") == 1


def test_parameters_of_ros_itself_are_left_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("/**: {ros__parameters: {qos_overrides: {/x: {depth: 3}}, start_type_description_service: false}}")
    assert printed(capsys, "mocap", "--params-file", str(path)).splitlines()[1:] == as_yaml(["mocap"]).splitlines()[1:]
