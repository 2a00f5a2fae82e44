"""What the nodes open is what docs/topics.md and the policy for SROS2 say: asked of the nodes themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from policy import policy
from rclpy.action.graph import get_action_server_names_and_types_by_node
from rclpy.lifecycle import LifecycleNode
from ros_world import Domain, World

from mser_ros import settings

ROOT = Path(__file__).parents[2]
NODES = ("microphone", "speech", "mocap", "emotion")
#: Of ROS itself, at every node: their diagnostics, life cycle, parameters and log.
_ROS = {"/clock", "/diagnostics", "/parameter_events", "/rosout"}
#: Only where another package is installed, or a setting asks for it.
_OPTIONAL = {"/audio_info", "/text", "/tf_static", "/humans/bodies/tracked", "/pose/alive"}
#: Of the node that sees, which is not one of the four.
_SEEN = {"/image"}


@dataclass(frozen=True)
class Opened:
    """What a node has opened: full names with their types."""

    subscribed: dict[str, str]
    published: dict[str, str]
    services: dict[str, str]
    actions: dict[str, str]
    diagnostics: frozenset[str]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[dict[str, Opened]]:
    silence = tmp_path_factory.mktemp("sound") / "silence.wav"
    soundfile.write(silence, np.zeros(160_000, np.int16), 16000)
    given = {
        "microphone": {"file": str(silence), "loop": True},
        "speech": {"asr__backend": "none"},
        "emotion": {"bundle": str(tiny_bundle)},
    }
    with pytest.MonkeyPatch.context() as patch, Domain() as number:
        patch.setenv("ROS_DOMAIN_ID", str(number))
        world = World()
        nodes = {name: world.node(name, use_sim_time=True, **given.get(name, {})) for name in NODES}
        world.wait(lambda: all(node.value("state") == "active" for node in nodes.values()), "four active nodes")
        watched = ["/microphone/alive", "/speech/alive", "/mocap/alive"]
        world.wait(lambda: all(map(world.peer.count_subscribers, watched)), "who watches them")
        yield {name: _opened(world, name) for name in NODES}
        world.close()


def _opened(world: World, name: str) -> Opened:
    def plain(entries: list[tuple[str, list[str]]]) -> dict[str, str]:
        return {entry: types[0] for entry, types in entries if "/_action/" not in entry}

    peer = world.peer
    actions = get_action_server_names_and_types_by_node(peer, name, "/")
    values = set(world.diagnostics[f"/{name}"]) - {"message", "level"}  # which `World` adds
    return Opened(
        plain(peer.get_subscriber_names_and_types_by_node(name, "/")),
        plain(peer.get_publisher_names_and_types_by_node(name, "/")),
        plain(peer.get_service_names_and_types_by_node(name, "/")),
        plain(actions),
        frozenset(values),
    )


_LIFECYCLE = {
    "change_state", "get_state", "get_available_states", "get_available_transitions", "get_transition_graph",
    "describe_parameters", "get_parameter_types", "get_parameters", "list_parameters", "set_parameters",
    "set_parameters_atomically", "get_type_description",
}  # fmt: skip


def table(marker: str) -> list[list[str]]:
    """The cells of a table of docs/topics.md, without its head."""
    text = (ROOT / "docs" / "topics.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {marker} -->\n(.*?)<!-- /{marker} -->", text, re.DOTALL)
    assert found, marker
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].strip().splitlines()[2:]]


def names(cell: str) -> list[str]:
    return re.findall("`(.*?)`", cell)


def test_the_table_of_types_is_what_the_topics_carry(opened: dict[str, Opened]) -> None:
    stated = {names(topic)[0]: names(kind)[0] for topic, kind, _ in table("types")}
    carried = {
        ("~/alive" if name.endswith("/alive") else name if name in _ROS else name[1:]): kind.replace("/msg/", "/")
        for node in opened.values()
        for topics in (node.subscribed, node.published)
        for name, kind in topics.items()
        if name not in _ROS - {"/diagnostics"} and not name.endswith("/transition_event")
    }
    assert {name: kind for name, kind in stated.items() if f"/{name.lstrip('/')}" not in _OPTIONAL | _SEEN} == carried


def test_the_table_of_services_and_actions_is_what_the_nodes_serve(opened: dict[str, Opened]) -> None:
    stated = {(names(node)[0], names(name)[0]): names(kind)[0] for node, name, kind, _ in table("services")}
    served = {
        (owner, name): kind.replace("/srv/", "/")
        for owner, node in opened.items()
        for name, kind in node.services.items()
        if name.rpartition("/")[2] not in _LIFECYCLE
    }
    served |= {
        (owner, name[1:]): kind.replace("/action/", "/")
        for owner, node in opened.items()
        for name, kind in node.actions.items()
    }
    assert stated == served


def test_the_table_of_diagnostics_is_what_the_nodes_tell(opened: dict[str, Opened]) -> None:
    for name, node in opened.items():
        assert_told(node, name)


# -- SROS2


@pytest.mark.parametrize("node", NODES)
def test_the_policy_allows_what_a_node_does_and_no_more(opened: dict[str, Opened], node: str) -> None:
    assert_allowed(opened[node], node)


def test_policy_and_diagnostics_are_right_of_the_node_that_sees(world: World, pose_model: Path) -> None:
    world.node("pose", model_path=str(pose_model), use_sim_time=True)
    world.wait(lambda: "/pose" in world.diagnostics, "the node")
    assert_allowed(_opened(world, "pose"), "pose")
    assert_told(_opened(world, "pose"), "pose")


def test_the_policy_is_about_all_nodes_and_no_other() -> None:
    assert set(policy()) == {*settings.NODES, "page"}  # which test_watcher.py compares


def assert_told(does: Opened, node: str) -> None:
    """Values of its diagnostics are those of the table."""
    stated = {names(cell)[0] if names(cell) else "every": set(names(values)) for cell, values in table("diagnostics")}
    told = {re.sub("^(received|rate|age|subscribers) .*", r"\1 TOPIC", value) for value in does.diagnostics}
    assert told - stated["every"] == stated.get(node, set()), node
    assert stated["every"] - {f"{what} TOPIC" for what in ("received", "rate", "age", "subscribers")} <= told


def assert_allowed(does: Opened, node: str) -> None:
    """Topics of ROS4HRI are another test's, as their nodes need a package of messages."""
    rights = policy()[node]
    assert set(rights) <= {
        ("topics", "publish"),
        ("topics", "subscribe"),
        ("services", "reply"),
        ("actions", "execute"),
    }
    for right, opened in (("publish", does.published), ("subscribe", does.subscribed)):
        allowed = {name for name in rights["topics", right] if not name.startswith("/humans/")}
        assert allowed - _OPTIONAL == set(opened) - _OPTIONAL
    assert rights["services", "reply"] == set(does.services)
    assert rights.get(("actions", "execute"), set()) == set(does.actions)


def test_a_plain_lifecycle_node_has_the_services_that_are_no_ones_own(ros: None) -> None:
    world = World()
    bare = LifecycleNode("bare", context=world.context)
    world.wait(lambda: "bare" in world.peer.get_node_names(), "the node")
    offered = {name.rpartition("/")[2] for name, _ in bare.get_service_names_and_types_by_node("bare", "/")}
    assert offered <= _LIFECYCLE
    bare.destroy_node()
    world.close()
