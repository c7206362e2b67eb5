"""Writes a project as one page of HTML that needs nothing else: original, front, candidates with their recipes."""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from workbench.domain.errors import ProjectError, StorageError
from workbench.domain.measurements import Interval, is_share
from workbench.project.front_drawing import Drawn, front_svg
from workbench.project.state import Candidate, ProjectState, Sensitivities

_STYLE = """
:root { color-scheme: light dark; --text: #1c1f23; --muted: #5b636c; --line: #d5d9de; --base: #fff; --mark: #1f5fa8; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ec; --muted: #9aa3ad; --line: #3a4047; --base: #1b1e22; --mark: #6eaef0; }
}
body { font: 14px/1.45 system-ui, sans-serif; color: var(--text); background: var(--base); margin: 32px auto;
  max-width: 1080px; padding: 0 16px; }
h1 { font-size: 22px; } h2 { font-size: 17px; margin-top: 32px; } h3 { font-size: 14px; }
table { border-collapse: collapse; margin: 8px 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 4px 12px 4px 0; text-align: right; vertical-align: top; }
th:first-child, td:first-child, td.word, th.word { text-align: left; }
th { color: var(--muted); font-weight: 600; } .muted { color: var(--muted); }
.wide { overflow-x: auto; } pre { overflow-x: auto; padding: 8px; border: 1px solid var(--line); }
svg { max-width: 100%; font-size: 12px; } svg text { fill: var(--text); } .grid { stroke: var(--line); }
.front { fill: none; stroke: var(--mark); stroke-width: 1.5; } svg g line { stroke: var(--muted); }
.best circle { fill: var(--mark); } .beaten circle { fill: none; stroke: var(--muted); }
.original circle { fill: var(--text); }
""".strip()


def report_page(state: ProjectState, best: Collection[str], *, title: str) -> str:
    """Return the page; deleted candidates are left out.

    Args:
        state: Of the project.
        best: Ids of the candidates that nothing beats beyond noise.
        title: Of the page.

    Raises:
        ProjectError: there is no model.
    """
    if state.model is None or state.inspect is None:
        raise ProjectError("there is nothing to report: the project has no model", action="Open a model first.")
    shown = [candidate for candidate in state.candidates if not candidate.deleted]
    parts = [f"<h1>{html.escape(title)}</h1>", *_original(state), *_front(state, shown, best)]
    parts.extend(_candidates(state, shown, best))
    for entry in state.sensitivities:
        parts.extend(_sensitivities(entry))
    for candidate in shown:
        parts.extend(_details(candidate))
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE}\n</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def write_report(state: ProjectState, best: Collection[str], path: Path, *, title: str) -> None:
    """Write the page.

    Raises:
        ProjectError: there is no model.
        StorageError: the file can't be written.
    """
    page = report_page(state, best, title=title)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{path} can't be written", found=error.strerror or str(error)) from error


def _original(state: ProjectState) -> Iterable[str]:
    assert state.model is not None
    assert state.inspect is not None
    model = state.inspect.model
    rows = [
        ["File", Path(state.model.path).name],
        ["SHA-256", model.sha256],
        ["Size", _bytes(model.size_bytes)],
        ["Parameters", f"{model.params:,}"],
        ["Multiply-accumulates", f"{model.macs:,}"],
        ["Layers", str(len(state.inspect.layers))],
    ]
    if state.baseline is not None:
        rows.append([state.baseline.metric, _figure(state.baseline.value, state.baseline.ci95, state.baseline.metric)])
    if state.baseline_latency is not None:
        entry, device = state.baseline_latency.models[0], state.baseline_latency.device
        rows.append(["Latency", f"{_plain(entry.latency_ms.median, entry.latency_ms.ci95)} ms, batch {entry.batch}"])
        rows.append(["Device", f"{device.cpu}, {device.threads} thread(s), {device.runtime}"])
        if not state.baseline_latency.noise.quiet:
            rows.append(["Noise", state.baseline_latency.noise.reason])
    yield "<h2>Original</h2>"
    yield _table((), rows, words=(1,))


def _front(state: ProjectState, shown: Sequence[Candidate], best: Collection[str]) -> Iterable[str]:
    points = []
    metric = None if state.baseline is None else state.baseline.metric
    factor = 100.0 if metric is not None and is_share(metric) else 1.0
    for candidate in shown:
        report = candidate.report
        if report.metric is None or report.latency is None or (metric is not None and report.metric.metric != metric):
            continue
        low, high = report.metric.ci95
        points.append(
            Drawn(
                candidate.name,
                report.latency.ratio_to_first.median,
                factor * report.metric.value,
                report.latency.ratio_to_first.ci95,
                (factor * low, factor * high),
                best=candidate.id in best,
            )
        )
    if state.baseline is not None:
        low, high = state.baseline.ci95
        points.append(
            Drawn(
                "Original", 1.0, factor * state.baseline.value, (1.0, 1.0), (factor * low, factor * high), original=True
            )
        )
    if len(points) > 1:
        yield "<h2>Front</h2>"
        name = metric or "metric"
        score = f"{name}, %" if is_share(name) else name
        rising = state.baseline is None or state.baseline.higher_is_better
        yield front_svg(points, "Latency, ratio to the original", score, rising=rising)
        yield '<p class="muted">Every point is an exported file that was itself measured; bars are 95 % intervals.</p>'


