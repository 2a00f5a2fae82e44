"""`mser demo` and `mser live`: who speaks, and what is said where nobody can."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from clips import RATE, silence, spoken
from pictures import hopper, scene, write_film
from rich.console import Console
from ros_world import PATIENCE_S, AudioFrame, Skeleton

from mser_ros.cli.demo import AUDIO, how_to_watch, isolate, write_people
from mser_ros.cli.main import main
from mser_ros.errors import CorpusError
from mser_ros.labels import LABELS
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import audio_from_msg, audio_to_fields, time_to_ns
from mser_ros.nodes.replay import ReplaySession
from mser_ros.types import NS_PER_S, AudioChunk


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two people, each with a second of a level of its own for each emotion."""
    folder = tmp_path / "data" / "ravdess"
    folder.mkdir(parents=True)
    rows = ["file\tlabel\tspeaker\tduration_s\ttext"]
    for person in ("01", "02"):
        for number, label in enumerate(LABELS):
            name = f"{person}-{label}.wav"
            soundfile.write(folder / name, np.full(16_000, 0.1 * (number + 1)), 16_000)
            rows.append(f"{name}\t{label}\t{person}\t1.0\tKids are talking by the door.")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder.parent


def test_one_person_says_something_in_each_emotion(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # the second demo takes the place of the first
        target = write_people(data, tmp_path / "people", Console())
    with Bag(target) as bag:
        assert bag.topics == {"/audio": AUDIO}
        chunks = [audio_from_msg(message.decode()) for message in bag.messages()]
    for one, other in pairwise(chunks):
        assert (other.stamp_ns, other.first_sample) == (one.end_ns, one.first_sample + one.frames)
    heard = np.concatenate([chunk.samples[:, 0] for chunk in chunks]) / 32_768
    levels = np.unique(np.round(heard, 1))
    np.testing.assert_allclose(levels, [0.0, 0.1, 0.2, 0.3, 0.4], atol=1e-6)
    said = [line.split() for line in capsys.readouterr().out.splitlines()[-4:]]
    assert [words[2] for words in said] == list(LABELS)
    assert len({words[-1] for words in said}) == 1
    for words, level in zip(said, (0.1, 0.2, 0.3, 0.4), strict=True):
        assert heard[round((float(words[0]) + 0.5) * 16_000)] == pytest.approx(level, abs=0.01)


def test_a_folder_without_people_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="there is neither ravdess nor nemo in"):
        write_people(tmp_path, tmp_path / "people", Console())


def test_a_demo_has_one_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--bag", "a", "--data", "b"]) == 1
    assert capsys.readouterr().err == "mser: a demo has one source: leave --bag or --data away\n"


def test_a_bag_that_nodes_cannot_hear_whole_is_told_before_they_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reversed; no node is needed for that, so that one lacks its models."""
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE"):  # which the demo sets for itself
        monkeypatch.setenv(name, os.environ.get(name, "0"))
    with BagWriter(tmp_path / "bag") as writer:
        for number in range(40):
            chunk = AudioChunk(np.zeros((1024, 1), np.int16), RATE, 10**18 - number * 64_000_000, (99 - number) * 1024)
            writer.write("/audio", AUDIO, audio_to_fields(chunk), 10**18 + number * 64_000_000)
    nowhere = str(tmp_path / "nowhere")
    assert main(["demo", "--bag", str(tmp_path / "bag"), "--bundle", nowhere, "-o", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert "note: the log times of /audio contradict its stamps" in out
    assert "the nodes lose what comes late; mser annotate does not" in out
    assert "there is no bundle folder" in err


def write_others_bag(path: Path) -> Path:
    """A sentence on two topics of other names than ours, and bodies of another type than ours."""
    voice = np.concatenate([silence(0.3), spoken(0), silence(1.2)])
    with BagWriter(path) as writer:
        for first in range(0, len(voice), 1024):
            chunk = AudioChunk(voice[first : first + 1024, None], RATE, 10**18 + first * NS_PER_S // RATE, first)
            for topic in ("/robot/mic", "/room/mic"):
                writer.write(topic, AUDIO, audio_to_fields(chunk), chunk.end_ns)
            header = {"stamp": {"sec": 10**9, "nanosec": first * NS_PER_S // RATE}, "frame_id": "camera"}
            pose = {"position": dict.fromkeys("xyz", 0.1), "orientation": {**dict.fromkeys("xyz", 0.0), "w": 1.0}}
            writer.write("/bodies", "geometry_msgs/msg/PoseArray", {"header": header, "poses": [pose]}, chunk.end_ns)
    return path


def test_a_bag_of_others_is_replayed_once_its_topics_are_told(
    ros: None, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bodies that cannot be used cost nothing but themselves."""
    monkeypatch.setattr("mser_ros.cli.demo.isolate", lambda: None)
    bag, out = write_others_bag(tmp_path / "bag"), tmp_path / "out"
    call = ["demo", "--bag", str(bag), "--bundle", str(tiny_bundle), "-o", str(out)]
    assert main(call) == 1
    said = capsys.readouterr().err
    assert "has several topics of type" in said
    assert said.endswith("choose one of /robot/mic, /room/mic with --audio-topic\n")
    assert main([*call, "--audio-topic", "/robot/mic", "--skeleton-topic", "/bodies"]) == 0
    assert "Done: 1 utterance" in capsys.readouterr().out
    assert (out / "timeline.png").is_file()


