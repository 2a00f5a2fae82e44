"""Readers of corpora, on small made-up folders."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fakes_corpora import write_egait, write_goemotions, write_manifest, write_pseudo, write_sound

from mser_ros.audio.sound_files import read_sound_file
from mser_ros.audio.stream import AudioStream
from mser_ros.audio.waveform import to_int16
from mser_ros.corpora import corpus_folder, open_corpus
from mser_ros.corpora.files import read_sound
from mser_ros.errors import AudioError, CorpusError
from mser_ros.evaluation.resampling import replicates, units
from mser_ros.types import AudioChunk

# -- manifests


def test_anybody_s_folder_with_a_manifest_is_a_corpus(tmp_path: Path) -> None:
    folder = write_manifest(
        tmp_path,
        'a.wav\tangry\tann\t\tI said "no\ts1\tF\t0.5\tde',
        "b.wav\tsad\tbob\t9.5\t\ts2\tm\t\t",
        columns="file label speaker duration_s text group sex valence language",
    )
    write_sound(folder / "a.wav")
    write_sound(folder / "b.wav", rate=44100, channels=2)
    corpus = open_corpus("kitchen", folder)
    first, second = corpus.items
    assert (corpus.name, corpus.modalities, corpus.cluster_unit) == ("kitchen", ("speech", "text"), "speaker")
    assert (first.label, first.person, first.group, first.sex, first.valence) == ("angry", "ann", "s1", "f", 0.5)
    assert (first.duration_s, second.duration_s) == (0.5, 9.5)
    utterance = first.load()
    assert utterance.transcript is not None
    assert (utterance.transcript.text, utterance.transcript.language) == ('I said "no', "de")
    other = second.load()
    assert other.transcript is None
    assert other.audio is not None
    assert other.audio.sample_rate == 16000
    assert other.audio.samples.shape == (8000,)


def test_a_skeleton_alone_is_enough(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, "w.npz\thappy\tann", columns="skeleton label speaker")
    np.savez(folder / "w.npz", joints=np.zeros((30, 16, 3)), layout="egait16", rate_hz=30.0)
    corpus = open_corpus("walks", folder)
    assert corpus.modalities == ("mocap",)
    skeleton = corpus.items[0].load().skeleton
    assert skeleton is not None
    assert skeleton.positions.shape == (30, 16, 3)


def test_a_line_may_be_about_a_stretch_of_a_recording(tmp_path: Path) -> None:
    rows = (
        "talk.wav\ttalk.npz\tangry\tann\t\t1\tno",
        "talk.wav\ttalk.npz\tsad\tbob\t1.25\t2.5\t",
        "talk.wav\ttalk.npz\thappy\tann\t2.5\t\tyes",
        "talk.wav\t\tneutral\tcem\t\t\t",
    )
    folder = write_manifest(tmp_path, *rows, columns="file skeleton label speaker begin_s end_s text")
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (44100 * 3, 2)).astype(np.float32)
    soundfile.write(folder / "talk.wav", noise, 44100)
    joints = np.tile(np.arange(90.0)[:, None, None], (1, 16, 3))
    np.savez(folder / "talk.npz", joints=joints, layout="egait16", rate_hz=30.0)
    items = open_corpus("mine", folder).items
    assert [item.item_id for item in items] == [
        "talk.wav 0-1",
        "talk.wav 1.25-2.5",
        "talk.wav 2.5-end",
        "talk.wav",
    ]
    assert [item.duration_s for item in items] == pytest.approx([1.0, 1.25, 0.5, 3.0])
    whole = read_sound(folder / "talk.wav").samples
    utterances = [item.load() for item in items]
    for utterance, (begin, end) in zip(
        utterances, ((0, 16000), (20000, 40000), (40000, 48000), (0, 48000)), strict=True
    ):
        assert utterance.audio is not None
        np.testing.assert_array_equal(utterance.audio.samples, whole[begin:end])
        assert utterance.end_ns == (end - begin) * 1_000_000_000 // 16000
    assert [utterance.transcript and utterance.transcript.text for utterance in utterances] == ["no", None, "yes", None]
    middle, last = utterances[1].skeleton, utterances[2].skeleton
    assert middle is not None
    assert last is not None
    assert middle.positions[:, 0, 0].tolist() == list(range(38, 75))
    assert middle.stamps_ns[0] == pytest.approx(38 / 30 * 1e9 - 1.25e9, abs=2)
    assert last.positions[:, 0, 0].tolist() == list(range(75, 90))


def test_one_stretch_is_one_however_its_numbers_are_written(tmp_path: Path) -> None:
    rows = ("a.wav\tsad\tann\t0\t0.2", "a.wav\tangry\tann\t0.0\t0.20")
    folder = write_manifest(tmp_path, *rows, columns="file label speaker begin_s end_s")
    write_sound(folder / "a.wav")
    with pytest.raises(CorpusError, match=r"manifest\.tsv line 3: a\.wav stands in line 2 with other content"):
        open_corpus("mine", folder)


def test_a_stretch_in_which_nobody_is_seen_is_told(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, "w.npz\thappy\tann\t2", columns="skeleton label speaker begin_s")
    np.savez(folder / "w.npz", joints=np.zeros((30, 16, 3)), layout="egait16", rate_hz=30.0)
    (item,) = open_corpus("walks", folder).items
    with pytest.raises(CorpusError, match=r"w\.npz 2-end: nobody is seen in that stretch"):
        item.load()


def test_a_recording_that_was_made_anew_is_read_anew(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, "a.wav\tsad\tann\t0.1\t0.3", columns="file label speaker begin_s end_s")
    found = []
    for seconds in (0.5, 0.2):
        write_sound(folder / "a.wav", seconds=seconds)
        os.utime(folder / "a.wav", ns=(0, round(seconds * 1e9)))
        (item,) = open_corpus("mine", folder).items
        audio = item.load().audio
        assert audio is not None
        found.append((round(item.duration_s, 3), len(audio.samples)))
    assert found == [(0.2, 3200), (0.1, 1600)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav\t\t0.3\t0.3", r"manifest\.tsv line 2: end_s 0\.3 does not lie behind begin_s 0\.3"),
        ("a.wav\t\t0.4\t0.2", r"manifest\.tsv line 2: end_s 0\.2 does not lie behind begin_s 0\.4"),
        ("a.wav\t\t-1\t0.2", r"manifest\.tsv line 2: begin_s '-1' is not within 0 to 86400"),
        ("a.wav\t\t00:01\t", r"manifest\.tsv line 2: begin_s '00:01' is no number"),
        ("\tyes\t0\t1", r"manifest\.tsv line 2: begin_s and end_s without a file of which they are"),
        ("a.wav\t\t0.5\t", r"line 2: a\.wav ends at 0\.50 s, so there is no 0\.5 s to its end"),
        ("a.wav\t\t0.2\t1.1", r"line 2: a\.wav ends at 0\.50 s, so there is no 0\.2 s to 1\.1 s"),
    ],
)
def test_a_stretch_that_cannot_be_is_told_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    cells = row.split("\t")
    folder = write_manifest(
        tmp_path, "\t".join([*cells, "sad", "ann"]), columns="file text begin_s end_s label speaker"
    )
    write_sound(folder / "a.wav")
    with pytest.raises(CorpusError, match=message):
        open_corpus("mine", folder)


def test_a_broken_manifest_is_told_line_by_line(tmp_path: Path) -> None:
    folder = write_manifest(
        tmp_path, "a.wav\tangry\tann\t1.0\t", "b.wav\tfurious\tbob\tx\t", "\tsad\t\t\t", "c.wav\tsad\tann\t1.0\t"
    )
    write_sound(folder / "b.wav")
    (folder / "c.wav").touch()
    with pytest.raises(CorpusError) as caught:
        open_corpus("mine", folder)
    assert str(caught.value).split("\n  ")[1:] == [
        "a.wav",
        "manifest.tsv line 3: label 'furious' is none of angry, happy, sad, neutral",
        "manifest.tsv line 3: duration_s 'x' is no number",
        "manifest.tsv line 4: no speaker",
        "manifest.tsv line 4: no file, text or skeleton",
        "c.wav",
    ]


def test_sounds_of_unknown_length_that_cannot_be_read_are_told_together(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, *(f"{name}.wav\tsad\tann\t\t" for name in "abc"))
    (folder / "a.wav").write_text("no sound")
    write_sound(folder / "b.wav")
    write_sound(folder / "c.wav", seconds=0.0)
    with pytest.raises(CorpusError, match="these 2 are missing or unusable") as caught:
        open_corpus("mine", folder)
    unreadable, empty = str(caught.value).split("\n  ")[1:]
    assert "a.wav' is text and no sound" in unreadable
    assert "c.wav' holds no audio" in empty


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("\tsad\tann\tinf\thi", "line 2: duration_s 'inf' is not within 0 to 86400"),
        ("\tsad\tann\t-1\thi", "line 2: duration_s '-1' is not within 0 to 86400"),
        ("\tsad\tann\t\thi\t7", "line 2: valence '7' is not within -1 to 1"),
        ("\tsad\tann\t\thi\tnan", "line 2: valence 'nan' is not within -1 to 1"),
        ("\tsad\tann\t\thi\t0\tmore", "line 2: more cells than columns"),
        ("\tsad\tann\t\t" + "x" * 200000, "it is no table"),
    ],
)
def test_a_cell_that_cannot_be_is_told_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    text = f"file\tlabel\tspeaker\tduration_s\ttext\tvalence\n{row}\n"
    (tmp_path / "manifest.tsv").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CorpusError, match=message):
        open_corpus("mine", tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_manifest_is_read_as_an_editor_saved_it(tmp_path: Path, encoding: str) -> None:
    """Capitals, blanks, carriage returns, a line that stands there twice and a column that nobody reads."""
    text = "Label \tSPEAKER\tText\tsex\tTranscript\r\nSad \tann\tgr\u00fc\u00dfe\tFemale\tx\r\n"
    (tmp_path / "manifest.tsv").write_bytes((text + text.split("\r\n")[1] + "\r\n").encode(encoding))
    corpus = open_corpus("mine", tmp_path)
    (item,) = corpus.items
    transcript = item.load().transcript
    assert (item.label, item.person, item.sex) == ("sad", "ann", "f")
    assert transcript is not None
    assert transcript.text == "gr\u00fc\u00dfe"
    assert corpus.note == "columns that are not read: transcript; 1 lines stand there more than once and count once"


def test_a_file_counts_once_however_it_is_named(tmp_path: Path) -> None:
    """As a manifest of Windows names it, and where lines end as on a Mac of old."""
    (tmp_path / "deep").mkdir()
    soundfile.write(tmp_path / "deep" / "a.wav", np.zeros(1600), 16_000)
    names = ["deep/a.wav", "./deep/a.wav", "deep\\a.wav"]
    text = "\r".join(["file\tlabel\tspeaker", *(f"{name}\tsad\tann" for name in names), ""])
    (tmp_path / "manifest.tsv").write_bytes(text.encode())
    corpus = open_corpus("mine", tmp_path)
    assert [item.item_id for item in corpus.items] == ["deep/a.wav"]
    assert corpus.note == "2 lines stand there more than once and count once"


@pytest.mark.parametrize("other", ["angry\tann", "sad\tbob"])
def test_two_lines_that_tell_different_things_of_a_file_are_refused(tmp_path: Path, other: str) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(1600), 16_000)
    text = f"file\tlabel\tspeaker\na.wav\tsad\tann\n./a.wav\t{other}\n"
    (tmp_path / "manifest.tsv").write_text(text)
    with pytest.raises(CorpusError, match=r"manifest\.tsv line 3: a\.wav stands in line 2 with other content"):
        open_corpus("mine", tmp_path)


def test_a_column_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, "hi\tsad\tangry\tann", columns="text label Label speaker")
    with pytest.raises(CorpusError, match="two columns are named 'label'"):
        open_corpus("mine", folder)


def test_classes_go_by_their_nouns_and_codes_as_well(tmp_path: Path) -> None:
    named = ["anger", "Happiness", "joy", "sadness", "NEU", "ang", "hap", "neutral"]
    folder = write_manifest(tmp_path, *(f"hi {name}\t{name}\tann" for name in named), columns="text label speaker")
    labels = [item.label for item in open_corpus("mine", folder).items]
    assert labels == ["angry", "happy", "happy", "sad", "neutral", "angry", "happy", "neutral"]


@pytest.mark.parametrize(("written", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_umlauts_of_a_mac_name_the_same_file(tmp_path: Path, written, there) -> None:
    folder = write_manifest(tmp_path, f"{unicodedata.normalize(written, 'fröhlich.wav')}\thappy\tann\t\t")
    soundfile.write(tmp_path / unicodedata.normalize(there, "fröhlich.wav"), np.zeros(1600, np.int16), 16_000)
    (item,) = open_corpus("mine", folder).items
    assert item.duration_s == pytest.approx(0.1)


def test_one_person_has_one_name_and_no_name_reads_as_two(tmp_path: Path) -> None:
    lines = ["label\tspeaker\ttext"]
    lines += [f"happy\t{unicodedata.normalize(form, 'Jürgen')}\thello {form}" for form in ("NFC", "NFD")]
    lines += ["sad\tAnna + Ben\thello both"]
    (tmp_path / "manifest.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    items = open_corpus("mine", tmp_path).items
    assert {item.person for item in items} == {"Jürgen", "Anna+Ben"}
    assert len(units(np.array([item.cluster for item in items]))) == 2
    assert len(list(replicates(np.array([item.cluster for item in items]), resamples=10, seed=0))) > 0


def test_a_folder_without_manifest_tells_what_to_write_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("file,label,speaker\n")
    with pytest.raises(CorpusError, match=r"write manifest.tsv, or .* between tabs") as caught:
        open_corpus("mine", tmp_path)
    assert "manifest.tsv (there is labels.csv)" in str(caught.value)


def test_a_manifest_whose_first_line_names_no_columns_tells_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text("a.wav\tsad\tann\n")
    with pytest.raises(CorpusError, match=r"what its first line names is 'a\.wav', 'sad', 'ann'"):
        open_corpus("mine", tmp_path)


def test_cells_in_quotes_and_spaces_are_what_is_in_them(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a b.wav", np.zeros(1600), 16_000)
    (tmp_path / "manifest.tsv").write_text(
        '"file"\t"label"\t"speaker"\t"text"\n" a b.wav "\t"sad"\t"ann"\t"a ""no"""\n'
    )
    (item,) = open_corpus("mine", tmp_path).items
    assert (item.item_id, item.label, item.person) == ("a b.wav", "sad", "ann")
    assert item.load().transcript.text == 'a "no"'


