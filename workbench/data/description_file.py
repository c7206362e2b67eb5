"""Reads and writes DATA.yaml, so that a data set described once serves the window, scripts and colleagues."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from workbench.data.yaml_text import read_yaml, validated, write_yaml
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import DataError


def read_data_description(path: Path | str) -> DataDescription:
    """Return the description in a DATA.yaml; its relative paths start at the file's folder.

    Raises:
        DataError: the file is missing, not YAML, or a key or value is wrong; names file and key.
    """
    file = Path(path)
    content = read_yaml(file, DataError, "data description")
    return data_description_from(content, str(file), file.resolve().parent)


def data_description_from(content: Any, where: str, folder: Path) -> DataDescription:
    """Return the description that parsed YAML holds.

    Args:
        content: What was parsed.
        where: File (and key) for messages.
        folder: Where relative paths start, unless the content says another `folder`, which is relative to this one.

    Raises:
        DataError: a key or value is wrong.
    """
    description = validated(DataDescription, content, DataError, where)
    return description.model_copy(update={"folder": str(Path(os.path.normpath(folder / description.folder)))})


def data_description_content(description: DataDescription, folder: Path) -> dict[str, Any]:
    """Return what is written to a file in `folder`: what was left at its default is left out.

    Paths stay as they are; where they start elsewhere than at `folder`, the key `folder` says so.
    """
    content = description.model_dump(mode="json", exclude_defaults=True, exclude_none=True, exclude={"folder"})
    start = Path(os.path.abspath(description.folder))
    if start != folder:
        try:
            content["folder"] = os.path.relpath(start, folder)
        except ValueError:  # another drive
            content["folder"] = str(start)
    return {"task": description.task, "metric": description.metric, **content}


def write_data_description(description: DataDescription, path: Path | str) -> None:
    """Write a DATA.yaml that `read_data_description` turns back into the same value.

    Raises:
        StorageError: the file can't be written.
    """
    file = Path(path)
    write_yaml(data_description_content(description, file.resolve().parent), file)
