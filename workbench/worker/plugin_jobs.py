"""Jobs that run plugin code to describe or check it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from workbench.data.metrics.registry import metric_owner, metrics
from workbench.data.readers.registry import reader_owner, readers
from workbench.domain.data_reports import OfferedMetric, OfferedReader
from workbench.domain.search_reports import OfferedStrategy
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CheckPluginJob, ListMethodsJob
from workbench.methods.search.registry import strategies
from workbench.plugin_host.compliance import check_plugin
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import installed_methods


def list_methods(spec: ListMethodsJob, context: JobContext) -> dict[str, Any]:
    """Load all plugins → methods, knobs, metrics, readers, search strategies and failures.

    {"methods": [ParameterSchema], "knobs": [Knob fields], "metrics": [OfferedMetric], "readers": [OfferedReader],
    "strategies": [OfferedStrategy], "failures": [error]}; the program's own metrics and readers come first.
    """
    registry, failures = installed_methods()
    saturates = inference_engine().integer_dot_products is False
    offered_metrics = (
        OfferedMetric(name=m.name, title=m.title, plugin=metric_owner(m.name) or "", against=m.against)
        for m in metrics()
    )
    offered_readers = (
        OfferedReader(
            name=r.name,
            title=r.title,
            plugin=reader_owner(r.name) or "",
            suffixes=r.suffixes,
            json_schema=r.Options.model_json_schema(),
        )
        for r in readers()
    )
    return {
        "methods": [
            schema.model_dump(mode="json", exclude=None if saturates else {"within_16_bits"})
            for schema in registry.schemas()
        ],
        "knobs": [asdict(knob) for knob in registry.knobs],
        "metrics": [metric.model_dump(mode="json") for metric in offered_metrics],
        "readers": [reader.model_dump(mode="json") for reader in offered_readers],
        "strategies": [
            OfferedStrategy(
                name=offered.strategy.name,
                title=offered.strategy.title,
                summary=offered.strategy.summary,
                plugin=offered.plugin,
            ).model_dump(mode="json")
            for offered in strategies()
        ],
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