def test_sets_of_a_corpus_are_understood_or_refused(tmp_path: Path) -> None:
    """One that is not known would be left out of training, validation and test in silence."""
    rows = [f"hi {name}\tsad\tann\t{name}" for name in ("Train", "validation", "TEST", "")]
    items = open_corpus("mine", write_manifest(tmp_path, *rows, columns="text label speaker split")).items
    assert [item.split for item in items] == ["train", "dev", "test", ""]
    with pytest.raises(CorpusError, match="line 2: split 'held out' is none of train, dev, test"):
        open_corpus("mine", write_manifest(tmp_path, "hi\tsad\tann\theld out", columns="text label speaker split"))


@pytest.mark.parametrize("mark", [",", ";"])
@pytest.mark.parametrize("name", ["manifest.tsv", "manifest.csv"])
def test_a_manifest_of_a_spreadsheet_is_read_with_its_quotes(tmp_path: Path, name: str, mark: str) -> None:
    """A cell with the mark in it, one over two lines, and one in which a quote is written twice."""
    rows = [
        ("text", "label", "speaker"),
        (f'"well{mark} no"', "sad", "ann"),
        ('"one\ntwo"', "angry", '"bob"'),
        ('"a ""b"" c"', "happy", "ann"),
    ]
    (tmp_path / name).write_text("\n".join(mark.join(row) for row in rows) + "\n")
    items = open_corpus("mine", tmp_path).items
    assert [item.load().transcript.text for item in items] == [f"well{mark} no", "one\ntwo", 'a "b" c']
    assert [(item.label, item.person) for item in items] == [("sad", "ann"), ("angry", "bob"), ("happy", "ann")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label,speaker\nyes\nno, never,sad,ann\n", r"manifest\.csv line 3: more cells than columns"),
        (
            'text,label,speaker\n"yes,sad,ann\nno,sad,ann\n',
            r"csv: after line 1 it is no table \(unexpected end of data\)",
        ),
        ("text;label;speaker;valence\nno;sad;ann;0,5\n", r"manifest\.csv line 2: valence '0,5' is no number"),
    ],
)
def test_a_manifest_of_a_spreadsheet_that_is_not_well_formed_is_refused_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(CorpusError, match=message):
        open_corpus("mine", tmp_path)


