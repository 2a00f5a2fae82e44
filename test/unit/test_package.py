"""What colcon, rosdep and ROS read of this package: package.xml, setup.py, setup.cfg and the ament index."""

from __future__ import annotations

import ast
import configparser
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from floors import import_statements

from mser_ros import __version__
from mser_ros.errors import PAGE_PACKAGES

ROOT = Path(__file__).parents[2]
PACKAGES = [ROOT, ROOT / "interfaces" / "mser_msgs"]


@pytest.fixture(scope="module")
def setup() -> dict:
    return run_setup(ROOT)


def run_setup(folder: Path) -> dict:
    """What setup.py hands to setuptools."""
    code = (
        "import setuptools; setuptools.setup = lambda **given: print(repr(given));"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return ast.literal_eval(result.stdout)


def read_package(folder: Path):
    package = pytest.importorskip("catkin_pkg.package", reason="catkin_pkg is missing: call 'make setup-dev'")
    warnings: list[str] = []
    parsed = package.parse_package(str(folder / "package.xml"), warnings=warnings)
    parsed.validate(warnings=warnings)
    assert warnings == []
    return parsed


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.name)
def test_package_xml_is_valid_and_names_somebody_who_can_be_written_to(folder):
    package = read_package(folder)
    assert package.package_format == 3
    assert package.maintainers
    for person in package.maintainers:
        assert re.fullmatch(r"[\w.+-]+@([\w-]+\.)+[a-z]{2,}", person.email)
    assert package.licenses[0] == "Apache-2.0"


def test_package_xml_names_the_licences_of_code_and_weights_and_their_files():
    licences = read_package(ROOT).licenses
    assert len(licences) == 2
    assert "NC" in licences[1]
    assert (ROOT / licences[0].file).is_file()
    assert Path(licences[1].file).parent == Path("models/default")
    if (ROOT / "models" / "default" / "manifest.json").is_file():
        assert (ROOT / licences[1].file).is_file()


def test_versions_agree(setup):
    assert {read_package(folder).version for folder in PACKAGES} == {__version__}
    assert setup["version"] == __version__


def test_name_build_type_and_dependencies_are_those_of_a_python_package(setup):
    package = read_package(ROOT)
    assert package.name == setup["name"] == "mser_ros"
    assert package.get_build_type() == "ament_python"
    needed = {depend.name for depend in package.exec_depends}
    assert {"rclpy", "mser_msgs", "launch_ros", "diagnostic_msgs"} <= needed


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif node.level == 0:
            found.add((node.module or "").split(".")[0])
    return frozenset(found)


