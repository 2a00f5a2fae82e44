"""On what a run was made: versions, hardware and the revision of the code."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def describe_environment() -> dict[str, Any]:
    """Versions, processor, accelerators and, in a checkout, the git revision."""
    names = ("mser_ros", "torch", "torchaudio", "transformers", "lightning", "numpy", "onnx", "onnxruntime")
    return {
        "revision": _revision(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in names},
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "accelerators": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _revision() -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    here = Path(__file__).resolve().parent
    command = [git, "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""
