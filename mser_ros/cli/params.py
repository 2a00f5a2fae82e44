"""`mser params`: every parameter of every node, from the one place that defines them."""

from __future__ import annotations

import json

import click

from ..settings import NODES, Setting, flatten


@click.command()
@click.option("--markdown", is_flag=True, help="Tables for a README instead of YAML.")
def params(markdown: bool) -> None:
    """Print every parameter with its default, range and meaning."""
    click.echo(as_markdown() if markdown else as_yaml(), nl=False)


def as_yaml() -> str:
    """The content of config/emotion.yaml."""
    lines = ["# Every parameter of every node at its default; printed by 'mser params'."]
    for node, settings_class in NODES.items():
        lines += ["", f"/**/{node}:", "  ros__parameters:"]
        lines += ["    autostart: true  # configure and activate at start, without a manager"]
        open_groups: list[str] = []
        for item in flatten(settings_class):
            *groups, name = item.name.split(".")
            for depth, group in enumerate(groups):
                if open_groups[: depth + 1] != groups[: depth + 1]:
                    lines.append("    " + "  " * depth + f"{group}:")
            open_groups = groups
            lines.append("    " + "  " * len(groups) + f"{name}: {_value(item)}  # {_comment(item)}")
    return "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The parameter tables of README.md."""
    lines: list[str] = []
    for node, settings_class in NODES.items():
        lines += ["", f"**{node}**", "", "| parameter | default | meaning |", "|---|---|---|"]
        lines += [f"| `{item.name}` | `{_value(item)}` | {_comment(item)} |" for item in flatten(settings_class)]
    return "\n".join(lines[1:]) + "\n"


def _value(item: Setting) -> str:
    return json.dumps(item.default)


def _comment(item: Setting) -> str:
    text = item.description + (f" [{item.unit}]" if item.unit else "")
    if item.low is not None and item.high is not None:
        text += f", {item.low:g} to {item.high:g}"
    return text
