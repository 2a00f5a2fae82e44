"""Sound in Ogg, of real encoders: whole, cut, chained, with holes, from the midst of it, and what is none."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
from ogg_streams import lag, ogg, page, pages, sealed, speech_like

from mser_ros.audio.ogg_pages import LONGEST_PAGE
from mser_ros.audio.ogg_stream import OggDecoder, Stretch
from mser_ros.errors import AudioError

pytest.importorskip("av", reason="PyAV is missing: call 'make setup-dev', or pip install av")

CODECS = ("OPUS", "VORBIS", "FLAC")
#: Decoded sound is so like what was encoded.
ALIKE = 0.96
BEGINS = 2
OPUS_RATE = 48_000


@cache
def stream(codec: str, seed: int = 0, *, seconds: float = 4, rate: int = OPUS_RATE) -> tuple[np.ndarray, bytes]:
    """A waveform in stereo, and it in pages of a tenth of a second or, of Vorbis, as near to that as its encoder goes.
    FFmpeg makes no two streams with the same serial number."""
    wave = speech_like(seconds, rate, 2, seed=seed)
    return wave, ogg(wave, rate, codec, page_s=0.1)


def heard(decoder: OggDecoder, parts: Iterable[bytes]) -> tuple[list[Stretch], list[str]]:
    out, refused = [], []
    for part in parts:
        try:
            out += decoder.decode(part)
        except AudioError as error:
            refused.append(str(error))
    return out, refused


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def placed(stretches: list[Stretch], frames: int) -> np.ndarray:
    """Each sample where the count says that it belongs; nothing where there is a hole."""
    out = np.zeros((frames, stretches[0].samples.shape[1]))
    for stretch in stretches:
        out[stretch.first_sample : stretch.first_sample + len(stretch.samples)] = stretch.samples
    return out


def holes(stretches: list[Stretch]) -> list[tuple[int, int]]:
    ends = [stretch.first_sample + len(stretch.samples) for stretch in stretches]
    starts = [stretch.first_sample for stretch in stretches[1:]]
    return [(end, start) for end, start in zip(ends, starts, strict=False) if end != start]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [61, 1500, 10**6])
def test_each_codec_is_heard_to_the_sample_however_it_is_cut(codec: str, size: int) -> None:
    wave, content = stream(codec)
    stretches, refused = heard(OggDecoder(), cut(content, size))
    assert (refused, holes(stretches)) == ([], [])
    assert {(each.sample_rate, each.samples.shape[1], each.samples.dtype.name) for each in stretches} == {
        (OPUS_RATE, 2, "int16")
    }
    samples = np.concatenate([each.samples for each in stretches])
    assert abs(len(samples) - len(wave)) <= 1024
    for channel in range(2):
        late, alike = lag(samples[:, channel], wave[:, channel])
        assert (late, alike > ALIKE) == (0, True)


@pytest.mark.parametrize("codec", ["OPUS", "VORBIS"])
@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_what_another_encoder_sends_is_heard(codec: str, rate: int) -> None:
    wave = speech_like(2, rate)
    stretches, refused = heard(OggDecoder(), cut(ogg(wave, rate, codec), 200))
    samples = np.concatenate([each.samples[:, 0] for each in stretches])
    step = stretches[0].sample_rate // rate
    late, alike = lag(samples[::step], wave[:, 0])
    assert (refused, len(samples), late) == ([], len(wave) * step, 0)
    assert alike > ALIKE


@pytest.mark.parametrize("codec", ["OPUS", "FLAC"])
def test_who_comes_late_hears_the_rest(codec: str) -> None:
    wave, content = stream(codec)
    parts = pages(content)
    late_by = len(parts) // 2
    stretches, refused = heard(OggDecoder(), cut(parts[late_by][-30:] + b"".join(parts[late_by + 1 :]), 300))
    assert (refused, holes(stretches), stretches[0].first_sample) == ([], [], 0)
    samples = np.concatenate([each.samples for each in stretches])
    # The last sample of both is the same.
    late, alike = lag(samples[:, 0], wave[:, 0])
    assert -late + len(samples) in range(len(wave), len(wave) + 500)
    assert alike > ALIKE
    assert len(samples) > 0.4 * len(wave)


def test_who_comes_late_hears_nothing_of_vorbis_until_it_begins_anew() -> None:
    wave, content = stream("VORBIS")
    decoder = OggDecoder()
    stretches, refused = heard(decoder, pages(content)[3:])
    assert stretches == []
    assert len(refused) == len(pages(content)) - 5
    assert set(refused) == {
        "the beginning of an Ogg stream was missed, without which only Opus and FLAC are heard: start its source after "
        "the node, or let it send Opus"
    }
    stretches, refused = heard(decoder, cut(stream("VORBIS", 1)[1], 500))
    assert refused == []
    assert sum(len(each.samples) for each in stretches) >= len(wave) - 1024


def test_opus_of_four_channels_from_the_midst_is_refused_and_not_noise() -> None:
    wave = np.concatenate([speech_like(2, OPUS_RATE, seed=number) for number in range(4)], axis=1)
    content = ogg(wave, OPUS_RATE, "OPUS", page_s=0.02)
    stretches, refused = heard(OggDecoder(), pages(content))
    assert (refused, stretches[0].samples.shape[1]) == ([], 4)
    late, alike = lag(np.concatenate([each.samples[:, 3] for each in stretches]), wave[:, 3])
    assert (late, alike > 0.9) == (0, True)
    stretches, refused = heard(OggDecoder(), pages(content)[30:])
    assert stretches == []
    assert "was missed" in refused[0]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_what_is_lost_is_a_hole_of_its_length(codec: str, how: str) -> None:
    wave, content = stream(codec)
    parts = cut(content, 200)
    middle = len(parts) // 2
    parts[middle : middle + 3] = [] if how == "lost" else [b"\xff" * 200] * 3
    stretches, refused = heard(OggDecoder(), parts)
    assert refused == []
    ((start, end),) = holes(stretches)
    assert 0 < end - start < OPUS_RATE
    found = placed(stretches, len(wave) + 2000)
    for piece in (slice(0, start), slice(end, len(wave))):
        late, alike = lag(found[piece, 0], wave[piece, 0])
        assert (late, alike > ALIKE) == (0, True)


def test_a_page_that_comes_twice_and_nothing_at_all_change_nothing() -> None:
    _, content = stream("VORBIS")
    once, _ = heard(OggDecoder(), [content])
    twice, refused = heard(OggDecoder(), [part for each in pages(content) for part in (each, b"", each)])
    assert (refused, holes(twice)) == ([], [])
    np.testing.assert_array_equal(np.concatenate([each.samples for each in twice]), once[0].samples)


@pytest.mark.parametrize("size", [700, 10**6])
def test_a_source_that_begins_anew_may_send_something_else(size: int) -> None:
    """Four streams that are chained, of which one ends in mid-air."""
    mono = speech_like(1, 16_000, seed=3)
    chain = [stream("OPUS")[1], b"".join(pages(stream("VORBIS")[1])[:9]), ogg(mono, 16_000, "FLAC", page_s=0.1)]
    stretches, refused = heard(OggDecoder(), cut(b"".join([*chain, chain[0]]), size))
    assert refused == []
    runs: list[tuple[int, int]] = []
    for each in stretches:
        if each.first_sample == 0:
            runs.append((each.sample_rate, each.samples.shape[1]))
        assert runs[-1] == (each.sample_rate, each.samples.shape[1])
    assert runs == [(48_000, 2), (48_000, 2), (16_000, 1), (48_000, 2)]
    assert holes([each for each in stretches if each.sample_rate == 16_000]) == []


def test_a_source_that_begins_anew_unheard_is_joined() -> None:
    decoder = OggDecoder()
    heard(decoder, pages(stream("VORBIS")[1])[:9])
    wave, content = stream("OPUS", 1)
    stretches, refused = heard(decoder, pages(content)[2:])
    assert refused == []
    assert sum(len(each.samples) for each in stretches) >= len(wave)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"Speex   1.2.0" + bytes(67), "Speex"),
        (b"\x80theora\x03\x02\x01" + bytes(32), "Theora"),
        (b"what is this", "an unknown codec"),
        (b"", "an unknown codec"),
    ],
)
def test_another_codec_is_one_sentence_for_each_of_its_pages(head: bytes, name: str) -> None:
    decoder = OggDecoder()
    other = [page([head], flags=BEGINS, serial=5)]
    other += [page([bytes(50)], serial=5, sequence=number, granule=number) for number in range(1, 4)]
    stretches, refused = heard(decoder, other)
    assert (stretches, refused) == ([], [f"an Ogg stream of {name}: send Opus, Vorbis or FLAC"] * 3)
    assert heard(decoder, [stream("OPUS")[1]])[0], "it is heard again when it sends something else"


def test_the_sound_of_a_film_is_heard() -> None:
    """Its picture begins first, and its pages lie between those of the sound."""
    _, content = stream("VORBIS")
    first, *rest = pages(content)
    picture = [page([b"\x80theora" + bytes(35)], flags=BEGINS, serial=5), page([b"fishead\0"], flags=BEGINS, serial=6)]
    parts = [*picture, first]
    for number, each in enumerate(rest):
        parts += [page([bytes(2000)], serial=5, sequence=number + 1, granule=number), each]
    stretches, refused = heard(OggDecoder(), parts)
    assert (refused, holes(stretches)) == ([], [])
    alone, _ = heard(OggDecoder(), [content])
    np.testing.assert_array_equal(np.concatenate([each.samples for each in stretches]), alone[0].samples)


def test_vorbis_whose_code_books_were_lost_says_so() -> None:
    head, _, *rest = pages(stream("VORBIS")[1])
    stretches, refused = heard(OggDecoder(), [head, *rest])
    assert stretches == []
    assert len(refused) == len(rest)
    assert "a stream of Vorbis of which a header was lost" in refused[0]


def test_headers_that_are_broken_are_one_sentence() -> None:
    for head, told in ((b"OpusHead\x01", "broken header"), (b"OpusHead\x01\0" + bytes(9), "broken header")):
        with pytest.raises(AudioError, match=told):
            OggDecoder().decode(page([head], flags=BEGINS) + page([b"\xfc"], sequence=1))
    content = stream("FLAC")[1]
    head, *rest = pages(content)
    damaged = [sealed(bytes(each[:40]) + bytes(len(each) - 40)) for each in rest[1:5]]
    stretches, refused = heard(OggDecoder(), [head, *damaged])
    assert stretches == []
    assert all("\n" not in sentence for sentence in refused)


def test_what_is_no_ogg_is_found_out_and_ogg_is_heard_behind_it() -> None:
    rng = np.random.default_rng(0)
    decoder = OggDecoder()
    stretches, refused = heard(decoder, [rng.bytes(1000) for _ in range(100)])
    assert (stretches, set(refused)) == (
        [],
        {"audio that is no Ogg: set audio.format (--audio-format) to what the source sends"},
    )
    assert len(refused) == 100 - LONGEST_PAGE // 1000
    assert heard(decoder, cut(stream("OPUS")[1], 500))[1] == []


def test_a_few_bytes_that_claim_hours_are_refused_and_what_follows_is_heard() -> None:
    head, tags, *rest = pages(ogg(speech_like(1, OPUS_RATE), OPUS_RATE, "OPUS", page_s=0.1))
    # 48 frames of 2.5 ms that are not sent, in two bytes; 255 of these packets fill a page.
    silence = b"\xe3\x30"
    bomb = b"".join(page([silence] * 255, serial=9, sequence=number + 2) for number in range(100))
    serial = int.from_bytes(head[14:18], "little")
    bomb = sealed(bomb.replace((9).to_bytes(4, "little"), serial.to_bytes(4, "little")))
    decoder = OggDecoder()
    decoder.decode(head + tags)
    with pytest.raises(AudioError, match=r"minutes of sound in Ogg: send it in pieces"):
        decoder.decode(bomb)
    assert heard(decoder, rest)[0]


def test_a_count_that_leaps_by_hours_begins_anew() -> None:
    head, tags, *rest = pages(stream("OPUS")[1])
    leaps = [sealed(each[:6] + (10**15 + number * 4800).to_bytes(8, "little") + each[14:]) for number, each in
             enumerate(rest[20:])]  # fmt: skip
    stretches, refused = heard(OggDecoder(), [head, tags, *rest[:20], *leaps])
    assert refused == []
    assert max(each.first_sample for each in stretches) < 5 * OPUS_RATE
    assert stretches[20].first_sample == 0


def test_decoders_leave_no_thread_behind() -> None:
    before = len(os.listdir("/proc/self/task"))
    for codec in CODECS:
        for _ in range(5):
            heard(OggDecoder(), [stream(codec)[1]])
    assert len(os.listdir("/proc/self/task")) == before
