"""What a project knows of its model's layers under a device's roofs, for the way in which it measures now."""

from __future__ import annotations

from workbench.domain.roofline import RooflineReport
from workbench.project.state import LatencySetting, ProjectState


def with_roofline(known: tuple[RooflineReport, ...], found: RooflineReport) -> tuple[RooflineReport, ...]:
    """Return the reports with a new one, which replaces that of the same way of measuring."""
    return (*(report for report in known if _way(report) != _way(found)), found)


def roofline_of(state: ProjectState, setting: LatencySetting | None = None) -> RooflineReport | None:
    """Return what is known as latency is measured by `setting`, by default the project's."""
    way = setting or state.latency
    return next((report for report in state.rooflines if _way(report) == (way.device, way.threads, way.batch)), None)


def _way(report: RooflineReport) -> tuple[str, int, int]:
    return report.device.name, report.threads, report.asked_batch
