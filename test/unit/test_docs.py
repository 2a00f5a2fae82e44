"""What the pages of docs/ and the README say of the code is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from floors import FLOORS, ROOMS

from mser_ros.messages.skeleton_topics import SKELETON_TYPES
from mser_ros.mocap.layouts import OWN_LAYOUTS, known_layouts

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SKELETONS = (ROOT / "docs" / "skeletons.md").read_text(encoding="utf-8")


def test_the_floors_on_the_page_are_those_that_hold() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", ARCHITECTURE, flags=re.MULTILINE)
    floors = tuple(tuple(re.findall(r"`(\w+)`", parts)) for _, parts in rows)
    assert floors == FLOORS
    assert ", ".join(ROOMS) in " ".join(ARCHITECTURE.split())


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w./]+\.(?:py|yaml)|[\w./]+/)`", ARCHITECTURE))))
def test_every_file_that_the_page_names_is_there(name: str) -> None:
    places = [ROOT / name, ROOT / "mser_ros" / name, ROOT / "config" / "skeletons" / name]
    assert any(place.exists() for place in places), name


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`(_?[A-Za-z_]+(?:\.(?!py|tsv|yaml)\w+)?)`", ARCHITECTURE.split("## Where")[1])))
)
def test_every_name_of_the_recipes_is_in_the_code(name: str) -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "mser_ros").rglob("*.py"))
    owner, _, member = name.partition(".")
    assert re.search(rf"\b{owner}\b", code), name
    assert not member or re.search(rf"class {owner}\b(.|\n)*?\b{member}\b", code), name


def test_the_page_tells_of_every_type_that_carries_skeletons_and_of_layouts_that_exist() -> None:
    table = SKELETONS.split("<!-- adapters -->")[1].split("<!-- /adapters -->")[0]
    rows = [row.split("|") for row in table.strip().splitlines()[2:]]
    assert sorted(row[2].strip().strip("`") for row in rows) == sorted(SKELETON_TYPES)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[3])} - {"layout"}
    assert named <= set(known_layouts())
    (lines,) = re.findall(r"in five lines:\n\n```bash\n(.*?)```", SKELETONS, flags=re.DOTALL)
    assert lines.count("\n") == 5
    assert OWN_LAYOUTS in lines
