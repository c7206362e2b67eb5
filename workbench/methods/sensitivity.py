"""Measures how the metric changes when one knob of one layer takes one value: what every plan is decided on.

Only what lies behind a changed layer runs again, on samples that are paired with the original's; trials whose rank is
settled end early; what was run is stored at once, so that a sweep that is cancelled or killed goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Literal

from workbench.domain.knobs import Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.reports import SweepReport
from workbench.methods.sweep_setup import Setup, Swept, Watched
from workbench.methods.sweep_trials import Trial

Direction = Literal["only", "all but"]


def sweep(
    swept: Swept,
    values: Sequence[Setting] = (),
    *,
    direction: Direction = "only",
    done: Collection[str] = (),
    on_point: Callable[[SensitivityPoint], None] = lambda point: None,
    watched: Watched | None = None,
) -> SweepReport:
    r"""Take the sensitivity of every layer to every value of a knob.

    Layers that the knob can only move together are computed once and reported for each. Layers on which it can't be
    turned, and points that fail, stand in the report's `skipped` with the reason.

    Args:
        swept: What, on which samples.
        values: Of the knob to try; none takes the knob's own `sweep` values.
        direction: "only" sets one layer and leaves all others; "all but" sets all others: what sparing one layer is
            worth is then the difference to the report's `everything`.
        done: Points ("layer\tvalue") that are not wanted again; they are left out of the report.
        on_point: Takes each point as it comes, provisional ones first, those resumed from the store included.
        watched: By whom.

    Raises:
        RecipeError: unknown method, parameter, knob or layer, a value out of range, a knob that the method does not
            read, parameters that don't suit a sweep, or something that the method needs is missing.
        BadInputError: the store is a file of another kind.
        StorageError: the store can't be written.
        CancelledError: cancelled; what was run is in the store, and what is known was handed to `on_point`.
        WorkbenchError: not one point could be taken; the first one's error.
    """
    began = time.perf_counter()
    setup = Setup(swept, values, "" if direction == "only" else direction, watched or Watched())
    finished = _finished(done)
    trials = []
    for members, reported in setup.sets.items():
        moved = members if direction == "only" else tuple(name for name in setup.everything if name not in members)
        for value in setup.values:
            wanted = tuple(layer for layer in reported if (layer, value) not in finished)
            if wanted and moved:
                trials.append(setup.resumed(Trial(wanted[0], moved, wanted, value, value)))
    whole = []
    if direction == "all but":
        whole = [setup.resumed(Trial("*", setup.everything, ("*",), value, None)) for value in setup.values]
    run = setup.run([*whole, *trials], on_point)
    return SweepReport(
        method=swept.method,
        knob=swept.knob,
        metric=setup.original.measurement.metric,
        baseline=setup.original.measurement,
        points=tuple(run.points(trials)),
        everything=tuple(run.points(whole)),
        evaluations=run.evaluations([*whole, *trials]),
        seconds=time.perf_counter() - began,
        skipped=setup.skipped,
    )


def _finished(done: Collection[str]) -> set[tuple[str, Setting]]:
    """Return the points that texts (layer, tab, value) name; "8" and "8.0" are the same value."""
    found: set[tuple[str, Setting]] = set()
    for text in done:
        layer, _, value = text.rpartition("\t")
        try:
            found.add((layer, float(value)))
        except ValueError:
            found.add((layer, value))
    return found
