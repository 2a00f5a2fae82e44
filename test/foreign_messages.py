"""Messages of packages that need not be installed, for real processes: nodes, and a peer that talks to them.

`make setup-dev` builds each folder of test/foreign into a prefix of its own, which no process has by itself: so a test
says which packages there are, and without a prefix a node meets what it meets where they are not installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from ros_world import World

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "build" / "foreign"
_PYTHON = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def environment(*prefixes: str) -> dict[str, str]:
    """What a process needs in its environment to find the packages in these prefixes ('hri') beside those installed."""
    places = [BUILT / prefix for prefix in prefixes]
    for place in places:
        sources = [path.parent.name for path in (ROOT / "test" / "foreign" / place.name).glob("*/package.xml")]
        if not sources or not all((place / f"{name}.built").is_file() for name in sources):
            pytest.skip(f"messages for this test are not built: call 'make setup-dev' to have {place}")
    paths = {
        "AMENT_PREFIX_PATH": places,
        "PYTHONPATH": [place / _PYTHON for place in places],
        "LD_LIBRARY_PATH": [place / "lib" for place in places],
    }
    return {
        name: os.pathsep.join([*map(str, own), *filter(None, [os.environ.get(name)])]) for name, own in paths.items()
    }


@contextmanager
def nodes_process(
    name: str, log: Path, nodes: Mapping[str, Sequence[str]], prefixes: Sequence[str] = ()
) -> Iterator[None]:
    """Nodes of this package, one in each namespace ('': the root) with its arguments of ROS, in one process that has
    these prefixes, while the `with` block lasts. `log`: where what it prints goes."""
    arguments = [[*own, "-r", f"__ns:=/{namespace}"] for namespace, own in nodes.items()]
    program = Path(__file__).with_name("nodes_together.py")
    with log.open("wb") as printed:
        process = subprocess.Popen(
            [sys.executable, str(program), name, json.dumps(arguments)],
            env=os.environ | (environment(*prefixes) if prefixes else {}),
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


class Peer:
    """A process that has these prefixes, publishes what it is told, and tells what it hears, while the `with` block
    lasts. Messages are dictionaries of their fields, of which those that are left out stay as they are."""

    def __init__(self, world: World, *prefixes: str) -> None:
        self._world = world
        self._environment = {**os.environ, **environment(*prefixes)}
        self._heard: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self._answers = 0

    def __enter__(self) -> Peer:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("foreign_peer.py"))],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def publish(self, kind: str, topic: str, *messages: dict[str, Any], kept: bool = False) -> None:
        """Publish messages of a type such as 'hri_msgs/IdsList' as soon as somebody listens; returns when that is done.
        `kept`: who listens later gets the last one as well, and nobody need listen now."""
        self._ask(do="publish", kind=kind, topic=topic, messages=messages, kept=kept)

    def listen(self, kind: str, topic: str, *, kept: bool = False) -> list[dict[str, Any]]:
        """Every message of a topic from now on, in a list that grows."""
        self._ask(do="listen", kind=kind, topic=topic, kept=kept)
        return self._heard[topic]

    def stop(self, topic: str) -> None:
        """Publish on this topic no more: its publisher is gone."""
        self._ask(do="stop", topic=topic)

    def _ask(self, **order: Any) -> None:
        answered = self._answers + 1
        assert self._process.stdin is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        self._world.wait(
            lambda: self._answers >= answered or self._process.poll() is not None, f"the peer to {order['do']}"
        )
        assert self._answers == answered, "the peer has ended"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            with self._world.changed:
                if said:
                    self._heard[said["topic"]].append(said["message"])
                else:
                    self._answers += 1
                self._world.changed.notify_all()
