"""The pages of the comparison that a worker fills: layers in time and error, classes, and samples that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from workbench.domain.comparison_reports import ComparisonReport
from workbench.jobs.record import JobRecord
from workbench.project.state import Candidate
from workbench.ui.comparisons import comparisons_of
from workbench.ui.models import numbers
from workbench.ui.models.compared_classes import class_comparison, class_summary
from workbench.ui.models.compared_layers import lacks_times, layer_comparison
from workbench.ui.models.compared_samples import WANTED_TITLES, Wanted, changed_samples, samples_csv
from workbench.ui.panels.empty_state import Pages
from workbench.ui.panels.figure_view import FigureView
from workbench.ui.panels.sample_grid import SampleGrid
from workbench.ui.session import Session

_TIPS: dict[Wanted, str] = {
    "all": "All samples that are predicted otherwise than by the original",
    "worse": "Right before, wrong now",
    "better": "Wrong before, right now",
    "other": "Wrong before and now, each time otherwise",
}


class LayersPage(QWidget):
    """A row for every layer: time in each file, and how far its output is from the original's."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._ids: tuple[str, ...] = ()
        self.view = FigureView(session.theme)
        self.hint = _muted()
        self.time, self.errors = QPushButton("Measure times"), QPushButton("Measure errors")
        self.time.setToolTip("Time the operators of all files in one run, interleaved with the original's")
        self.errors.setToolTip("Run the files on the test data: errors of layers, classes and changed samples")
        self.time.clicked.connect(lambda: comparisons_of(session).time(self._ids))
        self.errors.clicked.connect(lambda: comparisons_of(session).compare(self._ids))
        foot = QHBoxLayout()
        foot.setContentsMargins(8, 4, 8, 4)
        foot.addWidget(self.hint, 1)
        foot.addWidget(self.time)
        foot.addWidget(self.errors)
        _stack(self, self.view, foot)
        self.view.layersPicked.connect(session.selection.set_layers)
        session.selection.layersChanged.connect(self._follow)

    def show_candidates(self, chosen: Sequence[Candidate]) -> None:
        """Show what is known of these candidates' layers."""
        self._ids = tuple(candidate.id for candidate in chosen)
        known, session = comparisons_of(self._session), self._session
        report, together = known.report(self._ids), known.latency(self._ids)
        self.view.set_table(layer_comparison(session.state, chosen, report, together))
        self._follow()
        timing, comparing = known.timing(self._ids), known.comparing(self._ids)
        lacking = []
        if lacks_times(session.state, chosen, together):
            lacking.append("times")
        if report is None or not report.layers:
            lacking.append("errors")
        self.time.setVisible(together is None)
        self.time.setText("Measure times" if "times" in lacking else "Time together")
        self.errors.setVisible("errors" in lacking)
        for button, record, needs in ((self.time, timing, ("model",)), (self.errors, comparing, ("model", "data"))):
            reason = session.missing(*needs)
            button.setEnabled(record is None and reason is None)
            if reason is not None:
                button.setToolTip(reason)
        running = next((record for record in (timing, comparing) if record is not None), None)
        if running is not None:
            self.hint.setText(progress_text(running))
        elif lacking:
            self.hint.setText(f"Not measured yet: {' and '.join(lacking)} of layers.")
        else:
            self.hint.setText("The lower the SQNR, the further the layer's output is from the original's.")

    def csv(self) -> str:
        """Return the table."""
        return self.view.figures.table.to_csv()

    def _follow(self, *_: object) -> None:
        self.view.select_layers(self._session.selection.layers)


