"""`mser view-skeleton`: a picture of what a source sends beside the canonical body that is made of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import click

from ..errors import SkeletonError
from ..messages.bag_files import is_bag
from ..mocap.buffer import check_frame
from ..mocap.layouts import JOINTS
from ..mocap.readers import MOTION_FILES, read_motion
from ..mocap.stream import SkeletonStream
from ..settings import MocapSettings
from ..types import NS_PER_S, SkeletonFrame, SkeletonSequence
from .idle_options import refuse_idle
from .inputs import bag_skeletons, motion_options, skeleton_options
from .lines import counted


@click.command("view-skeleton")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default="skeleton.png", show_default=True, help="A .png, or a .gif."
)
@skeleton_options
@motion_options
@click.option("--topic", default="", help="Skeleton topic of a bag.  [the only one]")
@click.option("--body", default="", help="Id of the body of a bag.  [the one that is seen most]")
@click.option("--index", type=int, help="Which motion of an npz that holds several, from 0.")
@click.option("--rate", "rate_hz", type=click.FloatRange(0.1, 1000), help="Frame rate, where INPUT has none [Hz].")
@click.option("--start", "start_s", type=click.FloatRange(0), default=0.0, show_default=True, help="Begin here [s].")
@click.option("--seconds", type=click.FloatRange(0.1, 600), default=5.0, show_default=True, help="Length [s].")
@click.option("--columns", type=click.IntRange(1, 30), default=8, show_default=True, help="Frames of a strip.")
def view_skeleton(
    source: Path,
    out: Path,
    mocap: MocapSettings,
    up: str | None,
    unit: str | None,
    topic: str,
    body: str,
    index: int | None,
    rate_hz: float | None,
    start_s: float,
    seconds: float,
    columns: int,
) -> int:
    """Draw the body in INPUT, a bag or a motion file (.bvh, .npz), as a strip of frames or a GIF: as its source sends
    it, and the canonical body that a model sees.

    Left is red, right is blue. Seen from the front, a person's left is on the picture's right; seen from the right
    side, the person looks to the picture's right.
    """
    from ..evaluation.skeleton_plots import draw, view

    told: list[str] = []
    if out.suffix.lower() == ".gif":
        refuse_idle(("columns",), "a strip", "leave it away, or name a .png")
    if source.name.lower().endswith(MOTION_FILES) or (source.is_file() and not is_bag(source)):
        refuse_idle(("topic", "body", "joints", "aspect", "tf_pattern"), f"a bag, and {source} is none")
        if not source.name.lower().endswith(".npz"):
            refuse_idle(("index",), f"an npz, and {source} is none")
        sequence = read_motion(
            source, layout=mocap.layout, up=up or "", unit=unit or "", rate_hz=rate_hz, index=index, notes=told
        )
        frames = sequence.frames()
    else:
        refuse_idle(("up", "unit", "index", "rate_hz"), f"a motion file, and {source} is none")
        frames, faults = _used(bag_skeletons(source, topic, mocap), partial(check_frame, settings=mocap))
        if faults and not frames:
            raise faults[0]
        told += _left_out(faults)
        sequence = _body(frames, body, source)
    notes: dict[str, None] = {}
    mended, faults = _used(frames, SkeletonStream(mocap, on_note=notes.setdefault).push)
    told += _left_out(faults)
    own = [frame for frame in mended if frame.body_id == sequence.body_id]
    canonical = _body(own, sequence.body_id, source) if own else None
    shown = view(sequence, canonical, start_s=start_s, seconds=seconds)
    rate = (len(sequence.stamps_ns) - 1) * NS_PER_S / max(1, sequence.stamps_ns[-1] - sequence.stamps_ns[0])
    who = f", body {sequence.body_id}" if sequence.body_id else ""
    title = f"{source.name}{who}: {shown.layout.name} at {rate:.0f} Hz"
    draw(shown, out, title=title, columns=columns)
    for note in (*told, *notes):
        click.echo(f"note: {note}", err=True)
    click.echo(f"{title}, {len(sequence.stamps_ns)} frames → {out}")
    if shown.motion is None:
        why = ": neither shoulders nor hips are seen" if own else ""
        click.echo(f"no canonical body can be made of it{why}", err=True)
    elif unseen := [joint for at, joint in enumerate(JOINTS) if not shown.motion.mask[:, at].any()]:
        click.echo(f"not seen in this part: {', '.join(unseen)}")
    return 0


def _used(
    frames: Iterable[SkeletonFrame], use: Callable[[SkeletonFrame], SkeletonFrame]
) -> tuple[list[SkeletonFrame], list[SkeletonError]]:
    """What comes of the frames that can be used, and why others cannot."""
    found: list[SkeletonFrame] = []
    faults: list[SkeletonError] = []
    for frame in frames:
        try:
            found.append(use(frame))
        except SkeletonError as error:
            faults.append(error)
    return found, faults


def _left_out(faults: Sequence[SkeletonError]) -> list[str]:
    return [f"{counted(len(faults), 'skeleton')} cannot be used, the first: {faults[0]}"] if faults else []


def _body(frames: Iterable[SkeletonFrame], body: str, path: Path) -> SkeletonSequence:
    """The body of that id, else the one that is seen most, its frames in the order of their stamps."""
    bodies: dict[tuple[str, str], dict[int, SkeletonFrame]] = defaultdict(dict)
    for frame in frames:
        bodies[frame.body_id, frame.layout].setdefault(frame.stamp_ns, frame)
    wanted = {key: found for key, found in bodies.items() if not body or key[0] == body}
    if not wanted:
        known = ", ".join(sorted({f"'{name}'" for name, _ in bodies})) or "none"
        raise SkeletonError(f"{path} has no body '{body}' that can be drawn: it has {known}")
    (body_id, layout), found = max(wanted.items(), key=lambda item: len(item[1]))
    return SkeletonSequence.of([found[stamp_ns] for stamp_ns in sorted(found)], body_id=body_id, layout=layout)
