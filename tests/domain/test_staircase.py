"""Edges of a staircase: counts that no larger one matches, beyond noise."""

from __future__ import annotations

import pytest

from workbench.domain.measurements import DeviceDescription
from workbench.domain.staircase import LayerStaircase, StaircaseReport, StairPoint, Stairs, stair_counts, stair_edges


def points(times: dict[int, float], half: float = 0.1) -> tuple[StairPoint, ...]:
    return tuple(
        StairPoint(channels=count, microseconds=time, ci95=(time - half, time + half)) for count, time in times.items()
    )


def test_the_right_end_of_each_step_is_an_edge() -> None:
    # Measured on four 3x3 convolutions, in per cent of the time at 64: what the design page found.
    times = {16: 14.0, 20: 33.0, 32: 33.0, 33: 53.0, 40: 61.0, 48: 61.0, 56: 99.0, 60: 99.0, 63: 125.0, 64: 100.0}
    assert stair_edges(points(times)) == (16, 32, 48, 64)


def test_what_costs_more_than_it_saves_is_no_edge() -> None:
    assert stair_edges(points({4: 39.4, 8: 41.2, 12: 42.4, 16: 26.0})) == (16,)


def test_noise_makes_no_steps() -> None:
    close = points({16: 9.9, 32: 10.0, 48: 10.1, 64: 10.2}, half=0.01)
    assert stair_edges(close) == (64,), "less than 3 % apart, however sure"
    wide = points({32: 8.0, 64: 10.0}, half=1.5)
    assert stair_edges(wide) == (64,), "the intervals overlap"
    assert stair_edges(()) == ()


@pytest.mark.parametrize("channels", [1, 3, 10, 16, 64, 100, 512, 4096])
def test_counts_are_few_and_end_with_the_layers_own(channels: int) -> None:
    counts = stair_counts(channels)
    assert counts[-1] == channels
    assert counts == tuple(sorted(set(counts)))
    assert counts[0] >= 1
    assert len(counts) <= 36
    assert channels < 17 or 17 in counts or channels > 128


def test_a_report_takes_newer_layers_and_survives_json() -> None:
    device = DeviceDescription(name="local", cpu="c", threads=1, runtime="r", provider="p")
    old, new = (
        LayerStaircase(layer="a", op="Conv", channels=8, curves=(Stairs.of("float32", points({4: time, 8: 9.0})),))
        for time in (5.0, 6.0)
    )
    other = LayerStaircase(layer="b", op="Gemm", channels=0, reason="why not")
    report = StaircaseReport(device=device, threads=1, batch=1, layers=(old,)).with_layers((new, other))
    assert report.layers == (new, other)
    assert StaircaseReport.model_validate(report.model_dump(mode="json")) == report
    curve = new.curve("float32")
    assert curve is not None
    assert curve.edges == (4, 8)
    assert (curve.at(4), curve.at(5)) == (curve.points[0], None)
    assert new.curve("uint8") is None


def test_what_others_save_counts_too() -> None:
    own = Stairs.of("float32", points({8: 38.0, 16: 38.0}, half=0.3))
    reader = Stairs.of("float32", points({8: 28.0, 16: 44.0}, half=0.4))
    both = Stairs.sum((own, reader))
    assert (own.edges, both.edges) == ((16,), (8, 16))
    assert both.points[0].microseconds == 66.0
    assert both.points[0].ci95 == pytest.approx((65.5, 66.5))
