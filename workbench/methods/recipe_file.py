"""Reads and writes RECIPE.yaml, the line between the window and scripts: it must lose nothing in either direction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.data.description_file import data_description_content, data_description_from, read_data_description
from workbench.data.yaml_text import read_yaml, validated, write_yaml
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import RecipeError
from workbench.domain.recipe import Recipe


def read_recipe(path: Path | str) -> Recipe:
    """Return a recipe whose data, if it names any, is embedded as a description.

    Raises:
        RecipeError: the file is missing, not YAML, of another version, or a key or value is wrong.
        DataError: the same for the DATA.yaml that it names.
    """
    file = Path(path)
    content = read_yaml(file, RecipeError, "recipe")
    if "version" not in content:
        raise RecipeError("the key is missing", where=f"{file}: version", expected="version: 1")
    folder = file.resolve().parent
    data = content.get("data")
    if isinstance(data, str):
        content["data"] = read_data_description(folder / Path(data).expanduser())
    elif isinstance(data, dict):
        content["data"] = data_description_from(data, f"{file}: data", folder)
    return validated(Recipe, content, RecipeError, str(file))


def write_recipe(recipe: Recipe, path: Path | str) -> None:
    """Write a recipe that `read_recipe` turns back into the same value, whatever folder it is written to.

    Raises:
        StorageError: the file can't be written.
    """
    file = Path(path)
    content: dict[str, Any] = {"version": recipe.version, "seed": recipe.seed}
    if isinstance(recipe.data, DataDescription):
        content["data"] = data_description_content(recipe.data, file.resolve().parent)
    elif recipe.data is not None:
        content["data"] = recipe.data
    dumped = recipe.model_dump(mode="json", include={"plan", "steps"})
    content["plan"] = {key: value for key, value in dumped["plan"].items() if value}
    content["steps"] = [
        {
            key: value
            for key, value in step.items()
            if key == "method" or (key == "parameters" and value) or (key == "enabled" and not value)
        }
        for step in dumped["steps"]
    ]
    content["evaluate"] = {"samples": recipe.evaluate.samples}
    content["device"] = recipe.device
    write_yaml(content, file)
