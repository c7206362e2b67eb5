"""Recipes are checked before they run, come from the cache where nothing changed, and name plugins that fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.method_tools import registry_of
from tests.fakes.methods import NoTraining, RoundWeights, Shake, registry
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import CancelledError, DataError, PluginError, RecipeError
from workbench.domain.plan import LayerSettings, Plan
from workbench.domain.recipe import Recipe, Step
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph
from workbench.methods.method import MethodResult, Tools
from workbench.methods.pipeline import PipelineResult, prepare, run_recipe
from workbench.methods.registry import MethodRegistry
from workbench.methods.step_cache import StepCache

Outputs = Callable[[ModelGraph], np.ndarray]


def run(
    graph: ModelGraph, recipe: Recipe, engine: OrtEngine, known: MethodRegistry | None = None, **rest: Any
) -> PipelineResult:
    return run_recipe(graph, recipe, known or registry(), engine, NoTraining(), **rest)  # type: ignore[arg-type]


def steps(*methods: str, **parameters: Any) -> tuple[Step, ...]:
    return tuple(Step(method=method, parameters=parameters if method == methods[-1] else {}) for method in methods)


BITS4 = Plan(default={"weight_bits": 4})


def test_an_empty_recipe_changes_nothing(small_cnn: ModelGraph, engine: OrtEngine, outputs: Outputs) -> None:
    result = run(small_cnn, Recipe(), engine)
    assert result.steps == ()
    np.testing.assert_array_equal(outputs(result.graph), outputs(small_cnn))


def test_steps_run_in_order_and_report(small_cnn: ModelGraph, engine: OrtEngine, outputs: Outputs) -> None:
    before, log, done = small_cnn.to_bytes(), [], []
    recipe = Recipe(plan=Plan(default={"prune_ratio": 0.25, "weight_bits": 8}), steps=steps("test.drop", "test.round"))
    result = run(small_cnn, recipe, engine, log=log.append, progress=Progress(lambda share, text: done.append(share)))
    assert [step.method for step in result.steps] == ["test.drop", "test.round"]
    assert result.steps[1].notes == ("rounded 3 layers",)
    assert result.steps[1].details == {"n": 3}
    assert {weight.shape for _, weight in layer_nodes(result.graph)} == {(6, 3, 3, 3), (6, 6, 3, 3), (5, 6)}
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert len(log) == 2
    assert small_cnn.to_bytes() == before
    assert outputs(result.graph).shape == outputs(small_cnn).shape


def test_the_same_seed_gives_the_same_bytes(small_cnn: ModelGraph, engine: OrtEngine) -> None:
    recipe = Recipe(seed=3, steps=steps("test.shake"))
    first, again, other = (
        run(small_cnn, Recipe(seed=seed, steps=recipe.steps), engine).graph.to_bytes() for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


class TestPreflight:
    """Nothing runs before all of the recipe is known to make sense."""

    @pytest.mark.parametrize(
        ("plan", "chosen", "words"),
        [
            ({"default": {"bits": 4}}, ("test.round",), r"plan\.default: unknown knob 'bits'.*weight_bits"),
            ({"default": {"prune_ratio": 2}}, ("test.drop",), "prune_ratio is 2.*from 0 to 0.95"),
            ({"layers": {"lstm*": {"weight_bits": 4}}}, ("test.round",), r"layers\['lstm\*'\].*matches no layer"),
            (
                {"layers": {"Gemm_7": {"prune_ratio": 0.5}}},
                ("test.drop",),
                "prune_ratio can't be set on layer 'Gemm_7': ",
            ),
            ({"layers": {"Conv_0": {"weight_bits": 3}}}, ("test.round",), "layer 'Conv_0' can't have 3 bits"),
            ({}, ("test.nothing",), "step 2: unknown method 'test.nothing'"),
            ({}, ("test.calibrate",), "step 2: test.calibrate needs data"),
        ],
    )
    def test_faults_are_named(
        self, small_cnn: ModelGraph, engine: OrtEngine, plan: dict[str, Any], chosen: tuple[str, ...], words: str
    ) -> None:
        with pytest.raises(RecipeError, match=words):
            run(small_cnn, Recipe(plan=Plan(**plan), steps=steps("test.shake", *chosen)), engine)
        assert Shake.runs == 0

    def test_unread_settings_and_methods_own_warnings_are_told(self, small_cnn: ModelGraph, engine: OrtEngine) -> None:
        plan = Plan(default={"prune_ratio": 0.5}, layers={"Conv_0": {"weight_bits": 2}})
        warnings = run(small_cnn, Recipe(plan=plan, steps=steps("test.round")), engine).warnings
        assert warnings[0].startswith("No step reads prune_ratio, which the plan sets on 2 layers")
        assert warnings[1] == "layer 'Conv_0' has 2 bits only"
        untouched = Recipe(plan=Plan(default={"prune_ratio": 0.0}), steps=steps("test.round"))
        assert run(small_cnn, untouched, engine).warnings == ()

    def test_missing_training_data_is_named(
        self, small_cnn: ModelGraph, engine: OrtEngine, labelled: DataDescription
    ) -> None:
        data = labelled.model_copy(update={"train": None})
        with pytest.raises(DataError, match="no train split"):
            run(small_cnn, Recipe(data=data, steps=steps("test.shake", "test.calibrate")), engine)
        assert Shake.runs == 0

    def test_unread_data_is_refused(self, small_cnn: ModelGraph, engine: OrtEngine) -> None:
        with pytest.raises(RecipeError, match=r"'data\.yaml' is a path"):
            run(small_cnn, Recipe(data="data.yaml"), engine)


def test_methods_see_calibration_samples_and_a_score(
    small_cnn: ModelGraph, engine: OrtEngine, labelled: DataDescription
) -> None:
    (report,) = run(small_cnn, Recipe(data=labelled, steps=steps("test.calibrate")), engine).steps
    assert report.details["samples"] == 12
    assert 0.5 < report.details["score"] <= 1.0


class TestPlugins:
    """A plugin that goes wrong is named."""

    @pytest.mark.parametrize(
        ("how", "words"),
        [
            ("raise", r"plugin 'fakes', step 1: method 'test.misbehave' raised ZeroDivisionError: one over nothing"),
            ("nothing", "plugin 'fakes', step 1.*Expected MethodResult.*Found NoneType"),
            ("bytes", "plugin 'fakes', step 1.*returned no graph.*Expected ModelGraph. Found bytes"),
            ("object", "plugin 'fakes', step 1.*details hold a ModelGraph, which JSON has no form for"),
            ("outputs", "changed the model's outputs.*Expected y"),
        ],
    )
    def test_it_is_named(self, small_cnn: ModelGraph, engine: OrtEngine, how: str, words: str) -> None:
        with pytest.raises(PluginError, match=words) as caught:
            run(small_cnn, Recipe(steps=steps("test.misbehave", how=how)), engine)
        if how == "raise":
            assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_figures_of_a_step_can_always_be_written(self, small_cnn: ModelGraph, engine: OrtEngine) -> None:
        (report,) = run(small_cnn, Recipe(steps=steps("test.misbehave", how="numpy")), engine).steps
        assert report.notes == ("3",)
        assert report.details == {"mean": 0.5, "norms": [1.0, None], "worst": None}
        json.dumps(report.model_dump(mode="json"), allow_nan=False)

    def test_a_cancel_is_no_fault(self, small_cnn: ModelGraph, engine: OrtEngine) -> None:
        with pytest.raises(CancelledError):
            run(small_cnn, Recipe(steps=steps("test.misbehave", how="cancel")), engine, cancel=CancelToken())


def test_batch_norm_that_steps_gave_back_is_folded(
    small_cnn: ModelGraph, graph_from: Callable[..., ModelGraph], engine: OrtEngine, outputs: Outputs
) -> None:
    class GiveBack(Shake):
        id = "test.give_back"

        def apply(self, graph: ModelGraph, plan: Any, tools: Any) -> Any:
            from workbench.methods.method import MethodResult

            return MethodResult(with_norm)

    text = """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,5] y) {
            c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
            n1 = BatchNormalization (c1, s, o, m, v)
            r1 = Relu (n1)
            p = GlobalAveragePool (r1)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w3, b3)
        }"""
    rng = np.random.default_rng(0)
    weights = {name: np.asarray(small_cnn.constant(name)) for name in ("w1", "b1", "w3", "b3")}
    norm = {name: rng.uniform(0.5, 2, 8).astype(np.float32) for name in "somv"}
    with_norm = graph_from(text, {**weights, **norm})
    known = registry()
    known.register(GiveBack, "fakes", "1")
    result = run(small_cnn, Recipe(steps=steps("test.give_back")), engine, known)
    assert "BatchNormalization" not in {node.op for node in result.graph.nodes}
    np.testing.assert_allclose(outputs(result.graph), outputs(with_norm), rtol=1e-4, atol=1e-4)
    kept = run(with_norm, Recipe(steps=steps("test.give_back")), engine, known)
    assert "BatchNormalization" in {node.op for node in kept.graph.nodes}


class TestCache:
    """A changed last step reruns only itself, and cached results are the same bytes."""

    def test_only_what_changed_runs_again(self, small_cnn: ModelGraph, engine: OrtEngine, tmp_path: Path) -> None:
        known, cache = registry(), StepCache(tmp_path / "cache")

        def runs(recipe: Recipe) -> tuple[int, int, PipelineResult]:
            before = Shake.runs, RoundWeights.runs
            result = run(small_cnn, recipe, engine, known, cache=cache)
            return Shake.runs - before[0], RoundWeights.runs - before[1], result

        recipe = Recipe(plan=BITS4, steps=steps("test.shake", "test.round"))
        shaken, rounded, first = runs(recipe)
        assert (shaken, rounded) == (1, 1)
        shaken, rounded, again = runs(recipe)
        assert (shaken, rounded) == (0, 0)
        assert [step.cached for step in again.steps] == [True, True]
        assert again.steps[1].notes == first.steps[1].notes
        assert again.graph.to_bytes() == first.graph.to_bytes()
        assert again.graph.to_bytes() == run(small_cnn, recipe, engine).graph.to_bytes()

        changed = recipe.model_copy(update={"steps": steps("test.shake", "test.round", reach=0.9)})
        shaken, rounded, result = runs(changed)
        assert (shaken, rounded) == (0, 1)
        assert [step.cached for step in result.steps] == [True, False]
        fewer = Plan(default={"weight_bits": 4}, layers={"Conv_0": {"weight_bits": 8}})
        assert runs(recipe.model_copy(update={"plan": fewer}))[:2] == (0, 1)
        assert runs(recipe.model_copy(update={"seed": 1}))[:2] == (1, 1)
        unread = Plan(default={"weight_bits": 4, "prune_ratio": 0.5})
        assert runs(recipe.model_copy(update={"plan": unread}))[:2] == (0, 0)

    def test_another_model_or_data_is_another_result(
        self, small_cnn: ModelGraph, engine: OrtEngine, tmp_path: Path, labelled: DataDescription
    ) -> None:
        known, cache = registry(), StepCache(tmp_path / "cache")
        recipe = Recipe(steps=steps("test.shake"))
        run(small_cnn, recipe, engine, known, cache=cache)
        other = small_cnn.with_initializers({"b3": np.ones(5, np.float32)})
        run(other, recipe, engine, known, cache=cache)
        run(small_cnn, recipe.model_copy(update={"data": labelled}), engine, known, cache=cache)
        flipped = labelled.model_copy(update={"augment": ("flip",)})
        run(small_cnn, recipe.model_copy(update={"data": flipped}), engine, known, cache=cache)
        assert Shake.runs == 4

    def test_old_entries_go_and_damaged_ones_are_made_again(
        self, small_cnn: ModelGraph, engine: OrtEngine, tmp_path: Path
    ) -> None:
        folder, known = tmp_path / "cache", registry()
        run(small_cnn, Recipe(steps=steps("test.shake")), engine, known, cache=StepCache(folder))
        size = StepCache(folder).size_bytes()
        own = {"labels.json": b"[1]", "labels.onnx": b"mine", "big.npz": b"0" * 3 * size}
        for name, content in own.items():  # a folder that is the user's own, too
            (folder / name).write_bytes(content)
        small = StepCache(folder, limit_bytes=int(2.5 * size))
        for seed in range(1, 5):
            run(small_cnn, Recipe(seed=seed, steps=steps("test.shake")), engine, known, cache=small)
        assert small.size_bytes() <= 2.5 * size
        assert {name: (folder / name).read_bytes() for name in own} == own
        runs = Shake.runs
        run(small_cnn, Recipe(seed=4, steps=steps("test.shake")), engine, known, cache=small)
        assert Shake.runs == runs
        for path in folder.glob("*.onnx"):
            path.write_bytes(path.read_bytes()[:100])
        run(small_cnn, Recipe(seed=4, steps=steps("test.shake")), engine, known, cache=small)
        assert Shake.runs == runs + 1

    def test_a_place_that_can_not_be_written_costs_no_work(
        self, small_cnn: ModelGraph, engine: OrtEngine, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        log: list[str] = []
        cache = StepCache(tmp_path / "file" / "cache")
        result = run(small_cnn, Recipe(steps=steps("test.shake")), engine, cache=cache, log=log.append)
        assert len(result.steps) == 1
        assert log[0].startswith("Warning: this step's result was not cached. the step cache")

    def test_an_unfinished_step_finds_what_it_stored_and_a_finished_one_leaves_nothing(
        self, small_cnn: ModelGraph, engine: OrtEngine, tmp_path: Path
    ) -> None:
        found: list[bool] = []

        class Interrupted(Shake):
            """Stores something and is interrupted the first time."""

            id = "test.interrupted"

            def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
                assert tools.checkpoint is not None
                found.append(tools.checkpoint.exists())
                tools.checkpoint.parent.mkdir(parents=True, exist_ok=True)
                tools.checkpoint.write_text("half")
                tools.checkpoint.with_name(f"{tools.checkpoint.name}.2").write_text("the second training")
                if not found[-1]:
                    raise CancelledError("interrupted")
                return super().apply(graph, plan, tools)

        known, cache = registry(), StepCache(tmp_path / "cache")
        known.register(Interrupted, "tests")
        recipe = Recipe(steps=steps("test.interrupted"))
        with pytest.raises(CancelledError):
            run(small_cnn, recipe, engine, known, cache=cache)
        run(small_cnn, recipe, engine, known, cache=cache)
        assert found == [False, True]
        assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".onnx", ".json"}

    def test_what_a_cancel_cut_short_is_not_taken_for_the_result(
        self, small_cnn: ModelGraph, engine: OrtEngine, tmp_path: Path
    ) -> None:
        cancel = CancelToken()

        class CutShort(Shake):
            """Is cancelled while it works and returns what it has."""

            id = "test.cut_short"

            def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
                tools.cancel.cancel()
                return super().apply(graph, plan, tools)

        known, cache = registry(), StepCache(tmp_path / "cache")
        known.register(CutShort, "tests")
        recipe = Recipe(steps=steps("test.cut_short"))
        run(small_cnn, recipe, engine, known, cache=cache, cancel=cancel)
        assert cache.size_bytes() == 0


def test_saturating_sums_are_told_before_the_run_where_the_processor_has_them(
    small_cnn: ModelGraph, labelled: DataDescription
) -> None:
    def told(exact: bool | None, bits: int = 8, **parameters: Any) -> list[str]:
        recipe = Recipe(
            data=labelled,
            plan=Plan(default={"weight_bits": bits, "activation_bits": 8}),
            steps=steps("quantize.ptq", **parameters),
        )
        engine = OrtEngine(threads=1, integer_dot_products=exact)
        warnings = prepare(small_cnn, recipe, registry_of("quantize"), engine).warnings
        return [warning for warning in warnings if "saturate" in warning]

    (warning,) = told(exact=False)
    assert warning.startswith("step 1: this processor adds pairs")
    assert "3 layer(s) can exceed (Conv_0, Conv_2, Gemm_7)" in warning
    assert warning.endswith("Set reduce_range or activation_type to int8.")
    assert told(exact=True) == told(exact=None) == []
    assert told(exact=False, bits=7) == told(exact=False, reduce_range=True) == []
    assert told(exact=False, activation_type="int8") == []
