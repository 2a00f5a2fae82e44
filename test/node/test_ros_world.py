"""Tests that run at the same time do not hear each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ros_world import Domain


def domain_of_another_process(wanted: int) -> int:
    """The domain that another process gets which would take `wanted` if it could."""
    code = f"from ros_world import Domain\nDomain._next = {wanted - 1}\nwith Domain() as number: print(number)"
    tests = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return int(done.stdout)


def test_a_domain_is_nobody_else_s_while_it_is_held() -> None:
    with Domain() as mine, Domain() as another:
        assert mine != another
        assert domain_of_another_process(mine) not in (mine, another)
