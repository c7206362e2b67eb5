"""Everything the user can do, in one place: menus, toolbar, palette and shortcuts are views of this registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QKeySequence, QShortcut
from PySide6.QtWidgets import QWidget

from workbench.ui.icons import icon
from workbench.ui.theme import Theme


def _always() -> str | None:
    return None


@dataclass(frozen=True)
class Act:
    """One thing to do.

    Attributes:
        id: Stable name, "room.verb".
        title: What menus say, in sentence case.
        do: Does it.
        tip: What it does in a sentence, for tooltips.
        keys: Shortcuts in Qt's portable notation; the first one is shown.
        icon: Name in `workbench.ui.icons`, or None.
        why_not: Returns why it can't be done now and what would enable it, or None.
        title_now: Returns the title where it changes, e.g. "Undo set weight bits".
        checked: Returns whether it is on, for things that are switched.
        elsewhere: The focused widget handles the keys itself; they are only shown here.
    """

    id: str
    title: str
    do: Callable[[], object]
    tip: str = ""
    keys: tuple[str, ...] = ()
    icon: str | None = None
    why_not: Callable[[], str | None] = _always
    title_now: Callable[[], str] | None = None
    checked: Callable[[], bool] | None = None
    elsewhere: bool = False


class Actions(QObject):
    """The registry; every act becomes one QAction that is shared by all who show it.

    Args:
        theme: For icons.
        window: Where the shortcuts hold.

    Signals:
        refreshed: Titles, reasons and check marks are up to date again.
        refused: Id of an act that was asked for while it can't be done.
    """

    refreshed = Signal()
    refused = Signal(str)

    def __init__(self, theme: Theme, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._theme = theme
        self._refusing: dict[str, list[QShortcut]] = {}
        self._acts: dict[str, Act] = {}
        self._actions: dict[str, QAction] = {}
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.refresh)

    def __iter__(self) -> Iterator[Act]:
        return iter(self._acts.values())

    def add(self, act: Act) -> QAction:
        """Register an act and return its QAction; ValueError if the id is taken."""
        if act.id in self._acts:
            raise ValueError(f"there is an action {act.id!r} already")
        action = QAction(act.title, self)
        action.setObjectName(act.id)
        action.setShortcuts([QKeySequence(key) for key in act.keys])
        action.setShortcutContext(
            Qt.ShortcutContext.WidgetShortcut if act.elsewhere else Qt.ShortcutContext.WindowShortcut
        )
        action.setMenuRole(QAction.MenuRole.NoRole)
        if act.icon is not None:
            action.setIcon(icon(act.icon, self._theme))
            action.setIconVisibleInMenu(False)
        action.setCheckable(act.checked is not None)
        action.triggered.connect(lambda: self._trigger(act))
        self._acts[act.id] = act
        self._actions[act.id] = action
        self._refusing[act.id] = [] if act.elsewhere else [self._refuse_by(key, act.id) for key in act.keys]
        self._show(act)
        return action

    def action(self, id: str) -> QAction:
        """Return the QAction of an act; KeyError for an unknown id."""
        return self._actions[id]

    def title(self, id: str) -> str:
        """Return an act's title as it reads now."""
        act = self._acts[id]
        return act.title_now() if act.title_now is not None else act.title

    def why_not(self, id: str) -> str | None:
        """Return why an act can't be done now, or None."""
        return self._acts[id].why_not()

    def trigger(self, id: str) -> None:
        """Do it, or say that it can't be done now."""
        self._show(self._acts[id])
        if self._actions[id].isEnabled():
            self._actions[id].trigger()
        else:
            self.refused.emit(id)

    def refresh_soon(self) -> None:
        """Bring everything up to date once the events at hand are done."""
        self._timer.start(0)

    def refresh(self) -> None:
        """Bring titles, reasons, tooltips and check marks up to date."""
        for act in self._acts.values():
            self._show(act)
        self.refreshed.emit()

    def _refuse_by(self, key: str, id: str) -> QShortcut:
        """Return what hears a key while its action is off, because an action that is off is deaf to it."""
        shortcut = QShortcut(QKeySequence(key), self._window)
        shortcut.setAutoRepeat(False)
        shortcut.activated.connect(lambda: self.trigger(id))
        return shortcut

    def _trigger(self, act: Act) -> None:
        # What was possible when the act was last looked at may not be any more.
        if act.why_not() is None:
            act.do()
        else:
            self.refused.emit(act.id)
        self.refresh_soon()

    def _show(self, act: Act) -> None:
        action = self._actions[act.id]
        reason = act.why_not()
        title = act.title_now() if act.title_now is not None else act.title
        action.setText(title)
        action.setEnabled(reason is None)
        for shortcut in self._refusing[act.id]:
            shortcut.setEnabled(reason is not None)
        if act.checked is not None:
            action.setChecked(act.checked())
        keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        tip = reason or act.tip or title
        action.setToolTip(f"{tip} ({keys})" if keys else tip)
        action.setStatusTip("")
