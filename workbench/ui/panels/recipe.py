"""The recipe: the ordered steps of a run with their parameters, and how the result is measured."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QApplication,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.errors import WorkbenchError
from workbench.domain.recipe import Evaluation, Step
from workbench.methods.recipe_file import write_recipe
from workbench.project.commands import ReplaceRecipe, SetRun, SetSteps
from workbench.project.state import Change
from workbench.ui import workflow
from workbench.ui.files import open_recipe
from workbench.ui.icons import icon
from workbench.ui.models.method_choices import method_tip, stage_choices
from workbench.ui.models.recipe_steps import PRESETS, Preset, StepRemedy, StepView, moved, resolve_recipe
from workbench.ui.panels.device_choice import DeviceChoice
from workbench.ui.panels.empty_state import Pages
from workbench.ui.panels.export import ask_path
from workbench.ui.panels.preflight_dialog import show_preflight
from workbench.ui.panels.search_dialog import show_search
from workbench.ui.panels.step_list import StepList
from workbench.ui.panels.step_row import StepRow
from workbench.ui.panels.wheel_guard import guard_wheel
from workbench.ui.session import Session

_SCROLL_MARGIN = 48
_REFRESH = Change.RECIPE | Change.PLAN | Change.DATA | Change.MODEL | Change.DEVICE


class RecipePanel(QWidget):
    """Steps as cards, run settings, and the button that runs them."""

    title = "Recipe"

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._opened: set[int] = set()
        self._order: tuple[int, ...] = ()
        self._quiet = False
        self.steps = StepList(session.theme)
        self.steps.moveRequested.connect(self.move_step)
        self._area = QScrollArea()
        self._area.setWidget(self.steps)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QScrollArea.Shape.NoFrame)
        self.steps.pointedAt.connect(lambda y: self._area.ensureVisible(0, y, 0, _SCROLL_MARGIN))
        self._pages = Pages(self._area)
        self.add = self._tool("Add step", "add", "Add a step to the end of the recipe")
        self.presets = self._tool("Presets", "recipe", "Put steps and plan defaults in place")
        self.more = self._tool("\N{MIDLINE HORIZONTAL ELLIPSIS}", None, "Import or export the recipe")
        self.more.menu().addAction("Import recipe…", self._ask_import)
        self.more.menu().addAction("Export recipe…", self._ask_export)
        self.run = QPushButton("Run")
        self.run.setProperty("role", "primary")
        self.run.clicked.connect(self._run)
        self.foretell = QPushButton("Will it help here?")
        self.foretell.setToolTip(
            "Foretell what the recipe will take on this device, and which layers are fast in integers (Shift+F5)"
        )
        self.foretell.clicked.connect(lambda: show_preflight(self._session, self.window()))
        self.search = QPushButton("Search…")
        self.search.setToolTip("Find the best candidates within budgets (Ctrl+F5)")
        self.search.clicked.connect(lambda: show_search(self._session, self.window()))
        self._settings = self._make_settings()
        top = QHBoxLayout()
        top.setContentsMargins(8, 8, 8, 4)
        top.setSpacing(8)
        for button in (self.add, self.presets):
            top.addWidget(button)
        top.addStretch()
        top.addWidget(self.more)
        below = QHBoxLayout()
        below.setContentsMargins(8, 4, 8, 8)
        below.addWidget(self.foretell)
        below.addWidget(self.search)
        below.addStretch()
        below.addWidget(self.run)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addLayout(top)
        outer.addWidget(self._pages, 1)
        outer.addWidget(self._settings)
        outer.addLayout(below)
        session.documentChanged.connect(self._document_changed)
        session.methodsChanged.connect(self._methods_changed)
        session.theme.themeChanged.connect(self.refresh)
        for key, by in ((Qt.Key.Key_Up, -1), (Qt.Key.Key_Down, 1)):
            shortcut = QShortcut(QKeySequence(Qt.Modifier.ALT | key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(partial(self._move_focused, by))
        self._fill_menus()
        self.refresh()

    def refresh(self) -> None:
        """Resolve the document again and show what changed."""
        session = self._session
        loading = not session.methods
        view = resolve_recipe(session.state, session.methods, loading=loading)
        if view.steps:
            self._pages.show_content()
        else:
            self._pages.show_empty(
                "No steps yet",
                "A recipe is what a run does, in order: prune, fine-tune, quantize. Add a step, or take a preset. "
                "Without steps, Run adds those that the plan's settings need.",
            )
        shown = [row.view for row in self.steps.rows]
        if shown != list(view.steps):
            self._opened = {place for place in self._opened if place < len(view.steps)}
            self._replace_rows(view.steps)
        self.foretell.setEnabled(session.state.model is not None and not loading)
        self.search.setEnabled(session.state.model is not None and not loading)
        self.run.setEnabled(view.blocked is None)
        self.run.setToolTip(view.blocked or "Compress with this recipe and measure the result (F5)")
        self._show_settings()

    def set_steps(self, steps: tuple[Step, ...], title: str) -> None:
        """Replace the steps, as one step of the undo history."""
        self._session.do(SetSteps(steps, title=title))

    def add_step(self, method: str) -> None:
        """Add a step to the end and open its form."""
        steps = self._session.state.steps
        self._opened = {len(steps)}
        added = workflow.as_put_in((Step(method=method),), self._session.methods)
        self.set_steps((*steps, *added), f"Add {method}")
        # The new card has its place only after the layout has seen it.
        QTimer.singleShot(0, self, self._show_last)

    def move_step(self, place: int, target: int) -> None:
        """Put a step at another place, as one step of the undo history; a place that is none is ignored."""
        steps = self._session.state.steps
        if target == place or not 0 <= target < len(steps):
            return
        # Where each card stood before: its open form, and the keyboard, go with it.
        self._order = moved(range(len(steps)), place, target)
        self._opened = {self._order.index(old) for old in self._opened}
        self.set_steps(moved(steps, place, target), f"Move {steps[place].method}")
        self._order = ()

    def apply_preset(self, preset: Preset) -> None:
        """Put a preset's steps and plan defaults in place; undo takes them back."""
        plan = self._session.state.plan
        default = {**plan.default, **dict(preset.settings)}
        plan = plan.model_copy(update={"default": default})
        steps = workflow.as_put_in(preset.steps, self._session.methods)
        self._session.do(ReplaceRecipe(plan, steps, title=f"Preset: {preset.title}"))

    # --- within -------------------------------------------------------------------------------------------------

    def _replace_rows(self, views: tuple[StepView, ...]) -> None:
        """Make new cards; the keyboard stays with the step that had it."""
        before = next(
            ((place, row.focused_control()) for place, row in enumerate(self.steps.rows) if _focused(row)), None
        )
        kept, last = self.steps.rows, len(views) - 1
        self.steps.set_rows(
            [
                kept[place]
                if place < len(kept) and kept[place].shows(view, last=place == last, opened=place in self._opened)
                else self._row(place, view, len(views))
                for place, view in enumerate(views)
            ]
        )
        if before is not None and self.steps.rows:
            place = self._order.index(before[0]) if self._order else before[0]
            self.steps.rows[min(place, len(views) - 1)].focus_control(before[1] or 0)

    def _row(self, place: int, view: StepView, count: int) -> StepRow:
        row = StepRow(place + 1, view, self._session.theme, last=place == count - 1, opened=place in self._opened)
        row.enabledChanged.connect(partial(self._change, place, "enabled"))
        row.parametersChanged.connect(partial(self._change, place, "parameters"))
        row.moveRequested.connect(lambda by: self.move_step(place, place + by))
        row.removeRequested.connect(partial(self._remove, place))
        row.remedyRequested.connect(partial(self._mend, place))
        row.duplicateRequested.connect(partial(self._duplicate, place))
        row.toggled.connect(partial(self._remember_opened, place))
        return row

    def _change(self, place: int, field: str, value: Any) -> None:
        steps = list(self._session.state.steps)
        steps[place] = steps[place].model_copy(update={field: value})
        verb = {"enabled": "Switch", "parameters": "Change"}[field]
        # The card that is being edited keeps its editors: only its snapshot is replaced.
        self._quiet = field == "parameters"
        self.set_steps(tuple(steps), f"{verb} {steps[place].method}")
        self._quiet = False

    def _mend(self, place: int, remedy: StepRemedy) -> None:
        steps = list(self._session.state.steps)
        if remedy.instead is not None:
            steps[place] = remedy.instead
        if remedy.first is not None:
            self._opened = {opened + 1 for opened in self._opened}
            steps.insert(0, remedy.first)
        self.set_steps(tuple(steps), remedy.title)

    def _move_focused(self, by: int) -> None:
        for place, row in enumerate(self.steps.rows):
            if _focused(row):
                self.move_step(place, place + by)
                return

    def _remove(self, place: int) -> None:
        steps = self._session.state.steps
        self._opened = {old - (old > place) for old in self._opened if old != place}
        self.set_steps((*steps[:place], *steps[place + 1 :]), f"Remove {steps[place].method}")

    def _duplicate(self, place: int) -> None:
        steps = self._session.state.steps
        self._opened = {old + (old > place) for old in self._opened}
        self.set_steps((*steps[: place + 1], *steps[place:]), f"Duplicate {steps[place].method}")

    def _remember_opened(self, place: int, opened: bool) -> None:
        (self._opened.add if opened else self._opened.discard)(place)

    def _run(self) -> None:
        self._session.run()

    def _tool(self, text: str, glyph: str | None, tooltip: str) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tooltip)
        if glyph is not None:
            button.setIcon(icon(glyph, self._session.theme))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setMenu(QMenu(button))
        # Room for the arrow, which Fusion draws over the text.
        button.setMinimumSize(button.sizeHint().width() + 12, 28)
        return button

    def _show_last(self) -> None:
        if self.steps.rows:
            self._area.ensureWidgetVisible(self.steps.rows[-1])

    def _methods_changed(self) -> None:
        self._fill_menus()
        self.refresh()

    def _fill_menus(self) -> None:
        menu = self.add.menu()
        menu.clear()
        for before in menu.findChildren(QMenu, options=Qt.FindChildOption.FindDirectChildrenOnly):
            before.deleteLater()
        menu.setToolTipsVisible(True)
        for stage, choices in stage_choices(self._session.knobs, self._session.methods):
            menu.addSection(stage.capitalize())
            for choice in choices:
                under = menu.addMenu(choice.title) if choice.own_menu else menu
                under.setToolTipsVisible(True)
                for method in choice.methods:
                    action = under.addAction(method.title, partial(self.add_step, method.id))
                    action.setToolTip(method_tip(method))
        self.add.setEnabled(bool(self._session.methods))
        menu = self.presets.menu()
        menu.clear()
        menu.setToolTipsVisible(True)
        for preset in PRESETS:
            action = menu.addAction(preset.title, partial(self.apply_preset, preset))
            missing = preset.missing(self._session.methods)
            action.setEnabled(not missing)
            action.setToolTip(preset.doc if not missing else f"No installed plugin brings {missing[0]}")

    def _make_settings(self) -> QWidget:
        widget = QWidget()
        grid = QGridLayout(widget)
        grid.setContentsMargins(8, 8, 8, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        self.samples = QLineEdit()
        self.samples.setPlaceholderText("all")
        self.samples.setToolTip("How many test samples the accuracy is taken on; empty for all")
        self.samples.editingFinished.connect(self._samples_edited)
        self.seed = _spin(0, 2**31 - 1, "Seed of all random numbers: the same recipe gives the same bytes")
        self.threads = _spin(1, 256, "Threads of the runtime while latency is measured; 1 repeats best")
        self.batch = _spin(1, 4096, "Samples in one inference while latency is measured")
        for spin in (self.seed, self.threads, self.batch):
            spin.valueChanged.connect(self._run_edited)
        fields = (("Test samples", self.samples), ("Seed", self.seed), ("Threads", self.threads), ("Batch", self.batch))
        for place, (text, editor) in enumerate(fields):
            label = QLabel(text)
            label.setProperty("role", "muted")
            label.setBuddy(editor)
            label.setToolTip(editor.toolTip())
            editor.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            editor.setMinimumWidth(56)
            grid.addWidget(label, place // 2, 2 * (place % 2))
            grid.addWidget(editor, place // 2, 2 * (place % 2) + 1)
        self.device = DeviceChoice(self._session)
        label = QLabel("Device")
        label.setProperty("role", "muted")
        label.setBuddy(self.device)
        label.setToolTip(self.device.toolTip())
        self.device.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        grid.addWidget(label, 2, 0)
        grid.addWidget(self.device, 2, 1, 1, 3)
        for column in (1, 3):
            grid.setColumnStretch(column, 1)
        guard_wheel(widget)
        return widget

    def _show_settings(self) -> None:
        state = self._session.state
        self._quiet, before = True, self._quiet
        samples = state.evaluate.samples
        self.samples.setText("" if samples == "all" else str(samples))
        self.seed.setValue(state.seed)
        self.threads.setValue(max(state.latency.threads, 1))
        self.batch.setValue(state.latency.batch)
        self._quiet = before

    def _samples_edited(self) -> None:
        text = self.samples.text().strip()
        if text in ("", "all"):
            self._session.do(SetRun(evaluate=Evaluation(samples="all"), title="Set test samples"))
        elif text.isdigit() and int(text) > 0:
            self._session.do(SetRun(evaluate=Evaluation(samples=int(text)), title="Set test samples"))
        else:
            self._session.said.emit(f"{text!r} is not a number of samples")
            self._show_settings()

    def _run_edited(self) -> None:
        if self._quiet:
            return
        latency = self._session.state.latency.model_copy(
            update={"threads": self.threads.value(), "batch": self.batch.value()}
        )
        self._session.do(SetRun(seed=self.seed.value(), latency=latency))

    def _ask_import(self) -> None:
        ask_path(self, "Import recipe", "recipe.yaml", "YAML (*.yaml *.yml)", self._import, opening=True)

    def _ask_export(self) -> None:
        ask_path(self, "Export recipe", "recipe.yaml", "YAML (*.yaml)", self._export)

    def _import(self, path: Path) -> None:
        open_recipe(path, self._session)

    def _export(self, path: Path) -> None:
        try:
            write_recipe(self._session.state.recipe(), path)
        except WorkbenchError as error:
            self._session.failed.emit(error)
            return
        self._session.said.emit(f"Exported {path.name}")

    def _document_changed(self, change: Change) -> None:
        if not change & _REFRESH:
            return
        if self._quiet:
            view = resolve_recipe(self._session.state, self._session.methods)
            for row, shown in zip(self.steps.rows, view.steps, strict=False):
                row.set_view(shown)
            return
        self.refresh()


def _spin(low: int, high: int, tooltip: str) -> QSpinBox:
    spin = QSpinBox()
    spin.setRange(low, high)
    spin.setToolTip(tooltip)
    spin.setKeyboardTracking(False)
    return spin


def _focused(row: StepRow) -> bool:
    focus = QApplication.focusWidget()
    return focus is not None and row.isAncestorOf(focus)
