"""What if: how large the file is likely to be under a plan, before anything runs.

Weights follow from the settings; what an export does to the rest of the file (names, constants, quantizers), and to
which counts channels are rounded, does not, which is what the interval is for. It held 21 of 22 plans of ResNet-20 and
the demo (4 and 8 bits, channels, ranks, all blocks left out); the 22nd was ResNet-20 without any block. What measured
candidates weighed beyond what was foretold of them is added, and makes the interval narrower.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from workbench.domain.knobs import KEEP, PRUNE_RATIO, RANK_RATIO, WEIGHT_BITS, Setting
from workbench.domain.measurements import Interval
from workbench.domain.plan import Plan
from workbench.domain.reports import InspectReport
from workbench.project.state import ProjectState
from workbench.ui.models import numbers

Settings = Mapping[str, Mapping[str, Setting]]

_FULL_BITS = 32.0
# Doubt about what is no weight, as a share of it, before and after candidates were measured; about what channels save,
# as counts are rounded; and about what smaller ranks save, which differs from method to method.
_REST, _REST_CORRECTED = 0.85, 0.5
_ROUNDED = 0.05
_RANKS = 0.5
_MOST_CANDIDATES = 8


@dataclass(frozen=True)
class SizeForecast:
    """How large the file is likely to be.

    Attributes:
        size_bytes: Of weights and all else in the file.
        ci95: Its interval.
        candidates: How many measured candidates it was corrected by.
    """

    size_bytes: float
    ci95: Interval
    candidates: int = 0

    @property
    def text(self) -> str:
        """The size with its interval, in decimal units."""
        factor, prefix = numbers.common_prefix([self.size_bytes])
        low, high = self.ci95
        return numbers.with_interval(self.size_bytes / factor, (low / factor, high / factor), f"{prefix}B")


def size_forecast(state: ProjectState, settings: Settings, settings_of: Callable[[Plan], Settings]) -> SizeForecast:
    """Return the size under a plan, of a project with a known model.

    Args:
        state: The document's value.
        settings: In force, by layer and knob.
        settings_of: Returns what is in force under another plan, of a candidate.
    """
    inspect = state.inspect
    assert inspect is not None
    size, doubt = _sum(inspect, settings)
    rest = max(inspect.model.size_bytes - sum(layer.weight_bytes for layer in inspect.layers), 0)
    beyond: list[float] = []
    for candidate in reversed(state.candidates):
        if not candidate.deleted and len(beyond) < _MOST_CANDIDATES:
            beyond.append(candidate.report.candidate.size_bytes - _sum(inspect, settings_of(candidate.recipe.plan))[0])
    # A recipe that stores more or less than its plan says, a codebook for one, teaches nothing about others.
    beyond = [value for value in beyond if abs(value) <= rest]
    if beyond:
        size += float(np.median(beyond))
        around = max(_REST_CORRECTED * rest, 2 * float(np.std(beyond)))
    else:
        around = _REST * rest
    half = math.hypot(around, doubt)
    return SizeForecast(size, (max(size - half, 0.0), size + half), len(beyond))


def _sum(inspect: InspectReport, settings: Settings) -> tuple[float, float]:
    """Return the file's bytes with what the settings make of the weights, and half of what that may be off by."""
    ratio = {layer.name: float(settings.get(layer.name, {}).get(PRUNE_RATIO.name, 0.0)) for layer in inspect.layers}
    enters: dict[str, float] = {}
    leaves: dict[str, float] = {}
    for group in inspect.groups:
        gone = max((ratio.get(member.layer, 0.0) for member in group.layers if member.axis == "out"), default=0.0)
        for member in group.layers:
            (leaves if member.axis == "out" else enters)[member.layer] = gone
    saved, square = 0.0, 0.0
    for layer in inspect.layers:
        line = settings.get(layer.name, {})
        if line.get(KEEP.name) == "no":
            saved += layer.weight_bytes
            continue
        bits = float(line.get(WEIGHT_BITS.name, _FULL_BITS))
        # Containers are whole bytes; fewer bits than 8 lie in 8 unless the recipe stores them packed.
        stored = layer.weight_bytes * (max(bits, 8.0) / _FULL_BITS if bits < _FULL_BITS else 1.0)
        stays = (1 - enters.get(layer.name, 0.0)) * (1 - leaves.get(layer.name, ratio[layer.name]))
        # Two factors of a square matrix at half its rank weigh what it does.
        ranked = min(2 * float(line.get(RANK_RATIO.name, 1.0)), 1.0)
        saved += layer.weight_bytes - stored * stays * ranked
        square += (_ROUNDED * stored * (1 - stays)) ** 2 + (_RANKS * stored * stays * (1 - ranked)) ** 2
    return inspect.model.size_bytes - saved, 2 * math.sqrt(square)
