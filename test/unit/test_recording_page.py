"""The page about a recording: whole in one file, honest, safe with whatever was said, and it works in a browser."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import SVG, by_class, parse, text_of
from recorded import HOSTILE, MAKING, conversation, found, record

from mser_ros.cli.main import main
from mser_ros.evaluation import recording_page, recording_view
from mser_ros.evaluation.findings import Clip, Findings, Track
from mser_ros.evaluation.recording_page import write_index, write_page
from mser_ros.evaluation.recording_view import clock, shaded
from mser_ros.evaluation.timeline import Recording
from mser_ros.labels import LABELS, UNKNOWN
from mser_ros.types import AbstainReason, EstimateState


def test_a_page_holds_every_utterance_with_what_is_known_of_it(tmp_path: Path) -> None:
    assert write_page(tmp_path / "report.html", conversation(tmp_path)), "the sounds are in it"
    tree = parse(tmp_path / "report.html")
    ann, bob, nobody = (text_of(item) for item in by_class(tree, "utterance"))
    for said in ("happy 85 %", "so happy to see you", "One of happy, sad, with 90 % certainty", "0:01.0 to 0:02.0",
                 "voice angry 5 %, happy 85 %, sad 5 %, neutral 5 % 70 %", "valence"):  # fmt: skip
        assert said in ann
    assert "contradictory" in bob
    assert "In English: Greetings, I am sad" in bob
    assert nobody.startswith("unknown 0:03.1")
    assert "Unknown: too short" in nobody
    assert "not used: nothing to judge by" in nobody
    assert [item.get("lang") for item in tree.iter("blockquote")] == ["en", "de", None]
    assert len(by_class(tree, "play")) == 2
    assert not (tmp_path / "report.part").exists()


def test_words_are_shaded_by_their_confidence_and_doubtful_ones_marked_by_more_than_a_shade(tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", conversation(tmp_path))
    words = {text_of(item): item for item in by_class(parse(tmp_path / "report.html"), "w") if item.get("title")}
    shades = {word: item.get("class") for word, item in words.items()}
    assert shades["so"] == "w w8"
    assert shades["happy"] == "w w1"
    assert shades["you"] == "w w9"
    assert "see" not in words, "nobody told how sure that is"
    assert words["happy"].get("title") == "20 %"
    (rule,) = re.findall(r"^([^{}]*)\{ text-decoration: underline", page_style(), flags=re.MULTILINE)
    assert re.findall(r"\.w(\d)", rule) == ["0", "1", "2", "3", "4"], "under 50 %"


def test_a_summary_tells_times_shares_reasons_and_what_is_odd(tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", conversation(tmp_path))
    tree = parse(tmp_path / "report.html")
    tiles = text_of(by_class(tree, "tiles")[0])
    assert "3 utterances 0:02.0 of speech 2 voices or people 33 % of utterances unknown 1 in which" in tiles
    titled = [(table.find("caption"), text_of(table)) for table in tree.iter("table")]
    by_title = {text_of(title).split(" (")[0]: text for title, text in titled if title is not None}
    assert "happy 1 0:01.0 50 %" in by_title["What was said in which emotion"]
    assert "ann 0:00.0 0 % 0:02.0 67 % 0:00.0 0 % 0:00.0 0 % 0:01.0 33 %" in by_title["Time in each state"]
    assert "voice 2 70 % 0 1 (nothing to judge by)" in by_title["What the estimates rest on"]
    assert "too short 1" in by_title["Why estimates are unknown"]
    whole = text_of(tree)
    for said in ("3 samples of audio are missing", "dropped 2 ×: odd", "ab12" * 16, "mser annotate x", "bodies False",
                 "begins 2023-11-14 22:13:20 UTC"):  # fmt: skip
        assert said in whole


def test_the_timeline_draws_voice_each_modality_all_together_and_who_is_how(tmp_path: Path) -> None:
    page = conversation(tmp_path)
    provisional = record(1.8, utterance_id="a", state=EstimateState.PROVISIONAL, transcript="")
    write_page(tmp_path / "report.html", replace(page, records=[provisional, *page.records]))
    tree = parse(tmp_path / "report.html")
    (names,) = by_class(tree, "names")
    assert [text_of(item) for item in names] == [
        "utterances", "loudness", "voice", "body", "while speaking", "fused", "state ann", "body seen",
    ]  # fmt: skip
    lanes = list(tree.iter(f"{SVG}svg"))
    drawn = dict(zip([text_of(item) for item in names], lanes, strict=True))
    assert all(len(drawn[name].findall(f"{SVG}path")) >= 1 for name in drawn if name != "utterances")
    assert [path.get("class") for path in drawn["voice"]] == ["missing", "c0", "c1", "c2", "c3"]
    spans = list(by_class(tree, "spans")[0])
    assert [item.get("href") for item in spans] == ["#u1", "#u2", "#u3"], "what was retracted is not there"
    assert {item.get("tabindex") for item in spans} == {"-1"}, "nobody tabs through an hour of them"
    left, width = (float(value) for value in re.findall(r"(?:left|width):([0-9.]+)%", spans[1].get("style") or ""))
    assert (left, width) == (pytest.approx(55, abs=1), pytest.approx(20, abs=1)), "from 2.2 to 3.0 s of 4"


def test_words_that_are_hostile_stay_words(tmp_path: Path) -> None:
    page = found(
        record(2.0, transcript=HOSTILE, person_id=HOSTILE), title=HOSTILE, notes=[HOSTILE], dropped={HOSTILE: 1},
        clips={"u": Clip(((HOSTILE, 0.3),), '"><script>', HOSTILE)}, making=replace(MAKING, command=HOSTILE),
    )  # fmt: skip
    write_page(tmp_path / "report.html", page)
    tree = parse(tmp_path / "report.html")
    assert len(list(tree.iter("script"))) == 1
    assert not list(tree.iter("img"))
    (said,) = tree.iter("blockquote")
    assert text_of(said) == HOSTILE
    assert not any(name.startswith("on") for item in tree.iter() for name in item.attrib)
    policy = next(item.get("content") or "" for item in tree.iter("meta") if item.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0], "a script that slipped through would not run"
    rows = [{"name": HOSTILE, "link": "a%3Cb", "reason": HOSTILE, "seconds": 1.0, "utterances": 0, "labels": {},
             "dropped": 0, "notes": HOSTILE}]  # fmt: skip
    write_index(tmp_path / "index.html", rows, labels=LABELS, making=MAKING)
    assert len(list(parse(tmp_path / "index.html").iter("script"))) == 1


def hour(folder: Path, *, kilobytes: float) -> Findings:
    """An hour in which somebody speaks 900 times, ten words each, and with whom everything is known."""
    said = " ".join(["wonderful"] * 10)
    records, clips = [], {}
    (folder / "sound").mkdir()
    for number in range(900):
        name = f"voice-{number}"
        records.append(record(4.0 * number + 3, begin_s=4.0 * number, utterance_id=name, transcript=said))
        (folder / "sound" / f"{number}.ogg").write_bytes(bytes(round(1000 * kilobytes)))
        clips[name] = Clip((("wonderful", 0.7),) * 10, "en", "", f"sound/{number}.ogg")
    heard = Recording()
    heard.level = {index: (index % 50) / 50 for index in range(60_000)}
    heard.bin_s = 0.06
    shares = np.tile([0.1, 0.7, 0.1, 0.1], (7200, 1))
    track = Track("ann", 0.5, [1.7e9 + step / 2 for step in range(7200)], shares, ["happy"] * 7200)
    return Findings("an hour", 3600.0, records, heard, MAKING, clips, [track])


@pytest.mark.parametrize(("kilobytes", "is_inside"), [(6.0, True), (9.0, False)], ids=["45 min of Opus", "more"])
def test_an_hour_stays_below_ten_megabytes_and_sound_beyond_that_is_linked(
    tmp_path: Path, kilobytes: float, is_inside: bool
) -> None:
    """6 kB are three seconds at 16 kbit/s."""
    path = tmp_path / "report.html"
    assert write_page(path, hour(tmp_path, kilobytes=kilobytes)) is is_inside
    assert path.stat().st_size <= 10_000_000
    text = path.read_text()
    assert text.count("data:audio/ogg;base64,") == (900 if is_inside else 0)
    assert 'class="canvas far"' in text, "of so many utterances no edges are drawn"
    assert text.count('data-sound="sound/') == (0 if is_inside else 900)
    assert ("The sounds are not in this file" in text) is not is_inside


def test_the_sound_in_a_page_is_that_of_the_file(tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", conversation(tmp_path))
    inside = [item.get("data-sound") or "" for item in by_class(parse(tmp_path / "report.html"), "play")]
    kept = [base64.b64decode(item.removeprefix("data:audio/ogg;base64,")) for item in inside]
    assert kept == [(tmp_path / "sound" / f"{name}.ogg").read_bytes() for name in "ab"]


def test_there_is_a_page_where_nobody_speaks(tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", found(recording=Recording(), is_whole=False))
    text = text_of(parse(tmp_path / "report.html"))
    assert "Nobody speaks here" in text
    assert "--resume goes on" in text


def test_a_call_that_names_a_file_whose_name_is_no_text_is_told_of_all_the_same(tmp_path: Path) -> None:
    made = replace(MAKING, command="mser annotate good.wav '\udcff.wav' --html")
    write_page(tmp_path / "report.html", found(record(2.0), making=made))
    assert "good.wav '?.wav'" in text_of(parse(tmp_path / "report.html"))


def test_every_reason_that_there_is_has_words_for_people() -> None:
    assert set(recording_view.REASONS) == {reason.name for reason in AbstainReason} - {"NONE"}


def test_an_index_leads_to_each_report_and_tells_why_there_is_none(tmp_path: Path) -> None:
    rows = [
        {"name": "a b.wav", "link": "a%20b.wav/report.html", "reason": "", "seconds": 60.0, "utterances": 3,
         "labels": {"happy": 2, UNKNOWN: 1}, "dropped": 1, "notes": "odd"},
        {"name": "c.wav", "link": "", "reason": "it is silent", "seconds": 0.0, "utterances": 0, "labels": {},
         "dropped": 0, "notes": ""},
    ]  # fmt: skip
    write_index(tmp_path / "index.html", rows, labels=(*LABELS, UNKNOWN), making=MAKING)
    tree = parse(tmp_path / "index.html")
    first, second = (text_of(row) for row in next(item for item in tree.iter("tbody") if item.get("id") == "list"))
    assert first == "a b.wav 1:00.0 3 0 2 0 0 1 1 odd"
    assert second == "c.wav 0:00.0 0 0 0 0 0 0 0 no result: it is silent"
    assert [link.get("href") for link in tree.iter("a")][1:] == ["a%20b.wav/report.html"]
    assert text_of(next(tree.iter("tfoot"))) == "all 1:00.0 3 0 2 0 0 1"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00.0"), (59.94, "0:59.9"), (59.97, "1:00.0"), (61.25, "1:01.2"), (3599.99, "1:00:00"),
                          (7325.4, "2:02:05"), (-1, "0:00.0")]
)  # fmt: skip
def test_times_are_told_as_players_do(seconds: float, told: str) -> None:
    assert clock(seconds) == told


@given(st.text("ab ,ß", max_size=30), st.lists(st.tuples(st.text("ab ,ß", max_size=4), st.floats(0, 1)), max_size=6))
def test_shading_changes_no_letter_of_a_transcript(transcript: str, words: list[tuple[str, float]]) -> None:
    assert "".join(text for text, _ in shaded(transcript, words)) == transcript


def test_words_are_found_in_languages_without_spaces() -> None:
    words = [("你", 0.9), ("好", 0.4)]
    assert shaded("你好。", words) == [*words, ("。", -1.0)]


def test_what_is_not_installed_is_told_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recording_page, "find_spec", lambda name: None if name == "av" else name)
    demo = Path(__file__).parents[2] / "demo" / "demo.mcap"
    assert main(["annotate", str(demo), "-o", str(tmp_path / "out"), "--asr", "none", "--html"]) == 1
    assert "pip install 'mser_ros[report]' (or av)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# -- colours


def page_style() -> str:
    return (Path(recording_page.__file__).parent / "templates" / "page.css").read_text()


def luminance(rgb: np.ndarray) -> float:
    """Of WCAG 2."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: np.ndarray, second: np.ndarray) -> float:
    dark, light = sorted([luminance(first), luminance(second)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "dark, chosen"])
def test_text_stands_out_as_wcag_aa_asks(scheme: str) -> None:
    blocks = re.findall(r"--ink: #(?:[^}]*)", page_style())
    block = dict(zip(("light", "dark", "dark, chosen"), blocks, strict=False))[scheme]
    colours = {
        name: np.array([int(value[i : i + 2], 16) for i in (0, 2, 4)])
        for name, value in re.findall(r"--([a-z]+): #([0-9a-f]{6})", block)
    }
    (sure,) = re.findall(r"--sure: ([0-9, ]+)", block)
    for ground in ("page", "card"):
        for text in ("ink", "soft", "link"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        assert contrast(colours["line"], colours[ground]) >= 3, ground
        shade = 0.35 * np.array([int(part) for part in sure.split(",")]) + 0.65 * colours[ground]
        assert contrast(colours["ink"], shade) >= 4.5, "the surest word"
    assert contrast(colours["ink"], colours["note"]) >= 4.5
