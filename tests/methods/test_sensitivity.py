"""Sweeps pair every point with the original, couple what moves together, resume, and say what they skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.methods import NoTraining, RoundWeights, registry
from workbench.data.dataset import open_split
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import BadInputError, CancelledError, JobError, PluginError, RecipeError
from workbench.domain.measurements import SensitivityPoint
from workbench.domain.plan import LayerSettings
from workbench.domain.reports import SweepReport
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.inference_ort.replay import Replay
from workbench.graph.model import ModelGraph
from workbench.graph.surgery import add_initializer, free_name
from workbench.methods.evaluation import evaluate
from workbench.methods.method import MethodResult, Requirement, Tools
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import MethodRegistry
from workbench.methods.sensitivity import sweep
from workbench.methods.sweep_setup import Setup, Swept, Watched
from workbench.methods.sweep_store import SweepStore
from workbench.methods.sweep_trials import Trial


def swept(graph: ModelGraph, description: DataDescription, engine: OrtEngine, **changes: Any) -> SweepReport:
    watching = {name: changes.pop(name) for name in ("progress", "cancel", "log") if name in changes}
    asked = {name: changes.pop(name) for name in ("done", "on_point", "direction") if name in changes}
    values = changes.pop("values", (8, 2))
    arguments: dict[str, Any] = {
        "method": "test.round",
        "knob": "weight_bits",
        "dataset": open_split(description, "test", graph.inputs),
        "inference": engine,
        "training": NoTraining(),
    }
    what = Swept(graph, changes.pop("known", None) or registry(), **{**arguments, **changes})
    return sweep(what, values, watched=Watched(**watching), **asked)


def test_points_are_what_applying_and_evaluating_gives(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    seen: list[SensitivityPoint] = []
    report = swept(small_cnn, labelled, engine, on_point=seen.append)
    assert report.baseline.value == 0.9
    assert [(point.layer, point.value) for point in report.points] == [
        (layer, bits) for layer in ("Conv_0", "Conv_2", "Gemm_7") for bits in (8, 2)
    ]
    assert tuple(point for point in seen if not point.provisional) == report.points
    first = {(point.layer, point.value) for point in seen[:6]}
    assert len(first) == 6  # a first look at each, as soon as there is one
    assert all(point.provisional for point in seen[:6])
    assert report.evaluations == 7
    weight = np.asarray(small_cnn.constant("w2"))
    step = np.abs(weight).max()
    rounded = small_cnn.with_initializers({"w2": (np.rint(weight / step) * step).astype(np.float32)})
    dataset = open_split(labelled, "test", small_cnn.inputs)
    expected = evaluate(engine, rounded, dataset).measurement.value
    point = report.points[3]
    assert point.metric == expected
    assert point.drop == pytest.approx(0.9 - expected)
    assert point.ci95[0] <= point.drop <= point.ci95[1]
    assert point.samples == 200


def test_drops_are_losses_whatever_the_direction(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    report = swept(
        small_cnn, labelled.model_copy(update={"metric": "perplexity"}), engine, layers=("Gemm_7",), samples=50
    )
    for point in report.points:
        assert point.drop == pytest.approx(point.metric - report.baseline.value)
        assert point.samples == 50
        assert point.ci95[0] <= point.drop <= point.ci95[1]


def test_coupled_layers_are_computed_once_and_reported_for_each(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    report = swept(small_cnn, labelled, engine, method="test.drop", knob="prune_ratio", values=(0.5,))
    assert report.evaluations == 2
    first, second = report.points
    assert (first.layer, first.coupled) == ("Conv_0", ("Conv_2",))
    assert (second.layer, second.coupled) == ("Conv_2", ("Conv_0",))
    assert first.metric == second.metric
    assert "output" in report.skipped["Gemm_7"]


def test_with_a_budget_a_trial_ends_when_its_side_is_certain(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.methods.sweep_trials._FIRST_SAMPLES", 50)
    ranked = swept(small_cnn, labelled, engine)
    whole = {(point.layer, point.value): point for point in swept(small_cnn, labelled, engine, early=False).points}
    decided = swept(small_cnn, labelled, engine, budget=0.6)
    assert {point.samples for point in whole.values()} == {200}
    assert max(point.samples for point in decided.points) == 50  # no setting loses anywhere near as much
    assert max(point.samples for point in ranked.points) > 50  # ranks take more
    assert all(whole[point.layer, point.value].drop < 0.6 for point in decided.points)


class TidyThenRound(RoundWeights):
    """Writes the first activation anew before it rounds, as methods do that clean a graph up first."""

    id = "test.tidy"

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Clip at 0 instead of Relu, then round."""
        model = graph.edit()
        first = next(node for node in model.graph if node.op_type == "Relu")
        zero = add_initializer(model, free_name(model, "zero"), np.zeros((), np.float32))
        first.op_type = "Clip"
        first.resize_inputs(2)
        first.replace_input_with(1, zero)
        return super().apply(graph.edited(model), plan, tools)


