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


def test_integers_and_channels_save_what_the_stairs_say() -> None:
    layer = inner_layer(resnet20_state())
    bits: dict[str, float | int | str] = {"weight_bits": 8, "activation_bits": 8}
    state = with_stairs(Plan(layers={layer: bits}), (layer,))
    found = time_of(state)
    assert found is not None
    assert found.milliseconds == pytest.approx(whole_ms(state) - (2.0 - 0.5) * 16 / 1000)
    assert found.ci95[0] < found.milliseconds < found.ci95[1]
    half = with_stairs(Plan(layers={layer: {"prune_ratio": 0.5}}), (layer,))
    found = time_of(half)
    assert found is not None
    assert found.milliseconds == pytest.approx(whole_ms(half) - 4.0 * 8 / 1000)
    both = with_stairs(Plan(layers={layer: {"prune_ratio": 0.5, **bits}}), (layer,))
    found = time_of(both)
    assert found is not None
    # Channels that go from a layer of integers save what integers take.
    assert found.milliseconds == pytest.approx(whole_ms(both) - ((2.0 - 0.5) * 16 + 1.0 * 8) / 1000)


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
    state = with_stairs(Plan(layers={layer: {"keep": "no", "prune_ratio": 0.5}}), (layer,))
    assert state.inspect is not None
    able = tuple(
        entry.model_copy(update={"knobs": (*entry.knobs, "keep")}) if entry.name == layer else entry
        for entry in state.inspect.layers
    )
    state = state.model_copy(update={"inspect": state.inspect.model_copy(update={"layers": able})})
    found = time_of(state)
    assert found is not None
    assert found.milliseconds == pytest.approx(whole_ms(state) - 2.0 * 16 / 1000)


def test_what_a_layer_can_t_do_is_left_out_of_the_forecast() -> None:
    layer = inner_layer(resnet20_state())
    likely = forecast(with_stairs(Plan(layers={layer: {"keep": "no"}}), (layer,)), FIRST_PARTY_KNOBS)
    assert likely is not None
    assert likely.time is None
