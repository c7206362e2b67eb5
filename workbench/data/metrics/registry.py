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
from workbench.data.offers import Offers

_METRICS: Offers[Metric] = Offers("metric", (Top1, Top5, Mse, Psnr, MeanIou, Perplexity, Sqnr, Cosine))

metrics = _METRICS.all
register_metric = _METRICS.register
require_free_metric = _METRICS.require_free
metric_owner = _METRICS.owner


def metric_named(name: str, options: Mapping[str, Any] | None = None) -> Metric:
    """Return a fresh metric called `name`; DataError listing the known ones if there is none."""
    return _METRICS.named(name, "metric")(options)
