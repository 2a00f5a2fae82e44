"""Who may import whom; a robot needs neither torch nor, for the core, ROS."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from mser_ros.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mser_ros"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)

#: The house, ground floor first: each part imports only what lies on a floor below its own, and itself.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("types", "errors"),
    ("labels", "settings", "resources", "model_store"),
    ("audio", "asr", "mocap", "vision"),
    ("recognition",),
    ("messages", "corpora"),
    ("stages",),
    ("evaluation",),
    ("nodes", "training", "testing"),
    ("page",),
    ("cli",),
)
#: What must not know each other although one lies below the other: the package for robots works without the rest.
STRANGERS: dict[str, set[str]] = {
    "corpora": {"recognition"},
    "evaluation": {"stages"},
    "nodes": {"corpora", "evaluation"},
    "training": {"asr", "messages", "stages"},
}
#: The rooms of training, each of which imports only those before it.
ROOMS = ("progress", "config", "runs", "models", "samples", "fit", "export", "report", "speed")
TRAINING_ONLY = {"torch", "torchaudio", "transformers", "lightning", "onnx", "onnxscript", "tensorboard"}
ROS = {
    "rclpy", "mser_msgs", "std_msgs", "diagnostic_msgs", "rcl_interfaces", "lifecycle_msgs", "rosgraph_msgs",
    "sensor_msgs", "std_srvs", "builtin_interfaces", "launch", "launch_ros", "ament_index_python",
    "visualization_msgs",
}  # fmt: skip


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name_of(path: Path) -> str:
    """The dotted name below the package, of a folder for its __init__."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


@cache
def imports(path: Path) -> frozenset[tuple[str, str]]:
    """Every import anywhere in a file: ('own', module of this package) or ('other', top-level package)."""
    return frozenset(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    package = ("mser_ros", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
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


def run_without(blocked: Collection[str], code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own in which these packages cannot be imported."""
    guard = f"""
import sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {set(blocked)!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)

sys.meta_path.insert(0, Guard())
"""
    return subprocess.run(
        [sys.executable, "-c", guard + code, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


def names_of(parts: Collection[str]) -> list[str]:
    """The modules of parts of the package, by their dotted names."""
    paths = [path for path in MODULES if part_of(path) in parts]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names]


IMPORT_ALL = "from importlib import import_module\nfor name in sys.argv[1:]: import_module(name)\nprint(len(sys.argv))"


def test_the_core_imports_without_torch_and_without_ros() -> None:
    blocked = TRAINING_ONLY | ROS | {"sklearn"}
    parts = {part for parts in FLOORS for part in parts} - {"nodes", "training", "evaluation", "cli"}
    needs_nothing = ["main", "params", "annotate", "inputs", "lines", "doctor", "bundle"]
    names = names_of(parts) + [f"mser_ros.cli.{name}" for name in needs_nothing]
    done = run_without(blocked, IMPORT_ALL, *names)
    assert done.returncode == 0, done.stderr
    assert len(names) > 30


def test_the_nodes_import_without_torch() -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    done = run_without(TRAINING_ONLY | {"sklearn"}, IMPORT_ALL, *names_of({"nodes"}))
    assert done.returncode == 0, done.stderr


def test_recognising_loads_neither_torch_nor_ros(tiny_bundle: Path) -> None:
    code = """
import numpy as np
import mser_ros as mser
pipeline = mser.EmotionPipeline.create(mser.EmotionRecognizer(mser.load_bundle(sys.argv[1])))
print(list(pipeline.push_audio(mser.AudioChunk(np.zeros((16000, 1), np.int16), 16000, 0))), list(pipeline.flush()))
"""
    done = run_without(TRAINING_ONLY | ROS | {"sklearn", "matplotlib"}, code, str(tiny_bundle))
    assert (done.returncode, done.stdout.strip()) == (0, "[] []"), done.stderr


MSER = "from mser_ros.cli.main import main\nsys.exit(main(sys.argv[1:]))"
#: The help of each command that is named, one after the other; then their exit codes.
HELP = "from mser_ros.cli.main import main\nprint([main([*name.split(), '--help']) for name in sys.argv[1:]])"
NEED_ROS = ("demo", "view", "run", "bench")


def test_the_help_of_a_command_needs_neither_torch_nor_ros() -> None:
    names = ["", *(name for name in COMMANDS if name not in NEED_ROS)]
    done = run_without(TRAINING_ONLY | ROS, HELP, *names)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([0] * len(names)), done.stderr
    assert re.findall(r"^Usage: mser ?([a-z-]*)", done.stdout, re.MULTILINE) == names


def test_a_command_for_live_nodes_needs_no_torch() -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    done = run_without(TRAINING_ONLY, HELP, *NEED_ROS)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^Usage: mser ?([a-z-]*)", done.stdout, re.MULTILINE) == list(NEED_ROS), done.stderr


def test_a_command_for_live_nodes_names_the_cure_without_ros() -> None:
    refused = run_without(ROS, HELP, *NEED_ROS)
    assert refused.stdout.splitlines() == [str([1] * len(NEED_ROS))], refused.stderr
    lines = refused.stderr.splitlines()
    assert len(lines) == len(NEED_ROS), refused.stderr
    for line in lines:
        assert "is not installed: " in line
        assert "or call 'make setup'" in line


@pytest.mark.parametrize(
    ("module", "cure"),
    [
        ("mser_msgs", "build the interfaces with colcon"),
        ("rich", "pip install rich"),
        ("yaml", "pip install PyYAML"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_cure(module: str, cure: str) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    done = run_without({module}, MSER, "demo", "--help")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert f"mser: {module}" in done.stderr
    assert cure in done.stderr


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
