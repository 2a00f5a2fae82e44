"""What tests share. Lying here, it also lets them import the fakes beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from mser_ros.model_store.store import ModelStore, models_dir

# The same examples in every run, and no verdict that depends on how busy the machine is.
settings.register_profile("reproducible", deadline=None, derandomize=True)
settings.load_profile("reproducible")

if TYPE_CHECKING:
    from ros_world import World

# ROS reads these when it is first loaded: tests talk to nobody outside this machine and leave no logs at home.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_LOG_DIR"] = os.path.join(tempfile.gettempdir(), "mser_test_ros_log")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings; tests that need it are skipped without it."""
    folder = os.environ.get("MSER_DATA_DIR", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real recordings are missing: set MSER_DATA_DIR to the folder that holds ravdess, nemo, egait ...")
    return Path(folder)


#: Which recogniser 'auto' means in a test must not depend on what this machine has: tests that want a model name it.
_MODELS = models_dir()
os.environ["MSER_MODELS"] = os.path.join(tempfile.gettempdir(), "mser_test_no_models")


@pytest.fixture(scope="session")
def whisper_base() -> Path:
    """The real Whisper base; tests that need it are skipped where it cannot be had."""
    found = ModelStore(_MODELS).find("whisper-base")
    if found is None:
        pytest.skip("the model whisper-base is missing: call 'mser models get whisper-base'")
    return found


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A ROS domain of the test's own, for nodes in this process and in others."""
    from ros_world import Domain

    with Domain() as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
        yield


@pytest.fixture
def world(ros: None) -> Iterator[World]:
    """A ROS context with a peer that talks to nodes under test."""
    from ros_world import World

    world = World()
    yield world
    world.close()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle of graphs so small that they can be computed by hand."""
    from fakes_bundle import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "a bundle")
