"""What can be imported, and which commands run, where torch, ROS or another package is missing."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from floors import FLOORS, MODULES, ROOT, part_of
from isolated import MSER, ROS, TRAINING_ONLY, run_without

from mser_ros.cli.main import COMMANDS
from mser_ros.errors import not_installed


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


def test_corpora_folds_and_evaluation_need_neither_torch_nor_ros_nor_scikit_learn() -> None:
    names = ("mser_ros.corpora.registry", "mser_ros.corpora.folds", "mser_ros.cli.evaluate")
    done = run_without(TRAINING_ONLY | ROS | {"sklearn", "matplotlib"}, IMPORT_ALL, *names)
    assert done.returncode == 0, done.stderr


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


#: Doctor where one of the modules that are named is missing, each in a fork that has not loaded our own yet; what each
#: prints is in a file of the module's name, in the folder that is named first. No recogniser is loaded for this.
DOCTORS = """
import contextlib, importlib, os
from pathlib import Path
folder, *modules = sys.argv[1:]
for module in modules:
    with contextlib.suppress(ImportError):
        importlib.import_module(module)
assert not [name for name in sys.modules if name.startswith("mser_ros")]
for module in modules:
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    for gone in (module, "pocketsphinx"):
        for name in [gone, *(name for name in sys.modules if name.startswith(gone + "."))]:
            sys.modules[name] = None
    with Path(folder, module).open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        from mser_ros.cli.main import main
        main(["doctor", "--bundle", folder])
    os._exit(0)
"""


def robot_packages() -> list[str]:
    """What setup.py has for the robot, by the names that pip knows; without what every command is written with."""
    (found,) = re.findall(r"^ROBOT = \[(.*?)^\]", (ROOT / "setup.py").read_text(), re.DOTALL | re.MULTILINE)
    in_python = {"backports.zstd"} if sys.version_info >= (3, 14) else set()
    return sorted(set(re.findall(r'"([\w.-]+)>=', found)) - {"click", "rich"} - in_python)


@pytest.fixture(scope="module")
def doctors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What doctor prints where a package of the robot is missing, in a file of the module's name."""
    folder = tmp_path_factory.mktemp("doctors")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("COLUMNS", "200")
        environment.setenv("MSER_MODELS", str(folder))
        done = run_without(TRAINING_ONLY | ROS, DOCTORS, str(folder), *map(module_of, robot_packages()))
    assert done.returncode == 0, done.stderr
    return folder


def module_of(package: str) -> str:
    return {"PyYAML": "yaml"}.get(package, package.replace("-", "_"))


@pytest.mark.parametrize("package", robot_packages())
def test_doctor_prints_its_table_whatever_package_of_the_robot_is_missing(package: str, doctors: Path) -> None:
    module = module_of(package)
    told = (doctors / module).read_text()
    assert "how to mend it" in told, told
    (line, *_) = [line for line in told.splitlines() if package in line or module in line]
    assert "ok" not in line.split()
    assert "training" not in str(not_installed(module))
    assert package in str(not_installed(module)).replace("_", "-")
