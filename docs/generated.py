"""Hooks of mkdocs: the pages of the site that are made from the code, so that they cannot say anything else.

These are the README as the home page, a page for each node, the messages, the commands and the model card. Links to
files outside of docs/ lead to the page that shows them, or to a copy of the file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, join, normpath, relpath
from typing import Any

import click
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

from mser_ros.cli.main import cli
from mser_ros.cli.params import as_markdown
from mser_ros.settings import NODES

ROOT = Path(__file__).parents[1]
INTERFACES = "interfaces/mser_msgs"
#: Pages that show a file or folder of the repository outside of docs/.
PAGES = {"README.md": "index.md", "models/default/MODEL_CARD.md": "model_card.md", INTERFACES: "messages.md"}
#: Files that links may lead to and that are shown as they are.
COPIES = (
    "examples/*.py",
    "config/emotion.yaml",
    "config/foxglove_layout.json",
    "config/sros2/policy.xml",
    "models/default/*.png",
)


def on_files(files: Files, config: Any) -> Files:
    """Add what is made here."""
    made = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in PAGES.items() if source != INTERFACES}
    made |= {f"nodes/{node}.md": node_page(node) for node in NODES}
    made |= {"messages.md": messages_page(), "commands.md": commands_page()}
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    for path in sorted(path for pattern in COPIES for path in ROOT.glob(pattern)):
        name = _copy_of(path.relative_to(ROOT).as_posix())
        files.append(File.generated(config, name, content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put in the files that are to be shown, and turn links to the repository into links of the site."""
    source = {shown: origin for origin, shown in PAGES.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    shown = re.sub(r"<!-- file (\S+) -->", lambda found: _fenced(found[1]), markdown)
    return re.sub(r"(?<=\]\()([^)#:\s]+)(?=[)#])", lambda link: _link(link[1], source, page.file.src_uri), shown)


def _fenced(name: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8").rstrip()
    return f'```python title="{name}"\n{text}\n```'


def _link(link: str, source: str, page: str) -> str:
    """What a relative link of the file `source` is on the page that shows it."""
    target = normpath(join(dirname(source), link))
    if target.startswith("docs/"):
        found = target.removeprefix("docs/")
    elif target in PAGES or target == INTERFACES:
        found = PAGES[target]
    elif any((ROOT / target).match(pattern) for pattern in COPIES):
        found = _copy_of(target)
    else:
        raise PluginError(f"{source}: the link to {target} leads out of the site: add the file to docs/generated.py")
    return relpath(found, dirname(page) or ".")


def _copy_of(name: str) -> str:
    # As text, so that a browser shows it and mkdocs makes no page of it.
    return f"files/{name}" if name.endswith(".png") else f"files/{name}.txt"


# -- nodes


def node_page(node: str) -> str:
    """Topics, services, parameters and diagnostics of a node, from its code and tables that tests compare with it."""
    docstring = ast.get_docstring(ast.parse((ROOT / f"mser_ros/nodes/{node}_node.py").read_text(encoding="utf-8")))
    summary = " ".join((docstring or "").split("\n\n")[0].split()).partition(": ")[2]
    types = {_names(topic)[0]: (kind, what) for topic, kind, what in table("docs/topics.md", "types")}
    lines = [
        f"# {node}",
        "",
        f"{summary[0].upper()}{summary[1:]}",
        "",
        "```bash",
        f"ros2 run mser_ros {node}_node",
        "```",
        "",
        "## Topics",
        "",
        "| | topic | type | what it carries |",
        "|---|---|---|---|",
    ]
    (row,) = (row for row in table("README.md", "topics") if _names(row[0]) == [node])
    for direction, cell in zip(("in", "out"), row[1:], strict=True):
        for topic in _names(cell):
            if topic not in types:
                raise PluginError(f"the table of types in docs/topics.md lacks `{topic}`: add it")
            kind, what = types[topic]
            lines.append(f"| {direction} | `{topic}` | {_up(kind)} | {_up(what)} |")
    kind, what = types["/diagnostics"]
    lines += [f"| out | `/diagnostics` | {kind} | {_up(what)} |", "", "More on [all topics](../topics.md)."]
    services = [row[1:] for row in table("docs/topics.md", "services") if _names(row[0]) == [node]]
    if services:
        lines += ["", "## Services and actions", "", "| name | type | what it does |", "|---|---|---|"]
        lines += [f"| {' | '.join(map(_up, cells))} |" for cells in services]
    parameters = as_markdown([node]).partition("\n")[2]
    lines += [
        "",
        "## Parameters",
        parameters,
        f"`mser params {node}` prints them as a file.",
        "",
        "## Diagnostics",
    ]
    for name, values in table("docs/topics.md", "diagnostics"):
        if _names(name) in ([], [node]):
            lines += ["", f"Of {name}: {_up(values)}."]
    return "\n".join(lines) + "\n"


def _names(cell: str) -> list[str]:
    return re.findall("`(.*?)`", cell)


def _up(cell: str) -> str:
    """A cell for a page in a folder: links to other pages lead up."""
    return re.sub(r"\]\((?=[\w.]+\.md)", "](../", cell)


def table(name: str, marker: str) -> list[list[str]]:
    """The cells of a table between two markers of a page, without its head."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = text.partition(f"<!-- {marker} -->\n")[2].partition(f"<!-- /{marker} -->")[0].strip().splitlines()[2:]
    if not lines:
        raise PluginError(f"{name} has no table between <!-- {marker} --> and <!-- /{marker} -->")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# -- messages


def messages_page() -> str:
    """Every message, service and action, from its definition and the comments in it."""
    lines = [
        "# Messages",
        "",
        "What `mser_msgs` defines, from its definitions: every field with its unit, its range and what it means where "
        "nothing is known. Times are `builtin_interfaces/Time`; shares, probabilities and confidences are 0 to 1.",
    ]
    for kind, parts in (
        ("msg", [""]),
        ("srv", ["Request", "Answer"]),
        ("action", ["Goal", "Result", "Feedback"]),
    ):
        for path in sorted((ROOT / INTERFACES / kind).glob(f"*.{kind}")):
            lines += ["", f"## {path.stem}", "", f"`mser_msgs/{kind}/{path.stem}`"]
            for title, text in zip(parts, re.split("^---$", path.read_text(encoding="utf-8"), flags=re.M), strict=True):
                lines += ["", f"**{title}**"] if title else []
                lines += definition(text)
    return "\n".join(lines) + "\n"


def definition(text: str) -> Iterator[str]:
    """One part of a definition as Markdown: what its comments say, its constants, its fields."""
    rows: dict[str, list[str]] = {"constant": [], "field": []}
    said: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            said.append(line.lstrip("# "))
            continue
        found = re.fullmatch(r"(\S+)\s+(\w+)(?:\s*=\s*(\S+))?\s*(?:#\s*(.*))?", line)
        if not found:
            raise PluginError(f"'{line}' in a definition of mser_msgs is not understood")
        kind, name, value, meaning = found.groups(default="")
        row = [f"`{name}`", value or f"`{kind}`", meaning.replace("|", "&#124;")]
        rows["constant" if value else "field"].append(f"| {' | '.join(row)} |")
    yield from ["", " ".join(said)] if said else []
    for what, column in (("constant", "value"), ("field", "type")):
        if rows[what]:
            yield from ["", f"| {what} | {column} | meaning |", "|---|---|---|", *rows[what]]


# -- commands


def commands_page() -> str:
    """What each command says of itself when it is asked by --help."""
    lines = ["# Commands", "", "What `mser COMMAND --help` prints. `mser --version` tells which version this is."]
    for name, command in _commands(click.Context(cli, info_name="mser", **cli.context_settings)):
        lines += ["", f"## {name}", "", "```text", command, "```"]
    return "\n".join(lines) + "\n"


def _commands(context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, context.get_help()
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            found = context.command.get_command(context, name)
            assert found is not None
            yield from _commands(click.Context(found, context, name))  # type: ignore[arg-type]
