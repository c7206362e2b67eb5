"""The job that takes the energy of an inference: by the processor's counters where they can be read, else estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.devices.statistics import summarize_energy
from workbench.domain.energy import EnergyCoefficients, EnergyEstimate, EnergyReport, ModelEnergy, estimate
from workbench.graph.model import ModelGraph
from workbench.graph.shapes import require_known_dimensions
from workbench.graph.traffic import LayerTraffic, layer_traffic
from workbench.jobs.context import JobContext
from workbench.jobs.specs import EnergyJob
from workbench.worker.device_jobs import device_named
from workbench.worker.measuring_jobs import runnable_model
from workbench.worker.model_jobs import onnx_file

_HOROWITZ = "45 nm, 0.9 V: Horowitz, Computing's energy problem, ISSCC 2014"


def take_energy(spec: EnergyJob, context: JobContext) -> dict[str, Any]:
    """Measure where that is possible, and estimate in any case → EnergyReport."""
    paths = [onnx_file(model, context) for model in spec.models]
    graphs = [runnable_model(path) for path in paths]
    require_known_dimensions(graphs, spec.dimensions)
    found = device_named(spec.device).energy(
        paths,
        threads=spec.threads,
        batch=spec.batch,
        seconds=spec.seconds,
        dimensions=spec.dimensions,
        progress=context.progress,
        cancel=context.cancel,
    )
    context.progress.update(1.0)
    measured = [None] * len(paths) if found.rounds is None else summarize_energy(found.rounds, seed=0)
    models = tuple(
        _entry(path, graph, found.batch, spec.dimensions, spec.coefficients).model_copy(update={"measured": energy})
        for path, graph, energy in zip(paths, graphs, measured, strict=True)
    )
    return EnergyReport(
        device=found.device,
        threads=spec.threads,
        batch=found.batch,
        models=models,
        source=", ".join(found.counters),
        why_not_measured=found.why_not,
        idle_watts=None if found.rounds is None else float(np.median(found.rounds.idle_watts)),
        coefficients=spec.coefficients,
        estimate_basis=_HOROWITZ if spec.coefficients == EnergyCoefficients() else "given by the user",
        noise=found.noise,
    ).model_dump(mode="json")


def _entry(
    path: Path, graph: ModelGraph, batch: int, dimensions: Mapping[str, int], coefficients: EnergyCoefficients
) -> ModelEnergy:
    found = layer_traffic(graph, batch, dimensions)
    unknown = [entry for entry in found if entry.unknown]
    if unknown or not found:
        why = f"{unknown[0].layer}: {unknown[0].reason}" if unknown else "the model has no layers"
        return ModelEnergy(path=str(path), why_no_estimate=why)
    return ModelEnergy(path=str(path), estimate=_estimate(found, coefficients))


def _estimate(found: Sequence[LayerTraffic], coefficients: EnergyCoefficients) -> EnergyEstimate:
    known = [entry for entry in found if not entry.reason]
    return estimate(
        sum(entry.macs for entry in known if not entry.integer),
        sum(entry.macs for entry in known if entry.integer),
        sum(entry.bytes() for entry in known),
        coefficients,
    )
