"""What to do with a file that is opened, dropped or named on the command line, by what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from workbench.data.description_file import read_data_description
from workbench.data.yaml_text import read_yaml
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, RecipeError, WorkbenchError
from workbench.methods.recipe_file import read_recipe
from workbench.project.commands import Command, ReplaceRecipe, SetData, SetRun, Together
from workbench.ui.projects import Projects
from workbench.ui.session import Session

SUFFIXES = (".onnx", ".pt2", ".py", ".mcw", ".yaml", ".yml")
EVERYTHING = "Models, projects, data and recipes (*.onnx *.pt2 *.mcw *.yaml *.yml);;All files (*)"
MODELS = "ONNX models (*.onnx);;All files (*)"
PROJECTS = "Projects (*.mcw)"
RECIPES = "Recipes (*.yaml *.yml)"


def can_open(path: Path) -> bool:
    """Whether a file of this name can be dropped on the window."""
    return path.suffix.lower() in SUFFIXES


def open_file(path: Path, session: Session, projects: Projects, ask_import: Callable[[Path], object]) -> None:
    """Open a model, project, torch archive, data description or recipe; a fault is shown in the banner."""
    try:
        match path.suffix.lower():
            case ".mcw":
                projects.open(path)
            case ".onnx":
                projects.open_model(path)
            case ".pt2" | ".py":
                ask_import(path)
            case ".yaml" | ".yml":
                _open_yaml(path, session)
            case _:
                raise BadInputError(
                    f"Can't open {path.name}",
                    where=str(path.parent),
                    expected="an .onnx model, a .pt2 archive, a .mcw project, or a .yaml with data or a recipe",
                )
    except WorkbenchError as error:
        session.failed.emit(error)


def open_recipe(path: Path, session: Session) -> None:
    """Take over a recipe's plan, steps and settings, and its data where the project has none."""
    try:
        recipe = read_recipe(path)
    except WorkbenchError as error:
        session.failed.emit(error)
        return
    latency = session.state.latency.model_copy(update={"device": recipe.device})
    edits: list[Command] = [
        ReplaceRecipe(recipe.plan, recipe.steps, title=f"Open {path.name}"),
        SetRun(seed=recipe.seed, evaluate=recipe.evaluate, latency=latency),
    ]
    own = session.state.recipe().data
    if own is None and isinstance(recipe.data, DataDescription):
        edits.append(SetData(recipe.data, recipe.data.folder))
    session.do(Together(tuple(edits), title=f"Open {path.name}"))
    if own is None:
        session.evaluate_baseline()
    kept = "" if own is None or recipe.data in (None, own) else "; the project keeps its own data"
    session.said.emit(f"Took over plan and steps of {path.name}{kept}")


def _open_yaml(path: Path, session: Session) -> None:
    content = read_yaml(path, RecipeError, "recipe or data description")
    if {"steps", "plan"} & content.keys():
        open_recipe(path, session)
    else:
        description = read_data_description(path)
        session.open_data(description, Path(description.folder))
        session.said.emit(f"Data of {path.name}")
