"""Energy of an inference of the original and of candidates: measured where counters can be read, always estimated."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFormLayout, QLabel, QTreeWidgetItem, QWidget

from workbench.domain.energy import EnergyCoefficients
from workbench.domain.errors import WorkbenchError
from workbench.jobs.specs import EnergyJob
from workbench.project.energy_setting import energy_coefficients, keep_coefficients
from workbench.project.state import Change
from workbench.ui.energy import take_energy, taking
from workbench.ui.models.energy_table import HEADINGS, TOOLTIPS, basis, energy_csv, energy_rows, in_words
from workbench.ui.panels.model_choice import ModelChoice
from workbench.ui.panels.parameter_form import ParameterForm
from workbench.ui.panels.report_dialog import Columns, Export, ReportDialog
from workbench.ui.session import Session
from workbench.ui.side_by_side import work_words

_COLUMNS = Columns(HEADINGS, TOOLTIPS, stretched=0, first_number=1)
_FORM_WIDTH = 360
_EXPORT = Export("energies", "Export energies", "energy.csv")
_REFRESH = Change.ENERGY | Change.MODEL | Change.CANDIDATES | Change.DEVICE


class EnergyDialog(ReportDialog):
    """Stays open beside the window; double-click on a row selects its candidate."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, _COLUMNS, _EXPORT, parent)
        self.setWindowTitle("Energy of an inference")
        self.resize(820, 520)
        said = QLabel(
            "Processors with energy counters (RAPL) that may be read are measured. Everywhere else, and beside it, "
            "energy is estimated by counting multiplications and moved bytes: good for comparing models, not more."
        )
        self.summary, self.basis = QLabel(), QLabel()
        for label in (said, self.summary, self.basis):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.summary.setFont(self.strong())
        self.basis.setProperty("role", "muted")
        self.models = ModelChoice(session)
        given = self._kept()
        changed = {name: value for name, value in given.model_dump().items() if value != getattr(_DEFAULTS, name)}
        self.form = ParameterForm(EnergyCoefficients.model_json_schema(), changed)
        self.form.setMaximumWidth(_FORM_WIDTH)
        self.form.edited.connect(self._coefficients_edited)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.FieldsStayAtSizeHint)
        form.addRow("&Models", self.models)
        self.check.setText("Measure and estimate")
        self.check.setToolTip("Measure where that is possible, and estimate")
        self.lay_out((said, form, self.form, self.busy, self.summary, self.basis))
        session.documentChanged.connect(self._document_changed)
        session.jobs.jobChanged.connect(self._job_changed)
        self.refresh()

    def start(self) -> None:
        """Take the energy of what is chosen."""
        take_energy(self._session, self.models.candidates, self._coefficients())
        self.refresh()

    def refresh(self) -> None:
        """Show what is known."""
        state, busy = self._session.state, taking(self._session)
        report = state.energy
        self.show_busy(busy, report is not None)
        self.check.setEnabled(not busy and state.model is not None)
        self.basis.setVisible(report is not None)
        self.tree.clear()
        if report is None:
            words = work_words(self._session, EnergyJob, "At work: some ten seconds at most.")
            self.summary.setText(words if busy else "Nothing known yet.")
            return
        self.summary.setText(in_words(report))
        self.basis.setText(basis(report))
        for row in energy_rows(state):
            item = self.row(row.cells, *([row.candidate] if row.candidate else []))
            if row.reason:
                item.setToolTip(3, f"No estimate: {row.reason}")
            self.tree.addTopLevelItem(item)
        self.fit_columns()
        for column in (1, 2):
            self.tree.setColumnHidden(column, report.idle_watts is None)

    def csv(self) -> str | None:
        """Return the figures of all models."""
        return None if self._session.state.energy is None else energy_csv(self._session.state)

    def _coefficients(self) -> EnergyCoefficients:
        return EnergyCoefficients.model_validate(self.form.values)

    def _coefficients_edited(self, values: dict[str, object]) -> None:
        try:
            keep_coefficients(self._coefficients())
        except WorkbenchError as error:
            self._session.failed.emit(error)

    def _kept(self) -> EnergyCoefficients:
        try:
            return energy_coefficients()
        except WorkbenchError as error:
            self._session.failed.emit(error)
            return _DEFAULTS

    def _show(self, item: QTreeWidgetItem) -> None:
        subjects = item.data(0, Qt.ItemDataRole.UserRole)
        self._session.selection.set_candidate(subjects[0] if subjects else None)

    def _document_changed(self, change: Change) -> None:
        if change & _REFRESH:
            self.refresh()

    def _job_changed(self, job: str) -> None:
        if isinstance(self._session.jobs.spec(job), EnergyJob):
            self.refresh()


_DEFAULTS = EnergyCoefficients()


def show_energy(session: Session, parent: QWidget) -> EnergyDialog:
    """Open the dialog."""
    dialog = EnergyDialog(session, parent)
    dialog.show()
    return dialog
