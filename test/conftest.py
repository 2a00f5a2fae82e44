"""What tests share. Lying here, it also lets them import the fakes beside it."""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# Workers of pytest share the cores, so each and its children compute on one; numpy and torch read this when they load.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Tests start hundreds of processes, each of which would compile all that it imports where bytecode is not kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Lightning looks through every installed package for each trainer, which takes longer than to train a tiny network.
importlib.metadata.entry_points = functools.cache(importlib.metadata.entry_points)

# What is imported where tests are collected is no garbage, and to look through it again and again takes a sixth of the
# time; see `pytest_runtestloop`.
gc.disable()

# The same examples in every run, and no verdict that depends on how busy the machine is. More, and other ones in every
# run: --hypothesis-profile random.
settings.register_profile("random", deadline=None, max_examples=200)
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("reproducible")

if TYPE_CHECKING:
    import numpy as np
    from annotations import Annotate
    from ros_world import World

    from mser_ros.recognition.bundle import Bundle

# ROS reads these when it is first loaded: tests talk to nobody outside this machine and leave no logs at home.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_LOG_DIR"] = os.path.join(tempfile.gettempdir(), f"mser_test_ros_log_{os.getuid()}")
# Of Fast DDS as well: hundreds of nodes begin, and one in five would be found three seconds late.
os.environ.setdefault("FASTRTPS_DEFAULT_PROFILES_FILE", str(Path(__file__).with_name("discovery.xml")))


#: Files that take long although they hold few tests. Where files are dealt to workers, a long one that is begun late is
#: waited for by all the others.
_LONG = (
    "test_asr_vosk.py",
    "test_processes_mid_talk.py",
    "test_processes.py",
    "test_unusual_bags.py",
    "test_online_equals_offline.py",
    "test_page_browser.py",
    "test_asr_pocketsphinx.py",
    "test_export_streams.py",
    "test_export.py",
    "test_asr_whisper.py",
    "test_pose.py",
    "test_cli_hearing.py",
    "test_full_size.py",
    "test_cli_pose.py",
    "test_train.py",
    "test_cli_annotate_ray.py",
    "test_speech_node.py",
    "test_examples.py",
    "test_executables.py",
    "test_diagnostics.py",
    "test_emotion_node.py",
    "test_pose_node.py",
    "test_long_stream.py",
    "test_wait_for_emotion.py",
    "test_domain.py",
    "test_lifecycle.py",
    "test_fuzz.py",
    "test_microphone_node.py",
    "test_voices_words.py",
    "test_synthetic.py",
    "test_docs_site.py",
    "test_soak.py",
    "test_papers.py",
    "test_train_distributed.py",
    "test_corpora_neutral_voices.py",
    "test_probe.py",
    "test_learning_curve.py",
    "test_page_session.py",
    "test_emotion_lives.py",
    "test_cli_annotate_interrupted.py",
    "test_microphone_real.py",
    "test_mocap_node.py",
    "test_cli_annotate_archive.py",
    "test_foreign_skeletons.py",
    "test_foreign_audio.py",
    "test_hri.py",
    "test_docs_commands.py",
    "test_bench.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files, and go on with those of many tests."""
    counts = Counter(item.path for item in items)
    ranks = {name: rank for rank, name in enumerate(_LONG)}
    items.sort(key=lambda item: (ranks.get(item.path.name, len(_LONG)), -counts[item.path], str(item.path)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Garbage is looked for again, but not in what was there before the tests."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Tests run in one process what is made to be the last thing that a process does: it may leave signals ignored."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    variables = dict(os.environ)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    os.environ.clear()
    os.environ.update(variables)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real recordings; tests that need it are skipped without it."""
    folder = os.environ.get("MSER_DATA_DIR", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real recordings are missing: set MSER_DATA_DIR to the folder that holds ravdess, nemo, egait ...")
    return Path(folder)


#: Which recogniser 'auto' means in a test must not depend on what this machine has: tests that want a model name it.
#: (Workers of pytest load this file in an environment that their parent has changed.)
_MODELS = os.environ.setdefault("MSER_TEST_MODELS", os.environ.get("MSER_MODELS", ""))
os.environ["MSER_MODELS"] = os.path.join(tempfile.gettempdir(), "mser_test_no_models")


@pytest.fixture(scope="session")
def whisper_base() -> Path:
    """The real Whisper base; tests that need it are skipped where it cannot be had."""
    return _model("whisper-base")


@pytest.fixture(scope="session")
def pose_model() -> Path:
    """The real networks of the body; tests that need them are skipped where they cannot be had or run."""
    pytest.importorskip(
        "ai_edge_litert", reason="LiteRT is missing: call 'make setup-dev', or pip install ai-edge-litert"
    )
    return _model("pose")


@pytest.fixture(scope="session")
def neutral_voices() -> Path:
    """The real packages of neutral voices; tests that need them are skipped where they cannot be had."""
    return _model("neutral-voices")


def _model(name: str) -> Path:
    from mser_ros.model_store.store import ModelStore

    with pytest.MonkeyPatch.context() as own:
        own.setenv("MSER_MODELS", _MODELS)
        found = ModelStore().find(name)
    if found is None:
        pytest.skip(f"the model {name} is missing: call 'mser models get {name}'")
    return found


@pytest.fixture(scope="session")
def vosk_model() -> Path:
    """A real Vosk model: the user's, else the Korean one; tests that need it are skipped where neither is there."""
    from mser_ros.model_store.store import ModelStore

    pytest.importorskip("vosk", reason="vosk is not installed: pip install vosk")
    if own := os.environ.get("MSER_VOSK_MODEL", ""):
        return Path(own)
    with pytest.MonkeyPatch.context() as store:
        store.setenv("MSER_MODELS", _MODELS)
        found = ModelStore().find("vosk-ko")
    if found is None:
        pytest.skip("no Vosk model: call 'mser models get vosk-ko', or set MSER_VOSK_MODEL to the folder of your own")
    return found


@pytest.fixture
def whole_bundle(monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """The default bundle with its real model of words; tests that need it are skipped where it cannot be had."""
    from mser_ros.recognition.bundle import load_bundle

    monkeypatch.setenv("MSER_MODELS", _MODELS)
    bundle = load_bundle()
    if bundle.lacks:
        pytest.skip(f"a model is missing: call 'mser models get {bundle.lacks}'")
    return bundle


@pytest.fixture
def ros(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A ROS domain of the test's own, for nodes in this process and in others."""
    from ros_world import Domain

    with Domain() as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
        yield


@pytest.fixture
def world(ros: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A ROS context with a peer that talks to nodes under test, which report more often than once a second."""
    from ros_world import World

    from mser_ros.nodes import heartbeat

    monkeypatch.setattr(heartbeat, "_REPORT_S", 0.2)
    monkeypatch.setattr(heartbeat, "_BEAT_S", 0.05)
    world = World()
    yield world
    world.close()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle of graphs so small that they can be computed by hand."""
    from fakes_bundle import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "a bundle")


# -- what is annotated


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Five seconds with a sentence: int16, shape (n,), 16 kHz; nobody may write into it."""
    from annotations import read_speech

    samples = read_speech()
    samples.flags.writeable = False
    return samples


@pytest.fixture(scope="session")
def two_sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag with two sentences and whoever says them."""
    from annotations import write_two_sentences

    return write_two_sentences(tmp_path_factory.mktemp("bags") / "two sentences")


@pytest.fixture
def annotate(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Annotate:
    """`mser annotate` with the tiny bundle."""
    from annotations import annotator

    return annotator(tiny_bundle, monkeypatch)