def test_what_a_method_tidies_ahead_of_a_layer_does_not_run_for_every_trial(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    known = MethodRegistry()
    known.register(TidyThenRound, plugin="tests")
    what = Swept(
        small_cnn,
        known,
        "test.tidy",
        "weight_bits",
        open_split(labelled, "test", small_cnn.inputs),
        engine,
        NoTraining(),
    )
    setup = Setup(what, (4, 2), "", Watched())
    trials = [Trial(layer, (layer,), (layer,), bits, bits) for layer in ("Conv_0", "Gemm_7") for bits in (4, 2)]
    setup.run(trials, lambda point: None)
    last = setup.original.replay.part(setup.make(trials[3]))
    assert last.fed == ("f",)  # what the last layer reads; compared with the original all behind the Clip would run
    found = {(trial.name, trial.value): setup.original.drop(*trial.counted()).metric for trial in trials}
    for trial in trials:
        expected = evaluate(engine, setup.make(trial), what.dataset).measurement.value
        assert found[trial.name, trial.value] == expected


def test_a_killed_sweep_goes_on_where_it_was(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    store, token = tmp_path / "sweep.jsonl", CancelToken()
    known = registry()

    def report(done: float, text: str) -> None:
        if store.exists() and len(store.read_text().splitlines()) >= 2:
            token.cancel()

    with pytest.raises(CancelledError):
        swept(small_cnn, labelled, engine, known=known, store=store, cancel=token, progress=Progress(report))
    finished = len(store.read_text().splitlines())
    assert 2 <= finished < 6
    lines = [json.loads(line) for line in store.read_text().splitlines()]
    kept = SweepStore(store, lines[0]["key"])
    # A trial that the cancel broke off has some of its 200 samples.
    records = [kept.get(line["layer"], line["value"]) for line in lines]
    finished = sum(found is not None and len(found[0]) == 200 for found in records)
    with store.open("a") as stream:
        stream.write('{"key": "half a li')
    runs, seen = RoundWeights.runs, []
    report = swept(small_cnn, labelled, engine, known=known, store=store, on_point=seen.append)
    # The last layer's graph feeds the others' trials, finished or not.
    assert RoundWeights.runs - runs in (6 - finished, 7 - finished)
    assert report.points == swept(small_cnn, labelled, engine).points
    assert len([point for point in seen if not point.provisional]) == 6
    assert swept(small_cnn, labelled, engine, store=store).evaluations == 1


def test_points_of_other_sweeps_are_not_taken(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    store = tmp_path / "sweep.jsonl"
    swept(small_cnn, labelled, engine, store=store)
    for change in ({"parameters": {"reach": 0.5}}, {"samples": 100}, {"seed": 1}):
        assert swept(small_cnn, labelled, engine, store=store, **change).evaluations == 7
    other = small_cnn.with_initializers({"b3": np.zeros(5, np.float32)})
    assert swept(other, labelled, engine, store=store).evaluations == 7
    assert len({json.loads(line)["key"] for line in store.read_text().splitlines()}) == 5


def test_done_points_are_left_out(small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine) -> None:
    report = swept(small_cnn, labelled, engine, done=("Conv_0\t8", "Conv_0\t2.0", "Conv_2\t2"))
    assert [(point.layer, point.value) for point in report.points] == [("Conv_2", 8), ("Gemm_7", 8), ("Gemm_7", 2)]


def test_points_that_fail_are_skipped_with_the_reason(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    report = swept(small_cnn, labelled, engine, values=(8, 3), layers=("Conv_0",))
    assert [point.value for point in report.points] == [8]
    assert "can't have 3 bits" in report.skipped["Conv_0 at 3"]
    with pytest.raises(RecipeError, match="can't have 3 bits"):
        swept(small_cnn, labelled, engine, values=(3,))


def test_a_plugin_that_raises_is_named(small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine) -> None:
    class Raises(RoundWeights):
        id = "test.raises"

        def apply(self, graph: ModelGraph, plan: Any, tools: Any) -> Any:
            raise KeyError("w9")

    known = registry()
    known.register(Raises, "bad", "1")
    with pytest.raises(PluginError, match=r"plugin 'bad', Conv_0, weight_bits 8: .*KeyError"):
        swept(small_cnn, labelled, engine, known=known, method="test.raises")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"knob": "prune_ratio"}, r"test\.round does not read prune_ratio.*test\.drop"),
        ({"knob": "bits"}, "unknown knob 'bits'"),
        ({"values": (8, 77)}, "weight_bits is 77"),
        ({"layers": ("Conv_9",)}, "there is no layer 'Conv_9'"),
        ({"method": "none"}, "unknown method 'none'"),
        ({"parameters": {"reach": 3}}, "reach"),
    ],
)
def test_wrong_requests_are_named(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        swept(small_cnn, labelled, engine, **changes)


def test_a_model_that_puts_out_nan_only_has_no_sensitivities(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    broken = small_cnn.with_initializers({"b3": np.full(5, np.nan, np.float32)})
    with pytest.raises(JobError, match="all that the model puts out is NaN"):
        swept(broken, labelled, engine)


def test_what_cannot_work_in_a_sweep_is_refused_before_the_first_evaluation(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    class Timed(RoundWeights):
        id = "test.timed"

        def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
            return frozenset({Requirement.LATENCY})

    class Whole(RoundWeights):
        id = "test.whole"

        def sweep_obstacle(self) -> str | None:
            return "it changes all layers at once; set reach to 1" if self.parameters.reach < 1 else None

    class Unreached(OrtEngine):
        def replay(self, *_: object, **__: object) -> Replay:
            raise AssertionError("evaluated")

    known = registry()
    for kind in (Timed, Whole):
        known.register(kind, "tests", "1")
    runs = {"known": known, "inference": Unreached()}
    with pytest.raises(RecipeError, match=r"sweep: test\.timed needs measured latencies, and nothing measures them"):
        swept(small_cnn, labelled, engine, method="test.timed", **runs)
    with pytest.raises(RecipeError, match=r"with test\.whole: it changes all layers at once; set reach to 1"):
        swept(small_cnn, labelled, engine, method="test.whole", parameters={"reach": 0.5}, **runs)
    with pytest.raises(RecipeError, match=r"test\.calibrate needs data"):
        swept(small_cnn, labelled, engine, method="test.calibrate", knob="activation_bits", **runs)
    assert swept(small_cnn, labelled, engine, known=known, method="test.whole", values=(8,)).points


def test_methods_get_calibration_data_and_the_knobs_own_values(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine
) -> None:
    data = RecipeData(labelled, small_cnn.inputs, engine, small_cnn)
    report = swept(
        small_cnn, labelled, engine, method="test.calibrate", knob="activation_bits", values=(), data=data, samples=20
    )
    assert [point.value for point in report.points] == [8, 4] * 3
    assert all(point.drop == 0 for point in report.points)


def test_a_store_that_holds_something_else_is_left_alone(
    small_cnn: ModelGraph, labelled: DataDescription, engine: OrtEngine, tmp_path: Path
) -> None:
    store, log = tmp_path / "samples.npz", []
    store.write_bytes(b"PK\x03\x04 an archive")
    with pytest.raises(BadInputError, match=r"samples\.npz: is no store of sensitivities"):
        swept(small_cnn, labelled, engine, store=store, progress=Progress(lambda share, text: log.append(share)))
    assert store.read_bytes() == b"PK\x03\x04 an archive"
    assert log == []  # nothing was evaluated before
    with pytest.raises(BadInputError, match="the store can't be read"):
        swept(small_cnn, labelled, engine, store=tmp_path)
