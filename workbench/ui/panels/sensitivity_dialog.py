"""Estimates, pairs of layers and all layers but one: what is asked beside the plain sweep, and the table of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QTabBar,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.reports import SweepReport
from workbench.domain.sensitivity_reports import ESTIMATORS, EstimateReport, InteractionsReport
from workbench.jobs.specs import EstimateJob, InteractionsJob, SweepJob
from workbench.ui import workflow
from workbench.ui.models import numbers
from workbench.ui.models.interaction_grid import interaction_grid
from workbench.ui.models.layer_table import layer_labels
from workbench.ui.models.method_choices import recommended_first
from workbench.ui.models.sensitivity_table import ESTIMATOR_TITLES, EXPLAINED, Kind, Report, csv_of, table_of
from workbench.ui.panels.export import ask_path, copy_picture, save_picture, save_text
from workbench.ui.panels.interaction_matrix import InteractionMatrix
from workbench.ui.panels.report_dialog import Columns, Export, ReportDialog
from workbench.ui.session import Session

_EXPORT = Export("the sensitivities", "Export sensitivities", "sensitivities.csv")


class SensitivityDialog(ReportDialog):
    """Stays open beside the window; double-click on a row selects its layers."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, Columns(("Layer",), (), 0, 1), _EXPORT, parent)
        self._job: str | None = None
        self.report: Report | None = None
        self.setWindowTitle("Sensitivity in other ways")
        self.resize(900, 720)
        self.kind, self.sweep, self.value, self.layers, self.estimator = (QComboBox() for _ in range(5))
        for kind in Kind:
            self.kind.addItem(kind.value, kind)
        for place, (estimator, title) in enumerate(ESTIMATOR_TITLES.items()):
            self.estimator.addItem(title, estimator)
            explained = ESTIMATORS[estimator]
            self.estimator.setItemData(place, explained[0].upper() + explained[1:], Qt.ItemDataRole.ToolTipRole)
        self.explained, self.summary, self.blocked = (QLabel() for _ in range(3))
        for label in (self.explained, self.summary, self.blocked):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.summary.setFont(self.strong())
        form = QHBoxLayout()
        form.setSpacing(24)
        for fields in (
            (("&Measure", self.kind), ("&Value", self.value)),
            (("&Knob and method", self.sweep), ("&Layers", self.layers), ("Estimate &by", self.estimator)),
        ):
            column = QFormLayout()
            column.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.FieldsStayAtSizeHint)
            for title, field in fields:
                column.addRow(title, field)
            form.addLayout(column)
        form.addStretch()
        self.value.setToolTip("All values of the sweep, or the one that both layers of a pair take")
        self.layers.setToolTip("All layers, or those that are selected in the layer table or the graph")
        self.busy.setRange(0, 1000)
        self.check.setText("Measure")
        self.stop = QPushButton("Cancel")
        self.stop.clicked.connect(self._cancel)
        self.tabs = QTabBar()
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.addTab("Matrix")
        self.tabs.addTab("Table")
        self.tabs.currentChanged.connect(self._show_page)
        self.matrix = InteractionMatrix(session.theme)
        self.matrix.layersPicked.connect(session.selection.set_layers)
        self.more = QPushButton("Export more")
        self.more.setMenu(self._export_menu())
        self.lay_out((self.explained, form, self.blocked, self.busy, self.summary), (self.stop, self.more))
        self._put_matrix_beside_the_table()
        self.kind.currentIndexChanged.connect(self._choices_changed)
        self.sweep.currentIndexChanged.connect(self._choices_changed)
        session.methodsChanged.connect(self._fill_sweeps)
        session.selection.layersChanged.connect(self._fill_layers)
        session.jobs.jobChanged.connect(self._job_changed)
        session.theme.themeChanged.connect(self.refresh)
        self._fill_sweeps()
        self._fill_layers()

    def _put_matrix_beside_the_table(self) -> None:
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        place = layout.indexOf(self.tree)
        layout.insertWidget(place, self.tabs)
        layout.insertWidget(place + 1, self.matrix, 1)

    def _export_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        session = self._session
        self._of_picture = (
            menu.addAction("Copy picture", lambda: copy_picture(session, self.matrix, "matrix")),
            menu.addAction("Export picture as PNG…", partial(self._ask, "PNG", "pairs.png")),
            menu.addAction("Export picture as SVG…", partial(self._ask, "SVG", "pairs.svg")),
        )
        menu.addSeparator()
        menu.addAction("Export as JSON…", partial(self._ask, "JSON", "sensitivities.json"))
        return menu

    def _ask(self, kind: str, name: str) -> None:
        ask_path(self, f"Export {kind}", name, f"{kind} (*.{kind.lower()})", self.save)

    def save(self, path: Path) -> None:
        """Write the matrix (.png, .svg) or the whole report (.json)."""
        if path.suffix.lower() in (".png", ".svg"):
            save_picture(self._session, path, self.matrix)
        elif self.report is not None:
            save_text(self._session, path, self.report.model_dump_json(indent=1) + "\n")

    def _show_page(self, *_: object) -> None:
        """Show the matrix of pairs, or the table that every kind has."""
        pairs = isinstance(self.report, InteractionsReport)
        as_matrix = pairs and self.tabs.currentIndex() == 0
        self.tabs.setVisible(pairs)
        self.matrix.setVisible(as_matrix)
        self.tree.setVisible(self.report is not None and not as_matrix)
        self.more.setEnabled(self.report is not None)
        for action in self._of_picture:
            action.setEnabled(as_matrix)
            action.setToolTip("" if as_matrix else "Pairs of layers have a picture: bring the matrix to front")

    def start(self) -> None:
        """Ask a worker for what is chosen."""
        state = self._session.state
        if state.model is None or state.data is None or self.sweep.currentData() is None:
            return
        knob, method = self.sweep.currentData()
        values, wanted = self._values(), self.layers.currentData()
        common: dict[str, Any] = {
            "model": state.model.path,
            "model_sha256": state.model.sha256,
            "data": state.data,
            "method": method,
            "knob": knob,
            "layers": self._session.selection.layers if wanted == "selected" else (),
            "seed": state.seed,
        }
        kind: Kind = self.kind.currentData()
        store = str(self._session.scratch / "sensitivities.jsonl")
        spec: EstimateJob | InteractionsJob | SweepJob
        if kind is Kind.ESTIMATE:
            measured = [
                point
                for entry in state.sensitivities
                if (entry.method, entry.knob) == (method, knob)
                for point in entry.points
            ]
            spec = EstimateJob(
                values=values, estimator=self.estimator.currentData(), measured=tuple(measured), **common
            )
        elif kind is Kind.PAIRS:
            spec = InteractionsJob(value=values[0], store=store, **common)
        else:
            spec = SweepJob(values=values, direction="all but", store=store, **common)
        title = f"{kind.value}: {self.sweep.currentText()}"
        self._job = self._session.jobs.submit(spec, title, "batch", on_result=partial(self._arrived, kind))
        self.refresh()

    def _values(self) -> tuple[Any, ...]:
        chosen = self.value.currentData()
        return tuple(chosen) if isinstance(chosen, tuple) else (chosen,)

    def _arrived(self, kind: Kind, payload: dict[str, Any]) -> None:
        reports: dict[Kind, type[EstimateReport] | type[InteractionsReport] | type[SweepReport]] = {
            Kind.ESTIMATE: EstimateReport,
            Kind.PAIRS: InteractionsReport,
            Kind.ALL_BUT: SweepReport,
        }
        self.report = reports[kind].model_validate(payload)
        self.refresh()

    def _fill_sweeps(self) -> None:
        before = self.sweep.currentData()
        self.sweep.blockSignals(True)
        self.sweep.clear()
        for knob in self._session.knobs:
            if workflow.sweep_values(knob):
                for method in recommended_first(m for m in self._session.methods if knob.name in m.knobs):
                    self.sweep.addItem(f"{knob.title} ({method.title})", (knob.name, method.id))
        preferred = before or ("weight_bits", "quantize.ptq")
        index = next((i for i in range(self.sweep.count()) if self.sweep.itemData(i) == preferred), 0)
        self.sweep.setCurrentIndex(index)
        self.sweep.blockSignals(False)
        self._choices_changed()

    def _fill_layers(self) -> None:
        before = self.layers.currentData()
        self.layers.clear()
        self.layers.addItem("All", "all")
        selected = len(self._session.selection.layers)
        if selected:
            self.layers.addItem(f"{numbers.plural(selected, 'selected layer')}", "selected")
        self.layers.setCurrentIndex(max(self.layers.findData(before or "all"), 0))

    def _choices_changed(self) -> None:
        kind: Kind = self.kind.currentData()
        self.explained.setText(EXPLAINED[kind])
        self.estimator.setEnabled(kind is Kind.ESTIMATE)
        self.estimator.setToolTip("" if kind is Kind.ESTIMATE else "Only estimates choose what they look at")
        self.value.clear()
        chosen = self.sweep.currentData()
        knob = None if chosen is None else self._session.knob(chosen[0])
        if knob is not None:
            values = workflow.sweep_values(knob)
            if kind is not Kind.PAIRS:
                self.value.addItem(", ".join(numbers.setting_text(value, knob.unit) for value in values), values)
            for value in values:
                self.value.addItem(numbers.setting_text(value, knob.unit), value)
        self.refresh()

    def _record(self) -> Any:
        return next((record for record in self._session.jobs.active if record.id == self._job), None)

    def refresh(self) -> None:
        """Show how far the job is, and what was found."""
        record, reason = self._record(), self._session.missing("model", "data", "methods")
        self.blocked.setVisible(reason is not None)
        self.blocked.setText(reason or "")
        self.show_busy(record is not None, self.report is not None)
        if record is not None:
            self.busy.setValue(round(1000 * record.fraction))
        self.check.setEnabled(record is None and reason is None and self.sweep.currentData() is not None)
        self.check.setToolTip(reason or "Have a worker measure what is chosen")
        self.stop.setVisible(record is not None)
        self.summary.setVisible(self.report is not None)
        if self.report is not None:
            self._fill(self.report)
        self._show_page()

    def _fill(self, report: Report) -> None:
        inspect = self._session.state.inspect
        labels = {} if inspect is None else layer_labels(inspect)
        table = table_of(report, labels)
        if isinstance(report, InteractionsReport):
            self.matrix.set_grid(interaction_grid(report, labels))
        skipped = f" {numbers.plural(len(report.skipped), 'setting')} skipped." if report.skipped else ""
        self.summary.setText(table.summary + skipped)
        self.summary.setToolTip("\n".join(f"{layer}: {reason}" for layer, reason in report.skipped.items()))
        self.set_columns(Columns(table.headings, (), table.texts - 1, table.texts))
        strong, items = self.strong(), []
        for row in table.rows:
            item = self.row(row.cells, *row.layers)
            if row.sure:
                item.setFont(len(row.cells) - 1, strong)
            items.append(item)
        self.tree.addTopLevelItems(items)
        self.fit_columns()

    def csv(self) -> str | None:
        """Return the figures as comma-separated values; None where nothing was found yet."""
        return None if self.report is None else csv_of(self.report)

    def _job_changed(self, job: str) -> None:
        if job == self._job:
            record = self._record()
            if record is not None and self.busy.isVisible():
                self.busy.setValue(round(1000 * record.fraction))
            else:
                self.refresh()

    def _cancel(self) -> None:
        if self._job is not None:
            self._session.jobs.cancel(self._job)


def show_sensitivities(session: Session, parent: QWidget) -> SensitivityDialog:
    """Open the dialog."""
    dialog = SensitivityDialog(session, parent)
    dialog.show()
    return dialog
