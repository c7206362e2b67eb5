"""The setting of every knob on every layer as a run takes it, and the lines of the plan that it would refuse.

Layers that are coupled take one setting: a line that names a layer beats a glob, a glob the default, as in the methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from workbench.domain.errors import RecipeError
from workbench.domain.knobs import Knob, Setting
from workbench.domain.plan import Origin, Plan
from workbench.domain.reports import InspectReport, LayerReport
from workbench.ui.models import numbers

# Of lines that no cell of the table shows.
_WAY_OUT = "Set it anew, or reset the plan."
_SHARED = {"channels": "share their channels", "branch": "can only be left out together"}


@dataclass(frozen=True)
class InForce:
    """One knob's setting on one layer.

    Attributes:
        value: The setting.
        origin: Which part of the plan gives it.
        given_by: Name of the coupled layer whose line or glob gives it; "" where the layer's own does.
    """

    value: Setting
    origin: Origin = Origin.DEFAULT
    given_by: str = ""


Settings = Mapping[str, Mapping[str, InForce]]


def resolve_settings(
    plan: Plan, report: InspectReport, knobs: Sequence[Knob], labels: Mapping[str, str]
) -> tuple[Settings, tuple[str, ...]]:
    """Return every layer's settings, and in words what a run would refuse.

    Args:
        plan: As the user wrote it; what can't be read is left out.
        report: Layers and what couples them.
        knobs: All knobs that are known.
        labels: What layers are called in the window.
    """
    known = {knob.name: knob for knob in knobs}
    problems: list[str] = []
    default = _checked(plan.default, "plan default", known, problems)
    found: dict[str, dict[str, InForce]] = {
        layer.name: {knob: InForce(default.get(knob, known[knob].untouched)) for knob in known}
        for layer in report.layers
    }
    for pattern, line in plan.layers.items():
        values = _checked(line, pattern, known, problems)
        matched = [name for name in found if name == pattern or fnmatchcase(name, pattern)]
        if not matched:
            problems.append(f"{pattern}: matches no layer of this model. {_WAY_OUT}")
        origin = Origin.LINE if len(matched) == 1 else Origin.GLOB
        for name in matched:
            found[name].update({knob: InForce(value, origin) for knob, value in values.items()})
    for knob in knobs:
        if knob.coupling != "none":
            problems.extend(_not_taken(report, knob, found, labels))
            for names in together(report, knob):
                problems.extend(_couple(names, knob, found, labels))
    return found, tuple(problems)


def together(report: InspectReport, knob: Knob) -> Iterable[tuple[str, ...]]:
    """Return the sets of layers that take one setting of a knob: their channels, or their branch, go together."""
    sets: dict[str, list[str]] = {}
    for layer in report.layers:
        shared = {"channels": layer.group, "branch": layer.branch}.get(knob.coupling)
        if shared is not None:
            sets.setdefault(shared, []).append(layer.name)
    return (tuple(names) for names in sets.values())


def not_settable(layer: LayerReport, knob: Knob) -> str | None:
    """Return why a layer can't take a setting of the knob, or None if it can."""
    if knob.coupling == "channels" and layer.blocked:
        return f"Its channels can't be removed: {layer.blocked}"
    if knob.coupling == "branch" and layer.branch is None:
        return "It is in no residual branch, nor in a run of layers that keeps its shape"
    if knob.name in layer.refusals:
        reason = layer.refusals[knob.name]
        return reason[:1].upper() + reason[1:]
    if knob.name not in layer.knobs:
        return f"{layer.op} layers have no {knob.title.lower()} setting"
    return None


def _checked(
    line: Mapping[str, Setting], where: str, known: Mapping[str, Knob], problems: list[str]
) -> dict[str, Setting]:
    good: dict[str, Setting] = {}
    for name, value in line.items():
        if name not in known:
            problems.append(f"{where}: no installed method has the knob {name!r}. {_WAY_OUT}")
            continue
        try:
            good[name] = known[name].check(value, where)
        except RecipeError as error:
            problems.append(f"{error} {_WAY_OUT}")
    return good


def _not_taken(
    report: InspectReport, knob: Knob, found: Mapping[str, Mapping[str, InForce]], labels: Mapping[str, str]
) -> Iterable[str]:
    """Yield the lines that ask of a single layer what can't be done with it."""
    for layer in report.layers:
        asked = found[layer.name][knob.name]
        reason = not_settable(layer, knob)
        if reason is not None and asked.origin is Origin.LINE and asked.value != knob.untouched:
            value = numbers.setting_text(asked.value, knob.unit)
            yield f"{labels[layer.name]}: {knob.title} {value} can't be done. {reason}. Reset it below."


def _couple(
    names: Sequence[str], knob: Knob, found: Mapping[str, dict[str, InForce]], labels: Mapping[str, str]
) -> Iterable[str]:
    """Give all layers of a set what the strongest part of the plan says; yield what contradicts itself there."""
    strongest = max(found[name][knob.name].origin for name in names)
    givers = [name for name in names if found[name][knob.name].origin is strongest]
    values = {found[name][knob.name].value: name for name in givers}
    if len(values) > 1:
        said = [f"{labels[name]} ({numbers.setting_text(value, knob.unit)})" for value, name in values.items()]
        alike = f"give them the same {knob.title.lower()} setting, or reset all but one"
        yield f"{' and '.join(said[:2])} {_SHARED[knob.coupling]}: {alike}."
        return
    giver = givers[0]
    for name in names:
        if found[name][knob.name].origin is not strongest:
            found[name][knob.name] = replace(found[giver][knob.name], given_by=giver)
