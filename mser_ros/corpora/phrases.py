"""Sentences that are composed of templates and words: to learn from (`config/phrases.yaml`) and to be tested with."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from ..errors import SettingsError
from ..labels import LABELS
from ..resources import phrases_file
from .base import Corpus, Item
from .text import spoken_line

Words = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Phrase:
    """What somebody says; `labels`: each of them is right."""

    text: str
    labels: frozenset[str]


def read_phrases(path: Path, *, repeats: bool = False) -> dict[str, list[Phrase]]:
    """The sentences of every kind, each once, or as often as its kind says. Raises `SettingsError` for a file that is
    none.

    A kind has `templates`, `words` for their slots, a `label` (or `any`, several of which each is right), which a
    template may set for itself, and may have `most`: so many sentences are drawn, from each template alike. The entry
    `words` at the top level is for all kinds. `times`: how often each is learned from.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        shared = tree.pop("words", {})
        kinds = {str(kind): list(dict.fromkeys(_phrases(str(kind), entry, shared))) for kind, entry in tree.items()}
        if empty := [kind for kind, found in kinds.items() if not found]:
            raise ValueError(f"'{empty[0]}' makes no sentence")
        times = {str(kind): int(entry.get("times", 1)) for kind, entry in tree.items()}
        return {kind: found * (times[kind] if repeats else 1) for kind, found in kinds.items()}
    except FileNotFoundError:
        raise SettingsError(f"there is no file {path}: check the path") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, LookupError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) if isinstance(error, yaml.YAMLError) else repr(error)
        raise SettingsError(
            f"{path} does not say what sentences are made of ({reason}): each kind wants templates, words and a "
            "label, as in config/checklist.yaml"
        ) from None


def _phrases(kind: str, entry: Mapping[str, Any], shared: Words) -> Iterator[Phrase]:
    words = {**shared, **entry.get("words", {})}
    templates = entry["templates"]
    if not isinstance(templates, list):
        raise ValueError(f"the templates of '{kind}' are no list")
    draw = random.Random(kind)
    for template in templates:
        text, own = (template, entry) if isinstance(template, str) else (template["text"], template)
        labels = frozenset(own["any"] if "any" in own else [own["label"]])
        if not labels or not labels <= set(LABELS):
            raise ValueError(f"'{kind}' has other labels than {', '.join(LABELS)}")
        filled = list(_fill(text, words))
        if "most" in entry:
            filled = draw.sample(filled, min(len(filled), -(-int(entry["most"]) // len(templates))))
        yield from (Phrase(sentence, labels) for sentence in filled)


def _fill(template: str, words: Words) -> Iterator[str]:
    slots = list(dict.fromkeys(name for _, name, _, _ in string.Formatter().parse(template) if name))
    if single := [slot for slot in slots if not isinstance(words[slot], list)]:
        raise ValueError(f"the words of '{single[0]}' are no list")
    for chosen in product(*(words[slot] for slot in slots)):
        sentence = template.format(**dict(zip(slots, chosen, strict=True)))
        yield sentence[:1].upper() + sentence[1:]


def phrases(folder: Path) -> Corpus:
    """The sentences that were written for this project (`phrases.yaml`), to learn from and never to be measured on:
    those of a kind that has `times` occur so often."""
    kinds = read_phrases(folder / phrases_file().name, repeats=True)
    sentences = [phrase for found in kinds.values() for phrase in found]
    items: list[Item] = []
    for number, phrase in enumerate(sentences):
        (label,) = phrase.labels
        items.append(spoken_line("phrases", str(number), label, phrase.text, person=str(number), cluster=str(number)))
    return Corpus(
        "phrases",
        tuple(items),
        ("text",),
        "Apache-2.0",
        "sentence",
        note="written for this project, composed of templates",
    )
