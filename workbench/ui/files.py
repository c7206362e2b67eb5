"""What to do with a file that is opened, dropped or named on the command line, by what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from PySide6.QtWidgets import QWidget

from workbench.data.description_file import read_data_description
from workbench.data.yaml_text import read_yaml
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, RecipeError, WorkbenchError
from workbench.methods.recipe_file import read_recipe
from workbench.project.commands import Command, ReplaceRecipe, SetData, SetRun, Together
from workbench.ui.leaving import when_free
from workbench.ui.models.dropped import kind_of, sort_dropped
from workbench.ui.originals import measure_original
from workbench.ui.projects import Projects
from workbench.ui.session import Session

EVERYTHING = "Models, projects, data and recipes (*.onnx *.pt2 *.mcw *.yaml *.yml);;All files (*)"
TRAINED = "Models: ONNX, torch archives, Python factories (*.onnx *.pt2 *.py);;All files (*)"
MODELS = "ONNX models (*.onnx);;All files (*)"
PROJECTS = "Projects (*.mcw)"
RECIPES = "Recipes (*.yaml *.yml)"


class Opener:
    """Opens files in a window.

    Args:
        window: Below questions.
        session: Takes descriptions and recipes.
        projects: Takes projects and models.
        ask_import: Asks about a torch archive or Python file, and opens what becomes of it together with the rest.
    """

    def __init__(
        self,
        window: QWidget,
        session: Session,
        projects: Projects,
        ask_import: Callable[[Path, tuple[Path, ...]], object],
    ) -> None:
        self._window = window
        self._session = session
        self._projects = projects
        self._ask_import = ask_import

    def open(self, path: Path) -> None:
        """Open a file; a fault is shown in the banner."""
        self.open_all((path,))

    def open_all(self, paths: Iterable[Path]) -> None:
        """Open files that belong together: a project or model first, then the data and the recipe in it."""
        dropped = sort_dropped(paths)
        if dropped.first is None:
            for path in dropped.then:
                self._describe(path)
            if not dropped.then:
                for path in dropped.left:
                    self._session.failed.emit(_unknown(path))
            return
        leaves = kind_of(dropped.first) == "project" or (
            kind_of(dropped.first) == "model" and self._session.state.model is not None
        )
        begin = partial(self._begin, dropped.first, dropped.then)
        if leaves:
            when_free(self._window, self._projects.busy, f"Open {dropped.first.name}", begin)
        else:
            begin()
        if dropped.left:
            names = ", ".join(path.name for path in dropped.left)
            self._session.said.emit(f"Opens {dropped.first.name}; not {names}")

    def _begin(self, path: Path, then: tuple[Path, ...]) -> None:
        match kind_of(path):
            case "project":
                if self._projects.open(path):
                    self.open_all(then)
            case "model":
                self._projects.open_model(path, partial(self.open_all, then))
            case "import":
                self._ask_import(path, then)

    def _describe(self, path: Path) -> None:
        try:
            content = read_yaml(path, RecipeError, "recipe or data description")
            if {"steps", "plan"} & content.keys():
                open_recipe(path, self._session)
            else:
                description = read_data_description(path)
                self._session.open_data(description, Path(description.folder))
                self._session.said.emit(f"Data of {path.name}")
        except WorkbenchError as error:
            self._session.failed.emit(error)


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
        measure_original(session)
    kept = "" if own is None or recipe.data in (None, own) else "; the project keeps its own data"
    session.said.emit(f"Took over plan and steps of {path.name}{kept}")


def _unknown(path: Path) -> BadInputError:
    return BadInputError(
        f"Can't open {path.name}",
        where=str(path.parent),
        expected="an .onnx model, a .pt2 archive, a .mcw project, or a .yaml with data or a recipe",
    )
