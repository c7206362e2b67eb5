"""Measures what two layers lose together beyond what each loses alone, because single sensitivities mis-rank plans."""

from __future__ import annotations

import time
from itertools import combinations

import numpy as np

from workbench.data.statistics import Z95
from workbench.domain.errors import RecipeError
from workbench.domain.knobs import Setting
from workbench.domain.sensitivity_reports import Interaction, InteractionsReport
from workbench.methods.original_run import OriginalRun
from workbench.methods.sampling import interval
from workbench.methods.sweep_setup import Setup, Swept, Watched
from workbench.methods.sweep_trials import Trial


def interactions(swept: Swept, value: Setting, *, watched: Watched | None = None) -> InteractionsReport:
    """Set every layer, and every two of them, to a value.

    Layers that the knob can only move together count as one, named by the first of them.

    Args:
        swept: What, on which samples; its layers are paired.
        value: Of the knob.
        watched: By whom.

    Raises:
        RecipeError: as for a sweep, or there are fewer than two layers to pair.
        StorageError: the store can't be written.
        CancelledError: cancelled; what was run is in the store.
        WorkbenchError: not one setting could be measured; the first one's error.
    """
    began = time.perf_counter()
    setup = Setup(swept, (value,), "pairs", watched or Watched())
    alone = {
        wanted[0]: setup.resumed(Trial(wanted[0], members, (wanted[0],), value, 1))
        for members, wanted in setup.sets.items()
    }
    if len(alone) < 2:
        raise RecipeError(
            f"there is nothing to pair: {len(alone)} layer can take {swept.knob} by itself",
            where="layers",
            expected="at least two layers that do not move together",
        )
    paired = {
        (one, other): setup.resumed(
            Trial(f"{one}\t{other}", (*alone[one].members, *alone[other].members), (one, other), value, 2)
        )
        for one, other in combinations(alone, 2)
    }
    run = setup.run([*alone.values(), *paired.values()], lambda point: None)
    found = [
        _interaction(setup.original, names, alone[names[0]], alone[names[1]], both)
        for names, both in paired.items()
        if all(trial.failed is None for trial in (alone[names[0]], alone[names[1]], both))
    ]
    return InteractionsReport(
        method=swept.method,
        knob=swept.knob,
        value=value,
        metric=setup.original.measurement.metric,
        baseline=setup.original.measurement,
        points=tuple(run.points(list(alone.values()))),
        pairs=tuple(found),
        evaluations=run.evaluations([*alone.values(), *paired.values()]),
        seconds=time.perf_counter() - began,
        skipped=setup.skipped,
    )


def _interaction(original: OriginalRun, names: tuple[str, str], one: Trial, other: Trial, both: Trial) -> Interaction:
    """Compare on the samples that all three were run on."""
    count = min(one.taken, other.taken, both.taken)
    first, second, together = (trial.counted()[0][:count] for trial in (one, other, both))
    drop = original.drop(*both.counted())
    if original.metric.is_mean:
        sign = -1.0 if original.metric.higher_is_better else 1.0
        extra = sign * (together[:, 0] - first[:, 0] - second[:, 0] + original.records[:count, 0])
        value = float((original.plan.weights(count) * extra).sum())
        # One more sample that changes is never ruled out.
        error = float(np.hypot(original.plan.spread(extra), 1.0 / count if original.metric.unit == "share" else 0.0))
    else:
        unused = np.full(count, np.nan)
        parts = [original.drop(records, unused) for records in (together, first, second)]
        value = parts[0].drop - parts[1].drop - parts[2].drop
        error = float(np.sqrt(sum(part.error**2 for part in parts)))
    return Interaction(
        layers=names,
        drop=drop.drop,
        ci95=drop.ci95,
        interaction=value,
        interaction_ci95=interval(value, error, Z95),
        samples=count,
    )
