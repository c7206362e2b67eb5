"""Rooflines, throughput and energy as text for people; scripts read the JSON instead."""

from __future__ import annotations

from pathlib import Path

from workbench.cli.console import table
from workbench.cli.formats import count
from workbench.domain.energy import EnergyReport, ModelEnergy
from workbench.domain.roofline import RooflineReport
from workbench.domain.staircase import STAIR_TITLES
from workbench.domain.throughput import ThroughputReport


def roofline(report: RooflineReport) -> str:
    """Return the roofs of the device, and every layer under them."""
    peaks = report.peaks
    cache = "" if peaks.memory.cache_bytes is None else f", cache {peaks.memory.cache_bytes / 2**20:.0f} MiB"
    lines = [f"{report.model}: layers under the roofs of {report.device.name}, {report.device.threads} thread(s)"]
    lines.extend(
        f"  {STAIR_TITLES[entry.form]}: {entry.gflops:.1f} GFLOP/s ({entry.ci95[0]:.1f} to {entry.ci95[1]:.1f}, "
        f"{entry.kernel}), from {peaks.ridge(entry.form):.1f} FLOP/byte on"
        for entry in peaks.compute
    )
    lines.append(
        f"  memory: {peaks.memory.gbytes_per_s:.1f} GB/s ({peaks.memory.ci95[0]:.1f} to {peaks.memory.ci95[1]:.1f}, "
        f"{peaks.memory.kernel} of arrays of {peaks.memory.array_bytes / 2**20:.0f} MiB{cache})"
    )
    rows = [
        [entry.layer, entry.op, *[""] * 6, entry.reason]
        if entry.reason
        else [
            entry.layer,
            entry.kernel,
            count(entry.flops),
            count(entry.bytes),
            f"{entry.intensity:.2f}",
            f"{entry.milliseconds:.4f}",
            f"{entry.gflops:.1f}",
            f"{entry.roof_share:.0%}",
            entry.bound,
        ]
        for entry in report.layers
    ]
    heads = ["layer", "kernel", "FLOPs", "bytes", "FLOP/byte", "ms", "GFLOP/s", "of roof", "bound by"]
    lines.append(table(heads, rows, right=range(2, 8)))
    if report.total_ms > 0:
        rest = 1 - report.layers_ms / report.total_ms
        lines.append(f"{rest:.0%} of the operators' time is in none of these: additions, pooling, changes of layout.")
    above = {entry.bound for entry in report.known if entry.roof_share > 1}
    if "memory" in above:
        lines.append("Above 100 % of memory: what the layer reads is still in a cache.")
    if "compute" in above:
        lines.append("Above 100 % of arithmetic: the machine was busy when that was measured; --fresh measures anew.")
    if not report.noise.quiet:
        lines.append(f"The machine was not quiet: {report.noise.reason.rstrip('.')}.")
    return "\n".join(lines)


def throughput(report: ThroughputReport) -> str:
    """Return samples a second beside each other."""
    rows = [
        [
            model.path,
            f"{model.samples_per_second.median:,.1f}",
            f"{model.samples_per_second.ci95[0]:,.1f} to {model.samples_per_second.ci95[1]:,.1f}",
            f"{model.ratio_to_first.median:.3f}",
            f"{model.ratio_to_first.ci95[0]:.3f} to {model.ratio_to_first.ci95[1]:.3f}",
            str(model.windows),
        ]
        for model in report.models
    ]
    lines = [
        f"Throughput: {report.streams} stream(s), each a session of its own with {report.device.threads} thread(s), "
        f"batch {report.batch}",
        table(["model", "samples/s", "95 %", "ratio", "95 %", "windows"], rows, right=range(1, 6)),
    ]
    if not report.noise.quiet:
        lines.append(f"The machine was not quiet: {report.noise.reason.rstrip('.')}.")
    return "\n".join(lines)


def energy(report: EnergyReport) -> str:
    """Return energies beside each other; estimates say that they are."""
    lines = []
    if report.idle_watts is not None:
        lines.append(
            f"Energy of one inference of {report.batch} sample(s), measured ({report.source}), above "
            f"{report.idle_watts:.1f} W of the idle machine:"
        )
        lines.append(_measured(report))
    else:
        lines.append(f"Energy was not measured: {report.why_not_measured}.")
    given = report.coefficients
    lines.append(
        f"Energy of one inference of {report.batch} sample(s), ESTIMATED, not measured: "
        f"{given.float32_pj_per_mac:g} pJ a float MAC, {given.int8_pj_per_mac:g} pJ an 8-bit MAC, "
        f"{given.dram_pj_per_byte:g} pJ a byte ({report.estimate_basis}):"
    )
    lines.append(
        table(
            ["model", "arithmetic mJ", "memory mJ", "together mJ", "ratio"],
            [_estimated(model, report.models[0]) for model in report.models],
            right=range(1, 5),
        )
    )
    return "\n".join(lines)


def _measured(report: EnergyReport) -> str:
    rows = []
    for model in report.models:
        found = model.measured
        if found is None:
            rows.append([model.path, *[""] * 4])
            continue
        rows.append(
            [
                model.path,
                f"{found.millijoules:.4g}",
                f"{found.ci95[0]:.4g} to {found.ci95[1]:.4g}",
                f"{found.watts:.1f}",
                f"{found.ratio_to_first.median:.3f}",
            ]
        )
    return table(["model", "mJ", "95 %", "W while running", "ratio"], rows, right=range(1, 5))


def _estimated(model: ModelEnergy, first: ModelEnergy) -> list[str]:
    found = model.estimate
    if found is None:
        return [model.path, "", "", "", f"{Path(model.path).name}: {model.why_no_estimate}"]
    whole = "" if first.estimate is None else f"{found.total_mj / first.estimate.total_mj:.3f}"
    return [model.path, f"{found.arithmetic_mj:.4g}", f"{found.memory_mj:.4g}", f"{found.total_mj:.4g}", whole]
