"""The panels as docks that move, hide and tab, in two layouts that remember how the user left them."""

from __future__ import annotations

from typing import Protocol, cast

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QDockWidget, QMainWindow, QTabBar, QTabWidget, QWidget

from workbench.ui.curtain import Curtain
from workbench.ui.preferences import LayoutName, Preferences
from workbench.ui.turns import Turns

_LEFT = Qt.DockWidgetArea.LeftDockWidgetArea
_LEAST = (220, 110)


class Panel(Protocol):
    """A widget with a heading."""

    title: str


class Workspace(QMainWindow):
    """Holds a dock for every panel; there is no fixed centre, so that every layout is possible.

    Args:
        panels: By name, as the layouts below call them.
        preferences: Where positions are remembered.
    """

    def __init__(self, panels: dict[str, QWidget], preferences: Preferences, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Widget)
        self._preferences = preferences
        self.name: LayoutName = preferences.layout
        self.setDockNestingEnabled(True)
        self.setDockOptions(
            QMainWindow.DockOption.AllowNestedDocks
            | QMainWindow.DockOption.AllowTabbedDocks
            | QMainWindow.DockOption.GroupedDragging
        )
        self.setTabPosition(Qt.DockWidgetArea.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self.docks: dict[str, QDockWidget] = {}
        for name, panel in panels.items():
            dock = QDockWidget(cast("Panel", panel).title, self)
            dock.setObjectName(name)
            dock.setWidget(panel)
            panel.setMinimumSize(*_LEAST)
            dock.hide()
            for moved in (dock.dockLocationChanged, dock.topLevelChanged, dock.visibilityChanged):
                moved.connect(self._titles_later)
            self.docks[name] = dock
        self._restored = False
        self._turns = Turns(self)
        self._titles = QTimer(self)
        self._titles.setSingleShot(True)
        self._titles.timeout.connect(self._show_titles)

    def restore(self) -> None:
        """Put the panels where the user left them; called once the window has its size."""
        self._restored = True
        saved = self._preferences.docks(self.name)
        if saved is None or not self.restoreState(saved):
            self._arrange(self.name)

    def show_layout(self, name: LayoutName) -> None:
        """Change to another layout; the one that is left is remembered."""
        self.remember()
        self.name = name
        self._preferences.layout = name
        curtain = Curtain((self,))
        curtain.fall()
        self.restore()
        self._turns.add(curtain.rise())

    def reset(self) -> None:
        """Put the panels of this layout where they were at first."""
        self._preferences.set_docks(self.name, None)
        self._arrange(self.name)

    def remember(self) -> None:
        """Store where the panels are."""
        if self._restored:
            self._preferences.layout = self.name
            self._preferences.set_docks(self.name, self.saveState())

    def bring(self, name: str) -> None:
        """Show a panel, in front of those it shares a place with, and give it the keyboard."""
        dock = self.docks[name]
        dock.show()
        dock.raise_()
        dock.widget().setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _titles_later(self) -> None:
        self._titles.start(0)

    def _show_titles(self) -> None:
        """Leave out the title bar of a panel that has a tab, which says the same and can be dragged as well."""
        for dock in self.docks.values():
            tabbed = bool(self.tabifiedDockWidgets(dock)) and not dock.isFloating()
            bare = dock.titleBarWidget()
            if tabbed and bare is None:
                dock.setTitleBarWidget(QWidget(dock))
            elif not tabbed and bare is not None:
                # None gives the dock its usual title bar back, which the declared type does not say.
                dock.setTitleBarWidget(None)  # type: ignore[arg-type]
                bare.deleteLater()
        self._hide_left_over_tabs()

    def _hide_left_over_tabs(self) -> None:
        """Hide the tab bars of the layout before, which Qt leaves standing over whatever takes their place."""
        together = [
            {dock.windowTitle(), *(other.windowTitle() for other in self.tabifiedDockWidgets(dock))}
            for dock in self.docks.values()
        ]
        for bar in self.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
            if {bar.tabText(place) for place in range(bar.count())} not in together:
                bar.hide()

    def _arrange(self, name: LayoutName) -> None:
        self._hold_sizes(True)
        for dock in self.docks.values():
            dock.setFloating(False)
            self.removeDockWidget(dock)
        if name == "Analyse":
            self._arrange_analyse()
        else:
            self._arrange_compare()

    def _arrange_analyse(self) -> None:
        """Layers, graph and inspector above; Pareto, recipe and the rest below."""
        docks, width, height = self.docks, max(self.width(), 800), max(self.height(), 500)
        self._place("layers")
        self._beside("layers", "pareto", Qt.Orientation.Vertical)
        self._beside("layers", "graph", Qt.Orientation.Horizontal)
        self._beside("graph", "inspector", Qt.Orientation.Horizontal)
        self._beside("pareto", "recipe", Qt.Orientation.Horizontal)
        self._tab("recipe", "jobs", "compare")
        self._hold_sizes(False)
        across = Qt.Orientation.Horizontal
        self.resizeDocks(
            [docks["layers"], docks["graph"], docks["inspector"]],
            [round(width * 0.38), round(width * 0.365), round(width * 0.255)],
            across,
        )
        self.resizeDocks([docks["pareto"], docks["recipe"]], [round(width * 0.60), round(width * 0.40)], across)
        self.resizeDocks(
            [docks["layers"], docks["pareto"]], [round(height * 0.58), round(height * 0.42)], Qt.Orientation.Vertical
        )

    def _arrange_compare(self) -> None:
        """Pareto and the candidates side by side; graph and layers of the one that is selected below."""
        docks, width, height = self.docks, max(self.width(), 800), max(self.height(), 500)
        self._place("pareto")
        self._beside("pareto", "layers", Qt.Orientation.Vertical)
        self._beside("pareto", "compare", Qt.Orientation.Horizontal)
        self._beside("layers", "recipe", Qt.Orientation.Horizontal)
        self._tab("layers", "graph", "inspector")
        self._tab("recipe", "jobs")
        self._hold_sizes(False)
        across = Qt.Orientation.Horizontal
        self.resizeDocks([docks["pareto"], docks["compare"]], [round(width * 0.52), round(width * 0.48)], across)
        self.resizeDocks([docks["layers"], docks["recipe"]], [round(width * 0.62), round(width * 0.38)], across)
        self.resizeDocks(
            [docks["pareto"], docks["layers"]], [round(height * 0.58), round(height * 0.42)], Qt.Orientation.Vertical
        )

    def _hold_sizes(self, on: bool) -> None:
        """Let panels take their new size once, not after every step of an arrangement."""
        layout = self.layout()
        if layout is not None:
            layout.setEnabled(not on)
            layout.activate()

    def _place(self, name: str) -> None:
        self.addDockWidget(_LEFT, self.docks[name])
        self.docks[name].show()

    def _beside(self, first: str, second: str, orientation: Qt.Orientation) -> None:
        self._place(second)
        self.splitDockWidget(self.docks[first], self.docks[second], orientation)

    def _tab(self, first: str, *others: str) -> None:
        for other in others:
            self._place(other)
            self.tabifyDockWidget(self.docks[first], self.docks[other])
        self.docks[first].raise_()
