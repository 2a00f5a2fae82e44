"""The same data gives the same emotions: through live nodes, as processes over DDS, and through the pipeline alone."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from live import assert_same, live, offline, write_part_of_demo
from ros_world import Emotion

from mser_ros.nodes.processes import NodeProcesses
from mser_ros.resources import default_bundle_dir


@pytest.fixture(scope="module")
def best_bundle(tiny_bundle) -> Path:
    """The default bundle where it is there, else one that computes as it does."""
    default = default_bundle_dir()
    return default if (default / "manifest.json").is_file() else tiny_bundle


#: The demo bag up to this time holds two utterances; each word costs more than all the rest.
LESS_S = 9.2


@pytest.fixture(scope="module")
def less_of_demo(tmp_path_factory) -> Path:
    return write_part_of_demo(tmp_path_factory.mktemp("bags") / "less", LESS_S)


def test_words_that_pocketsphinx_reads_and_emotions_are_the_same_live_and_offline(ros, tiny_bundle, less_of_demo):
    assert_words_and_emotions_are_the_same(less_of_demo, tiny_bundle, asr="pocketsphinx")


def test_the_demo_bag_gives_the_same_words_and_emotions_live_and_offline(ros, best_bundle, less_of_demo, whisper_base):
    words = {"asr": "whisper", "asr_model": str(whisper_base), "partial_period_s": 2.0}  # a partial text costs it much
    assert_words_and_emotions_are_the_same(less_of_demo, best_bundle, **words)


def assert_words_and_emotions_are_the_same(bag: Path, bundle: Path, **words) -> None:
    expected, events = offline(bag, bundle=bundle, **words)
    run = live(bag, bundle=bundle, **words, rate=3.0)
    assert len(expected) == 2
    assert any(estimate.transcript for estimate in expected.values())
    # Voice and body are synthetic, which a bundle may tell: then they were judged, and count nothing.
    seen = [evidence for estimate in expected.values() for evidence in estimate.evidence]
    assert all(evidence.available or evidence.in_domain >= 0 for evidence in seen)
    assert_same(run, expected)
    run.assert_one_last_emotion_each()
    assert len(run.utterances) == len(events)
    assert any(message.state == Emotion.PROVISIONAL for message in run.emotions)
    assert run.exit_codes == {"speech": 0, "mocap": 0, "emotion": 0}
    for node in run.diagnostics.values():
        assert (node["dropped"], node["rejected"], node["last problem"]) == ("0", "0", "")


def test_a_node_that_is_killed_does_not_stop_the_others(ros, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")  # of a killed process nobody clears the shared memory
    bag = write_part_of_demo(tmp_path / "part")
    expected, _ = offline(bag, bundle=tiny_bundle)
    assert len(expected) >= 3
    killed_at = 0.4  # while somebody speaks for the second time

    def kill(nodes: NodeProcesses, share: float) -> None:
        if share > killed_at and nodes.processes["mocap"].poll() is None:
            nodes.processes["mocap"].kill()
            nodes.processes["mocap"].wait()

    # Longer than the bag is ever ahead of the nodes that live, and short enough to be over within the bag at first.
    run = live(bag, bundle=tiny_bundle, rate=4.0, during=kill, **{"emotion:evidence_timeout_s": 2.0})
    run.assert_one_last_emotion_each()
    assert [message.state for message in run.last.values()] == [item.state for item in expected.values()]
    assert run.exit_codes == {"speech": 0, "mocap": -signal.SIGKILL, "emotion": 0}
    seen = [
        next(item.available for item in message.evidence if item.modality == "mocap") for message in run.last.values()
    ]
    assert seen[0]
    assert not seen[-1]
    assert all(item.available for item in list(run.last.values())[-1].evidence if item.modality == "speech")
