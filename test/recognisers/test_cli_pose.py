"""`mser pose` with the real networks: a film becomes a skeleton file that the rest of the package reads."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from annotations import sketch
from clips import silence, spoken
from pictures import ASTRONAUT, EYES, HIPS, astronaut, hopper, nobody, scene, write_film
from PIL import Image

from mser_ros.cli.main import main
from mser_ros.mocap.canonical import canonicalise
from mser_ros.mocap.layouts import JOINTS
from mser_ros.mocap.readers import read_motion
from mser_ros.types import NS_PER_S
from mser_ros.vision.sources import Picture, open_pictures


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds in which the astronaut walks to the right."""
    frames = [scene([(astronaut(), 0.6, (10 + 10 * step, 172))]) for step in range(20)]
    return write_film(tmp_path_factory.mktemp("films") / "a walk.mp4", frames, rate_hz=10)


def test_a_film_becomes_a_skeleton_file_that_can_be_read(film: Path, pose_model: Path, tmp_path: Path, capsys) -> None:
    out, picture = tmp_path / "new" / "walk.npz", tmp_path / "joints.png"
    assert main(["pose", str(film), "-o", str(out), "--picture", str(picture), "--model", str(pose_model)]) == 0
    assert re.search(
        r"body_1 in 20 of 20 images → .*walk.npz\njoints over images → .*png\n1.9 s, \d+ ms an image",
        capsys.readouterr().out,
    )
    motion = read_motion(out)
    assert (motion.layout, motion.positions.shape, motion.confidence.shape) == ("mediapipe33", (20, 33, 3), (20, 33))
    np.testing.assert_allclose(np.diff(motion.stamps_ns) / NS_PER_S, 0.1, atol=1e-3)
    assert motion.confidence[:, EYES].min() > 0.9
    body = canonicalise(motion, rate_hz=10, window_s=1.9, end_ns=int(motion.stamps_ns[-1]))
    assert body is not None
    left, right, head = (JOINTS.index(name) for name in ("left_shoulder", "right_shoulder", "head"))
    assert body.positions[:, left, 1].mean() > 0.1 > -0.1 > body.positions[:, right, 1].mean()
    assert body.positions[:, head, 2].min() > 0.3
    with np.load(out) as data:
        eye = data["image"][:, EYES[0]] * (640, 480)
    wanted = [np.add(np.multiply(ASTRONAUT[EYES[0]], 0.6), (10 + 10 * step, 172)) for step in range(20)]
    np.testing.assert_allclose(eye, wanted, atol=10)
    with Image.open(picture) as drawn:
        assert drawn.size == (4 * 320, 3 * 240)


def test_a_body_keeps_its_time_in_a_film_whose_picture_begins_late(pose_model: Path, tmp_path: Path) -> None:
    frames = [scene([(astronaut(), 0.6, (10, 172))])] * 5
    film = write_film(tmp_path / "late.mkv", frames, rate_hz=10, sound=silence(4.0), late=30)
    wanted = [item.stamp_ns for item in open_pictures([film], rate_hz=10).pictures]
    assert wanted[0] == pytest.approx(3 * NS_PER_S, abs=0.1 * NS_PER_S)
    assert main(["pose", str(film), "-o", str(tmp_path / "a.npz"), "--model", str(pose_model)]) == 0
    motion = read_motion(tmp_path / "a.npz")
    seen = motion.confidence.any(axis=1)
    assert motion.stamps_ns[seen].tolist() == wanted


def test_each_of_two_people_gets_a_file(pose_model: Path, tmp_path: Path) -> None:
    both, one = ([(hopper(), 0.5, (30, 180)), (astronaut(), 0.55, (350, 200))][:count] for count in (2, 1))
    film = write_film(tmp_path / "two.mp4", [scene(both)] * 6 + [scene(one)] * 4)
    arguments = ["--people", "2", "--model", str(pose_model), "--picture", str(tmp_path / "two.jpg")]
    assert main(["pose", str(film), "-o", str(tmp_path / "two.npz"), *arguments]) == 0
    most, second = read_motion(tmp_path / "two.npz"), read_motion(tmp_path / "two-2.npz")
    assert len(most.stamps_ns) == len(second.stamps_ns) == 10
    assert most.confidence[:, EYES].min() > 0.9
    assert second.confidence[:6, EYES].min() > 0.9
    assert not second.confidence[6:].any()


