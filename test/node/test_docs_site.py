"""The site that is made of docs/, the README and the code: nothing is missing, and nothing comes from elsewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from html import unescape
from pathlib import Path

import pytest

from mser_ros.cli.main import COMMANDS
from mser_ros.messages.bags import message_types
from mser_ros.settings import NODES
from mser_ros.settings.schema import flatten
from mser_ros.types import AbstainReason

pytest.importorskip("material", reason="mkdocs-material is missing: call 'make setup-dev'")
pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")

ROOT = Path(__file__).parents[2]
#: No picture is larger [bytes].
LARGEST_PICTURE = 150_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as 'make docs' does, where a link to nowhere or a page outside of the navigation is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def text_of(page: Path) -> str:
    """What a reader sees of a page."""
    article = page.read_text(encoding="utf-8").partition("<article")[2].partition("</article")[0]
    return " ".join(unescape(re.sub("<[^>]+>", " ", article)).split())


def test_no_part_of_the_site_comes_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= 30
    for page in pages:
        tags = re.findall(r"<(?:script|link|img|iframe|source|video)\b[^>]*>", page.read_text(encoding="utf-8"))
        places = [place for tag in tags for place in re.findall(r'(?:src|href)="([^"]*)"', tag)]
        assert places
        assert not [place for place in places if re.match("(https?:)?//", place)], page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_what_stands_in_for_workers_where_the_site_is_read_from_disk_is_its_own(site: Path) -> None:
    (place,) = re.findall(r'src="([^"]*iframe-worker[^"]*)"', (site / "nodes" / "speech.html").read_text())
    assert (site / "nodes" / place).resolve().is_file()


@pytest.mark.parametrize("node", NODES)
def test_the_page_of_a_node_has_all_its_parameters(site: Path, node: str) -> None:
    said = text_of(site / "nodes" / f"{node}.html")
    for item in flatten(NODES[node]):
        assert f" {item.name} " in said, item.name
        assert " ".join(item.description.replace("`", "").split())[:40] in said.replace("` ", "").replace(" `", ""), (
            item
        )
    for word in ("Topics", "/diagnostics", f"mser params {node}"):
        assert word in said


def test_the_page_of_messages_has_all_their_fields_and_says_what_each_is(site: Path) -> None:
    page = (site / "messages.html").read_text(encoding="utf-8")
    for path in sorted((ROOT / "interfaces" / "mser_msgs" / "msg").glob("*.msg")):
        section = page.partition(f"<code>mser_msgs/msg/{path.stem}</code>")[2].partition("<h2")[0]
        constants, fields = message_types().fielddefs[f"mser_msgs/msg/{path.stem}"]
        for name in (*(item[0] for item in constants), *(item[0] for item in fields)):
            row = re.search(rf"<td><code>{name}</code></td>\s*<td>.+?</td>\s*<td>(.*?)</td>", section)
            assert row, f"{path.stem}.{name}"
            assert row[1], f"{path.stem}.{name} says nothing"
    for name in ("ExportVoices", "ImportVoices", "WaitForEmotion"):
        assert f"/{name}</code>" in page


def test_the_page_of_commands_has_every_command(site: Path) -> None:
    page = (site / "commands.html").read_text(encoding="utf-8")
    assert set(re.findall(r'<h2 id="[\w-]+">mser ([\w-]+)<', page)) == COMMANDS.keys()
    assert "mser models get" in page


def test_the_page_of_planners_holds_the_examples(site: Path) -> None:
    said = text_of(site / "planner.html")
    for path in (ROOT / "examples").glob("*.py"):
        (name, *_) = re.findall(r"^(?:def|class) (\w+)", path.read_text(), re.MULTILINE) or ["read_sound_file"]
        assert name in said, path.name


@pytest.mark.parametrize(
    "path", [path for kind in ("png", "jpg", "gif", "svg") for path in (ROOT / "docs").rglob(f"*.{kind}")], ids=str
)
def test_a_picture_is_small(path: Path) -> None:
    assert path.stat().st_size <= LARGEST_PICTURE


@cache
def sentences() -> str:
    """All texts in the code, what they are put together from marked by '…', and in the Makefile."""
    found = []
    for path in sorted((ROOT / "mser_ros").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append("".join(item.value if isinstance(item, ast.Constant) else "…" for item in node.values))
    return "\n".join([*found, (ROOT / "Makefile").read_text(encoding="utf-8")])


_TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").split("## The words are wrong")[0]


@pytest.mark.parametrize("said", re.findall(r"^\| `([^`]+)` \|", _TROUBLE, re.MULTILINE))
def test_what_the_page_of_troubles_quotes_is_what_the_code_says(said: str) -> None:
    if said == "mser: command not found":  # which the shell says
        return
    for part in said.split("…"):
        assert part.strip() in sentences(), part


def test_the_reasons_to_abstain_on_the_page_of_troubles_are_all() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([A-Z_]+) \|", text, re.MULTILINE)
    assert set(re.findall(r"^\| ([A-Z_]+) \|", text, re.MULTILINE)) == {item.name for item in AbstainReason} - {"NONE"}
