"""Multimodal emotion recognition for ROS 2 robots: hear, read and see a person, tell what that person feels.

The names below are what a robot program needs; each is loaded when it is first used::

    import mser_ros as mser

    pipeline = mser.EmotionPipeline.create(mser.EmotionRecognizer(mser.load_bundle()))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audio.sound_files import read_sound_file
    from .errors import MserError
    from .recognition.bundle import Bundle, load_bundle
    from .recognition.recognizer import EmotionRecognizer
    from .stages.pipeline import EmotionPipeline
    from .types import AudioChunk, EmotionEstimate, SkeletonFrame, Transcript

__version__ = "0.1.0"

__all__ = [
    "AudioChunk",
    "Bundle",
    "EmotionEstimate",
    "EmotionPipeline",
    "EmotionRecognizer",
    "MserError",
    "SkeletonFrame",
    "Transcript",
    "load_bundle",
    "read_sound_file",
]

_HOMES = {
    "AudioChunk": "types",
    "Bundle": "recognition.bundle",
    "EmotionEstimate": "types",
    "EmotionPipeline": "stages.pipeline",
    "EmotionRecognizer": "recognition.recognizer",
    "MserError": "errors",
    "SkeletonFrame": "types",
    "Transcript": "types",
    "load_bundle": "recognition.bundle",
    "read_sound_file": "audio.sound_files",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
