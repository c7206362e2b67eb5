"""The inspector: everything about the selection in one column, and the editors that change it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QPalette, QShortcut
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.knobs import Setting
from workbench.project.state import Change, ProjectState
from workbench.ui.icons import icon
from workbench.ui.models import numbers
from workbench.ui.models.inspector_view import Inspection, as_text, resolve_inspection
from workbench.ui.models.layer_table import LayerTable, resolve_layers
from workbench.ui.panels.elided import ElidedLabel
from workbench.ui.panels.empty_state import Pages
from workbench.ui.panels.export import copy_text
from workbench.ui.panels.inspector_sections import FactsGrid, KnobRows, Links, empty_layout
from workbench.ui.panels.inspector_tabs import LayerTabs
from workbench.ui.panels.result_plans import use_results
from workbench.ui.session import Session
from workbench.ui.setting_acts import foretold_setting, give_setting
from workbench.ui.theme import title_font

_REFRESH = Change.MODEL | Change.DATA | Change.BASELINE | Change.SENSITIVITY | Change.PLAN | Change.RECIPE
_REFRESH |= Change.CANDIDATES | Change.STAIRCASE | Change.ROOFLINE | Change.DEVICE | Change.PREFLIGHT


class InspectorPanel(QWidget):
    """Shows the selected layers, node or candidate, or the model where nothing is selected.

    Signals:
        openRequested: The button of the empty state was clicked.
    """

    title = "Inspector"
    openRequested = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._table = LayerTable()
        self._resolved: tuple[ProjectState, object, object] | None = None
        self.inspection = Inspection()
        self.heading = ElidedLabel()
        self.heading.setFont(title_font())
        self.subtitle = ElidedLabel(cut=Qt.TextElideMode.ElideRight)
        self.subtitle.setProperty("role", "muted")
        self.more = QToolButton()
        self.more.setIcon(icon("copy", session.theme))
        self.more.setToolTip("Copy the name or all values")
        self.more.setAccessibleName("Copy")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.more)
        menu.addAction("Copy name", self.copy_name)
        menu.addAction("Copy all values", self.copy_values)
        self.more.setMenu(menu)
        self.hint = _wrapped("Select a layer in the graph or in the table to see its costs, settings and sensitivity.")
        self.chosen = Links()
        self.facts_title = _title("Details")
        self.facts = FactsGrid()
        self.candidate = ElidedLabel()
        self.candidate.setProperty("role", "title")
        self.changes = FactsGrid()
        self.blocked = QLabel()
        self.blocked.setWordWrap(True)
        self.blocked.setProperty("role", "warning")
        self.group = ElidedLabel(cut=Qt.TextElideMode.ElideRight)
        self.show_group = QToolButton()
        self.show_group.setText("Show")
        self.show_group.setToolTip("Select every layer of the channel group; the graph outlines them with dashes")
        self.members_title = _title("Other layers of the channel group")
        self.members = Links()
        self.branch = ElidedLabel(cut=Qt.TextElideMode.ElideRight)
        self.show_branch = QToolButton()
        self.show_branch.setText("Show")
        self.show_branch.setToolTip("Select every layer of the branch; the graph outlines them with dots")
        self.branch_title = _title("Other layers of the branch")
        self.branch_members = Links()
        self.limits = _wrapped("")
        self.limit_nodes = Links()
        self.take_over = QPushButton()
        self.take_over.setToolTip("Put what this candidate's run decided for each layer into the plan; can be undone")
        self.knobs_title = _title("Settings")
        self.knobs = KnobRows()
        self.tabs = LayerTabs(session)
        self._neighbours = QVBoxLayout()
        self._content = QWidget()
        self._lay_out(self._content)
        self._area = QScrollArea()
        self._area.setWidget(self._content)
        self._area.setWidgetResizable(True)
        self._area.setFrameShape(QFrame.Shape.NoFrame)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Plots stand on the same ground as the text around them.
        for ground in (self._content, self._area.viewport()):
            ground.setBackgroundRole(QPalette.ColorRole.Base)
        self._pages = Pages(self._area)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self._pages)

        for links in (self.chosen, self.members, self.branch_members, self.limit_nodes):
            links.chosen.connect(self._select)
        for grid in (self.facts, self.changes):
            grid.copyAsked.connect(lambda what, text: copy_text(session, text, what))
        self.show_group.clicked.connect(self.select_group)
        self.show_branch.clicked.connect(self.select_branch)
        self.take_over.clicked.connect(self.use_results)
        self.knobs.chosen.connect(self.apply_setting)
        self.knobs.foretell = self.foretold
        session.documentChanged.connect(self._document_changed)
        session.methodsChanged.connect(self.refresh)
        session.selection.layersChanged.connect(self._selection_changed)
        session.selection.candidateChanged.connect(self._candidate_changed)
        session.theme.themeChanged.connect(self.refresh)
        QShortcut(
            QKeySequence.StandardKey.Copy,
            self,
            self.copy_values,
            context=Qt.ShortcutContext.WidgetWithChildrenShortcut,
        )
        self.refresh()

    def refresh(self) -> None:
        """Resolve document and selection again and show what changed."""
        session = self._session
        state = session.state
        # Resolving all layers is the dear part, and a change of the selection leaves them as they are.
        resolved = (state, session.knobs, session.methods)
        if self._resolved is None or any(a is not b for a, b in zip(self._resolved, resolved, strict=True)):
            self._table = resolve_layers(state, session.knobs, session.methods)
            self._resolved = resolved
        self.inspection = resolve_inspection(
            state, self._table, session.selection.layers, session.candidate(), session.methods
        )
        if self.inspection.kind == "none":
            self._pages.show_empty(
                "Nothing to inspect yet",
                "The selected layer's shapes, costs, channel group, settings and sensitivity appear here. "
                "Open an .onnx file, or drop one on the window.",
                "Open model…",
                self.openRequested.emit,
            )
            return
        self._pages.show_content()
        self.tabs.stack.prepare()
        self._show(self.inspection)

    def apply_setting(self, knob_name: str, value: Setting | None) -> None:
        """Give the selected layers, and those coupled to them, a setting; None takes their own away."""
        knob = self._session.knob(knob_name)
        if knob is not None:
            give_setting(self._session, self._table, self.inspection.layers, knob, value)

    def foretold(self, knob_name: str, value: Setting) -> str:
        """Return what the plan would come to with this setting of the selected layers."""
        knob = self._session.knob(knob_name)
        return "" if knob is None else foretold_setting(self._session, self._table, self.inspection.layers, knob, value)

    def select_group(self) -> None:
        """Select every layer of the channel group, the current one last."""
        group, current = self.inspection.group, self.inspection.current
        if group is not None and current is not None:
            names = [member.name for member in group.members if member.name != current]
            self._session.selection.set_layers((*names, current))

    def select_branch(self) -> None:
        """Select every layer that can only be left out together, the current one last."""
        branch, current = self.inspection.branch, self.inspection.current
        if branch is not None and current is not None:
            names = [member.name for member in branch.members if member.name != current]
            self._session.selection.set_layers((*names, current))

    def use_results(self) -> None:
        """Put what the selected candidate's run decided into the plan."""
        candidate = self._session.candidate()
        if candidate is not None:
            use_results(self._session, candidate)

    def copy_name(self) -> None:
        """Put the exact name of the selection on the clipboard."""
        copy_text(self._session, self.inspection.name, "name")

    def copy_values(self) -> None:
        """Put everything that is said about the selection on the clipboard."""
        copy_text(self._session, as_text(self.inspection), "values")

    # --- within -------------------------------------------------------------------------------------------------

    def _lay_out(self, content: QWidget) -> None:
        head = QHBoxLayout()
        head.setSpacing(8)
        names = QVBoxLayout()
        names.setSpacing(0)
        names.addWidget(self.heading)
        names.addWidget(self.subtitle)
        head.addLayout(names, 1)
        head.addWidget(self.more, 0, Qt.AlignmentFlag.AlignTop)
        group, branch = QHBoxLayout(), QHBoxLayout()
        for row, text, show in ((group, self.group, self.show_group), (branch, self.branch, self.show_branch)):
            row.setSpacing(8)
            row.addWidget(text, 1)
            row.addWidget(show)
        self.knobs_title.setContentsMargins(0, 4, 0, 0)
        column = QVBoxLayout(content)
        column.setContentsMargins(12, 8, 12, 12)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self.hint)
        column.addWidget(self.chosen)
        column.addWidget(self.blocked)
        column.addLayout(group)
        column.addLayout(branch)
        column.addWidget(self.knobs_title)
        column.addWidget(self.knobs)
        column.addWidget(self.candidate)
        column.addWidget(self.changes)
        column.addWidget(self.take_over, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self.tabs)
        # What is looked up now and then stands below what is used all the time, which a small window must show.
        for widget in (self.members_title, self.members, self.branch_title, self.branch_members):
            column.addWidget(widget)
        column.addWidget(self.limits)
        column.addWidget(self.limit_nodes)
        column.addWidget(self.facts_title)
        column.addWidget(self.facts)
        column.addLayout(self._neighbours)
        column.addStretch()

    def _show(self, found: Inspection) -> None:
        self.heading.set_full(found.heading, found.name if found.name != found.heading else "")
        self.subtitle.set_full(found.subtitle)
        self.hint.setVisible(found.kind == "model")
        self.chosen.setVisible(bool(found.chosen))
        self.chosen.set_members(found.chosen)
        self.facts_title.setVisible(bool(found.knobs))
        self.facts.set_facts(found.facts)
        self.candidate.setVisible(bool(found.candidate))
        self.candidate.set_full(f"In {found.candidate}" if found.changes else f"{found.candidate} says nothing of it")
        self.changes.set_facts(found.changes)
        self.take_over.setVisible(bool(found.take_over))
        self.take_over.setText(found.take_over)
        self._show_group(found)
        self._show_branch(found)
        self._show_neighbours(found)
        self.knobs_title.setVisible(bool(found.knobs))
        self.knobs_title.setText(
            "Settings" if len(found.layers) <= 1 else f"Settings of {numbers.plural(len(found.layers), 'layer')}"
        )
        self.knobs.setVisible(bool(found.knobs))
        self.knobs.set_views(found.knobs)
        self.tabs.show_layer(found)

    def _show_group(self, found: Inspection) -> None:
        self.blocked.setVisible(found.blocked is not None)
        self.blocked.setText(f"Its output channels can't be pruned: {found.blocked}")
        group = found.group
        together = group is not None and len(group.members) > 1
        for widget in (self.group, self.members_title, self.members, self.show_group):
            widget.setVisible(together)
        if group is not None:
            unit = "" if group.unit == 1 else f", {group.unit} at a time"
            count = numbers.plural(len(group.members), "layer")
            self.group.set_full(
                f"Group: {count}, {numbers.plural(group.channels, 'channel')}{unit}",
                f"Group {group.id}: these channels can only be removed together",
            )
            self.members.set_members(tuple(member for member in group.members if member.name != found.current))

    def _show_branch(self, found: Inspection) -> None:
        branch = found.branch
        for widget in (self.branch, self.show_branch):
            widget.setVisible(branch is not None)
        others = () if branch is None else tuple(member for member in branch.members if member.name != found.current)
        self.show_branch.setVisible(bool(others))
        self.branch_title.setVisible(bool(others))
        self.branch_members.setVisible(bool(others))
        self.branch_members.set_members(others)
        if branch is not None:
            self.branch.set_full(branch.text, f"Up to {branch.id}: the setting Keep leaves all of it out")
        # The label above says it of channels already.
        self.limits.setText("\n".join(limit.text for limit in found.limits if not limit.channels))
        self.limits.setVisible(bool(self.limits.text()))
        nodes = tuple(dict.fromkeys(node for limit in found.limits for node in limit.nodes))
        self.limit_nodes.setVisible(bool(nodes))
        self.limit_nodes.set_members(nodes)

    def _show_neighbours(self, found: Inspection) -> None:
        empty_layout(self._neighbours)
        for title, members in found.neighbours:
            links = Links()
            links.set_members(members)
            links.chosen.connect(self._select)
            self._neighbours.addWidget(_title(title))
            self._neighbours.addWidget(links)

    def _select(self, name: str) -> None:
        self._session.selection.set_layers((name,))

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()

    def _selection_changed(self, layers: tuple[str, ...]) -> None:
        self.refresh()
        self._area.verticalScrollBar().setValue(0)

    def _candidate_changed(self, candidate: object) -> None:
        self.refresh()


def _title(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "title")
    return label


def _wrapped(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("role", "muted")
    label.setWordWrap(True)
    return label
