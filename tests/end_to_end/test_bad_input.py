"""Every mistake of `bad_inputs` is one clear line from the command line and one typed failure from the worker."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from workbench.data.description_file import read_data_description
from workbench.domain.errors import WorkbenchError
from workbench.jobs.messages import Failed, Message, Result
from workbench.jobs.specs import EvaluateJob, JobSpec, PreviewDataJob
from workbench.jobs.supervisor import Supervisor


def _neighbour(name: str) -> ModuleType:
    """Import a file beside this one; pytest's importlib mode puts no folder on the path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES: dict[str, Any] = _neighbour("bad_inputs").BAD_INPUTS
BY_WORKER = [name for name, case in CASES.items() if case.spec is not None]
BY_COMMAND = [name for name, case in CASES.items() if not case.worker_only]

Submit = Callable[[JobSpec], Message]


@pytest.fixture(scope="module")
def submit(environment: dict[str, str]) -> Iterator[Submit]:
    """Return a function that has a real worker process do a job, as the window does, and returns its last message."""
    heard: dict[str, Message] = {}

    def hear(message: Message) -> None:
        heard[message.job] = message

    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with Supervisor([sys.executable, "-m", "workbench", "worker"], hear) as supervisor:

            def run(spec: JobSpec) -> Message:
                job = supervisor.submit(spec, title="job")
                assert supervisor.wait(job, timeout_s=60).finished
                return heard[job]

            yield run


@pytest.mark.parametrize("name", BY_COMMAND)
def test_command_line_says_it_in_one_line_and_changes_nothing(name, desk, workbench, snapshot) -> None:
    case = CASES[name]
    case.prepare(desk)
    before = snapshot(desk)
    done = workbench(desk, *case.arguments, "--json")
    assert done.status == case.status, done.err
    assert done.out == ""
    assert done.err.startswith("workbench: ")
    assert done.err.count("\n") == 1, done.err
    assert "Traceback" not in done.err
    assert [word for word in case.words if word not in done.err] == [], done.err
    assert snapshot(desk) == before


@pytest.mark.parametrize("name", BY_WORKER)
def test_worker_reports_it_as_a_failure_of_its_kind_and_lives_on(name, desk, submit, snapshot) -> None:
    case = CASES[name]
    case.prepare(desk)
    before = snapshot(desk)
    spec = case.spec(desk)
    said = submit(spec)
    assert isinstance(said, Failed), said
    error = WorkbenchError.from_json(said.error)
    assert error.kind == case.kind
    assert error.exit_status == case.status
    assert [word for word in case.words if word not in str(error)] == [], str(error)
    assert snapshot(desk) == before


def test_worker_that_reported_a_failure_still_does_its_next_job(desk, submit) -> None:
    good = CASES["labels missing"].spec(desk)
    assert isinstance(good, EvaluateJob)
    assert isinstance(submit(good.model_copy(update={"model": str(desk / "data.yaml")})), Failed)
    done = submit(good)
    assert isinstance(done, Result)
    assert done.payload["value"] == pytest.approx(0.9)


def test_preview_tells_the_wizard_why_data_do_not_fit(desk, submit) -> None:
    for name in ("wrong shape", "too many classes", "labels missing", "no such data file"):
        (desk / name).mkdir()
        for good in ("model.onnx", "data.yaml", "samples.npz"):
            (desk / name / good).write_bytes((desk / good).read_bytes())
        CASES[name].prepare(desk / name)
        data = read_data_description(desk / name / "data.yaml")
        said = submit(PreviewDataJob(model=str(desk / "model.onnx"), data=data))
        assert isinstance(said, Failed), name
        assert said.error["kind"] == "data"
        assert [word for word in CASES[name].words if word not in str(WorkbenchError.from_json(said.error))] == []
