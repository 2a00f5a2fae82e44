"""Skeletons that never came are told by the stamps of those that did."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mser_ros.mocap.cadence import Cadence
from mser_ros.types import NS_PER_S

PERIOD_NS = NS_PER_S // 30


def missed(numbers: list[int], *, body_id: str = "ann", cadence: Cadence | None = None, jitter_ns: int = 0) -> int:
    """What is missed of frames with these numbers, after a second of all of them."""
    cadence = cadence or Cadence()
    for number in [*range(-30, 0), *numbers]:
        cadence.note(body_id, NS_PER_S + number * PERIOD_NS + (number % 3 - 1) * jitter_ns)
    return cadence.missed


def test_of_a_steady_source_nothing_is_missed_though_its_stamps_tremble() -> None:
    assert missed([*range(300)], jitter_ns=8_000_000) == 0


@given(st.sets(st.integers(0, 99), max_size=5))
def test_what_is_left_out_is_counted(lost: set[int]) -> None:
    assert missed([number for number in range(101) if number not in lost], jitter_ns=2_000_000) == len(lost)


def test_what_only_comes_late_or_twice_is_not_missed() -> None:
    assert missed([0, 2, 1, 3, 3, 5, 4, 6, 7]) == 0


def test_who_is_out_of_sight_is_not_missed_nor_is_anybody_when_a_bag_begins_again() -> None:
    cadence = Cadence()
    assert missed([*range(10), *range(70, 100)], cadence=cadence) == 0
    assert missed([*range(10)], cadence=cadence) == 0


def test_each_body_has_a_rate_of_its_own_and_many_fill_no_memory() -> None:
    cadence = Cadence()
    for number in range(60):
        cadence.note("fast", number * PERIOD_NS)
        if number % 3 == 0:
            cadence.note("slow", number * PERIOD_NS)
    assert cadence.missed == 0
    for number in range(1000):
        cadence.note(f"body {number}", number)
    assert len(cadence._bodies) == 64