def test_of_two_manifests_the_one_with_tabs_counts(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("text,label,speaker\nno,sad,ann\n")
    (item,) = open_corpus("mine", write_manifest(tmp_path, "yes\thappy\tbob", columns="text label speaker")).items
    assert (item.label, item.person) == ("happy", "bob")


@pytest.mark.parametrize(
    ("columns", "message"),
    [("file label", "column 'speaker'"), ("label speaker", "a column 'file', 'text' or 'skeleton'")],
)
def test_a_manifest_without_a_needed_column_says_which(tmp_path: Path, columns: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        open_corpus("mine", write_manifest(tmp_path, "x\tsad", columns=columns))


def test_a_folder_without_manifest_or_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"manifest\.tsv"):
        open_corpus("mine", tmp_path)
    with pytest.raises(CorpusError, match="there is no folder"):
        open_corpus("mine", tmp_path / "nowhere")
    with pytest.raises(CorpusError, match="it has none"):
        open_corpus("ravdess", write_manifest(tmp_path), colour="red")
    with pytest.raises(CorpusError, match="did you mean 'goemotions'"):
        open_corpus("goemotion", tmp_path / "goemotion")
    assert open_corpus("egaits", write_manifest(tmp_path / "walks", "\tsad\tann\t\thi")).name == "egaits"


def test_long_lists_of_missing_files_are_cut_but_counted(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, *(f"{number}.wav\tsad\tann\t1\t" for number in range(60)))
    with pytest.raises(CorpusError, match="these 60 are missing") as caught:
        open_corpus("mine", folder)
    assert str(caught.value).endswith("and 10 more")


def test_an_unreadable_sound_is_told_when_it_is_loaded(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, "a.wav\tsad\tann\t1.0\t")
    (folder / "a.wav").write_text("no sound")
    with pytest.raises(AudioError, match=r"a\.wav"):
        open_corpus("mine", folder).items[0].load()


def test_ravdess_actors_have_a_sex_and_its_text_is_no_cue(tmp_path: Path) -> None:
    folder = write_manifest(tmp_path, "a.wav\tsad\t07\t1.0\tDogs", "b.wav\tsad\t08\t1.0\tDogs")
    for name in ("a.wav", "b.wav"):
        write_sound(folder / name)
    corpus = open_corpus("ravdess", folder)
    assert [item.sex for item in corpus.items] == ["m", "f"]
    assert corpus.modalities == ("speech",)


# -- text


def test_goemotions_keeps_lines_whose_labels_fall_into_one_class(tmp_path: Path) -> None:
    corpus = open_corpus("goemotions", write_goemotions(tmp_path))
    dev = [item for item in corpus.items if item.split == "dev"]
    assert len(corpus.items) == 21
    assert [(item.label, item.person, item.cluster) for item in dev] == [("happy", "d0", "d0")]
    transcript = dev[0].load().transcript
    assert transcript is not None
    assert transcript.text == '"quoted\u2028 line" with… breaks'


def test_goemotions_needs_one_set_and_names_what_it_lacks(tmp_path: Path) -> None:
    folder = write_goemotions(tmp_path)
    (folder / "train.tsv").rename(folder / "test.tsv")
    assert {item.split for item in open_corpus("goemotions", folder).items} == {"test", "dev"}
    (folder / "dev.tsv").write_text("text\t77\tx\nonly text\n")
    with pytest.raises(CorpusError, match=r"dev\.tsv line 1.*\n.*dev\.tsv line 2"):
        open_corpus("goemotions", folder)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(CorpusError, match=r"labels\.txt\n  train\.tsv\n  dev\.tsv"):
        open_corpus("goemotions", folder)


def test_meld_is_for_evaluation_and_reads_windows_apostrophes(tmp_path: Path) -> None:
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
    rows = (
        '1,"Oh, he\x92s here.",Ann,joy,positive,3,0\n2,What?,Bob,surprise,neutral,3,1\n3,No!,Bob,anger,negative,3,2\n'
    )
    (tmp_path / "dev_sent_emo.csv").write_bytes((header + rows).encode("latin-1"))
    (tmp_path / "train_sent_emo.csv").write_bytes((header + "1,It’s “café”.,Ann,neutral,neutral,3,0\n").encode())
    corpus = open_corpus("meld", tmp_path)
    assert corpus.evaluation_only
    texts = {item.cluster: item.load().transcript for item in corpus.items}
    assert {item.label for item in corpus.items} == {"happy", "angry", "neutral"}
    assert texts["train-3"] is not None
    assert texts["train-3"].text == "It’s “café”."
    first = corpus.items[1].load().transcript
    assert first is not None
    assert first.text == "Oh, he’s here."
    assert corpus.items[1].person == "Ann"
    (tmp_path / "dev_sent_emo.csv").write_text(header + "1,No!,Ann,anger\n")
    with pytest.raises(CorpusError, match=r"dev_sent_emo\.csv line 2: Dialogue_ID, Utterance_ID"):
        open_corpus("meld", tmp_path)
    (tmp_path / "dev_sent_emo.csv").write_text(header + '1,"No!' + "x" * 200000)
    with pytest.raises(CorpusError, match=r"dev_sent_emo\.csv after line 1: field larger"):
        open_corpus("meld", tmp_path)


# -- movement


def test_egait_walks_are_stamped_at_30_hz(tmp_path: Path) -> None:
    corpus = open_corpus("egait", write_egait(tmp_path))
    assert [item.label for item in corpus.items[:4]] == ["happy", "angry", "sad", "neutral"]
    assert corpus.people == ("000", "001", "002", "003")
    skeleton = corpus.items[5].load().skeleton
    assert skeleton is not None
    assert (skeleton.layout, skeleton.positions.shape) == ("egait16", (75, 16, 3))
    assert skeleton.stamps_ns[30] == 1_000_000_000
    with pytest.raises(CorpusError, match=r"egait_perceived\.npz"):
        open_corpus("egait", tmp_path, labels="perceived")
    with pytest.raises(CorpusError, match="intended, perceived"):
        open_corpus("egait", tmp_path, labels="felt")


def test_a_broken_egait_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "egait_intended.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(CorpusError, match=r"egait_intended\.npz"):
        open_corpus("egait", tmp_path)
    np.savez(tmp_path / "egait_intended.npz", joints=np.zeros((4, 75, 15, 3)), intended=np.zeros(4, int))
    with pytest.raises(CorpusError, match="'walker'"):
        open_corpus("egait", tmp_path)
    other = write_egait(tmp_path / "other")
    with np.load(other / "egait_intended.npz") as stored:
        arrays = dict(stored)
    np.savez(other / "egait_intended.npz", **{**arrays, "intended": arrays["intended"] + 1})
    with pytest.raises(CorpusError, match="every label a number of one of the classes"):
        open_corpus("egait", other)


# -- pseudo-multimodal


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"folds": "x"}, "folds must be a whole number, not 'x'"),
        ({"repeats": "x"}, "repeats must be a whole number, not 'x'"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"labels": ["intended"]}, "labels must be a text"),
        ({"folds": 0}, "folds must be 1 or more, not 0"),
        ({"repeats": -1}, "repeats must be 1 or more, not -1"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
    ],
)
def test_an_option_of_a_wrong_kind_is_one_sentence(tmp_path: Path, option: dict[str, Any], message: str) -> None:
    with pytest.raises(CorpusError, match=f"corpus 'pseudo': {message}"):
        open_corpus("pseudo", tmp_path, **option)


