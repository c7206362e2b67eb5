"""The methods that plugins brought, by id, and the one place where a recipe's step becomes a method."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from pydantic import ValidationError

from workbench.data.yaml_text import one_line
from workbench.domain.errors import PluginError, RecipeError, WorkbenchError
from workbench.domain.knobs import Knob
from workbench.domain.recipe import Recipe, Step
from workbench.domain.reports import ParameterSchema
from workbench.methods.method import Method


@dataclass(frozen=True)
class Registered:
    """A method's class with the name and version of the plugin that brought it."""

    method: type[Method]
    plugin: str
    plugin_version: str


class MethodRegistry:
    """All known methods; filled by the plugin loader, read by pipeline, sweep and forms."""

    def __init__(self) -> None:
        self._methods: dict[str, Registered] = {}
        self._schemas: dict[str, ParameterSchema] = {}

    def register(self, method: type[Method], plugin: str, plugin_version: str = "0") -> None:
        """Add a method.

        Raises:
            PluginError: its id is taken, it declares a known knob differently, or what it says of itself can't be
                shown (a parameter without a JSON schema, say).
        """
        if method.id in self._methods:
            owner = self._methods[method.id].plugin
            raise PluginError(f"method {method.id!r} exists already", where=plugin, found=f"it in plugin {owner!r}")
        known = {knob.name: knob for knob in self.knobs}
        for knob in method.knobs:
            if knob.name in known and known[knob.name] != knob:
                raise PluginError(
                    f"method {method.id!r} declares the knob {knob.name!r} differently from others",
                    where=plugin,
                    expected=known[knob.name].describe_range(),
                    found=knob.describe_range(),
                    action="Give it another name, or import the existing knob.",
                )
        entry = Registered(method, plugin, plugin_version)
        self._schemas[method.id] = _described(entry)
        self._methods[method.id] = entry

    def get(self, id: str, where: str | None = None) -> Registered:
        """Return the method called `id`; RecipeError listing the known ones if there is none."""
        if id not in self._methods:
            raise RecipeError(
                f"unknown method {id!r}",
                where=where,
                expected="one of " + (", ".join(sorted(self._methods)) or "the methods of plugins, but none is loaded"),
                action="Correct the name or install the plugin that brings it.",
            )
        return self._methods[id]

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._methods.values())

    def __contains__(self, id: object) -> bool:
        return id in self._methods

    def __len__(self) -> int:
        return len(self._methods)

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """Every knob that some method reads, once."""
        found: dict[str, Knob] = {}
        for entry in self._methods.values():
            for knob in entry.method.knobs:
                found.setdefault(knob.name, knob)
        return tuple(found.values())

    def knob(self, name: str, where: str | None = None) -> Knob:
        """Return the knob called `name`; RecipeError listing the known ones if no method reads it."""
        for knob in self.knobs:
            if knob.name == name:
                return knob
        raise RecipeError(
            f"unknown knob {name!r}", where=where, expected="one of " + ", ".join(knob.name for knob in self.knobs)
        )

    def schemas(self) -> tuple[ParameterSchema, ...]:
        """Return every method as forms and tables need it."""
        return tuple(self._schemas.values())

    def instantiate(self, step: Step, number: int | None = None) -> Method:
        """Return the step's method with its parameters.

        Args:
            step: Of a recipe.
            number: Counted from 1, for messages.

        Raises:
            RecipeError: unknown method, or a parameter that is unknown or out of range; names step, method, parameter.
            PluginError: the method can't be made; names plugin and method.
        """
        where = "steps" if number is None else f"step {number}"
        entry = self.get(step.method, where)
        try:
            return entry.method(entry.method.Parameters.model_validate(step.parameters))
        except ValidationError as fault:
            raise one_line(fault, RecipeError, f"{where} ({step.method})") from fault
        except WorkbenchError:
            raise
        except Exception as fault:  # the border to foreign code: anything may come
            raise PluginError(
                f"method {step.method!r} can't take its parameters: {type(fault).__name__}: {fault}",
                where=f"plugin {entry.plugin!r}, {where}",
                action="Report it to the plugin's author; the log has the traceback.",
            ) from fault

    def instantiate_all(self, recipe: Recipe) -> tuple[tuple[int, Method], ...]:
        """Return the enabled steps' methods with their positions (from 0); RecipeError as `instantiate`."""
        return tuple(
            (index, self.instantiate(step, index + 1)) for index, step in enumerate(recipe.steps) if step.enabled
        )


def _described(entry: Registered) -> ParameterSchema:
    """Return a method as forms and tables need it.

    Raises:
        PluginError: its texts or parameters can't be written as JSON; names plugin and method.
    """
    try:
        schema = ParameterSchema(
            id=entry.method.id,
            title=entry.method.title,
            stage=entry.method.stage.value,
            summary=entry.method.summary,
            source=entry.method.source,
            knobs=tuple(knob.name for knob in entry.method.knobs),
            needs_data=entry.method.needs_data,
            json_schema=entry.method.Parameters.model_json_schema(),
            plugin=entry.plugin,
            refused={
                knob.name: tuple(values.items())
                for knob in entry.method.knobs
                if (values := entry.method.refused(knob))
            },
            within_16_bits=tuple(dict(way) for way in entry.method.within_16_bits),
        )
        json.dumps([schema.model_dump(mode="json"), [asdict(knob) for knob in entry.method.knobs]], allow_nan=False)
    except Exception as error:  # the border to foreign code: one method's mistake must not cost the list of all
        raise PluginError(
            f"method {entry.method.id!r} can't be described: {type(error).__name__}: {error}",
            where=f"plugin {entry.plugin!r}",
            expected="texts and parameters that can be written as JSON",
        ) from error
    return schema
