"""Gives layers a setting, or bits by a preset: what table, inspector and menus do alike, each one undo step."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.domain.knobs import Knob, Setting
from workbench.project.commands import ReplacePlan
from workbench.ui.models import numbers
from workbench.ui.models.bit_presets import BitPreset, act_title, apply_preset, why_not
from workbench.ui.models.layer_table import LayerTable, can_take, setting_command
from workbench.ui.models.plan_forecast import forecast
from workbench.ui.models.setting_choices import reading_steps
from workbench.ui.session import Session


def give_setting(session: Session, table: LayerTable, layers: Sequence[str], knob: Knob, value: Setting | None) -> None:
    """Give layers, and those coupled to them, a setting; None takes their own away. Layers that can't take it stay."""
    report = session.state.inspect
    if report is None:
        return
    able = can_take(table, layers, knob, value)
    command = setting_command(report, able, knob, value)
    if command is not None:
        session.do(command)
    if len(able) == len(layers) and command is None:
        session.said.emit(f"None of the selected layers has {knob.title.lower()}")
    elif len(able) < len(layers) and value is not None:
        left = next(name for name in layers if name not in able)
        cell = table.cell(left, knob)
        why = "" if cell is None else f": {cell.refused[value]}"
        count = numbers.plural(len(layers) - len(able), "layer")
        session.said.emit(f"{count} can't have {knob.title} {numbers.setting_text(value, knob.unit)}{why}")


def foretold_setting(
    session: Session, table: LayerTable, layers: Sequence[str], knob: Knob, value: Setting | None
) -> str:
    """Return what the plan would come to if layers were given a setting, which they are not; "" if none can take it."""
    report = session.state.inspect
    if report is None:
        return ""
    command = setting_command(report, can_take(table, layers, knob, value), knob, value)
    if command is None:
        return ""
    likely = forecast(command.apply(session.state), session.knobs, session.methods)
    return "" if likely is None else f"Plan then: {likely.text} (foretold)"


def take_preset(session: Session, preset: BitPreset, selected: Sequence[str] = ()) -> None:
    """Set the bits of all layers, of the selected ones, or of the first and last one."""
    report = session.state.inspect
    if report is not None:
        plan = apply_preset(session.state.plan, report, preset, selected)
        session.do(ReplacePlan(plan, title=act_title(preset, report, selected)))


def why_no_preset(session: Session, preset: BitPreset, selected: Sequence[str] = ()) -> str | None:
    """Return why a preset can't be taken now, or None."""
    state = session.state
    if (missing := session.missing("model")) is not None or state.inspect is None:
        return missing
    reading = reading_steps(state.steps)
    return why_not(preset, state.plan, state.inspect, session.knobs, session.methods, reading, selected)