def test_pseudo_items_join_a_voice_a_line_and_a_walk_of_one_class(tmp_path: Path) -> None:
    corpus = open_corpus("pseudo", write_pseudo(tmp_path), folds=1, repeats=2)
    assert corpus.synthetic
    assert corpus.note.startswith("SYNTHETIC")
    assert len(corpus.items) == 32
    assert len({item.item_id for item in corpus.items}) == 32
    for item in corpus.items:
        assert {source.label for source in item.sources} == {item.label}
        assert [corpus for corpus, _ in item.people] == ["ravdess", "goemotions", "egait"]
        assert item.cluster.split(" + ") == [":".join(person) for person in item.people]
        utterance = item.load()
        assert utterance.skeleton is not None
        assert utterance.audio is not None
        assert utterance.transcript is not None
        assert utterance.transcript.text.startswith(("line", '"quoted'))
        assert utterance.end_ns - utterance.start_ns == round(utterance.audio.duration_s * 1e9)
        assert utterance.skeleton.stamps_ns[-1] == utterance.end_ns
        assert utterance.skeleton.stamps_ns[0] >= 0


def test_pseudo_people_are_dealt_before_they_are_combined(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is missing: pip install 'mser_ros[train]'")
    from mser_ros.corpora.folds import by_group, by_people

    items = open_corpus("pseudo", write_pseudo(tmp_path), folds=4, seed=3).items
    block_of: dict[tuple[str, str], str] = {}
    for item in items:
        assert item.person == item.group
        for person in item.people:
            assert block_of.setdefault(person, item.group) == item.group
    for folds in (by_group(items), by_people(items, k=4, seed=0)):
        for fold in folds:
            train, test = ({p for i in side for p in items[i].people} for side in (fold.train, fold.test))
            assert not train & test


def test_pseudo_is_the_same_for_a_seed_and_names_a_missing_part(tmp_path: Path) -> None:
    root = write_pseudo(tmp_path)
    ids = [[item.item_id for item in open_corpus("pseudo", root, folds=1, seed=seed).items] for seed in (1, 1, 2)]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]
    (root / "egait" / "egait_intended.npz").unlink()
    with pytest.raises(CorpusError, match=r"egait_intended\.npz"):
        open_corpus("pseudo", root, folds=1)
    (root / "ravdess").rename(root / "other")
    with pytest.raises(CorpusError, match="ravdess or nemo"):
        open_corpus("pseudo", root, folds=1)


