"""What a handful of dropped files means: what is opened first, what then, what not, and the words for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from workbench.data.yaml_text import read_yaml
from workbench.domain.errors import BadInputError
from workbench.project.state import ProjectState

Kind = Literal["project", "model", "import", "data", "recipe", "yaml"]
_KINDS: dict[str, Kind] = {
    ".mcw": "project",
    ".onnx": "model",
    ".pt2": "import",
    ".py": "import",
    ".yaml": "yaml",
    ".yml": "yaml",
}
_LEADING: tuple[Kind, ...] = ("project", "model", "import")
OPENABLE = "Drop a model (.onnx, .pt2), a project (.mcw), or data or a recipe (.yaml)."


def kind_of(path: Path) -> Kind | None:
    """Return what a file is by its name, descriptions and recipes by their content; None for what can't be opened.

    A .yaml file that can't be read stays "yaml": opening it says what is wrong with it.
    """
    kind = _KINDS.get(path.suffix.lower())
    if kind != "yaml":
        return kind
    try:
        content = read_yaml(path, BadInputError, "recipe or data description")
    except BadInputError:
        return "yaml"
    return "recipe" if {"steps", "plan"} & content.keys() else "data"


@dataclass(frozen=True)
class Dropped:
    """Files in the order in which they are opened.

    Attributes:
        first: The project or model, which everything else belongs to; None where only descriptions were dropped.
        then: Data, then recipe.
        left: Those that can't be opened, or not beside `first`.
    """

    first: Path | None = None
    then: tuple[Path, ...] = ()
    left: tuple[Path, ...] = ()


def sort_dropped(paths: Iterable[Path]) -> Dropped:
    """Return what to do with files that were dropped together."""
    kinds = {path: kind_of(path) for path in paths}
    leading = sorted((path for path in kinds if kinds[path] in _LEADING), key=lambda path: _rank(kinds[path]))
    then = sorted((path for path in kinds if kinds[path] in ("data", "recipe", "yaml")), key=lambda p: kinds[p] or "")
    left = (*leading[1:], *(path for path in kinds if kinds[path] is None))
    return Dropped(leading[0] if leading else None, tuple(then), left)


def words_for(paths: tuple[Path, ...], state: ProjectState) -> tuple[str, str]:
    """Return a title and a sentence that say what dropping these files does now."""
    dropped = sort_dropped(paths)
    order = (*filter(None, (dropped.first,)), *dropped.then)
    if not order:
        return f"{_names(paths)} can't be opened", OPENABLE
    title, text = _one(order[0], state)
    if len(order) > 1:
        text = f"{text}, then {_names(order[1:])}"
    if dropped.left:
        text = f"{text}; not {_names(dropped.left)}"
    return title, text[:1].upper() + text[1:]


def _one(path: Path, state: ProjectState) -> tuple[str, str]:
    shown = state != ProjectState()
    match kind_of(path):
        case "project":
            text = "this one stays stored" if shown else "with everything that was measured in it"
            return f"Open project {path.stem}", text
        case "model" if state.model is None:
            return f"Open {path.name}", "as this project's model"
        case "model":
            return f"Open {path.name}", "in a new project; this one stays stored"
        case "import":
            return f"Import {path.name}", "asks before it runs any code"
        case "recipe":
            replaced = bool(state.steps or state.plan.knobs())
            text = "its plan and steps take the place of these; undo brings them back" if replaced else "plan and steps"
            return f"Take over recipe {path.name}", text
        case "data":
            replaced = state.data is not None
            text = "what was measured on other data is put aside; undo brings it back" if replaced else "to measure on"
            return f"Use data {path.name}", text
        case _:
            return f"Open {path.name}", "a recipe or data description"


def _rank(kind: Kind | None) -> int:
    return _LEADING.index(kind) if kind in _LEADING else len(_LEADING)


def _names(paths: Iterable[Path]) -> str:
    return ", ".join(path.name for path in paths)
