"""The few rules that Fusion needs to look like one instrument: quiet titles, thin borders, an 8-pixel grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.domain.installation import shipped_folder

if TYPE_CHECKING:
    from workbench.ui.theme import Roles


def stylesheet(roles: Roles) -> str:
    """Return the application's style sheet in the colours of a look.

    Widgets opt in by object name or by the dynamic properties "role" ("title", "muted", "primary", "card", "link").
    """
    return f"""
QMainWindow::separator {{ background: {roles.window}; width: 4px; height: 4px; }}
QMainWindow::separator:hover {{ background: {roles.accent}; }}
QDockWidget {{ titlebar-close-icon: none; titlebar-normal-icon: none; }}
QDockWidget::title {{
    background: {roles.window}; color: {roles.muted}; padding: 4px 8px; border-bottom: 1px solid {roles.border};
}}
QDockWidget {{ color: {roles.muted}; font-weight: 600; }}
QDockWidget > QWidget {{ background: {roles.base}; font-weight: 400; }}
QToolTip {{ background: {roles.raised}; color: {roles.text}; border: 1px solid {roles.border}; padding: 4px; }}
QMenuBar {{ background: {roles.window}; border-bottom: 1px solid {roles.border}; padding: 1px 4px; }}
QMenuBar::item {{ padding: 4px 8px; border-radius: 3px; background: transparent; color: {roles.text}; }}
QMenuBar::item:selected {{ background: {roles.hover}; }}
QStatusBar {{ background: {roles.window}; border-top: 1px solid {roles.border}; }}
QStatusBar::item {{ border: none; }}
QDialogButtonBox {{ dialogbuttonbox-buttons-have-icons: 0; }}
QHeaderView::section {{
    background: {roles.raised}; color: {roles.muted}; border: none;
    border-right: 1px solid {roles.grid}; border-bottom: 1px solid {roles.border}; padding: 3px 6px;
}}
QTableView, QTreeView, QListView {{ border: none; gridline-color: {roles.grid}; }}
QLabel[role="title"] {{ font-weight: 600; }}
QLabel[role="muted"] {{ color: {roles.muted}; }}
QLabel[role="error"] {{ color: {roles.error}; }}
QLabel[role="warning"] {{ color: {roles.warning}; }}
QFrame[role="card"] {{ background: {roles.base}; border: 1px solid {roles.border}; border-radius: 6px; }}
QLineEdit {{
    background: {roles.base}; border: 1px solid {roles.border}; border-radius: 3px; padding: 2px 4px;
    selection-background-color: {roles.selection}; selection-color: {roles.text};
}}
QLineEdit:focus {{ border-color: {roles.accent}; }}
QLineEdit:disabled {{ color: {roles.faint}; }}
QAbstractSpinBox QLineEdit, QComboBox QLineEdit, QAbstractItemView QLineEdit {{ border: none; padding: 0; }}
QCheckBox::indicator {{
    width: 13px; height: 13px; border: 1px solid {roles.muted}; border-radius: 3px; background: {roles.base};
}}
QCheckBox::indicator:hover {{ border-color: {roles.accent}; }}
QCheckBox::indicator:checked {{ background: {roles.accent}; border-color: {roles.accent}; {_tick(roles)} }}
QCheckBox::indicator:disabled {{ border-color: {roles.border}; }}
QToolButton[role="primary"] {{
    background: {roles.accent}; color: {roles.on_accent}; border: 1px solid {roles.accent};
    border-radius: 4px; padding: 3px 12px 3px 8px; font-weight: 600;
}}
QToolButton[role="primary"]:hover {{ border-color: {roles.text}; }}
QToolButton[role="primary"]:disabled {{
    background: {roles.raised}; color: {roles.faint}; border-color: {roles.border};
}}
QPushButton[role="primary"] {{
    background: {roles.accent}; color: {roles.on_accent}; border: 1px solid {roles.accent};
    border-radius: 4px; padding: 5px 14px; font-weight: 600;
}}
QPushButton[role="primary"]:hover {{ border-color: {roles.text}; }}
QPushButton[role="primary"]:disabled {{
    background: {roles.raised}; color: {roles.faint}; border-color: {roles.border};
}}
QPushButton[role="link"] {{
    border: none; background: transparent; color: {roles.accent}; text-align: left; padding: 3px 4px;
}}
QPushButton[role="link"]:hover {{ text-decoration: underline; }}
QPushButton[role="link"]:disabled {{ color: {roles.faint}; }}
QTabBar::tab {{
    background: {roles.window}; color: {roles.muted}; padding: 5px 9px; border: none;
    border-bottom: 2px solid transparent;
}}
QTabBar[role="dense"]::tab {{ padding: 5px 5px; }}
QTabBar::tab:selected {{ color: {roles.text}; border-bottom: 2px solid {roles.accent}; }}
QTabBar::tab:hover {{ color: {roles.text}; }}
"""


def _tick(roles: Roles) -> str:
    """Return the rule for the mark of a ticked box, in the colour that stands on the accent."""
    resources = shipped_folder("resources")
    if resources is None:
        return ""
    tick = resources / "icons" / ("tick-light.svg" if roles.on_accent == "#ffffff" else "tick-dark.svg")
    return f"image: url({tick.as_posix()});"
