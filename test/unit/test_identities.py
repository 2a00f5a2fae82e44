"""Whose a voice or a body is, by links, aliases and matches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.stages.identities import Identities, Kind, Match, Someone

PERSON, FACE, BODY, VOICE = Kind


def match(one: str, other: str, confidence: float) -> Match:
    """Ids begin with the letter of their kind."""
    kinds = {"p": PERSON, "f": FACE, "b": BODY, "v": VOICE}
    return Match((kinds[one[0]], one), (kinds[other[0]], other), confidence)


@pytest.fixture
def identities() -> Identities:
    return Identities()


def test_of_nobody_nothing_is_known(identities: Identities) -> None:
    assert identities.of_voice("v1") == Someone(voice_id="v1")
    assert identities.of_voice("") == identities.of_body("") == Someone()
    assert identities.current_name("v1") == "v1"


def test_a_person_has_what_its_manager_says_until_that_says_otherwise(identities: Identities) -> None:
    identities.link("p1", VOICE, "v1")
    identities.link("p1", BODY, "b1")
    identities.link("p1", FACE, "f1")
    assert identities.of_voice("v1") == identities.of_body("b1") == Someone("p1", "f1", "b1", "v1")
    identities.link("p1", BODY, "b2")
    assert identities.of_voice("v1").body_id == "b2"
    assert identities.of_body("b1") == Someone(body_id="b1")
    identities.link("p2", VOICE, "v1")
    assert identities.of_voice("v1") == Someone("p2", voice_id="v1")
    identities.link("p2", VOICE, "")
    assert identities.of_voice("v1") == Someone(voice_id="v1")


def test_ids_of_two_kinds_may_be_equal(identities: Identities) -> None:
    identities.link("same", VOICE, "same")
    identities.link("other", BODY, "same")
    assert identities.of_voice("same") == Someone("same", voice_id="same")
    assert identities.of_body("same") == Someone("other", body_id="same")


def test_matches_count_where_they_are_sure_enough_together(identities: Identities) -> None:
    identities.match(match("v1", "f1", 0.8))
    identities.match(match("f1", "b1", 0.8))
    identities.match(match("b1", "p1", 0.7))  # 0.448 by the face
    assert identities.of_voice("v1") == Someone("", "f1", "b1", "v1")
    identities.match(match("p1", "b1", 0.9))
    assert identities.of_voice("v1") == Someone("p1", "f1", "b1", "v1")
    identities.match(match("f1", "v1", 0.0))
    assert identities.of_voice("v1") == Someone(voice_id="v1")


def test_of_two_matches_the_surer_one_counts_and_the_manager_more_than_any(identities: Identities) -> None:
    identities.match(match("v1", "p1", 0.6))
    identities.match(match("p2", "v1", 0.9))
    assert identities.of_voice("v1").person_id == "p2"
    identities.match(match("v1", "p2", 1.0))
    identities.link("p1", VOICE, "v1")
    assert identities.of_voice("v1").person_id == "p1"


def test_a_voice_does_not_lead_to_another_person_by_a_shared_match(identities: Identities) -> None:
    identities.link("p1", VOICE, "v1")
    identities.link("p2", VOICE, "v2")
    identities.match(match("v1", "b1", 0.6))
    identities.match(match("v2", "b1", 0.9))
    assert identities.of_body("b1").person_id == "p2"
    assert identities.of_voice("v1").person_id == "p1"
    assert identities.strangers_to(identities.of_voice("v1"), ["b1"]) == {"b1"}


def test_persons_who_are_one_have_everything_together(identities: Identities) -> None:
    identities.link("p1", VOICE, "v1")
    identities.link("p2", BODY, "b1")
    identities.match(match("p1", "f1", 0.9))
    identities.alias("p1", "p2")
    assert identities.of_voice("v1") == identities.of_body("b1") == Someone("p2", "f1", "b1", "v1")
    assert identities.current_name("p1") == identities.current_name("v1") == identities.current_name("b1") == "p2"
    identities.alias("p2", "p3")
    assert identities.of_voice("v1").person_id == "p3"
    identities.alias("p1", "")
    assert identities.of_voice("v1").person_id == "p1"


def test_aliases_in_a_circle_end(identities: Identities) -> None:
    for one, other in (("p1", "p2"), ("p2", "p3"), ("p3", "p1"), ("p4", "p4")):
        identities.alias(one, other)
    assert {identities.resolve_alias(person_id) for person_id in ("p1", "p2", "p3")} == {"p1"}
    assert identities.resolve_alias("p4") == "p4"


def test_who_vanishes_leaves_voice_and_body_to_others(identities: Identities) -> None:
    identities.link("p1", VOICE, "v1")
    identities.match(match("p1", "b1", 0.9))
    identities.vanish("p1")
    assert identities.of_voice("v1") == Someone(voice_id="v1")
    assert identities.of_body("b1") == Someone(body_id="b1")


def test_bodies_of_others_are_told_from_those_of_whom_nothing_is_known(identities: Identities) -> None:
    seen = ["b1", "b2", "b3", "b4"]
    identities.link("p1", BODY, "b1")
    identities.link("p2", BODY, "b2")
    identities.link("p2", VOICE, "v2")
    identities.match(match("v3", "b3", 0.9))
    assert identities.strangers_to(identities.of_voice("v1"), seen) == {"b2", "b3"}
    identities.link("p1", VOICE, "v1")
    assert identities.strangers_to(identities.of_voice("v1"), seen) == {"b2", "b3"}
    identities.link("p4", VOICE, "v4")
    assert identities.strangers_to(identities.of_voice("v4"), seen) == {"b1", "b2", "b3"}


def test_memory_is_bounded(identities: Identities) -> None:
    for number in range(2000):
        identities.link(f"p{number}", VOICE, f"v{number}")
        identities.alias(f"p{number}", f"q{number}")
        identities.match(match(f"v{number}", f"b{number}", 0.9))
    assert identities.of_voice("v1999").person_id == "q1999"
    assert identities.of_voice("v0") == Someone(voice_id="v0")
    assert len(identities._links) == len(identities._alias) == len(identities._matches) == 512


def test_what_is_forgotten_for_others_leaves_nothing_behind(identities: Identities) -> None:
    for number in range(2000):
        identities.link(f"p{number}", VOICE, f"v{number}")
        identities.alias(f"p{number}", f"q{number}")
        identities.match(match(f"v{number}", f"b{number}", 0.9))
    for index in (identities._owned, identities._aliases):
        assert len(index) == 512
    assert len(identities._matched) == 1024


def test_what_was_known_before_or_is_too_unsure_changes_nobody(identities: Identities) -> None:
    assert identities.link("p1", VOICE, "v1") == {"p1", "v1"}
    assert identities.match(match("v1", "f1", 0.9)) == {"p1", "v1", "f1"}
    assert identities.alias("p1", "p2") == {"p1", "p2", "v1", "f1"}
    for _ in range(2):
        assert identities.link("p1", VOICE, "v1") == identities.alias("p1", "p2") == frozenset()
        assert identities.match(match("f1", "v1", 0.9)) == identities.match(match("v1", "b1", 0.4)) == frozenset()
    assert identities.vanish("p1") == {"p1", "p2", "v1", "f1"}
    assert identities.match(match("v1", "f1", 0.4)) == {"v1", "f1"}


ID = st.sampled_from(["p1", "p2", "p3", "f1", "f2", "b1", "b2", "v1", "v2"])
ORDERS = st.lists(st.tuples(st.sampled_from("lamv"), ID, ID, st.sampled_from([0.0, 0.4, 0.6, 0.9, 1.0])), max_size=30)
KINDS = {"p": PERSON, "f": FACE, "b": BODY, "v": VOICE}


def obey(identities: Identities, order: tuple[str, str, str, float]) -> frozenset[str]:
    what, one, other, confidence = order
    if what == "l" and other[0] != "p":
        return identities.link("p" + one[1], KINDS[other[0]], other)
    if what == "a":
        return identities.alias("p" + one[1], "p" + other[1])
    if what == "v":
        return identities.vanish("p" + one[1])
    return identities.match(match(one, other, confidence)) if one != other else frozenset()


def who_is_who(identities: Identities) -> dict[str, object]:
    told: dict[str, object] = {
        name: identities.current_name(name) for name in ("p1", "p2", "p3", "b1", "b2", "v1", "v2")
    }
    told |= {f"of {name}": identities.of_voice(name) for name in ("v1", "v2")}
    return told | {f"of {name}": identities.of_body(name) for name in ("b1", "b2")}


@given(ORDERS)
def test_whatever_is_said_everybody_is_somebody_and_each_body_has_one_owner(orders: list) -> None:
    identities = Identities()
    for order in orders:
        obey(identities, order)
    for voice_id in ("v1", "v2"):
        someone = identities.of_voice(voice_id)
        assert someone.voice_id == voice_id
        assert someone.body_id not in identities.strangers_to(someone, ["b1", "b2"])
        assert identities.resolve_alias(someone.person_id) == someone.person_id


@given(ORDERS)
def test_who_is_somebody_else_by_what_is_said_is_among_those_who_are_named(orders: list) -> None:
    identities = Identities()
    for order in orders:
        before = who_is_who(identities)
        named = obey(identities, order)
        after = who_is_who(identities)
        assert {name for name in before if before[name] != after[name]} <= named | {f"of {name}" for name in named}


@given(ORDERS)
def test_it_does_not_matter_what_was_said_before_that_holds_no_more(orders: list) -> None:
    identities, anew = Identities(), Identities()
    for order in orders:
        obey(identities, order)
    for (kind, its_id), owner in identities._links.items():
        anew.link(owner, kind, its_id)
    for person_id, other_id in identities._alias.items():
        anew.alias(person_id, other_id)
    for (one, other), confidence in identities._matches.items():
        anew.match(Match(one, other, confidence))
    assert who_is_who(anew) == who_is_who(identities)
    # An index of nothing is no entry.
    assert all(map(len, [*identities._owned.values(), *identities._aliases.values(), *identities._matched.values()]))


def test_a_person_is_not_taken_for_the_owner_of_a_voice_of_the_same_name(identities: Identities) -> None:
    identities.link("1", Kind.VOICE, "2")
    identities.link("2", Kind.VOICE, "3")
    assert identities.current_name("2") == "2"
    assert identities.current_name("3") == "2"
