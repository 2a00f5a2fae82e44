"""Who may import whom; a robot needs neither torch nor, for the core, ROS."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from mser_ros.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mser_ros"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)

BASE = {"types", "labels", "settings", "errors", "resources"}
STAGES = {"speech_stage", "emotion_stage"}
CORE = BASE | {"audio", "asr", "mocap", "bundle", "inference", "evidence", "recognizer"}
FILES = {"conversions", "records", "bags", "bag_writer", "timeline"}
#: What each part of the package may import of the rest of it; itself always.
ALLOWED: dict[str, set[str]] = {
    **{part: set() for part in ("types", "labels", "errors")},
    **{part: {"errors"} for part in ("resources", "settings")},
    **dict.fromkeys(("audio", "asr", "mocap", "bundle", "inference", "records", "bags"), BASE),
    "evidence": BASE | {"audio", "mocap", "bundle", "inference"},
    "recognizer": BASE | {"bundle", "inference", "evidence"},
    "speech_stage": BASE | {"audio", "asr"},
    "emotion_stage": BASE | {"audio", "mocap", "recognizer"},
    "pipeline": BASE | STAGES | {"recognizer"},
    "conversions": BASE | {"audio"},
    "bag_writer": BASE | {"bags"},
    "timeline": BASE | {"records"},
    "evaluation": CORE | STAGES | FILES | {"pipeline"},
    "training": CORE | FILES | {"evaluation"},  # its metrics and calibration, not the pipeline
    "nodes": CORE | STAGES | FILES | {"pipeline"},
    "cli": CORE | STAGES | FILES | {"pipeline", "nodes", "training", "evaluation", "cli"},
}
TRAINING_ONLY = {"torch", "torchaudio", "transformers", "lightning", "onnx", "onnxscript", "safetensors", "tensorboard"}
ROS = {
    "rclpy", "mser_msgs", "std_msgs", "diagnostic_msgs", "rcl_interfaces", "lifecycle_msgs", "rosgraph_msgs",
    "builtin_interfaces", "launch", "launch_ros", "ament_index_python",
}  # fmt: skip


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Every import anywhere in a file: ('own', part of this package) or ('other', top-level package)."""
    package = ("mser_ros", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{start}.{alias.name}" for alias in node.names] if start == "mser_ros" else [start]
        for name in names:
            top, _, rest = name.partition(".")
            yield ("own", rest.split(".")[0]) if top == "mser_ros" else ("other", top)


@pytest.mark.parametrize("part", sorted({part_of(path) for path in MODULES} - {"__init__"}))
def test_each_part_imports_only_what_lies_below_it(part: str) -> None:
    assert part in ALLOWED, f"say in this test what '{part}' may import"
    for path in MODULES:
        if part_of(path) == part:
            own = {name for kind, name in imports(path) if kind == "own"} - {"", "__version__", part}
            assert own <= ALLOWED[part], f"{path.relative_to(ROOT)} imports {sorted(own - ALLOWED[part])}"


def test_nothing_imports_nodes_training_or_evaluation_but_the_command_line() -> None:
    for path in MODULES:
        for kind, name in imports(path):
            if kind == "own" and name in ("nodes", "training", "evaluation", "cli"):
                measures = (part_of(path), name) == ("training", "evaluation")
                assert part_of(path) in (name, "cli") or measures, path


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
    parts = set(ALLOWED) - {"nodes", "training", "evaluation", "cli"}
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
from mser_ros.bundle import load_bundle
from mser_ros.pipeline import EmotionPipeline
from mser_ros.recognizer import EmotionRecognizer
from mser_ros.types import AudioChunk
pipeline = EmotionPipeline.create(EmotionRecognizer(load_bundle(sys.argv[1])))
print(list(pipeline.push_audio(AudioChunk(np.zeros((16000, 1), np.int16), 16000, 0))), list(pipeline.flush()))
"""
    done = run_without(TRAINING_ONLY | ROS | {"sklearn", "matplotlib"}, code, str(tiny_bundle))
    assert (done.returncode, done.stdout.strip()) == (0, "[] []"), done.stderr


MSER = "from mser_ros.cli.main import main\nsys.exit(main(sys.argv[1:]))"
#: The help of each command that is named, one after the other; then their exit codes.
HELP = "from mser_ros.cli.main import main\nprint([main([*name.split(), '--help']) for name in sys.argv[1:]])"
NEED_ROS = ("demo", "run", "bench")


def test_the_help_of_a_command_needs_neither_torch_nor_ros() -> None:
    names = ["", *(name for name in COMMANDS if name not in NEED_ROS)]
    done = run_without(TRAINING_ONLY | ROS, HELP, *names)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str([0] * len(names)), done.stderr
    assert re.findall(r"^Usage: mser ?([a-z]*)", done.stdout, re.MULTILINE) == names


def test_a_command_for_live_nodes_needs_no_torch() -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    done = run_without(TRAINING_ONLY, HELP, *NEED_ROS)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^Usage: mser ?([a-z]*)", done.stdout, re.MULTILINE) == list(NEED_ROS), done.stderr


@pytest.mark.parametrize("command", NEED_ROS)
def test_a_command_for_live_nodes_names_the_cure_without_ros(command: str) -> None:
    refused = run_without(ROS, MSER, command, "--help")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused.stderr
    assert "is not installed: " in refused.stderr
    assert "or call 'make setup'" in refused.stderr


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
