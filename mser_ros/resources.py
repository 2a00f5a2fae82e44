"""Where the package's data files lie: configuration, joint layouts, message definitions, the default bundle."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .errors import DependencyError

_PACKAGE = "mser_ros"


def share_dir() -> Path:
    """The folder that holds `config/`, `models/` and `interfaces/`.

    In a source checkout that is the repository's root; installed, it is `share/mser_ros` below a prefix of
    AMENT_PREFIX_PATH or of the Python environment. Raises `DependencyError` where none has it.
    """
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    checkout = Path(__file__).resolve().parent.parent
    # A colcon install lays the package at <prefix>/lib/python3.x/site-packages, with its data beside `lib`.
    own_prefix = [str(Path(__file__).resolve().parents[4])] if len(Path(__file__).resolve().parents) > 4 else []
    places = [checkout, *(Path(prefix) / "share" / _PACKAGE for prefix in [*own_prefix, *prefixes] if prefix)]
    for place in places:
        if (place / "config" / "skeletons").is_dir():
            return place
    raise DependencyError(
        "the data files of mser_ros were not found: install it with colcon or pip and source the workspace's setup file"
    )


def config_file() -> Path:
    """`config/emotion.yaml`: every parameter of every node."""
    return share_dir() / "config" / "emotion.yaml"


def skeletons_dir() -> Path:
    """The folder of joint layouts."""
    return share_dir() / "config" / "skeletons"


def checklist_file() -> Path:
    """`config/checklist.yaml`: sentences that a model of words is tested with."""
    return share_dir() / "config" / "checklist.yaml"


def phrases_file() -> Path:
    """`config/phrases.yaml`: sentences that a model of words learns from."""
    return share_dir() / "config" / "phrases.yaml"


def whisper_confidence_file() -> Path:
    """`config/whisper_confidence.yaml`: what Whisper's probabilities mean."""
    return share_dir() / "config" / "whisper_confidence.yaml"


def train_dir() -> Path:
    """The folder of experiments that can be trained."""
    return share_dir() / "config" / "train"


def default_bundle_dir() -> Path:
    """The model bundle that ships with the package."""
    return share_dir() / "models" / "default"


def interfaces_dir() -> Path:
    """The folder with the `.msg` files of mser_msgs, for reading and writing bags without ROS."""
    return share_dir() / "interfaces" / "mser_msgs" / "msg"
