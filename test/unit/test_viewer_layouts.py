"""What the layouts for Foxglove and rviz show is there: topics, fields, classes, frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rosbags.interfaces import Nodetype

from mser_ros.labels import COLOURS, LABELS
from mser_ros.messages.bags import message_types
from mser_ros.messages.markers import EmotionLabels
from mser_ros.mocap.buffer import SkeletonBuffer
from mser_ros.settings import MarkerSettings, MocapSettings, PoseSettings
from mser_ros.types import PersonState

ROOT = Path(__file__).parents[2]
LAYOUT = json.loads((ROOT / "config" / "foxglove_layout.json").read_text())
PANELS: dict[str, dict[str, Any]] = LAYOUT["configById"]
RVIZ = yaml.safe_load((ROOT / "config" / "mser.rviz").read_text())["Visualization Manager"]


def types() -> dict[str, str]:
    """Topics of the nodes, absolute, by the table of docs/topics.md, which other tests hold to the code."""
    table = (ROOT / "docs" / "topics.md").read_text().split("<!-- types -->")[1].split("<!-- /types -->")[0]
    rows = [re.findall(r"`([~\w/]+)`", row) for row in table.strip().splitlines()[2:]]
    return {f"/{row[0].lstrip('/')}": row[1].replace("/", "/msg/") for row in rows}


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (name for name in value if name.startswith("/"))
        yield from (text for item in value.values() for text in strings(item))
    elif isinstance(value, list):
        yield from (text for item in value for text in strings(item))


def kind_at(path: str) -> str:
    """What a path of Foxglove leads to: the name of a message's or a number's type. Raises where it leads nowhere."""
    topic, _, rest = path.partition(".")
    kind = types()[topic]
    for step in re.findall(r'(?:\[[^\]]*\]|\{[^}]*\}|"[^"]*"|[^.\[{])+', rest):
        found = re.fullmatch(r"(\w+)(\[(?:\d+|:)\])?(?:\{(\w+)==\"(\w+)\"\})?", step)
        assert found, f"{path}: what is {step}?"
        name, index, condition, _ = found.groups()
        described, detail = dict(message_types().fielddefs[kind][1])[name]
        is_array = described in (Nodetype.ARRAY, Nodetype.SEQUENCE)
        assert is_array == bool(index), path
        if is_array:
            described, detail = detail[0]
        kind = detail if described == Nodetype.NAME else detail[0]
        if condition:
            assert dict(message_types().fielddefs[kind][1])[condition][1][0] == "string"
    return kind


@pytest.mark.parametrize("path", sorted({text for text in strings(PANELS) if text.startswith("/")}))
def test_a_path_of_the_foxglove_layout_leads_somewhere(path: str) -> None:
    assert kind_at(path)


def test_a_path_that_leads_nowhere_would_be_found() -> None:
    for path in ("/mood.label", "/state.mood", "/state.labels", '/emotion.evidence[:]{mood=="a"}.weight'):
        with pytest.raises((KeyError, AssertionError)):
            kind_at(path)
    assert kind_at('/emotion.evidence[:]{modality=="text"}.weight') == "float32"


def test_what_is_plotted_is_a_number_and_has_the_name_and_colour_of_its_class() -> None:
    series = [path for name, panel in PANELS.items() if name.startswith("Plot!") for path in panel["paths"]]
    assert len(series) > 8
    for item in series:
        assert kind_at(item["value"]) in ("float32", "float64")
        assert item["label"]
        if found := re.search(r"probabilities\[(\d)\]", item["value"]):
            label = LABELS[int(found[1])]
            assert (item["label"], item["color"]) == (label, COLOURS[label])
    for topic in ("/state", "/emotion"):
        assert sum(item["value"].startswith(f"{topic}.probabilities") for item in series) == len(LABELS)


def test_every_panel_has_its_place_and_there_are_all_kinds() -> None:
    def placed(item: Any) -> Iterator[str]:
        if isinstance(item, str):
            yield item
        else:
            assert item["direction"] in ("row", "column")
            yield from placed(item["first"])
            yield from placed(item["second"])

    places = list(placed(LAYOUT["layout"]))
    assert sorted(places) == sorted(PANELS)
    kinds = {name.split("!")[0] for name in places}
    assert kinds == {"Plot", "StateTransitions", "RawMessages", "DiagnosticSummary", "3D"}
    assert PANELS["3D!labels"]["topics"]["/markers"]["visible"]


def test_rviz_shows_the_labels_in_the_frame_of_the_camera() -> None:
    (display,) = [item for item in RVIZ["Displays"] if item["Class"].endswith("/MarkerArray")]
    topic = display["Topic"]["Value"]
    assert types()[topic] == "visualization_msgs/msg/MarkerArray"
    even = np.full(len(LABELS), 0.25, np.float32)
    state = PersonState(1, "ann", LABELS, even, "sad", 0.5, 0, 0, 1, even, even, "", 0.0)
    buffer = SkeletonBuffer(MocapSettings(), history_s=1.0)
    (label,) = EmotionLabels(MarkerSettings(), 0.5).fields([state], buffer)
    assert display["Namespaces"] == {label["ns"]: True}
    assert RVIZ["Global Options"]["Fixed Frame"] == PoseSettings().frame_id == PANELS["3D!labels"]["followTf"]
