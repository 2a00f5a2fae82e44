"""What a corpus is: labelled items with the people behind them, each loading one `Utterance` when asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from ..errors import CorpusError
from ..labels import LABELS
from ..types import Utterance

#: Joins the independent people of one item in its cluster's name.
BETWEEN_PEOPLE = " + "
#: How many missing files an error names before it only counts the rest.
MAX_NAMED = 50


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One labelled recording, line or walk.

    `label`: one of `LABELS`. `person`: the speaker, walker or commenter; never on two sides of a split. `group`: the
    unit of leave-one-group-out folds (a session where the corpus has them, else the person). `cluster`: the unit of the
    bootstrap, the finest that the corpus names; of a synthetic item all its source people, joined by ' + '. `split`:
    the corpus's own, '' where it has none. `sex`: 'f', 'm' or ''. `valence`, `arousal`, `dominance`: -1..1 or None.
    `duration_s`: 0 where it is not known without loading. `sources`: the items of which a synthetic one is combined.
    `loader` is called with the item.
    """

    corpus: str
    item_id: str
    label: str
    person: str
    group: str
    cluster: str
    loader: Callable[[Item], Utterance] = field(repr=False)
    split: str = ""
    sex: str = ""
    valence: float | None = None
    arousal: float | None = None
    dominance: float | None = None
    duration_s: float = 0.0
    sources: tuple[Item, ...] = field(default=(), repr=False)

    def load(self) -> Utterance:
        """The item as the robot would have heard, read and seen it; reads files, keeps nothing."""
        return self.loader(self)

    @property
    def people(self) -> tuple[tuple[str, str], ...]:
        """(corpus, person) of everybody who can be heard, read or seen in it."""
        if self.sources:
            return tuple(one for source in self.sources for one in source.people)
        return ((self.corpus, self.person),)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Items of one name.

    `modalities`: those that carry emotion here ('speech', 'text', 'mocap'); an utterance may hold more, such as the two
    fixed sentences of RAVDESS. `synthetic`: combined from other corpora. `cluster_unit`: what `Item.cluster` names.
    `evaluation_only`: weights that ship must not be trained on it. `note`: what a reader of its numbers must know.
    """

    name: str
    items: tuple[Item, ...]
    modalities: tuple[str, ...]
    licence: str
    cluster_unit: str
    synthetic: bool = False
    evaluation_only: bool = False
    note: str = ""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def people(self) -> tuple[str, ...]:
        """Every `Item.person`, sorted; in a synthetic corpus they are blocks of people."""
        return tuple(sorted({item.person for item in self.items}))

    def subset(self, people: Iterable[str]) -> Corpus:
        """The items of these people only. Raises `CorpusError` for one that does not occur."""
        wanted = set(people)
        unknown = sorted(wanted - set(self.people))
        if unknown:
            known = ", ".join(self.people[:30]) + (" ..." if len(self.people) > 30 else "")
            raise CorpusError(f"corpus '{self.name}' has no person {', '.join(unknown)}: it has {known}")
        return replace(self, items=tuple(item for item in self.items if item.person in wanted))


def people_of(items: Iterable[Item]) -> set[tuple[str, str]]:
    """(corpus, person) of everybody who can be heard, read or seen in the items."""
    return {person for item in items for person in item.people}


def refuse(name: str, folder: Path, missing: Sequence[str], cure: str) -> NoReturn:
    """Raise the `CorpusError` that lists what a corpus lacks, a file (or a place in a file) an entry."""
    named = [f"\n  {entry}" for entry in missing[:MAX_NAMED]]
    if len(missing) > MAX_NAMED:
        named.append(f"\n  and {len(missing) - MAX_NAMED} more")
    count = "this is" if len(missing) == 1 else f"these {len(missing)} are"
    raise CorpusError(f"corpus '{name}' in {folder} is broken, {cure}; {count} missing or unusable:{''.join(named)}")


def require_folder(name: str, folder: Path) -> None:
    """Raise `CorpusError` where the corpus's folder does not exist."""
    if not folder.is_dir():
        raise CorpusError(
            f"corpus '{name}': there is no folder {folder}; give its path with --data or --corpus, as {name}=FOLDER"
        )


def require_items(name: str, folder: Path, items: Sequence[Item]) -> None:
    """Raise `CorpusError` where nothing is left to use."""
    if not items:
        classes = ", ".join(LABELS)
        raise CorpusError(f"corpus '{name}' in {folder} has no item of the classes {classes}: check its labels")
