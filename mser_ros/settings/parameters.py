"""From all parameters that a node is given to its settings; a name that is another node's is told with its owner."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from ..errors import SettingsError
from . import AUTOSTART, NODES, USE_SIM_TIME
from .schema import build, flatten

T = TypeVar("T")


def build_parameters(settings_class: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """`build` from all parameters of a node: those that every node has are checked, ROS's own left out."""
    common = {item.name: item for item in (AUTOSTART, USE_SIM_TIME)}
    own = {name: value for name, value in values.items() if name not in common and not is_of_ros(name)}
    for name in values.keys() & common.keys():
        try:
            common[name].check(values[name])
        except SettingsError as error:
            raise SettingsError(f"{error} in {where}" if where else str(error)) from None
    known = {item.name for item in flatten(settings_class)}
    for name in (name for name in own if name not in known):
        # ROS gives what is said without a node's name to all of them, a slip of the pen too.
        _look_elsewhere(name, known, f" in {where}" if where else "")
    return build(settings_class, own, where=where)


def _look_elsewhere(name: str, known: Collection[str], at: str) -> None:
    """Raises `SettingsError` for the name of a setting that another node has, or hardly misses."""
    theirs = {node: {item.name for item in flatten(its)} for node, its in NODES.items()}
    near = [] if get_close_matches(name, known, 1) else get_close_matches(name, set().union(*theirs.values()), 1)
    meant = name if any(name in names for names in theirs.values()) else "".join(near)
    if owners := [node for node, names in theirs.items() if meant in names]:
        is_it = "it is" if meant == name else f"did you mean '{meant}'? It is"
        raise SettingsError(
            f"unknown setting '{name}'{at}: {is_it} of node {' and '.join(owners)}, so name that, as "
            f"-p {owners[-1]}:{meant}:=VALUE, or below {owners[-1]} in a parameter file"
        )


def is_of_ros(name: str) -> bool:
    """Whether ROS itself gives this parameter to a node."""
    return name == "start_type_description_service" or name.startswith("qos_overrides.")
