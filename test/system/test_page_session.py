"""The pipeline behind `mser live --browser`, without a browser: what is heard, refused, forgotten, and by whom."""

from __future__ import annotations

import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import free_port
from clips import RATE, noise, silence, spoken, write_broken_flac
from isolated import MSER, ROS, TRAINING_ONLY, run_without
from pictures import write_film

from mser_ros.audio.file_capture import FileCapture
from mser_ros.cli.live import _Choices, _start
from mser_ros.cli.main import main
from mser_ros.errors import PAGE_PACKAGES, DependencyError, ModelError, RequestError
from mser_ros.mocap.layouts import get_layout
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import AsrSettings, MicrophoneSettings, SpeechSettings
from mser_ros.stages.pipeline import EmotionPipeline
from mser_ros.types import NS_PER_S, AudioChunk, SkeletonFrame

pytest.importorskip("uvicorn", reason="the page's server is missing: pip install 'mser_ros[view]'")
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from mser_ros.page.board import Board
from mser_ros.page.session import BrowserInputs, Eyes, LiveSession, play

SPEECH = np.concatenate([silence(0.5), spoken(), silence(1.5)])


@pytest.fixture
def session(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveSession]:
    monkeypatch.setattr("mser_ros.page.session._COUNTERS_S", 0.1)  # which tests wait for
    speech = SpeechSettings(asr=AsrSettings(backend="none"))
    pipeline = EmotionPipeline.create(EmotionRecognizer(load_bundle(tiny_bundle)), speech=speech)
    with LiveSession(pipeline, Board()) as running:
        yield running


