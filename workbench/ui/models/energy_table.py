"""What is known of models' energy, as rows and in words that tell measured from estimated, before a dialog shows it."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from workbench.domain.energy import EnergyReport, ModelEnergy
from workbench.project.state import ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.device_words import device_words
from workbench.ui.models.measured_files import candidate_of, name_of

HEADINGS = ("Model", "Measured mJ", "To the original", "Estimated mJ", "Memory's share", "To the original")
TOOLTIPS = (
    "The original, and the candidates that were measured in turn with it",
    "Of one inference, above the idle machine's, with the 95 % interval; read from the processor's own counters",
    "Of the measured energies, in the same round, with the 95 % interval",
    "Of one inference: an order of magnitude, not a measurement",
    "How much of the estimate goes into moving weights and activations",
    "Of the estimates",
)


@dataclass(frozen=True)
class EnergyRow:
    """One model; `candidate` is its id, None for the original or a candidate that is gone."""

    cells: tuple[str, ...]
    candidate: str | None
    reason: str


def energy_rows(state: ProjectState) -> tuple[EnergyRow, ...]:
    """Return a row for each model of what was taken last."""
    report = state.energy
    if report is None:
        return ()
    rows = []
    for place, entry in enumerate(report.models):
        candidate = None if place == 0 else candidate_of(state, entry.path)
        cells = (
            name_of(state, place, entry.path),
            *_measured(entry, place),
            *_estimated(entry, report.models[0], place),
        )
        rows.append(EnergyRow(cells, None if candidate is None else candidate.id, entry.why_no_estimate))
    return tuple(rows)


def _measured(entry: ModelEnergy, place: int) -> tuple[str, str]:
    found = entry.measured
    if found is None:
        return numbers.NOTHING, numbers.NOTHING
    ratio = numbers.with_interval(found.ratio_to_first.median, found.ratio_to_first.ci95) if place else numbers.NOTHING
    return numbers.with_interval(found.millijoules, found.ci95), ratio


def _estimated(entry: ModelEnergy, first: ModelEnergy, place: int) -> tuple[str, str, str]:
    found = entry.estimate
    if found is None:
        return numbers.NOTHING, numbers.NOTHING, numbers.NOTHING
    whole = found.total_mj
    share = f"{numbers.fixed(100 * found.memory_mj / whole, 0)}\N{NO-BREAK SPACE}%" if whole > 0 else numbers.NOTHING
    known = first.estimate is not None and first.estimate.total_mj > 0
    ratio = numbers.fixed(whole / first.estimate.total_mj, 2) if known and place and first.estimate else numbers.NOTHING
    return f"≈{_three(whole)}", share, ratio


def in_words(report: EnergyReport) -> str:
    """Return how it was taken, and what of it is an estimate."""
    how = f"One inference of {numbers.plural(report.batch, 'sample')}{device_words(report.device.name)}."
    if report.idle_watts is not None:
        idle = numbers.fixed(report.idle_watts, 1)
        return f"{how} Measured by {report.source}, above {idle}\N{NO-BREAK SPACE}W of the idle machine."
    return f"{how} Not measured: {report.why_not_measured}. All figures are estimates."


def basis(report: EnergyReport) -> str:
    """Return what the estimate is made of."""
    given = report.coefficients
    return (
        f"Estimate: {given.float32_pj_per_mac:g} pJ for each float multiply-accumulate, {given.int8_pj_per_mac:g} pJ "
        f"for each of 8 bits, {given.dram_pj_per_byte:g} pJ for each byte of weights and activations "
        f"({report.estimate_basis})."
    )


def energy_csv(state: ProjectState) -> str:
    """Return what was taken last as CSV with exact numbers; the heading alone where there is nothing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    measured = ["measured_mj", "ci95_low", "ci95_high", "watts", "measured_ratio"]
    writer.writerow(["model", *measured, "estimated_arithmetic_mj", "estimated_memory_mj", "batch"])
    report = state.energy
    for place, entry in enumerate(() if report is None else report.models):
        assert report is not None
        found, guess = entry.measured, entry.estimate
        taken = ["", "", "", "", ""]
        if found is not None:
            taken = [str(each) for each in (found.millijoules, *found.ci95, found.watts, found.ratio_to_first.median)]
        guessed = ["", ""] if guess is None else [guess.arithmetic_mj, guess.memory_mj]
        writer.writerow([name_of(state, place, entry.path), *taken, *guessed, report.batch])
    return out.getvalue()


def _three(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else numbers.fixed(value, 0)