def _candidates(state: ProjectState, shown: Sequence[Candidate], best: Collection[str]) -> Iterable[str]:
    if not shown:
        yield "<h2>Candidates</h2><p>None yet.</p>"
        return
    heads = ("Candidate", "Metric", "Change", "Latency, ms", "Ratio", "Size", "MACs", "Parameters", "Front", "Note")
    rows = []
    for candidate in shown:
        report = candidate.report
        latency = report.latency
        metric, change = report.metric, report.difference
        rows.append(
            [
                ("\N{BLACK STAR} " if candidate.star else "") + candidate.name,
                "" if metric is None else _figure(metric.value, metric.ci95, metric.metric),
                "" if change is None or metric is None else _figure(change.value, change.ci95, metric.metric),
                "" if latency is None else _plain(latency.latency_ms.median, latency.latency_ms.ci95),
                "" if latency is None else _plain(latency.ratio_to_first.median, latency.ratio_to_first.ci95),
                _bytes(report.candidate.size_bytes),
                f"{report.candidate.macs:,}",
                f"{report.candidate.params:,}",
                "yes" if candidate.id in best else "",
                candidate.note,
            ]
        )
    yield "<h2>Candidates</h2>"
    yield _table(heads, rows, words=(9,))


def _sensitivities(entry: Sensitivities) -> Iterable[str]:
    values = list(dict.fromkeys(point.value for point in entry.points))
    by_layer: dict[str, dict[float | str, str]] = {}
    for point in entry.points:
        text = _figure(point.likely, point.likely_ci95, entry.metric)
        by_layer.setdefault(point.layer, {})[point.value] = text
    rows = [[layer, *(cells.get(value, "") for value in values)] for layer, cells in by_layer.items()]
    yield f"<h2>Sensitivity: {html.escape(entry.knob)} ({html.escape(entry.method)})</h2>"
    yield f'<p class="muted">Likely drop of {html.escape(entry.metric)} with 95 % intervals.</p>'
    yield _table(("Layer", *map(str, values)), rows)


def _details(candidate: Candidate) -> Iterable[str]:
    report = candidate.report
    yield f"<h2>{html.escape(candidate.name)}</h2>"
    yield f'<p class="muted">{html.escape(report.candidate.sha256)}, {html.escape(candidate.created)}</p>'
    yield _table(
        ("Step", "Seconds", "Notes"),
        [[step.method, f"{step.seconds:.1f}", "; ".join(step.notes)] for step in report.steps],
        words=(2,),
    )
    if report.latency_report is not None and not report.latency_report.noise.quiet:
        yield f"<p>Latency was measured under disturbance: {html.escape(report.latency_report.noise.reason)}.</p>"
    changed = [change for change in report.layers if change.after is None or change.after != change.before]
    if changed:
        yield f"<details><summary>{len(changed)} changed layers</summary>"
        yield _table(
            ("Layer", "Weight before", "after", "Bits before", "after"),
            [
                [
                    change.name,
                    _shape(change.before.weight_shape),
                    "" if change.after is None else _shape(change.after.weight_shape),
                    f"{change.before.bits:g}",
                    "gone" if change.after is None else f"{change.after.bits:g}",
                ]
                for change in changed
            ],
        )
        yield "</details>"
    recipe = candidate.recipe.model_dump(mode="json", exclude_defaults=True)
    yield f"<details><summary>Recipe</summary><pre>{html.escape(json.dumps(recipe, indent=1))}</pre></details>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[int] = ()) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        opened = [f'<{tag} class="word">' if index in words else f"<{tag}>" for index in range(len(row))]
        return "".join(f"{first}{html.escape(cell)}</{tag}>" for first, cell in zip(opened, row, strict=True))

    lines = ['<div class="wide"><table>']
    if heads:
        lines.append(f"<thead><tr>{cells('th', heads)}</tr></thead>")
    lines.extend(["<tbody>", *(f"<tr>{cells('td', row)}</tr>" for row in rows), "</tbody></table></div>"])
    return "\n".join(lines)


def _figure(value: float, interval: Interval, metric: str) -> str:
    """Return a metric's figure with half its interval, shares in per cent."""
    if not is_share(metric):
        return _plain(value, interval)
    low, high = interval
    return f"{100 * value:.2f} \N{PLUS-MINUS SIGN}{50 * (high - low):.2f}".replace("-", "\N{MINUS SIGN}") + " %"


def _plain(value: float, interval: Interval) -> str:
    return f"{value:.4g} \N{PLUS-MINUS SIGN}{(interval[1] - interval[0]) / 2:.2g}".replace("-", "\N{MINUS SIGN}")


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} B"


def _shape(shape: Sequence[int]) -> str:
    return "\N{MULTIPLICATION SIGN}".join(map(str, shape))
