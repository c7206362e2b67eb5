"""Which values of a knob a layer can be given: what the recipe's methods can do, or without any, what some can."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from workbench.domain.knobs import Knob, Setting
from workbench.domain.recipe import Step
from workbench.domain.reports import LayerReport, ParameterSchema

NONE_REFUSED: Mapping[Setting, str] = MappingProxyType({})


def reading_steps(steps: Iterable[Step]) -> tuple[str, ...]:
    """Return the ids of the methods that a run would use, each once."""
    return tuple(dict.fromkeys(step.method for step in steps if step.enabled))


def refused_values(
    layer: LayerReport, knob: Knob, methods: Sequence[ParameterSchema], reading: Sequence[str] = ()
) -> Mapping[Setting, str]:
    """Return the choices of a knob that can't be done on a layer, each with why.

    Every step of the recipe that reads the knob must take the value, because a run refuses it otherwise. While none
    does, a value is open that any installed method takes, since a run would be given such a step.

    Args:
        layer: Of the model.
        knob: One with choices; of any other nothing is refused.
        methods: The installed ones.
        reading: Ids of the recipe's enabled steps.
    """
    readers = [method for method in methods if knob.name in method.knobs]
    steps = [method for method in readers if method.id in reading]
    found: dict[Setting, str] = {}
    for value in knob.choices:
        if value == knob.untouched or not readers:
            continue
        reasons = [_reason(method, layer, knob, value) for method in steps or readers]
        said = [reason for reason in reasons if reason is not None]
        if said and (steps or len(said) == len(reasons)):
            found[value] = said[0] + ("" if not steps else _step(steps[reasons.index(said[0])]))
    return found


class Refusals:
    """The same for all layers of a model, most of which differ in nothing that matters here.

    Args:
        methods: The installed ones.
        steps: The recipe's.
    """

    def __init__(self, methods: Iterable[ParameterSchema], steps: Iterable[Step]) -> None:
        self._methods = tuple(methods)
        self._reading = reading_steps(steps)
        self._found: dict[tuple[str, tuple[tuple[str, str], ...]], Mapping[Setting, str]] = {}

    def of(self, layer: LayerReport, knob: Knob) -> Mapping[Setting, str]:
        """Return the choices of a knob that can't be done on a layer, each with why."""
        blocked = tuple((id, reasons[knob.name]) for id, reasons in layer.blocked_by.items() if knob.name in reasons)
        key = (knob.name, blocked)
        if key not in self._found:
            self._found[key] = refused_values(layer, knob, self._methods, self._reading)
        return self._found[key]


def refused_by_all(cells: Iterable[Mapping[Setting, str]]) -> Mapping[Setting, str]:
    """Return the values that every one of several layers refuses, with what the first says of each."""
    several = list(cells)
    if not several:
        return NONE_REFUSED
    return {value: reason for value, reason in several[0].items() if all(value in refused for refused in several[1:])}


def _reason(method: ParameterSchema, layer: LayerReport, knob: Knob, value: Setting) -> str | None:
    blocked = layer.blocked_by.get(method.id, {}).get(knob.name)
    if blocked is not None:
        return blocked[:1].upper() + blocked[1:]
    return dict(method.refused.get(knob.name, ())).get(value)


def _step(method: ParameterSchema) -> str:
    return f" (step {method.title})"
