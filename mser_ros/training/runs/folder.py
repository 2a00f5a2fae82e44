"""What a run folder says of its run: settings, environment, and the people and corpora behind its weights."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ...corpora import Corpus
from ...errors import SettingsError
from ..config.files import CONFIG, config_tree, read_config, what_matters
from ..config.settings import ExperimentConfig
from .environment import describe_environment
from .warm_start import encoder_runs

CORPORA, ENVIRONMENT = "corpora.json", "environment.json"
#: Hashes of what the run was begun with: by data source or encoder, then by aspect.
ORIGIN = "origin.json"

Origin = Mapping[str, Mapping[str, str]]


def check_run(config: ExperimentConfig, folder: Path) -> None:
    """Raise `SettingsError` where the run folder holds another experiment."""
    if not (folder / CONFIG).is_file():
        return
    old, new = (what_matters(one) for one in (read_config(folder), config))
    other = [f"{name}={old.get(name)}" for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    if other:
        raise SettingsError(
            f"{folder} holds a run with other settings ({_some(other)}): name another folder with --run"
        )


def check_origin(origin: Origin, folder: Path, *, cure: str = "name another folder with --run") -> None:
    """Raise `SettingsError` where the run was begun with other data or encoders than those that are there now.

    `cure`: what to do where they cannot be restored. A run of an earlier version does not tell with what it was begun:
    it goes on.
    """
    path = folder / ORIGIN
    if not ((folder / CONFIG).is_file() and path.is_file()):
        return
    try:
        begun: Origin = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path} is damaged ({error}): {cure}") from None
    other = []
    for what in sorted({*begun, *origin}):
        old, new = begun.get(what, {}), origin.get(what, {})
        # Of other items everything else is different too.
        aspects = ["items"] if old.get("items") != new.get("items") else sorted({*old} & {*new})
        other += [f"{aspect} of {what}" for aspect in aspects if old.get(aspect) != new.get(aspect)]
    if other:
        raise SettingsError(
            f"the run in {folder} was begun with other {_some(other)} than there are now: restore them, or {cure}"
        )


def open_run(config: ExperimentConfig, origin: Origin, folder: Path) -> None:
    """Make the run folder; note with what data and encoders (`origin`), on what machine and with what code it was
    begun, or goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / CONFIG).is_file():
        # Commands that come later may be given elsewhere.
        corpora = (
            replace(one, path=str(Path(one.path).expanduser().absolute())) if one.path else one
            for one in config.corpora
        )
        config = replace(config, corpora=tuple(corpora))
        (folder / ORIGIN).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
        text = yaml.safe_dump(config_tree(config), sort_keys=False, allow_unicode=True)
        (folder / CONFIG).write_text(text, encoding="utf-8")
    path, now = folder / ENVIRONMENT, describe_environment()
    known = [one for one in read_environments(folder) if one]
    if now not in known:
        path.write_text(json.dumps([*known, now], indent=2) + "\n", encoding="utf-8")


def read_environments(folder: Path) -> list[dict[str, Any]]:
    """On what and with which code a run was begun, then where it went on; one that is empty where nothing is known."""
    try:
        return json.loads((folder / ENVIRONMENT).read_text(encoding="utf-8")) or [{}]
    except (OSError, ValueError):
        return [{}]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def read_corpora(folder: Path) -> dict[str, dict[str, Any]]:
    """What `note_corpora` wrote, by name. Raises `SettingsError` for a run that is not finished."""
    path = folder / CORPORA
    if not path.is_file():
        raise SettingsError(f"the run in {folder} is not finished: give the same 'mser train' command again")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path} is damaged ({error}): give the same 'mser train' command again") from None


def note_corpora(
    config: ExperimentConfig,
    corpora: Mapping[str, Corpus],
    trained: Iterable[tuple[str, str]],
    folder: Path,
    *,
    rated: Collection[str] = (),
) -> None:
    """Write down every corpus behind the run's weights with its conditions and people: its own, the sources of
    synthetic ones, and those of the runs that its encoders come from. `trained`: (corpus, person) of everybody in the
    items that it learned. `rated`: the corpora of which it learned valence and arousal."""
    people: dict[str, set[str]] = {}
    for name, person in trained:
        people.setdefault(name, set()).add(person)
    entries = {
        name: {
            "licence": corpus.licence,
            "cluster_unit": corpus.cluster_unit,
            "synthetic": corpus.synthetic,
            "evaluation_only": corpus.evaluation_only,
            "note": corpus.note,
        }
        for name, corpus in corpora.items()
    }
    for whole in corpora.values():
        part = {**entries[whole.name], "synthetic": False, "note": f"part of {whole.name}"}
        for name in sorted({source.corpus for item in whole.items for source in item.sources}):
            entries.setdefault(name, part)
    entries = {name: {**entry, "affect": name in rated} for name, entry in entries.items()}
    for run in encoder_runs(config):
        for name, entry in read_corpora(run).items():
            people.setdefault(name, set()).update(entry["people"])
            note = entry["note"] or f"by the encoder of {run.name}"
            entries.setdefault(name, {**entry, "affect": False, "note": note})
    entries = {name: {**entry, "people": sorted(people.get(name, ()))} for name, entry in entries.items()}
    (folder / CORPORA).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
