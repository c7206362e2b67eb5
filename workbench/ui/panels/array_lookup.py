"""Looks into the NumPy files that the data wizard is given, and fills in what their arrays seem to be."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

from PySide6.QtCore import QObject, QTimer, Signal

from workbench.data.array_guess import ArrayGuess, guess_arrays
from workbench.domain.data_reports import ArraysReport
from workbench.domain.reports import Dimension
from workbench.jobs.specs import ListArraysJob
from workbench.ui.models import numbers
from workbench.ui.panels.data_form import DataForm
from workbench.ui.panels.split_fields import GUESSED_READERS, SplitFields
from workbench.ui.session import Session

_TYPING_MS = 350
SplitName = Literal["test", "train"]


class ArrayLookup(QObject):
    """Asks a worker for the arrays of a file once the user has named one; only names and shapes are read.

    Signals:
        finished: Nothing is under way any more.
    """

    finished = Signal()

    def __init__(self, session: Session, form: DataForm) -> None:
        super().__init__(form)
        self._session = session
        self._form = form
        self._asked: dict[SplitName, int] = {"test": 0, "train": 0}
        self._pending: set[SplitName] = set()
        self._timers: dict[SplitName, QTimer] = {}
        splits: tuple[tuple[SplitName, SplitFields], ...] = (("test", form.test), ("train", form.train))
        for name, fields in splits:
            timer = QTimer(self)
            timer.setSingleShot(True)
            timer.setInterval(_TYPING_MS)
            timer.timeout.connect(partial(self._look, name))
            fields.fileChosen.connect(partial(self._chosen, name))
            self._timers[name] = timer

    @property
    def busy(self) -> bool:
        """Whether fields may still be filled in."""
        return bool(self._pending)

    def stop(self) -> None:
        """Forget what is under way."""
        for name, timer in self._timers.items():
            timer.stop()
            self._asked[name] += 1
        self._pending.clear()

    def _fields(self, name: SplitName) -> SplitFields:
        return self._form.test if name == "test" else self._form.train

    def _chosen(self, name: SplitName) -> None:
        self._asked[name] += 1
        fields = self._fields(name)
        if fields.reader_name in GUESSED_READERS and fields.path.text().strip():
            self._pending.add(name)
            self._timers[name].start()
        else:
            self._timers[name].stop()
            if name == "test":
                self._form.guess_layout(None, "")  # it was another file's
            self._done(name)

    def _look(self, name: SplitName) -> None:
        asked = self._asked[name]
        path = self._form.folder / Path(self._fields(name).path.text().strip()).expanduser()

        def listed(payload: dict[str, Any]) -> None:
            if asked == self._asked[name]:
                self._show(name, ArraysReport.model_validate(payload))
                self._done(name)

        def nothing(why: object) -> None:
            # What is wrong with the file, the preview says.
            if asked == self._asked[name]:
                self._done(name)

        self._session.jobs.submit(
            ListArraysJob(path=str(path)),
            f"Look into {path.name}",
            "interactive",
            on_result=listed,
            on_failed=nothing,
            on_cancelled=nothing,
        )

    def _show(self, name: SplitName, report: ArraysReport) -> None:
        shape = self._model_shape()
        guess = guess_arrays(report, split=name, task=self._form.task_name, model_shape=shape)
        self._fields(name).show_arrays(report, guess)
        if name == "test" and shape is not None and guess != ArrayGuess():
            self._form.guess_layout(guess.layout, f"the model's input {numbers.shape_text(shape[1:])}")

    def _model_shape(self) -> tuple[Dimension, ...] | None:
        """Return the shape of the model's only input with the batch, or None."""
        report = self._session.state.inspect
        return report.inputs[0].shape if report is not None and len(report.inputs) == 1 else None

    def _done(self, name: SplitName) -> None:
        self._pending.discard(name)
        if not self._pending:
            self.finished.emit()
