"""`mser view-skeleton`: pictures in which a wrong map would be seen."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from mocap_poses import pose_of

from mser_ros.cli.main import main
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.conversions import skeleton_to_fields
from mser_ros.types import SkeletonFrame

DEMO = Path(__file__).parents[2] / "demo" / "demo.mcap"


def motion(path: Path, layout: str, *, seconds: float = 2.0) -> Path:
    """The asymmetric pose, standing still."""
    joints = np.repeat(pose_of(layout)[None], round(30 * seconds), axis=0)
    np.savez(path, joints=joints, layout=layout, rate_hz=30.0)
    return path


def middles(picture: np.ndarray) -> dict[str, tuple[float, float]]:
    """Where red and blue are in the mean: right and down in the picture, as shares of it."""
    red, green, blue = (picture[..., channel] for channel in range(3))
    found = {}
    for name, mask in (("red", (red > 0.7) & (green < 0.3)), ("blue", (blue > 0.6) & (red < 0.3))):
        rows, columns = np.nonzero(mask)
        assert len(rows) > 50
        found[name] = (columns.mean() / picture.shape[1], rows.mean() / picture.shape[0])
    return found


def panel(path: Path, row: int, rows: int) -> np.ndarray:
    picture = imread(path)
    height = picture.shape[0] / rows
    return picture[int(row * height) : int((row + 1) * height)]


@pytest.mark.parametrize("layout", ["canonical15", "azure_kinect32", "nuitrack", "zed38", "mediapipe33"])
def test_seen_from_the_front_the_left_is_on_the_right(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "out.png"
    assert main(["view-skeleton", str(motion(tmp_path / "a.npz", layout)), "-o", str(path), "--columns", "1"]) == 0
    front = middles(panel(path, 2, 4))
    assert front["red"][0] > front["blue"][0] + 0.02
    side = middles(panel(path, 3, 4))
    assert side["red"][0] > side["blue"][0]  # the pose stretches the left arm and the left knee forward


def test_a_mirrored_source_is_seen_at_a_glance(tmp_path: Path) -> None:
    """Its nose, eyes and toes look backward: what is in front of the body is on the wrong side of the side view."""
    source = motion(tmp_path / "a.npz", "canonical15")
    data = dict(np.load(source))
    np.savez(source, **{**data, "joints": data["joints"] * np.array([1, -1, 1], np.float32)})
    assert main(["view-skeleton", str(source), "-o", str(tmp_path / "out.png"), "--columns", "1"]) == 0
    side = middles(panel(tmp_path / "out.png", 3, 4))
    assert side["red"][0] < side["blue"][0]


def test_what_was_mended_is_said_and_the_canonical_body_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A source in millimetres that stands on its head, by its own layout's word: as sent it does, canonical not."""
    source, path = motion(tmp_path / "a.npz", "canonical15"), tmp_path / "out.png"
    data = dict(np.load(source))
    np.savez(source, **{**data, "joints": 1000 * data["joints"] * np.array([1, -1, -1], np.float32)})
    assert main(["view-skeleton", str(source), "-o", str(path), "--columns", "1"]) == 0
    said = capsys.readouterr().err
    assert "1000 times as large as it says" in said
    assert "stand on their heads" in said
    upright = tmp_path / "upright.png"
    right = motion(tmp_path / "b.npz", "canonical15")
    assert main(["view-skeleton", str(right), "-o", str(upright), "--columns", "1"]) == 0
    # Both canonical rows are the same picture, to a pixel of colour at an edge.
    below = slice(imread(path).shape[0] * 57 // 100, None)
    assert np.abs(imread(path)[below] - imread(upright)[below]).mean() < 1e-3


def test_points_of_an_image_are_drawn_as_in_the_image(tmp_path: Path) -> None:
    path = tmp_path / "out.png"
    assert main(["view-skeleton", str(motion(tmp_path / "a.npz", "coco17")), "-o", str(path), "--columns", "1"]) == 0
    for row in range(2):
        shown = middles(panel(path, row, 2))
        assert shown["red"][0] > shown["blue"][0]


def test_a_bag_is_drawn_with_the_body_that_is_seen_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view-skeleton", str(DEMO), "-o", str(tmp_path / "out.png"), "--start", "2", "--columns", "5"]) == 0
    said = capsys.readouterr().out
    assert "demo.mcap, body body_1: egait16 at 2" in said
    assert imread(tmp_path / "out.png").shape[1] > 600


def bag(path: Path, heights_m: list[float], confidence: list[float]) -> Path:
    """A bag of one body that stands still, of these heights as its source sends it, with these confidences."""
    body = pose_of("canonical15")
    height = body[:, 2].max() - body[:, 2].min()
    with BagWriter(path) as writer:
        for number, (height_m, sure) in enumerate(zip(heights_m, confidence, strict=True)):
            joints = (body * (height_m / height)).astype(np.float32)
            sent = SkeletonFrame(10**18 + number * 10**8, "a", "canonical15", joints, np.full(15, sure, np.float32))
            writer.write("/skeleton_in", "mser_msgs/msg/Skeleton", skeleton_to_fields(sent), sent.stamp_ns)
    return path


def test_of_a_bag_whose_skeletons_cannot_be_used_the_reason_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = bag(tmp_path / "per cent", [1.7] * 20, [90.0] * 20)
    assert main(["view-skeleton", str(source), "-o", str(tmp_path / "out.png")]) == 1
    assert "joint confidences must lie in 0 to 1, not 90 to 90" in capsys.readouterr().err


def test_what_is_left_out_of_a_bag_is_counted_and_the_rest_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = bag(tmp_path / "some", [1.7] * 20, [90.0] * 5 + [1.0] * 15)
    assert main(["view-skeleton", str(source), "-o", str(tmp_path / "out.png")]) == 0
    said = capsys.readouterr()
    assert "note: 5 skeletons cannot be used, the first: joint confidences must lie in 0 to 1" in said.err
    assert "15 frames" in said.out


def test_a_body_of_no_known_size_is_drawn_as_sent_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = bag(tmp_path / "large", [17.0] * 20, [1.0] * 20)
    assert main(["view-skeleton", str(source), "-o", str(tmp_path / "out.png")]) == 0
    said = capsys.readouterr().err
    assert re.search(r"note: 20 skeletons cannot be used, the first: a body some 20 m tall in layout", said)
    assert said.endswith("no canonical body can be made of it\n")
    assert (tmp_path / "out.png").stat().st_size > 1000


def test_a_film_has_a_picture_for_each_moment(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is missing: pip install pillow")
    path = tmp_path / "out.GIF"
    source = motion(tmp_path / "a.npz", "zed34", seconds=1)
    assert main(["view-skeleton", str(source), "-o", str(path), "--seconds", "0.5"]) == 0
    with image.open(path) as film:
        assert 5 <= film.n_frames <= 9  # equal pictures are joined
        assert film.size[0] > 400


@pytest.mark.skipif(
    not hasattr(Figure, "set_layout_engine"),
    reason="this is that matplotlib itself, which the other tests of films draw with",
)
def test_a_film_is_drawn_by_the_matplotlib_of_humble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ubuntu 22.04 has 3.5, which ends the search for a layout by another name."""
    layouts: list[bool] = []
    find_layout, set_layout = Figure.draw_without_rendering, Figure.set_layout_engine

    def find_as_of_old(figure: Figure) -> None:
        find_layout(figure)
        monkeypatch.delattr(Figure, "set_layout_engine")

    def end_as_of_old(figure: Figure, wanted: bool) -> None:
        layouts.append(wanted)
        # This matplotlib itself needs it.
        monkeypatch.setattr(Figure, "set_layout_engine", set_layout, raising=False)

    monkeypatch.setattr(Figure, "draw_without_rendering", find_as_of_old)
    monkeypatch.setattr(Figure, "set_constrained_layout", end_as_of_old)
    test_a_film_has_a_picture_for_each_moment(tmp_path)
    assert layouts == [False]


def test_a_file_of_another_kind_is_told_what_motion_files_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("frame,hip_x,hip_y\n")
    assert main(["view-skeleton", str(tmp_path / "a.csv"), "-o", str(tmp_path / "out.png")]) == 1
    assert "is no motion file that can be read: export it as .bvh" in capsys.readouterr().err


def test_markers_that_make_no_body_are_drawn_as_sent_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = motion(tmp_path / "a.npz", "iemocap_head_hands")
    assert main(["view-skeleton", str(source), "-o", str(tmp_path / "out.png")]) == 0
    assert "no canonical body can be made of it" in capsys.readouterr().err
    assert (tmp_path / "out.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["-o", "out.jpeg"], "end it with .png or .gif"),
        (["-o", "out.png", "--start", "9"], "is seen for 2.0 s only"),
        (["-o", "out.png", "--layout", "octopus"], "unknown joint layout 'octopus'"),
        (["-o", "out.png", "--layout", "zed18"], "needs 18 joints"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["view-skeleton", str(motion(tmp_path / "a.npz", "egait16")), *options]) == 1
    said = capsys.readouterr().err
    assert fault in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "options", "why"),
    [
        ("bag", ["--rate", "10"], "a motion file, and {source} is none"),
        ("bag", ["--index", "0"], "a motion file, and {source} is none"),
        ("bag", ["--up", "z"], "a motion file, and {source} is none"),
        ("bag", ["--unit", "ft"], "a motion file, and {source} is none"),
        ("a.npz", ["--topic", "/poses"], "a bag, and {source} is none"),
        ("a.npz", ["--body", "x"], "a bag, and {source} is none"),
        ("a.npz", ["--tf-pattern", "{joint}"], "a bag, and {source} is none"),
        ("a.bvh", ["--index", "0"], "an npz, and {source} is none"),
        ("a.npz", ["-o", "out.gif", "--columns", "3"], "a strip"),
    ],
)
def test_an_option_that_can_have_no_effect_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], source: str, options: list[str], why: str
) -> None:
    path = DEMO if source == "bag" else motion(tmp_path / source, "egait16")
    assert main(["view-skeleton", str(path), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"mser: {options[-2]} goes with {why.format(source=path)}: leave it away")
    assert said.count("\n") == 1


def test_a_body_that_a_bag_lacks_is_refused_with_those_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view-skeleton", str(DEMO), "-o", str(tmp_path / "out.png"), "--body", "x"]) == 1
    assert "has no body 'x' that can be drawn: it has 'body_1'" in capsys.readouterr().err


def test_a_body_of_which_nothing_is_seen_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "a.npz", joints=np.full((30, 16, 3), np.nan), layout="egait16", rate_hz=30.0)
    assert main(["view-skeleton", str(tmp_path / "a.npz"), "-o", str(tmp_path / "out.png")]) == 1
    assert "no joint is seen" in capsys.readouterr().err
