"""The document's values as JSON text and back, exactly: infinities included."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, TypeAdapter

from workbench.domain.measurements import MetricMeasurement, SensitivityPoint
from workbench.project.state import Candidate, ProjectState

# Kept in tables of their own, so that one more of them costs one row.
_OWN_TABLES = frozenset({"candidates", "sensitivities", "schema_kind"})

FIELDS: tuple[str, ...] = tuple(name for name in ProjectState.model_fields if name not in _OWN_TABLES)

_TYPES: dict[str, Any] = {name: ProjectState.model_fields[name].annotation for name in FIELDS}
_ADAPTERS: dict[str, TypeAdapter[Any]] = {name: TypeAdapter(type_) for name, type_ in _TYPES.items()}


def encode_field(name: str, value: Any) -> str:
    """Return a field of ProjectState as JSON."""
    return _text(_ADAPTERS[name].dump_python(value, mode="json"))


def decode_field(name: str, text: str) -> Any:
    """Return the field that `encode_field` wrote; ValueError if it does not fit."""
    return _ADAPTERS[name].validate_python(json.loads(text))


def encode_candidate(candidate: Candidate) -> str:
    """Return a candidate as JSON."""
    return _text(candidate.model_dump(mode="json"))


def decode_candidate(text: str) -> Candidate:
    """Return the candidate that `encode_candidate` wrote; ValueError if it does not fit."""
    return Candidate.model_validate(json.loads(text))


def encode_model(value: BaseModel | None) -> str:
    """Return a measurement as JSON."""
    return _text(None if value is None else value.model_dump(mode="json"))


def decode_point(text: str) -> SensitivityPoint:
    """Return the point that `encode_model` wrote; ValueError if it does not fit."""
    return SensitivityPoint.model_validate(json.loads(text))


def decode_measurement(text: str) -> MetricMeasurement | None:
    """Return the measurement that `encode_model` wrote; ValueError if it does not fit."""
    content = json.loads(text)
    return None if content is None else MetricMeasurement.model_validate(content)


def _text(content: Any) -> str:
    # pydantic's own writer turns infinities into null, which it then can't read back as a number
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)
