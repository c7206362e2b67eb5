"""What a project knows of layers under a device's roofs, of its model and candidates, as it measures now."""

from __future__ import annotations

from workbench.domain.roofline import RooflineReport
from workbench.project.state import Candidate, LatencySetting, ProjectState


def with_roofline(known: tuple[RooflineReport, ...], found: RooflineReport) -> tuple[RooflineReport, ...]:
    """Return the reports with a new one, which replaces that of the same file and way of measuring."""
    key = (_way(found), found.model_sha256)
    return (*(report for report in known if (_way(report), report.model_sha256) != key), found)


def roofline_of(
    state: ProjectState, setting: LatencySetting | None = None, candidate: Candidate | None = None
) -> RooflineReport | None:
    """Return what is known of the original or a candidate, by default as the project measures latency."""
    way = setting or state.latency
    same = [report for report in state.rooflines if _way(report) == (way.device, way.threads, way.batch)]
    if candidate is not None:
        return next((report for report in same if report.model_sha256 == candidate.artifact), None)
    others = {entry.artifact for entry in state.candidates} - {state.model.sha256 if state.model else ""}
    return next((report for report in reversed(same) if report.model_sha256 not in others), None)


def _way(report: RooflineReport) -> tuple[str, int, int]:
    return report.device.name, report.threads, report.asked_batch
