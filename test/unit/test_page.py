"""The page without a browser: what is shown and what is not, who gets in, and who is too slow for the news."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timezone
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from shown import T0, judged, person, raising, said, stand

from mser_ros.cli.main import main
from mser_ros.errors import RequestError, SettingsError
from mser_ros.evaluation.timeline import COLOURS
from mser_ros.page.board import WINDOW_S, Board
from mser_ros.types import (
    NS_PER_S,
    AbstainReason,
    SkeletonFrame,
    UtteranceState,
)

pytest.importorskip("uvicorn", reason="the page's server is missing: pip install 'mser_ros[view]'")
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from mser_ros.page.certificate import fingerprint, own_certificate
from mser_ros.page.hub import Hub
from mser_ros.page.server import Controls, PageServer


def test_news_are_what_has_changed_and_everything_is_all_there_is() -> None:
    board = Board()
    assert board.news()["all"]
    assert board.news() == {}
    board.utterance(said("hello there"))
    board.estimate(judged())
    board.person(person())
    news = board.news()
    assert "all" not in news
    assert [item["text"] for item in news["utterances"]] == ["hello there"]
    (estimate,) = news["estimates"]
    assert (estimate["label"], estimate["confidence"], estimate["who"]) == ("happy", 0.7, "voice")
    assert estimate["evidence"][1] == {
        "modality": "mocap", "available": False, "probabilities": {}, "weight": 0.0, "in_domain": -1.0,
        "reason": "OUT_OF_DISTRIBUTION",
    }  # fmt: skip
    (one,) = news["people"]
    assert (one["id"], one["label"], one["for_s"], one["usual"]) == ("voice", "happy", 9.0, "happy")
    assert board.news() == {}
    everything = board.everything()
    assert everything["all"]
    assert everything["colours"] == dict(COLOURS)
    assert everything["utterances"] == news["utterances"]
    assert everything["estimates"] == news["estimates"]


def test_no_word_is_given_away_before_somebody_has_allowed_it_or_where_it_is_forbidden() -> None:
    def told(board: Board) -> str:
        return json.dumps([board.news(), board.everything()])

    waiting, mute = Board(words=None), Board(words=False)
    for board in (waiting, mute):
        board.utterance(said("a secret"))
        board.estimate(judged())
        assert "secret" not in told(board)
    waiting.allow_words(True)
    assert "a secret" in told(waiting)
    waiting.allow_words(False)
    assert "secret" not in told(waiting)
    waiting.allow_words(True)  # it is gone, not only hidden
    assert "secret" not in told(waiting)
    mute.allow_words(True)
    mute.utterance(said("a secret"))
    assert "secret" not in told(mute)


def test_the_past_falls_out_and_a_bag_that_begins_anew_empties_the_page() -> None:
    board = Board()
    board.utterance(said("first"))
    board.estimate(judged())
    board.level(-20.0, T0 + round((WINDOW_S + 0.9) * NS_PER_S))
    board.news()
    assert len(board.everything()["utterances"]) == 1
    board.level(-20.0, T0 + round((WINDOW_S + 1.1) * NS_PER_S))
    board.news()
    assert (board.everything()["utterances"], board.everything()["estimates"]) == ([], [])
    board.utterance(said("second", WINDOW_S))
    board.level(-20.0, T0)
    news = board.news()
    assert news["all"]
    assert news["utterances"] == []
    assert news["now_s"] == T0 / NS_PER_S


def test_cameras_of_other_clocks_neither_empty_the_page_nor_put_it_out_of_date() -> None:
    now_s = 0.0
    board = Board(clock=lambda: now_s)
    board.utterance(said("still there"))
    for number in range(30):
        now_s = number / 15
        at_ns = T0 + round((1 + now_s) * NS_PER_S)
        for name, apart_s in (("ahead", 300), ("behind", -3)):
            stamp_ns = at_ns + apart_s * NS_PER_S
            board.skeleton(SkeletonFrame(stamp_ns, name, "canonical15", raising(), np.ones(15, np.float32)))
        board.level(-20.0, at_ns, "voice")
    news = board.news()
    assert [item["text"] for item in news["utterances"]] == ["still there"]
    assert news["now_s"] == pytest.approx(T0 / NS_PER_S + 1 + now_s)
    assert [body["id"] for body in news["bodies"]] == ["ahead", "behind"]
    now_s += 5.0  # nobody listens any more, and bodies are still seen
    board.skeleton(SkeletonFrame(at_ns + 305 * NS_PER_S, "ahead", "canonical15", raising(), np.ones(15, np.float32)))
    news = board.news()
    assert "all" not in news
    assert news["now_s"] == pytest.approx(T0 / NS_PER_S + 1 + now_s)


def test_bodies_without_sound_begin_anew_when_all_of_them_do() -> None:
    now_s = 0.0
    board = Board(clock=lambda: now_s)

    def see(name: str, at_s: float) -> dict[str, Any]:
        stamp_ns = T0 + round(at_s * NS_PER_S)
        board.skeleton(SkeletonFrame(stamp_ns, name, "canonical15", raising(), np.ones(15, np.float32)))
        return board.news()

    for name, at_s in (("ann", 60.0), ("bob", 61.0), ("passer-by", 61.0)):
        see(name, at_s)
    assert "all" not in see("ann", 0.0)
    assert "all" not in see("bob", 0.1)
    now_s = 2.1  # so long nothing was seen of the passer-by
    news = see("ann", 2.1)
    assert news["all"]
    assert news["now_s"] == pytest.approx(T0 / NS_PER_S + 2.1)


def test_the_level_is_taken_back_where_no_sound_comes_any_more() -> None:
    now_s = 0.0
    board = Board(clock=lambda: now_s)
    board.level(-20.0, T0)
    assert board.news()["level_db"] == -20.0
    now_s = 0.9
    assert board.news() == {}
    now_s = 1.1
    assert board.news()["level_db"] is None
    now_s = 9.0
    assert board.news() == {}
    assert board.everything()["level_db"] is None


def test_what_has_changed_does_not_pile_up_while_nobody_watches() -> None:
    board = Board()
    for number in range(2000):
        board.utterance(said("many", name=f"voice-{number}"))
    assert len(board._changed) == 400
    assert len(board.news()["utterances"]) == 400


def test_a_board_stays_small_whatever_comes() -> None:
    board = Board()
    for number in range(2000):
        board.utterance(said("many", name=f"voice-{number}"))
        board.estimate(judged(name=f"voice-{number}"))
        board.person(person(f"person {number}"))
        board.node(f"/node_{number}", level=0, message="active", values={})
    told = board.everything()
    assert {len(told[kind]) for kind in ("utterances", "estimates", "people", "nodes")} == {400}


def test_who_is_not_told_of_any_more_is_gone_and_a_silent_node_is_stale() -> None:
    now_s = 0.0
    board = Board(clock=lambda: now_s)
    board.person(person())
    board.node("/speech", level=1, message="slow", values={"backlog": "3"})
    board.news()
    now_s = 4.0
    (node,) = board.news()["nodes"]
    assert node == {"id": "/speech", "level": 1, "message": "slow", "values": {"backlog": "3"}, "is_stale": True}
    now_s = 7.0
    assert board.news()["people"] == []
    board.node("/speech", level=0, message="active", values={})
    assert board.news()["nodes"][0]["is_stale"] is False


def test_an_utterance_that_nobody_finishes_is_forgotten() -> None:
    now_s = 0.0
    board = Board(clock=lambda: now_s)
    board.utterance(replace(said("unfinished"), state=UtteranceState.PARTIAL))
    board.estimate(judged() | {"state": "PROVISIONAL"})
    board.utterance(said("finished", name="voice-2"))
    board.estimate(judged(name="voice-2"))
    now_s = 9.0
    assert len(board.news()["utterances"]) == 2
    now_s = 11.0
    news = board.news()
    assert news["all"]
    assert [item["id"] for item in news["utterances"] + news["estimates"]] == ["voice-2", "voice-2"]


def test_numbers_that_are_none_become_null() -> None:
    board = Board()
    record = judged() | {"valence": math.nan, "latency_s": np.float32(math.inf)}
    board.estimate(record)
    (estimate,) = json.loads(json.dumps(board.news(), allow_nan=False))["estimates"]
    assert (estimate["valence"], estimate["latency_s"]) == (None, None)


@pytest.mark.parametrize("turned_deg", [0, 90, 180, 250])
def test_a_body_is_drawn_from_the_front_as_sent_and_as_the_model_sees_it(turned_deg: float) -> None:
    board = Board()
    angle = np.radians(turned_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    sure = np.ones(15, np.float32)
    sure[4] = 0  # the left elbow is not seen
    stand(board, (raising() @ turn.T).astype(np.float32), sure=sure)
    (body,) = board.news()["bodies"]
    for figure in (body["sent"], body["canonical"]):
        points = figure["points"]
        assert points[4] is None
        assert figure["seen"] == 14
        assert points[2][1] > points[0][1] > points[11][1]  # head, pelvis, ankle: up is up
        assert points[5][1] > points[2][1], "the hand that is raised"
        assert points[5][0] > 0.1 > points[8][0], "it is the left one, which is on the right from the front"
        assert figure["sides"][3:9] == ["left"] * 3 + ["right"] * 3
        assert all(abs(value) <= 1 for point in points if point for value in point)
    board.skeleton(SkeletonFrame(T0 + 2 * NS_PER_S, "body", "no such layout", raising(), sure))
    assert "no such layout" in board.news()["bodies"][0]["problem"]


def test_each_body_is_drawn_until_it_is_gone_and_no_crowd() -> None:
    now_s = 0.0
    board = Board(clock=lambda: now_s)
    for name in ("ann", "bob"):
        stand(board, raising(), name=name)
    assert [body["id"] for body in board.news()["bodies"]] == ["ann", "bob"]
    for number in range(20):
        stand(board, raising(), name=f"passer-by {number}")
    assert [body["id"] for body in board.news()["bodies"]][:2] == ["ann", "bob"]
    assert len(board.everything()["bodies"]) == 4
    now_s = 2.1
    board.skeleton(SkeletonFrame(T0 + 4 * NS_PER_S, "bob", "canonical15", raising(), np.ones(15, np.float32)))
    assert [body["id"] for body in board.news()["bodies"]] == ["bob"], "the others are not seen any more"
    assert board.news() == {}
    now_s = 8.2
    assert board.news()["bodies"] == [], "nor is anybody, if no body comes"
    assert board.news() == {}


def test_bodies_that_move_are_drawn_anew_in_turn() -> None:
    board = Board()

    def seen() -> list[int]:
        return [body["sent"]["seen"] for body in board.news()["bodies"]]

    for name in ("ann", "bob"):
        stand(board, raising(), name=name)
    assert seen() == [15, 15]
    for number in range(1, 4):
        sure = np.ones(15, np.float32)
        sure[:number] = 0
        for name in ("ann", "bob"):
            board.skeleton(SkeletonFrame(T0 + number * NS_PER_S, name, "canonical15", raising(), sure))
        assert seen() == {1: [14, 15], 2: [14, 13], 3: [12, 13]}[number]


def test_news_are_made_once_for_all_and_who_is_too_slow_loses_them_and_is_told_all_anew() -> None:
    class Reader:
        def __init__(self, *, is_slow: bool) -> None:
            self.got: list[str] = []
            self.free = asyncio.Event()
            if not is_slow:
                self.free.set()

        async def send_text(self, data: str) -> None:
            self.got.append(data)
            await self.free.wait()

    async def watch() -> tuple[Reader, Reader, Hub]:
        board = Board()
        hub = Hub(board, rate_hz=200)
        quick, slow = Reader(is_slow=False), Reader(is_slow=True)
        tasks = [asyncio.create_task(work) for work in (hub.run(), hub.watch(quick), hub.watch(slow))]
        for number in range(40):
            seen = len(quick.got)
            board.notice(number=number)
            while len(quick.got) == seen:
                await asyncio.sleep(0.001)
        assert len(slow.got) == 1
        slow.free.set()
        while len(slow.got) < 2:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return quick, slow, hub

    quick, slow, hub = asyncio.run(watch())
    told = [json.loads(text) for text in quick.got]
    assert [item["number"] for item in told if "number" in item][-1] == 39
    last = json.loads(slow.got[1])
    assert last["all"]
    assert last["number"] == 39
    assert last["lost"] == hub.lost >= 30
    assert hub.watchers == 0


def test_the_page_has_words_for_every_reason_that_there_is() -> None:
    script = (resources.files("mser_ros.page") / "static" / "charts.js").read_text(encoding="utf-8")
    told = re.search(r"const REASONS = {(.*?)};", script, re.DOTALL)
    assert told
    assert set(re.findall(r"(\w+):", told[1])) == {reason.name for reason in AbstainReason}


def test_a_bug_in_one_of_the_news_is_told_and_does_not_silence_those_after_it(caplog: pytest.LogCaptureFixture) -> None:
    class Reader:
        def __init__(self) -> None:
            self.got: list[dict[str, Any]] = []

        async def send_text(self, data: str) -> None:
            self.got.append(json.loads(data))

    async def watch() -> list[dict[str, Any]]:
        board, reader = Board(), Reader()
        hub = Hub(board, rate_hz=200)
        tasks = [asyncio.create_task(work) for work in (hub.watch(reader), hub.run())]
        while not reader.got:
            await asyncio.sleep(0.001)
        board.notice(odd=object())  # no number, no text
        while not caplog.records:
            await asyncio.sleep(0.001)
        board.notice(odd=1)
        while reader.got[-1].get("odd") != 1:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return reader.got

    assert asyncio.run(asyncio.wait_for(watch(), 10.0))
    assert "please report" in caplog.text


@contextmanager
def served(board: Board | None = None, **options: Any) -> Iterator[tuple[PageServer, list[Any]]]:
    asked: list[Any] = []

    def listen(on: bool) -> str:
        asked.append(on)
        if not on:
            raise RequestError("no node answers")
        return "listening"

    def erase() -> str:
        asked.append("erase")
        return "forgotten"

    with PageServer(board or Board(), Controls(listen, erase), port=0, **options) as server:
        yield server, asked


def place(server: PageServer, scheme: str = "ws", path: str = "live") -> str:
    scheme += "s" if server.https else ""
    return (
        server.url.replace("https:", "http:").split("#")[0].replace("http", scheme).replace("0.0.0.0", "127.0.0.1")
        + path
    )


def first(url: str, origin: str | None, **options: Any) -> Any:
    """What a page of `origin` is told first, or the code at which it is turned away."""
    with connect(url, origin=origin, **options) as socket:  # type: ignore[arg-type]
        try:
            return json.loads(socket.recv(10))
        except ConnectionClosed as closed:
            return closed.rcvd and closed.rcvd.code


def test_the_page_and_all_that_it_needs_come_from_the_server_itself() -> None:
    with served() as (server, _):
        for path, holds in (
            ("", b"What the robot believes"),
            ("static/page.js", b"connect"),
            ("plotly.min.js", b"plotly"),
        ):
            with urllib.request.urlopen(place(server, "http", path)) as answer:
                assert holds in answer.read()
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        for path in ("static/../server.py", "static/%2e%2e/server.py", "nothing"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(place(server, "http", path))


def test_on_this_machine_no_token_is_needed_but_the_page_must_be_its_own() -> None:
    with served() as (server, _):
        url = place(server)
        own = url.replace("ws", "http").removesuffix("/live")
        assert "#" not in server.url
        assert first(url, own)["all"]
        assert first(url, "http://evil.example") == 4403
        assert first(url, None) == 4403
        assert first(url, "http://[") == 4403, "which is no address"
        # A name of somebody else's that was made to mean this machine.
        port = int(url.split(":")[2].split("/")[0])
        far = f"evil.example:{port}"
        assert first(f"ws://{far}/live", f"http://{far}", address=("127.0.0.1", port)) == 4403


def test_from_elsewhere_a_token_is_needed_that_is_made_or_given() -> None:
    with served(host="0.0.0.0") as (server, _):
        url, token = place(server), server.url.split("#token=")[1]
        own = url.replace("ws", "http").removesuffix("/live")
        assert len(token) >= 16
        assert first(url, own) == 4401
        assert first(f"{url}?token=guess", own) == 4401
        assert first(f"{url}?token={token}", "http://evil.example") == 4403
        assert first(f"{url}?token={token}", own)["all"]
    with served(token="a word") as (server, _):
        assert first(f"{place(server)}?token=a%20word", place(server, "http", "").rstrip("/"))["all"]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6: switch it on in its kernel")
def test_at_every_address_of_ipv6_those_of_ipv4_are_served_as_well() -> None:
    """The link names one of these."""
    with served(host="::", token="a word") as (server, _):
        port = server._socket.getsockname()[1]
        for host in ("127.0.0.1", "[::1]"):
            assert first(f"ws://{host}:{port}/live?token=a%20word", f"http://{host}:{port}")["all"]


def test_a_token_of_any_letters_stands_in_the_link_so_that_a_browser_reads_it() -> None:
    for token in ("100%", "a/b#c&d=é %20"):
        with served(token=token) as (server, _):
            link = urlsplit(server.url)
            assert unquote(link.fragment) == f"token={token}"
            assert re.fullmatch(r"token=[\w.~%-]+", link.fragment, re.ASCII)


def test_the_page_is_encrypted_by_a_certificate_that_is_made_and_kept(tmp_path: Path) -> None:
    files = own_certificate(tmp_path / "https", ["robot.local"])
    assert [path.stat().st_mode & 0o777 for path in files] == [0o600, 0o600]
    assert own_certificate(tmp_path / "https", ["robot.local"]) == files
    before = fingerprint(files[0])
    trusting = ssl.create_default_context(cafile=files[0])
    with served(https=files, token="open sesame") as (server, _):
        url = place(server)
        assert url.startswith("wss://127.0.0.1:")
        assert server.url.startswith("https://127.0.0.1:")
        with urllib.request.urlopen(place(server, "http", ""), context=trusting) as answer:
            assert b"What the robot believes" in answer.read()
        own = place(server, "http", "").rstrip("/")
        assert first(url, own, ssl=trusting) == 4401
        assert first(f"{url}?token=open%20sesame", own, ssl=trusting)["all"]
        with pytest.raises(urllib.error.URLError, match="self-signed"):
            urllib.request.urlopen(place(server, "http", ""))
        shown = ssl.PEM_cert_to_DER_cert(
            ssl.get_server_certificate(("127.0.0.1", int(url.split(":")[2].split("/")[0])))
        )
        assert fingerprint(files[0]).replace(":", "").lower() == hashlib.sha256(shown).hexdigest()
    own_certificate(tmp_path / "https", ["another.local"])
    assert fingerprint(files[0]) != before, "it is made anew for another name"
    files[1].write_text("no key")
    with pytest.raises(SettingsError, match="name a certificate and its key"):
        served(https=files).__enter__()
    own_certificate(tmp_path / "https", ["another.local"])
    with served(https=files):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="give one by --certificate"):
        own_certificate(tmp_path / "file" / "https", [])


def test_a_certificate_that_was_made_is_kept_also_by_an_older_cryptography(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which tells the end of one without its time zone."""
    from cryptography import x509

    made = own_certificate(tmp_path, ["robot.local"])[0].read_bytes()
    new = x509.load_pem_x509_certificate(made)
    old = SimpleNamespace(extensions=new.extensions, not_valid_after=new.not_valid_after_utc.replace(tzinfo=None))
    monkeypatch.setattr(x509, "load_pem_x509_certificate", lambda _: old)
    assert own_certificate(tmp_path, ["robot.local"])[0].read_bytes() == made
    old.not_valid_after = datetime.now(timezone.utc).replace(tzinfo=None)
    assert own_certificate(tmp_path, ["robot.local"])[0].read_bytes() != made, "it is about to end"