def test_topics_are_named_of_a_bag_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--audio-topic", "/robot/mic"]) == 1
    assert capsys.readouterr().err == "mser: --audio-topic goes with a --bag: leave it away\n"


def test_without_a_microphone_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mser_ros.cli.live.list_devices", list)
    assert main(["live"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "mser: there is no microphone: plug one in, play a --file, or let a browser listen by --browser\n"


@pytest.mark.parametrize("where", [[], ["--browser"]])
def test_a_file_that_cannot_be_played_is_told_at_once(
    where: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no node waits for a better one."""
    assert main(["live", "--file", str(tmp_path / "none.wav"), *where]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mser: there is no sound file")


def test_a_file_of_ones_own_folder_is_found_by_the_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of --file=~/talk.wav a shell leaves the '~' as it is."""
    soundfile.write(tmp_path / "talk.wav", np.zeros(RATE, np.int16), RATE)
    monkeypatch.setenv("HOME", str(tmp_path))
    given: list[str] = []

    def play(_: Console, chosen: Any, *, words: bool) -> int:
        given.append(chosen.file)
        return 0

    monkeypatch.setattr("mser_ros.cli.live._through_nodes", play)
    assert main(["live", "--file=~/talk.wav"]) == 0
    assert given == [str(tmp_path / "talk.wav")]


@pytest.mark.parametrize("option", [["--host", "0.0.0.0"], ["--port", "0"], ["--token", "a"], ["--https"]])
def test_options_of_a_page_are_refused_where_there_is_none(
    option: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where a certificate would be made
    assert main(["live", *option]) == 1
    assert capsys.readouterr() == ("", f"mser: {option[0]} goes with a page: call --browser as well\n")


@pytest.mark.parametrize("command", [["live"], ["live", "--browser"], ["mic"]])
def test_a_microphone_is_not_named_beside_a_file(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--file", "talk.wav", "--device", "1"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mser: --device goes with no --file")
    assert err.endswith(": leave one of them away\n")


def test_nodes_apart_from_others_can_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "0")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    isolate()
    domain = os.environ["ROS_DOMAIN_ID"]
    assert 1 <= int(domain) <= 101
    assert f" ROS_DOMAIN_ID={domain} mser view" in how_to_watch()


@pytest.mark.parametrize("distribution", ["humble", "jazzy"])
def test_nodes_are_kept_to_this_machine_also_by_humble_which_knows_no_discovery_range(
    distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROS_DISTRO", distribution)
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOCALHOST_ONLY"):  # put back after the test
        monkeypatch.setenv(name, "0")
    isolate()
    is_humble = distribution == "humble"
    assert os.environ["ROS_LOCALHOST_ONLY"] == ("1" if is_humble else "0")
    assert ("ROS_LOCALHOST_ONLY=1 ROS_DOMAIN_ID=" in how_to_watch()) is is_humble


def test_a_bag_that_is_not_there_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--bag", str(tmp_path / "none.mcap")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mser: there is no bag")
    assert "silence" not in said


def test_a_bag_in_which_nothing_would_be_heard_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mser_ros.cli.bench.isolate", lambda: None)
    assert main(["bench", "--bag", str(write_others_bag(tmp_path / "bag"))]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mser: the bag")
    assert err.endswith("has no sound on /audio, which is replayed: record it under that name\n")


def test_a_file_is_heard_from_its_beginning_and_ends_it(
    ros: None, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Short as it is, and though the nodes take longer to load than it lasts."""
    monkeypatch.setattr("mser_ros.cli.demo.isolate", lambda: None)  # tests have a domain of their own
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate([spoken(0), silence(0.2)]), RATE)
    assert main(["live", "--file", str(path), "--asr", "none", "--bundle", str(tiny_bundle)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " final " in line]
    assert len(lines) == 1
    end_s = float(lines[0].split()[0])
    assert end_s == pytest.approx(len(spoken(0)) / RATE, abs=0.7)


def test_what_was_said_is_not_printed_where_no_words_are_wanted(
    ros: None, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though it is read and counts."""
    monkeypatch.setattr("mser_ros.cli.demo.isolate", lambda: None)
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate([spoken(0), silence(0.2)]), RATE)
    common = ["live", "--asr", "pocketsphinx", "--bundle", str(tiny_bundle)]
    assert main([*common, "--file", str(path), "--no-words"]) == 0
    (final,) = [line for line in capsys.readouterr().out.splitlines() if " final " in line]
    assert "% ST·" in final
    assert "“" not in final


def test_the_sound_and_the_pictures_of_a_film_begin_at_one_time(
    ros: None, tiny_bundle: Path, tmp_path: Path, pose_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though what finds bodies takes longer to load than a microphone."""
    monkeypatch.setattr("mser_ros.cli.demo.isolate", lambda: None)
    monkeypatch.setenv("MSER_MODELS", str(pose_model.parent))
    person = scene([(hopper(), 0.6, (160, 60))])
    film = write_film(tmp_path / "a.mp4", [person] * 30, sound=silence(3.0))
    sounds: list[AudioFrame] = []
    bodies: list[Skeleton] = []
    with ReplaySession() as session:
        session.node.create_subscription(AudioFrame, "audio", sounds.append, 1000)
        session.node.create_subscription(Skeleton, "skeleton_in", bodies.append, 1000)
        common = ["live", "--asr", "none", "--bundle", str(tiny_bundle)]
        assert main([*common, "--file", str(film), "--camera", "film"]) == 0
    heard_s, seen_s = ([time_to_ns(one.header.stamp) / NS_PER_S for one in found] for found in (sounds, bodies))
    # A busy machine skips pictures, also the first ones and the last.
    assert min(heard_s) - 0.2 < min(seen_s)
    assert max(seen_s) < min(heard_s) + 3.1


def test_whoever_reads_the_lines_and_goes_ends_it_and_the_nodes(ros: None, tiny_bundle: Path, tmp_path: Path) -> None:
    """As 'mser live | grep -m1 final' does."""
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.concatenate([spoken(0), silence(1.0)] * 40), RATE)
    live = [sys.executable, "-m", "mser_ros.cli.main", "live", "--file", str(path), "--asr", "none"]
    marked = os.environ | {"WHO_STARTED_IT": str(tmp_path)}
    with subprocess.Popen(
        [*live, "--bundle", str(tiny_bundle)], stdout=subprocess.PIPE, env=marked, text=True
    ) as process:
        assert process.stdout is not None
        assert any(" final " in line for line in process.stdout)
        process.stdout.close()
        try:
            process.wait(PATIENCE_S)  # the talk would go on for longer
        finally:
            process.terminate()
    assert not [path for path in Path("/proc").glob("[0-9]*") if str(tmp_path).encode() in _environment_of(path)]


def _environment_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
