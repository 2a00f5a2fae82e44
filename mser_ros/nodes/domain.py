"""A ROS domain of one's own."""

from __future__ import annotations

import fcntl
import random
import socket
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from ..errors import MserError

#: Those whose ports are no system's to hand out; 0 is everybody's.
_DOMAINS = range(1, 102)
#: What this process holds until it ends.
_kept: list[Domain] = []


class Domain:
    """A ROS domain that nobody else of this machine uses while the `with` block lasts."""

    def __init__(self, wanted: Iterable[int] = ()) -> None:
        """`wanted` are tried first."""
        self._wanted = wanted

    def __enter__(self) -> int:
        for number in (*self._wanted, *random.sample(_DOMAINS, len(_DOMAINS))):
            if self._lock(number):
                if _is_free(number):
                    return number
                self._file.close()
        raise MserError("every ROS domain from 1 to 101 is in use on this machine: end other nodes first")

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _lock(self, number: int) -> bool:
        """Hold a domain, in which nobody may have begun to talk, against others who look for one."""
        path = Path(tempfile.gettempdir()) / f"mser_domain_{number}.lock"
        try:
            if not path.exists():
                path.touch()
            self._file: TextIO = path.open()  # for reading: it may be another user's
        except OSError:
            return False
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            return False
        return True


def keep_domain() -> int:
    """A domain that is this process's own until it ends."""
    _kept.append(Domain())
    return _kept[-1].__enter__()


def _is_free(domain: int) -> bool:
    """Whether no participant of this machine is in a ROS domain, by the ports of the DDS Interoperability Wire Protocol
    2.5, section 9.6.2.3: one for all that look beyond this machine, and one for each, of which the first are tried (the
    very first participant may have ended)."""
    offsets = (0, *(10 + 2 * participant for participant in range(20)))
    return not any(_is_taken(7400 + 250 * domain + offset) for offset in offsets)


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False
