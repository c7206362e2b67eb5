"""The jobs panel: what a job's row and log say, which one is followed, and what cancel does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from tests.fakes.projects import methods, resnet20_state
from tests.fakes.runner import FakeRunner
from workbench.domain.errors import DataError
from workbench.jobs.record import JobRecord
from workbench.project.document import Document
from workbench.ui.bridge import JobsBridge
from workbench.ui.models.job_model import PROGRESS_ROLE, state_text, time_text
from workbench.ui.panels.jobs import JobsPanel
from workbench.ui.session import Session
from workbench.ui.theme import Theme


class Desk:
    """A panel with the session and the fake runner behind it."""

    def __init__(self, scratch, qtbot) -> None:
        self.bridge = JobsBridge(self._start)
        self.session = Session(Document(resnet20_state()), self.bridge, Theme("light"), scratch)
        self.session.methods = methods()
        self.panel = JobsPanel(self.session)
        self.panel.resize(340, 360)
        qtbot.addWidget(self.panel)
        with qtbot.waitExposed(self.panel):
            self.panel.show()

    def _start(self, listener):
        self.runner = FakeRunner(listener)
        return self.runner

    def row(self, place: int) -> tuple[str, ...]:
        model = self.panel.model
        return tuple(str(model.index(place, column).data()).replace("\N{NO-BREAK SPACE}", " ") for column in range(3))


@pytest.fixture
def desk(qtbot, tmp_path):
    made = Desk(tmp_path, qtbot)
    yield made
    made.bridge.close()


def test_without_jobs_it_says_what_will_appear(desk):
    assert "The window never waits" in desk.panel._pages.empty.message


def test_a_job_goes_through_its_states(qtbot, desk):
    job = desk.session.evaluate_baseline()
    assert desk.row(0) == ("Evaluate the original", "waiting", "")
    desk.runner.start(job)
    desk.runner.progress(job, 0.43, "batch 43 of 100", 72.0)
    qtbot.waitUntil(lambda: desk.row(0)[1] == "43%  batch 43 of 100")
    assert desk.row(0)[2] == "1 min 12 s left"
    assert desk.panel.model.index(0, 1).data(PROGRESS_ROLE) == 0.43
    assert desk.panel.count.text() == "1 job waiting or running"
    assert desk.panel._tick.isActive()
    desk.runner.fail(job, DataError("labels are missing", action="Name them."), "Traceback: line 1\nline 2")
    qtbot.waitUntil(lambda: desk.row(0)[1] == "failed")
    assert "labels are missing" in desk.panel.log.toPlainText()
    assert "line 2" in desk.panel.log.toPlainText()
    assert desk.panel.model.index(0, 1).data(PROGRESS_ROLE) is None
    assert desk.panel.count.text() == "Nothing runs"
    assert not desk.panel._tick.isActive()


def test_newest_first_and_the_running_job_is_followed_until_the_user_picks_one(qtbot, desk):
    first, second = desk.session.evaluate_baseline(), desk.session.profile_baseline()
    assert [desk.row(0)[0], desk.row(1)[0]] == ["Measure latency of the original", "Evaluate the original"]
    desk.runner.start(first)
    qtbot.waitUntil(lambda: desk.panel.selected().id == first)
    desk.runner.start(second)
    desk.runner.confirm_cancel(first)
    qtbot.waitUntil(lambda: desk.panel.selected().id == second)

    desk.panel.view.setFocus()
    qtbot.keyClick(desk.panel.view, Qt.Key.Key_Down)
    assert desk.panel.selected().id == first
    third = desk.session.evaluate_baseline()
    desk.runner.start(third)
    desk.runner.log(second, "still at it")
    qtbot.waitUntil(lambda: desk.row(0)[1].startswith("0%"))
    assert desk.panel.selected().id == first
    assert desk.panel.model.row_of(first) == 2


def test_cancel_answers_at_once(qtbot, desk):
    job = desk.session.evaluate_baseline()
    desk.runner.start(job)
    qtbot.waitUntil(lambda: desk.panel.cancel.isEnabled())
    desk.panel.cancel.click()
    assert desk.runner.cancelled == [job]
    assert desk.row(0)[1] == "cancelling"
    assert not desk.panel.cancel.isEnabled()
    desk.runner.confirm_cancel(job)
    qtbot.waitUntil(lambda: desk.row(0)[1] == "cancelled")
    desk.panel.cancel_selected()
    assert desk.runner.cancelled == [job]


def test_delete_cancels_the_job_under_the_cursor(qtbot, desk):
    job = desk.session.evaluate_baseline()
    desk.panel.activateWindow()
    desk.panel.view.setFocus()
    qtbot.keyClick(desk.panel.view, Qt.Key.Key_Delete)
    assert desk.runner.cancelled == [job]


def test_the_log_follows_unless_the_reader_scrolled_up(qtbot, desk):
    job = desk.session.evaluate_baseline()
    desk.runner.start(job)
    for line in range(60):
        desk.runner.log(job, f"line {line}")
    qtbot.waitUntil(lambda: "line 59" in desk.panel.log.toPlainText())
    bar = desk.panel.log.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    bar.setValue(0)
    desk.runner.log(job, "one more")
    qtbot.waitUntil(lambda: "one more" in desk.panel.log.toPlainText())
    assert bar.value() == 0


def test_the_table_is_copied_as_shown(qtbot, desk):
    desk.session.evaluate_baseline()
    desk.panel._copy()
    assert QGuiApplication.clipboard().text().splitlines() == [
        "Job\tProgress\tTime",
        "Evaluate the original\twaiting\t",
    ]


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_progress_shows_in_a_selected_row(qtbot, desk, mode):
    desk.session.theme.set_mode(mode)
    qtbot.waitUntil(lambda: not desk.session.theme.changing)
    job = desk.session.evaluate_baseline()
    desk.runner.start(job)
    qtbot.waitUntil(lambda: desk.panel.selected().state == "running")
    before = desk.panel.view.grab().toImage()
    desk.runner.progress(job, 0.9)
    qtbot.waitUntil(lambda: desk.panel.model.index(0, 1).data(PROGRESS_ROLE) == 0.9)
    after = desk.panel.view.grab().toImage()
    accent = desk.session.theme.color("accent").rgb()
    rect = desk.panel.view.visualRect(desk.panel.model.index(0, 1))
    row = rect.bottom() - 2 + desk.panel.view.horizontalHeader().height()
    spots = [after.pixelColor(x, row).rgb() == accent for x in range(rect.left() + 4, rect.right() - 4)]
    assert 0.8 < sum(spots) / len(spots) < 0.95
    assert before != after
    desk.session.theme.set_mode("light")
    qtbot.waitUntil(lambda: not desk.session.theme.changing)


def test_times_are_read_at_a_glance():
    now = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
    record = JobRecord("j", "Job", "batch", now - timedelta(seconds=100))
    assert time_text(record, now) == ""
    running = JobRecord("j", "Job", "batch", now, state="running", started=now - timedelta(seconds=75))
    assert time_text(running, now).replace("\N{NO-BREAK SPACE}", " ") == "1 min 15 s"
    assert state_text(running) == "0%"