class ClassesPage(QWidget):
    """A row for every class."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.view = FigureView(session.theme)
        self.said = _muted()
        self.said.setContentsMargins(8, 4, 8, 4)
        content = QWidget()
        _stack(content, self.view, self.said)
        self.pages = Pages(content)
        _stack(self, self.pages)

    def show_candidates(self, chosen: Sequence[Candidate]) -> None:
        """Show what is known of these candidates by class."""
        ids = tuple(candidate.id for candidate in chosen)
        report = _found_or_asked(
            self._session,
            self.pages,
            ids,
            "Classes are not compared yet",
            "Each class appears here with what the original and the candidates reach on it. A whole may keep its "
            "accuracy while one class is given up.",
        )
        if report is None:
            return
        if not report.classes:
            self.pages.show_empty("No classes in this task", report.no_classes)
            return
        names = [candidate.name for candidate in chosen]
        self.view.set_table(class_comparison(report, names))
        self.said.setText(class_summary(report, names))
        self.pages.show_content()

    def csv(self) -> str:
        """Return the table."""
        return self.view.figures.table.to_csv()


class SamplesPage(QWidget):
    """Pictures of the samples that one of the candidates predicts otherwise than the original."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._report: ComparisonReport | None = None
        self._names: tuple[str, ...] = ()
        self.wanted: Wanted = "all"
        self.candidate = QComboBox()
        self.candidate.setToolTip("The candidate whose changes are shown")
        self.filters: dict[Wanted, QToolButton] = {}
        self.grid = SampleGrid(session.theme)
        self.said = _muted()
        self.said.setContentsMargins(8, 4, 8, 4)
        group = QButtonGroup(self)
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 4, 8, 4)
        bar.setSpacing(4)
        bar.addWidget(self.candidate)
        bar.addSpacing(8)
        for wanted in WANTED_TITLES:
            button = QToolButton()
            button.setCheckable(True)
            button.setAutoRaise(True)
            button.setToolTip(_TIPS[wanted])
            button.setChecked(wanted == "all")
            button.clicked.connect(partial(self.show_only, wanted))
            group.addButton(button)
            bar.addWidget(button)
            self.filters[wanted] = button
        bar.addStretch()
        content = QWidget()
        _stack(content, bar, self.grid, self.said)
        self.pages = Pages(content)
        _stack(self, self.pages)
        self.candidate.activated.connect(self._fill)
        session.theme.themeChanged.connect(self._fill)

    def show_candidates(self, chosen: Sequence[Candidate]) -> None:
        """Show the samples that changed for these candidates."""
        ids = tuple(candidate.id for candidate in chosen)
        report = _found_or_asked(
            self._session,
            self.pages,
            ids,
            "Samples are not compared yet",
            "The samples that a candidate predicts otherwise than the original appear here, with label and "
            "prediction before and after.",
        )
        if report is None:
            self._report = None
            return
        names = tuple(candidate.name for candidate in chosen)
        if report is not self._report or names != self._names:
            before = self.candidate.currentText()
            self._report, self._names = report, names
            self.candidate.clear()
            self.candidate.addItems(names)
            self.candidate.setCurrentIndex(max(self.candidate.findText(before), 0))
            self._fill()
        self.pages.show_content()

    def show_only(self, wanted: Wanted) -> None:
        """Show those of one verdict, or all."""
        self.wanted = wanted
        self.filters[wanted].setChecked(True)
        self._fill()

    def csv(self) -> str:
        """Return all samples that changed, those without pictures too."""
        return "" if self._report is None else samples_csv(self._report, self._names)

    def _fill(self, *_: object) -> None:
        if self._report is None:
            return
        number = max(self.candidate.currentIndex(), 0)
        shown = changed_samples(self._report, number, self.wanted)
        if self.wanted not in shown.counts:
            shown = changed_samples(self._report, number, "all")
        for wanted, button in self.filters.items():
            button.setVisible(wanted in shown.counts)
            button.setText(f"{WANTED_TITLES[wanted]}  {numbers.exact_text(shown.counts.get(wanted, 0))}")
        self.candidate.setVisible(len(self._names) > 1)
        self.grid.show_thumbnails(shown.thumbnails)
        self.said.setText(" ".join([shown.said, *self._report.notes]))


def progress_text(record: JobRecord) -> str:
    """Return how far a job is."""
    if record.state == "queued":
        return "Waiting for other jobs"
    left = "" if record.seconds_left is None else f", {numbers.duration_text(record.seconds_left)} left"
    return f"{record.text or 'Starting'}{left}"


def _found_or_asked(
    session: Session, pages: Pages, ids: tuple[str, ...], title: str, text: str
) -> ComparisonReport | None:
    """Return the report; without one say on the page what will appear, how far it is, or what makes it appear."""
    known = comparisons_of(session)
    report, running = known.report(ids), known.comparing(ids)
    if running is not None:
        stop: Callable[[], object] = partial(known.cancel, running)
        pages.show_empty("Comparing on the data", progress_text(running), "Cancel", stop)
        return None
    if report is None:
        blocked = session.missing("model", "data")
        pages.show_empty(title, text, "Compare on the data", partial(known.compare, ids), blocked=blocked)
    return report


def _muted() -> QLabel:
    label = QLabel()
    label.setProperty("role", "muted")
    label.setWordWrap(True)
    return label


def _stack(widget: QWidget, *parts: QWidget | QHBoxLayout) -> None:
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part, 1 if not isinstance(part, QLabel) else 0)
        else:
            layout.addLayout(part)