def wait(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain for {what}"
        time.sleep(0.01)


def blocks(samples: np.ndarray, *, rate: int = RATE, first: int = 0) -> Iterator[bytes]:
    """As the page sends them."""
    for begin in range(0, len(samples), 2048):
        head = struct.pack("<B3xId", 1, rate, first + begin)
        yield head + samples[begin : begin + 2048].astype("<i2").tobytes()


def finals(session: LiveSession) -> list[dict]:
    return [item for item in session.board.everything()["estimates"] if item["state"] == "FINAL"]


def values(session: LiveSession) -> dict[str, str]:
    return next((item["values"] for item in session.board.everything()["nodes"]), {})


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_browsers_sound_of_any_rate_is_heard_and_judged(session: LiveSession, rate: int) -> None:
    inputs = BrowserInputs(session)
    inputs.open("somebody", "microphone")
    for block in blocks(np.repeat(SPEECH, rate // RATE), rate=rate):
        inputs.take("somebody", block)
    wait(lambda: finals(session), "a final estimate")
    (one,) = finals(session)
    assert one["evidence"][0]["available"]
    assert one["end_s"] - one["start_s"] == pytest.approx(2.3, abs=0.5)
    assert [item["state"] for item in session.board.everything()["utterances"]] == ["ENDED"]
    wait(lambda: values(session).get("utterances") == "1", "the counters")


def test_an_utterance_whose_browser_goes_away_is_finished_and_the_next_one_may_come(session: LiveSession) -> None:
    inputs = BrowserInputs(session)
    inputs.open("one", "microphone")
    with pytest.raises(RequestError, match="another browser's microphone is used: stop it there first"):
        inputs.open("other", "microphone")
    for block in blocks(SPEECH[: 2 * RATE]):  # cut off in mid-sentence
        inputs.take("one", block)
        inputs.take("other", block)  # which nobody listens to
    inputs.close("other")
    inputs.close("one")
    wait(lambda: len(finals(session)) == 1, "the estimate of what was heard")
    inputs.open("other", "microphone")
    for block in blocks(SPEECH):
        inputs.take("other", block)
    wait(lambda: len(finals(session)) == 2, "the other's estimate")


def test_blocks_that_cannot_be_used_are_counted_and_told(session: LiveSession) -> None:
    inputs = BrowserInputs(session)
    inputs.open("somebody", "microphone")
    bad = [
        b"\x01",
        b"\x01" + bytes(20),  # a rate of 0
        struct.pack("<B3xId", 1, 48_000, -1.0) + bytes(8),
        struct.pack("<B3xId", 1, 48_000, float("nan")) + bytes(8),
        struct.pack("<B3xId", 1, 48_000, 1e300) + bytes(8),
        struct.pack("<B3xId", 1, 16_000, 0) + bytes(3),  # half a sample
        struct.pack("<B3xId", 1, 99, 0) + bytes(8),
    ]
    for data in [*bad, b"", b"\x09", b"\x02 a picture, but the camera is off"]:
        inputs.take("somebody", data)
    wait(lambda: values(session).get("rejected") == str(len(bad)), "the count")
    (node,) = session.board.everything()["nodes"]
    assert node["level"] == 1
    assert "Hz" in node["message"]
    for block in blocks(SPEECH):
        inputs.take("somebody", block)
    wait(lambda: finals(session), "what comes after them")


def test_what_is_not_to_be_heard_is_cancelled_and_what_was_learned_is_erased(session: LiveSession) -> None:
    for block in np.split(SPEECH[: 2 * RATE], 20):
        session.push_audio(AudioChunk(block[:, None], RATE, time.time_ns()))
    assert session.listen(False).startswith("not listening")
    told = session.board.everything()
    assert told["listening"] is False
    assert [item["state"] for item in told["utterances"]] == ["CANCELLED"]
    session.push_audio(AudioChunk(SPEECH[:, None], RATE, time.time_ns()))
    assert session.listen(True) == "listening"
    assert finals(session) == []
    session.push_audio(AudioChunk(SPEECH[:, None], RATE, 0))
    session.flush()
    wait(lambda: session.board.everything()["people"], "somebody who is known")
    assert "forgotten" in session.erase()
    session.board.clear()
    for _ in range(2):  # reports, which are told less often than states
        wait(lambda: "nodes" in session.board.news(), "a report")
    assert session.board.everything()["people"] == []


def test_what_is_asked_of_a_pipeline_that_a_bug_has_ended_has_failed(
    session: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tick(now_ns: int) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(session._pipeline, "tick", tick)
    wait(lambda: any(item["level"] == 2 for item in session.board.everything()["nodes"]), "the report of the bug")
    for ask in (lambda: session.listen(False), session.erase):
        with pytest.raises(RequestError, match="a bug has ended the pipeline"):
            ask()
    assert session.board.everything()["listening"] is True


def test_a_source_of_this_machine_is_played_and_no_browser_replaces_it(session: LiveSession) -> None:
    inputs = BrowserInputs(session, sound="microphone 3")
    with pytest.raises(RequestError, match="microphone 3 is used: start 'mser live --browser' without it"):
        inputs.open("somebody", "microphone")
    played = play(session, [AudioChunk(SPEECH[:, None], RATE, time.time_ns())], "file 'a.wav'")
    wait(lambda: finals(session), "its estimate")
    played.join()
    assert session.board.everything()["source"] == "file 'a.wav' is over"


def test_a_file_that_is_damaged_in_the_middle_is_judged_up_to_there_and_that_is_told(
    session: LiveSession, tmp_path: Path
) -> None:
    path = write_broken_flac(tmp_path / "a.flac", SPEECH)
    played = play(session, FileCapture(MicrophoneSettings(file=str(path)), time.time_ns), "file 'a.flac'")
    played.join()
    wait(lambda: finals(session), "what comes before")
    told = session.board.everything()
    assert told["source"] == "file 'a.flac' is over"
    wait(lambda: "is damaged after" in session.board.everything()["nodes"][0]["message"], "the reason")


def test_a_body_is_drawn_and_one_that_cannot_be_used_is_counted(session: LiveSession) -> None:
    layout, sure = get_layout("canonical15"), np.ones(15, np.float32)
    session.push_skeleton(SkeletonFrame(time.time_ns(), "ann", layout.name, np.ones((15, 3), np.float32), sure))
    wait(lambda: session.board.everything()["bodies"], "the body")
    session.push_skeleton(SkeletonFrame(time.time_ns(), "ann", "none", np.ones((15, 3), np.float32), sure))
    wait(lambda: values(session).get("rejected") == "1", "the refusal")


def test_a_camera_without_its_model_says_what_to_do(session: LiveSession) -> None:
    """Tests have no models but those that they name."""
    with pytest.raises((ModelError, DependencyError), match=r"mser models get pose|pip install"):
        BrowserInputs(session).open("somebody", "camera")


def test_live_on_a_page_needs_neither_ros_nor_a_microphone_and_ends_well(tmp_path: Path, tiny_bundle: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", SPEECH, RATE)
    common = ("live", "--browser", "--port", "0", "--asr", "none", "--bundle", str(tiny_bundle))
    for source in ((), ("--file", str(tmp_path / "talk.wav"))):
        done = run_without(ROS | TRAINING_ONLY, MSER, *common, *source, "--seconds", "0.1")
        assert done.returncode == 0, done.stderr
        assert "Open http://127.0.0.1:" in done.stdout
    refused = run_without({"starlette"}, MSER, *common)
    assert refused.returncode == 1
    assert refused.stderr.endswith(f"pip install 'mser_ros[view]' (or {PAGE_PACKAGES})\n")
    assert refused.stderr.count("\n") == 1


def test_a_file_is_played_on_a_page_once_somebody_looks(
    tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "talk.wav", SPEECH, RATE)
    common = ["live", "--browser", "--asr", "none", "--bundle", str(tiny_bundle), "--file", str(tmp_path / "talk.wav")]
    begun: list[object] = []

    def begin(*arguments: object) -> None:
        begun.append(arguments)
        raise KeyboardInterrupt

    def look(port: int) -> None:
        while not begun:
            time.sleep(0.01)
            with (
                suppress(OSError, WebSocketException),
                connect(f"ws://127.0.0.1:{port}/live", origin=f"http://127.0.0.1:{port}") as socket,
            ):
                socket.recv(1)

    monkeypatch.setattr("mser_ros.cli.live.FileCapture", begin)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main([*common, "--port", "0", "--seconds", "0.2"]) == 0
        assert not begun
        port = free_port()
        viewer = threading.Thread(target=look, args=(port,), daemon=True)
        viewer.start()
        assert main([*common, "--port", str(port), "--seconds", "inf"]) == 0  # longer than threads can wait
        viewer.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(begun) == 1


def test_the_sound_and_the_pictures_of_a_film_go_by_one_time_though_the_networks_take_theirs_to_load(
    session: LiveSession, tmp_path: Path, pose_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is dark and silent for a second, then neither."""
    dark, bright = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    sound = np.concatenate([silence(1.0), noise(1.0, 3000)])
    film = write_film(tmp_path / "a.mp4", [dark] * 10 + [bright] * 10, sound=sound)
    loud_ns: list[int] = []
    bright_ns: list[int] = []

    def hear(chunk: AudioChunk) -> None:
        first = np.flatnonzero(np.abs(chunk.samples[:, 0].astype(int)) > 3000)
        loud_ns.extend(chunk.stamp_ns + int(at) * NS_PER_S // chunk.sample_rate for at in first[:1])

    def see(_: Eyes, stamp_ns: int, picture: np.ndarray) -> None:
        if picture.mean() > 128:
            bright_ns.append(stamp_ns)

    monkeypatch.setattr(session, "push_audio", hear)
    monkeypatch.setattr(Eyes, "see", see)
    monkeypatch.setenv("MSER_MODELS", str(pose_model.parent))
    chosen = _Choices(None, str(film), "film", "", {}, 60.0)
    with ExitStack() as stack:
        _start(stack, session, chosen, "file 'a.mp4'")
        wait(lambda: loud_ns and bright_ns, "both")
    assert abs(loud_ns[0] - bright_ns[0]) / NS_PER_S < 0.15
