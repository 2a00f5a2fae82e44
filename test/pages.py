"""Pages of HTML as tests look at them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

#: Namespace of pictures in a tree.
SVG = "{http://www.w3.org/2000/svg}"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def parse(path: Path) -> Element:
    """A page as a tree. Raises where it breaks a rule of HTML, or where what a reader needs is missing."""
    html5lib = pytest.importorskip("html5lib", reason="html5lib is missing: call 'make setup-dev'")
    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(path.read_text(encoding="utf-8"))
    ids = [item.get("id") for item in tree.iter() if item.get("id")]
    assert len(ids) == len(set(ids)), "an id names one element"
    assert tree.get("lang")
    assert len(tree.findall(".//h1")) == len(tree.findall(".//main")) == 1
    labelled = {id(control) for label in tree.iter("label") for control in label.iter()}
    for kind in ("input", "select", "textarea"):
        assert all(id(item) in labelled for item in tree.iter(kind)), f"a reader is told what each {kind} is for"
    assert all(text_of(item) for item in tree.iter("button"))
    for item in tree.iter():
        target = item.get("href", "")
        assert not target.startswith("#") or target[1:] in ids, f"{target} leads nowhere"
        names = item.get("aria-labelledby")
        assert names is None or set(names.split()) <= set(ids)
    return tree


def text_of(element: Element) -> str:
    """All the text in an element, spaces as one, and one between cells."""

    def parts(item: Element) -> Iterator[str]:
        yield item.text or ""
        for child in item:
            yield from parts(child)
            yield (
                f" {child.tail or ''}"
                if child.tag in ("td", "th", "li", "option", "br", "dt", "dd")
                else child.tail or ""
            )

    return " ".join("".join(parts(element)).split())


def by_class(tree: Element, name: str) -> list[Element]:
    return [item for item in tree.iter() if name in (item.get("class") or "").split()]


@contextmanager
def browser() -> Iterator[Any]:
    """A real browser without a window, as Playwright knows it; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: call 'make setup-dev'")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("there is no browser: apt-get install chromium")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        )
        yield found
        found.close()
