"""Reads STUDY.yaml, so that whatever is wrong with it is one line that names file and key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.data.description_file import data_description_from, read_data_description
from workbench.data.yaml_text import read_yaml, validated
from workbench.domain.budget_text import budgets_from
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import RecipeError
from workbench.domain.study import Budgets, Study


def read_study(path: Path | str, data: DataDescription | None = None) -> Study:
    """Return a study with its data embedded.

    Args:
        path: STUDY.yaml.
        data: Takes the place of what the study names.

    Raises:
        RecipeError: the file is missing, not YAML, of another version, a key or value is wrong, or no data is named.
        DataError: the same for the DATA.yaml that it names.
    """
    file = Path(path)
    content = read_yaml(file, RecipeError, "study")
    if "version" not in content:
        raise RecipeError("the key is missing", where=f"{file}: version", expected="version: 1")
    folder = file.resolve().parent
    named = content.get("data")
    if data is not None:
        content["data"] = data
    elif isinstance(named, str):
        content["data"] = read_data_description(folder / Path(named).expanduser())
    elif isinstance(named, dict):
        content["data"] = data_description_from(named, f"{file}: data", folder)
    if content.get("budgets") is not None:
        given = content.get("data")
        metric = given.metric if isinstance(given, DataDescription) else None
        content["budgets"] = _in_numbers(content["budgets"], metric, f"{file}: budgets")
    study = validated(Study, content, RecipeError, str(file))
    if study.data is None:
        raise RecipeError("the study names no data", where=f"{file}: data", action="Name a DATA.yaml.")
    return study


def with_budgets(study: Study, texts: Sequence[str], where: str) -> Study:
    """Return a study with further budgets, which take the place of its own of the same kind.

    Args:
        study: With its data embedded.
        texts: Such as "≤ 5 ms".
        where: Of them, for messages.

    Raises:
        RecipeError: one of them is none.
    """
    metric = study.data.metric if isinstance(study.data, DataDescription) else None
    budgets = study.budgets.limits() | _in_numbers(list(texts), metric, where)
    return study.model_copy(update={"budgets": validated(Budgets, budgets, RecipeError, where)})


def _in_numbers(content: Any, metric: str | None, where: str) -> Any:
    try:
        return budgets_from(content, metric)
    except ValueError as error:
        found = content if isinstance(content, str) else "; ".join(map(str, _entries(content)))
        raise RecipeError("the budget is not understood", where=where, expected=str(error), found=found) from error


def _entries(content: Any) -> list[Any]:
    return [f"{key}: {value}" for key, value in content.items()] if isinstance(content, dict) else list(content)