def test_one_person_is_in_one_file_also_after_a_long_gap_and_who_passes_by_is_left_out(
    pose_model: Path, tmp_path: Path, capsys
) -> None:
    here, away = scene([(astronaut(), 0.6, (100, 172))]), scene([])
    film = write_film(tmp_path / "gap.mp4", [here] * 4 + [away] * 24 + [here] * 8, rate_hz=10)
    common = ["pose", str(film), "-o", str(tmp_path / "gap.npz"), "--model", str(pose_model)]
    assert main(common) == 0
    seen = read_motion(tmp_path / "gap.npz").confidence[:, EYES].min(axis=1) > 0.9
    assert seen.tolist() == [True] * 4 + [False] * 24 + [True] * 8
    both = scene([(hopper(), 0.5, (30, 180)), (astronaut(), 0.55, (350, 200))])
    alone = scene([(hopper(), 0.5, (30, 180))])
    write_film(film, [both] + [alone] * 19, rate_hz=10)
    assert main([*common, "--people", "2"]) == 0
    assert "1 others, seen for a moment, are left out" in capsys.readouterr().out
    assert not (tmp_path / "gap-2.npz").exists()


def test_pictures_are_looked_at_as_a_film(pose_model: Path, tmp_path: Path) -> None:
    for step in range(3):
        Image.fromarray(scene([(hopper(), 0.6, (100 + 20 * step, 120))])).save(tmp_path / f"{step}.png")
    paths = [str(tmp_path / f"{step}.png") for step in range(3)]
    out = tmp_path / "a.npz"
    assert main(["pose", *paths, "-o", str(out), "--rate", "4", "--model", str(pose_model)]) == 0
    motion = read_motion(out)
    assert motion.stamps_ns.tolist() == [0, NS_PER_S // 4, NS_PER_S // 2]
    assert motion.confidence[:, HIPS].max() < 0.2


def test_only_the_beginning_is_looked_at_where_that_is_wanted(film: Path, pose_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    assert main(["pose", str(film), "-o", str(out), "--seconds", "0.5", "--model", str(pose_model)]) == 0
    assert len(read_motion(out).stamps_ns) == 5


def test_what_an_image_costs_is_measured(film: Path, pose_model: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("mser_ros.cli.pose._ROUNDS", 5)
    assert main(["pose", str(film), "--time", "--seconds", "0.5", "--model", str(pose_model)]) == 0
    found = re.findall(r"(\d+\.\d) ms of work", capsys.readouterr().out)
    assert len(found) == 2
    assert all(float(item) > 0 for item in found)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.mp4", "-o", "a.npz"], "there is no film or picture 'none.mp4': check the path"),
        (["none.mp4"], "say where to write: -o skeleton.npz"),
        (["none.mp4", "-o", "a.bvh"], "--out 'a.bvh': a skeleton file ends with .npz"),
        (["none.mp4", "--picture", "a.xyz"], "--picture 'a.xyz': no picture can be written under such a name"),
        (["none.mp4", "--picture", "a"], "--picture 'a': no picture can be written under such a name"),
        (["none.mp4", "-o", "a.npz", "--rate", "0"], "rate_hz must lie in 0.1 to 120 Hz, not 0"),
        (["/dev/video97", "-o", "a.npz"], "the camera /dev/video97 cannot be opened"),
        (["none.mp4", "-o", "a.npz", "--model", "no.task"], "the pose model no.task cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(arguments, sentence, pose_model: Path, capsys) -> None:
    model = [] if "--model" in arguments else ["--model", str(pose_model)]
    assert main(["pose", *arguments, *model]) != 0
    assert sentence in capsys.readouterr().err


def test_where_nobody_is_seen_that_is_said_and_nothing_written(pose_model: Path, tmp_path: Path, capsys) -> None:
    Image.fromarray(nobody()[0]).save(tmp_path / "cup.png")
    out = tmp_path / "a.npz"
    assert main(["pose", str(tmp_path / "cup.png"), "-o", str(out), "--model", str(pose_model)]) == 1
    assert "nobody is seen in 1 images: show a person" in capsys.readouterr().err
    assert not out.exists()


def test_a_picture_that_cannot_be_written_does_not_cost_the_skeleton(
    film: Path, pose_model: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / "taken.png").mkdir()
    wanted = ["--seconds", "0.5", "--model", str(pose_model), "-o", str(tmp_path / "a.NPZ")]
    assert main(["pose", str(film), "--picture", str(tmp_path / "taken.png"), *wanted]) == 1
    assert "taken.png" in capsys.readouterr().err
    assert len(read_motion(tmp_path / "a.NPZ").stamps_ns) == 5


def test_a_folder_that_cannot_be_made_is_told_before_any_work(film: Path, pose_model: Path, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("no folder")
    wanted = ["--model", str(pose_model), "-o", str(tmp_path / "a.npz"), "--picture", str(tmp_path / "file" / "a.png")]
    assert main(["pose", str(film), *wanted]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert not (tmp_path / "a.npz").exists()


def test_ctrl_c_leaves_what_is_done(film: Path, pose_model: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    def interrupted(paths, *, rate_hz):
        stream = open_pictures(paths, rate_hz=rate_hz)

        def pictures() -> Iterator[Picture]:
            for number, item in enumerate(stream.pictures):
                if number == 8:
                    os.kill(os.getpid(), signal.SIGINT)
                yield item

        return replace(stream, pictures=pictures())

    monkeypatch.setattr("mser_ros.cli.pose.open_pictures", interrupted)
    out = tmp_path / "a.npz"
    assert main(["pose", str(film), "-o", str(out), "--model", str(pose_model)]) == 130
    said = capsys.readouterr()
    assert "interrupted after 0.7 s" in said.err
    assert "body_1 in 8 of 8 images" in said.out
    assert len(read_motion(out).stamps_ns) == 8


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds in which the astronaut moves and a sentence is spoken."""
    heard = np.concatenate([silence(0.6), spoken(), silence(4.0)])[: 4 * 16_000]
    frames = [scene([(astronaut(), 0.6, (100 + 10 * (step % 10), 172))]) for step in range(20)]
    return write_film(tmp_path_factory.mktemp("talks") / "talk.mp4", frames, rate_hz=5, sound=heard)


def mocap_of(out: Path) -> dict:
    """What the body says in the only final estimate."""
    (final,) = (
        record
        for record in map(json.loads, (out / "emotions.jsonl").read_text().splitlines())
        if record["state"] == "FINAL"
    )
    return next(item for item in final["evidence"] if item["modality"] == "mocap") | {"body_id": final["body_id"]}


def test_annotate_uses_sound_and_body_of_one_film(
    talk: Path, pose_model: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("MSER_MODELS", str(pose_model.parent))
    monkeypatch.setattr("mser_ros.cli.annotation_work.draw_timeline", sketch)
    call = ["annotate", str(talk), "--bundle", str(tiny_bundle), "--asr", "none"]
    assert main([*call, "-o", str(tmp_path / "with")]) == 0
    assert mocap_of(tmp_path / "with")["available"]
    assert mocap_of(tmp_path / "with")["body_id"] == "body_1"
    assert "note: " not in capsys.readouterr().out
    assert main([*call, "-o", str(tmp_path / "without"), "--no-bodies"]) == 0
    assert not mocap_of(tmp_path / "without")["available"]
    # The same film under a name that is none of a film.
    (tmp_path / "talk.bin").write_bytes(talk.read_bytes())
    assert main([call[0], str(tmp_path / "talk.bin"), *call[2:], "-o", str(tmp_path / "named")]) == 0
    assert mocap_of(tmp_path / "named")["available"]
    # The same body, by way of a skeleton file.
    assert main(["pose", str(talk), "-o", str(tmp_path / "body.npz")]) == 0
    assert main([*call, "-o", str(tmp_path / "file"), "--skeleton", str(tmp_path / "body.npz")]) == 0
    direct, by_file = (mocap_of(tmp_path / name)["probabilities"] for name in ("with", "file"))
    np.testing.assert_allclose(list(direct.values()), list(by_file.values()), atol=1e-3)


def test_annotate_does_without_the_body_where_the_model_is_missing_and_says_so(
    talk: Path, tiny_bundle: Path, tmp_path: Path, capsys
) -> None:
    assert main(["annotate", str(talk), "--bundle", str(tiny_bundle), "--asr", "none", "-o", str(tmp_path / "a")]) == 0
    assert not mocap_of(tmp_path / "a")["available"]
    assert "note: bodies are not looked for: the model pose is not in" in capsys.readouterr().out