def imported(*folders: str, without: Collection[str] = ()) -> set[str]:
    """Packages that files in these folders import, beside Python's own and ours."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = {
        name for path in paths if not set(path.relative_to(ROOT).parts) & set(without) for name in imports_of(path)
    }
    return found - set(sys.stdlib_module_names) - {"mser_ros"}


#: Packages of ROS that nothing imports: what the launch files start, and what that needs for the demo bag.
STARTED = {"ros2launch", "ros2bag", "rosbag2_storage_mcap"}
#: Packages of Python itself that not every version has.
PYTHONS_OWN = {"compression"}
#: What recognisers are compared with where it is installed.
COMPARED = {"faster_whisper", "webrtcvad"}


def is_of_ros(name: str) -> bool:
    return name in {"rclpy", "launch", "launch_ros", "rcl_interfaces"} or name.endswith(("_msgs", "_srvs"))


def test_package_xml_lists_the_packages_of_ros_that_are_used_and_no_others():
    package = read_package(ROOT)
    needed = {depend.name for depend in package.exec_depends if not depend.name.startswith(("python3-", "portaudio"))}
    assert needed == {name for name in imported("mser_ros", "launch") if is_of_ros(name)} | STARTED
    for_tests = {depend.name for depend in package.test_depends if not depend.name.startswith("python3-")}
    assert for_tests == {name for name in imported("test") if is_of_ros(name)} - needed


def test_what_the_robot_imports_is_installed_by_pip_and_known_to_rosdep_or_named_in_package_xml(setup):
    def modules_of(requirements: list[str]) -> set[str]:
        names = {re.split(r"[\W]*[><=;]", line)[0].lower().replace("-", "_") for line in requirements}
        return {{"pyyaml": "yaml", "backports.zstd": "backports", "pillow": "PIL"}.get(name, name) for name in names}

    robot = imported("mser_ros", without=("training", "corpora"))
    modules = (
        {name for name in robot if not is_of_ros(name)}
        - PYTHONS_OWN
        - COMPARED
        - modules_of(setup["extras_require"]["train"])
        - modules_of(setup["extras_require"]["media"])
        - modules_of(setup["extras_require"]["ray"])
        - modules_of(setup["extras_require"]["camera"])
        - modules_of(setup["extras_require"]["report"])
        - modules_of(setup["extras_require"]["view"])
    )
    assert modules == modules_of(setup["install_requires"])
    text = (ROOT / "package.xml").read_text().lower().replace("-", "_")
    assert all(re.search(rf"\b(python3_)?{re.escape(name)}\b", text) for name in modules)


#: What Ubuntu 22.04, which ROS 2 Humble runs on, has by apt.
OLDEST = {
    "click": "8.0.3", "lz4": "3.1.3", "matplotlib": "3.5.1", "numpy": "1.21.5", "pyyaml": "5.4.1", "rich": "11.2.0",
    "soundfile": "0.10.3",
}  # fmt: skip


def test_what_apt_of_the_oldest_ros_has_too_old_is_installed_by_pip(setup):
    def numbers(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    beside = (ROOT / "requirements" / "beside_ros.txt").read_text().splitlines()
    wanted = [line.split(">=") for line in setup["install_requires"] if line.partition(">=")[0].lower() in OLDEST]
    assert len(wanted) == len(OLDEST)
    for name, version in wanted:
        if numbers(version) > numbers(OLDEST[name.lower()]):
            assert f"{name}>={version}" in beside
    for lowest in ("rich>=13", "soundfile>=0.12"):  # of which names are used that came with them
        assert lowest in setup["install_requires"]


def test_what_the_page_needs_is_named_with_the_versions_that_it_needs(setup):
    wanted = {f"'{line}'" for line in setup["extras_require"]["view"]}
    told = PAGE_PACKAGES.split(" ")
    assert set(told) == wanted
    assert f"pip install {PAGE_PACKAGES}" in (ROOT / "docs" / "watch.md").read_text()


def test_data_files_of_new_folders_are_installed(tmp_path):
    for name in ("setup.py", "config", "launch", "resource", "package.xml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "config" / "train" / "paper" / "new").mkdir(parents=True)
    (tmp_path / "config" / "train" / "paper" / "new" / "a.yaml").touch()
    installed = dict(run_setup(tmp_path)["data_files"])
    assert installed["share/mser_ros/config/train/paper/new"] == ["config/train/paper/new/a.yaml"]
    assert all(files for files in installed.values())
    everything = {path.relative_to(ROOT).as_posix() for path in (ROOT / "config").rglob("*") if path.is_file()}
    assert everything <= {file for files in installed.values() for file in files}


def test_the_files_of_pages_are_installed(setup):
    folders = {name: ROOT / name.replace(".", "/") for name in setup["package_data"]}
    installed = {
        path
        for name, patterns in setup["package_data"].items()
        for item in patterns
        for path in folders[name].glob(item)
    }
    assert set(folders) == {"mser_ros.evaluation", "mser_ros.page"}
    others = {path for folder in folders.values() for path in folder.rglob("*") if path.suffix not in (".py", ".pyc")}
    assert installed == {path for path in others if path.is_file()}


def test_every_executable_exists_and_scripts_lie_where_ros2_run_looks(setup):
    scripts = dict(entry.split(" = ") for entry in setup["entry_points"]["console_scripts"])
    nodes = {path.stem for path in (ROOT / "mser_ros" / "nodes").glob("*_node.py")}
    assert set(scripts) == nodes | {"mser"}
    for place in scripts.values():
        module, function = place.split(":")
        path = ROOT / (module.replace(".", "/") + ".py")
        assert function in {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["install"]["install_scripts"] == "$base/lib/mser_ros"


def test_the_ament_index_and_every_data_file_are_installed(setup):
    installed = dict(setup["data_files"])
    assert installed["share/ament_index/resource_index/packages"] == ["resource/mser_ros"]
    assert "package.xml" in installed["share/mser_ros"]
    for folder in ("launch", "config", "config/skeletons", "interfaces/mser_msgs/msg", "demo"):
        assert installed[f"share/mser_ros/{folder}"], folder
    assert all((ROOT / file).is_file() for files in installed.values() for file in files)
    packages = {path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in ROOT.glob("mser_ros/**/*.py")}
    assert set(setup["packages"]) == packages


def test_what_lies_beside_the_modules_is_installed(setup):
    beside = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mser_ros").rglob("*.*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    patterns = [
        f"{package.replace('.', '/')}/{name}" for package, names in setup["package_data"].items() for name in names
    ]
    assert beside
    assert {path for path in beside if not any(fnmatch(path, pattern) for pattern in patterns)} == set()


def test_the_entry_points_can_be_called():
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    for name in ("microphone", "speech", "pose", "mocap", "emotion"):
        assert callable(import_module(f"mser_ros.nodes.{name}_node").main)


@pytest.mark.parametrize(("target", "variable", "option"), [("live", "FILE", "--file"), ("demo", "DATA", "--data")])
@pytest.mark.parametrize("name", ["my talk.wav", '~/it\'s (1) "here" & there; `x`.wav'])
def test_make_hands_on_a_name_as_it_is(target: str, variable: str, option: str, name: str) -> None:
    if not shutil.which("make"):
        pytest.skip("make is missing: apt install make")
    call = ["make", "--dry-run", "--no-print-directory", target, f"{variable}={name}"]
    said = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shlex.split(said.splitlines()[-1])[-2:] == [option, name]
