"""Who may import whom; a robot needs neither torch nor, for the core, ROS."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from floors import FLOORS, MODULES, PACKAGE, ROOMS, ROOT, import_statements, part_of
from isolated import ROS, TRAINING_ONLY

#: What must not know each other although one lies below the other: the package for robots works without the rest.
STRANGERS: dict[str, set[str]] = {
    "corpora": {"recognition"},
    "evaluation": {"stages"},
    "nodes": {"corpora", "evaluation"},
    "training": {"asr", "messages", "stages"},
}


def name_of(path: Path) -> str:
    """The dotted name below the package, of a folder for its __init__."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


@cache
def imports(path: Path) -> frozenset[tuple[str, str]]:
    """Every import anywhere in a file: ('own', module of this package) or ('other', top-level package)."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    package = ("mser_ros", *path.relative_to(PACKAGE).parent.parts)
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        for name in names:
            top, _, rest = name.partition(".")
            if top != "mser_ros":
                yield "other", top
            elif module := module_of(rest):
                yield "own", module


@cache
def module_of(name: str) -> str:
    """The module that holds a dotted name; '' for one of the package itself."""
    parts = name.split(".")
    while parts and not ((PACKAGE / Path(*parts)).is_dir() or (PACKAGE / Path(*parts)).with_suffix(".py").is_file()):
        parts.pop()
    return ".".join(parts)


@pytest.fixture(scope="module")
def arrows() -> dict[str, set[str]]:
    """Who imports whom, by module; the package itself only offers names."""
    return {
        name_of(path): {name for kind, name in imports(path) if kind == "own"} - {name_of(path)}
        for path in MODULES
        if name_of(path)
    }


def floor_of(part: str) -> int:
    return next(number for number, parts in enumerate(FLOORS) if part in parts)


@pytest.mark.parametrize("part", sorted({part_of(path) for path in MODULES} - {"__init__"}))
def test_each_part_imports_only_what_lies_below_it(part: str, arrows: dict[str, set[str]]) -> None:
    assert any(part in parts for parts in FLOORS), f"say in this test on which floor '{part}' lies"
    below = {name for parts in FLOORS[: floor_of(part)] for name in parts} - STRANGERS.get(part, set())
    for module, targets in arrows.items():
        if module.split(".")[0] == part:
            found = {target.split(".")[0] for target in targets} - {part}
            assert found <= below, f"{module} imports {sorted(found - below)}"


def test_each_room_of_training_imports_only_those_before_it(arrows: dict[str, set[str]]) -> None:
    """And so few arrows lead from room to room that they can be drawn."""
    doors = set()
    for module, targets in arrows.items():
        part, _, rest = module.partition(".")
        if part != "training" or not rest:
            continue
        room = rest.split(".")[0]
        for target in targets:
            if target.startswith("training.") and (other := target.split(".")[1]) != room:
                assert ROOMS.index(other) < ROOMS.index(room), f"{module} imports {target}"
                doors.add((room, other))
    assert len(doors) < 30


def test_no_modules_import_each_other_in_a_circle(arrows: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_every_folder_of_modules_is_a_package_that_gets_installed() -> None:
    assert {path.parent for path in MODULES} == {path.parent for path in MODULES if path.name == "__init__.py"}


def test_torch_is_imported_by_training_alone() -> None:
    for path in MODULES:
        found = {name for kind, name in imports(path) if kind == "other"} & TRAINING_ONLY
        assert not found or part_of(path) == "training" or path.name == "export.py", f"{path}: {found}"


def test_ros_is_imported_by_the_nodes_alone_and_by_the_doctor_who_looks_for_it() -> None:
    for path in MODULES:
        found = {name for kind, name in imports(path) if kind == "other"} & ROS
        assert not found or part_of(path) == "nodes" or path.name == "doctor.py", f"{path}: {found}"


def test_no_file_names_a_place_of_one_machine() -> None:
    folders = ["mser_ros", "config", "demo", "interfaces", "launch", "requirements", "test", "docs", ".ci"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file() and path.name != ".git"]  # which is one in a worktree
    texts = {".py", ".md", ".msg", ".yaml", ".txt", ".toml", ".cfg", ".xml", ".cmake", ".json", ""}
    place = re.compile(r"(?<![\w.$}/])/(?:home|root|Users|mnt|work|workspace|scratch)/\w")
    for path in files:
        if path.suffix in texts and "__pycache__" not in path.parts:
            found = place.search(path.read_text(encoding="utf-8", errors="ignore"))
            assert not found, f"{path.relative_to(ROOT)} names {found and found[0]}"
