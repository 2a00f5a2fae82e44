"""Loading the items of a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from ..errors import CorpusError, MserError
from ..types import Utterance

#: How many items an error names before it only counts the rest.
_MAX_NAMED = 50


class Loadable(Protocol):
    """An item of a corpus."""

    def load(self) -> Utterance: ...


T = TypeVar("T", bound=Loadable)


def load_each(items: Iterable[T]) -> Iterator[tuple[T, Utterance]]:
    """Each item with its utterance. Raises `CorpusError` that names every item that cannot be loaded, not the first
    alone: after that nothing is yielded, the others are only tried."""
    faults: list[str] = []
    for item in items:
        try:
            utterance = item.load()
        except MserError as error:
            faults.append(str(error))
            continue
        if not faults:
            yield item, utterance
    if faults:
        named = faults[:_MAX_NAMED] + ([f"and {len(faults) - _MAX_NAMED} more"] if len(faults) > _MAX_NAMED else [])
        listed = "".join(f"\n  {fault}" for fault in named)
        raise CorpusError(f"items that cannot be loaded, restore them or take them out: {len(faults)}{listed}")
