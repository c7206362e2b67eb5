"""Forms the space of a study from a model: layers, what couples them, pins, ties, and values worth trying."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import product

from workbench.domain.channel_counts import kept_units, unit_step
from workbench.domain.errors import RecipeError
from workbench.domain.knobs import ACTIVATION_BITS, KEEP, PRUNE_RATIO, WEIGHT_BITS, Knob, Setting
from workbench.domain.plan import Plan
from workbench.domain.study import KnobInPlay, Study
from workbench.graph.channels import ChannelGroup, layer_groups
from workbench.graph.model import ModelGraph
from workbench.methods.applicability import coupled_layers, described_layers, obstacles
from workbench.methods.registry import MethodRegistry
from workbench.methods.search.space import Dimension, Space

_BITS_IN_PLAY: tuple[Setting, ...] = (8,)
_MOST_COUNTS = 4
# Measured: convolutions run in blocks of 16 channels; what is narrower than two of them can only lose half of one.
_WIDE, _MULTIPLE, _NARROW_MULTIPLE = 32, 16, 8


def form_space(
    graph: ModelGraph, study: Study, registry: MethodRegistry, paying: Mapping[str, Collection[int]] | None = None
) -> Space:
    """Return what a study chooses from on a model.

    Args:
        graph: The original.
        study: With its steps and knobs filled in (see `template.completed`).
        registry: The known methods.
        paying: By layer, the channel counts that were measured to be faster than all larger ones, where that is known;
            others are not tried, unless the study names values.

    Raises:
        RecipeError: an unknown knob, a value out of range, a glob that matches no layer, tied layers that share no
            value, or nothing that is in play.
    """
    return _Forming(graph, study, registry, paying or {}).space()


class _Forming:
    def __init__(
        self, graph: ModelGraph, study: Study, registry: MethodRegistry, paying: Mapping[str, Collection[int]]
    ) -> None:
        self._graph, self._study, self._registry, self._paying = graph, study, registry, paying
        self._wasteful = 0
        self._layers = described_layers(graph, registry)
        self._names = [layer.name for layer in self._layers]
        self._order = {name: place for place, name in enumerate(self._names)}
        self._groups: Mapping[str, tuple[ChannelGroup, ...]] = layer_groups(graph)
        self._notes: list[str] = []

    def space(self) -> Space:
        study = self._study
        in_play = self._matching(study.layers, "layers")
        pins = {
            pattern: (self._matching((pattern,), "pins"), self._checked(line, f"pins[{pattern!r}]"))
            for pattern, line in study.pins.items()
        }
        found: list[Dimension] = []
        pinned: list[Dimension] = []
        knobs = dict(study.knobs)
        bits = [name for name in (WEIGHT_BITS.name, ACTIVATION_BITS.name) if name in knobs]
        for name, entry in knobs.items():
            if len(bits) == 2 and name == ACTIVATION_BITS.name:
                continue
            together = (name, ACTIVATION_BITS.name) if len(bits) == 2 and name == WEIGHT_BITS.name else (name,)
            layers = self._matching(entry.layers, f"knobs.{name}.layers") if entry.layers else in_play
            for dimension in self._dimensions([self._registry.knob(each, "knobs") for each in together], entry, layers):
                held = {
                    layer
                    for members, line in pins.values()
                    for layer in members
                    if dimension.names & line.keys() and layer in dimension.layers
                }
                if held and entry.together and len(held) < len(dimension.layers):
                    rest = tuple(layer for layer in dimension.layers if layer not in held)
                    found.append(replace(dimension, layers=rest))
                else:
                    (pinned if held else found).append(dimension)
        for place, tie in enumerate(study.ties):
            found = self._tied(found, self._matching(tie, f"ties[{place}]"), f"ties[{place}]")
        found = [dimension for dimension in found if len(dimension.choices) > 1 or any(dimension.choices)]
        if not found:
            raise RecipeError(
                "there is nothing to search",
                where="knobs",
                found="no layer in play on which a knob can be turned" + "".join(f"; {note}" for note in self._notes),
                action="Put other knobs or layers in play, or take pins away.",
            )
        lines = {**study.plan.layers}
        for pattern, (_, line) in pins.items():
            earlier = lines.pop(pattern, {})
            lines[pattern] = {**earlier, **line}
        if self._wasteful:
            self._notes.append(f"{self._wasteful} channel count(s) are left out, which are no faster than larger ones")
        plan = Plan(default=study.plan.default, layers=lines)
        return Space(tuple(found), plan, tuple(pinned), tuple(self._notes))

    def _checked(self, line: Mapping[str, Setting], where: str) -> dict[str, Setting]:
        return {name: self._registry.knob(name, where).check(value, where) for name, value in line.items()}

    def _matching(self, globs: Sequence[str], where: str) -> list[str]:
        """Return the layers that some glob matches.

        Raises:
            RecipeError: a glob that matches none.
        """
        for glob in globs:
            if not any(name == glob or fnmatchcase(name, glob) for name in self._names):
                raise RecipeError(
                    f"{glob!r} matches no layer",
                    where=where,
                    expected=f"a layer name or glob, such as {next(iter(self._names), '(this model has no layers)')!r}",
                    action="Run `workbench inspect` for the names.",
                )
        return [name for name in self._names if any(name == glob or fnmatchcase(name, glob) for glob in globs)]

    def _dimensions(self, knobs: Sequence[Knob], entry: KnobInPlay, layers: Sequence[str]) -> list[Dimension]:
        first = knobs[0]
        blocked = {knob.name: obstacles(self._graph, knob, self._registry) for knob in knobs}
        able = {
            name: frozenset(knob.name for knob in knobs if name not in blocked[knob.name])
            for name in self._names
            if name not in blocked[first.name]
        }
        chosen = [name for name in layers if name in able]
        if not chosen:
            self._notes.append(f"{first.name} can be turned on no layer in play")
            return []
        if entry.together:
            whole = set(chosen) == set(able)
            choices = self._choices(knobs, entry, chosen[0])
            title = f"{first.name} {'*' if whole else chosen[0]}"
            return [Dimension(title, tuple(chosen), choices, {name: able[name] for name in chosen}, whole)]
        coupled = coupled_layers(self._graph, first)
        found: dict[tuple[str, ...], Dimension] = {}
        for name in chosen:
            members = tuple(member for member in coupled[name] if member in able)
            if members not in found:
                choices = self._choices(knobs, entry, name)
                if len(choices) > 1 or any(choices):
                    title = f"{first.name} {members[0]}"
                    found[members] = Dimension(title, members, choices, {member: able[member] for member in members})
        return list(found.values())

    def _choices(self, knobs: Sequence[Knob], entry: KnobInPlay, layer: str) -> tuple[Mapping[str, Setting], ...]:
        """Return the choices on a layer, the untouched one first."""
        if len(knobs) == 2:
            return self._precisions(entry)
        knob = knobs[0]
        given = [knob.check(value, f"knobs.{knob.name}") for value in entry.values]
        if knob == PRUNE_RATIO:
            values: Iterable[Setting] = self._ratios(layer, [float(value) for value in given])
        elif given:
            values = given
        else:
            values = _BITS_IN_PLAY if knob in (WEIGHT_BITS, ACTIVATION_BITS) else knob.sweep
        useful = tuple({knob.name: value} for value in dict.fromkeys(values) if value != knob.untouched)
        return useful if entry.required and useful else ({}, *useful)

    def _precisions(self, entry: KnobInPlay) -> tuple[Mapping[str, Setting], ...]:
        """Return pairs of bits; activations stay in float where weights do."""
        other = self._study.knobs[ACTIVATION_BITS.name]
        weights = [WEIGHT_BITS.check(value, f"knobs.{WEIGHT_BITS.name}") for value in entry.values or _BITS_IN_PLAY]
        inputs = [ACTIVATION_BITS.check(v, f"knobs.{ACTIVATION_BITS.name}") for v in other.values or _BITS_IN_PLAY]
        pairs = tuple(
            {WEIGHT_BITS.name: weight, ACTIVATION_BITS.name: activation}
            for weight, activation in product(dict.fromkeys(weights), dict.fromkeys(inputs))
            if weight != WEIGHT_BITS.untouched
        )
        return pairs if entry.required and pairs else ({}, *pairs)

    def _ratios(self, layer: str, given: Sequence[float]) -> list[float]:
        """Return ratios that leave counts at which kernels are fast, the mildest first."""
        group = max(self._groups.get(layer, ()), key=lambda found: found.channels, default=None)
        if group is None:
            return []
        per_unit = max(1, round(group.channels / group.units))
        asked = self._study.channel_multiple
        multiple = asked or (_MULTIPLE if group.channels >= _WIDE else _NARROW_MULTIPLE)
        step = unit_step(multiple, per_unit)
        if given:
            counts = [kept_units(group.units, ratio, step if group.units > step else 1) for ratio in given]
        else:
            counts = list(range(group.units - step, 0, -step)) if group.units > step else []
            known = self._paying.get(layer)
            if known is not None and per_unit == 1:
                tried, counts = counts, [count for count in counts if count in known]
                self._wasteful += len(tried) - len(counts)
            while len(counts) > _MOST_COUNTS:
                counts = counts[::2]
        most = PRUNE_RATIO.high or 1.0
        ratios = [1 - count / group.units for count in dict.fromkeys(counts) if 0 < count < group.units]
        return sorted(ratio for ratio in ratios if ratio <= most)

    def _tied(self, dimensions: Sequence[Dimension], layers: Sequence[str], where: str) -> list[Dimension]:
        """Return the dimensions with those of the same knobs that touch the tied layers merged into one each.

        Raises:
            RecipeError: they share no value.
        """
        touched = [dimension for dimension in dimensions if set(dimension.layers) & set(layers)]
        families: dict[frozenset[str], list[Dimension]] = {}
        for dimension in touched:
            families.setdefault(frozenset({KEEP.name}) if dimension.depth else dimension.names, []).append(dimension)
        merged: dict[str, Dimension | None] = {}
        for members in families.values():
            if len(members) < 2:
                continue
            shared = tuple(
                choice for choice in members[0].choices if all(choice in other.choices for other in members[1:])
            )
            if not any(shared):
                raise RecipeError(
                    f"tied layers share no value of {', '.join(sorted(members[0].names))}",
                    where=where,
                    found=", ".join(member.layers[0] for member in members),
                    action="Give them the same values under `knobs`, or take the tie away.",
                )
            names = sorted({layer for member in members for layer in member.layers}, key=self._order.__getitem__)
            able = {layer: knobs for member in members for layer, knobs in member.knobs.items()}
            merged[members[0].id] = replace(members[0], layers=tuple(names), choices=shared, knobs=able)
            merged.update({member.id: None for member in members[1:]})
        found = []
        for dimension in dimensions:
            kept = merged.get(dimension.id, dimension)
            if kept is not None:
                found.append(kept)
        return found
