"""`mser params`: every parameter of every node, from the one place that defines them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..nodes.parameter_file import applies, parameters_of, read_parameter_file
from ..settings import AUTOSTART, NODES, USE_SIM_TIME
from ..settings.parameters import build_parameters
from ..settings.schema import Setting, flatten

#: What a parameter file gives to each node by its name, each by dotted name.
Values = Mapping[str, Mapping[str, Any]]


@click.command()
@click.argument("nodes", nargs=-1, type=click.Choice(list(NODES)), metavar="[NODE]...")
@click.option(
    "--params-file", "--params", type=click.Path(path_type=Path), help="Parameter file to merge and to check."
)
@click.option("--namespace", default="/", show_default=True, help="Namespace of the nodes that the file is for.")
@click.option("--markdown", is_flag=True, help="Tables in Markdown instead of YAML.")
def params(nodes: Sequence[str], params_file: Path | None, namespace: str, markdown: bool) -> None:
    """Print the parameters of all or some nodes with value, range and meaning, as a file that the nodes can be given.

    With a parameter file the values are those that the nodes would get from it; a mistake in it is told.
    """
    chosen = [node for node in NODES if not nodes or node in nodes]
    given = read_values(params_file, namespace) if params_file else {}
    click.echo(as_markdown(chosen, given) if markdown else as_yaml(chosen, given, params_file), nl=False)


def read_values(path: Path, namespace: str = "/") -> Values:
    """What the file gives to each node. Raises `SettingsError` where a node would refuse it."""
    entries = read_parameter_file(path)
    full_names = {node: "/" + "/".join([*namespace.strip("/").split("/"), node]).lstrip("/") for node in NODES}
    for pattern, _ in entries:
        if not any(applies(pattern, name) for name in full_names.values()):
            names = ", ".join(full_names.values())
            click.echo(f"{path}: '{pattern}' means none of {names}: its parameters have no effect on them", err=True)
    values = {node: parameters_of(entries, name) for node, name in full_names.items()}
    for node, settings_class in NODES.items():
        build_parameters(settings_class, values[node], where=f"{path} for node {node}")
    return values


def as_yaml(nodes: Sequence[str] = tuple(NODES), given: Values | None = None, source: Path | None = None) -> str:
    """The content of config/emotion.yaml, or the same with what `source` has given."""
    given = given or {}
    whose = "every node" if list(nodes) == list(NODES) else ", ".join(nodes)
    state = f"with {source} merged" if source else "at its default"
    lines = [f"# Every parameter of {whose} {state}; printed by 'mser params'."]
    for node in nodes:
        values = given.get(node, {})
        lines += ["", f"/**/{node}:", "  ros__parameters:"]
        lines += [f"    {item.name}: {_entry(item, values)}" for item in _common(values)]
        open_groups: list[str] = []
        for item in flatten(NODES[node]):
            *groups, name = item.name.split(".")
            for depth, group in enumerate(groups):
                if open_groups[: depth + 1] != groups[: depth + 1]:
                    lines.append("    " + "  " * depth + f"{group}:")
            open_groups = groups
            lines.append("    " + "  " * len(groups) + f"{name}: {_entry(item, values)}")
    return "\n".join(lines) + "\n"


def as_markdown(nodes: Sequence[str] = tuple(NODES), given: Values | None = None) -> str:
    """The parameters as tables, as the documentation has them; one more column where a file has given values."""
    lines: list[str] = []
    for node in nodes:
        values = (given or {}).get(node, {})
        columns = ["parameter", *(["value"] if given else []), "default", "meaning"]
        lines += ["", f"**{node}**", "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        for item in [*(_common(values) if given else []), *flatten(NODES[node])]:
            value = f" `{_value(item, values)}` |" if given else ""
            lines.append(f"| `{item.name}` |{value} `{json.dumps(item.default)}` | {_meaning(item)} |")
    return "\n".join(lines[1:]) + "\n"


def _common(values: Mapping[str, Any]) -> list[Setting]:
    return [AUTOSTART, *([USE_SIM_TIME] if USE_SIM_TIME.name in values else [])]


def _entry(item: Setting, values: Mapping[str, Any]) -> str:
    value = _value(item, values)
    default = json.dumps(item.default)
    return f"{value}  # {_meaning(item)}" + (f" (default {default})" if value != default else "")


def _value(item: Setting, values: Mapping[str, Any]) -> str:
    return json.dumps(item.check(values.get(item.name, item.default)), ensure_ascii=False)


def _meaning(item: Setting) -> str:
    text = item.description + (f" [{item.unit}]" if item.unit else "")
    if item.low is not None and item.high is not None:
        text += f", {item.low:g} to {item.high:g}"
    return text
