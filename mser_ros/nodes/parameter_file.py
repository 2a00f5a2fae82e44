"""ROS parameter files as a node would get them, read without ROS: to show them, and to check them beforehand."""

from __future__ import annotations

import math
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
    """Raises `SettingsError` for a file that is missing, no YAML, what ROS refuses, or has no `ros__parameters`."""
    try:
        text = path.read_text(encoding="utf-8")
        content = _Loader(text).get_single_node()
        if not isinstance(content, yaml.MappingNode) or "ros__parameters" not in text:
            entries = []
        else:
            entries = list(_entries(content, ""))
    except FileNotFoundError:
        raise SettingsError(f"there is no parameter file {path}: name one like {config_file()}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"parameter file {path} cannot be read ({error}): check what it is") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = f", line {mark.line + 1}" if mark else ""
        kind = "parameter file for ROS" if isinstance(error, _Refused) else "YAML"
        raise SettingsError(f"parameter file {path} is no {kind} ({problem or error}){where}: correct it") from None
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


def _entries(tree: yaml.MappingNode, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in tree.value:
        named = _name(key)
        if not isinstance(value, yaml.MappingNode):
            is_empty = named == "ros__parameters"
            raise _Refused(
                f"'{named}' " + ("holds no parameters" if is_empty else "does not stand below 'ros__parameters'"), key
            )
        if named == "ros__parameters":
            if not _PATTERN.fullmatch(name):
                raise _Refused(f"'{name}' cannot be the name of a node" if name else "no node is named", key)
            yield name, dict(_dotted(value, ""))
        else:
            is_absolute = named.startswith("/") and not name
            yield from _entries(value, named if is_absolute else f"{name}/{named}")


def _dotted(tree: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.value:
        name = f"{prefix}{_name(key)}"
        if isinstance(value, yaml.MappingNode):
            yield from _dotted(value, f"{name}.")
        elif isinstance(value, yaml.SequenceNode):
            values = [_scalar(name, item) for item in value.value]
            if len(set(map(type, values))) > 1:
                raise _Refused(f"the values of '{name}' are of more than one type", value)
            yield name, values
        else:
            yield name, _scalar(name, value)


def _name(key: yaml.Node) -> str:
    if not isinstance(key, yaml.ScalarNode) or not key.value:
        raise _Refused("a key is no name", key)
    return str(key.value)


def _scalar(name: str, node: yaml.Node) -> bool | int | float | str:
    """A value as ROS reads it, which is neither YAML 1.1 nor 1.2: by what C makes of it."""
    if not isinstance(node, yaml.ScalarNode):
        raise _Refused(f"'{name}' is a list of something else than values", node)
    text = str(node.value)
    if node.style in ("'", '"') or node.tag == "tag:yaml.org,2002:str":
        return text
    if not text:
        raise _Refused(f"'{name}' has no value", node)
    if text in _TRUE | _FALSE:
        return text in _TRUE
    if found := _INTEGER.fullmatch(text):
        value = int(text, 16 if found["hex"] else 8 if found["octal"] else 10)
        if -(2**63) <= value < 2**63:
            return value
    if _FLOAT.fullmatch(text):
        number = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isinf(number) or "inf" in text.lower():
            return number
    return text


#: Names of nodes, with wildcards for whole names.
_PATTERN = re.compile(r"(/(\w*|\*\*?))+", re.ASCII)
_TRUE, _FALSE = (
    {form for word in words for form in (word, word.capitalize(), word.upper())}
    for words in (("y", "yes", "on", "true"), ("n", "no", "off", "false"))
)
_INTEGER = re.compile(r"[-+]?((?P<hex>0[xX][0-9a-fA-F]+)|(?P<octal>0[0-7]*)|[1-9][0-9]{0,18})")
_FLOAT = re.compile(
    r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?(?i:inf|infinity|nan)"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


class _Refused(yaml.MarkedYAMLError):
    """YAML that ROS does not take."""

    def __init__(self, problem: str, at: Any) -> None:
        """`at`: a node or an event."""
        super().__init__(problem=problem, problem_mark=at.start_mark)


class _Loader(yaml.BaseLoader):
    """A tree without aliases; of its nodes those have a tag that are given one."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _Refused("ROS takes no aliases such as *name", self.peek_event())
        return super().compose_node(parent, index)

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        return ""
