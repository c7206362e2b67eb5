"""The dialog "Will it help here?": empty, at work, filled, stale, and what a run makes of the prediction."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtGui import QGuiApplication

from workbench.domain.measurements import DeviceDescription, Latency, Noise, Ratio
from workbench.domain.plan import Plan
from workbench.domain.preflight import KernelTime, LayerOutlook, Preflight
from workbench.project.commands import ReplacePlan
from workbench.project.results import new_candidate
from workbench.ui.models.comparison import compare_candidates
from workbench.ui.models.preflight_table import empty_columns, outlook_rows, slower_layers
from workbench.ui.panels.preflight_dialog import PreflightDialog
from workbench.ui.preflight import recipe_to_foretell


def kernel(form: Any, microseconds: float) -> KernelTime:
    return KernelTime(form=form, microseconds=microseconds, ci95=(0.99 * microseconds, 1.01 * microseconds))


def outlook(layer: str, form: Any, *times: float) -> LayerOutlook:
    forms = ("float32", "uint8", "int8", "packed8", "packed4")
    return LayerOutlook(
        layer=layer,
        op="Conv",
        size="16×16×3×3 on 1×16×32×32",
        weight_bits=8,
        activation_bits=8,
        form=form,
        kernels=tuple(kernel(name, time) for name, time in zip(forms, times, strict=False)),
    )


REPORT = Preflight(
    device=DeviceDescription(name="local", cpu="c", threads=1, runtime="r", provider="p"),
    batch=1,
    original=Latency(median=1.0, p90=1.1, ci95=(0.99, 1.01)),
    predicted=Latency(median=0.45, p90=0.5, ci95=(0.43, 0.47)),
    ratio=Ratio(median=0.45, ci95=(0.43, 0.47)),
    quantizing_share=0.125,
    layout_share=0.02,
    layers=(outlook("layers.0.conv", "uint8", 40.0, 25.0, 105.0), outlook("layers.1.conv", "int8", 20.0, 12.0, 66.0)),
    warnings=("Signed activations are slow on this processor.",),
    noise=Noise(quiet=True, drift_ratio=0.0),
)


@pytest.fixture
def dialog(qtbot, session):
    made = PreflightDialog(session)
    qtbot.addWidget(made)
    made.show()
    return made


def foretold(dialog: PreflightDialog) -> None:
    """Ask, and answer as the worker would."""
    dialog.start()
    runner = dialog._session.jobs._runner
    runner.finish(runner.last("preflight"), REPORT.model_dump(mode="json"))


def test_before_anything_is_known_the_button_says_what_to_do(dialog) -> None:
    assert dialog.summary.text() == "Nothing foretold yet."
    assert dialog.check.text() == "Foretell"
    assert dialog.check.isEnabled()
    assert not dialog.tree.isVisible()
    assert not dialog.copy.isEnabled()


def test_at_work_it_waits_and_then_shows_all(qtbot, dialog) -> None:
    foretold(dialog)
    qtbot.waitUntil(lambda: dialog.tree.topLevelItemCount() == 2)
    assert dialog.summary.text().startswith("Foretold: 0.450\N{NO-BREAK SPACE}±0.020\N{NO-BREAK SPACE}ms, ")
    assert "12.5" in dialog.shares.text()
    assert dialog.warnings.text() == REPORT.warnings[0]
    assert not dialog.busy.isVisible()
    assert not dialog.stale.isVisible()
    first, second = (dialog.tree.topLevelItem(row) for row in range(2))
    assert [first.text(column)[:4] for column in (3, 4, 5, 8)] == ["40.0", "25.0", "105.", "0.62"]
    assert [column for column in range(9) if dialog.tree.isColumnHidden(column)] == [6, 7]
    assert first.font(4).weight() > first.font(3).weight()
    slow = dialog._session.theme.color("error")
    assert second.foreground(8).color() == slow
    assert first.foreground(6).color() != slow


def test_a_changed_recipe_makes_it_stale(qtbot, dialog) -> None:
    foretold(dialog)
    qtbot.waitUntil(lambda: dialog.tree.topLevelItemCount() == 2)
    dialog._session.do(ReplacePlan(Plan(default={"weight_bits": 4})))
    assert dialog.stale.isVisible()
    dialog._session.document.undo()
    assert not dialog.stale.isVisible()


def test_slower_layers_can_be_left_in_float_as_one_act(qtbot, dialog) -> None:
    assert not dialog.spare.isVisible()
    foretold(dialog)
    qtbot.waitUntil(lambda: dialog.tree.topLevelItemCount() == 2)
    before = dialog._session.state.plan
    dialog.spare.click()
    assert dialog._session.state.plan.layers["layers.1.conv"] == {
        **before.layers.get("layers.1.conv", {}), "weight_bits": 32, "activation_bits": 32,
    }  # fmt: skip
    assert dialog._session.state.plan.layers.get("layers.0.conv") == before.layers.get("layers.0.conv")
    assert dialog.stale.isVisible()
    assert not dialog.spare.isEnabled()
    dialog._session.document.undo()
    assert dialog._session.state.plan == before


def test_rows_lead_to_their_layer_and_figures_can_be_copied(qtbot, dialog) -> None:
    foretold(dialog)
    qtbot.waitUntil(lambda: dialog.tree.topLevelItemCount() == 2)
    dialog.tree.itemDoubleClicked.emit(dialog.tree.topLevelItem(1), 0)
    assert dialog._session.selection.current == "layers.1.conv"
    dialog.copy.click()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].startswith("layer,operator,weight_bits,activation_bits,form,float32_us")
    assert lines[1].startswith("layers.0.conv,Conv,8,8,uint8,40.0,")


def test_a_run_of_the_same_recipe_is_compared_with_what_was_foretold(qtbot, dialog) -> None:
    session = dialog._session
    recipe = recipe_to_foretell(session)
    foretold(dialog)
    qtbot.waitUntil(lambda: session.state.preflight is not None)
    report = session.state.candidates[0].report
    candidate = new_candidate(session.state, recipe, report, "as foretold")
    assert candidate.report.prediction == REPORT.prediction
    other = new_candidate(session.state, recipe.model_copy(update={"seed": 7}), report)
    assert other.report.prediction is None
    state = session.state.model_copy(update={"candidates": (candidate, other)})
    rows = {row.title: row for row in compare_candidates(state, [candidate.id, other.id]).sections[0].rows}
    assert rows["Latency ratio as foretold"].cells[1].startswith("0.450")


def test_packed_weights_have_columns_where_a_layer_can_have_them(session, dialog):
    product = outlook("head", "packed4", 40.0, 25.0, 105.0, 30.0, 20.0)
    report = REPORT.model_copy(update={"layers": (REPORT.layers[0], product)})
    assert empty_columns(REPORT) == {6, 7}
    assert empty_columns(report) == frozenset()
    conv, head = outlook_rows(report, {})
    assert conv.cells[6:8] == ("–", "–")
    assert [cell[:4] for cell in head.cells[6:8]] == ["30.0", "20.0"]
    assert (head.chosen, head.slower) == (7, False)
    assert slower_layers(report) == ()
