"""Sentences that models of words learn from and are tested with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mser_ros.cli.main import main
from mser_ros.corpora import corpus_folder, open_corpus
from mser_ros.corpora.phrases import Phrase, read_phrases
from mser_ros.errors import SettingsError
from mser_ros.evaluation.checklist import measure_checklist, share_passed
from mser_ros.labels import LABELS
from mser_ros.resources import checklist_file, phrases_file

FILE = """
words: {who: [she, he], what: [a cake, a letter, a cat]}
gifts:
  label: happy
  templates: ["{who} gave me {what}", {any: [sad, angry], text: "{who} took {what}, and {who} ran"}]
few:
  label: neutral
  most: 4
  templates: ["there is {what} for {who}", "{what}"]
"""


def phrases_of(folder: Path, text: str) -> dict[str, list[Phrase]]:
    path = folder / "phrases.yaml"
    path.write_text(text)
    return read_phrases(path)


def test_templates_are_filled_with_every_combination(tmp_path: Path) -> None:
    gifts = phrases_of(tmp_path, FILE)["gifts"]
    assert len(gifts) == 12
    assert Phrase("He gave me a cat", frozenset({"happy"})) in gifts
    assert Phrase("She took a cake, and she ran", frozenset({"sad", "angry"})) in gifts


def test_no_more_are_drawn_than_wanted_and_always_the_same(tmp_path: Path) -> None:
    drawn = phrases_of(tmp_path, FILE)["few"]
    assert len(drawn) == 4, "two of each template"
    assert drawn == phrases_of(tmp_path, FILE)["few"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "kind: 3",
        "kind: {label: happy}",
        "kind: {label: cheerful, templates: [a]}",
        "kind: {any: [], templates: [a]}",
        "kind: {label: happy, templates: ['{nothing}']}",
        "kind: {templates: [a]}",
        "kind: {label: happy, templates: ['{']}",
        "kind: [",
        "kind: {label: sad, templates: I am sad}",
        "kind: {label: sad, templates: []}",
        "kind: {label: sad, templates: ['{who}'], words: {who: []}}",
        "kind: {label: sad, templates: ['{who}'], words: {who: she}}",
        "kind: {label: sad, templates: ['I am {} sad']}",
        "kind: {label: sad, templates: ['I am {0} sad']}",
        "kind: {label: sad, templates: [a], most: 0}",
        "kind: {label: sad, templates: [3]}",
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=re.escape("as in config/checklist.yaml")):
        phrases_of(tmp_path, text)


def test_where_a_file_is_no_yaml_its_line_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"line 2, column \d+.*as in config/checklist") as caught:
        phrases_of(tmp_path, "kind:\n  label: *happy")
    assert "object at" not in str(caught.value)


def test_the_checklist_is_large_and_nothing_of_it_is_learned_from() -> None:
    kinds, learned = read_phrases(checklist_file()), read_phrases(phrases_file())
    assert len(kinds) >= 20
    assert {kind: len(found) for kind, found in kinds.items() if len(found) < 30} == {}

    def texts(found: dict[str, list[Phrase]]) -> set[str]:
        return {re.sub(r"\W+", " ", phrase.text).casefold().strip() for kind in found.values() for phrase in kind}

    def templates(path: Path) -> set[str]:
        """Whatever their slots are called."""
        entries = [entry for kind, entry in yaml.safe_load(path.read_text()).items() if kind != "words"]
        texts = [item if isinstance(item, str) else item["text"] for entry in entries for item in entry["templates"]]
        # One that is a slot and nothing else says nothing by itself.
        return {re.sub(r"\{\w+\}", "{}", text).casefold() for text in texts if re.sub(r"\{\w+\}", "", text).strip()}

    assert not texts(kinds) & texts(learned)
    assert not templates(checklist_file()) & templates(phrases_file())


def test_phrases_are_a_corpus_that_needs_no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSER_DATA_DIR", raising=False)
    corpus = open_corpus("phrases", corpus_folder("phrases"))
    assert corpus.modalities == ("text",)
    assert {item.label for item in corpus.items} == set(LABELS)
    first = corpus.items[0].load().transcript
    assert first is not None
    assert first.language == "en"
    assert len(corpus.people) == len(corpus), "no two sentences share a side of a split by what they share"


def test_outcomes_by_kind() -> None:
    happy, either = frozenset({"happy"}), frozenset({"sad", "angry"})
    kinds = {"a": [Phrase("x", happy), Phrase("y", happy)], "b": [Phrase("z", either)]}
    found = measure_checklist(kinds, {"x": "happy", "y": "sad", "z": "angry"}.__getitem__)
    assert [outcome.passed for outcome in found] == [0.5, 1.0]
    assert found[0].failed == ((Phrase("y", happy), "sad"),)
    assert share_passed(found) == 0.75


def test_the_command_tests_words_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        "joy: {label: happy, templates: [I am so happy today]}\nnonsense: {label: sad, templates: [I am very happy]}\n"
    )
    assert main(["checklist", "--file", str(path), "--failed"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"joy\W+1\W+100%", told)
    assert re.search(r"nonsense\W+1\W+0%", told)
    assert "I am very happy: happy instead of sad" in told
    assert main(["checklist", "--file", str(tmp_path / "nowhere.yaml")]) == 1
    assert capsys.readouterr().err == f"mser: there is no file {tmp_path / 'nowhere.yaml'}: check the path\n"
    path.write_text("{}")
    assert main(["checklist", "--file", str(path)]) == 1
    assert "holds no kind of sentence" in capsys.readouterr().err
