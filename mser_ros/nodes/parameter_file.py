"""ROS parameter files as a node would get them, read without ROS: to show them, and to check them beforehand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..errors import SettingsError
from ..resources import config_file

#: What a file says: patterns of full node names, each with its parameters by dotted name, in the order of the file.
Entries = Sequence[tuple[str, Mapping[str, Any]]]


def read_parameter_file(path: Path) -> Entries:
    """Raises `SettingsError` for a file that is missing, no YAML, or has no `ros__parameters`."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        content = loader.get_single_node()
        entries = list(_entries(loader, content, "")) if isinstance(content, yaml.MappingNode) else []
    except FileNotFoundError:
        raise SettingsError(f"there is no parameter file {path}: name one like {config_file()}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"parameter file {path} cannot be read ({error}): check what it is") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"parameter file {path} is no YAML ({problem or error}){where}: correct it") from None
    if not entries:
        raise SettingsError(f"parameter file {path} has no 'ros__parameters': write it like {config_file()}")
    return entries


def parameters_of(entries: Entries, node: str) -> dict[str, Any]:
    """What the entries give to a node, by its full name such as /robot/speech: the last one that applies counts."""
    values: dict[str, Any] = {}
    for pattern, parameters in entries:
        if applies(pattern, node):
            values |= parameters
    return values


def applies(pattern: str, node: str) -> bool:
    """Whether a pattern means a node: '/*' stands for one name, '/**' for any number of them."""
    return re.fullmatch(pattern.replace("/**", r"(/\w+)*").replace("/*", r"(/\w+)"), node) is not None


# The tree is read rather than built, because ROS takes a key that occurs twice as one that goes on.


def _entries(loader: _Loader, tree: yaml.MappingNode, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in tree.value:
        if not isinstance(value, yaml.MappingNode):
            continue
        if key.value == "ros__parameters":
            yield name, dict(_dotted(loader, value, ""))
        else:
            is_absolute = key.value.startswith("/") and not name
            yield from _entries(loader, value, key.value if is_absolute else f"{name}/{key.value}")


def _dotted(loader: _Loader, tree: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.value:
        if isinstance(value, yaml.MappingNode):
            yield from _dotted(loader, value, f"{prefix}{key.value}.")
        else:
            yield f"{prefix}{key.value}", loader.construct_object(value, deep=True)


class _Loader(yaml.SafeLoader):
    """Scalars as ROS reads them: YAML 1.1 as it is mostly implemented takes 1e-3 and y for texts."""

    bool_values = yaml.SafeLoader.bool_values | {"y": True, "n": False}


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))
