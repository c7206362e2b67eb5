"""Methods that aim at a latency: refused where nothing measures one, and cached by where and how it was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.methods import NoTraining, registry
from workbench.devices.this_computer import ThisComputer
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import CancelledError, RecipeError
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Recipe, Step
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.methods.method import Method, MethodResult, Requirement, Stage, Tools
from workbench.methods.pipeline import run_recipe
from workbench.methods.step_cache import StepCache
from workbench.worker.latency_gauge import DeviceGauge


class TimesItself(Method):
    id, title, stage = "test.timed", "Times itself", Stage.PRUNE

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        return frozenset({Requirement.LATENCY})

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        assert tools.latency_ratio is not None
        return MethodResult(graph, details={"ratio": tools.latency_ratio(graph)})


class Fixed:
    """A gauge that says what it was made with."""

    def __init__(self, ratio: float, setting: str) -> None:
        self._ratio, self.setting = ratio, setting

    def ratio(self, graph: ModelGraph, cancel: CancelToken) -> float:
        return self._ratio


RECIPE = Recipe(steps=(Step(method="test.timed"),))


def run(graph: ModelGraph, gauge: object, cache: StepCache | None = None) -> tuple[float, bool]:
    known = registry()
    known.register(TimesItself, "fakes", "1")
    engine = OrtEngine(threads=1)
    (step,) = run_recipe(graph, RECIPE, known, engine, NoTraining(), gauge=gauge, cache=cache).steps  # type: ignore[arg-type]
    return step.details["ratio"], step.cached


def test_without_a_gauge_the_preflight_refuses(small_cnn: ModelGraph) -> None:
    with pytest.raises(RecipeError, match=r"step 1: test.timed needs measured latencies, and nothing measures them"):
        run(small_cnn, None)


def test_a_cached_result_belongs_to_the_setting_it_was_measured_in(small_cnn: ModelGraph, tmp_path: Path) -> None:
    cache = StepCache(tmp_path / "steps")
    assert run(small_cnn, Fixed(0.5, "1 thread"), cache) == (0.5, False)
    assert run(small_cnn, Fixed(0.6, "1 thread"), cache) == (0.5, True)
    assert run(small_cnn, Fixed(0.7, "2 threads"), cache) == (0.7, False)


def test_this_computer_times_a_graph_against_the_original(small_cnn: ModelGraph, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    save_model(small_cnn, path)
    gauge = DeviceGauge(path, ThisComputer, seconds=0.2)
    assert 0.3 < gauge.ratio(small_cnn, CancelToken()) < 3
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        gauge.ratio(small_cnn, token)
    settings = {DeviceGauge(path, ThisComputer, threads=threads, batch=1).setting for threads in (1, 2)}
    assert len(settings) == 2