def test_a_corpus_without_a_path_lies_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSER_DATA_DIR", raising=False)
    with pytest.raises(CorpusError, match="MSER_DATA_DIR"):
        corpus_folder("nemo")
    monkeypatch.setenv("MSER_DATA_DIR", str(tmp_path))
    assert corpus_folder("nemo") == tmp_path / "nemo"
    assert corpus_folder("pseudo") == tmp_path
    assert corpus_folder("nemo", "elsewhere") == Path("elsewhere")


def test_a_subset_of_people_is_chosen_by_name(tmp_path: Path) -> None:
    corpus = open_corpus("egait", write_egait(tmp_path))
    assert {item.person for item in corpus.subset(["001", "003"]).items} == {"001", "003"}
    with pytest.raises(CorpusError, match="no person 007: it has 000"):
        corpus.subset(["007"])


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_sound_of_a_corpus_is_conditioned_as_a_robot_hears_it(tmp_path: Path, rate: int) -> None:
    """Channels of opposite phase, one of them clipped, and an offset: what is learned from is what will be heard."""
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 300 * np.arange(2 * rate) / rate) * 0.4 + rng.normal(scale=0.01, size=2 * rate)
    samples = np.stack([tone, -tone, np.clip(tone * 4, -1, 1)], axis=1) + 0.05
    soundfile.write(tmp_path / "a.wav", np.clip(samples, -1, 1), rate)
    learned, chunk = read_sound(tmp_path / "a.wav"), read_sound_file(tmp_path / "a.wav")
    stream = AudioStream()
    heard = [
        item
        for first in range(0, chunk.frames, 1000)
        for item in stream.push(
            AudioChunk(chunk.samples[first : first + 1000], rate, 10**18 + first * 10**9 // rate, first)
        )
    ] + stream.flush()
    chunks = [item for item in heard if isinstance(item, AudioChunk)]
    assert len(chunks) == len(heard)
    np.testing.assert_array_equal(to_int16(learned.samples), np.concatenate([item.samples[:, 0] for item in chunks]))
    told = np.concatenate([item.clipped for item in chunks if item.clipped is not None])
    assert learned.clipped == pytest.approx(float(told.mean()), abs=1e-6)
