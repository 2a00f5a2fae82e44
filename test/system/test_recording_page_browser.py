"""The page about a recording works in a browser, and so does the index of an archive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pages import browser
from recorded import HOSTILE, MAKING, conversation, record

from mser_ros.evaluation.recording_page import write_index, write_page
from mser_ros.labels import LABELS


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


def until(holds: Callable[[], Any], what: str) -> None:
    """The page's own policy forbids what Playwright waits by."""
    end_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end_s, what
        time.sleep(0.02)


def test_the_page_works_in_a_browser_and_asks_nobody_for_anything(chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    page_of = conversation(tmp_path)
    records = [*page_of.records, record(3.9, begin_s=3.6, utterance_id="e", person_id="bob", transcript=HOSTILE)]
    write_page(path, replace(page_of, records=records))
    for file in (tmp_path / "sound").iterdir():
        file.unlink()
    page = chromium.new_context().new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())

    def shown() -> list[str]:
        return [item.get_attribute("id") for item in page.locator(".utterance:visible").all()]

    everything = ["u1", "u2", "u3", "u4"]
    assert shown() == everything
    assert page.title() == "talk.wav · emotions"
    page.get_by_label("Search in words").fill("GRUSSE")
    assert shown() == [], "ß is not ss to a search, accents are nothing"
    page.get_by_label("Search in words").fill("gruße")
    assert shown() == ["u2"]
    assert page.locator("#count").text_content() == "1 of 4 shown"
    page.get_by_role("button", name="Show all").click()
    until(lambda: shown() == everything, "all is shown again")
    page.get_by_label("Person").select_option(label="bob")
    assert shown() == ["u2", "u3", "u4"]
    page.get_by_label("Reason").select_option(label="too short")
    assert shown() == ["u3"]
    page.get_by_role("button", name="Show all").click()
    until(lambda: shown() == everything, "all is shown again")
    page.get_by_label("happy", exact=True).uncheck()
    assert shown() == ["u2", "u3"]

    page.locator(".spans a").first.click()
    until(lambda: page.evaluate("document.activeElement.id") == "u1", "the way to an utterance that was hidden")
    page.get_by_label("Zoom").fill("100")
    assert "far" not in (page.locator("#canvas").get_attribute("class") or "")
    wide = page.locator("#canvas").bounding_box()["width"]
    assert wide >= page.locator(".scroll").bounding_box()["width"]
    assert page.locator("#ticks span").count() >= 4

    page.get_by_role("button", name="Play utterance 2").press("Enter")
    until(lambda: page.evaluate("document.getElementById('audio').currentTime") > 0.1, "the sound plays")
    assert page.locator("#playing").text_content().startswith("sad 85 %")

    dark = page.get_by_role("button", name="Dark")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark.click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", "paper"
    assert not page.locator("#filters").is_visible()
    page.emulate_media(media="screen")

    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360, "a phone need not scroll sideways"
    assert page.title() == "talk.wav · emotions", "nothing that was said has run"
    assert errors == []
    assert asked == [path.as_uri()]


def test_the_index_works_in_a_browser(chromium: Any, tmp_path: Path) -> None:
    rows = [
        {"name": name, "link": "", "reason": reason, "seconds": 1.0, "utterances": 0, "labels": {}, "dropped": 0,
         "notes": ""}
        for name, reason in (("one.wav", ""), ("two.wav", "silent"))
    ]  # fmt: skip
    write_index(tmp_path / "index.html", rows, labels=LABELS, making=MAKING)
    page = chromium.new_context().new_page()
    page.goto((tmp_path / "index.html").as_uri())
    rows_shown = page.locator("#list tr:visible")
    assert rows_shown.count() == 2
    page.get_by_label("only those").check()
    assert rows_shown.count() == 1
    page.get_by_label("only those").uncheck()
    page.get_by_label("Search").fill("one")
    assert rows_shown.count() == 1
