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
_PLUGINS: dict[str, str] = {}


def metrics() -> tuple[type[Metric], ...]:
    """Return all known metrics."""
    return tuple(_METRICS.values())


def register_metric(metric: type[Metric], plugin: str) -> None:
    """Add a plugin's metric, or the plugin's newer version of it; PluginError as `require_free_metric`."""
    require_free_metric(metric.name, plugin)
    _METRICS[metric.name], _PLUGINS[metric.name] = metric, plugin


def require_free_metric(name: str, plugin: str) -> None:
    """Raise PluginError if a metric of that name comes with the program or from another plugin."""
    owner = _PLUGINS.get(name)
    if name in _METRICS and owner != plugin:
        raise PluginError(
            f"the metric name {name!r} is already taken",
            where=f"plugin {plugin!r}",
            found="a metric of the program" if owner is None else f"it in plugin {owner!r}",
            action="Give it another name.",
        )


def plugin_metrics() -> tuple[tuple[type[Metric], str], ...]:
    """Return the metrics that plugins brought, each with its plugin."""
    return tuple((_METRICS[name], plugin) for name, plugin in _PLUGINS.items())


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