def test_a_certificate_without_its_key_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["view"], ["live", "--browser"]):
        assert main([*command, "--certificate", "cert.pem"]) == 1
        assert "--certificate and --key belong together" in capsys.readouterr().err
        assert main([*command, "--certificate", "cert.pem", "--key", "key.pem"]) == 1
        assert "name a certificate and its key" in capsys.readouterr().err


def test_what_is_asked_for_is_done_and_answered_and_nonsense_is_refused() -> None:
    board = Board()
    board.utterance(said("to be erased"))
    with served(board) as (server, asked):
        url = place(server)
        with connect(url, origin=url.replace("ws", "http").removesuffix("/live")) as socket:  # type: ignore[arg-type]

            def answer(wish: str) -> tuple[str, bool]:
                socket.send(wish)
                told = next(told for told in iter(lambda: json.loads(socket.recv(10)), None) if "answer" in told)
                return told["answer"], told["good"]

            assert answer('{"do": "listen", "on": true}') == ("listening", True)
            assert answer('{"do": "listen", "on": false}') == ("no node answers", False)
            assert answer('{"do": "erase"}') == ("forgotten", True)
            assert asked == [True, False, "erase"]
            assert board.everything()["utterances"] == []
            for nonsense in ("", "[]", "{", '{"do": "fly"}', '{"do": ["listen"]}', '{"on": 1}', "null", "[" * 9999):
                assert answer(nonsense) == ("that was not understood: load the page again", False)
            socket.send('{"do": "microphone", "on": true}')
            told = next(told for told in iter(lambda: json.loads(socket.recv(10)), None) if "answer" in told)
            assert (told["good"], told["input"]) == (False, "microphone"), "so that the browser turns it off"
            assert "mser live --browser" in told["answer"]
            socket.send(b"\x01 sound that nobody takes")
            assert answer('{"do": "listen", "on": true}')[1]


def test_a_place_where_nothing_can_be_served_is_named_with_the_cure() -> None:
    with served() as (server, _):
        taken = int(place(server).split(":")[2].split("/")[0])
        with pytest.raises(SettingsError, match=f"port {taken} .*choose another --port"):
            PageServer(Board(), Controls(bool, str), port=taken)
    with pytest.raises(SettingsError, match="another --host"):
        PageServer(Board(), Controls(bool, str), host="192.0.2.7", port=0)  # type: ignore[arg-type]


def test_a_browser_that_does_not_read_slows_nobody() -> None:
    """Over real sockets: one reads, the other one does not."""
    board = Board()
    with served(board) as (server, _):
        server.hub._period_s = 0.005
        url = place(server)
        own = url.replace("ws", "http").removesuffix("/live")
        options: dict[str, Any] = {"origin": own, "max_size": None, "max_queue": 1, "close_timeout": 0.1}
        with connect(url, **options) as quick, connect(url, **options):
            number = 0
            while server.hub.lost == 0:
                number += 1
                board.notice(number=number, filler=f"{number}" * 2_000_000)
                while json.loads(quick.recv(60)).get("number") != number:
                    pass
