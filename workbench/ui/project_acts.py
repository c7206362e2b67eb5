"""What can be done with projects and edits: new, open, save, close, undo, redo."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.domain.errors import WorkbenchError
from workbench.methods.recipe_file import write_recipe
from workbench.project.report_page import write_report
from workbench.ui import files
from workbench.ui.actions import Act
from workbench.ui.models.candidate_table import resolve_candidates
from workbench.ui.panels.export import ask_path

if TYPE_CHECKING:
    from workbench.ui.main_window import MainWindow


def register_project_acts(window: MainWindow) -> None:
    """Register the acts of the menus Project and Edit."""
    session, actions = window.session, window.actions_

    def ask(title: str, kinds: str) -> None:
        ask_path(window, title, window.start_folder(), kinds, window.open_file, opening=True)

    def save() -> None:
        if session.document.is_untitled:
            save_as()
        elif session.document.unsaved is not None:
            session.failed.emit(session.document.unsaved)
        else:
            session.said.emit(f"{session.document.title} is stored; every edit is, at once")

    def save_as() -> None:
        name = session.document.title if not session.document.is_untitled else window.suggested_name()
        suggested = str(Path(window.start_folder()) / f"{name}.mcw")
        ask_path(window, "Save project as", suggested, files.PROJECTS, window.projects.save_as)

    def export_recipe() -> None:
        ask_path(window, "Export recipe", "recipe.yaml", files.RECIPES, write)

    def write(path: Path) -> None:
        try:
            write_recipe(session.state.recipe(), path)
        except WorkbenchError as error:
            session.failed.emit(error)
            return
        session.said.emit(f"Exported {path.name}; workbench compress runs it again")

    def export_report() -> None:
        name = "project" if session.document.is_untitled else session.document.title
        ask_path(window, "Export report", f"{name}.html", "Web page (*.html)", partial(write_page, title=name))

    def write_page(path: Path, title: str) -> None:
        best = resolve_candidates(session.state).on_front("ratio")
        try:
            write_report(session.state, best, path, title=title)
        except WorkbenchError as error:
            session.failed.emit(error)
            return
        session.said.emit(f"Exported {path.name}; it needs no other file")

    def export_candidate() -> None:
        candidate = session.candidate()
        if candidate is not None:
            name = f"{candidate.name.replace(' ', '_')}.onnx"
            ask_path(window, "Export candidate", name, files.MODELS, partial(session.export_candidate, candidate.id))

    model = partial(session.missing, "model")
    for act in (
        Act("project.new", "New project", window.new_project, "Begin with nothing; this project stays stored",
            ("Ctrl+N",), "new"),
        Act("file.open", "Open…", partial(ask, "Open", files.EVERYTHING), "Open a model, project, data or recipe file",
            ("Ctrl+O",), "open"),
        Act("project.open", "Open project…", partial(ask, "Open project", files.PROJECTS),
            keys=("Ctrl+Shift+O",), icon="open"),
        Act("project.save", "Save", save, "Name the project; every edit is stored at once anyway", ("Ctrl+S",), "save"),
        Act("project.save_as", "Save as…", save_as, "Continue under another name", ("Ctrl+Shift+S",)),
        Act("project.recipe.open", "Open recipe…", partial(ask, "Open recipe", files.RECIPES),
            "Take over the plan and steps of a recipe file"),
        Act("project.recipe.export", "Export recipe…", export_recipe,
            "Write plan and steps for the command line", why_not=model),
        Act("project.report", "Export report…", export_report,
            "Write original, front, candidates and recipes as one page of HTML", why_not=model),
        Act("candidate.export", "Export candidate…", export_candidate, "Write the selected candidate's ONNX file",
            ("Ctrl+E",), "export", why_not=partial(session.missing, "candidate")),
        Act("project.demo", "Try the demo", window.start_demo,
            "A small trained network with its data: watch the whole job run", icon="demo"),
        Act("project.close", "Close project", window.new_project, "Back to the welcome page; the project stays stored",
            ("Ctrl+W",), why_not=lambda: None if window.has_content else "No project is open"),
        Act("project.quit", "Quit", window.close, keys=("Ctrl+Q",)),
        Act("edit.undo", "Undo", lambda: _undo(window), keys=("Ctrl+Z",), icon="undo",
            why_not=lambda: None if session.document.undo_title else "Nothing was edited yet",
            title_now=lambda: _titled("Undo", session.document.undo_title)),
        Act("edit.redo", "Redo", lambda: _redo(window), keys=("Ctrl+Shift+Z", "Ctrl+Y"), icon="redo",
            why_not=lambda: None if session.document.redo_title else "Nothing was undone",
            title_now=lambda: _titled("Redo", session.document.redo_title)),
        Act("edit.clear", "Clear selection", window.clear_selection, keys=("Esc",), elsewhere=True,
            why_not=lambda: None if session.selection.layers or session.selection.candidate else "Nothing is selected"),
    ):  # fmt: skip
        actions.add(act)


def _titled(verb: str, title: str | None) -> str:
    return verb if not title else f"{verb} {title[:1].lower()}{title[1:]}"


def _undo(window: MainWindow) -> None:
    try:
        window.session.document.undo()
    except WorkbenchError as error:
        window.session.failed.emit(error)


def _redo(window: MainWindow) -> None:
    try:
        window.session.document.redo()
    except WorkbenchError as error:
        window.session.failed.emit(error)
