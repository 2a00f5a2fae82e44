"""`mser run`: all nodes in one process, from the same parameters as the launch file."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import SettingsError
from ..nodes.run import NODES, run_nodes
from ..resources import config_file


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--params", "params_file", type=click.Path(path_type=Path), help="Parameter file.  [config/emotion.yaml]")
@click.option("--microphone/--no-microphone", default=True, show_default=True, help="Run the microphone node as well.")
@click.argument("ros_args", nargs=-1, type=click.UNPROCESSED)
def run(params_file: Path | None, microphone: bool, ros_args: tuple[str, ...]) -> int:
    """Run all nodes in one process until Ctrl-C.

    What follows '--ros-args' goes to ROS, such as: mser run --ros-args -r audio:=/robot/audio -p use_sim_time:=true
    """
    path = params_file or config_file()
    if not path.is_file():
        raise SettingsError(f"there is no parameter file {path}: name one like {config_file()}")
    arguments = ["--ros-args", "--params-file", str(path), "--", *ros_args]
    names = [name for name in NODES if microphone or name != "microphone"]
    return run_nodes(names, arguments)
