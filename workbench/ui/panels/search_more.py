"""What only some searches need: another cost, knobs and bits in play, ties, other ends, where candidates are built."""

from __future__ import annotations

from collections.abc import Collection

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.cores import available_cores
from workbench.domain.knobs import Knob
from workbench.domain.study import Cost
from workbench.ui.models import numbers
from workbench.ui.models.search_form import COSTS, SearchExtras, bits_of

_MOST = 100_000


class SearchMore(QWidget):
    """A form that stays folded until somebody wants it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.button = QToolButton()
        self.button.setText("More choices")
        self.button.setCheckable(True)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.button.setAutoRaise(True)
        self.second = QComboBox()
        self.second.addItem("Nothing else", None)
        for cost, title in COSTS.items():
            self.second.addItem(title, cost)
        self.second.setToolTip("Another cost, so that the front has three sides")
        self._knobs = QHBoxLayout()
        self._knobs.setSpacing(12)
        self.knobs: dict[str, QCheckBox] = {}
        self.bits = QLineEdit("8")
        self.bits.setToolTip("Numbers of bits of weights to choose from, such as 8, 4; alike in all layers")
        self.tie = QCheckBox()
        self.tie.setToolTip("Layers that are selected in the table or the graph")
        self.candidates, self.stagnation, self.workers = QSpinBox(), QSpinBox(), QSpinBox()
        self.candidates.setRange(0, _MOST)
        self.candidates.setSpecialValueText("any number")
        self.candidates.setToolTip("Finished candidates, counted over all runs of the same search")
        self.stagnation.setRange(0, _MOST)
        self.stagnation.setSpecialValueText("any number")
        self.stagnation.setToolTip("Candidates in a row that did not enlarge the front")
        self.workers.setRange(1, max(available_cores(), 1))
        self.workers.setToolTip("Candidates that are built at the same time; their trainings share the cores")
        self.scheduler = QLineEdit()
        self.scheduler.setPlaceholderText("tcp://host:8786")
        self.scheduler.setToolTip(
            "Address of a Dask scheduler whose workers build the candidates; empty builds them here. Latency is always "
            "measured on the project's device"
        )
        for spin in (self.candidates, self.stagnation, self.workers):
            spin.setMinimumHeight(self.second.sizeHint().height())
        self.fields = QWidget()
        form = self.form = QFormLayout(self.fields)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.FieldsStayAtSizeHint)
        form.addRow("And a&gainst", self.second)
        form.addRow("Knobs in play", self._knobs)
        form.addRow("B&its to try", self.bits)
        form.addRow("", self.tie)
        form.addRow("End after", _counted(self.candidates, "candidates"))
        form.addRow("or after", _counted(self.stagnation, "without a gain"))
        form.addRow("Built at &once", self.workers)
        form.addRow("&Dask scheduler", self.scheduler)
        for field in (self.bits, self.scheduler):
            field.setMinimumWidth(200)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(8)
        outer.addWidget(self.button, alignment=Qt.AlignmentFlag.AlignLeft)
        outer.addWidget(self.fields)
        self.button.toggled.connect(self._fold)
        self.set_selected(())
        self._fold(False)

    def set_knobs(self, knobs: Collection[Knob]) -> None:
        """Offer knobs; those that were taken out of play before stay out."""
        if {knob.name for knob in knobs} == set(self.knobs):
            return
        out = {name for name, box in self.knobs.items() if not box.isChecked()}
        for box in self.knobs.values():
            self._knobs.removeWidget(box)
            box.deleteLater()
        self.knobs = {}
        for knob in knobs:
            box = self.knobs[knob.name] = QCheckBox(knob.title)
            box.setToolTip(knob.doc)
            box.setChecked(knob.name not in out)
            self._knobs.addWidget(box)

    def set_selected(self, layers: Collection[str]) -> None:
        """Offer to tie the layers that are selected."""
        self._selected = tuple(layers)
        count = len(self._selected)
        self.tie.setEnabled(count > 1)
        self.tie.setText(f"Equal values on {numbers.plural(count, 'selected layer')}" if count > 1 else "Equal values")
        if count < 2:
            self.tie.setChecked(False)

    def chosen(self, cost: Cost) -> SearchExtras:
        """Return what the form says beside the first cost.

        Raises:
            ValueError: the bits are no whole numbers from 1 to 8.
        """
        second: Cost | None = self.second.currentData()
        in_play = tuple(name for name, box in self.knobs.items() if box.isChecked())
        return SearchExtras(
            second=None if second == cost else second,
            knobs=() if len(in_play) == len(self.knobs) else in_play,
            bits=bits_of(self.bits.text()),
            tie=self._selected if self.tie.isChecked() else (),
            candidates=self.candidates.value() or None,
            stagnation=self.stagnation.value() or None,
            workers=self.workers.value(),
        )

    @property
    def address(self) -> str | None:
        """The Dask scheduler's, or None."""
        return self.scheduler.text().strip() or None

    def _fold(self, open_: bool) -> None:
        self.fields.setVisible(open_)
        self.button.setArrowType(Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow)


def _counted(spin: QSpinBox, what: str) -> QSpinBox:
    spin.setSuffix(f"\N{NO-BREAK SPACE}{what}")
    return spin
