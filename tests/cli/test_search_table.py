"""What a search prints: every measured figure of the front with its interval."""

from __future__ import annotations

from tests.fakes.projects import resnet20_state
from workbench.cli.search_verb import text_of
from workbench.domain.search_reports import SearchCandidate, SearchReport


def test_measured_figures_come_with_their_intervals() -> None:
    state = resnet20_state()
    report = next(entry.report for entry in state.candidates if entry.report.difference and entry.report.latency)
    assert report.difference is not None
    assert report.latency is not None
    ratio = report.latency.ratio_to_first
    candidate = SearchCandidate(
        **dict(report), number=1, settings={}, on_front=True, costs={"latency": ratio.median, "size": 0.25}
    )
    found = text_of(
        SearchReport(
            objective=("metric", "latency", "size"),
            budgets={},
            reference={},
            model=report.model,
            baseline=state.baseline,
            candidates=(candidate,),
            hypervolume=0.0,
            chosen=1,
        )
    )
    line = next(line for line in found.splitlines() if line.startswith("1 "))
    half = 50 * (report.difference.ci95[1] - report.difference.ci95[0])
    assert f"{100 * report.difference.value:+.2f} ±{half:.2f}" in line
    assert f"{ratio.median:.3f} ±{(ratio.ci95[1] - ratio.ci95[0]) / 2:.3f}" in line
    assert "0.250  " in line
    assert line.endswith("* <")
