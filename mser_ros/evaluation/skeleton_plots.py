"""Pictures of skeletons: what a source sends beside the canonical body that is made of it, without a display.

Left is red, right is blue, the middle grey, so that swapped sides, a mirrored source or a body that lies down are seen
at a glance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SkeletonError
from ..mocap.canonical import MAX_GAP_S, CanonicalMotion, canonicalise
from ..mocap.layouts import JOINTS, Layout, get_layout
from ..types import NS_PER_S, SkeletonSequence, to_ns

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"left": "tab:red", "right": "tab:blue", "": "0.35"}
#: Axes of the plane that each view shows, of x ahead, y left, z up: from the front a person's left is on the right.
FRONT, _SIDE = (1, 2), (0, 2)
_RATE_HZ = 15.0


@dataclass(frozen=True, eq=False)
class View:
    """A part of a sequence, as it was sent and as a model sees it; T canonical frames at 15 Hz.

    `raw`: the source's joints, turned and scaled as its layout says, (T, J, 3), NaN where not seen, from the middle of
    the body. `motion` is None where no canonical body can be made of it: neither shoulders nor hips are seen.
    """

    layout: Layout
    times_s: np.ndarray
    raw: np.ndarray
    motion: CanonicalMotion | None

    @property
    def frames(self) -> int:
        return len(self.times_s)


def view(
    sequence: SkeletonSequence, mended: SkeletonSequence | None, *, start_s: float = 0.0, seconds: float = 5.0
) -> View:
    """The part from `start_s` after the first frame on, as it was sent and `mended` by `SkeletonStream`, None where
    nothing of it was used. Raises `SkeletonError` where nothing is seen in it."""
    layout = get_layout(sequence.layout)
    begin_ns = int(sequence.stamps_ns[0]) + to_ns(start_s)
    end_ns = min(begin_ns + to_ns(seconds), int(sequence.stamps_ns[-1]))
    if end_ns < begin_ns:
        length_s = (sequence.stamps_ns[-1] - sequence.stamps_ns[0]) / NS_PER_S
        raise SkeletonError(f"the body is seen for {length_s:.1f} s only: begin before {start_s:g} s")
    window_s = (end_ns - begin_ns) / NS_PER_S + 1 / _RATE_HZ
    count = max(1, round(window_s * _RATE_HZ))
    times_ns = end_ns - np.round(np.arange(count)[::-1] * NS_PER_S / _RATE_HZ).astype(np.int64)
    away_ns = np.abs(sequence.stamps_ns[:, None] - times_ns)
    nearest = away_ns.argmin(axis=0)
    seen = np.isfinite(sequence.positions).all(axis=2) & (sequence.confidence > 0)
    world = np.where(seen[..., None], sequence.positions, 0.0) @ layout.to_world.T
    raw = np.where(seen[..., None], world, np.nan)[nearest]
    raw[away_ns.min(axis=0) > to_ns(MAX_GAP_S / 2)] = np.nan
    if not np.isfinite(raw).any():
        raise SkeletonError("no joint is seen in this part: look at another one, or at the source's confidences")
    motion = canonicalise(mended, rate_hz=_RATE_HZ, window_s=window_s, end_ns=end_ns) if mended else None
    # Medians, so that a joint that the source throws away does not push the rest out of the picture.
    middle = np.array([np.nanmedian(body, axis=0) if np.isfinite(body).any() else np.zeros(3) for body in raw])
    return View(layout, np.maximum(times_ns - sequence.stamps_ns[0], 0) / NS_PER_S, raw - middle[:, None], motion)


def draw(shown: View, path: Path, *, title: str, columns: int = 8) -> None:
    """Write a strip of `columns` frames, or a GIF of all where `path` ends so. Raises `SkeletonError` for another."""
    kind = path.suffix.lower()
    if kind not in (".png", ".gif"):
        raise SkeletonError(f"'{path}' is no name of a picture that can be drawn: end it with .png or .gif")
    if kind == ".png":
        chosen = np.unique(np.linspace(0, shown.frames - 1, min(columns, shown.frames)).round().astype(int))
        panels = _panels(shown)
        figure = _figure(title, rows=len(panels), columns=len(chosen), size=1.25)
        for column, frame in enumerate(chosen):
            for row, panel in enumerate(panels):
                panel.draw(figure.axes[row * len(chosen) + column], int(frame), is_named=column == 0)
        figure.savefig(path)
        return
    from matplotlib.animation import FuncAnimation, PillowWriter

    panels = _panels(shown)
    figure = _figure(title, rows=max(1, len(panels) // 2), columns=min(2, len(panels)), size=2.4)
    figure.draw_without_rendering()
    # Once is enough, and takes longer than drawing.
    if hasattr(figure, "set_layout_engine"):
        figure.set_layout_engine("none")
    else:  # matplotlib before 3.6, as Ubuntu 22.04 has it
        figure.set_constrained_layout(False)  # type: ignore[attr-defined]

    def update(frame: int) -> list[Any]:
        for axes, panel in zip(figure.axes, panels, strict=True):
            axes.clear()
            panel.draw(axes, frame, is_named=True)
        return []

    FuncAnimation(figure, update, frames=shown.frames).save(path, writer=PillowWriter(fps=round(_RATE_HZ)))


@dataclass(frozen=True)
class _Panel:
    """One view of one body: a row of a strip, a picture of a film."""

    name: str
    positions: np.ndarray
    parents: Sequence[int]
    sides: Sequence[str]
    plane: tuple[int, int]
    reach: float
    times_s: np.ndarray

    def draw(self, axes: Axes, frame: int, *, is_named: bool) -> None:
        from matplotlib.collections import LineCollection

        body, colours = self.positions[frame][:, self.plane], [_COLOURS[side] for side in self.sides]
        bones = [(joint, parent) for joint, parent in enumerate(self.parents) if parent >= 0]
        lines = [body[list(bone)] for bone in bones]
        axes.add_collection(LineCollection(lines, colors=[colours[joint] for joint, _ in bones], linewidths=1.5))
        axes.scatter(body[:, 0], body[:, 1], s=5, c=colours, zorder=3)
        axes.set_xlim(-self.reach, self.reach)
        axes.set_ylim(-self.reach, self.reach)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{self.times_s[frame]:.1f} s", fontsize=7, pad=2)
        if is_named:
            axes.set_ylabel(self.name, fontsize=7)


def _panels(shown: View) -> list[_Panel]:
    layout, motion, flat = shown.layout, shown.motion, shown.layout.dimensions == 2
    reach = 1.3 * float(np.nanquantile(np.abs(shown.raw), 0.95)) or 1.0

    def raw(name: str, plane: tuple[int, int]) -> _Panel:
        return _Panel(f"as sent,\n{name}", shown.raw, layout.parents, sides_of(layout), plane, reach, shown.times_s)

    panels = [raw("as in the image", FRONT)] if flat else [raw("left and up", FRONT), raw("ahead and up", _SIDE)]
    if motion is not None:
        joints = np.where(motion.mask[..., None], motion.positions, np.nan)
        parents, sides = get_layout("canonical15").parents, [side_of(joint) for joint in JOINTS]
        for name, plane in (("from the front", FRONT), ("from the right", _SIDE))[: 1 if flat else 2]:
            panels.append(_Panel(f"canonical,\n{name}", joints, parents, sides, plane, 1.15, shown.times_s))
    return panels


def side_of(joint: str) -> str:
    """'left', 'right' or '' of a canonical joint."""
    return joint.split("_")[0] if joint.startswith(("left", "right")) else ""


def sides_of(layout: Layout) -> list[str]:
    """Which side each joint is on: that of the canonical joint that it is, else that of its parent."""
    known = {
        source: side_of(joint)
        for joint, sources in zip(JOINTS, layout.canonical, strict=True)
        if side_of(joint) or len(sources) == 1
        for source in sources
    }

    def find(joint: int) -> str:
        while joint not in known and layout.parents[joint] >= 0:
            joint = layout.parents[joint]
        return known.get(joint, "")

    return [find(joint) for joint in range(len(layout.joints))]


def _figure(title: str, *, rows: int, columns: int, size: float) -> Figure:
    """A grid of empty axes of so many inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.5, size * columns + 0.4), size * rows + 0.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\nleft red, right blue", fontsize=8)
    for number in range(rows * columns):
        figure.add_subplot(rows, columns, number + 1)
    return figure
