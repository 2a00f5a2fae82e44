"""`mser view`: what running nodes hear, see and believe, as a page in a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ..nodes.watcher import Watcher, run_watcher
from ..page.board import Board
from .page_options import page_options, print_address
from .run import RosCommand
from .tables import plain_console


@click.command(cls=RosCommand, options_metavar="[OPTIONS] [--ros-args ...]")
@page_options
@click.pass_obj
def view(ros_args: Sequence[str], words: bool, where: dict[str, Any]) -> int:
    """Show on a page what the running nodes hear, see and believe, until Ctrl-C.

    Words are shown only if the emotion node's parameter 'transcripts' allows it. What follows '--ros-args' goes to ROS,
    such as: mser view --ros-args -r __ns:=/robot -r skeleton:=/other/skeleton
    """
    from ..page.server import Controls, PageServer

    board = Board(words=None if words else False)

    @contextmanager
    def serve(watcher: Watcher) -> Iterator[None]:
        controls = Controls(watcher.listen, watcher.erase)
        with PageServer(board, controls, **where) as server:
            print_address(plain_console(soft_wrap=True), server)
            yield

    return run_watcher(board, serve, ros_args)
