"""The verb that searches: a study in, a folder of measured files and the front of them out."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.cli.console import Console, format_seconds, table
from workbench.cli.formats import count, size
from workbench.cli.recording import Recording
from workbench.data.description_file import read_data_description
from workbench.domain.budget_text import budget_words
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, JobError
from workbench.domain.measurements import PairedDifference, is_share
from workbench.domain.search_reports import SearchCandidate, SearchReport
from workbench.domain.study import Study
from workbench.jobs.context import JobContext
from workbench.jobs.specs import SearchJob
from workbench.methods.recipe_file import read_recipe
from workbench.methods.search.study_file import read_study, with_budgets
from workbench.worker.dispatch import run_job


def search(options: argparse.Namespace, console: Console, cancel: CancelToken) -> int:
    """Run a study; 1 if no candidate is within its budgets."""
    study = _study(options)
    spec = SearchJob(
        model=str(Path(options.model).expanduser().absolute()),
        study=study,
        out=str(Path(options.out).expanduser().absolute()),
        scheduler=options.scheduler,
    )
    data = study.data if isinstance(study.data, DataDescription) else None
    context = JobContext(progress=Progress(console.progress), cancel=cancel, log=console.log)
    with Recording(options, data) as recording:
        sizes = {**recording.dimensions, **study.dimensions}
        study = study.model_copy(update={"dimensions": sizes})
        spec = spec.model_copy(update={"study": study, "staircases": recording.staircases})
        recorded: set[int] = set()

        def keep(kind: str, payload: dict[str, Any]) -> None:
            if kind != "candidate":
                return
            report = SearchReport.model_validate(payload)
            for candidate in report.candidates:
                if candidate.number not in recorded:
                    recorded.add(candidate.number)
                    recording.found(candidate, read_recipe(Path(candidate.recipe_path)))

        payload = run_job(spec, replace(context, partial=keep))
        keep("candidate", payload)
    report = SearchReport.model_validate(payload)
    console.result(payload, text_of(report))
    if report.chosen is None:
        raise _unmet(report)
    return 0


def _study(options: argparse.Namespace) -> Study:
    data = None if options.data is None else read_data_description(Path(options.data))
    if options.study is not None:
        study = read_study(Path(options.study), data)
    elif data is None:
        raise BadInputError("neither a study nor data is named", action="Name a STUDY.yaml, or --data DATA.yaml.")
    else:
        study = Study(data=data)
    if options.budget:
        study = with_budgets(study, options.budget, "--budget")
    if options.minutes is not None:
        if not options.minutes > 0:
            raise BadInputError(f"--minutes is {options.minutes}", expected="a positive number")
        study = study.model_copy(update={"stop": study.stop.model_copy(update={"minutes": options.minutes})})
    if options.device is not None:
        study = study.model_copy(update={"device": options.device})
    return study


def _unmet(report: SearchReport) -> JobError:
    """Return the error that no candidate is within the budgets, with what came closest."""
    if not report.candidates:
        reason = report.failed[-1].reason if report.failed else report.stopped
        return JobError("no candidate was finished", found=reason, action="Read the log; change steps or knobs.")
    if not report.budgets:
        return JobError("no candidate was finished that can be compared")
    closest = min(report.candidates, key=lambda one: (len(one.beyond), _misses(one, report)))
    metric = "" if closest.metric is None else f"{closest.metric.metric} {closest.metric.value:.4f}, "
    costs = ", ".join(f"{name} {share:.3f} of the original's" for name, share in closest.costs.items())
    budgets = ", ".join(f"{key} {budget_words(key, value)}" for key, value in report.budgets.items())
    return JobError(
        f"no candidate is within the budgets ({budgets})",
        found=f"closest, candidate {closest.number}: {metric}{costs}; beyond {', '.join(closest.beyond)}",
        action="Raise the budget, give the search more time, or put more knobs in play.",
    )


def _misses(candidate: SearchCandidate, report: SearchReport) -> float:
    drop = 0.0 if candidate.difference is None else abs(candidate.difference.value)
    return drop if "metric" in candidate.beyond else sum(candidate.costs.values())


def text_of(report: SearchReport) -> str:
    """Return a search's candidates as a table, and what holds the chosen one back."""
    first = report.baseline
    share = first is not None and is_share(first.metric)
    rows = []
    for candidate in sorted(report.candidates, key=lambda one: next(iter(one.costs.values()), 0.0)):
        drop = "" if candidate.difference is None else _change(candidate.difference, share)
        marks = ("*" if candidate.on_front else "") + (" <" if candidate.number == report.chosen else "")
        metric = "" if candidate.metric is None else _plain(candidate.metric.value, share)
        rows.append(
            [
                str(candidate.number),
                metric,
                drop,
                *(_cost(candidate, name) for name in report.objective[1:]),
                size(candidate.candidate.size_bytes),
                count(candidate.candidate.macs),
                "yes" if candidate.within_budgets else "no",
                marks,
            ]
        )
    label = "metric" if first is None else first.metric
    heads = ["candidate", label, "change", *report.objective[1:], "size", "MACs", "in budget", "front"]
    lines = [table(heads, rows, right=range(1, len(heads) - 2))] if rows else []
    if first is not None:
        lines.insert(0, f"original: {first.metric} {_plain(first.value, share)}")
    lines.append(
        f"hypervolume {report.hypervolume:.4f}, {len(report.candidates)} candidates, {len(report.failed)} failed, "
        f"{format_seconds(report.seconds)}; ended: {report.stopped or 'not yet'}"
    )
    lines.extend(f"binding: {relaxation.text}" for relaxation in report.binding)
    lines.extend(f"failed: {failed.reason}" for failed in report.failed)
    return "\n".join(lines)


def _plain(value: float, share: bool) -> str:
    return f"{100 * value:.2f} %" if share else f"{value:.5g}"


def _change(difference: PairedDifference, share: bool) -> str:
    half = (difference.ci95[1] - difference.ci95[0]) / 2
    value = difference.value
    return f"{100 * value:+.2f} ±{100 * half:.2f}" if share else f"{value:+.4g} ±{half:.2g}"


def _cost(candidate: SearchCandidate, name: str) -> str:
    told = f"{candidate.costs.get(name, float('nan')):.3f}"
    if name != "latency" or candidate.latency is None:
        return told
    low, high = candidate.latency.ratio_to_first.ci95
    return f"{told} ±{(high - low) / 2:.3f}"
