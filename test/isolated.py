"""A Python of its own in which some packages cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRAINING_ONLY = {"torch", "torchaudio", "transformers", "lightning", "onnx", "onnxscript", "tensorboard"}
ROS = {
    "rclpy", "mser_msgs", "std_msgs", "diagnostic_msgs", "rcl_interfaces", "lifecycle_msgs", "rosgraph_msgs",
    "sensor_msgs", "std_srvs", "builtin_interfaces", "launch", "launch_ros", "ament_index_python",
    "visualization_msgs",
}  # fmt: skip
#: Code that runs `mser` with the arguments of its process.
MSER = "from mser_ros.cli.main import main\nsys.exit(main(sys.argv[1:]))"


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
