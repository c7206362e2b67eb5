"""Sorts methods for menus: by what they turn, the recommended one first, so that a long list stays readable."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workbench.domain.knobs import Knob
from workbench.domain.reports import ParameterSchema
from workbench.ui.models.recipe_steps import by_stage
from workbench.ui.workflow import RECOMMENDED

MOST_BESIDE = 2
"""Methods of one knob that stand in a menu beside others; more of them get a menu of their own."""


@dataclass(frozen=True)
class Choice:
    """Methods that turn the same knob, the recommended one first; `title` heads a menu of their own."""

    title: str
    methods: tuple[ParameterSchema, ...]

    @property
    def own_menu(self) -> bool:
        """Whether they are too many to stand beside others."""
        return len(self.methods) > MOST_BESIDE


def recommended_first(methods: Iterable[ParameterSchema]) -> tuple[ParameterSchema, ...]:
    """Return the methods, recommended ones before the others, which stay in their order."""
    return tuple(sorted(methods, key=lambda method: method.id not in RECOMMENDED))


def stage_choices(
    knobs: Sequence[Knob], methods: Iterable[ParameterSchema]
) -> tuple[tuple[str, tuple[Choice, ...]], ...]:
    """Return for every stage, in the order in which recipes run them, its methods by the first knob that they read."""
    titles = {knob.name: knob.title for knob in knobs}
    found = []
    for stage, members in by_stage(methods):
        sorts: dict[str, list[ParameterSchema]] = {}
        for method in members:
            sorts.setdefault(method.knobs[0] if method.knobs else "", []).append(method)
        choices = [
            Choice(f"{titles.get(knob, knob) or 'Others'} ({len(same)} methods)", recommended_first(same))
            for knob, same in sorts.items()
        ]
        found.append((stage, tuple(sorted(choices, key=lambda choice: not choice.own_menu))))
    return tuple(found)


def method_tip(method: ParameterSchema) -> str:
    """Return what a method does and the paper it comes from, a line each."""
    lines = [method.summary, method.source]
    if method.id in RECOMMENDED:
        lines.append("Recommended to begin with")
    return "\n".join(line for line in lines if line)
