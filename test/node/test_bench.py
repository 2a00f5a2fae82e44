"""What `mser bench` tells of all nodes in one process beside each in its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from isolated import run_without
from rclpy.subscription import Subscription
from ros_world import DEMO, T0, Emotion, Utterance, conversions

from mser_ros.cli.bench import FIRST_GOAL_MS, node_rows, rows
from mser_ros.cli.main import main
from mser_ros.cli.page_load import lacking
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import to_fields
from mser_ros.nodes.together import Spoken, _listen, compare
from mser_ros.types import to_ns


def ns(seconds: float) -> int:
    return T0 + to_ns(seconds)


def emotion(name: str, state: int, *, start_s: float = 0.0) -> Emotion:
    message = Emotion(utterance_id=name, state=state)
    conversions.fill(message, {"speech_start": {"sec": T0 // 10**9 + int(start_s), "nanosec": 0}})
    return message


def test_latencies_are_between_the_publications_of_what_belongs_together() -> None:
    spoken = Spoken(
        audio=[(ns(0), ns(0.1)), (ns(0.064), ns(0.164)), (ns(0.128), ns(0.2))],
        voice=[(ns(0.064) + 7000, ns(0.174)), (ns(0), ns(0.12)), (ns(5), ns(5.1))],
        utterances=[
            (Utterance(utterance_id="a", state=Utterance.STARTED), ns(1)),
            (Utterance(utterance_id="a", state=Utterance.ENDED), ns(3)),
            (Utterance(utterance_id="a", state=Utterance.ENDED), ns(3.5)),
            (Utterance(utterance_id="given up", state=Utterance.ENDED), ns(9)),
        ],
        emotions=[
            (emotion("a", Emotion.PROVISIONAL, start_s=1), ns(2.25)),
            (emotion("a", Emotion.PROVISIONAL, start_s=1), ns(2.75)),
            (emotion("a", Emotion.FINAL, start_s=1), ns(3.75)),
            (emotion("of before", Emotion.FINAL), ns(0.5)),
            (emotion("given up", Emotion.FINAL), ns(8)),
            (emotion("b", Emotion.RETRACTED), ns(4)),
        ],
    )
    assert spoken.hops_s() == pytest.approx([0.01, 0.02]), "of a block without its like nothing is told"
    assert spoken.firsts_s() == pytest.approx([0.25])
    assert spoken.finals_s() == pytest.approx([0.75]), "from the first news of the end"


def test_on_humble_what_was_published_is_noted_when_it_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rclpy gives a callback the message alone."""
    monkeypatch.delattr(Subscription, "CallbackType")
    callbacks: dict[str, Callable[..., None]] = {}

    def subscribe(kind: type, topic: str, callback: Callable[..., None], qos: object) -> None:
        callbacks[topic] = callback

    session: Any = SimpleNamespace(node=SimpleNamespace(create_subscription=subscribe))
    spoken = _listen(session)
    before_ns = time.time_ns()
    callbacks["utterance"](Utterance(utterance_id="a", state=Utterance.ENDED))
    callbacks["emotion"](emotion("a", Emotion.FINAL))
    assert before_ns <= spoken.utterances[0][1] <= spoken.emotions[0][1] <= time.time_ns()
    assert len(spoken.finals_s()) == 1


def test_the_table_has_a_column_for_each_way_and_the_goals() -> None:
    found = {
        name: {
            "utterances": 12,
            **{f"{kind}_p{percent}_ms": value for kind in ("hop", "first", "final") for percent in (50, 95)},
            "share_of_core": value / 100,
            "memory_mb": 10 * value,
        }
        for name, value in (("four processes", 40.0), ("one process", 20.0))
    }
    head, _, hop, first, *_, cpu, memory = rows(found)
    assert head == "|  | four processes | one process | goal |"
    assert hop.endswith("| p50 40.0 ms, p95 40.0 ms | p50 20.0 ms, p95 20.0 ms | – |")
    assert first.endswith(f"| p95 ≤ {FIRST_GOAL_MS} ms |")
    assert "| 40% of one core | 20% of one core |" in cpu
    assert "| 400 MB | 200 MB |" in memory


def test_what_was_measured_of_the_nodes_stands_beside_its_goals() -> None:
    numbers = {
        "final_p50_ms": 5.0, "final_p95_ms": 52.8, "first_words_p50_ms": None, "first_words_p95_ms": None,
        "idle_share_of_core_sum": 0.1919, "talking_share_of_core": 0.65, "bodies_share_of_core": 0.08, "watchers": 10,
        "page_share_of_core": {"0": 0.05, "10": 0.072}, "page_updates_hz": 4.9, "page_rss_mb": 95.0,
        "rss_mb": {"speech": 274.6, "emotion": 295.8}, "peak_rss_mb": {"speech": 363.9, "emotion": 295.8},
    }  # fmt: skip
    _, _, final, words, idle, talking, memory, page, bodies = node_rows(numbers)
    *_, unseen, _ = node_rows(numbers | {"page_share_of_core": {}, "page_updates_hz": None, "page_rss_mb": None})
    assert final.endswith("| p50 5 ms, p95 53 ms | p50 ≤ 20 ms, p95 ≤ 80 ms |")
    assert "| – |" in words, "without a recogniser there are none"
    assert "19.2% of one core" in idle
    assert "65% of one core" in talking
    assert "speech 275 (at most 364), emotion 296 (at most 296)" in memory
    assert "nobody looks; 10 watchers | 5.0%; 7.2% of one core, 95 MB, 4.9 updates a second" in page
    assert "| – |" in unseen, "without its packages there is no page"
    assert "8.0% of one core" in bodies


@pytest.mark.parametrize("package", ["websockets", "starlette", "plotly"])
def test_what_the_page_lacks_is_known_before_anything_is_measured(package: str) -> None:
    done = run_without({package}, "from mser_ros.cli.page_load import lacking\nprint(lacking())")
    assert done.stdout.startswith(f"{package} is not installed"), done.stderr
    assert "pip install 'mser_ros[view]'" in done.stdout
    assert not lacking()


@pytest.mark.parametrize("command", [["bench", "--bag", "none.mcap"], ["speed", "serving", "a bundle alone"]])
def test_the_folder_of_the_figures_is_made_before_the_work(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is refused here."""
    monkeypatch.setattr("mser_ros.cli.bench.isolate", lambda: None)
    assert main([*command, "--json", str(tmp_path / "new" / "figures.json")]) == 1
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").touch()
    assert main([*command, "--json", str(tmp_path / "file" / "figures.json")]) == 1


def test_one_process_and_four_are_measured_at_the_same_talk(ros: None, tiny_bundle: Path, tmp_path: Path) -> None:
    with Bag(DEMO) as source, BagWriter(tmp_path / "part") as writer:
        for message in source.messages(["/audio"]):
            if message.log_ns < ns(5.1):  # one utterance
                writer.write(message.topic, message.type_name, to_fields(message.decode()), message.log_ns)
    parameters = {"emotion:bundle": str(tiny_bundle), "speech:asr.backend": "none"}
    begun: list[str] = []
    found = compare(tmp_path / "part", tmp_path, rounds=1, parameters=parameters, begin=begun.append)
    assert begun == list(found) == ["four processes", "one process"]
    for numbers in found.values():
        assert numbers["utterances"] >= 1
        assert 0 < numbers["hop_p50_ms"] <= numbers["hop_p95_ms"]
        assert 0 < numbers["share_of_core"] < 4
        assert numbers["memory_mb"] > 50
    four, one = found.values()
    assert one["memory_mb"] < four["memory_mb"]
