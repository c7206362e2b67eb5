"""What a project knows of the time of its layers against their width, for the way in which it measures now."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS, Setting
from workbench.domain.preflight import KernelForm
from workbench.domain.staircase import LayerStaircase, StaircaseReport
from workbench.project.state import LatencySetting, ProjectState

_INTEGER_BITS = 8


def with_staircases(known: tuple[StaircaseReport, ...], found: StaircaseReport) -> tuple[StaircaseReport, ...]:
    """Return the reports with the layers of a new one; those it has of the same way of measuring are replaced."""
    for place, report in enumerate(known):
        if (report.device, report.threads, report.batch) == (found.device, found.threads, found.batch):
            return (*known[:place], report.with_layers(found.layers), *known[place + 1 :])
    return (*known, found)


def staircase_of(state: ProjectState, layer: str, setting: LatencySetting | None = None) -> LayerStaircase | None:
    """Return what is known of a layer as latency is measured by `setting`, by default the project's."""
    way = setting or state.latency
    # The last one is of the newest runtime.
    for report in reversed(state.staircases):
        if (report.device.name, report.threads, report.batch) == (way.device, way.threads, way.batch):
            found = next((entry for entry in report.layers if entry.layer == layer), None)
            if found is not None:
                return found
    return None


def planned_form(settings: Mapping[str, Setting | None]) -> KernelForm:
    """Return what a layer with these settings computes in, of the forms that staircases have."""
    bits = [settings.get(knob.name) for knob in (WEIGHT_BITS, ACTIVATION_BITS)]
    whole = all(isinstance(value, (int, float)) and value <= _INTEGER_BITS for value in bits)
    return "uint8" if whole else "float32"


def paying_counts(state: ProjectState, layer: str, settings: Mapping[str, Setting | None]) -> tuple[int, ...]:
    """Return the channel counts of a layer that no larger one matches in time; () where that is not known."""
    found = staircase_of(state, layer)
    curve = None if found is None else found.curve(planned_form(settings))
    return () if curve is None else curve.edges
