"""Jobs that look at a model file, or make one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.domain.errors import BadInputError
from workbench.graph.inspection import inspect_model, layer_detail, summary
from workbench.graph.storage import open_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import ImportJob, InspectJob, LayerDetailJob


def inspect(spec: InspectJob, context: JobContext) -> dict[str, Any]:
    """Describe a model → InspectReport."""
    context.progress.update(0.0, "opening")
    report = inspect_model(onnx_file(spec.model, context), drawing=spec.drawing, dimensions=spec.dimensions)
    return report.model_dump(mode="json")


def layer_statistics(spec: LayerDetailJob, context: JobContext) -> dict[str, Any]:
    """Read a layer's weights → LayerDetail."""
    return layer_detail(open_model(onnx_file(spec.model, context)), spec.layer).model_dump(mode="json")


def import_source(spec: ImportJob, context: JobContext) -> dict[str, Any]:
    """Turn a torch archive or a factory into ONNX → ModelSummary."""
    # Torch takes two seconds to load, and only this job needs its exporter.
    from workbench.engines.training_torch.importing import import_model

    context.progress.update(0.0, "importing")
    out = Path(spec.out)
    import_model(spec.source, out, trusted=spec.trusted)
    return summary(open_model(out), out).model_dump(mode="json")


def onnx_file(model: str, context: JobContext) -> Path:
    """Return the ONNX file of what the user named.

    Raises:
        BadInputError: it is a torch archive, which is imported first.
    """
    path = Path(model)
    if path.suffix.lower() == ".pt2":
        target = path.with_suffix(".onnx")
        if target.is_file() and target.stat().st_mtime >= path.stat().st_mtime:
            context.log(f"Using {target.name}, which was imported from {path.name}.")
            return target
        raise BadInputError(
            f"{path.name} is a torch.export archive",
            where=str(path.parent),
            expected="an .onnx file",
            action=f"Import it first: workbench import {path.name} --out {target.name}",
        )
    return path
