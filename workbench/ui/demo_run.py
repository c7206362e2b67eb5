"""Fills a project with the embedded demo while the user watches: model, data, baseline, sensitivities, candidates."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from workbench.data.description_file import read_data_description
from workbench.domain.errors import BadInputError, StorageError, WorkbenchError
from workbench.domain.installation import shipped_folder
from workbench.domain.reports import InspectReport
from workbench.methods.recipe_file import read_recipe
from workbench.project.commands import ReplaceRecipe
from workbench.project.document import Document
from workbench.project.places import data_folder
from workbench.ui.projects import Projects
from workbench.ui.session import Session

_SWEEP = ("quantize.ptq", "weight_bits", (4, 2))
_SWEEP_SAMPLES = 500


def copy_demo(out: Path | None = None) -> Path:
    """Copy the demo's files into a new folder and return it.

    Args:
        out: The folder to make; by default one of the user's data folder.

    Raises:
        BadInputError: this installation was made without the demo.
        StorageError: the folder can't be written.
    """
    resources = shipped_folder("resources")
    if resources is None or not (resources / "demo" / "model.onnx").is_file():
        raise BadInputError("The demo's files are missing", action="Install the workbench again.")
    folder = _free(data_folder() / "demo") if out is None else _free(out / "demo")
    try:
        shutil.copytree(resources / "demo", folder)
    except OSError as error:
        raise StorageError(
            f"The demo can't be copied: {error.strerror or error}", where=str(folder), action="Use --out."
        ) from error
    return folder


def start_demo(session: Session, projects: Projects, out: Path | None = None) -> None:
    """Show a new project with the demo and queue its jobs; a fault is shown in the banner."""
    try:
        folder = copy_demo(out)
        document = Document.create(folder / "demo.mcw")
    except WorkbenchError as error:
        session.failed.emit(error)
        return
    projects.show(document)
    projects.remember(folder / "demo.mcw")
    projects.inspect(folder / "model.onnx", partial(_fill, session, projects, folder))


def _fill(session: Session, projects: Projects, folder: Path, report: InspectReport) -> None:
    if session.document.path != folder / "demo.mcw":
        return
    projects.take_model(folder / "model.onnx", report, "Open the demo's model")
    try:
        description = read_data_description(folder / "data.yaml")
        recipes = {
            path.stem[2:].replace("_", " "): read_recipe(path) for path in sorted((folder / "recipes").glob("*.yaml"))
        }
    except WorkbenchError as error:
        session.failed.emit(error)
        return
    session.open_data(description, Path(description.folder))
    names = list(recipes)
    if names:
        first = recipes[names[0]]
        session.do(ReplaceRecipe(first.plan, first.steps, title="Recipe of the demo"))
        session.compress(recipes[names[0]], names[0])
    method, knob, values = _SWEEP
    session.sweep(method, knob, values, samples=_SWEEP_SAMPLES)
    for name in names[1:]:
        session.compress(recipes[name], name)


def _free(folder: Path) -> Path:
    """Return `folder`, or one with a number, that does not exist yet."""
    number, free = 2, folder
    while free.exists():
        free = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return free
