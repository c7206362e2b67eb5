"""Copying and saving candidates: the picture in view, and the table behind it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtWidgets import QMenu, QWidget

from workbench.ui.models.candidate_table import CandidateTable, to_csv, to_json
from workbench.ui.models.measures import Key
from workbench.ui.panels.export import ask_path, copy_picture, save_picture, save_text
from workbench.ui.session import Session

_KINDS = (("PNG", "front.png"), ("SVG", "front.svg"), ("CSV", "candidates.csv"), ("JSON", "candidates.json"))


def export_menu(
    session: Session, parent: QWidget, picture: Callable[[], QWidget], copy: Callable[[], None],
    export: Callable[[Path], None],
) -> QMenu:  # fmt: skip
    """Return the menu that copies and saves."""
    menu = QMenu(parent)
    menu.addAction("Copy rows", copy)
    menu.addAction("Copy picture", lambda: copy_picture(session, picture(), "plot"))
    menu.addSeparator()
    for kind, name in _KINDS:
        menu.addAction(f"Export {kind}…", partial(ask_export, parent, kind, name, export))
    return menu


def ask_export(parent: QWidget, kind: str, name: str, export: Callable[[Path], None]) -> None:
    """Ask where to save."""
    ask_path(parent, f"Export {kind}", name, f"{kind} (*.{kind.lower()})", export)


def export_candidates(session: Session, path: Path, table: CandidateTable, axis: Key, picture: QWidget) -> None:
    """Write the picture (.png, .svg) or the table (.csv, .json)."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        save_text(session, path, to_csv(table, axis))
    elif suffix == ".json":
        save_text(session, path, to_json(table, axis))
    else:
        save_picture(session, path, picture)
