"""Bit-widths for many layers in one act: what each preset makes of a plan, as pure functions tested without Qt.

A preset never asks of a layer what can't be done with it: where the plan's default would, the default skips the layer,
and lines are only written for layers that take them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS, Knob
from workbench.domain.plan import Plan
from workbench.domain.reports import InspectReport, LayerReport, ParameterSchema
from workbench.ui.models.setting_choices import refused_values

_KNOBS = (WEIGHT_BITS, ACTIVATION_BITS)


@dataclass(frozen=True)
class BitPreset:
    """One preset.

    Attributes:
        id: In the names of actions.
        title: In menus.
        tip: What it does, in a sentence.
        bits: (weights, activations).
        reach: The layers that it is for: all, or the first and the last one.
        keys: Shortcuts.
    """

    id: str
    title: str
    tip: str
    bits: tuple[int, int]
    reach: Literal["all", "ends"] = "all"
    keys: tuple[str, ...] = ()


PRESETS: tuple[BitPreset, ...] = (
    BitPreset(
        "w8a8",
        "All 8",
        "8-bit weights and activations: the integers that most devices compute fastest",
        (8, 8),
        keys=("Ctrl+Alt+8",),
    ),
    BitPreset(
        "w4a8",
        "Weights 4 / activations 8",
        "4-bit weights on the 8-bit integer kernels: half the packed size, the same speed",
        (4, 8),
        keys=("Ctrl+Alt+4",),
    ),
    BitPreset("w4a4", "Weights 4 / activations 4", "4 bits for both; usually needs training or reconstruction", (4, 4)),
    BitPreset(
        "ends8",
        "First and last 8",
        "8 bits for the first and the last layer, which mind fewer bits most; the others stay as they are",
        (8, 8),
        "ends",
        ("Ctrl+Alt+E",),
    ),
    BitPreset("w8", "Weights 8, activations in float", "Smaller file; needs no calibration data", (8, 32)),
    BitPreset("float", "All float", "Leave weights and activations as they are in the original", (32, 32)),
)


def end_layers(report: InspectReport) -> tuple[str, ...]:
    """Return the names of the first and the last layer that take bits, in the order of the model."""
    first = next((layer.name for layer in report.layers if WEIGHT_BITS.name in layer.knobs), None)
    last = next((layer.name for layer in reversed(report.layers) if WEIGHT_BITS.name in layer.knobs), None)
    return tuple(dict.fromkeys(name for name in (first, last) if name is not None))


def apply_preset(plan: Plan, report: InspectReport, preset: BitPreset, selected: Sequence[str] = ()) -> Plan:
    """Return the plan with a preset's bits.

    Args:
        plan: Before; other settings stay.
        report: The model's layers.
        preset: What to set.
        selected: Layers that a preset for all is limited to; all of the model's where there are none. For all, the
            bits become the plan's default and every line of its own about bits goes.
    """
    wanted = {knob.name: bits for knob, bits in zip(_KNOBS, preset.bits, strict=True)}
    layers = end_layers(report) if preset.reach == "ends" else tuple(selected)
    if layers:
        by_name = {layer.name: layer for layer in report.layers}
        for knob, bits in wanted.items():
            able = [name for name in layers if name in by_name and knob in by_name[name].knobs]
            plan = plan.with_settings(able, knob, bits)
        return plan
    kept = {pattern: _without(line, wanted) for pattern, line in plan.layers.items()}
    touched = {knob.name: wanted[knob.name] for knob in _KNOBS if wanted[knob.name] != knob.untouched}
    return Plan(
        default={**_without(plan.default, wanted), **touched},
        layers={pattern: line for pattern, line in kept.items() if line},
    )


def act_title(preset: BitPreset, report: InspectReport, selected: Sequence[str] = ()) -> str:
    """Return what the history calls it, e.g. "Set bits: all 8" or "Set bits: 4 / 8 on 3 layers"."""
    if preset.reach == "ends" or not selected:
        return f"Set bits: {preset.title[0].lower()}{preset.title[1:]}"
    what = selected[0] if len(selected) == 1 else f"{len(selected)} layers"
    bits = "float" if preset.bits == (32, 32) else f"{preset.bits[0]} / {_in_words(preset.bits[1])}"
    return f"Set bits: {bits} on {what}"


def why_not(
    preset: BitPreset,
    plan: Plan,
    report: InspectReport,
    knobs: Iterable[Knob],
    methods: Sequence[ParameterSchema],
    reading: Sequence[str] = (),
    selected: Sequence[str] = (),
) -> str | None:
    """Return why a preset can't be taken now, or None.

    Args:
        preset: Of PRESETS.
        plan: As it is.
        report: The model's layers.
        knobs: All knobs that are known.
        methods: The installed ones.
        reading: Ids of the recipe's enabled steps.
        selected: See `apply_preset`.
    """
    if not {knob.name for knob in _KNOBS} <= {knob.name for knob in knobs}:
        return "No installed method reads bits"
    if next(_reached(report, preset, selected), None) is None:
        return "None of these layers takes bits"
    for knob, bits in zip(_KNOBS, preset.bits, strict=True):
        if bits != knob.untouched:
            # The first layer that can have it answers; a model may have ten thousand, and this is asked at every edit.
            reasons = (
                refused_values(layer, knob, methods, reading).get(bits) for layer in _reached(report, preset, selected)
            )
            first = next(reasons)
            if first is not None and all(reason is not None for reason in reasons):
                return first
    return "That is how it is already" if apply_preset(plan, report, preset, selected) == plan else None


def _reached(report: InspectReport, preset: BitPreset, selected: Sequence[str]) -> Iterator[LayerReport]:
    names = frozenset(end_layers(report) if preset.reach == "ends" else selected)
    able = (layer for layer in report.layers if WEIGHT_BITS.name in layer.knobs)
    return (layer for layer in able if not names or layer.name in names)


def _without(line: Mapping[str, float | int | str], names: Iterable[str]) -> dict[str, float | int | str]:
    gone = set(names)
    return {knob: value for knob, value in line.items() if knob not in gone}


def _in_words(bits: int) -> str:
    return "float" if bits == ACTIVATION_BITS.untouched else str(bits)
