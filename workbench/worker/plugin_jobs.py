"""Jobs that run plugin code to describe or check it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.jobs.context import JobContext
from workbench.jobs.specs import CheckPluginJob, ListMethodsJob
from workbench.plugin_host.compliance import check_plugin
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import installed_methods


def list_methods(spec: ListMethodsJob, context: JobContext) -> dict[str, Any]:
    """Load all plugins → {"methods": [ParameterSchema], "knobs": [Knob fields], "failures": [error]}."""
    registry, failures = installed_methods()
    return {
        "methods": [schema.model_dump(mode="json") for schema in registry.schemas()],
        "knobs": [asdict(knob) for knob in registry.knobs],
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
