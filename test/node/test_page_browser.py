"""The page in a real browser: what people see, what they can do, and whether everybody can."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import PATIENCE_MS, chromium, command, free_port, opened
from clips import RATE, silence, spoken
from ros_world import T0

from mser_ros.cli.demo import AUDIO
from mser_ros.messages import conversions
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.nodes.processes import NodeProcesses
from mser_ros.nodes.replay import ReplaySession
from mser_ros.page.board import Board
from mser_ros.types import NS_PER_S, SAMPLE_NS, AudioChunk, UtteranceState

pytest.importorskip("uvicorn", reason="the page's server is missing: pip install 'mser_ros[view]'")
from shown import judged, person, raising, said, stand

from mser_ros.page.server import Controls, Inputs, PageServer

#: What is said.
LONELY = re.compile("sad and lonely", re.IGNORECASE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def models(whisper_base: Path) -> dict[str, str]:
    """The environment of processes that read words."""
    return {"MSER_MODELS": os.environ["MSER_TEST_MODELS"]}


def has(page: Any, place: str, text: str | re.Pattern[str]) -> None:
    from playwright.sync_api import expect

    expect(page.locator(place)).to_contain_text(text, timeout=PATIENCE_MS)


def keeps_nobody_out(page: Any, scheme: str, width: int) -> None:
    """By axe's rules (names, roles, contrast, ...), and nothing is wider than the screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing: call 'make setup-dev'")
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_browsers_own_microphone_and_camera_are_heard_and_seen_without_ros(
    browser: Any, models: dict[str, str], pose_model: Path, tiny_bundle: Path
) -> None:
    start = command("live", "--browser", "--port", "0", "--bundle", str(tiny_bundle), environment=models)
    with start as link, opened(browser, link) as page, opened(browser, link) as other:
        has(page, "#said", "Nothing yet.")
        page.click("#microphone")
        has(page, "#source", "a browser's microphone")
        has(other, "#list", LONELY)
        has(page, "#why", "final")
        assert page.get_attribute("#microphone", "aria-pressed") == "true"
        other.click("#microphone")
        has(other, "#answer", "another browser's microphone is used")
        other.wait_for_selector("#microphone[aria-pressed=false]")  # it is not recorded in vain
        page.click("#microphone")
        page.click("#camera")
        has(page, "#bodies", "layout mediapipe33")
        page.wait_for_selector("#bodies svg[aria-label^=Stick]", state="attached")
        page.click("#camera")
        page.click("#listen")
        has(other, "#listen", "Listen again")
        page.click("#erase")
        page.keyboard.press("Escape")
        has(page, "#list", LONELY)
        page.click("#erase")
        page.click("text=Erase it")
        has(page, "#answer", "forgotten")
        has(other, "#list", "None yet.")
        assert not other.locator("#news").text_content(), "nor does a screen reader say it any more"


def test_words_appear_while_a_bag_plays_to_everybody_and_come_again_after_a_restart(
    browser: Any, ros: None, models: dict[str, str], tiny_bundle: Path, tmp_path: Path
) -> None:
    """A sentence of the demo's bag through the real nodes."""
    with BagWriter(tmp_path / "bag") as writer:
        samples = np.concatenate([silence(0.5), spoken(), silence(1.5)])
        for first in range(0, len(samples) - 1023, 1024):
            chunk = AudioChunk(samples[first : first + 1024, None], RATE, T0 + first * SAMPLE_NS, first)
            writer.write("/audio", AUDIO, conversions.audio_to_fields(chunk), chunk.end_ns)
    parameters = {"use_sim_time": True, "emotion:bundle": str(tiny_bundle)}
    nodes = NodeProcesses(("speech", "emotion"), parameters=parameters, environment=models)
    arguments = ("view", "--port", str(free_port()))
    with nodes, ReplaySession() as session, ExitStack() as shown:
        with command(*arguments) as link:
            assert session.wait_for_links(("speech", "emotion"), 60)
            page = shown.enter_context(opened(browser, link))
            has(page, "#nodes", "/emotion: warning, use_sim_time is true, and nothing comes on /clock")
            session.play(tmp_path / "bag", topics=("/audio",))
            has(page, "#said", LONELY)
            assert session.finish()
            has(page, "#list", LONELY)
            has(page, "#news", LONELY)  # what a screen reader says
            page.wait_for_selector("#timeline .bars path", state="attached")
            keeps_nobody_out(page, "light", 1200)
            keeps_nobody_out(page, "dark", 360)
            page.click("#listen")
            has(page, "#answer", "not listening")
        has(page, "#connection", "Connection lost")
        with command(*arguments):
            has(page, "#connection", "Connected")
            has(page, "#listen", "Listen again")
            has(page, "#list", "None yet.")
            shown.close()


