"""What the policy for SROS2 allows: by node, the names that may be used, by kind and right; * stands for any id."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

Rights = dict[tuple[str, str], set[str]]
PATH = Path(__file__).parents[1] / "config" / "sros2" / "policy.xml"


def policy() -> dict[str, Rights]:
    """Names are full ones."""
    found: dict[str, Rights] = {}
    for profile in ElementTree.parse(PATH).getroot().iter("profile"):
        node, rights = profile.attrib["node"], {}
        assert profile.attrib["ns"] == "/"
        for group in profile:
            for right, answer in group.attrib.items():
                assert answer == "ALLOW"
                rights[group.tag, right] = {_full(str(item.text), node) for item in group}
        found[node] = rights
    return found


def _full(name: str, node: str) -> str:
    return f"/{node}/{name[2:]}" if name.startswith("~/") else f"/{name.lstrip('/')}"
