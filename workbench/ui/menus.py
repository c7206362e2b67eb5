"""The menu bar as a table of action ids, so that what stands where is read at a glance."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu, QMenuBar

from workbench.domain.errors import StorageError
from workbench.domain.knobs import Knob, Setting
from workbench.project.commands import SetDefault
from workbench.project.recent import RecentFiles
from workbench.ui.actions import Actions
from workbench.ui.device_acts import fill_device_menu
from workbench.ui.models import numbers
from workbench.ui.models.bit_presets import PRESETS
from workbench.ui.panels.layer_menu import sweep_menu
from workbench.ui.session import Session
from workbench.ui.window_acts import PANELS

LINE = "—"
MENUS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("&Project", (
        "project.new", "file.open", "@recent", "project.demo", LINE, "project.save", "project.save_as", LINE,
        "project.recipe.open", "project.recipe.export", "candidate.export", "project.report",
        LINE, "project.close", "project.quit",
    )),
    ("&Edit", ("edit.undo", "edit.redo", LINE, "edit.clear", LINE, "view.palette")),
    ("&View", (
        "@go", "@panels", LINE, "view.layout.analyse", "view.layout.compare", "view.reset", LINE,
        "graph.find", "graph.in", "graph.out", "graph.fit", LINE,
        "graph.fold", "graph.depth1", "graph.depth2", "graph.unfold", LINE, "@look", "view.full",
    )),
    ("&Model", ("model.open", "model.import", "model.sizes", LINE, "data.choose", LINE, "model.folder")),
    ("&Analyse", (
        "analyse.original", "analyse.baseline", "analyse.latency", "analyse.throughput", "analyse.energy",
        "analyse.device_metric", "@devices",
        LINE, "analyse.sensitivity", "@sweeps", "analyse.other",
    )),
    ("&Compress", (
        "@defaults", "@bits", "compress.reset", LINE, "compress.preflight", "compress.run", "compress.search",
        "compress.cancel", LINE,
        "candidate.restore", "candidate.compare", "candidate.ladder", "candidate.star", "candidate.export",
        "candidate.delete",
    )),
    ("P&lugins", ("plugins.list", "plugins.reload", LINE, "plugins.folder", "plugins.new")),
    ("&Help", ("help.shortcuts", "help.words", "help.choosing", "help.devices", "help.log", LINE, "help.about")),
)  # fmt: skip
_LOOKS = ("view.system", "view.light", "view.dark")
_RATIOS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75)


class Menus:
    """Fills a menu bar.

    Args:
        bar: To fill.
        session: For submenus that depend on the project.
        actions: The registry.
        recent: For "Open recent".
        panels: Returns the actions that show and hide panels.
        open_file: Opens a recent file.
    """

    def __init__(
        self,
        bar: QMenuBar,
        session: Session,
        actions: Actions,
        recent: RecentFiles,
        panels: Callable[[], list[QAction]],
        open_file: Callable[[Path], object],
    ) -> None:
        self._session = session
        self._actions = actions
        self._recent = recent
        self._panels = panels
        self._open_file = open_file
        for title, ids in MENUS:
            menu = bar.addMenu(title)
            menu.setToolTipsVisible(True)
            menu.aboutToShow.connect(actions.refresh)
            for id in ids:
                self._add(menu, id)

    def _add(self, menu: QMenu, id: str) -> None:
        match id:
            case "@recent":
                self._submenu(menu, "Open recent", self._fill_recent)
            case "@go":
                sub = menu.addMenu("Go to")
                sub.addActions([self._actions.action(f"panel.{name}") for name in PANELS])
            case "@panels":
                self._submenu(menu, "Show panels", lambda sub: sub.addActions(self._panels()))
            case "@look":
                sub = menu.addMenu("Appearance")
                for look in (*_LOOKS, "view.switch"):
                    sub.addAction(self._actions.action(look))
            case "@sweeps":
                self._submenu(menu, "Measure sensitivity of selected layers to", partial(self._fill_sweeps))
            case "@devices":
                self._submenu(menu, "Measure on", self._fill_devices)
            case "@defaults":
                self._submenu(menu, "Set for all layers", self._fill_defaults)
            case "@bits":
                sub = menu.addMenu("Bits of all layers")
                sub.setToolTipsVisible(True)
                sub.addActions([self._actions.action(f"bits.{preset.id}") for preset in PRESETS])
            case _ if id == LINE:
                menu.addSeparator()
            case _:
                menu.addAction(self._actions.action(id))

    def _submenu(self, menu: QMenu, title: str, fill: Callable[[QMenu], object]) -> None:
        """Add a submenu that is filled whenever it opens."""
        sub = menu.addMenu(title)
        sub.setToolTipsVisible(True)

        def refill() -> None:
            sub.clear()
            fill(sub)
            if sub.isEmpty():
                sub.addAction("Nothing here yet").setEnabled(False)

        sub.aboutToShow.connect(refill)

    def _fill_recent(self, menu: QMenu) -> None:
        entries = self._recent.entries
        for entry in entries:
            reason = entry.why_missing
            name = entry.path.name.replace("&", "&&")
            action = menu.addAction(
                name if reason is None else f"{name} (not there)", partial(self._open_file, entry.path)
            )
            action.setToolTip("\n".join(filter(None, (str(entry.path), reason))))
            action.setEnabled(reason is None)
        missing = sum(entry.missing for entry in entries)
        if missing:
            menu.addSeparator()
            action = menu.addAction(
                f"Take {numbers.plural(missing, 'missing file')} off this list", self._forget_missing
            )
            action.setToolTip("The files themselves, wherever they are, stay as they are")

    def _forget_missing(self) -> None:
        try:
            self._recent.remove_missing()
        except OSError as error:
            self._session.failed.emit(
                StorageError("The list of recent files can't be written", found=error.strerror or str(error))
            )

    def _fill_devices(self, menu: QMenu) -> None:
        fill_device_menu(menu, self._session, self._actions)

    def _fill_sweeps(self, menu: QMenu) -> None:
        for before in menu.findChildren(QMenu, options=Qt.FindChildOption.FindDirectChildrenOnly):
            before.deleteLater()
        source = sweep_menu(self._session, self._session.selection.layers, menu)
        menu.addActions(source.actions())

    def _fill_defaults(self, menu: QMenu) -> None:
        blocked = self._session.missing("model")
        for knob in self._session.knobs:
            sub = menu.addMenu(knob.title)
            sub.setToolTip(blocked or knob.doc)
            sub.setEnabled(blocked is None)
            current = self._session.state.plan.default.get(knob.name)
            for value in _offered(knob):
                action = sub.addAction(numbers.setting_text(value, knob.unit))
                action.setCheckable(True)
                action.setChecked(value == current)
                action.triggered.connect(partial(self._set_default, knob.name, value))
            sub.addSeparator()
            sub.addAction("Untouched", partial(self._set_default, knob.name, None))

    def _set_default(self, knob: str, value: Setting | None, checked: bool = False) -> None:
        self._session.do(SetDefault(knob, value))


def _offered(knob: Knob) -> tuple[Setting, ...]:
    if knob.choices:
        return knob.choices
    if knob.low is not None and knob.high is not None and knob.high <= 1.0:
        return tuple(value for value in _RATIOS if knob.low <= value <= knob.high)
    return knob.sweep