def test_who_knows_no_token_sees_nothing_and_what_was_said_is_no_code(browser: Any) -> None:
    evil = "<img src=x onerror=alert(1)>"
    board = Board()
    board.utterance(replace(said(evil), voice_id=evil))
    board.estimate(judged() | {"voice_id": evil, "label": evil, "probabilities": {evil: 1.0}})
    board.node(evil, level=1, message=evil, values={evil: evil})
    with PageServer(board, Controls(bool, str), port=0, token="100% sesame") as server:  # type: ignore[arg-type]
        with opened(browser, server.url.split("#")[0]) as page:
            has(page, "#connection", "A token is needed")
            page.fill("#token", "please")
            page.keyboard.press("Enter")
            has(page, "#connection", "not the right one")
            has(page, "#list", "None yet.")
            page.fill("#token", "100% sesame")
            page.keyboard.press("Enter")
            has(page, "#said", evil)
            for place in ("#list", "#why", "#nodes"):
                has(page, place, evil)
            page.wait_for_selector("#timeline .bars path", state="attached")
            assert page.locator("img").count() == 0
        with opened(browser, server.url.split("#")[0] + "#token=%ff of yesterday") as page:
            has(page, "#connection", "not the right one")
            page.goto(server.url.split("#")[0] + "#token=100% sesame")
            has(page, "#said", evil)
            assert "sesame" not in page.url
            page.evaluate("() => { window.before = socket; }")
            page.goto(server.url)  # also while it is connected
            page.wait_for_url(server.url.split("#")[0])
            assert page.evaluate("socket !== before && before.readyState > WebSocket.OPEN")
        with opened(browser, server.url) as page:
            has(page, "#said", evil)
            has(page, "#news", f"“{evil}”")
            assert "sesame" not in page.url
            board._is_new = True  # as for a page that was too slow: it is told everything once more
            board.node("/later", level=0, message="active", values={})
            has(page, "#nodes", "/later")
            has(page, "#news", f"“{evil}”")
            board.allow_words(False)
            has(page, "#said", "transcripts are off")
            assert page.locator("#list .words").inner_text() == ""
            assert "“" not in page.locator("#news").text_content()


def test_everybodys_body_is_drawn_and_who_speaks_is_marked_also_under_a_new_name(browser: Any) -> None:
    now_s = 0.0
    board = Board(clock=lambda: now_s)
    for name in ("body-1", "body-2"):
        stand(board, raising(), name=name)
    board.utterance(replace(said("here I am"), state=UtteranceState.PARTIAL))
    board.estimate(judged() | {"body_id": "body-2", "state": "PROVISIONAL"})
    board.node("/speech", level=0, message="active", values={})
    with PageServer(board, Controls(bool, str), port=0) as server, opened(browser, server.url) as page:  # type: ignore[arg-type]
        has(page, "#bodies .speaks", "voice speaks happy 70 %")
        assert page.locator("#bodies > li").count() == 2
        assert page.locator("#bodies .speaks").count() == 1
        first = page.locator("#bodies > li").first
        assert first.inner_text().startswith("body-1")
        board.utterance(said("here I am"))
        board.estimate(judged() | {"body_id": "body-2"})
        board.person(person("anna"))  # whose newest utterance is the voice's
        has(page, "#bodies > li:last-child", "anna happy 70 %")
        has(page, "#list", "anna")
        has(page, "#why", "anna")
        assert page.locator("#bodies .speaks").count() == 0
        for scheme in ("light", "dark"):
            for width in (1200, 360):
                keeps_nobody_out(page, scheme, width)
        now_s = 5.0
        has(page, "#trouble", "1 node has a problem")
        now_s = 9.0
        has(page, "#body-note", "No body is seen.")


