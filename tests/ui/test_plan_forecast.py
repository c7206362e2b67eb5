"""What a plan is likely to lose and to weigh: sums of single drops, straight lines between values, gaps named."""

from __future__ import annotations

import pytest

from tests.fakes.projects import resnet20_state
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.plan import Plan
from workbench.project.state import ProjectState, Sensitivities
from workbench.ui.models import numbers
from workbench.ui.models.plan_forecast import forecast
from workbench.ui.status_bar import plan_text


def point(layer: str, value: float, drop: float, half: float = 0.001, **more: object) -> SensitivityPoint:
    return SensitivityPoint(
        layer=layer, value=value, metric=0.9, drop=drop, ci95=(drop - half, drop + half), samples=100, **more
    )


def state_with(plan: Plan, *points: SensitivityPoint, knob: str = "weight_bits") -> ProjectState:
    entry = Sensitivities(method="quantize.ptq", knob=knob, metric="top1", points=points)
    return resnet20_state(candidates=False).model_copy(update={"sensitivities": (entry,), "plan": plan})


def names(state: ProjectState) -> list[str]:
    assert state.inspect is not None
    return [layer.name for layer in state.inspect.layers]


def test_single_drops_add_up_and_what_is_not_known_is_named() -> None:
    first, second, third = names(resnet20_state())[:3]
    plan = Plan(layers={first: {"weight_bits": 4}, second: {"weight_bits": 4}, third: {"weight_bits": 4}})
    found = forecast(state_with(plan, point(first, 4, 0.01), point(second, 4, 0.02)), FIRST_PARTY_KNOBS)
    assert found is not None
    assert found.drop == pytest.approx(0.03)
    assert found.ci95 is not None
    assert found.ci95[0] < 0.03 - 0.25 * 0.03 < 0.03 < found.ci95[1]
    assert found.unknown == (third,)
    assert "1 unmeasured layer" in found.text


def test_between_measured_values_lies_a_straight_line_and_beyond_them_nothing() -> None:
    layer = names(resnet20_state())[1]
    points = (point(layer, 0.25, 0.01), point(layer, 0.5, 0.03))

    def drop(ratio: float) -> float | None:
        state = state_with(Plan(layers={layer: {"prune_ratio": ratio}}), *points, knob="prune_ratio")
        found = forecast(state, FIRST_PARTY_KNOBS)
        assert found is not None
        return found.drop

    assert drop(0.5) == pytest.approx(0.03)
    assert drop(0.375) == pytest.approx(0.02)
    assert drop(0.125) == pytest.approx(0.005)
    assert drop(0.75) is None


def test_layers_that_go_together_are_counted_once() -> None:
    state = resnet20_state()
    assert state.inspect is not None
    group = next(group for group in state.inspect.groups if sum(m.axis == "out" for m in group.layers) > 1)
    members = tuple(member.layer for member in group.layers if member.axis == "out")
    points = [point(layer, 0.5, 0.1, coupled=tuple(other for other in members if other != layer)) for layer in members]
    plan = Plan(layers={members[0]: {"prune_ratio": 0.5}})
    found = forecast(state_with(plan, *points, knob="prune_ratio"), FIRST_PARTY_KNOBS)
    assert found is not None
    assert found.drop == pytest.approx(0.1)


def test_fewer_bits_and_channels_make_the_file_smaller() -> None:
    state = state_with(Plan(default={"weight_bits": 8}))
    assert state.inspect is not None
    whole = state.inspect.model.size_bytes
    weights = sum(layer.weight_bytes for layer in state.inspect.layers)
    found = forecast(state, FIRST_PARTY_KNOBS)
    assert found is not None
    assert found.drop is None
    assert found.size.size_bytes == pytest.approx(whole - 0.75 * weights)
    low, high = found.size.ci95
    assert low < whole - 0.75 * weights < high
    assert f"{numbers.PLUS_MINUS}{round((high - low) / 2000)}" in found.text.split(", ")[-1]
    pruned = forecast(state_with(Plan(default={"prune_ratio": 0.5})), FIRST_PARTY_KNOBS)
    assert pruned is not None
    assert pruned.size.size_bytes < whole - 0.5 * weights


def test_blocks_and_ranks_that_go_make_the_file_smaller_too() -> None:
    state = state_with(Plan())
    assert state.inspect is not None
    first, *others = state.inspect.layers
    able = [layer.model_copy(update={"branch": "b", "knobs": ("keep", "rank_ratio")}) for layer in others]
    state = state.model_copy(update={"inspect": state.inspect.model_copy(update={"layers": (first, *able)})})
    weights = sum(layer.weight_bytes for layer in others)

    def size(**default: object) -> tuple[float, float]:
        found = forecast(state.model_copy(update={"plan": Plan(default=default)}), FIRST_PARTY_KNOBS)
        assert found is not None
        return found.size.size_bytes, (found.size.ci95[1] - found.size.ci95[0]) / 2

    whole = state.inspect.model.size_bytes
    assert size(keep="no")[0] == pytest.approx(whole - weights)
    assert size(rank_ratio=0.25)[0] == pytest.approx(whole - weights / 2)
    assert size(rank_ratio=0.25)[1] > size(keep="no")[1]


def test_what_candidates_weighed_corrects_what_others_will() -> None:
    state = resnet20_state()
    plain = state.model_copy(update={"candidates": ()})
    known, unknown = forecast(state, FIRST_PARTY_KNOBS), forecast(plain, FIRST_PARTY_KNOBS)
    assert known is not None
    assert unknown is not None
    assert unknown.size.candidates == 0
    assert known.size.candidates > 1
    before, after = (one.size.ci95[1] - one.size.ci95[0] for one in (unknown, known))
    assert after < before


def test_the_status_line_foretells_until_it_is_measured() -> None:
    layer = names(resnet20_state())[0]
    state = state_with(Plan(layers={layer: {"weight_bits": 4}}), point(layer, 4, 0.012, 0.004))
    assert "foretold \N{MINUS SIGN}1.2" in plan_text(state, forecast(state, FIRST_PARTY_KNOBS))
    assert plan_text(state).endswith("not measured yet")
    assert forecast(resnet20_state().model_copy(update={"plan": Plan()}), FIRST_PARTY_KNOBS) is None


def test_the_slider_for_several_layers_says_what_they_would_come_to(desk) -> None:
    made = desk()
    made.window.build_workspace()
    session, bulk = made.session, made.window.panels["layers"].bulk
    session.selection.set_layers(names(session.state)[1:3])
    before = session.state.plan
    for place, name in enumerate(["weight_bits", "prune_ratio"]):
        told = bulk.foretell(name, (4, 0.5)[place])
        assert told.startswith("Plan then: ")
        assert told.endswith("B (foretold)")
    assert bulk.foretell("nonsense", 1) == ""
    assert session.state.plan == before
