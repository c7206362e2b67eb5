"""Says what keeps an object that a plugin offers from being what its manifest says, before anyone uses it."""

from __future__ import annotations

import inspect

from pydantic import BaseModel

from workbench.data.metrics._base import Metric
from workbench.data.readers._base import Reader, ReaderOptions
from workbench.domain.knobs import Knob
from workbench.methods.method import Method, Stage
from workbench.methods.search.strategy import Strategy


def fault_of_method(found: object, id: str) -> str | None:
    """Return what keeps an object from being the method called `id`, or None."""
    if not (isinstance(found, type) and issubclass(found, Method)):
        return "is not a subclass of workbench.api.Method"
    fault = _missing(found, id=str, title=str, stage=Stage, knobs=tuple)
    if fault is not None:
        return fault
    if not all(isinstance(knob, Knob) for knob in found.knobs):
        return "has something in `knobs` that is not a workbench.api.Knob"
    if not (isinstance(found.Parameters, type) and issubclass(found.Parameters, BaseModel)):
        return "has `Parameters` that are not a subclass of workbench.api.Parameters"
    if found.id != id:
        return f"says that its id is {found.id!r}, the manifest says {id!r}"
    return None


def fault_of_metric(found: object, name: str) -> str | None:
    """Return what keeps an object from being the metric called `name`, or None."""
    if not (isinstance(found, type) and issubclass(found, Metric)):
        return "is not a subclass of workbench.api.Metric"
    fault = _missing(found, name=str, title=str, unit=str, higher_is_better=bool)
    if fault is not None:
        return fault
    if found.against not in ("targets", "reference"):
        return f"has `against` = {found.against!r}, which is neither 'targets' nor 'reference'"
    return _misnamed(found.name, name)


def fault_of_reader(found: object, name: str) -> str | None:
    """Return what keeps an object from being the reader called `name`, or None."""
    if not (isinstance(found, type) and issubclass(found, Reader)):
        return "is not a subclass of workbench.api.Reader"
    fault = _missing(found, name=str, title=str, suffixes=tuple)
    if fault is not None:
        return fault
    if not (isinstance(found.Options, type) and issubclass(found.Options, ReaderOptions)):
        return "has `Options` that are not a subclass of workbench.api.ReaderOptions"
    return _misnamed(found.name, name)


def fault_of_strategy(found: object, name: str) -> str | None:
    """Return what keeps an object from being the strategy called `name`, or None."""
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        return "is not a subclass of workbench.api.Strategy"
    fault = _missing(found, name=str, title=str, screened=bool)
    if fault is not None:
        return fault
    if not (isinstance(found.Parameters, type) and issubclass(found.Parameters, BaseModel)):
        return "has `Parameters` that are not a subclass of workbench.api.Parameters"
    return _misnamed(found.name, name)


def _missing(found: type, **attributes: type) -> str | None:
    if inspect.isabstract(found):
        return f"does not define {', '.join(sorted(getattr(found, '__abstractmethods__', ())))}"
    for name, kind in attributes.items():
        if not isinstance(getattr(found, name, None), kind):
            return f"has no `{name}` of type {kind.__name__}"
    return None


def _misnamed(own: str, name: str) -> str | None:
    return None if own == name else f"says that its name is {own!r}, the manifest says {name!r}"
