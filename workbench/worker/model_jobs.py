"""Jobs that look at a model file, or make one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.domain.errors import ProjectError
from workbench.graph.collapse import BlockTree, collapsed
from workbench.graph.inspection import inspect_model, layer_detail, summary
from workbench.graph.storage import model_sha256, open_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import DrawJob, ImportJob, InspectJob, LayerDetailJob
from workbench.methods.applicability import faults, with_knobs
from workbench.worker.imported_archives import imported_archive, is_archive, remember_import
from workbench.worker.installed_methods import installed_methods


def inspect(spec: InspectJob, context: JobContext) -> dict[str, Any]:
    """Describe a model → InspectReport."""
    context.cancel.raise_if_cancelled()
    context.progress.update(0.0, "opening")
    report = inspect_model(onnx_file(spec.model, context), drawing=spec.drawing, dimensions=spec.dimensions)
    context.cancel.raise_if_cancelled()
    # The graph knows the knobs that fit an operator; which ones can be turned is for the installed methods to say.
    registry, _ = installed_methods()
    layers = tuple(with_knobs(layer, registry) for layer in report.layers)
    notes = (*report.notes, *(str(fault) for fault in faults(report.layers, registry)))
    return report.model_copy(update={"layers": layers, "notes": notes}).model_dump(mode="json")


def layer_statistics(spec: LayerDetailJob, context: JobContext) -> dict[str, Any]:
    """Read a layer's weights → LayerDetail."""
    return layer_detail(open_model(onnx_file(spec.model, context)), spec.layer).model_dump(mode="json")


def draw(spec: DrawJob, context: JobContext) -> dict[str, Any]:
    """Place the boxes of a graph with closed blocks → Drawing."""
    context.progress.update(0.0, "drawing")
    return collapsed(BlockTree(spec.drawing), spec.closed).model_dump(mode="json")


def import_source(spec: ImportJob, context: JobContext) -> dict[str, Any]:
    """Turn a torch archive or a factory into ONNX → ModelSummary."""
    # Torch takes two seconds to load, and only this job needs its exporter.
    from workbench.engines.training_torch.importing import import_model

    context.progress.update(0.0, "importing")
    out = Path(spec.out)
    for note in import_model(spec.source, out, trusted=spec.trusted):
        context.log(note)
    if is_archive(Path(spec.source)):
        remember_import(Path(spec.source), out, context)
    return summary(open_model(out), out).model_dump(mode="json")


def onnx_file(model: str, context: JobContext, sha256: str | None = None) -> Path:
    """Return the ONNX file of what the user named: the file itself, or what a torch archive was imported to.

    Loading an archive can run code that came with it, so that it happens where the user is asked: in `import`.

    Args:
        model: Path of an .onnx file or a torch archive.
        context: Of the job.
        sha256: Hash that the ONNX file must have, or None.

    Raises:
        BadInputError: it is a torch archive that was not imported before.
        ProjectError: the file has another hash.
    """
    path = imported_archive(Path(model)) if is_archive(Path(model)) else Path(model)
    if sha256 is not None and (found := model_sha256(path)) != sha256:
        raise ProjectError(
            "the model file was changed since the project measured it",
            where=model,
            expected=f"sha256 {sha256[:12]}",
            found=f"sha256 {found[:12]}",
            action="Restore the original file, or open the changed one as a new model.",
        )
    return path
