"""A method's JSON schema read into form fields, so that any plugin's parameters get a form for free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["int", "float", "bool", "enum", "text", "json"]


@dataclass(frozen=True)
class Field:
    """One parameter as a form shows it.

    Attributes:
        key: Key in the step's parameters.
        title, doc: Label and tooltip.
        kind: Which editor it gets; "json" is a line of JSON for anything nested.
        default: What the method takes when the key is absent; `required` when it has none.
        low, high: Inclusive range; `open_low`, `open_high` when the end itself is excluded.
        step: Of the spin box, from the schema's multipleOf.
        choices: Of an enum.
        optional: Whether None is allowed.
    """

    key: str
    title: str
    kind: Kind
    default: Any = None
    required: bool = False
    doc: str = ""
    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    optional: bool = False

    def range_text(self) -> str:
        """Return the allowed range in words; "" for none."""
        low = None if self.low is None else f"{'more than' if self.open_low else 'at least'} {self.low:g}"
        high = None if self.high is None else f"{'less than' if self.open_high else 'at most'} {self.high:g}"
        return ", ".join(part for part in (low, high) if part)


def fields(json_schema: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return a form field for every property, in the schema's order."""
    definitions = json_schema.get("$defs", {})
    required = set(json_schema.get("required", ()))
    return tuple(
        _field(key, value, definitions, key in required) for key, value in json_schema.get("properties", {}).items()
    )


def _field(key: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], required: bool) -> Field:
    merged, optional = _flattened(schema, definitions)
    choices = tuple(merged["enum"]) if "enum" in merged else (merged["const"],) if "const" in merged else ()
    open_low, open_high = "exclusiveMinimum" in merged, "exclusiveMaximum" in merged
    return Field(
        key=key,
        title=_sentence_case(str(schema.get("title") or key.replace("_", " "))),
        kind="enum" if choices else _kind(merged),
        default=schema.get("default", merged.get("default")),
        required=required,
        doc=str(schema.get("description") or merged.get("description") or ""),
        low=merged.get("exclusiveMinimum", merged.get("minimum")),
        high=merged.get("exclusiveMaximum", merged.get("maximum")),
        open_low=open_low,
        open_high=open_high,
        step=merged.get("multipleOf"),
        choices=choices,
        optional=optional,
    )


def _flattened(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Follow a reference and take None out of a union; a union of several other types is left alone."""
    if "$ref" in schema:
        target = definitions.get(str(schema["$ref"]).rsplit("/", 1)[-1], {})
        return _flattened({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, definitions)
    if len(schema.get("allOf", ())) == 1:
        return _flattened({**schema["allOf"][0], **{k: v for k, v in schema.items() if k != "allOf"}}, definitions)
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        others = [option for option in options if option.get("type") != "null"]
        if len(others) == 1:
            inner, _ = _flattened(others[0], definitions)
            return {**inner, **{key: value for key, value in schema.items() if key != "anyOf"}}, len(others) < len(
                options
            )
    return schema, False


def _kind(schema: Mapping[str, Any]) -> Kind:
    kinds: dict[str, Kind] = {"integer": "int", "number": "float", "boolean": "bool", "string": "text"}
    return kinds.get(str(schema.get("type")), "json")


def _sentence_case(title: str) -> str:
    """Turn pydantic's "Learning Rate" into "Learning rate"; words in capitals stay."""
    words = title.split()
    first = [word[:1].upper() + word[1:] for word in words[:1]]
    return " ".join([*first, *(word if word.isupper() else word.lower() for word in words[1:])])
