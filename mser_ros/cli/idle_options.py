"""Options that can have no effect on what a command was given beside them: refused, as who typed them counts on one."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.core import ParameterSource

from ..errors import SettingsError


def refuse_idle(names: Iterable[str], why: str, cure: str = "") -> None:
    """`names`: of parameters of the command that runs; `why`: what they go with. Raises `SettingsError` where one of
    them was typed."""
    context = click.get_current_context()
    typed = [name for name in names if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if typed:
        options = " and ".join(_spelt(context, name) for name in typed)
        go, them = ("goes", "it") if len(typed) == 1 else ("go", "them")
        raise SettingsError(f"{options} {go} with {why}: {cure or f'leave {them} away'}")


def _spelt(context: click.Context, name: str) -> str:
    """As it was typed: of a pair of opposites the one that was chosen."""
    option = next(item for item in context.command.params if item.name == name)
    is_opposite = option.secondary_opts and not context.params[name]
    return max(option.secondary_opts if is_opposite else option.opts, key=len)