def test_a_long_speech_is_shown_by_what_was_judged_of_it_all_and_whatever_is_final_is_told(browser: Any) -> None:
    board = Board(clock=lambda: 0.0)
    stand(board, raising(), name="body-1")
    speech = replace(said("a long speech"), end_ns=T0 + 6 * NS_PER_S, state=UtteranceState.PARTIAL)

    def tell(state: str, start_s: int, end_s: int, **fields: object) -> None:
        start, end = ({"sec": T0 // NS_PER_S + at_s, "nanosec": 0} for at_s in (start_s, end_s))
        told = {"state": state, "speech_start": start, "speech_end": end, "body_id": "body-1"}
        board.estimate(judged() | told | fields)

    with PageServer(board, Controls(bool, str), port=0) as server, opened(browser, server.url) as page:  # type: ignore[arg-type]
        board.utterance(speech)
        tell("PROVISIONAL", 0, 4)
        has(page, "#why", "voice, still speaking")
        has(page, "#bodies .speaks", "happy 70 %")
        tell("CONTINUOUS", 1, 6, utterance_id="", label="neutral")
        has(page, "#list", "neutral")
        assert "still speaking" in page.inner_text("#why")
        assert "happy" in page.inner_text("#bodies .speaks")
        board.utterance(replace(speech, state=UtteranceState.ENDED))
        tell("FINAL", 0, 7, label="sad")
        has(page, "#why", "voice, final")
        has(page, "#bodies", "sad 70 %")
        has(page, "#news", "voice: sad 70 %, “a long speech”")
        has(page, "#list tr:first-child", "sad")
        assert page.locator("#bodies .speaks").count() == 0
        tell("CONTINUOUS", 8, 13, utterance_id="", label="neutral")  # of the body of who is silent
        has(page, "#why", "voice, continuous")
        has(page, "#bodies", "neutral 70 %")
        tell("FINAL", 15, 17, utterance_id="voice-3", label="happy")
        has(page, "#news", "happy")
        tell("FINAL", 14, 16, utterance_id="voice-2", label="angry")
        has(page, "#news", "angry")
        assert "happy" in page.inner_text("#why")


def test_words_and_names_without_a_space_are_no_wider_than_a_phone(browser: Any) -> None:
    long = 54 * "w"
    board = Board()
    board.notice(source=f"{long}.wav is over")
    for number in range(2):
        board.utterance(replace(said(long, 2 * number, name=f"voice-{number}"), voice_id=long))
    stand(board, raising(), name=long)
    board.estimate(judged(name="voice-1") | {"voice_id": long, "body_id": long})
    board.person(person(long))
    board.node(long, level=1, message=long, values={long: long})
    controls = Controls(lambda on: long, str)  # type: ignore[arg-type]
    with PageServer(board, controls, port=0) as server, opened(browser, server.url) as page:
        has(page, "#list", long)
        page.click("#listen")
        has(page, "#answer", long)
        keeps_nobody_out(page, "light", 360)


def test_what_is_shown_does_not_pass_for_fresh_where_the_robot_is_cut_off(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing closes a socket whose network is gone."""

    async def say_nothing(socket: Any) -> None:
        await asyncio.Event().wait()

    now_s = 0.0
    board = Board(clock=lambda: now_s)
    board.utterance(said("here I am"))
    board.estimate(judged())
    board.level(-20.0, T0 + NS_PER_S)
    with PageServer(board, Controls(bool, str), port=0) as server, opened(browser, server.url) as page:  # type: ignore[arg-type]
        has(page, "#connection", "Connected")
        has(page, "#level-text", "-20 dB")
        now_s = 30.0
        board.node("/speech", level=0, message="active", values={})
        has(page, "#level-text", "quiet")
        assert page.get_attribute("#level", "value") == "-60"
        has(page, "#list", "30 s")
        monkeypatch.setattr(server.hub, "watch", say_nothing)
        server.hub._watchers.clear()
        has(page, "#connection", "Connection lost")
        monkeypatch.undo()
        has(page, "#connection", "Connected")


@pytest.mark.parametrize("kind", ["microphone", "camera"])
def test_a_browsers_input_is_turned_on_once_and_never_left_on(browser: Any, kind: str) -> None:
    class Taken(Inputs):
        are_taken = True

        def open(self, owner: object, kind: str) -> None:
            pass

    counting = """() => {
        window.streams = [];
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = async (wanted) => {
            await new Promise((answer) => setTimeout(answer, 500));  // as long as somebody thinks about it
            streams.push(await ask(wanted));
            return streams.at(-1);
        };
    }"""
    are_off = "streams.every((stream) => stream.getTracks().every((track) => track.readyState === 'ended'))"
    controls, port = Controls(bool, str), free_port()  # type: ignore[arg-type]
    with ExitStack() as shown:
        with PageServer(Board(), controls, port=port, inputs=Taken()) as server:
            page = shown.enter_context(opened(browser, server.url))
            page.wait_for_selector(f"#{kind}:visible")
            page.evaluate(counting)
            page.dblclick(f"#{kind}")
            page.wait_for_selector(f"#{kind}[aria-pressed=true][aria-disabled=false]")
            has(page, "#answer", f"This {kind} is used.")
            assert page.evaluate("streams.length") == 1
            page.click(f"#{kind}")
            page.wait_for_selector(f"#{kind}[aria-pressed=false]")
            has(page, "#answer", f"This {kind} is off.")
            assert page.evaluate(are_off)
            page.evaluate(f"async () => {{ const on = inputs.{kind}.start(send); inputs.{kind}.stop(); await on; }}")
            assert page.evaluate("streams.length") == 2
            assert page.evaluate(are_off), "one that was not wanted any more when it came"
            page.click(f"#{kind}")
            has(page, "#answer", f"This {kind} is used.")
            page.evaluate("streams.at(-1).getTracks()[0].dispatchEvent(new Event('ended'))")  # it was unplugged
            has(page, "#answer.problem", f"This {kind} gives nothing any more: press “Use this {kind}” again")
            assert page.get_attribute(f"#{kind}", "aria-pressed") == "false"
            page.click(f"#{kind}")
            has(page, "#answer:not(.problem)", f"This {kind} is used.")
        lost = f"This {kind} was turned off as the connection was lost: press “Use this {kind}” again once it is back"
        has(page, "#answer.problem", lost)
        with PageServer(Board(), controls, port=port, inputs=Taken()):
            has(page, "#connection", "Connected")
            has(page, "#answer.problem", lost)
            assert page.get_attribute(f"#{kind}", "aria-pressed") == "false"
            assert page.evaluate(are_off)
            shown.close()


def test_a_phone_lends_its_microphone_to_an_encrypted_page(browser: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    arguments = ("live", "--browser", "--https", "--port", "0", "--asr", "none", "--bundle", str(tiny_bundle))
    with (
        command(*arguments, environment={"XDG_DATA_HOME": str(tmp_path)}) as link,
        opened(browser, link, ignore_https_errors=True) as page,
    ):
        assert link.startswith("https://127.0.0.1:")
        assert page.evaluate("isSecureContext")
        page.click("#microphone")
        has(page, "#source", "a browser's microphone")
        has(page, "#list", "voice")
    assert (tmp_path / "mser_ros" / "https" / "certificate.pem").is_file()
