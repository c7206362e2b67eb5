"""Find the best candidates within budgets: what to strive for, how long, and what has been found so far."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QFont
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.measurements import is_share
from workbench.domain.search_reports import SearchReport
from workbench.domain.study import USUAL_STEPS
from workbench.project.state import Change
from workbench.ui.models import numbers
from workbench.ui.models.search_form import COSTS, SearchForm, ended_in_words, found_in_words, held_back_in_words
from workbench.ui.panels.search_more import SearchMore
from workbench.ui.search import search_of
from workbench.ui.session import Session

_REFRESH = Change.MODEL | Change.DATA | Change.PLAN | Change.RECIPE
_MOST_MINUTES = 7 * 24 * 60


class SearchDialog(QDialog):
    """Stays open beside the window; closing it lets the search go on."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._search = session, search_of(session)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Search")
        self.setMinimumWidth(560)
        said = QLabel(
            "Finds plans by sensitivities and measured times, builds the most promising, trains them briefly and "
            "measures the files on the device. Each finished one appears among the candidates at once."
        )
        self.cost, self.strategy, self.layers = QComboBox(), QComboBox(), QComboBox()
        for cost, title in COSTS.items():
            self.cost.addItem(title, cost)
        self.cost.setToolTip("What the metric is traded against")
        self.limit_drop, self.limit_cost = QCheckBox("at most"), QCheckBox("at most")
        self.drop, self.ratio, self.minutes = (QDoubleSpinBox() for _ in range(3))
        for spin in (self.drop, self.ratio, self.minutes):
            spin.setMinimumHeight(self.cost.sizeHint().height())
        self.limit_drop.setChecked(True)
        self.drop.setRange(0.0, 100.0)
        self.drop.setDecimals(2)
        self.drop.setValue(1.0)
        self.drop.setToolTip("Loss of the metric against the original, on the test data")
        self.ratio.setRange(1.0, 100.0)
        self.ratio.setDecimals(1)
        self.ratio.setValue(50.0)
        self.ratio.setSuffix("\N{NO-BREAK SPACE}% of the original's")
        self.ratio.setToolTip("What a candidate may cost, as a share of what the original costs")
        self.budgets = QLineEdit()
        self.budgets.setPlaceholderText("≤ 5 ms; ≤ 300 KB")
        self.budgets.setMinimumWidth(200)
        self.budgets.setToolTip(
            "Further bounds, in any of these words: ≤ 5 ms; ≤ 300 KB; ≤ 50 % of the size; ≤ 20 MB memory; ≤ 5 M MACs; "
            "≤ 80 k parameters; ≤ 1 % drop"
        )
        self.minutes.setRange(0.5, _MOST_MINUTES)
        self.minutes.setDecimals(1)
        self.minutes.setValue(15.0)
        self.minutes.setSuffix("\N{NO-BREAK SPACE}min")
        self.minutes.setToolTip("Wall time of the whole search, sensitivities included")
        self.own_steps = QCheckBox("Vary the recipe's own steps")
        self.own_steps.setToolTip("Without this, steps are chosen that suit the model: prune, fine-tune, quantize")
        self.pinned = QCheckBox("Keep layers that the plan has lines for as they are")
        self.pinned.setChecked(True)
        self.more = SearchMore()
        self.found, self.ended, self.held, self.blocked = QLabel(), QLabel(), QLabel(), QLabel()
        for label in (said, self.found, self.ended, self.held, self.blocked):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        strong = QFont(self.found.font())
        strong.setWeight(QFont.Weight.DemiBold)
        self.found.setFont(strong)
        self.busy = QProgressBar()
        self.busy.setRange(0, 1000)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        self.start_button, self.stop_button = QPushButton("Search"), QPushButton("Stop")
        self.start_button.setProperty("role", "primary")
        self.stop_button.setToolTip("Ends the search; what was found stays, and the same search goes on from there")
        for button in (self.start_button, self.stop_button):
            buttons.addButton(button, QDialogButtonBox.ButtonRole.ActionRole)
        buttons.rejected.connect(self.reject)
        self.start_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self._search.cancel)
        self.form = self._form()
        _align(self.form, self.more.form)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(16, 16, 16, 16)
        outer.setSpacing(12)
        outer.addWidget(said)
        outer.addLayout(self.form)
        outer.addWidget(self.more)
        for widget in (self.blocked, self.busy, self.found, self.ended, self.held):
            outer.addWidget(widget)
        outer.addStretch()
        outer.addWidget(buttons)
        self.limit_drop.toggled.connect(self.drop.setEnabled)
        self.limit_cost.toggled.connect(self.ratio.setEnabled)
        self.ratio.setEnabled(False)
        session.methodsChanged.connect(self._fill_strategies)
        session.selection.layersChanged.connect(self._fill_layers)
        session.selection.candidateChanged.connect(self.refresh)
        session.documentChanged.connect(self._document_changed)
        self._search.changed.connect(self.refresh)
        self.own_steps.toggled.connect(self._offer_knobs)
        self._fill_strategies()
        self._fill_layers()
        self.refresh()

    @property
    def chosen(self) -> SearchForm:
        """What the form says."""
        data = self._session.state.data
        factor = 100.0 if data is not None and is_share(data.metric) else 1.0
        layers = self._session.selection.layers if self.layers.currentData() == "selected" else ()
        return SearchForm(
            cost=self.cost.currentData(),
            drop=self.drop.value() / factor if self.limit_drop.isChecked() else None,
            ratio=self.ratio.value() / 100 if self.limit_cost.isChecked() else None,
            strategy=self.strategy.currentData() or "greedy",
            minutes=self.minutes.value(),
            own_steps=self.own_steps.isChecked(),
            pinned=self.pinned.isChecked(),
            layers=layers,
            budgets=self.budgets.text(),
            extras=self.more.chosen(self.cost.currentData()),
        )

    def start(self) -> None:
        """Search for what is chosen."""
        if self._session.state.model is None or self._session.state.data is None:
            return
        try:
            study = self.chosen.study(self._session.state, self.more.knobs)
        except ValueError as error:
            self.ended.setText(str(error))
            self.ended.setVisible(True)
            return
        self._search.start(study, scheduler=self.more.address)

    def refresh(self) -> None:
        """Show how far the search is and what it found."""
        record, report = self._search.record, self._search.report
        reason = self._session.missing("model", "data", "methods")
        self.blocked.setVisible(reason is not None)
        self.blocked.setText(reason or "")
        self.start_button.setEnabled(record is None and reason is None)
        self.start_button.setToolTip(reason or "")
        self.stop_button.setEnabled(record is not None and not record.cancelling)
        self.busy.setVisible(record is not None)
        for widget in self._inputs():
            widget.setEnabled(record is None)
        self.drop.setEnabled(record is None and self.limit_drop.isChecked())
        self.ratio.setEnabled(record is None and self.limit_cost.isChecked())
        if record is not None:
            self.busy.setValue(round(1000 * record.fraction))
            self.busy.setFormat(record.text or "waiting")
        self._say(report, record is not None)
        data = self._session.state.data
        share = data is None or is_share(data.metric)
        self.drop.setSuffix("\N{NO-BREAK SPACE}points" if share else "")
        steps = self._session.state.steps
        self.own_steps.setEnabled(record is None and bool(steps))
        if not steps:
            self.own_steps.setChecked(False)
        self._offer_knobs()

    def _say(self, report: SearchReport | None, busy: bool) -> None:
        nothing = "Sensitivities are taken first; the first candidate follows soon after." if busy else ""
        self.found.setText(nothing if report is None else found_in_words(report))
        self.found.setVisible(bool(self.found.text()))
        self.ended.setText("" if report is None or busy else ended_in_words(report))
        self.ended.setVisible(bool(self.ended.text()))
        selected = self._session.candidate()
        self.held.setText("" if report is None or selected is None else held_back_in_words(report, selected))
        self.held.setVisible(bool(self.held.text()))

    def _inputs(self) -> tuple[QWidget, ...]:
        limits = (self.limit_drop, self.limit_cost, self.budgets)
        return (self.cost, self.strategy, self.layers, self.minutes, self.pinned, *limits, self.more.fields)

    def _form(self) -> QFormLayout:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.FieldsStayAtSizeHint)
        form.addRow("Metric &against", self.cost)
        form.addRow("Loss of the metric", _beside(self.limit_drop, self.drop))
        form.addRow("Cost", _beside(self.limit_cost, self.ratio))
        form.addRow("Other &budgets", self.budgets)
        form.addRow("S&trategy", self.strategy)
        form.addRow("&Layers", self.layers)
        form.addRow("&Time", self.minutes)
        form.addRow("", self.own_steps)
        form.addRow("", self.pinned)
        return form

    def _offer_knobs(self) -> None:
        """Offer the knobs that the steps read: the recipe's own, or those that a search chooses by itself."""
        methods = {method.id: method for method in self._session.methods}
        steps = [step.method for step in self._session.state.steps if step.enabled]
        read = {
            name
            for step in (steps if self.own_steps.isChecked() else USUAL_STEPS)
            if step in methods
            for name in methods[step].knobs
        }
        self.more.set_knobs([knob for knob in self._session.knobs if knob.name in read])

    def _fill_strategies(self) -> None:
        before = self.strategy.currentData() or "greedy"
        self.strategy.clear()
        for offered in self._session.strategies:
            self.strategy.addItem(offered.title, offered.name)
            self.strategy.setItemData(self.strategy.count() - 1, offered.summary, Qt.ItemDataRole.ToolTipRole)
        self.strategy.setCurrentIndex(max(self.strategy.findData(before), 0))
        self.refresh()

    def _fill_layers(self) -> None:
        before = self.layers.currentData() or "all"
        self.layers.clear()
        self.layers.addItem("All", "all")
        self.more.set_selected(self._session.selection.layers)
        if selected := len(self._session.selection.layers):
            self.layers.addItem(numbers.plural(selected, "selected layer"), "selected")
        self.layers.setCurrentIndex(max(self.layers.findData(before), 0))

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()


def _align(*forms: QFormLayout) -> None:
    """Begin the fields of all forms at the same place."""
    labels = []
    for form in forms:
        form.setHorizontalSpacing(12)
        items = [form.itemAt(row, QFormLayout.ItemRole.LabelRole) for row in range(form.rowCount())]
        labels += [label for item in items if item is not None and (label := item.widget()) is not None]
    widest = max(label.sizeHint().width() for label in labels)
    for label in labels:
        label.setMinimumWidth(widest)


def _beside(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(8)
    for widget in widgets:
        row.addWidget(widget)
    row.addStretch()
    return row


def show_search(session: Session, parent: QWidget) -> SearchDialog:
    """Open the dialog."""
    dialog = SearchDialog(session, parent)
    dialog.show()
    return dialog
