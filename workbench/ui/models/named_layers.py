"""Finds the layers that an error names, so that its notice can lead to them: files call layers what tables do not."""

from __future__ import annotations

import re

from workbench.domain.errors import WorkbenchError
from workbench.domain.reports import InspectReport

_QUOTED = re.compile(r"'([^']+)'|\"([^\"]+)\"")


def named_layers(error: WorkbenchError, report: InspectReport | None) -> tuple[str, ...]:
    """Return the model's layers that an error quotes in what happened, else in where it happened."""
    known = set() if report is None else {layer.name for layer in report.layers}
    for text in (error.message, error.where or ""):
        quoted = (one or other for one, other in _QUOTED.findall(text))
        found = tuple(dict.fromkeys(name for name in quoted if name in known))
        if found:
            return found
    return ()
