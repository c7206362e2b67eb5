"""A search in the window on a real worker: candidates come one by one, a stopped one goes on, the form is a study."""

from __future__ import annotations

from collections.abc import Callable

from pytestqt.qtbot import QtBot

from tests.fakes.projects import resnet20_state
from workbench.domain.data_description import DataDescription
from workbench.domain.plan import Plan
from workbench.ui.main_window import MainWindow
from workbench.ui.models.search_form import SearchForm
from workbench.ui.panels.search_dialog import SearchDialog
from workbench.ui.search import search_of

JOB_MS = 120_000


def test_candidates_come_one_by_one_and_a_stopped_search_goes_on(measured_window: MainWindow, qtbot: QtBot) -> None:
    window = measured_window
    window.actions_.trigger("compress.search")
    dialog, session = window.findChild(SearchDialog), window.session
    qtbot.addWidget(dialog)
    assert {dialog.strategy.itemData(row) for row in range(dialog.strategy.count())} >= {"greedy", "random"}
    dialog.start_button.click()
    assert dialog.busy.isVisible()
    assert not dialog.start_button.isEnabled()
    assert not dialog.cost.isEnabled()
    qtbot.waitUntil(lambda: bool(session.state.candidates), timeout=JOB_MS)
    first = session.state.candidates[0]
    assert first.name.startswith("Search ")
    assert first.recipe.steps
    assert session.artifact_path(first.id).is_file()
    assert "candidate" in dialog.found.text()
    dialog.stop_button.click()
    qtbot.waitUntil(lambda: search_of(session).record is None, timeout=JOB_MS)
    assert dialog.start_button.isEnabled()
    kept = len(session.state.candidates)
    assert kept == len({entry.artifact + entry.report.recipe_sha256 for entry in session.state.candidates})

    dialog.start_button.click()
    search = search_of(session)
    qtbot.waitUntil(lambda: search.record is None or search.report is not None, timeout=JOB_MS)
    dialog.reject()  # the search goes on without its dialog
    search.cancel()
    qtbot.waitUntil(lambda: search.record is None, timeout=JOB_MS)
    assert len(session.state.candidates) >= kept
    assert len({entry.report.recipe_sha256 for entry in session.state.candidates}) == len(session.state.candidates)


def test_the_form_is_a_study() -> None:
    state = resnet20_state().model_copy(update={"plan": Plan(layers={"layers.0.conv": {"weight_bits": 8}})})
    form = SearchForm(cost="size", drop=0.02, ratio=0.25, strategy="tpe", minutes=3, layers=("layers.1.conv",))
    study = form.study(state)
    assert study.objectives == ("metric", "size")
    assert study.budgets.limits() == {"metric_drop": 0.02, "size_ratio": 0.25}
    assert study.pins == {"layers.0.conv": {"weight_bits": 8}}
    assert (study.layers, study.strategy.name, study.stop.minutes) == (("layers.1.conv",), "tpe", 3)
    assert isinstance(study.data, DataDescription)
    assert study.steps == ()
    assert SearchForm(own_steps=True, pinned=False).study(state).steps == state.steps


def test_without_a_model_it_says_what_is_missing(real_window: Callable[[], MainWindow], qtbot: QtBot) -> None:
    window = real_window()
    dialog = SearchDialog(window.session, window)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.blocked.isVisible()
    assert not dialog.start_button.isEnabled()
