"""What a plan is likely to take: the original's time less what each layer saves by its stairs; gaps are named."""

from __future__ import annotations

import pytest

from tests.fakes.projects import resnet20_state
from workbench.domain.knobs import FIRST_PARTY_KNOBS
from workbench.domain.plan import Plan
from workbench.domain.staircase import LayerStaircase, StaircaseReport, StairPoint, Stairs
from workbench.project.state import ProjectState
from workbench.ui.models.plan_forecast import forecast
from workbench.ui.models.time_forecast import TimeForecast

EIGHT: dict[str, float | int | str] = {"weight_bits": 8, "activation_bits": 8}


def curve(form: str, channels: int, slope: float) -> Stairs:
    points = [
        StairPoint(channels=count, microseconds=slope * count, ci95=(slope * count - 0.1, slope * count + 0.1))
        for count in range(4, channels + 1, 4)
    ]
    return Stairs.of(form, points)  # type: ignore[arg-type]


def with_stairs(plan: Plan, layers: tuple[str, ...]) -> ProjectState:
    state = resnet20_state(candidates=False)
    assert state.baseline_latency is not None
    channels = 16
    stairs = tuple(
        LayerStaircase(
            layer=name,
            op="Conv",
            channels=channels,
            curves=(curve("float32", channels, 2.0), curve("uint8", channels, 0.5)),
            together=(curve("float32", channels, 4.0), curve("uint8", channels, 1.0)),
            members=2,
        )
        for name in layers
    )
    report = StaircaseReport(
        device=state.baseline_latency.device.model_copy(update={"name": state.latency.device}),
        threads=state.latency.threads,
        batch=state.latency.batch,
        layers=stairs,
    )
    return state.model_copy(update={"staircases": (report,), "plan": plan})


def time_of(state: ProjectState) -> TimeForecast | None:
    found = forecast(state, FIRST_PARTY_KNOBS)
    assert found is not None
    return found.time


def whole_ms(state: ProjectState) -> float:
    assert state.baseline_latency is not None
    return state.baseline_latency.models[0].latency_ms.median


def inner_layer(state: ProjectState) -> str:
    """Return a layer whose channels go alone."""
    assert state.inspect is not None
    for group in state.inspect.groups:
        writers = [member.layer for member in group.layers if member.axis == "out"]
        if len(writers) == 1:
            return writers[0]
    raise AssertionError("there is none")


def all_layers(state: ProjectState) -> tuple[str, ...]:
    assert state.inspect is not None
    return tuple(layer.name for layer in state.inspect.layers)


def test_the_plan_s_share_of_the_stairs_is_its_share_of_the_time() -> None:
    names = all_layers(resnet20_state())
    state = with_stairs(Plan(default=EIGHT), names)
    found = time_of(state)
    assert found is not None
    # By themselves the layers take a quarter; in the network integers usually take less than they do apart.
    assert found.milliseconds == pytest.approx(whole_ms(state) * 0.25 * 0.78, rel=0.05)
    assert found.ci95[0] < found.milliseconds < found.ci95[1]
    assert found.candidates == 0
    layer = inner_layer(state)
    half = time_of(with_stairs(Plan(default=EIGHT, layers={layer: {"prune_ratio": 0.5}}), names))
    assert half is not None
    # Of the twelve or more units of all layers together one layer's group loses half of what it takes in integers.
    assert half.milliseconds < found.milliseconds
    whole_sum = 0.5 * 16 * len(names)
    assert half.milliseconds / found.milliseconds == pytest.approx(1 - 1.0 * 8 / whole_sum, rel=0.02)


def test_measured_candidates_say_what_the_network_takes_of_the_sum() -> None:
    names = all_layers(resnet20_state())
    state = with_stairs(Plan(default={**EIGHT, "weight_bits": 6}), names)
    assert state.baseline_latency is not None
    known = resnet20_state()
    candidate = known.candidates[0]
    assert candidate.report.latency is not None
    ratio = candidate.report.latency.ratio_to_first.model_copy(update={"median": 0.2, "ci95": (0.19, 0.21)})
    latency = candidate.report.latency.model_copy(update={"ratio_to_first": ratio, "batch": state.latency.batch})
    report = state.baseline_latency.model_copy(
        update={"device": state.baseline_latency.device.model_copy(update={"name": state.latency.device})}
    )
    candidate = candidate.model_copy(
        update={
            "recipe": candidate.recipe.model_copy(update={"plan": Plan(default=EIGHT)}),
            "report": candidate.report.model_copy(update={"latency": latency, "latency_report": report}),
        }
    )
    before = time_of(state)
    after = time_of(state.model_copy(update={"candidates": (candidate,)}))
    assert before is not None
    assert after is not None
    assert after.candidates == 1
    assert after.milliseconds == pytest.approx(0.2 * whole_ms(state), rel=0.05)
    assert after.ci95[1] - after.ci95[0] < before.ci95[1] - before.ci95[0]
    deleted = candidate.model_copy(update={"deleted": True})
    gone = time_of(state.model_copy(update={"candidates": (deleted,)}))
    assert gone == before


def test_layers_without_stairs_are_named_and_make_the_time_a_bound() -> None:
    state = resnet20_state()
    assert state.inspect is not None
    layer, other = inner_layer(state), [entry.name for entry in state.inspect.layers][-1]
    plan = Plan(layers={name: {"weight_bits": 8, "activation_bits": 8} for name in (layer, other)})
    found = time_of(with_stairs(plan, (layer,)))
    assert found is not None
    assert found.unknown == (other,)
    assert found.text.startswith("at most ")
    likely = forecast(with_stairs(plan, (layer,)), FIRST_PARTY_KNOBS)
    assert likely is not None
    assert other in likely.tip
    assert found.text in likely.text


def test_without_stairs_nothing_is_foretold_and_the_tip_says_what_to_do() -> None:
    state = resnet20_state(candidates=False).model_copy(update={"plan": Plan(default={"weight_bits": 8})})
    likely = forecast(state, FIRST_PARTY_KNOBS)
    assert likely is not None
    assert likely.time is None
    assert "stairs" in likely.tip


def test_a_layer_left_out_saves_all_of_its_time() -> None:
    layer = inner_layer(resnet20_state())
    plan = Plan(layers={layer: {"keep": "no", "prune_ratio": 0.5}})
    state = with_stairs(plan, all_layers(resnet20_state()))
    assert state.inspect is not None
    able = tuple(
        entry.model_copy(update={"knobs": (*entry.knobs, "keep")}) if entry.name == layer else entry
        for entry in state.inspect.layers
    )
    state = state.model_copy(update={"inspect": state.inspect.model_copy(update={"layers": able})})
    found = time_of(state)
    assert found is not None
    assert found.milliseconds == pytest.approx(whole_ms(state) * (1 - 1 / len(able)) * 0.95, rel=0.05)


def test_what_a_layer_can_t_do_is_left_out_of_the_forecast() -> None:
    layer = inner_layer(resnet20_state())
    likely = forecast(with_stairs(Plan(layers={layer: {"keep": "no"}}), (layer,)), FIRST_PARTY_KNOBS)
    assert likely is not None
    assert likely.time is None
