"""The metrics by the name that DATA.yaml uses, first-party and plugins' alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.data.metrics._base import Metric
from workbench.data.metrics.cosine import Cosine
from workbench.data.metrics.miou import MeanIou
from workbench.data.metrics.mse import Mse
from workbench.data.metrics.perplexity import Perplexity
from workbench.data.metrics.psnr import Psnr
from workbench.data.metrics.sqnr import Sqnr
from workbench.data.metrics.top1 import Top1
from workbench.data.metrics.top5 import Top5
from workbench.domain.errors import DataError, PluginError

_METRICS: dict[str, type[Metric]] = {
    metric.name: metric for metric in (Top1, Top5, Mse, Psnr, MeanIou, Perplexity, Sqnr, Cosine)
}


def metrics() -> tuple[type[Metric], ...]:
    """Return all known metrics."""
    return tuple(_METRICS.values())


def register_metric(metric: type[Metric]) -> None:
    """Add a plugin's metric; PluginError if its name is taken by another one."""
    known = _METRICS.setdefault(metric.name, metric)
    if known is not metric:
        raise PluginError(f"the metric name {metric.name!r} is already taken", found=known.__qualname__)


def metric_named(name: str, options: Mapping[str, Any] | None = None) -> Metric:
    """Return a fresh metric called `name`; DataError listing the known ones if there is none."""
    if name not in _METRICS:
        raise DataError(
            f"unknown metric {name!r}",
            where="metric",
            expected="one of " + ", ".join(_METRICS),
            action="Correct the name or install the plugin that brings it.",
        )
    return _METRICS[name](options)
