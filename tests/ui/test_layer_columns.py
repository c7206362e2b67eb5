"""Columns of the layer table: the usual ones, those in use, and what the user chose, which is remembered."""

from __future__ import annotations

import pytest

from tests.fakes.projects import methods, resnet20_state
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan
from workbench.ui.models.layer_table import resolve_layers
from workbench.ui.panels.layer_columns import shown_columns
from workbench.ui.preferences import Preferences


def table(plan: Plan | None = None):
    state = resnet20_state()
    state = state.model_copy(update={"plan": plan or Plan(), "steps": ()})
    layers = tuple(
        layer.model_copy(update={"knobs": (*layer.knobs, "rank_ratio", "keep")}) for layer in state.inspect.layers
    )
    report = state.inspect.model_copy(update={"layers": layers})
    return resolve_layers(state.model_copy(update={"inspect": report}), FIRST_PARTY_KNOBS, methods())


def test_settings_appear_once_they_are_in_use():
    few = shown_columns(table(), {})
    assert {"Layer", "Sensitivity", "Prune", "W bits", "A bits", "MACs"} <= few
    assert not {"Rank", "Keep"} & few
    assert shown_columns(table(Plan(default={"rank_ratio": 0.5})), {}) == few | {"Rank"}


def test_the_users_choice_comes_first_but_names_stay():
    chosen = {"Layer": False, "Keep": True, "MACs": False}
    shown = shown_columns(table(Plan(default={"rank_ratio": 0.5})), chosen)
    assert {"Layer", "Keep", "Rank"} <= shown
    assert "MACs" not in shown


@pytest.mark.parametrize("chosen", [{}, {"W bits": False, "Keep": True, "A, b": True}])
def test_the_choice_is_remembered(tmp_path, chosen):
    Preferences(tmp_path / "settings.ini").set_columns("layers", chosen)
    assert Preferences(tmp_path / "settings.ini").columns("layers") == chosen
