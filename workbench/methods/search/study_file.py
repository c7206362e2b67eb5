"""Reads STUDY.yaml, so that whatever is wrong with it is one line that names file and key."""

from __future__ import annotations

from pathlib import Path

from workbench.data.description_file import data_description_from, read_data_description
from workbench.data.yaml_text import read_yaml, validated
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import RecipeError
from workbench.domain.study import Study


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
    study = validated(Study, content, RecipeError, str(file))
    if study.data is None:
        raise RecipeError("the study names no data", where=f"{file}: data", action="Name a DATA.yaml.")
    return study
