"""The inspector's sections of text: facts, links to other layers, and the editors of the selection's settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QLayout, QSlider, QToolButton, QVBoxLayout, QWidget

from workbench.domain.knobs import Knob, Setting
from workbench.ui.models import numbers
from workbench.ui.models.facts import Fact
from workbench.ui.models.inspector_view import KnobView
from workbench.ui.models.layer_ties import Member
from workbench.ui.panels.elided import ElidedLabel, ElidedLink
from workbench.ui.panels.knob_editor import KnobEditor
from workbench.ui.panels.wheel_guard import guard_wheel

_FEW_LINKS = 8
# Beyond these, editors stay folded until somebody wants them, so that a small window still shows the plots below.
_FEW_KNOBS = 4


def empty_layout(layout: QLayout) -> None:
    """Take everything out of a layout and delete it."""
    while (item := layout.takeAt(0)) is not None:
        widget, inner = item.widget(), item.layout()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
        elif inner is not None:
            empty_layout(inner)


class FactsGrid(QWidget):
    """Titles on the left, values on the right.

    Signals:
        copyAsked: (what, text) of a value whose menu was used.
    """

    copyAsked = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._facts: tuple[Fact, ...] = ()
        self._values: list[ElidedLabel] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)

    def set_facts(self, facts: tuple[Fact, ...]) -> None:
        """Show these lines."""
        if facts == self._facts:
            return
        if [fact.title for fact in facts] != [fact.title for fact in self._facts]:
            self._rebuild(facts)
        self._facts = facts
        for label, fact in zip(self._values, facts, strict=True):
            label.set_full(fact.value, fact.tip)
        self.setVisible(bool(facts))

    def texts(self) -> dict[str, str]:
        """Return what stands there, by title."""
        return {fact.title: label.full for fact, label in zip(self._facts, self._values, strict=True)}

    def _rebuild(self, facts: Sequence[Fact]) -> None:
        empty_layout(self._grid)
        self._values = []
        for row, fact in enumerate(facts):
            title = QLabel(fact.title)
            title.setProperty("role", "muted")
            value = ElidedLabel()
            value.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
            value.addAction(f"Copy {fact.title.lower()}", partial(self._copy, row))
            self._grid.addWidget(title, row, 0, Qt.AlignmentFlag.AlignTop)
            self._grid.addWidget(value, row, 1)
            self._values.append(value)

    def _copy(self, row: int) -> None:
        fact = self._facts[row]
        self.copyAsked.emit(fact.title.lower(), fact.value)


class Links(QWidget):
    """Layers and nodes that a click selects, two to a line; a long list is cut until it is asked for.

    Signals:
        chosen: Name of the one that was clicked.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._members: tuple[Member, ...] = ()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(0)
        self._grid.setColumnStretch(0, 1)
        self._grid.setColumnStretch(1, 1)
        self.links: list[ElidedLink] = []

    def set_members(self, members: tuple[Member, ...]) -> None:
        """Show these."""
        if members != self._members:
            self._members = members
            self._fill(_FEW_LINKS)

    def _fill(self, most: int) -> None:
        empty_layout(self._grid)
        self.links = []
        shown = self._members if len(self._members) <= most + 1 else self._members[:most]
        for place, member in enumerate(shown):
            link = ElidedLink(member.label, "\n".join(part for part in (member.name, member.note) if part))
            link.clicked.connect(partial(self.chosen.emit, member.name))
            self._grid.addWidget(link, place // 2, place % 2)
            self.links.append(link)
        if len(shown) < len(self._members):
            more = ElidedLink(f"and {len(self._members) - len(shown)} more", "Show all of them")
            more.clicked.connect(partial(self._fill, len(self._members)))
            self._grid.addWidget(more, (len(shown) + 1) // 2, 0)


class KnobRows(QWidget):
    """An editor for every setting of the selected layers, whether it is their own, and the way back to the default.

    The first ones always show, and so do those that the layers have settings of their own for; others are folded.

    Signals:
        chosen: (knob name, setting); None takes the layers' own setting away.

    Attributes:
        foretell: Says what a setting of a knob would come to, while its slider is moved.
    """

    chosen = Signal(str, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._views: tuple[KnobView, ...] = ()
        self.foretell: Callable[[str, Setting], str] = lambda _name, _value: ""
        self.editors: dict[str, KnobEditor] = {}
        self.resets: dict[str, QToolButton] = {}
        self.states: dict[str, QLabel] = {}
        self._notes: dict[str, QLabel] = {}
        self._titles: dict[str, QLabel] = {}
        self._lines: dict[str, QWidget] = {}
        self._knobs: tuple[Knob, ...] = ()
        self.more = QToolButton()
        self.more.setCheckable(True)
        self.more.setAutoRaise(True)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.toggled.connect(self._fold)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(4)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(4)
        outer.addLayout(self._rows)
        outer.addWidget(self.more)

    def set_views(self, views: tuple[KnobView, ...]) -> None:
        """Show these settings; editors stay while the knobs are the same, so that a drag or the focus is not lost."""
        if views == self._views:
            return
        if not views:
            # Nobody sees these rows now, and the next layer has most likely the same ones.
            self._views = ()
            return
        knobs = tuple(view.knob for view in views)
        if knobs != self._knobs:
            self._knobs = knobs
            self._rebuild()
        self._views = views
        for view in views:
            self._show(view)
        self._fold()

    def _fold(self) -> None:
        """Show the editors that are not folded, and say how many are."""
        spare = [view.knob for place, view in enumerate(self._views) if place >= _FEW_KNOBS and not view.own]
        folded = not self.more.isChecked()
        for view in self._views:
            self._lines[view.knob.name].setVisible(not folded or view.knob not in spare)
        self.more.setVisible(bool(spare))
        self.more.setArrowType(Qt.ArrowType.RightArrow if folded else Qt.ArrowType.DownArrow)
        self.more.setText(f"{numbers.plural(len(spare), 'more setting')}" if folded else "Fewer settings")
        self.more.setToolTip(", ".join(knob.title for knob in spare))

    def _foretold(self, knob: str, value: Setting) -> str:
        return self.foretell(knob, value)

    def _rebuild(self) -> None:
        empty_layout(self._rows)
        for store in (self.editors, self.resets, self.states, self._notes, self._titles, self._lines):
            store.clear()
        width = max((self.fontMetrics().horizontalAdvance(knob.title) for knob in self._knobs), default=0) + 8
        for knob in self._knobs:
            title = QLabel(knob.title)
            title.setFixedWidth(min(width, 110))
            title.setToolTip(knob.doc)
            editor = KnobEditor(knob)
            editor.setAccessibleName(knob.title)
            editor.chosen.connect(partial(self.chosen.emit, knob.name))
            editor.foretell = partial(self._foretold, knob.name)
            guard_wheel(editor)
            for slider in editor.findChildren(QSlider):
                slider.setMinimumWidth(36)
            state = QLabel()
            state.setProperty("role", "muted")
            state.setFixedWidth(self.fontMetrics().horizontalAdvance("default") + 4)
            reset = QToolButton()
            reset.setText("↺")
            reset.setAutoRaise(True)
            reset.setAccessibleName(f"Reset {knob.title.lower()} to the default")
            reset.clicked.connect(partial(self.chosen.emit, knob.name, None))
            row = QHBoxLayout()
            row.setSpacing(6)
            row.addWidget(title)
            row.addWidget(editor, 1)
            row.addWidget(state)
            row.addWidget(reset)
            note = QLabel()
            note.setWordWrap(True)
            note.setProperty("role", "muted")
            line = QWidget()
            lines = QVBoxLayout(line)
            lines.setContentsMargins(0, 0, 0, 0)
            lines.setSpacing(4)
            lines.addLayout(row)
            lines.addWidget(note)
            self._rows.addWidget(line)
            self._lines[knob.name] = line
            self.editors[knob.name], self.resets[knob.name], self.states[knob.name] = editor, reset, state
            self._notes[knob.name], self._titles[knob.name] = note, title

    def _show(self, view: KnobView) -> None:
        name, knob = view.knob.name, view.knob
        editor, reset, state = self.editors[name], self.resets[name], self.states[name]
        editor.setEnabled(view.reason is None)
        told = "" if view.counts is None or not isinstance(view.value, float) else f"\n{view.counts.text(view.value)}"
        editor.setToolTip(view.reason or f"{knob.doc}\nAllowed: {knob.describe_range()}{told}")
        self._titles[name].setEnabled(view.reason is None)
        editor.set_counts(view.counts)
        editor.set_refused(view.refused, view.measured)
        if view.value != editor.value() or view.value is None:
            editor.set_value(view.value if view.reason is None else knob.untouched)
        state.setText("" if view.reason else "several" if view.value is None else "own" if view.own else "default")
        state.setToolTip(
            "The selected layers differ"
            if view.value is None
            else "The plan has a line for this layer"
            if view.own
            else "From the plan's default"
        )
        reset.setEnabled(view.own)
        reset.setToolTip(
            "Take the layer's own setting away, so that the plan's default shows again"
            if view.own
            else "Shows the plan's default already"
        )
        self._notes[name].setText(view.note)
        self._notes[name].setVisible(bool(view.note))
