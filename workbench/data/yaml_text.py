"""Reads and writes YAML 1.2's core schema and turns its faults, and pydantic's, into one line for the user.

PyYAML follows YAML 1.1, where `2:4` is the number 124, `1e-3` is text and `no` is false; recipes mean what YAML 1.2
says: a pattern, a number and a word.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from workbench.domain.errors import BadInputError, StorageError

Model = TypeVar("Model", bound=BaseModel)

_MOST_DIGITS = 100

# What pydantic calls things, and what a file's author does.
_PYTHON_WORDS = (
    (r"a valid (tuple|list|set)", "a list"),
    (r"a valid dictionary( or instance of \w+)?", "a mapping of keys to values"),
    (r"a valid string", "text"),
)
_KINDS = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false"}

_CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own name)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse a key that stands twice, of which PyYAML would silently keep the last."""
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key that is a list or mapping", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own name)

    def ignore_aliases(self, data: Any) -> bool:
        """Write repeated values out in full; anchors puzzle readers of a recipe."""
        return True


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    if len(text) > _MOST_DIGITS:
        raise yaml.constructor.ConstructorError(None, None, f"a number of {len(text)} digits", node.start_mark)
    return int(text)


for _tag, _pattern, _first in _CORE_SCHEMA:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)
    _Dumper.add_implicit_resolver(_tag, re.compile(_pattern), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def read_yaml(path: Path, error: type[BadInputError], what: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds.

    Args:
        path: The file.
        error: Class of the errors.
        what: The file's role in messages, e.g. "data description".

    Raises:
        BadInputError: (as `error`) the file is missing or unreadable, not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as fault:
        raise error(f"there is no {what} {path}", action="Correct the path.") from fault
    except (OSError, UnicodeDecodeError) as fault:
        raise error(f"the {what} can't be read", where=str(path), found=str(fault)) from fault
    try:
        content = yaml.load(text, _Loader)
    except RecursionError as fault:
        raise error(f"the {what} is nested too deeply", where=str(path)) from fault
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        place = str(path) if mark is None else f"{path} line {mark.line + 1}"
        problem = getattr(fault, "problem", None) or str(fault).splitlines()[0]
        raise error(f"the {what} is not valid YAML", where=place, found=problem) from fault
    if isinstance(content, dict):
        odd = next((key for key in content if not isinstance(key, str)), None)
        if odd is not None:
            raise error(f"the {what} has a key that is not text", where=str(path), found=repr(odd))
    else:
        found = "an empty file" if content is None else _KINDS.get(type(content), type(content).__name__)
        raise error(f"the {what} is not a mapping of keys to values", where=str(path), found=found)
    return content


def read_scalar(text: str, where: str) -> Any:
    """Return one value as a YAML file would hold it, e.g. of a command-line option.

    Raises:
        BadInputError: it is not YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as fault:
        problem = getattr(fault, "problem", None) or str(fault).splitlines()[0]
        raise BadInputError(f"{text!r} is not a value", where=where, found=problem) from fault


def write_yaml(content: dict[str, Any], path: Path) -> None:
    """Write a mapping in its own order, whole or not at all; StorageError if the file can't be written."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    staged = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        staged.write_text(text, encoding="utf-8")
        os.replace(staged, path)
    except OSError as fault:
        raise StorageError(f"{path} can't be written", found=fault.strerror or str(fault)) from fault
    finally:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)


def validated(model: type[Model], content: Any, error: type[BadInputError], where: str) -> Model:
    """Return `content` as a `model`.

    Raises:
        BadInputError: (as `error`) the first thing that does not fit, with its dotted key.
    """
    try:
        return model.model_validate(content)
    except ValidationError as fault:
        raise one_line(fault, error, where) from fault


def one_line(fault: ValidationError, error: type[BadInputError], where: str) -> BadInputError:
    """Return pydantic's most telling complaint as one of ours, the dotted key appended to `where`."""
    first = max(fault.errors(), key=lambda item: len(_keys(item["loc"])))
    key = ".".join(_keys(first["loc"]))
    place = f"{where}: {key}" if key else where
    if first["type"] == "extra_forbidden":
        return error("there is no such key", where=place, action="Correct or remove it.")
    if first["type"] == "missing":
        return error("the key is missing", where=place)
    message = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    for said, meant in _PYTHON_WORDS:
        message = re.sub(said, meant, message)
    found = repr(first["input"])
    return error(
        "the value does not fit", where=place, expected=message, found=found if len(found) <= 80 else found[:77] + "…"
    )


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the file in pydantic's location, which also names members of unions."""
    kinds = ("str", "int", "float", "bool", "Crop", "DataDescription", "Step")
    return [
        str(part)
        for part in location
        if not (isinstance(part, str) and (part in kinds or part.startswith(("literal[", "dict[", "tuple["))))
    ]
