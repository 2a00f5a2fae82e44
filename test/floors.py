"""Where each part of the package lies, and what its files import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mser_ros"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)

#: The house, ground floor first: each part imports only what lies on a floor below its own, and itself.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("types", "errors"),
    ("labels", "languages", "mel", "settings", "resources", "model_store", "worker"),
    ("audio", "asr", "mocap", "vision"),
    ("recognition",),
    ("messages", "corpora"),
    ("stages",),
    ("evaluation",),
    ("nodes", "training", "testing"),
    ("page",),
    ("cli",),
)
#: The rooms of training, each of which imports only those before it.
ROOMS = ("progress", "config", "runs", "models", "samples", "fit", "export", "report", "speed")


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def import_statements(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Those anywhere in a file."""
    return tuple(_import_statements(ast.parse(path.read_text()).body))


def _import_statements(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    # Statements alone: to walk through every expression as well takes four times as long.
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        for part in ("body", "orelse", "finalbody"):
            yield from _import_statements(getattr(node, part, []))
        for part in ("handlers", "cases"):
            for inner in getattr(node, part, []):
                yield from _import_statements(inner.body)
