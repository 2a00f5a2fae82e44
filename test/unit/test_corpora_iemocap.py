"""The IEMOCAP reader on a made-up tree in IEMOCAP's layout."""

from __future__ import annotations

import pickle
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fakes_iemocap import HANDS, TURN_S, WORDS, write_iemocap

from mser_ros.corpora import Corpus, Item, open_corpus
from mser_ros.corpora.folds import by_group
from mser_ros.corpora.iemocap_files import read_mocap, read_turns
from mser_ros.errors import CorpusError


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_iemocap(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def corpus(release: Path) -> Corpus:
    return open_corpus("iemocap", release)


def one(corpus: Corpus, item_id: str) -> Item:
    return next(item for item in corpus.items if item.item_id == item_id)


def test_four_classes_are_read_with_their_people_sessions_and_dialogues(corpus: Corpus) -> None:
    assert Counter(item.label for item in corpus.items) == {"neutral": 20, "angry": 20, "happy": 20, "sad": 20}
    assert corpus.people == tuple(f"Ses0{session}{letter}" for session in range(1, 6) for letter in "FM")
    assert {item.group for item in corpus.items} == {f"Session{session}" for session in range(1, 6)}
    assert len({item.cluster for item in corpus.items}) == 10
    assert corpus.modalities == ("speech", "text", "mocap")
    item = one(corpus, "Ses02F_impro01_M000")
    assert (item.person, item.sex, item.group, item.cluster) == ("Ses02M", "m", "Session2", "Ses02F_impro01")
    assert item.duration_s == pytest.approx(TURN_S)


def test_speaker_of_an_id_with_letters_is_known(corpus: Corpus) -> None:
    assert one(corpus, "Ses01M_script01_1_FXX0").person == "Ses01F"


def test_excited_counts_as_happy_or_not(release: Path) -> None:
    happy = {
        option: {
            item.item_id[-4:] for item in open_corpus("iemocap", release, happy=option).items if item.label == "happy"
        }
        for option in ("merged", "exc", "hap")
    }
    assert happy == {"merged": {"F001", "M001"}, "exc": {"M001"}, "hap": {"F001"}}


def test_valence_activation_dominance_lie_on_minus_one_to_one_and_may_be_missing(corpus: Corpus) -> None:
    first, second = one(corpus, "Ses01F_impro01_F000"), one(corpus, "Ses01F_impro01_M000")
    assert (first.valence, first.arousal, first.dominance) == (-1.0, -0.25, None)
    assert (second.valence, second.arousal, second.dominance) == (-0.5, -0.25, 0.0)


def test_an_utterance_has_its_sound_words_and_times(corpus: Corpus) -> None:
    utterance = one(corpus, "Ses01F_impro01_F000").load()
    assert utterance.audio is not None
    assert utterance.audio.sample_rate == 16000
    assert utterance.audio.duration_s == pytest.approx(TURN_S)
    assert utterance.transcript is not None
    assert utterance.transcript.text == WORDS["neu"], "a colon belongs to the text"
    assert (utterance.start_ns, utterance.end_ns) == (500_000_000, 1_300_000_000)


def test_only_the_marked_actor_is_seen_except_in_paper_a_s_protocol(corpus: Corpus, release: Path) -> None:
    unmasked = open_corpus("iemocap", release, listener_mocap=True)
    for name in ("Ses01F_impro01_M000", "Ses01M_script01_1_F000"):
        assert one(corpus, name).load().skeleton is None
        assert one(unmasked, name).load().skeleton is not None
    for name in ("Ses01F_impro01_F000", "Ses01M_script01_1_M000"):
        assert one(corpus, name).load().skeleton is not None


def test_mocap_is_paper_a_s_200_bins_of_189_values(corpus: Corpus, release: Path) -> None:
    item = one(corpus, "Ses03F_impro01_F001")
    skeleton = item.load().skeleton
    assert skeleton is not None
    assert skeleton.layout == "iemocap200"
    assert skeleton.positions.shape == (200, 63, 3)
    flat = skeleton.positions.reshape(200, 189)
    start_s, columns = item.load().start_ns / 1e9, []
    for folder, width in (("MOCAP_rotated", 165), ("MOCAP_hand", 18), ("MOCAP_head", 6)):
        table = np.genfromtxt(release / "Session3" / "dialog" / folder / "Ses03F_impro01.txt", skip_header=2)
        inside = table[(table[:, 1] > start_s) & (table[:, 1] < start_s + TURN_S), 2:]
        assert inside.shape[1] == width
        columns.append(inside)
    frames = np.hstack(columns)
    # 95 frames in 200 bins: one each in the first 95, none in the others
    assert len(frames) == 95
    np.testing.assert_allclose(flat[:95], np.nan_to_num(frames), rtol=1e-6)
    assert not flat[95:].any()
    assert np.all(skeleton.confidence[95:] == 0)
    assert np.all(np.diff(skeleton.stamps_ns) > 0)


def test_bins_are_means_and_a_missing_marker_is_zero_and_unseen(tmp_path: Path) -> None:
    from mser_ros.corpora.iemocap_files import binned_mocap

    rows = [f"{n} {n / 120:.5f} " + " ".join(["NaN"] * 3 + [str(n)] * 15) for n in range(1, 1001)]
    path = tmp_path / "hand.txt"
    path.write_text("\n".join(["Frame# Time", "X", *rows, "", ""]))
    positions, seen = binned_mocap((None, path, None), 0.0, 9.0)
    assert not seen[:, :56].any()
    assert seen[:, 56:61].all()
    assert not seen[:, 61:].any()
    assert not positions[:, 55].any()
    np.testing.assert_allclose(positions[:, 56, 0], np.arange(1000).reshape(200, 5).mean(axis=1) + 1)


def test_missing_mocap_is_no_mocap_and_other_names_are_found(corpus: Corpus) -> None:
    skeleton = one(corpus, "Ses04F_impro01_F000").load().skeleton
    assert skeleton is not None
    assert not skeleton.confidence[:, 61:].any(), "the head is missing there"
    assert skeleton.confidence[:, : 55 + len(HANDS)].any()
    assert one(corpus, "Ses05M_script01_1b_M000").load().skeleton is not None


def test_ragged_mocap_frames_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "head.txt"
    path.write_text("Frame# Time\nX\n1 0.0 1 2 3 4 5 6\n2 0.1 1 2 3\n3 0.2 1 2 x 4 5 6\n4 0.3 NaN 2 3 4 5 6\n\n")
    times_s, values = read_mocap(path, 6)
    assert times_s.tolist() == [0.0, 0.3]
    assert values.shape == (2, 6)
    (tmp_path / "empty.txt").write_text("Frame# Time\nX\n\n")
    with pytest.raises(CorpusError, match=r"empty\.txt"):
        read_mocap(tmp_path / "empty.txt", 6)


def test_a_release_without_mocap_is_speech_and_text(tmp_path: Path) -> None:
    corpus = open_corpus("iemocap", write_iemocap(tmp_path, sessions=(1,), mocap=False), sessions=1)
    assert corpus.modalities == ("speech", "text")
    assert all(item.load().skeleton is None for item in corpus.items)


def test_a_broken_release_is_told_file_by_file(release: Path, tmp_path: Path) -> None:
    broken = tmp_path / "IEMOCAP_full_release"
    shutil.copytree(release, broken, ignore=shutil.ignore_patterns("MOCAP_*"))
    shutil.rmtree(broken / "Session2")
    shutil.rmtree(broken / "Session3" / "sentences" / "wav")
    (broken / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav").unlink()
    (broken / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav").write_bytes(b"")
    (broken / "Session4/dialog/transcriptions/Ses04F_impro01.txt").unlink()
    (broken / "Session5/dialog/EmoEvaluation/Ses05F_impro01.txt").write_text("% nothing\n")
    with pytest.raises(CorpusError) as caught:
        open_corpus("iemocap", tmp_path)
    assert set(str(caught.value).split("\n  ")[1:]) == {
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav",
        "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav",
        "Session2/",
        "Session3/sentences/wav/",
        "Session4/dialog/transcriptions/Ses04F_impro01.txt",
        "Session5/dialog/EmoEvaluation/Ses05F_impro01.txt: an annotated turn",
    }


def test_leaving_a_session_out_leaves_its_speakers_out(corpus: Corpus) -> None:
    folds = by_group(corpus.items)
    assert [len(fold.test) for fold in folds] == [16] * 5
    for fold in folds:
        assert {corpus.items[i].group for i in fold.test} == {fold.name.removeprefix("iemocap-")}


def test_items_can_be_sent_to_another_process(corpus: Corpus) -> None:
    item = pickle.loads(pickle.dumps(corpus.items[0]))
    assert item.load().transcript.text == WORDS["neu"]


def test_the_face_alone_leaves_hands_and_head_unseen(release: Path, corpus: Corpus) -> None:
    face = open_corpus("iemocap", release, markers="face")
    assert "motion capture is of the face alone" in face.note
    one_face, whole = (one(found, "Ses01F_impro01_F000").load().skeleton for found in (face, corpus))
    assert one_face is not None
    assert whole is not None
    np.testing.assert_array_equal(one_face.positions[:, :55], whole.positions[:, :55])
    np.testing.assert_array_equal(one_face.confidence[:, :55], whole.confidence[:, :55])
    assert whole.confidence[:, 55:].any()
    assert not one_face.positions[:, 55:].any()
    assert not one_face.confidence[:, 55:].any()


def test_a_wrong_option_names_the_known_ones(release: Path) -> None:
    with pytest.raises(CorpusError, match="happy, listener_mocap, markers, sessions"):
        open_corpus("iemocap", release, hapy="exc")
    with pytest.raises(CorpusError, match="merged, exc, hap"):
        open_corpus("iemocap", release, happy="all")
    with pytest.raises(CorpusError, match="markers must be one of all, face, not 'hands'"):
        open_corpus("iemocap", release, markers="hands")
    for sessions in (6, "one", [1, 9], []):
        with pytest.raises(CorpusError, match="sessions must be some of 1 to 5"):
            open_corpus("iemocap", release, sessions=sessions)


def test_a_time_that_is_no_number_is_no_turn(tmp_path: Path) -> None:
    path = tmp_path / "Ses01F_impro01.txt"
    path.write_text("[0.5.1 - 1.0]\tSes01F_impro01_F000\tneu\t[3, 3, 3]\n[1. - 2.5]\tSes01F_impro01_M000\tang\n")
    turns, odd = read_turns(path)
    assert [(turn.name, turn.start_s, turn.end_s) for turn in turns] == [("Ses01F_impro01_M000", 1.0, 2.5)]
    assert len(odd) == 1
    assert "line 1: '[0.5.1 - 1.0]" in odd[0]


def test_what_is_left_out_of_iemocap_is_counted_in_its_note(tmp_path: Path) -> None:
    """Decimal commas, attributes in percent, another label for the same turn, words that are not there."""
    release = write_iemocap(tmp_path, sessions=(1,), mocap=False)
    dialog, name = release / "Session1" / "dialog", "Ses01F_impro01"
    annotation, script = (dialog / folder / f"{name}.txt" for folder in ("EmoEvaluation", "transcriptions"))
    more = f"[9,5000 - 9,9000]\t{name}_F009\tneu\t[3, 3, 3]\n[9.6 - 9.9]\t{name}_F010\tneu\t[60, 3, 3]\n"
    annotation.write_text(annotation.read_text() + more + f"[0.1 - 0.2]\t{name}_F000\tang\t[3, 3, 3]\n")
    wave = release / "Session1" / "sentences" / "wav" / name
    shutil.copyfile(wave / f"{name}_F000.wav", wave / f"{name}_F010.wav")
    script.write_text(script.read_text() + f"{name}_M000 [000-001]: other words\n")
    corpus = open_corpus("iemocap", release, sessions=1)
    assert "4 lines are odd, such as Session1/dialog/EmoEvaluation/Ses01F_impro01.txt line" in corpus.note
    assert "1 utterances have no transcript" in corpus.note
    items = {item.item_id: item for item in corpus.items}
    assert (items[f"{name}_F010"].valence, items[f"{name}_F010"].arousal) == (None, 0.0)
    assert items[f"{name}_F000"].label == "neutral"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of sound and words alone, of the sessions whose dialogues are named in each way."""
    return write_iemocap(tmp_path_factory.mktemp("written"), sessions=(1, 5), mocap=False)


def transcripts(release: Path) -> dict[str, str]:
    return {item.item_id: item.load().transcript for item in open_corpus("iemocap", release, sessions=(1, 5)).items}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_files_that_an_editor_saved_in_its_own_way_lose_nothing(written: Path, tmp_path: Path, encoding: str) -> None:
    copy = Path(shutil.copytree(written, tmp_path / "release"))
    for path in copy.rglob("*.txt"):
        if path.parent.name in ("transcriptions", "EmoEvaluation"):
            path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    said = transcripts(copy)
    assert said == transcripts(written)
    assert len(said) == 32
    assert all(said.values())


def test_a_turn_that_stands_twice_counts_once(release: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(release, tmp_path / "release"))
    for path in copy.rglob("EmoEvaluation/*.txt"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text + text, encoding="utf-8")
    ids, expected = ([item.item_id for item in open_corpus("iemocap", root).items] for root in (copy, release))
    assert ids == expected
