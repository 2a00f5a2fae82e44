"""Voices out of packages of Debian, on packages that are made here and on those that `mser models get` brought."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mser_ros.corpora import corpus_folder, open_corpus
from mser_ros.corpora.neutral_voices import RECORDINGS, VOICES_MODEL
from mser_ros.errors import CorpusError
from mser_ros.model_store.catalogue import CATALOGUE
from mser_ros.types import SAMPLE_RATE

KLETTRES = "usr/share/klettres/{}.ogg"


def sound(seconds: float, *, hz: float = 200, rate: int = SAMPLE_RATE, silence_s: float = 0.0) -> bytes:
    """A tone, with silence before and after it."""
    tone = 0.3 * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)
    file = io.BytesIO()
    soundfile.write(file, np.pad(tone, round(rate * silence_s)), rate, format="OGG")
    return file.getvalue()


def write_package(path: Path, files: dict[str, bytes], *, data: str = "data.tar.xz") -> None:
    """A package as deb(5) has it: an archive of ar with a member of odd length before the files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", data: packed.getvalue()}
    out = b"!<arch>\n"
    for name, content in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out)


def test_recordings_become_utterances_of_neutral_people(tmp_path: Path) -> None:
    """One of its own, one of three short ones, three parts of a long one; clicks, silence and damage are none."""
    files = {KLETTRES.format(f"de/alpha/{number}"): sound(0.5, silence_s=0.4) for number in range(3)}
    files |= {KLETTRES.format("fr/alone"): sound(2.0, rate=44100), KLETTRES.format("it/long"): sound(9.0)}
    files |= {KLETTRES.format("fr/click"): sound(0.03), KLETTRES.format("fr/damaged"): b"OggS no more"}
    files |= {KLETTRES.format("fr/silent"): sound(2.0, hz=0), "usr/share/doc/klettres-data/x.ogg": sound(2.0)}
    write_package(tmp_path / "klettres-data.deb", files)
    corpus = open_corpus("neutral_voices", tmp_path)
    assert {item.label for item in corpus.items} == {"neutral"}
    lengths = {f"klettres-data-{name}": [] for name in ("de", "fr", "it")}
    for item in corpus.items:
        audio = item.load().audio
        assert audio is not None
        assert audio.sample_rate == SAMPLE_RATE
        assert len(audio.samples) == pytest.approx(item.duration_s * SAMPLE_RATE)
        lengths[item.person].append(item.duration_s)
    assert lengths["klettres-data-de"] == [pytest.approx(3 * 0.7 + 2 * 0.15, abs=0.15)]  # 0.1 s of the silence stays
    assert lengths["klettres-data-fr"] == [pytest.approx(2.0, abs=0.01)]
    assert lengths["klettres-data-it"] == [pytest.approx(3.0, abs=0.01)] * 3
    assert len(open_corpus("neutral_voices", tmp_path, most=2).subset(["klettres-data-it"]).items) == 2


def test_a_package_of_one_reader_is_one_voice(tmp_path: Path) -> None:
    name = "asterisk-core-sounds-it-wav"
    there = "usr/share/asterisk/sounds/it_IT_f_Paola/"
    files = {f"{there}{what}.wav": sound(2.0) for what in ("goodbye", "digits/1", "beep", "silence/1")}
    write_package(tmp_path / f"{name}.deb", files)
    assert [item.item_id for item in open_corpus("neutral_voices", tmp_path).items] == [f"{name}/0"]


def test_what_is_missing_or_damaged_is_one_sentence_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"mser models get neutral-voices.*\n  klettres-data\.deb"):
        open_corpus("neutral_voices", tmp_path)
    package = tmp_path / "klettres-data.deb"
    for content in (b"no package", b"!<arch>\n" + b" " * 60):
        package.write_bytes(content)
        with pytest.raises(CorpusError, match=r"klettres-data\.deb"):
            open_corpus("neutral_voices", tmp_path)
    write_package(package, {}, data="data.tar.zst")
    with pytest.raises(CorpusError, match=r"no package with a data\.tar\.xz"):
        open_corpus("neutral_voices", tmp_path)
    write_package(package, {"usr/share/klettres/de/alpha.txt": b"a"})
    with pytest.raises(CorpusError, match="no item"):
        open_corpus("neutral_voices", tmp_path)
    write_package(package, {KLETTRES.format("de/a"): sound(2.0)})
    package.write_bytes(package.read_bytes()[:-200])
    with pytest.raises(CorpusError, match=r"klettres-data\.deb"):
        open_corpus("neutral_voices", tmp_path)


def test_the_reader_and_the_store_name_the_same_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert {file.name for file in CATALOGUE[VOICES_MODEL].files} == {f"{name}.deb" for name in RECORDINGS}
    monkeypatch.setenv("MSER_MODELS", str(tmp_path))
    with pytest.raises(CorpusError, match=f"mser models get {VOICES_MODEL}"):
        corpus_folder("neutral_voices")
    assert corpus_folder("neutral_voices", "/elsewhere") == Path("/elsewhere")


def test_the_real_packages_hold_many_voices(neutral_voices: Path, tmp_path: Path) -> None:
    """Two of them: to read all takes a while."""
    for name in ("klettres-data.deb", "gcin-voice.deb"):
        (tmp_path / name).symlink_to(neutral_voices / name)
    corpus = open_corpus("neutral_voices", tmp_path, most=1)
    assert len(corpus.people) == len(corpus.items) == 22
    assert all(1.5 <= item.duration_s <= 5.0 for item in corpus.items)
