"""The menu of a candidate, the same on its point and on its row: look, take over, export, compare, mark, delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtWidgets import QMenu, QWidget

from workbench.domain.errors import WorkbenchError
from workbench.methods.recipe_file import write_recipe
from workbench.project.commands import EditCandidate, Together, mark_candidates
from workbench.project.state import Candidate
from workbench.ui.models.result_plan import result_plans, take_over_title
from workbench.ui.panels.export import ask_path
from workbench.ui.panels.ladder_dialog import show_ladder
from workbench.ui.panels.result_plans import use_results
from workbench.ui.session import Session


@dataclass(frozen=True)
class MenuActions:
    """What the panel does for the menu.

    Attributes:
        show: Show a candidate's settings in other panels.
        compare: Compare these candidates.
        edit: Edit "name", "note" or "tags" of a candidate in the table.
        show_deleted: Show or hide deleted candidates.
        deleted_shown: Whether they are shown now.
    """

    show: Callable[[str], None]
    compare: Callable[[tuple[str, ...]], None]
    edit: Callable[[str, str], None]
    show_deleted: Callable[[bool], None]
    deleted_shown: bool


def candidate_menu(session: Session, ids: tuple[str, ...], actions: MenuActions, parent: QWidget) -> QMenu:
    """Return the menu of the chosen candidates, the one under the pointer last; without any only the view's entries."""
    menu = QMenu(parent)
    menu.setToolTipsVisible(True)
    known = {entry.id: entry for entry in session.state.candidates}
    chosen = [known[id] for id in ids if id in known]
    if chosen:
        _add_entries(menu, session, chosen, actions, parent)
        menu.addSeparator()
    hidden = sum(entry.deleted for entry in known.values())
    toggle = menu.addAction(f"Show deleted ({hidden})")
    toggle.setCheckable(True)
    toggle.setChecked(actions.deleted_shown)
    toggle.setEnabled(hidden > 0)
    toggle.setToolTip("" if hidden else "No candidate was deleted")
    toggle.toggled.connect(actions.show_deleted)
    return menu


def suggested_name(candidate: Candidate, suffix: str) -> str:
    """Return a file name that every system takes, e.g. "half_w8a8.onnx"."""
    words = "".join(char.lower() if char.isalnum() else " " for char in candidate.name).split()
    return ("_".join(words) or "candidate") + suffix


def export_recipe(session: Session, id: str, path: Path) -> None:
    """Write the recipe that makes a candidate again; a fault is shown in the banner."""
    try:
        write_recipe(session.state.candidate(id).recipe, path)
    except WorkbenchError as error:
        session.failed.emit(error)
        return
    session.said.emit(f"Exported {path.name}")


def _add_entries(menu: QMenu, session: Session, chosen: list[Candidate], actions: MenuActions, parent: QWidget) -> None:
    one = chosen[-1]
    menu.addAction("Show settings", partial(actions.show, one.id))
    menu.addAction("Restore as plan", partial(session.restore_candidate_plan, one.id))
    results = result_plans(one)
    if results:
        take = menu.addAction(take_over_title(results), partial(use_results, session, one))
        take.setToolTip("Put what the run decided for each layer into the plan; can be undone")
    ladder = menu.addAction("Truth ladder…", partial(show_ladder, session, one.id, parent))
    ladder.setToolTip("Execute the file simulated, node by node and as deployed, and see where they differ")
    menu.addSeparator()
    menu.addAction(
        "Export file…",
        lambda: ask_path(
            parent,
            "Export file",
            suggested_name(one, ".onnx"),
            "ONNX (*.onnx)",
            partial(session.export_candidate, one.id),
        ),
    )
    menu.addAction(
        "Export recipe…",
        lambda: ask_path(
            parent,
            "Export recipe",
            suggested_name(one, ".yaml"),
            "Recipe (*.yaml)",
            partial(export_recipe, session, one.id),
        ),
    )
    menu.addSeparator()
    _add_compare(menu, session, chosen, actions)
    menu.addSeparator()
    star = menu.addAction("Star")
    star.setCheckable(True)
    star.setChecked(one.star)
    star.toggled.connect(lambda on: session.do(mark_candidates(chosen, star=on)))
    menu.addAction("Rename…", partial(actions.edit, one.id, "name"))
    menu.addAction("Note…", partial(actions.edit, one.id, "note"))
    _add_tags(menu, session, chosen, actions)
    menu.addSeparator()
    word = "Undelete" if one.deleted else "Delete"
    count = f" {len(chosen)} candidates" if len(chosen) > 1 else ""
    menu.addAction(f"{word}{count}", lambda: session.do(mark_candidates(chosen, deleted=not one.deleted)))


def tag_candidates(chosen: Sequence[Candidate], tag: str, *, on: bool) -> Together:
    """Return the one edit that gives candidates a tag, or takes it away."""
    edits = tuple(
        EditCandidate(entry.id, tags=(*(own for own in entry.tags if own != tag), *((tag,) if on else ())))
        for entry in chosen
    )
    what = chosen[0].name if len(chosen) == 1 else f"{len(chosen)} candidates"
    return Together(edits, f"Tag {what} #{tag}" if on else f"Untag {what} #{tag}")


def _add_tags(menu: QMenu, session: Session, chosen: list[Candidate], actions: MenuActions) -> None:
    """List all tags of the project, those that the chosen ones have ticked, and a way to a new one."""
    tags = menu.addMenu("Tags")
    for tag in sorted({tag for entry in session.state.candidates for tag in entry.tags}):
        action = tags.addAction(f"#{tag}")
        action.setCheckable(True)
        action.setChecked(all(tag in entry.tags for entry in chosen))
        action.toggled.connect(lambda on, tag=tag: session.do(tag_candidates(chosen, tag, on=on)))
    if not tags.isEmpty():
        tags.addSeparator()
    tags.addAction("Edit tags…", partial(actions.edit, chosen[-1].id, "tags"))


def _add_compare(menu: QMenu, session: Session, chosen: list[Candidate], actions: MenuActions) -> None:
    if len(chosen) > 1:
        ids = tuple(entry.id for entry in chosen)
        menu.addAction(f"Compare {len(chosen)} candidates", partial(actions.compare, ids))
        return
    one = chosen[0]
    compare = menu.addMenu("Compare with")
    compare.addAction("Original", partial(actions.compare, (one.id,)))
    for other in session.state.candidates:
        if other.id != one.id and not other.deleted:
            compare.addAction(other.name.replace("&", "&&"), partial(actions.compare, (one.id, other.id)))
    compare.setEnabled(not one.deleted)
