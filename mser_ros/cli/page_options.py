"""What the commands that serve a page have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

if TYPE_CHECKING:
    from ..page.server import PageServer


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where a page is served, who may see it, and whether it shows words."""
    for option in (
        click.option("--words/--no-words", default=True, show_default=True, help="Whether it shows what was said."),
        click.option("--token", default="", help="What browsers must know.  [made, if others can reach the page]"),
        click.option("--port", type=click.IntRange(0, 65535), default=8780, show_default=True, help="0: any free one."),
        click.option(
            "--host", default="127.0.0.1", show_default=True, help="Address to serve at; 0.0.0.0: to the whole network."
        ),
    ):
        command = option(command)
    return command


def tell(console: Console, server: PageServer) -> None:
    """Where the page is."""
    console.print(f"Open [bold]{server.url}[/] in a browser. Ctrl-C ends it.")
    if not server.is_local:
        console.print(
            "Others on this network can reach it: whoever has this link sees everything, and it is sent unencrypted.",
            style="yellow",
        )
