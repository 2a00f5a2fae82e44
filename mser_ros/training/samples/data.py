"""An experiment's data in memory: every item of its corpora, prepared once for all folds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...corpora import Corpus, Item, corpus_folder, open_corpus, people_of
from ...errors import CorpusError
from ...evaluation.loading import load_each
from ...labels import LABELS
from ..config.settings import ExperimentConfig
from ..progress import track
from .inputs import Sample, prepare


@dataclass(frozen=True, slots=True)
class Entry:
    """What the experiment says of an item's corpus, see `CorpusConfig`."""

    source: str
    repeat: int
    test: bool
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Items, what the experiment says of each, and their samples, in one order; `corpora` by name."""

    items: tuple[Item, ...]
    entries: tuple[Entry, ...]
    samples: tuple[Sample, ...]
    corpora: Mapping[str, Corpus]

    def repeated(self, indices: Sequence[int]) -> list[Sample]:
        """Training samples, each as often as its corpus asks for; those of a corpus with a share weigh accordingly."""
        samples = {index: self.samples[index] for index in indices}
        counts: Counter[tuple[str, int]] = Counter()
        for index, sample in samples.items():
            entry = self.entries[index]
            counts[entry.source if entry.share else "", sample.label] += entry.repeat
        for index, sample in samples.items():
            if share := self.entries[index].share:
                others, own = counts["", sample.label], counts[self.entries[index].source, sample.label]
                samples[index] = replace(sample, weight=share / (1 - share) * others / own if others and own else 1.0)
        return [samples[index] for index in indices for _ in range(self.entries[index].repeat)]

    def people(self, indices: Iterable[int]) -> set[tuple[str, str]]:
        """(corpus, person) of everybody who can be heard, read or seen in these items."""
        return people_of(self.items[index] for index in indices)

    def rated(self, indices: Iterable[int]) -> set[str]:
        """The corpora of those of these items that are trained on and whose valence and arousal are known."""
        learned = (index for index in indices if self.entries[index].repeat)
        return {self.items[index].corpus for index in learned if self.samples[index].affect is not None}


def load_data(config: ExperimentConfig, *, limit: int = 0, log: Callable[[str], None] = print) -> Data:
    """Open every corpus, then load every item, or about `limit` that are spread evenly over all, and more only where
    these lack a modality.

    Raises `CorpusError` that lists what is missing.
    """
    inputs, markers = config.inputs, config.reads_markers
    corpora = [
        (entry, open_corpus(entry.name, corpus_folder(entry.name, entry.path), **entry.options))
        for entry in config.corpora
    ]
    items: list[Item] = []
    entries: list[Entry] = []
    for entry, corpus in corpora:
        source = ":".join([corpus.name, *map(str, entry.options.values())])
        chosen = [item for item in corpus.items if not entry.longest_s or item.duration_s <= entry.longest_s]
        items += chosen
        share = entry.share if config.optimiser.probe else 0.0  # without one it would move the class weights
        entries += [Entry(source, entry.repeat, entry.test, share)] * len(chosen)
        synthetic = ", synthetic" if corpus.synthetic else ""
        log(f"{source}: {len(chosen)} items of {len(people_of(chosen))} people{synthetic}")
    step = max(1, -(-len(items) // limit)) if limit else 1
    samples: list[Sample] = []
    order: list[int] = []
    for first in range(step):
        part = range(first, len(items), step)
        order += part
        for item, utterance in load_each(track([items[index] for index in part], "loading")):
            label = LABELS.index(item.label)
            sample = prepare(utterance, label, modalities=config.modalities, inputs=inputs, markers=markers)
            samples.append(_of(item, sample))
        if all(any(sample.has(name) for sample in samples) for name in config.modalities):
            break
    items, entries = [items[index] for index in order], [entries[index] for index in order]
    kept = [index for index, sample in enumerate(samples) if any(sample.has(name) for name in config.modalities)]
    if not kept:
        raise CorpusError(f"no item of these corpora has {' or '.join(config.modalities)}: name another corpus")
    lacking = [name for name in config.modalities if not any(samples[index].has(name) for index in kept)]
    if lacking:
        cure = f"give the missing data, or leave the stream out (model.streams.{lacking[0]}.kind='')"
        raise CorpusError(f"no item of these corpora has {' or '.join(lacking)}: {cure}")
    if any(not samples[index].has(name) for index in kept for name in config.modalities) or len(kept) < len(items):
        counts = (f"{name} {sum(samples[index].has(name) for index in kept)}" for name in config.modalities)
        log(f"{len(kept)} of {len(items)} items can be used; with {', '.join(counts)}")
    return Data(
        tuple(items[i] for i in kept),
        tuple(entries[i] for i in kept),
        tuple(samples[i] for i in kept),
        _by_name(corpus for _, corpus in corpora),
    )


def _by_name(corpora: Iterable[Corpus]) -> dict[str, Corpus]:
    """A corpus that is there twice, with other options, has the items and the notes of both."""
    found: dict[str, Corpus] = {}
    for corpus in corpora:
        if other := found.get(corpus.name):
            notes = dict.fromkeys([*other.note.split("; "), *corpus.note.split("; ")])
            corpus = replace(corpus, items=other.items + corpus.items, note="; ".join(filter(None, notes)))
        found[corpus.name] = corpus
    return found


def _of(item: Item, sample: Sample) -> Sample:
    sample = replace(sample, person=f"{item.corpus}-{item.person}")
    if item.valence is None or item.arousal is None:
        return sample
    return replace(sample, affect=(item.valence, item.arousal))
