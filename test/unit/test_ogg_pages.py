"""Pages and packets of Ogg out of bytes that are cut anywhere, damaged, or no Ogg at all."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from ogg_streams import page, sealed

from mser_ros.audio.ogg_pages import LONGEST_PAGE, PacketJoiner, Page, PageReader

PACKETS = [bytes([number]) * (100 * number) for number in range(1, 8)]
PAGES = [page([packet], sequence=number, granule=number) for number, packet in enumerate(PACKETS)]
CONTINUES, BEGINS, ENDS = 1, 2, 4


def read(parts: list[bytes]) -> list[Page]:
    reader = PageReader()
    return [found for number, part in enumerate(parts) for found in reader.push(part, number)]


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


@pytest.mark.parametrize("size", [1, 27, 97, 10_000])
def test_pages_are_found_however_they_are_cut(size: int) -> None:
    found = read(cut(b"".join(PAGES), size))
    assert [each.pieces for each in found] == [(packet,) for packet in PACKETS]
    assert [(each.sequence, each.granule) for each in found] == [(number, number) for number in range(7)]


@pytest.mark.parametrize("size", [1, 97, 10_000])
def test_what_lies_between_pages_is_left_out(size: int) -> None:
    rng = random.Random(1)
    strange = [rng.randbytes(50), b"OggS", b"OggS\0", b"OggOggS\0" + bytes(23), b""]
    content = b"".join(strange[number % 5] + each for number, each in enumerate(PAGES))
    assert [each.sequence for each in read(cut(content, size))] == list(range(7))


def test_a_page_with_a_wrong_bit_is_none() -> None:
    for at in (5, 8, 20, 24, 26, 28, 200):
        damaged = bytearray(PAGES[3])
        damaged[at] ^= 4
        assert [each.sequence for each in read([*PAGES[:3], bytes(damaged), *PAGES[4:]])] == [0, 1, 2, 4, 5, 6]


def test_a_page_that_never_ends_does_not_keep_back_those_behind_it() -> None:
    endless = page([bytes(60_000)])[:500]
    reader = PageReader()
    assert reader.push(endless, 0) == []
    assert [each.sequence for each in reader.push(PAGES[0], 0)] == [0], "at once, and not after 60,000 bytes"


def test_names_of_pages_that_claim_all_that_follows_cost_little() -> None:
    """A message is looked at a few times, however many pages may begin in it."""
    name = b"OggS\0" + bytes(21) + b"\xff" + b"\xff" * 255
    reader, looks = PageReader(), []
    is_right = reader._is_right
    reader._is_right = lambda data, start: looks.append(len(data)) or is_right(data, start)
    content = name * 1000
    assert reader.push(content, 0) == []
    assert sum(looks) < 10 * len(content)
    assert reader.strange > LONGEST_PAGE
    assert [each.sequence for each in reader.push(PAGES[0], 0)] == [0]


def test_what_is_kept_is_little_whatever_comes() -> None:
    claim = page([bytes(65_000)])[:290]
    contents = claim * 100, random.Random(2).randbytes(50_000), b"OggS\0" * 10_000, bytes(50_000)
    tracemalloc.start()
    try:
        for content in contents:
            reader = PageReader()
            for _ in range(5):
                reader.push(content, 0)
            assert tracemalloc.get_traced_memory()[0] < 2 * LONGEST_PAGE
            assert reader.strange > LONGEST_PAGE
    finally:
        tracemalloc.stop()


def test_a_page_has_the_stamp_of_the_first_message_that_begins_in_it() -> None:
    content = b"".join(PAGES[:3])
    first, second = len(PAGES[0]), len(PAGES[0]) + len(PAGES[1])
    whole = read(PAGES[:3])
    assert [each.stamp_ns for each in whole] == [0, 1, 2], "each in a message of its own"
    assert [each.stamp_ns for each in read([b"", *cut(content, len(content))])] == [1, 1, 1], "all in one"
    pieces = [content[: first + 9], content[first + 9 : first + 99], content[first + 99 : second], content[second:]]
    assert [each.stamp_ns for each in read(pieces)] == [0, 1, 3], "begun in the midst of a message: not so early"


def test_packets_go_on_over_pages() -> None:
    long = bytes(range(255)) * 5
    parts = [
        page([b"a", long[:510]], sequence=0, is_open=True),
        page([long[510:765]], sequence=1, flags=CONTINUES, granule=-1, is_open=True),
        page([long[765:], b"b"], sequence=2, flags=CONTINUES),
        page([b"c"], sequence=3),
    ]
    joiner = PacketJoiner()
    assert [joiner.join(each, follows=True) for each in read(parts)] == [[b"a"], [], [long, b"b"], [b"c"]]
    joiner = PacketJoiner()
    assert [joiner.join(each, follows=True) for each in read(parts[1:])] == [[], [b"b"], [b"c"]]
    joiner = PacketJoiner()
    first, _, third, last = read(parts)
    assert [joiner.join(first, follows=True), joiner.join(third, follows=False), joiner.join(last, follows=True)] == [
        [b"a"],
        [b"b"],
        [b"c"],
    ]


def test_a_packet_without_an_end_is_not_kept() -> None:
    joiner, piece = PacketJoiner(), bytes(255 * 255)
    (endless,) = read([page([piece], flags=CONTINUES, granule=-1, is_open=True)])
    (begun,) = read([page([piece], granule=-1, is_open=True)])
    tracemalloc.start()
    try:
        joiner.join(begun, follows=True)
        for _ in range(100):
            assert joiner.join(endless, follows=True) == []
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
    (last,) = read([page([b"its end", b"next"], flags=CONTINUES)])
    assert joiner.join(last, follows=True) == [b"next"]


def test_the_tests_own_checksum_is_that_of_real_streams() -> None:
    assert sealed(PAGES[2]) == PAGES[2]
    assert read([PAGES[2]])[0].begins is False
    assert read([page([b"x"], flags=BEGINS | ENDS)])[0].begins
    assert read([page([b"x"], flags=BEGINS | ENDS)])[0].ends
