"""Settings are checked in one place; the YAML file, the README's topics and the code say the same of them."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.cli.params import as_yaml
from mser_ros.errors import SettingsError
from mser_ros.resources import config_file
from mser_ros.settings import (
    NODES,
    AsrSettings,
    EmotionSettings,
    MicrophoneSettings,
    MocapSettings,
    SegmenterSettings,
    SpeechSettings,
)
from mser_ros.settings.parameters import build_parameters
from mser_ros.settings.schema import Setting, build, flatten

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mser_ros"
EVERY = [pytest.param(node, item, id=f"{node}.{item.name}") for node in NODES for item in flatten(NODES[node])]


def value_of(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


# -- two places that must agree


def test_the_parameter_file_is_what_mser_params_prints() -> None:
    assert config_file().read_text() == as_yaml(), "call: mser params > config/emotion.yaml"


def test_the_parameter_file_builds_the_defaults() -> None:
    content = yaml.safe_load(config_file().read_text())
    assert list(content) == [f"/**/{node}" for node in NODES]

    def dotted(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, value in values.items():
            flat |= dotted(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        return flat

    for node, settings_class in NODES.items():
        values = dotted(content[f"/**/{node}"]["ros__parameters"])
        assert values.pop("autostart") is True
        assert list(values) == [item.name for item in flatten(settings_class)]
        assert build(settings_class, values) == settings_class()


def between(text: str, marker: str) -> str:
    """What stands between two markers of README.md, which must be there."""
    found = re.search(rf"<!-- {marker} -->\n(.*?)\n?<!-- /{marker} -->", text, re.DOTALL)
    assert found, f"README.md has no tables between <!-- {marker} --> and <!-- /{marker} -->"
    return found[1]


@pytest.fixture
def readme() -> str:
    path = ROOT / "README.md"
    if not path.is_file():
        pytest.skip("README.md is missing: this is not a source checkout")
    return path.read_text()


#: Modules beside a node's own that open topics of it.
PARTS = {"emotion": ["states"]}


def topics_in_code(node: str) -> tuple[list[str], list[str]]:
    """What a node subscribes and publishes, from the calls in its source."""
    found: dict[str, list[str]] = {"self.subscribe": [], "outputs.open": []}
    for module in [f"{node}_node", *PARTS.get(node, [])]:
        for call in ast.walk(ast.parse((PACKAGE / "nodes" / f"{module}.py").read_text())):
            name = ".".join(ast.unparse(call.func).split(".")[-2:]) if isinstance(call, ast.Call) else ""
            if name not in found or isinstance(call.args[1], ast.JoinedStr):  # a topic that is found out at run time
                continue
            assert isinstance(call.args[1], ast.Constant)
            found[name].append(str(call.args[1].value))
    return found["self.subscribe"], found["outputs.open"]


def test_the_topics_of_the_readme_are_those_of_the_code(readme: str) -> None:
    rows = [line.strip("|").split("|") for line in between(readme, "topics").splitlines()[2:]]
    stated = {
        re.findall("`(.*?)`", name)[0]: tuple(sorted(re.findall("`(.*?)`", cell)) for cell in (takes, gives))
        for name, takes, gives in rows
    }
    assert stated == {node: tuple(sorted(topics) for topics in topics_in_code(node)) for node in NODES}


# -- each setting


@pytest.mark.parametrize(("node", "item"), EVERY)
def test_a_setting_is_described_and_its_default_is_allowed(node: str, item: Setting) -> None:
    assert item.check(item.default) == item.default
    assert item.description
    assert not item.description.endswith(".")
    number = isinstance(item.default, int | float) and not isinstance(item.default, bool)
    assert number == (item.low is not None) == (item.high is not None), "numbers, and only they, have a range"
    if item.name.endswith("_s"):
        assert item.unit == "s"


@pytest.mark.parametrize(("node", "item"), EVERY)
def test_a_setting_has_an_effect_somewhere(node: str, item: Setting) -> None:
    name = item.name.rsplit(".", 1)[-1]
    sources = [path for path in PACKAGE.rglob("*.py") if not {"settings", "settings.py"} & set(path.parts)]
    assert any(re.search(rf"\.{name}\b", path.read_text()) for path in sources), f"nothing reads {name}"


@pytest.mark.parametrize(("node", "item"), [row for row in EVERY if row.values[1].low is not None])  # type: ignore[union-attr]
def test_a_number_out_of_its_range_is_refused_and_at_its_ends_allowed(node: str, item: Setting) -> None:
    kind = type(item.default)
    step = 1 if kind is int else 1e-6
    assert item.low is not None
    assert item.high is not None
    for good in (item.low, item.high):
        assert item.check(kind(good)) == good
    for bad in (item.low - step, item.high + step):
        with pytest.raises(SettingsError, match=rf"{re.escape(item.name)} must lie in .* to .*, not "):
            build(NODES[node], {item.name: kind(bad)})


@pytest.mark.parametrize(("node", "item"), EVERY)
def test_a_value_of_another_type_is_refused(node: str, item: Setting) -> None:
    allowed = {float: (float, int)}.get(type(item.default), (type(item.default),))
    for wrong in (None, [], {}, b"1", "seven", 7, 7.5, True):
        if type(wrong) not in allowed:
            with pytest.raises(
                SettingsError, match=rf"{re.escape(item.name)} must be .*, not {re.escape(repr(wrong))}"
            ):
                build(NODES[node], {item.name: wrong})


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_out_of_every_range(wrong: float) -> None:
    with pytest.raises(SettingsError, match="must lie in"):
        build(SpeechSettings, {"stall_s": wrong})


def test_a_choice_names_what_can_be_chosen() -> None:
    message = r"asr\.backend must be one of auto, whisper, vosk, pocketsphinx, none, not 'siri'"
    with pytest.raises(SettingsError, match=message):
        build(SpeechSettings, {"asr.backend": "siri"})


# -- building


def test_values_reach_the_setting_they_name_and_no_other() -> None:
    built = build(SpeechSettings, {"segmenter.hangover_s": 1, "voice_id": "anna", "asr.backend": "none"})
    assert built.segmenter == dataclasses.replace(SegmenterSettings(), hangover_s=1.0)
    assert built.voice_id == "anna"
    assert built.asr == dataclasses.replace(AsrSettings(), backend="none")
    assert built.stream == SpeechSettings().stream
    assert isinstance(built.segmenter.hangover_s, float)


@given(st.data())
def test_whatever_is_set_within_its_range_is_built(data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(sorted(NODES)))
    values: dict[str, Any] = {}
    for item in flatten(NODES[node]):
        if item.low is None or item.high is None:
            values[item.name] = item.default
        elif isinstance(item.default, int):
            values[item.name] = data.draw(st.integers(int(item.low), int(item.high)))
        else:
            values[item.name] = data.draw(st.floats(item.low, item.high))
    if node == "speech" and (
        values["segmenter.end_threshold"] > values["segmenter.start_threshold"]
        or values["segmenter.min_speech_s"] > values["segmenter.max_speech_s"]
    ):
        with pytest.raises(SettingsError, match="segmenter"):
            build(NODES[node], values)
    else:
        built = build(NODES[node], values)
        assert {item.name: value_of(built, item.name) for item in flatten(NODES[node])} == values


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("segmenter.hangover", "did you mean 'segmenter.hangover_s'?"),
        ("hangover_s", "did you mean"),
        ("zzz", "known ones are voice_id, stall_s"),
        ("asr", "unknown setting 'asr'"),
        ("", "unknown setting ''"),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build(SpeechSettings, {name: 1.0}, where="robot.yaml")
    assert hint in str(caught.value)
    assert "in robot.yaml" in str(caught.value)


def test_a_refusal_says_where_the_value_stands() -> None:
    with pytest.raises(SettingsError, match=r"threads must lie in 1 to 16, not 0 in robot\.yaml"):
        build(EmotionSettings, {"threads": 0}, where="robot.yaml")


def test_the_end_of_speech_needs_less_voice_than_its_start() -> None:
    with pytest.raises(SettingsError, match="end_threshold must not lie above"):
        build(SpeechSettings, {"segmenter.end_threshold": 0.6})
    build(SpeechSettings, {"segmenter.end_threshold": 0.5})


def test_the_shortest_utterance_is_not_longer_than_the_longest() -> None:
    with pytest.raises(SettingsError, match="min_speech_s must not lie above"):
        build(SpeechSettings, {"segmenter.min_speech_s": 3.0, "segmenter.max_speech_s": 2.0})
    build(SpeechSettings, {"segmenter.min_speech_s": 2.0, "segmenter.max_speech_s": 2.0})


def test_vosk_needs_a_model() -> None:
    with pytest.raises(
        SettingsError, match=r"needs asr\.model_path: the folder of a downloaded Vosk.*asr_model:=FOLDER"
    ):
        build(SpeechSettings, {"asr.backend": "vosk"})
    build(SpeechSettings, {"asr.backend": "vosk", "asr.model_path": "somewhere"})


def test_the_parameters_that_every_node_has_are_checked_and_those_of_ros_left_alone() -> None:
    common = {
        "autostart": False,
        "use_sim_time": True,
        "qos_overrides./x.depth": 3,
        "start_type_description_service": 7,
    }
    assert build_parameters(EmotionSettings, common | {"threads": 2}) == EmotionSettings(threads=2)
    for name in ("autostart", "use_sim_time"):
        with pytest.raises(SettingsError, match=f"^{name} must be true or false, not 'treu' in robot$"):
            build_parameters(EmotionSettings, {name: "treu"}, where="robot")
    with pytest.raises(SettingsError, match="unknown setting 'use_simtime'"):
        build_parameters(EmotionSettings, {"use_simtime": True})


def test_what_is_a_setting_of_another_node_is_refused_with_its_name() -> None:
    with pytest.raises(
        SettingsError, match=r"'state\.events' in robot: it is of node emotion.* -p emotion:state\.events:="
    ):
        build_parameters(SpeechSettings, {"state.events": "sad 0.6 20"}, where="robot")
    with pytest.raises(SettingsError, match="'threads': it is of node pose and emotion"):
        build_parameters(SpeechSettings, {"threads": 2})
    slip = r"did you mean 'asr\.backend'\? It is of node speech, so name that, as -p speech:asr\.backend:=VALUE"
    with pytest.raises(SettingsError, match=slip):
        build_parameters(MocapSettings, {"asr.bakend": "none"})
    with pytest.raises(SettingsError, match=r"did you mean 'asr\.backend'\?$"):
        build_parameters(SpeechSettings, {"asr.bakend": "none"})


def test_settings_cannot_be_changed_by_accident() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        MicrophoneSettings().channels = 2  # type: ignore[misc]
