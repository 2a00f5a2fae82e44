"""What the commands that serve a page have in common."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from ..errors import SettingsError
from ..model_store.store import user_dir
from .idle_options import refuse_idle

if TYPE_CHECKING:
    from ..page.server import PageServer


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where a page is served, who may see it, and whether it shows words. The command is given `words`, and in `where`
    what else a `PageServer` is told. Where the command shows its page only with --browser, without it those that place
    the page are refused."""

    @click.option(
        "--host", default="127.0.0.1", show_default=True, help="Address to serve at; 0.0.0.0: to the whole network."
    )
    @click.option("--port", type=click.IntRange(0, 65535), default=8780, show_default=True, help="0: any free one.")
    @click.option("--token", default="", help="What browsers must know.  [made, if others can reach the page]")
    @click.option("--https", is_flag=True, help="Encrypt it, by a certificate that is made here unless one is given.")
    @click.option("--certificate", default="", help="Encrypt it by this certificate, a PEM file.")
    @click.option("--key", default="", help="The key of --certificate, a PEM file without a password.")
    @click.option("--words/--no-words", default=True, show_default=True, help="Whether it shows what was said.")
    @functools.wraps(command)
    def with_place(
        *arguments: Any, host: str, port: int, token: str, https: bool, certificate: str, key: str, **options: Any
    ) -> Any:
        if not options.get("browser", True):
            refuse_idle(("host", "port", "token", "https", "certificate", "key"), "a page", "call --browser as well")
        files = _https(host, https, certificate, key)
        return command(*arguments, where={"host": host, "port": port, "token": token, "https": files}, **options)

    return with_place


def print_address(console: Console, server: PageServer) -> None:
    """Where the page is."""
    console.print(Text.assemble("Open ", (server.url, "bold"), " in a browser. Ctrl-C ends it."))
    if server.https:
        from ..page.certificate import fingerprint

        console.print(
            "A browser that warns of the certificate shows its SHA-256 fingerprint. Go on if it is this one:\n"
            f"{fingerprint(server.https[0])}"
        )
    if not server.is_local:
        plain = "" if server.https else ", and it is sent unencrypted (--https encrypts it)"
        console.print(
            f"Others on this network can reach it: whoever has this link sees everything{plain}.", style="yellow"
        )


def _https(host: str, wanted: bool, certificate: str, key: str) -> tuple[Path, Path] | None:
    """The files of a certificate and its key. Raises `SettingsError`, `DependencyError`."""
    if bool(certificate) != bool(key):
        raise SettingsError("--certificate and --key belong together: name both, or call --https to have them made")
    if certificate:
        return Path(certificate).expanduser(), Path(key).expanduser()
    if not wanted:
        return None
    from ..page.certificate import own_certificate
    from ..page.server import own_name

    own = socket.gethostname()
    names = {own, f"{own.split('.')[0]}.local", own_name(), host} - {"0.0.0.0", "::", ""}
    return own_certificate(user_dir() / "https", [name for name in names if name.isascii()])
