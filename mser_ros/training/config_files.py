"""Reading an experiment: YAML, overrides `dotted.key=value`, and one sentence for each mistake."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ..errors import SettingsError
from ..settings import Setting
from .config import ExperimentConfig

#: The resolved settings of a run, in its folder.
CONFIG = "config.yaml"


def load_config(
    path: Path, *, overrides: Sequence[str] = (), data: Mapping[str, str] | None = None
) -> ExperimentConfig:
    """Read an experiment. `overrides`: `dotted.key=value`, values in YAML. `data`: folders of corpora by name.

    Raises `SettingsError`: unreadable file, unknown key or corpus, wrong type, value out of range.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read ({error}): name a file of config/train") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} is not a mapping of settings: start from a file of config/train")
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsError(f"'{text}' is not of the form key=value, as in optimiser.epochs=10")
        _put(tree, name.strip(), yaml.safe_load(value))
    config = build_config(tree, where=path.name)
    names = {corpus.name for corpus in config.corpora}
    for name in data or {}:
        if name not in names:
            raise SettingsError(f"--data names '{name}', but {path.name} trains on {', '.join(sorted(names))}")
    corpora = tuple(
        dataclasses.replace(corpus, path=(data or {}).get(corpus.name, corpus.path)) for corpus in config.corpora
    )
    return dataclasses.replace(config, name=config.name or path.stem, corpora=corpora)


def build_config(tree: Mapping[str, Any], *, where: str = "") -> ExperimentConfig:
    """An experiment from nested mappings; raises `SettingsError`."""
    config = _build(ExperimentConfig, tree, "", where)
    if not config.modalities:
        raise SettingsError(f"{where} has no encoder: give model.streams.speech.kind, …text.kind or …mocap.kind")
    if not config.corpora:
        raise SettingsError(f"{where} names no corpus: list at least one under 'corpora'")
    return config


def read_config(folder: Path) -> ExperimentConfig:
    """The experiment of a run folder. Raises `SettingsError` where it is none."""
    path = folder / CONFIG
    if not path.is_file():
        raise SettingsError(f"{folder} is not a run folder, it has no {CONFIG}: name what 'mser train' wrote")
    return build_config(yaml.safe_load(path.read_text(encoding="utf-8")), where=str(path))


def config_tree(config: Any) -> Any:
    """The settings as nested mappings, fit for YAML and for comparison."""
    if is_dataclass(config):
        return {item.name: config_tree(getattr(config, item.name)) for item in fields(config)}
    return [config_tree(item) for item in config] if isinstance(config, tuple) else config


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    *groups, last = name.split(".")
    for key in groups:
        tree = tree.setdefault(key, {})
        if not isinstance(tree, dict):
            raise SettingsError(f"'{name}' cannot be set: '{key}' is not a group of settings")
    tree[last] = value


def _build(kind: type, tree: Any, prefix: str, where: str) -> Any:
    if not isinstance(tree, Mapping):
        raise SettingsError(f"'{prefix.rstrip('.')}' in {where} must be a group of settings, not {tree!r}")
    known = {item.name: item for item in fields(kind)}
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in tree.items():
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean '{prefix}{near[0]}'?" if near else f"known ones are {', '.join(known)}"
            raise SettingsError(f"unknown setting '{prefix}{key}' in {where}: {hint}")
        values[key] = _value(known[key], hints[key], value, f"{prefix}{key}", where)
    return kind(**values)


def _value(item: dataclasses.Field, hint: Any, value: Any, name: str, where: str) -> Any:
    if is_dataclass(hint):
        return _build(hint, {} if value is None else value, f"{name}.", where)  # type: ignore[arg-type]
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise SettingsError(f"{name} in {where} must be a list, not {value!r}")
        if is_dataclass(inner):
            return tuple(_build(inner, part, f"{name}.", where) for part in value)  # type: ignore[arg-type]
        return tuple(value)
    if typing.get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            raise SettingsError(f"{name} in {where} must be a mapping, not {value!r}")
        return dict(value)
    meta = item.metadata
    if isinstance(item.default, float) and isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    scalar = Setting(name, item.default, meta["description"], meta["unit"], meta["low"], meta["high"], meta["choices"])
    try:
        return scalar.check(value)
    except SettingsError as error:
        raise SettingsError(f"{error} in {where}") from None
