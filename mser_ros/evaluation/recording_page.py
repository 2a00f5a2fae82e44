"""A recording as one page of HTML for people: timeline, every utterance with its sound and words, why, and a summary.

The page needs nothing beside itself: no network, no server. Its charts are SVG that is written here; a library for
charts would weigh as much as half an hour of speech, in every page of an archive. What was said is hostile input: the
templates escape everything, and the page's own policy lets no script run but the one that is written here.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import DependencyError
from .findings import Findings, Making
from .recording_view import archive_view, recording_view

#: A page is no larger than this [bytes]: sound that has no room lies beside it.
_LARGEST = 10_000_000
#: Words of which a recogniser is less sure than this are marked by more than a shade.
_UNSURE = 0.5
_TEMPLATES = Path(__file__).parent / "templates"


def check_packages() -> None:
    """Raises `DependencyError` where what pages and their sounds are made with is missing."""
    missing = [name for name in ("jinja2", "av") if find_spec(name) is None]
    if missing:
        raise DependencyError(f"reports need more packages: pip install 'mser_ros[report]' (or {' '.join(missing)})")


def write_page(path: Path, found: Findings) -> bool:
    """Write the page. Returns whether its sounds are in it; those that have no room are links."""
    sounds = {key: path.parent / clip.sound for key, clip in found.clips.items() if clip.sound}
    view = recording_view(found)
    linked = _render("recording.html", view | {"embedded": False})
    inside = sum(-(-file.stat().st_size // 3) * 4 for file in sounds.values())
    embeds = len(linked.encode()) + inside <= _LARGEST
    if embeds:
        for item in view["utterances"]:
            if item["sound"]:
                content = base64.b64encode(sounds[item["id"]].read_bytes()).decode()
                item["sound"] = f"data:audio/ogg;base64,{content}"
        linked = _render("recording.html", view | {"embedded": True})
    _write(path, linked)
    return embeds


def write_index(path: Path, rows: Sequence[Mapping[str, Any]], *, labels: Sequence[str], making: Making) -> None:
    """Write the page of an archive. `rows`: of each recording its `name`, `link` ('' for none), `reason` (why there is
    no result), `seconds`, `utterances`, `labels` (final estimates by label), `dropped` and `notes`."""
    _write(path, _render("index.html", archive_view(rows, labels=labels, making=making)))


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["unsure"] = _UNSURE
    return made


def _render(name: str, view: Mapping[str, Any]) -> str:
    style, script = ((_TEMPLATES / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = _environment().get_template(name).render(**view, style=style, script=script, script_sha256=digest)
    return str(page).encode("utf-8", "replace").decode()  # names of files need not be text


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
