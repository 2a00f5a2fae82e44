"""Nodes that are started for themselves, by a demo or a test, hear nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ros_world import World

from mser_ros.errors import MserError
from mser_ros.nodes import domain
from mser_ros.nodes.domain import Domain, keep_domain


def domain_of_another_process(wanted: int) -> int:
    """The domain that another process gets which would rather have `wanted`."""
    code = f"from mser_ros.nodes.domain import Domain\nwith Domain([{wanted}]) as number: print(number)"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    return int(done.stdout)


def test_a_domain_is_nobody_else_s_while_it_is_held() -> None:
    with Domain() as mine, Domain() as another:
        assert mine != another
        assert domain_of_another_process(mine) not in (mine, another)


def test_a_domain_is_held_until_the_process_ends() -> None:
    mine = keep_domain()
    assert domain_of_another_process(mine) != mine


@pytest.mark.parametrize("has_a_predecessor", [False, True])
def test_a_domain_that_others_use_is_left_to_them(ros: None, has_a_predecessor: bool) -> None:
    """Others hold nothing. And the port of the first participant is free again when that has ended, whoever else there
    is."""
    first = World() if has_a_predecessor else None
    world = World()
    if first is not None:
        first.close()
    theirs = world.context.get_domain_id()
    assert not domain._is_free(theirs)
    world.close()
    assert domain._is_free(theirs)


def test_where_no_domain_is_free_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "_is_free", lambda number: False)
    with pytest.raises(MserError, match="every ROS domain from 1 to 101 is in use on this machine: end other nodes"):
        keep_domain()
