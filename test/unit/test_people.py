"""What was learned of people can be shown, given away, taken in, kept and erased; a foreign one is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_bundle import write_tiny_bundle
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.errors import RequestError
from mser_ros.labels import LABELS
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import EmotionSettings
from mser_ros.stages.identities import Identities, Kind
from mser_ros.stages.people import People, erase_files
from mser_ros.stages.state import EmotionStates
from mser_ros.testing import make_estimate
from mser_ros.types import EmotionEstimate, Utterance, Waveform, to_ns

CENTRE = np.eye(4) - 0.25


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    baseline = {"means": (3 * CENTRE).tolist(), "between": CENTRE.tolist(), "within": (0.25 * CENTRE).tolist()}
    return write_tiny_bundle(tmp_path_factory.mktemp("people") / "bundle", speech={"baseline": baseline})


class House:
    """A recogniser and its states, and what they know of people."""

    def __init__(self, bundle: Path, folder: Path | str = "") -> None:
        self.recognizer = EmotionRecognizer(load_bundle(bundle))
        self.states = EmotionStates()
        self.identities = Identities()
        self.people = People(self.recognizer, self.states, str(folder), self.identities)

    def hear(self, name: str, times: int = 3) -> None:
        rng = np.random.default_rng(len(name))
        for number in range(times):
            samples = rng.normal(0, 0.1, 16000).astype(np.float32)
            utterance = Utterance(f"u{number}", 0, to_ns(1), audio=Waveform(samples, 16000), voice_id=name)
            self.recognizer.recognize(utterance, learn=True)
            self.notice(make_estimate("happy", 0.9, voice_id=name, stamp_ns=to_ns(number + 1)))
        self.people.note()

    def notice(self, estimate: EmotionEstimate) -> None:
        self.states.push(estimate)
        self.people.meet(estimate)

    def says_of(self, name: str) -> np.ndarray:
        samples = np.tile(np.float32([0.05, -0.05]), 8000)
        utterance = Utterance("u", 0, to_ns(1), audio=Waveform(samples, 16000), voice_id=name)
        return self.recognizer.recognize(utterance).probabilities


@pytest.fixture
def house(bundle: Path) -> House:
    return House(bundle)


def test_a_name_that_is_given_by_a_parameter_is_that_of_the_voice_as_well(house: House) -> None:
    house.recognizer.settings = EmotionSettings(person_id="alice")
    house.hear("voice")
    assert set(house.recognizer.learned()) == {"alice"}
    of_alice = house.says_of("voice")
    house.recognizer.settings = EmotionSettings(person_id="bob")
    np.testing.assert_array_equal(house.says_of("voice"), House(house.recognizer.bundle.path).says_of("voice"))
    assert np.abs(house.says_of("voice") - of_alice).max() > 0.01


def test_what_was_learned_is_shown_by_person(house: House) -> None:
    assert house.people.describe() == "nobody is known"
    house.hear("ann")
    house.hear("", 2)
    ann, nameless = house.people.describe().splitlines()
    assert ann.startswith("ann: 3 utterances heard, which sound more ")
    assert "mostly happy (3" in ann or "mostly happy (2" in ann
    assert nameless.startswith("whoever has no name: 2 utterances heard")


def test_what_is_given_away_and_taken_in_elsewhere_judges_alike(house: House, bundle: Path) -> None:
    house.hear("ann", 5)
    house.hear("bob", 5)
    other = House(bundle)
    before = other.says_of("ann")
    assert not np.allclose(before, house.says_of("ann"))
    other.hear("eve")
    other.people.take_in(other.people.read(house.people.export("ann")))
    np.testing.assert_allclose(other.says_of("ann"), house.says_of("ann"))
    np.testing.assert_allclose(other.states.usual("ann"), house.states.usual("ann"))
    assert set(other.people.known) == {"ann", "eve"}, "who is not in it stays as he was"
    assert json.loads(other.people.export("ann"))["people"] == json.loads(house.people.export("ann"))["people"]


@pytest.mark.parametrize("part", ["voice", "usual"])
def test_half_of_what_is_known_of_somebody_may_be_taken_in_and_the_other_half_stays(house: House, part: str) -> None:
    house.hear("ann")
    content = json.loads(house.people.export("ann"))
    house.hear("ann", 5)
    before = house.people.known["ann"]
    entry = content["people"]["ann"]
    content["people"]["ann"] = {key: entry[key] for key in entry if (key == "usual") == (part == "usual")}
    house.people.take_in(house.people.read(json.dumps(content)))
    assert house.people.known["ann"] == {**before, **content["people"]["ann"]}


def test_nobody_cannot_be_given_away(house: House) -> None:
    with pytest.raises(RequestError, match="nobody is known"):
        house.people.export()
    house.hear("ann")
    with pytest.raises(RequestError, match="nothing was learned of 'bob'"):
        house.people.export("bob")


def test_what_a_foreign_bundle_learned_is_refused_in_one_sentence(house: House, tmp_path: Path) -> None:
    house.hear("ann")
    foreign = House(write_tiny_bundle(tmp_path / "foreign"))
    with pytest.raises(RequestError, match="learned with another bundle, tiny-1, and mean nothing to tiny-1"):
        foreign.people.read(house.people.export())
    assert foreign.people.known == {}


def changed(text: str, **entries: Any) -> str:
    content = json.loads(text)
    content["people"]["ann"] |= entries
    return json.dumps(content)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ({"sum": [1, 2]}, "not those of 4 classes"),
        ({"sum": [1, 2, 3, float("nan")]}, "not those of 4 classes"),
        ({"sum": "much"}, "could not convert"),
        ({"precision": np.eye(3).tolist()}, "not those of 4 classes"),
        ({"precision": (-np.eye(4)).tolist()}, "the precision of 'ann' is none"),
        ({"precision": np.arange(16.0).reshape(4, 4).tolist()}, "the precision of 'ann' is none"),
        ({"sum": [-1e308, 0, 0, 0], "precision": (1e-300 * np.eye(4)).tolist()}, "'ann' sounds like no voice"),
        ({"sum": [-1e308, 1e308, 0, 0], "precision": (1e300 * np.eye(4)).tolist()}, "'ann' sounds like no voice"),
        ({"utterances": "many"}, "invalid literal"),
        ({"utterances": float("inf")}, "cannot convert float infinity"),
        ({"usual": [10**400, 0, 0, 0]}, "too large"),
        ({"usual": [1, 1, 1, 1]}, "no shares of 4 classes"),
        ({"usual": [0.5, 0.5]}, "no shares of 4 classes"),
        ({"usual": [2, -1, 0, 0]}, "no shares of 4 classes"),
    ],
)
def test_an_export_that_was_changed_is_refused_whole(house: House, entries: dict[str, Any], why: str) -> None:
    house.hear("ann")
    house.hear("bob")
    with pytest.raises(RequestError, match=f"{why}.*the text that ~/export_voices gave"):
        house.people.read(changed(house.people.export(), **entries))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"format": "mser_ros voices 1"}', "[" * 100_000, "x" * 2_000_000]
)
def test_what_is_no_export_is_one_sentence(house: House, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        house.people.read(text)
    assert len(str(caught.value)) < 500


def test_a_name_that_no_message_can_hold_is_refused(house: House) -> None:
    house.hear("ann")
    text = house.people.export().replace('"ann"', r'"\ud800"')
    with pytest.raises(RequestError, match="this is no export of voices"):
        house.people.read(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["sum", "precision", "usual", "utterances", "x"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_whatever_stands_in_an_export_is_read_or_refused(bundle: Path, people: Any) -> None:
    house = _shared(bundle)
    head = json.loads(house.people.export())
    for content in (people, {"ann": people}):
        with suppress(RequestError):
            house.people.read(json.dumps(head | {"people": content}))


_HOUSES: dict[Path, House] = {}


def _shared(bundle: Path) -> House:
    if bundle not in _HOUSES:
        _HOUSES[bundle] = House(bundle)
        _HOUSES[bundle].hear("ann")
    return _HOUSES[bundle]


# -- on the disk, where somebody has asked for it


def test_nothing_is_written_unless_somebody_asks(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    house.hear("ann")
    house.people.save()
    assert list(tmp_path.iterdir()) == []


def test_what_is_kept_is_known_in_the_next_run_and_nothing_is_left_of_what_is_erased(
    bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "voices"
    first = House(bundle, folder)
    first.people.load()
    first.hear("ann", 5)
    first.people.save()
    (kept,) = folder.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    second = House(bundle, folder)
    second.people.load()
    np.testing.assert_allclose(second.says_of("ann"), first.says_of("ann"))
    (folder / f"{kept.name}.123.tmp").touch()  # of a process that was killed
    second.people.erase()
    assert list(folder.iterdir()) == []
    assert second.people.known == {}
    np.testing.assert_array_equal(second.says_of("ann"), House(bundle).says_of("ann"))
    second.people.save()
    assert list(folder.iterdir()) == [], "nobody is nothing to keep"


def test_a_file_without_news_is_not_written_again(bundle: Path, tmp_path: Path) -> None:
    house = House(bundle, tmp_path)
    house.hear("ann")
    house.people.save()
    (kept,) = tmp_path.iterdir()
    kept.unlink()
    house.people.save()
    assert list(tmp_path.iterdir()) == []
    house.hear("ann")
    house.people.save()
    assert list(tmp_path.iterdir()) == [kept]


def test_another_bundle_has_a_file_of_its_own(bundle: Path, tmp_path: Path) -> None:
    house, foreign = House(bundle, tmp_path), House(write_tiny_bundle(tmp_path / "foreign"), tmp_path)
    house.hear("ann")
    house.people.save()
    foreign.people.load()
    assert foreign.people.known == {}
    foreign.hear("bob")
    foreign.people.save()
    assert len(list(tmp_path.glob("*.voices.json"))) == 2
    erase_files(str(tmp_path))
    assert list(tmp_path.glob("*.voices.json")) == []


def test_a_damaged_file_is_one_sentence_and_it_begins_anew(bundle: Path, tmp_path: Path) -> None:
    house = House(bundle, tmp_path)
    house.hear("ann")
    house.people.save()
    (kept,) = tmp_path.iterdir()
    kept.write_text(kept.read_text()[:100])
    again = House(bundle, tmp_path)
    with pytest.raises(RequestError, match="begins anew: this is no export of voices"):
        again.people.load()
    again.hear("bob")
    again.people.save()
    third = House(bundle, tmp_path)
    third.people.load()
    assert set(third.people.known) == {"bob"}


def test_a_folder_that_cannot_be_written_is_one_sentence(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    house = House(bundle, tmp_path / "file")
    house.hear("ann")
    with pytest.raises(RequestError, match=r"cannot be written .*: set voices_folder to one that can be"):
        house.people.save()
    with pytest.raises(RequestError, match="cannot be read"):
        house.people.load()
    assert house.people.known


def test_the_classes_of_what_is_usual_are_the_bundles(house: House) -> None:
    house.hear("ann")
    assert json.loads(house.people.export())["labels"] == list(LABELS)


# -- ids that were made up for this run


def with_made_up_ids(bundle: Path, folder: Path | str = "") -> House:
    """A voice that is tracked, a body, and a person who is anonymous, beside one who is known."""
    house = House(bundle, folder)
    house.identities.make_up((Kind.VOICE, "v1"))
    house.identities.make_up((Kind.PERSON, "anonymous_1"))
    house.hear("v1")
    house.hear("ann")
    for person_id, body_id in (("", "b7"), ("anonymous_1", "b8"), ("bob", "b9")):
        house.notice(make_estimate("sad", 0.9, person_id=person_id, voice_id="", body_id=body_id))
    house.people.note()
    return house


def test_ids_that_were_made_up_are_shown_and_neither_given_away_nor_kept(bundle: Path, tmp_path: Path) -> None:
    house = with_made_up_ids(bundle, tmp_path)
    assert set(house.people.known) == {"v1", "ann", "b7", "anonymous_1", "bob"}
    assert len(house.people.describe().splitlines()) == 5
    assert set(json.loads(house.people.export())["people"]) == {"ann", "bob"}
    for name in ("v1", "b7", "anonymous_1"):
        with pytest.raises(RequestError, match=f"'{name}' is an id of this run, and will be somebody else's"):
            house.people.export(name)
    house.people.save()
    (kept,) = tmp_path.iterdir()
    assert set(json.loads(kept.read_text())["people"]) == {"ann", "bob"}
    again = House(bundle, tmp_path)
    again.people.load()
    assert set(again.people.known) == {"ann", "bob"}


def test_a_voice_that_turns_out_to_be_a_person_s_is_kept_by_the_name_of_that(bundle: Path) -> None:
    house = with_made_up_ids(bundle)
    names = house.identities.link("eve", Kind.VOICE, "v1")
    house.recognizer.rename(house.identities.current_name, names)
    house.states.rename(house.identities.current_name, names)
    house.people.note()
    assert set(json.loads(house.people.export())["people"]) == {"ann", "bob", "eve"}
    house.identities.make_up((Kind.PERSON, "anonymous_1"), False)
    assert "anonymous_1" in json.loads(house.people.export())["people"]


def test_who_turns_out_to_be_anonymous_is_on_the_disk_no_more(bundle: Path, tmp_path: Path) -> None:
    house = House(bundle, tmp_path)
    house.notice(make_estimate("sad", 0.9, person_id="p1", voice_id=""))
    house.people.save()
    assert len(list(tmp_path.iterdir())) == 1
    house.identities.make_up((Kind.PERSON, "p1"))
    house.people.save()
    assert list(tmp_path.iterdir()) == []


def test_made_up_names_are_not_remembered_for_longer_than_what_was_learned(bundle: Path) -> None:
    house = House(bundle)
    for number in range(2000):
        house.notice(make_estimate("sad", 0.9, voice_id="", body_id=f"b{number}"))
        house.people.note()
        house.identities.make_up((Kind.VOICE, f"v{number}"))
    assert len(house.people._passing) <= 64
    assert len(house.identities._made_up) == 512


def test_who_is_known_again_goes_by_the_name_of_now(bundle: Path) -> None:
    house, other = House(bundle), House(bundle)
    house.hear("ann")
    other.identities.alias("ann", "anna")
    other.people.take_in(other.people.read(house.people.export()))
    assert set(other.people.known) == {"anna"}
