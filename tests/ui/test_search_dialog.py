"""A search in the window on a real worker: candidates come one by one, a stopped one goes on, the form is a study."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytestqt.qtbot import QtBot

from tests.fakes.projects import resnet20_state
from workbench.domain.data_description import DataDescription
from workbench.domain.plan import Plan
from workbench.domain.search_reports import Relaxation, SearchCandidate, SearchReport
from workbench.jobs.specs import SearchJob
from workbench.ui.main_window import MainWindow
from workbench.ui.models.search_form import SearchExtras, SearchForm, bits_of, held_back_in_words
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
    qtbot.waitUntil(lambda: search_of(session).record is None and dialog.start_button.isEnabled(), timeout=JOB_MS)
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


def test_budgets_in_words_are_part_of_the_study() -> None:
    state = resnet20_state()
    study = SearchForm(ratio=0.5, budgets="≤ 5 ms; ≤ 300 KB; ≤ 0.5 % drop; latency ≤ 40 %").study(state)
    wanted = {"metric_drop": 0.005, "latency_ms": 5.0, "latency_ratio": 0.4, "size_bytes": 300_000.0}
    assert study.budgets.limits() == pytest.approx(wanted)
    assert SearchForm(budgets=" ").study(state).budgets.limits() == {"metric_drop": 0.01}
    with pytest.raises(ValueError, match="Other budgets: a unit that fits, such as"):
        SearchForm(budgets="≤ 5 apples").study(state)


def test_more_choices_are_part_of_the_study() -> None:
    state = resnet20_state()
    extras = SearchExtras(second="size", bits=(8, 4), tie=("a", "b"), candidates=5, stagnation=3, workers=2)
    study = SearchForm(extras=extras).study(state, ("prune_ratio", "weight_bits", "activation_bits"))
    assert study.objectives == ("metric", "latency", "size")
    assert study.ties == (("a", "b"),)
    assert (study.stop.candidates, study.stop.stagnation, study.workers) == (5, 3, 2)
    assert study.knobs["weight_bits"].values == (8, 4)
    assert study.knobs["weight_bits"].together
    assert not study.knobs["prune_ratio"].together
    # Knobs that steps read anyway are left to the search, which knows what suits the model.
    assert SearchForm().study(state, ("prune_ratio",)).knobs == {}
    fewer = SearchForm(extras=SearchExtras(knobs=("prune_ratio",))).study(state, ("prune_ratio", "keep"))
    assert set(fewer.knobs) == {"prune_ratio"}


def test_of_any_selected_candidate_it_is_said_what_holds_it_back() -> None:
    first, second, *_ = resnet20_state().candidates
    found = [
        SearchCandidate(**dict(entry.report), number=number, settings={})
        for number, entry in enumerate((first, second), 1)
    ]
    told = Relaxation(what="", limit="", relaxed="", objective="", gain=0.0, text="It is beyond the budget of size.")
    report = SearchReport(
        objective=("metric", "latency"),
        budgets={"size_bytes": 1.0},
        reference={},
        model=first.report.model,
        baseline=None,
        candidates=tuple(found),
        hypervolume=0.0,
        chosen=1,
        bindings={1: (), 2: (told,)},
    )
    assert held_back_in_words(report, second) == f"{second.name}: It is beyond the budget of size."
    assert held_back_in_words(report, first) == "", "the dialog says it of the best one anyway"
    alone = report.model_copy(update={"candidates": tuple(found[:1])})
    assert held_back_in_words(alone, second) == "", "another search's"


@pytest.mark.parametrize("text", ["", "eight", "8, 9", "0", "8; 4"])
def test_bits_that_are_none_are_said(text: str) -> None:
    with pytest.raises(ValueError, match="whole numbers from 1 to 8"):
        bits_of(text)


def test_more_choices_unfold_and_reach_the_worker(measured_window: MainWindow, qtbot: QtBot) -> None:
    session = measured_window.session
    dialog = SearchDialog(session, measured_window)
    qtbot.addWidget(dialog)
    dialog.show()
    more = dialog.more
    assert not more.fields.isVisible()
    more.button.click()
    assert more.fields.isVisible()
    assert {"prune_ratio", "weight_bits"} <= set(more.knobs)
    assert not more.tie.isEnabled()
    assert session.state.inspect is not None
    names = tuple(layer.name for layer in session.state.inspect.layers)[:2]
    session.selection.set_layers(names)
    assert more.tie.isEnabled()
    assert "2 selected layers" in more.tie.text()

    more.bits.setText("many")
    dialog.start_button.click()
    assert search_of(session).record is None
    assert "whole numbers from 1 to 8" in dialog.ended.text()

    more.bits.setText("8, 4")
    dialog.budgets.setText("quick")
    dialog.start_button.click()
    assert search_of(session).record is None
    assert "Other budgets" in dialog.ended.text()
    dialog.budgets.setText("≤ 300 KB")
    more.knobs["prune_ratio"].setChecked(False)
    more.candidates.setValue(1)
    more.scheduler.setText("tcp://127.0.0.1:9")
    dialog.start_button.click()
    record = search_of(session).record
    assert record is not None
    spec = session.jobs.spec(record.id)
    assert isinstance(spec, SearchJob)
    assert spec.scheduler == "tcp://127.0.0.1:9"
    assert spec.study.stop.candidates == 1
    assert spec.study.budgets.size_bytes == 300_000
    assert "prune_ratio" not in spec.study.knobs
    assert not more.fields.isEnabled()
    search_of(session).cancel()
    qtbot.waitUntil(lambda: search_of(session).record is None and more.fields.isEnabled(), timeout=JOB_MS)


def test_without_a_model_it_says_what_is_missing(real_window: Callable[[], MainWindow], qtbot: QtBot) -> None:
    window = real_window()
    dialog = SearchDialog(window.session, window)
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.blocked.isVisible()
    assert not dialog.start_button.isEnabled()
