"""All settings of a model: defaults, then layer globs, later lines winning."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.derived_layers import OWN_KNOBS, original_name
from workbench.domain.errors import RecipeError
from workbench.domain.knobs import Knob, Setting


class Plan(BaseModel):
    """Settings as the user wrote them.

    Attributes:
        default: Setting per knob for every layer that no line names.
        layers: Setting per knob by layer name or glob, in order; later lines win.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: dict[str, Setting] = Field(default_factory=dict)
    layers: dict[str, dict[str, Setting]] = Field(default_factory=dict)

    def with_settings(self, layers: Iterable[str], knob: str, value: Setting | None) -> Plan:
        """Return a plan in which each named layer has its own line for `knob`; None takes that line away."""
        lines = {name: dict(settings) for name, settings in self.layers.items()}
        for layer in layers:
            line = lines.pop(_escaped(layer), {})
            line.pop(knob, None)
            if value is not None:
                line[knob] = value
            if line:
                lines[_escaped(layer)] = line
        return Plan(default=self.default, layers=lines)

    def knobs(self) -> frozenset[str]:
        """Return the names of all knobs that occur."""
        return frozenset(self.default).union(*(line.keys() for line in self.layers.values()))


def _escaped(name: str) -> str:
    """Return `name` as a glob that matches only itself."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


class Origin(enum.IntEnum):
    """Where a setting comes from; the higher one wins where layers are coupled."""

    DEFAULT = 0
    GLOB = 1
    LINE = 2


class LayerSettings(Mapping[str, Mapping[str, Setting]]):
    """A plan resolved against a model: for every layer, the setting of every knob, untouched values included.

    Layers that a step derived from a listed one ("fc1~1" from "fc1") are found too, with its bits and the like; what is
    said of its channels and rank does not pass to them. Going through all lists the model's own layers only.
    """

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, Setting]],
        origins: Mapping[tuple[str, str], Origin] | None = None,
    ) -> None:
        self._settings = {name: MappingProxyType(dict(values)) for name, values in settings.items()}
        self._origins = dict(origins or {})

    def __getitem__(self, layer: str) -> Mapping[str, Setting]:
        own = self._settings.get(layer)
        parent = original_name(layer) if own is None else None
        if own is None and parent is not None:
            return {knob: value for knob, value in self[parent].items() if knob not in OWN_KNOBS}
        return self._settings[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def number(self, layer: str, knob: Knob) -> float:
        """Return the numeric setting of `knob` on `layer`; the untouched value for a layer that is not listed."""
        line: Mapping[str, Setting] = self.get(layer, {})
        return float(line.get(knob.name, knob.untouched))

    def origin(self, layer: str, knob: Knob) -> Origin:
        """Return where a setting comes from; settings that were made without a plan count as the layer's own line."""
        parent = original_name(layer)
        if layer not in self._settings and parent is not None and knob.name not in OWN_KNOBS:
            return self.origin(parent, knob)
        return self._origins.get((layer, knob.name), Origin.LINE if not self._origins else Origin.DEFAULT)

    def explicit(self, layer: str, knob: Knob) -> bool:
        """Whether the plan has a line for `knob` that names this layer alone."""
        return self.origin(layer, knob) is Origin.LINE

    def with_values(self, knob: Knob, values: Mapping[str, Setting]) -> LayerSettings:
        """Return the same settings with other values of one knob on the named layers, as lines of their own."""
        changed = {name: dict(line) for name, line in self._settings.items()}
        for name, value in values.items():
            changed.setdefault(name, dict(self.get(name, {})))[knob.name] = value
        # Without origins every setting counts as a line already.
        lines = {(name, knob.name): Origin.LINE for name in values} if self._origins else {}
        return LayerSettings(changed, {**self._origins, **lines})

    def touched(self, knob: Knob) -> tuple[str, ...]:
        """Return the layers on which `knob` differs from its untouched value."""
        return tuple(
            name for name, values in self._settings.items() if values.get(knob.name, knob.untouched) != knob.untouched
        )


def resolve(
    plan: Plan, layers: Mapping[str, Iterable[str]], knobs: Sequence[Knob], *, where: str = "plan"
) -> LayerSettings:
    """Resolve a plan against a model's layers.

    Args:
        plan: The settings as written.
        layers: For every layer name the names of the knobs that apply to it.
        knobs: All knobs that are known.
        where: Names the plan's place in messages.

    Raises:
        RecipeError: an unknown knob, a value out of range, a glob that matches no layer, or a line that names a
            single layer and a knob which does not apply to it. Defaults and globs skip layers they don't fit.
    """
    known = {knob.name: knob for knob in knobs}
    applicable = {name: frozenset(names) for name, names in layers.items()}
    settings: dict[str, dict[str, Setting]] = {
        name: {knob: known[knob].untouched for knob in known if knob in allowed} for name, allowed in applicable.items()
    }

    def checked(line: Mapping[str, Setting], place: str) -> dict[str, Setting]:
        unknown = [name for name in line if name not in known]
        if unknown:
            raise RecipeError(
                f"unknown knob {unknown[0]!r}",
                where=place,
                expected="one of " + ", ".join(sorted(known)),
                action="Correct the name or install the plugin that brings it.",
            )
        return {name: known[name].check(value, place) for name, value in line.items()}

    default = checked(plan.default, f"{where}.default")
    for name, values in settings.items():
        values.update({knob: value for knob, value in default.items() if knob in applicable[name]})
    origins = {(name, knob): Origin.DEFAULT for name, values in settings.items() for knob in values}
    for pattern, line in plan.layers.items():
        place = f"{where}.layers[{pattern!r}]"
        values = checked(line, place)
        matched = [name for name in settings if name == pattern or fnmatchcase(name, pattern)]
        if not matched:
            raise RecipeError(
                "matches no layer",
                where=place,
                expected=f"a layer name or glob, such as {next(iter(settings), '(this model has no layers)')!r}",
                action="Run `workbench inspect` for the names.",
            )
        for name in matched:
            for knob, value in values.items():
                if knob in applicable[name]:
                    settings[name][knob] = value
                    origins[name, knob] = Origin.LINE if len(matched) == 1 else Origin.GLOB
                elif len(matched) == 1 and value != known[knob].untouched:
                    raise RecipeError(f"layer {name!r} has no knob {knob!r}", where=place, action="Remove the setting.")
    return LayerSettings(settings, origins)
