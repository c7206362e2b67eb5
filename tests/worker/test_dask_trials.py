"""A study on a real cluster of two worker processes, one of which dies in the middle of a trial."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.desk_files import write_desk
from workbench.api import ModelGraph
from workbench.data.description_file import read_data_description
from workbench.domain.errors import BadInputError, ClusterLostError
from workbench.domain.search_reports import SearchReport
from workbench.domain.study import Study
from workbench.jobs.context import JobContext
from workbench.jobs.specs import SearchJob
from workbench.worker.dispatch import run_job
from workbench.worker.installed_methods import installed_methods

distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

MANIFEST = """\
[plugin]
id = "mortal"
title = "Mortal"
version = "1.0"
api = 1

[[method]]
id = "mine.mortal"
object = "mortal:Mortal"
"""

MORTAL = """\
import os
from pathlib import Path

from workbench.api import Knob, Method, MethodResult, Stage

FATE = Knob("fate", "Fate", "", untouched="live", choices=("live", "die", "raise"), sweep=("die",))
MARK = Path(__file__).with_name("died")


class Mortal(Method):
    id = "mine.mortal"
    title = "Mortal"
    stage = Stage.PRUNE
    knobs = (FATE,)

    def sweep_obstacle(self):
        return "it may die"

    def apply(self, graph, plan, tools):
        fates = {line.get("fate", "live") for line in plan.values()}
        if "raise" in fates:
            raise ValueError("not today")
        if "die" in fates and not MARK.exists():
            MARK.write_text("once")
            os._exit(9)
        return MethodResult(graph)
"""


@pytest.fixture
def desk(small_cnn: ModelGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    write_desk(tmp_path, small_cnn)
    plugin = tmp_path / "plugins" / "mortal"
    plugin.mkdir(parents=True)
    (plugin / "plugin.toml").write_text(MANIFEST, encoding="utf-8")
    (plugin / "mortal.py").write_text(MORTAL, encoding="utf-8")
    monkeypatch.setenv("WORKBENCH_PLUGINS", str(tmp_path / "plugins"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    installed_methods.cache_clear()
    yield tmp_path
    installed_methods.cache_clear()


def test_nothing_is_lost_and_nothing_counted_twice_when_a_worker_dies(desk: Path) -> None:
    study = Study.model_validate(
        {
            "data": read_data_description(desk / "data.yaml"),
            "steps": [
                {"method": "mine.mortal"},
                {"method": "quantize.ptq", "parameters": {"calibration_samples": 32}},
            ],
            "knobs": {"fate": ["die", "raise"], "weight_bits": {"values": [8, 4], "together": True}},
            "layers": ["Conv_0"],
            "objectives": ["metric", "size"],
            "reference": {"metric": 0.0},
            "strategy": "random",
            "stop": {"stagnation": 30},
        }
    )
    lines: list[str] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        spec = SearchJob(
            model=str(desk / "model.onnx"), study=study, out=str(desk / "found"), scheduler=cluster.scheduler_address
        )
        report = SearchReport.model_validate(run_job(spec, JobContext(log=lines.append)))
    assert (desk / "plugins" / "mortal" / "died").exists()
    # Of 3 fates and 3 precisions: the original is no candidate, three of the others raise.
    assert len(report.candidates) == 5
    assert len({json.dumps(one.settings, sort_keys=True) for one in report.candidates}) == 5
    assert [failed.reason.count("not today") for failed in report.failed] == [1, 1, 1]
    for candidate in report.candidates:
        assert Path(candidate.candidate.path).is_file()
    assert any("2 worker(s)" in line for line in lines)


def test_model_and_data_survive_the_only_worker_that_holds_them(desk: Path) -> None:
    study = Study.model_validate(
        {
            "data": read_data_description(desk / "data.yaml"),
            "steps": [{"method": "mine.mortal"}],
            "knobs": {"fate": {"values": ["die"], "required": True}},
            "layers": ["Conv_0"],
            "objectives": ["metric", "size"],
            "strategy": "random",
            "stop": {"candidates": 1},
        }
    )
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        spec = SearchJob(
            model=str(desk / "model.onnx"), study=study, out=str(desk / "found"), scheduler=cluster.scheduler_address
        )
        report = SearchReport.model_validate(run_job(spec, JobContext()))
    assert (desk / "plugins" / "mortal" / "died").exists()
    assert (len(report.candidates), report.failed) == (1, ())


def test_a_scheduler_that_goes_away_ends_the_study_and_fails_no_trial(desk: Path) -> None:
    study = Study.model_validate(
        {
            "data": read_data_description(desk / "data.yaml"),
            "steps": [{"method": "quantize.ptq", "parameters": {"calibration_samples": 32}}],
            "knobs": {"weight_bits": [8, 4]},
            "objectives": ["metric", "size"],
            "reference": {"metric": 0.0},
            "strategy": "random",
            "stop": {"candidates": 3},
        }
    )
    spec = SearchJob(model=str(desk / "model.onnx"), study=study, out=str(desk / "found"))
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:

        def log(line: str) -> None:
            if line.startswith("Candidate 1"):
                cluster.close()

        there = spec.model_copy(update={"scheduler": cluster.scheduler_address})
        with pytest.raises(ClusterLostError, match=r"no longer answers.*goes on where it was"):
            run_job(there, JobContext(log=log))
    report = SearchReport.model_validate(run_job(spec, JobContext()))
    assert len(report.candidates) == 3
    assert report.failed == ()


def test_a_scheduler_that_does_not_answer_is_one_line(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.worker.dask_trials._CONNECT_SECONDS", 1)
    study = Study.model_validate({"data": read_data_description(desk / "data.yaml")})
    spec = SearchJob(model=str(desk / "model.onnx"), study=study, out=str(desk / "x"), scheduler="tcp://127.0.0.1:9")
    with pytest.raises(BadInputError, match="no Dask scheduler answers"):
        run_job(spec, JobContext())
