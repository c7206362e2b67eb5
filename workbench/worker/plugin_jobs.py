"""Jobs that run plugin code to describe or check it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.data.metrics.registry import plugin_metrics
from workbench.data.readers.registry import plugin_readers
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CheckPluginJob, ListMethodsJob
from workbench.plugin_host.compliance import check_plugin
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import installed_methods


def list_methods(spec: ListMethodsJob, context: JobContext) -> dict[str, Any]:
    """Load all plugins → methods, knobs, metrics, readers and failures.

    {"methods": [ParameterSchema], "knobs": [Knob fields], "metrics": [{"name", "title", "plugin"}], "readers": [same],
    "failures": [error]}; the program's own metrics and readers are not among them.
    """
    registry, failures = installed_methods()
    return {
        "methods": [schema.model_dump(mode="json") for schema in registry.schemas()],
        "knobs": [asdict(knob) for knob in registry.knobs],
        "metrics": [{"name": m.name, "title": m.title, "plugin": plugin} for m, plugin in plugin_metrics()],
        "readers": [{"name": r.name, "title": r.title, "plugin": plugin} for r, plugin in plugin_readers()],
        "failures": [failure.to_json() for failure in failures],
    }


def check(spec: CheckPluginJob, context: JobContext) -> dict[str, Any]:
    """Run the compliance checks → {"plugin", "checks": [{"name", "passed", "message"}]}."""
    checks = check_plugin(
        Path(spec.path), inference_engine(), DeferredTrainingEngine(), progress=context.progress, cancel=context.cancel
    )
    return {
        "plugin": spec.path,
        "checks": [{"name": c.name, "passed": c.passed, "message": c.message} for c in checks],
    }
