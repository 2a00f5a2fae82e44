"""`mser run`: all nodes in one process, from the same parameters as the launch file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from ..nodes.parameter_file import read_parameter_file
from ..nodes.run import run_nodes
from ..resources import config_file
from ..settings import NODES


class RosCommand(click.Command):
    """Hands on what follows --ros-args as it is; before that it takes only what it knows."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        end = arguments.index("--ros-args") if "--ros-args" in arguments else len(arguments)
        context.obj = arguments[end:]
        return super().parse_args(context, arguments[:end])


@click.command(cls=RosCommand, options_metavar="[OPTIONS] [--ros-args ...]")
@click.option(
    "--params-file", "--params", type=click.Path(path_type=Path), help="Parameter file.  [config/emotion.yaml]"
)
@click.option("--microphone/--no-microphone", default=True, show_default=True, help="Run the microphone node as well.")
@click.option("--camera/--no-camera", default=False, show_default=True, help="Run the pose node as well.")
@click.pass_obj
def run(ros_args: Sequence[str], params_file: Path | None, microphone: bool, camera: bool) -> int:
    """Run all nodes in one process until Ctrl-C.

    What follows '--ros-args' goes to ROS, such as: mser run --ros-args -r audio:=/robot/audio -p use_sim_time:=true
    -p emotion:neutral_share:=0.6
    """
    path = params_file or config_file()
    read_parameter_file(path)  # says what is wrong with it better than ROS
    arguments = ["--ros-args", "--params-file", str(path), "--", *ros_args]
    asked = {"microphone": microphone, "pose": camera}
    names = [name for name in NODES if asked.get(name, True)]
    return run_nodes(names, arguments)
