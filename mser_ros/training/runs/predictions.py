"""Out-of-fold predictions: what a model says of people it has never seen, kept with every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ...corpora.base import BETWEEN_PEOPLE, Item
from ...errors import SettingsError
from ...evaluation.metrics import Predictions
from ...labels import LABELS
from ...recognition.bundle import LEAST_IN_DOMAIN
from ...recognition.posteriors import softmax

#: Where a run and each of its folds keep what they predicted, from all modalities.
PREDICTIONS = "predictions.npz"
#: Where it keeps what it predicted of corpora that the model had not learned from.
TRANSFER = "transfer.npz"
#: Behind the name of such a source, where it stands beside the same corpus as others know it.
UNMET = ", unmet"


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """One row per item: its identity (str arrays), `label`: int64 (N,), `logits`: float32 (N, C).

    `source` names the corpus and its options, e.g. 'egait:perceived'; `cluster` the bootstrap's unit. `person` and
    `cluster` are names that people of another corpus may have as well; `people`, `who` and `clusters` tell these apart.
    `affect` and `affect_truth`: valence and arousal, float32 (N, 2) in -1..1, NaN where they are not estimated or not
    known. `in_domain`: float32 (N,), 0..1, how sure the judge was that the item is like what the model has learned
    from, NaN where there was none. `sex`: 'f', 'm', or '' where it is not known.
    """

    source: np.ndarray
    item_id: np.ndarray
    person: np.ndarray
    cluster: np.ndarray
    fold: np.ndarray
    label: np.ndarray
    logits: np.ndarray
    affect: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    affect_truth: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    in_domain: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    sex: np.ndarray = field(default_factory=lambda: np.zeros(0, str))

    def __post_init__(self) -> None:
        for name, shape in (("affect", (len(self), 2)), ("affect_truth", (len(self), 2)), ("in_domain", (len(self),))):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(shape, np.nan, np.float32))
        if not len(self.sex):
            object.__setattr__(self, "sex", np.full(len(self), ""))

    def __len__(self) -> int:
        return len(self.label)

    def select(self, rows: np.ndarray) -> OutOfFold:
        """Some rows, by mask or index."""
        return OutOfFold(*(getattr(self, item.name)[rows] for item in fields(self)))

    def of(self, source: str) -> OutOfFold:
        """The rows of one source."""
        return self.select(self.source == source)

    @property
    def sources(self) -> list[str]:
        return sorted(set(self.source.tolist()))

    @property
    def corpora(self) -> np.ndarray:
        """The corpus of each row, (N,); several sources may be of one, and of the same people."""
        return np.array([source.removesuffix(UNMET).split(":")[0] for source in self.source.tolist()], str)

    @property
    def who(self) -> np.ndarray:
        """The person of each row, (N,)."""
        return _apart(self.person, self.corpora)

    @property
    def clusters(self) -> np.ndarray:
        """The bootstrap's unit of each row, (N,)."""
        return _apart(self.cluster, self.corpora)

    @property
    def people(self) -> set[str]:
        """Everybody who can be heard, read or seen; of synthetic items the source people."""
        named = zip(self.cluster.tolist(), self.who.tolist(), strict=True)
        return {
            one
            for cluster, who in named
            for one in (cluster.split(BETWEEN_PEOPLE) if BETWEEN_PEOPLE in cluster else [who])
        }

    @property
    def answered(self) -> np.ndarray:
        """Whether the robot would use each row, bool (N,): it leaves out what is not in the domain."""
        return ~(self.in_domain < LEAST_IN_DOMAIN)

    @property
    def believed(self) -> np.ndarray:
        """The logits (N, C) as far as the robot believes them: less of what is less like what was learned from."""
        share = np.where(np.isfinite(self.in_domain), self.in_domain, 1.0) * self.answered
        return self.logits * share[:, None].astype(np.float32)

    def predictions(self, temperature: float = 1.0) -> Predictions:
        """As the evaluation wants them."""
        return Predictions(self.label, softmax(self.logits / temperature), self.clusters)

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **{item.name: getattr(self, item.name) for item in fields(self)})

    @staticmethod
    def load(path: Path) -> OutOfFold:
        """Raises `SettingsError` where the file is missing."""
        if not path.is_file():
            raise SettingsError(f"there are no predictions {path}: finish the run with 'mser train'")
        try:
            with np.load(path, allow_pickle=False) as stored:
                return OutOfFold(**{name: stored[name] for name in stored.files})
        except (ValueError, TypeError, OSError, EOFError, BadZipFile) as error:
            raise SettingsError(
                f"{path} is damaged ({error}): delete it and give the 'mser train' command again"
            ) from None

    @staticmethod
    def join(parts: list[OutOfFold]) -> OutOfFold:
        return OutOfFold(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(OutOfFold)))


def _apart(names: np.ndarray, corpora: np.ndarray) -> np.ndarray:
    """The corpus before each name that several corpora have. Not before those of synthetic items, whose people are
    named by the corpora that they come from."""
    found = set(zip(names.tolist(), corpora.tolist(), strict=True))
    count = Counter(name for name, _ in found if BETWEEN_PEOPLE not in name)
    pairs = zip(names.tolist(), corpora.tolist(), strict=True)
    return np.array([f"{corpus}:{name}" if count[name] > 1 else name for name, corpus in pairs], str)


def subset_file(subset: Sequence[str], modalities: Sequence[str] = ()) -> str:
    """Where a run keeps its predictions from these modalities; all of them are meant where the two are equal."""
    return PREDICTIONS if tuple(subset) == tuple(modalities) else f"predictions_{'+'.join(subset)}.npz"


def describe(
    items: Sequence[Item],
    sources: Sequence[str],
    logits: np.ndarray,
    fold: str,
    affect: np.ndarray | None = None,
    in_domain: np.ndarray | None = None,
) -> OutOfFold:
    """OutOfFold with the identity of their items. `affect`: (N, 2), if the network estimates it. `in_domain`: (N,), if
    there is a judge."""
    truth = [[np.nan if value is None else value for value in (item.valence, item.arousal)] for item in items]
    return OutOfFold(
        source=np.array(sources, str),
        item_id=np.array([item.item_id for item in items], str),
        person=np.array([item.person for item in items], str),
        cluster=np.array([item.cluster for item in items], str),
        fold=np.full(len(items), fold),
        label=np.array([LABELS.index(item.label) for item in items], np.int64),
        logits=logits.astype(np.float32),
        affect=np.full((len(items), 2), np.nan, np.float32) if affect is None else affect.astype(np.float32),
        affect_truth=np.array(truth, np.float32).reshape(len(items), 2),
        in_domain=np.full(len(items), np.nan, np.float32) if in_domain is None else in_domain.astype(np.float32),
        sex=np.array([item.sex for item in items], str),
    )
