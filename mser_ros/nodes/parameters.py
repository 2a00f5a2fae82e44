"""ROS parameters from settings: declared with description and range, checked in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from ..errors import SettingsError
from ..settings import AUTOSTART
from ..settings.parameters import build_parameters
from ..settings.schema import Setting, flatten
from .diagnostics import as_sentence

T = TypeVar("T")


def declare_settings(
    node: Node, settings_class: type, *, is_editable: Callable[[], bool], adopt: Callable[[Any], None]
) -> None:
    """Declare every setting of a class, and `autostart`.

    The node must declare overrides automatically, so that unknown ones can be refused. While `is_editable` is false,
    live settings are checked together with the others and given to `adopt`, and changes of others are refused with the
    reason.
    """
    known = {item.name: item for item in [AUTOSTART, *flatten(settings_class)]}
    for item in known.values():
        if not node.has_parameter(item.name):
            node.declare_parameter(item.name, item.default, _descriptor(item))
            continue
        # A value that does not fit is refused at configure, with a better sentence than here; until it is corrected
        # the parameter goes without a range.
        try:
            item.check(node.get_parameter(item.name).value)
            node.set_descriptor(item.name, _descriptor(item))
        except SettingsError:
            node.set_descriptor(item.name, ParameterDescriptor(description=_describe(item), dynamic_typing=True))

    def check(parameters: list[Parameter]) -> SetParametersResult:
        try:
            changed = {item.name: item.value for item in parameters if item.name in known}
            for name, value in changed.items():
                known[name].check(value)
                if not is_editable() and not known[name].live:
                    raise SettingsError(f"{name} is read at configure: call deactivate and cleanup first")
            if changed and not is_editable():
                adopt(read_settings(node, settings_class, changed))
        except SettingsError as error:
            return SetParametersResult(successful=False, reason=as_sentence(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)


def read_settings(node: Node, settings_class: type[T], changed: Mapping[str, Any] | None = None) -> T:
    """The node's parameters as settings, with those that are about to be `changed`. Raises `SettingsError` for an
    unknown name, a wrong type or range."""
    parameters: dict[str, Any] = node.get_parameters_by_prefix("")
    values = {name: parameter.value for name, parameter in parameters.items()} | dict(changed or {})
    return build_parameters(settings_class, values, where=f"the parameters of node {node.get_name()}")


def autostarts(node: Node) -> bool:
    """Whether the node configures and activates itself. Raises `SettingsError` where the parameter is no boolean."""
    return AUTOSTART.check(node.get_parameter(AUTOSTART.name).value)


def _descriptor(item: Setting) -> ParameterDescriptor:
    # Dynamic typing lets a user write 1 for 1.0; `Setting.check` refuses what is not meant.
    descriptor = ParameterDescriptor(name=item.name, description=_describe(item), dynamic_typing=True)
    if item.low is not None and item.high is not None:
        if isinstance(item.default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(item.low), to_value=float(item.high))
            ]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(item.low), to_value=int(item.high), step=1)]
    return descriptor


def _describe(item: Setting) -> str:
    choices = f" ({' | '.join(item.choices)})" if item.choices else ""
    unit = f" [{item.unit}]" if item.unit else ""
    return f"{item.description}{unit}{choices}{'; may be changed while the node works' if item.live else ''}"
