"""What a setting is: declared as a field of a dataclass, listed by its dotted name, checked, and built from values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

from ..errors import SettingsError

T = TypeVar("T")

#: How a user is told what a value must be.
_NAMES = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}


def setting(
    default: Any,
    description: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """A dataclass field with what a user must know of it. `low` and `high` are inclusive. `live`: it may be changed
    while a node works."""
    return field(
        default=default,
        metadata={
            "description": description,
            "unit": unit,
            "low": low,
            "high": high,
            "choices": choices,
            "live": live,
        },
    )


def group(settings_class: type) -> Any:
    """A nested group of settings, all at their defaults."""
    return field(default_factory=settings_class)


@dataclass(frozen=True)
class Setting:
    """One setting, flattened: what a parameter declaration, a YAML file or a table needs."""

    name: str
    default: Any
    description: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    live: bool = False

    def check(self, value: Any) -> Any:
        """`value` as the setting's own type, or a `SettingsError` that names the cure."""
        kind = type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not kind:
            raise SettingsError(f"{self.name} must be {_NAMES[kind]}, not {value!r}")
        if self.choices and value not in self.choices:
            raise SettingsError(f"{self.name} must be one of {', '.join(self.choices)}, not {value!r}")
        if not self.allows(value):
            raise SettingsError(
                f"{self.name} must lie in {self.low:g} to {self.high:g} {self.unit}".rstrip() + f", not {value:g}"
            )
        return value

    def allows(self, value: Any) -> bool:
        """Whether a value of the setting's own type lies in its range."""
        low, high = self.low, self.high
        return (low is None or value >= low) and (high is None or value <= high)


def flatten(settings_class: type, prefix: str = "") -> Iterator[Setting]:
    """Every setting of a class and its groups, names joined by dots, in the order of definition."""
    for item in fields(settings_class):
        name = f"{prefix}{item.name}"
        if item.default_factory is not dataclasses.MISSING:
            yield from flatten(item.default_factory, f"{name}.")  # type: ignore[arg-type]
        else:
            meta = item.metadata
            yield Setting(name, item.default, **meta)


def build(settings_class: type[T], values: Mapping[str, Any], *, where: str = "") -> T:
    """An instance from values by dotted name; what is not named keeps its default.

    Raises `SettingsError` for an unknown name (with the nearest known one), a wrong type or a value out of range.
    """
    known = {item.name: item for item in flatten(settings_class)}
    at = f" in {where}" if where else ""
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known ones are {', '.join(known)}"
            raise SettingsError(f"unknown setting '{name}'{at}: {hint}")
    try:
        checked = {name: known[name].check(value) for name, value in values.items()}
    except SettingsError as error:
        raise SettingsError(f"{error}{at}") from None
    settings = _assemble(settings_class, checked, "")
    _validate(settings)
    return settings


def _assemble(settings_class: type[T], values: Mapping[str, Any], prefix: str) -> T:
    arguments: dict[str, Any] = {}
    for item in fields(settings_class):  # type: ignore[arg-type]
        name = f"{prefix}{item.name}"
        if item.default_factory is not dataclasses.MISSING:
            arguments[item.name] = _assemble(item.default_factory, values, f"{name}.")  # type: ignore[arg-type]
        elif name in values:
            arguments[item.name] = values[name]
    return settings_class(**arguments)


def _validate(settings: Any) -> None:
    """Have each group that knows a rule between its settings look at it; raises `SettingsError`."""
    for item in fields(settings):
        value = getattr(settings, item.name)
        if is_dataclass(value):
            _validate(value)
    if hasattr(settings, "validate"):
        settings.validate()
