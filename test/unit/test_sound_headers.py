"""Sound files whose headers are not as they should be, and those to which others were appended: what is there is read,
and what is not is told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mser_ros.audio.sound_files import Sound, open_sound_file, read_sound_file
from mser_ros.errors import AudioError

RATE = 16_000
FORM = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(1).integers(-9000, 9000, 24_000).astype(np.int16)


def chunk(name: bytes, content: bytes, *, pad: bytes = b"\0") -> bytes:
    return name + struct.pack("<I", len(content)) + content + (pad if len(content) % 2 else b"")


def wav(*chunks: bytes) -> bytes:
    content = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def written(path: Path, samples: np.ndarray, form: str) -> bytes:
    soundfile.write(path, samples, RATE, format=form)
    return path.read_bytes()


def read_all(path: Path) -> tuple[np.ndarray, Sound]:
    sound = open_sound_file(path)
    return np.concatenate(list(sound.blocks(1000)))[:, 0], sound


@pytest.mark.parametrize("length", [27, 603])
@pytest.mark.parametrize("pad", [b"\0", b"", b"x"])
def test_chunks_of_odd_length_are_passed_over(tmp_path: Path, samples: np.ndarray, length: int, pad: bytes) -> None:
    """Some writers forget the byte that makes their length even, or fill it."""
    odd = chunk(b"bext", b"y" * length, pad=pad)
    content = wav(chunk(b"fmt ", FORM), odd, odd, chunk(b"data", samples.tobytes()))
    (tmp_path / "a.wav").write_bytes(content)
    sound = open_sound_file(tmp_path / "a.wav")
    np.testing.assert_array_equal(read_sound_file(tmp_path / "a.wav").samples[:, 0], samples)
    assert bool(sound.notes) == (pad == b"")


@pytest.mark.parametrize("size", [0, -1])
def test_a_caf_that_its_recorder_did_not_finish_is_read_to_its_end(tmp_path: Path, samples, size: int) -> None:
    """-1 stands for an unknown size."""
    content = written(tmp_path / "a.caf", samples, "CAF")
    at = content.index(b"data") + 4
    (tmp_path / "a.caf").write_bytes(content[:at] + struct.pack(">q", size) + content[at + 8 :])
    np.testing.assert_array_equal(read_sound_file(tmp_path / "a.caf").samples[:, 0], samples)
    assert "did not finish" in open_sound_file(tmp_path / "a.caf").notes[0]


@pytest.mark.parametrize("form", ["AIFF", "CAF", "NIST", "OGG"])
def test_what_a_file_lacks_at_its_end_is_told(tmp_path: Path, samples: np.ndarray, form: str) -> None:
    path = tmp_path / f"a.{form.lower()}"
    samples = np.tile(samples, 8)
    content = written(path, samples, form)
    assert not open_sound_file(path).notes
    path.write_bytes(content[: len(content) * 2 // 3])
    found, sound = read_all(path)
    assert len(samples) / 4 < len(found) < len(samples)
    (told,) = sound.notes
    assert "is cut off" in told or "was cut off" in told


@pytest.mark.parametrize("form", ["WAV", "MP3", "OGG"])
def test_recordings_that_were_appended_to_each_other_are_all_read(tmp_path: Path, samples, form: str) -> None:
    path = tmp_path / f"a.{form.lower()}"
    content = written(path, samples, form)
    alone = read_all(path)[0]
    path.write_bytes(content * 3)
    found, sound = read_all(path)
    np.testing.assert_array_equal(found, np.tile(alone, 3))
    assert (sound.frames, sound.notes) == (3 * len(alone), [])


@pytest.mark.parametrize("form", ["FLAC", "AIFF", "AU", "CAF", "RF64"])
def test_each_kind_that_can_be_appended_is_read_to_its_end(tmp_path: Path, samples: np.ndarray, form: str) -> None:
    name = tmp_path / f"a.{form.lower()}"
    name.write_bytes(written(name, samples, form) + written(name, samples[::-1], form) + written(name, samples, form))
    heard, sound = read_all(name)
    np.testing.assert_allclose(heard, np.concatenate([samples, samples[::-1], samples]) / 32768, atol=1e-4)
    assert sound.notes == []


def test_mp3s_with_several_tags_that_were_appended_are_all_read(tmp_path: Path, samples: np.ndarray) -> None:
    content = written(tmp_path / "a.mp3", samples, "MP3")
    alone = read_all(tmp_path / "a.mp3")[0]
    tags = b"".join(b"ID3\4\0\0\0\0" + bytes([size >> 7, size & 127]) + bytes(size) for size in (5000, 30))
    (tmp_path / "b.mp3").write_bytes((tags + content) * 2)
    np.testing.assert_array_equal(read_all(tmp_path / "b.mp3")[0], np.tile(alone, 2))


def test_a_tag_behind_a_flac_is_no_damage(tmp_path: Path, samples: np.ndarray) -> None:
    name = tmp_path / "a.flac"
    samples = samples[:-300]
    name.write_bytes(written(name, samples, "FLAC") + b"TAG" + bytes(125))
    np.testing.assert_allclose(read_all(name)[0], samples / 32768, atol=1e-4)


def test_what_was_appended_in_another_rate_is_told(tmp_path: Path, samples: np.ndarray) -> None:
    content = written(tmp_path / "a.wav", samples, "WAV")
    soundfile.write(tmp_path / "b.wav", samples, 8000)
    (tmp_path / "a.wav").write_bytes(content + (tmp_path / "b.wav").read_bytes())
    found, sound = read_all(tmp_path / "a.wav")
    assert len(found) == len(samples)
    assert "holds 2 recordings, of which the first 1 are read" in sound.notes[0]


@pytest.mark.parametrize("form", ["WAV", "OGG", "FLAC"])
def test_what_was_appended_in_other_channels_goes_on_in_those_that_it_began_with(
    tmp_path: Path, samples: np.ndarray, form: str
) -> None:
    path = tmp_path / f"a.{form.lower()}"
    both = [written(path, given, form) for given in (samples, np.stack([samples, samples], axis=1))]
    for parts in (both, both[::-1]):
        path.write_bytes(b"".join(parts))
        sound = open_sound_file(path)
        heard = np.concatenate(list(sound.blocks(1000)))
        assert heard.shape == (2 * len(samples), 1 if parts is both else 2)
        assert sound.notes == []
        np.testing.assert_allclose(heard[: len(samples), 0], heard[len(samples) :, 0], atol=0.05)


def test_floats_beyond_full_scale_are_told_with_what_helps(tmp_path: Path, samples: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.wav", samples / 9000 * 3, RATE, subtype="FLOAT")
    _, sound = read_all(tmp_path / "a.wav")
    assert sound.notes == [
        "a.wav holds floats up to 3, and what lies beyond 1 is clipped: normalise it (sox --norm=-1 IN OUT)"
    ]


WRONG: dict[str, tuple[Callable[[np.ndarray], bytes], str]] = {
    "no samples": (
        lambda samples: wav(chunk(b"fmt ", FORM)),
        "has the header of a WAV and no samples: record it again",
    ),
    "no format": (lambda samples: wav(chunk(b"data", samples.tobytes())), "does not tell the format of its samples"),
    "no rate": (
        lambda samples: wav(
            chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 0, 0, 2, 16)), chunk(b"data", samples.tobytes())
        ),
        "says 0 Hz, 1 channels, 16 bits in its header",
    ),
    "a rate that no microphone has": (
        lambda samples: wav(
            chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 4000, 8000, 2, 16)), chunk(b"data", samples.tobytes())
        ),
        r"a\.wav' holds audio with sample_rate 4000",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wav_that_cannot_be_read_is_told_by_what_is_wrong_with_it(tmp_path: Path, samples, name: str) -> None:
    make, sentence = WRONG[name]
    (tmp_path / "a.wav").write_bytes(make(samples))
    with pytest.raises(AudioError, match=sentence):
        open_sound_file(tmp_path / "a.wav")


def test_a_large_file_without_chunks_is_not_searched_byte_by_byte(tmp_path: Path) -> None:
    """Zeros where a chunk should be are none."""
    (tmp_path / "a.wav").write_bytes(wav(chunk(b"fmt ", FORM), chunk(b"data", b"")) + bytes(1 << 22))
    found, _ = read_all(tmp_path / "a.wav")
    assert len(found) == 1 << 21
