"""Estimates sensitivities in seconds: what the outputs do when one layer borrows its weights from a compressed model.

The method is applied once for every value, to all layers together; then each layer of the original in turn is run with
the weights it got there, on a few samples. Nothing is built for a single layer but one session, into which its weights
are fed. What is found, how far the outputs go from the original's, ranks layers nearly as the metric does. Or gradients
along the changes of all layers at once say what each would cost.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from workbench.domain.errors import CancelledError, UnsupportedGraphError, WorkbenchError
from workbench.domain.knobs import Setting
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.sensitivity_reports import EstimatedPoint, EstimateReport, Estimator
from workbench.engines.contracts import ReplayedPart
from workbench.graph.lent_weights import lent_weights
from workbench.graph.model import ModelGraph
from workbench.graph.passes.fold_batch_norm import fold_batch_norm
from workbench.graph.passes.fold_constants import fold_constants
from workbench.methods.sweep_setup import Setup, Swept, Watched
from workbench.methods.sweep_trials import Trial
from workbench.methods.weight_slopes import SlopeSource, hessian_traces, weight_slopes

SAMPLES = 48

# Weights that layers which go together have at a value, by name.
Lent = Mapping[tuple[tuple[str, ...], Setting], Mapping[str, np.ndarray]]


def estimate(
    swept: Swept,
    values: Sequence[Setting] = (),
    *,
    by: Estimator = "divergence",
    measured: Sequence[SensitivityPoint] = (),
    watched: Watched | None = None,
) -> EstimateReport:
    """Estimate how much every layer suffers from every value of a knob.

    Args:
        swept: What; `samples` of it are looked at.
        values: Of the knob; none takes the knob's own `sweep` values.
        by: What is looked at; see ESTIMATORS. Those with gradients need operators that can be trained.
        measured: Points of the same method and knob that were measured so far, to compare with.
        watched: By whom.

    Raises:
        RecipeError: as for a sweep.
        UnsupportedGraphError: an operator has no gradient, where gradients are looked at.
        CancelledError: cancelled.
        WorkbenchError: the method fails on the whole model at every value; the first one's error.
    """
    began, watched = time.perf_counter(), watched or Watched()
    folded = fold_batch_norm(fold_constants(swept.graph))
    setup = Setup(replace(swept, graph=folded), values, "estimate", watched)
    original, skipped = setup.original, setup.skipped
    points: list[EstimatedPoint] = []
    lent: dict[tuple[tuple[str, ...], Setting], Mapping[str, np.ndarray]] = {}
    failed: WorkbenchError | None = None
    for number, value in enumerate(setup.values):
        try:
            whole = setup.make(Trial("*", setup.everything, ("*",), value, None))
        except CancelledError:
            raise
        except WorkbenchError as error:
            failed = failed or error
            skipped.update({f"{layer} at {value}": str(error) for wanted in setup.sets.values() for layer in wanted})
            continue
        for members, wanted in setup.sets.items():
            try:
                lent[members, value] = lent_weights(folded, whole, members)
            except UnsupportedGraphError as error:
                skipped.update({f"{layer} at {value}": str(error) for layer in wanted})
        watched.progress.update(0.05 + 0.4 * (number + 1) / len(setup.values), f"all layers at {value}")
    if failed is not None and not lent:
        raise failed
    scored: Iterable[tuple[tuple[str, ...], list[tuple[Setting, float]]]]
    if by in ("divergence", "sqnr"):
        scored = _by_outputs(folded, lent, setup, watched, energy=by == "sqnr")
    else:
        scored = _by_gradients(by, folded, lent, setup, swept, watched)
    for members, found in scored:
        for layer in setup.sets[members]:
            points.extend(EstimatedPoint(layer=layer, value=value, divergence=score) for value, score in found)
    order = {layer: position for position, layer in enumerate(setup.everything)}
    points.sort(key=lambda point: (order[point.layer], setup.values.index(point.value)))
    correlation, compared = _correlation(points, measured)
    return EstimateReport(
        method=swept.method,
        knob=swept.knob,
        estimator=by,
        samples=len(original),
        points=tuple(points),
        rank_correlation=correlation,
        compared=compared,
        seconds=time.perf_counter() - began,
        skipped=skipped,
    )


def _by_outputs(
    folded: ModelGraph, lent: Lent, setup: Setup, watched: Watched, *, energy: bool
) -> Iterator[tuple[tuple[str, ...], list[tuple[Setting, float]]]]:
    """Yield by layers that go together how far the outputs go at every value."""
    original = setup.original
    chunks = range(original.replay.chunks)

    def run(members: tuple[str, ...]) -> list[tuple[Setting, float]]:
        """Run one layer with all its weights, in a thread."""
        own = {value: lent[members, value] for value in setup.values if (members, value) in lent}
        free = sorted({name for weights in own.values() for name in weights})
        part = parts[members]
        found = []
        for value, weights in own.items():
            watched.cancel.raise_if_cancelled()
            given = {name: weights.get(name, np.asarray(folded.constant(name))) for name in free}
            far = original.divergence_of(part, chunks, given, energy=energy)
            found.append((value, float(np.mean(far))))
        part.close()
        return found

    parts: dict[tuple[str, ...], ReplayedPart] = {}
    for members in setup.sets:
        own = [lent[members, value] for value in setup.values if (members, value) in lent]
        if own:
            free = sorted({name for weights in own for name in weights})
            # Any other value shows what hangs on these weights.
            marked = folded.with_initializers({name: np.asarray(folded.constant(name)) + 1 for name in free})
            parts[members] = original.replay.part(marked, free)
    original.replay.keep([name for part in parts.values() for name in part.fed], chunks)
    with ThreadPoolExecutor(original.workers, thread_name_prefix="estimate") as pool:
        for number, (members, found) in enumerate(zip(parts, pool.map(run, parts), strict=True)):
            yield members, found
            watched.progress.update(0.45 + 0.55 * (number + 1) / len(parts), members[0])


def _by_gradients(
    by: Estimator, folded: ModelGraph, lent: Lent, setup: Setup, swept: Swept, watched: Watched
) -> Iterator[tuple[tuple[str, ...], list[tuple[Setting, float]]]]:
    """Yield by layers that go together what gradients say of every value."""
    original, progress = setup.original, watched.progress.part(0.45, 1.0)
    source = SlopeSource(swept.training, original.task, original.batches, len(original), swept.seed, watched.cancel)
    changes = {
        key: {name: array - np.asarray(folded.constant(name)) for name, array in weights.items()}
        for key, weights in lent.items()
    }
    found: dict[tuple[str, ...], list[tuple[Setting, float]]] = {}
    if by == "hessian":
        names = dict.fromkeys(name for weights in changes.values() for name in weights)
        traces = hessian_traces(folded, {name: np.asarray(folded.constant(name)) for name in names}, source, progress)
        for (members, value), weights in changes.items():
            score = sum(
                max(traces[name], 0.0) / max(change.size, 1) * float(np.square(change, dtype=np.float64).sum())
                for name, change in weights.items()
            )
            found.setdefault(members, []).append((value, score))
    else:
        for number, value in enumerate(setup.values):
            together = {key[0]: weights for key, weights in changes.items() if key[1] == value}
            part = progress.part(number / len(setup.values), (number + 1) / len(setup.values))
            moved = {name: change for weights in together.values() for name, change in weights.items()}
            slopes = weight_slopes(folded, moved, source, progress=part) if moved else {}
            for members, weights in together.items():
                whole = sum((slopes[name] for name in weights), np.zeros(1))
                score = np.abs(whole).mean() if by == "taylor" else np.square(whole).mean()
                found.setdefault(members, []).append((value, float(score)))
    yield from found.items()


def _correlation(points: Sequence[EstimatedPoint], measured: Sequence[SensitivityPoint]) -> tuple[float | None, int]:
    """Return Spearman's rank correlation with what was measured, and of how many points; None for fewer than 3."""
    known = {(point.layer, point.value): point for point in measured if not point.provisional}
    pairs = [
        (point.divergence, other.drop if other.expected is None else other.expected)
        for point in points
        if (other := known.get((point.layer, point.value))) is not None
    ]
    if len(pairs) < 3:
        return None, len(pairs)
    first, second = (rank(np.array(column)) for column in zip(*pairs, strict=True))
    if first.std() == 0 or second.std() == 0:
        return None, len(pairs)
    return float(np.corrcoef(first, second)[0, 1]), len(pairs)


def rank(values: np.ndarray) -> np.ndarray:
    """Return the rank of every value (n,), equal values sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray(((ends - counts) + (ends - 1)) / 2)[inverse]
