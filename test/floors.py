"""Where each part of the package lies."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mser_ros"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)

#: The house, ground floor first: each part imports only what lies on a floor below its own, and itself.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("types", "errors"),
    ("labels", "settings", "resources", "model_store"),
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
