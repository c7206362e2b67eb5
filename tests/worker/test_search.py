"""A study through the job's own door: pins and ties kept, two builders, cancels, and what holds the result back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes.desk_files import DATA
from workbench.api import ModelGraph
from workbench.data.description_file import read_data_description
from workbench.domain.cancel import CancelToken
from workbench.domain.errors import BadInputError, CancelledError, DeviceError
from workbench.domain.measurements import LatencyReport
from workbench.domain.search_reports import Outlook, SearchReport
from workbench.domain.study import Study
from workbench.engines.inference_ort import OrtEngine
from workbench.graph.storage import save_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import SearchJob
from workbench.methods.recipe_file import read_recipe
from workbench.project.lock import ProjectLock
from workbench.worker import search_jobs
from workbench.worker.dispatch import run_job


@pytest.fixture(scope="module")
def network(graph_from) -> ModelGraph:
    """Three convolutions in a row and a head."""
    rng = np.random.default_rng(1)

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))

    return graph_from(
        """<ir_version: 9, opset_import: ["" : 17]>
        net (float[batch,3,8,8] x) => (float[batch,4] y) {
            a = Conv <pads = [1,1,1,1]> (x, w1)
            ra = Relu (a)
            b = Conv <pads = [1,1,1,1]> (ra, w2)
            rb = Relu (b)
            c = Conv <pads = [1,1,1,1]> (rb, w3)
            rc = Relu (c)
            f = Flatten (rc)
            y = Gemm <transB = 1> (f, w4)
        }""",
        {
            "w1": weight(32, 3, 3, 3),
            "w2": weight(32, 32, 3, 3),
            "w3": weight(32, 32, 3, 3),
            "w4": weight(4, 2048),
        },
    )


@pytest.fixture
def desk(network: ModelGraph, tmp_path: Path) -> Path:
    save_model(network, tmp_path / "model.onnx")
    x = np.random.default_rng(5).normal(size=(150, 3, 8, 8)).astype(np.float32)
    y = OrtEngine(threads=1).open(network).run({"x": x})["y"].argmax(axis=1)
    np.savez(tmp_path / "samples.npz", x=x, y=y)
    (tmp_path / "data.yaml").write_text(DATA, encoding="utf-8")
    return tmp_path


def job(desk: Path, **content: Any) -> SearchJob:
    study = Study.model_validate(
        {
            "data": read_data_description(desk / "data.yaml"),
            "steps": [{"method": "prune.l1", "parameters": {"statistics_samples": 0, "restore_batch_norm": False}}],
            "knobs": {"prune_ratio": [0.25, 0.5, 0.75]},
            "channel_multiple": 8,
            "objectives": ["metric", "macs"],
            "reference": {"metric": 0.0},
            "sensitivity_samples": 60,
            "stop": {"candidates": 3},
            **content,
        }
    )
    return SearchJob(model=str(desk / "model.onnx"), study=study, out=str(desk / "found"))


def searched(spec: SearchJob, **context: Any) -> SearchReport:
    return SearchReport.model_validate(run_job(spec, replace(JobContext(), **context)))


def test_pins_and_ties_hold_in_every_candidate_and_the_pin_is_named_as_what_binds(desk: Path) -> None:
    so_far: list[SearchReport] = []
    outlooks: list[Outlook] = []

    def keep(name: str, payload: dict[str, Any]) -> None:
        if name == "outlook":
            outlooks.append(Outlook.model_validate(payload))
            return
        assert name == "candidate"
        so_far.append(SearchReport.model_validate(payload))

    spec = job(
        desk,
        pins={"Conv_4": {"prune_ratio": 0.0}},
        ties=[["Conv_0", "Conv_2"]],
        strategy="random",
        stop={"stagnation": 20},
    )
    report = searched(spec, partial=keep)
    # One dimension with three ratios is left.
    assert len(report.candidates) == 3
    assert [len(one.candidates) for one in so_far] == [1, 2, 3]
    assert [len(one.building) for one in outlooks] == [1, 1, 1]
    assert [one.building[0].foretold for one in outlooks] == [one.foretold for one in report.candidates]
    for candidate in report.candidates:
        ratios = {layer: line["prune_ratio"] for layer, line in candidate.settings.items()}
        assert set(ratios) == {"Conv_0", "Conv_2"}
        assert len(set(ratios.values())) == 1
        assert read_recipe(Path(candidate.recipe_path)).plan.layers["Conv_4"] == {"prune_ratio": 0.0}
        kept = {layer.name: layer.after.weight_shape[0] for layer in candidate.layers if layer.after is not None}
        assert kept["Conv_4"] == 32
        assert kept["Conv_0"] == kept["Conv_2"] == 32 * (1 - ratios["Conv_0"])
        assert candidate.foretold is not None
        assert candidate.foretold.costs["macs"].value == pytest.approx(candidate.costs["macs"], rel=0.02)
    (binding,) = [one for one in report.binding if one.what.startswith("pin")]
    assert binding.what == "pin of prune_ratio on Conv_4"
    assert binding.gain > 0.02
    # Of any other candidate it is said, too.
    assert all(report.bindings[one.number][-1].what == binding.what for one in report.candidates)
    assert report.stopped.startswith("the strategy has nothing new")


def test_a_budget_that_binds_says_what_more_would_buy(desk: Path) -> None:
    free = searched(job(desk, strategy="random", stop={"candidates": 8}))
    drops = sorted(-one.difference.value for one in free.candidates if one.difference is not None)
    limit = drops[2]
    report = searched(job(desk, strategy="random", stop={"candidates": 8}, budgets={"metric_drop": max(limit, 0.0)}))
    assert report.chosen is not None
    chosen = report.candidates[report.chosen - 1]
    assert chosen.within_budgets
    (binding,) = report.binding
    assert binding.what == "budget of the metric"
    assert binding.measured
    assert binding.objective == "macs"
    assert binding.gain > 0
    cheaper = [one for one in report.candidates if one.costs["macs"] < chosen.costs["macs"]]
    assert cheaper
    assert all("metric" in one.beyond for one in cheaper)
    # Of any other candidate it is said, too: it is beyond the budget, or another one within it is cheaper.
    assert set(report.bindings) == {one.number for one in report.candidates}
    assert report.bindings[report.chosen] == report.binding
    for one in report.candidates:
        texts = [relaxation.text for relaxation in report.bindings[one.number]]
        if not one.within_budgets:
            assert texts[0].startswith("It is beyond the budget of the metric: a drop of")
        elif one.costs["macs"] >= chosen.costs["macs"] + 0.02:
            assert texts[0].startswith(f"No budget holds it back: candidate {report.chosen} is within them at macs")


@pytest.mark.slow
def test_memory_is_foretold_so_that_it_can_be_searched_for(desk: Path) -> None:
    spec = job(desk, objectives=["metric", "memory"], strategy="greedy", latency_seconds=0.2, threads=1)
    report = searched(spec)
    assert len(report.candidates) >= 2  # the runtime itself is most of what so small a network takes
    for one in report.candidates:
        told = one.foretold.costs["memory"]
        assert one.costs["memory"] > 0
        assert 0 < told.value < 1  # fewer channels hold less
        assert told.ci95[0] < told.value < told.ci95[1]  # an estimate, not a count


def test_two_builders_find_as_much_as_one(desk: Path) -> None:
    report = searched(job(desk, workers=2, strategy="random", stop={"candidates": 4}))
    assert len(report.candidates) == 4
    assert len({one.candidate.sha256 for one in report.candidates}) == 4
    assert not report.failed


def test_a_cancel_keeps_what_is_finished_and_the_next_run_goes_on(desk: Path) -> None:
    token = CancelToken()
    spec = job(desk, strategy="random")
    with pytest.raises(CancelledError):
        searched(spec, cancel=token, partial=lambda name, payload: token.cancel() if name == "candidate" else None)
    lines: list[str] = []
    report = searched(spec, log=lines.append)
    assert len(report.candidates) == 3
    assert "1 finished candidates taken from an earlier run." in lines
    assert sum(line.startswith("Building") for line in lines) == 2
    whole = searched(spec.model_copy(update={"out": str(desk / "whole")}))
    assert [one.candidate.sha256 for one in whole.candidates] == [one.candidate.sha256 for one in report.candidates]


@pytest.mark.slow
def test_a_device_that_goes_away_ends_the_study_and_fails_no_trial(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure, gone = search_jobs._measure, [True]

    def of_study(study: Study) -> Callable[..., LatencyReport]:
        real = measure(study)

        def measured(paths: tuple[Path, ...], *watched: Any) -> LatencyReport:
            if len(paths) > 1 and gone:
                raise DeviceError("pi does not answer any more")
            return real(paths, *watched)

        return measured

    monkeypatch.setattr(search_jobs, "_measure", of_study)
    spec = job(desk, objectives=["metric", "memory"], strategy="random", stop={"candidates": 1}, latency_seconds=0.2)
    with pytest.raises(DeviceError, match="does not answer any more"):
        searched(spec)
    gone.clear()
    report = searched(spec)
    assert len(report.candidates) == 1
    assert report.failed == ()


def test_two_searches_do_not_share_a_folder_at_the_same_time(desk: Path) -> None:
    (desk / "found").mkdir()
    lock = ProjectLock(desk / "found" / "study")
    lock.acquire()
    with pytest.raises(BadInputError, match="another search is at work in this folder"):
        searched(job(desk))
    lock.release()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"budgets": {"macs_ratio": 0.001}}, "no candidate can be within the budget of macs"),
        ({"device": "moon"}, "moon"),
        ({"steps": [{"method": "train.finetune"}], "knobs": {}}, "there is nothing to search"),
        ({"strategy": {"name": "greedy", "parameters": {"targets": 0}}}, "targets"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_built(desk: Path, content: dict[str, Any], said: str) -> None:
    lines: list[str] = []
    with pytest.raises(BadInputError, match=said):
        searched(job(desk, **content), log=lines.append)
    assert not any(line.startswith("Building") for line in lines)


@pytest.mark.slow
def test_a_trial_that_takes_too_long_is_given_up_and_gone_on_with(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = {"method": "train.finetune", "parameters": {"epochs": 1000, "batch_size": 16, "threads": 1}}
    pruning = {"method": "prune.l1", "parameters": {"statistics_samples": 0, "restore_batch_norm": False}}
    monkeypatch.setattr("workbench.methods.search.loop._OVERTIME_SECONDS", 2.0)
    spec = job(desk, steps=[pruning, training], strategy="random", stop={"minutes": 0.1})
    lines: list[str] = []
    report = searched(spec, log=lines.append)
    assert not report.candidates
    assert not report.failed
    assert any(line.startswith("The time is over by far") for line in lines)
    assert report.stopped == "0.1 minutes are over"
    assert list((desk / "found" / "steps").glob("*.epochs"))
