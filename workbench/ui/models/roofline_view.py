"""What a layer's place under the roofs says, in words and rows, before it is drawn."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from workbench.domain.roofline import LayerRoof, RooflineReport
from workbench.domain.staircase import STAIR_TITLES
from workbench.project.rooflines import roofline_of
from workbench.project.state import Candidate, ProjectState
from workbench.ui.models import numbers
from workbench.ui.models.layer_table import layer_labels

_GAP = "\N{NO-BREAK SPACE}"
# Below this share of the lower roof, neither explains the time.
_FAR = 0.3


@dataclass(frozen=True)
class RooflineView:
    """All layers under the roofs, one of them the current one.

    Attributes:
        report: What was measured.
        current: The current layer; its `reason` is set where it has no place.
        labels: Short names by layer.
        text: What holds the current layer back, in words.
    """

    report: RooflineReport
    current: LayerRoof
    labels: tuple[tuple[str, str], ...]
    text: str

    def label(self, layer: str) -> str:
        """Return a layer's short name."""
        return dict(self.labels).get(layer, layer)


def resolve_roofline(state: ProjectState, layer: str, candidate: Candidate | None = None) -> RooflineView | None:
    """Return what is known of the original, or of a candidate, as the project measures now; None where nothing is."""
    report = roofline_of(state, candidate=candidate)
    current = None if report is None else report.layer(layer)
    if report is None or state.inspect is None or (current is None and candidate is None):
        return None
    labels = tuple(layer_labels(state.inspect).items())
    if current is None:
        current = LayerRoof(layer=layer, op="", reason="it is gone, or part of others")
    text = _text(report, current)
    return RooflineView(report, current, labels, text if candidate is None else f"In {candidate.name}: {text}")


def _text(report: RooflineReport, current: LayerRoof) -> str:
    if current.reason:
        return f"This layer has no place under the roofs: {current.reason}."
    share = f"{numbers.fixed(100 * current.roof_share, 0)}{_GAP}%"
    speed = speed_text(current.gflops)
    form = STAIR_TITLES[current.form]
    if current.bound == "compute":
        told = f"{speed}, {share} of what arithmetic in {form} allows here. "
        remedy = "Fewer multiplications, or cheaper ones, would make it faster."
    else:
        told = f"{speed}, {share} of what memory allows at {intensity_text(current.intensity)}. "
        remedy = "Smaller weights and activations would make it faster, fewer multiplications alone would not."
        cache = report.peaks.memory.cache_bytes
        if cache is not None and current.bytes <= cache and current.roof_share <= 1:
            remedy += " What it moves fits the cache, though, which is faster than memory."
    told += (
        remedy
        if current.roof_share >= _FAR
        else "That is far below both roofs: so small a layer is held back by the start of its kernel, and by blocks "
        "that its channels don't fill."
    )
    if current.roof_share > 1 and current.bound == "memory":
        told += " It is above the roof because what it reads is still in a cache."
    elif current.roof_share > 1:
        told += " It is above the roof: the machine was busy when that was measured. Measure again."
    elif not report.noise.quiet:
        told += " The machine was busy meanwhile: measure again for better figures."
    return told


def speed_text(gflops: float) -> str:
    """Return a speed with three digits, e.g. "112 GFLOP/s"."""
    return f"{_three(gflops)}{_GAP}GFLOP/s"


def bandwidth_text(gbytes_per_s: float) -> str:
    """Return a bandwidth with three digits, e.g. "16.9 GB/s"."""
    return f"{_three(gbytes_per_s)}{_GAP}GB/s"


def intensity_text(intensity: float) -> str:
    """Return an intensity with three digits, e.g. "33.6 FLOP/byte"."""
    return f"{_three(intensity)}{_GAP}FLOP/byte"


def point_text(view: RooflineView, entry: LayerRoof) -> str:
    """Return one layer in words."""
    binds = "arithmetic" if entry.bound == "compute" else "memory"
    return (
        f"{view.label(entry.layer)} ({entry.kernel}, {STAIR_TITLES[entry.form]}):\n"
        f"{speed_text(entry.gflops)} at {intensity_text(entry.intensity)}, "
        f"{numbers.fixed(100 * entry.roof_share, 0)}{_GAP}% of the roof; {binds} binds\n"
        f"{numbers.fixed(entry.milliseconds, 3)}{_GAP}ms, {numbers.fixed(100 * entry.time_share, 1)}{_GAP}% of the "
        "model's time"
    )


def roofline_csv(report: RooflineReport) -> str:
    """Return the roofs and all layers as CSV with exact numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    figures = ["flops", "bytes", "intensity", "milliseconds", "gflops", "roof_gflops", "roof_share", "bound"]
    writer.writerow(["layer", "op", "kernel", "form", *figures, "peak_gflops", "peak_gbytes_per_s"])
    for entry in report.known:
        values = [getattr(entry, name) for name in figures]
        peaks = [report.peaks.peak(entry.form).gflops, report.peaks.memory.gbytes_per_s]
        writer.writerow([entry.layer, entry.op, entry.kernel, entry.form, *values, *peaks])
    return out.getvalue()


def _three(value: float) -> str:
    return numbers.fixed(value, 0 if value >= 99.95 else 1 if value >= 9.995 else 2)
