"""A whole study through the command line: a front of measured files, resumed after a kill, honest about failures."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from workbench.project.document import Document

STUDY = """\
version: 1
data: data.yaml
objectives: [metric, size, latency]
reference: {metric: 0.0}
steps:
- {method: prune.depth, parameters: {statistics_samples: 0}}
- {method: prune.l1, parameters: {statistics_samples: 0}}
- {method: quantize.ptq, parameters: {calibration_samples: 32}}
knobs:
  keep: [no]
  prune_ratio: [0.5]
  weight_bits: {values: [8], together: true}
  activation_bits: {values: [8], together: true}
channel_multiple: 1
sensitivity_samples: 50
latency_seconds: 0.4
stop: {candidates: 2}
"""

MOODS = """\
import os

import numpy as np

from workbench.api import Knob, Method, MethodResult, Stage

MOOD = Knob("mood", "Mood", "", untouched="fine", choices=("fine", "raise", "die", "nan", "ruin"), sweep=("raise",))


class Moody(Method):
    id = "mine.moody"
    title = "Moody"
    stage = Stage.PRUNE
    knobs = (MOOD,)

    def sweep_obstacle(self):
        return "it has moods"

    def apply(self, graph, plan, tools):
        moods = {line.get("mood", "fine") for line in plan.values()}
        if "raise" in moods:
            raise ValueError("not today")
        if "die" in moods:
            os.kill(os.getpid(), 9)
        if "nan" in moods:
            name = graph.initializers[0]
            return MethodResult(graph.with_initializers({name: np.full_like(graph.constant(name), np.nan)}))
        if "ruin" in moods:
            return MethodResult(graph.with_initializers({"w3": -graph.constant("w3")}))
        return MethodResult(graph)
"""

MANIFEST = """\
[plugin]
id = "mine"
title = "Mine"
version = "1.0"
api = 1

[[method]]
id = "mine.moody"
object = "moody:Moody"
"""


def searched(desk: Path, study: str, *arguments: str) -> tuple[str, ...]:
    (desk / "study.yaml").write_text(study, encoding="utf-8")
    return ("search", "model.onnx", "--study", "study.yaml", "--out", "found", *arguments)


def settings(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [candidate["settings"] for candidate in report["candidates"]]


def test_a_study_leaves_a_front_of_measured_files_that_their_recipes_make_again(desk: Path, workbench) -> None:
    done = workbench(desk, *searched(desk, STUDY, "--json", "--project", "p.mcw"))
    report = done.json
    assert {"objective", "budgets", "baseline", "candidates", "hypervolume", "seconds"} <= set(report)
    assert report["objective"] == ["metric", "size", "latency"]
    assert report["baseline"]["value"] == pytest.approx(0.9)
    assert len(report["candidates"]) == 2
    assert any(candidate["on_front"] for candidate in report["candidates"])
    assert report["chosen"] is not None
    assert report["hypervolume"] > 0
    assert settings(report)[0] != settings(report)[1]
    for candidate in report["candidates"]:
        file = Path(candidate["candidate"]["path"])
        assert hashlib.sha256(file.read_bytes()).hexdigest() == candidate["candidate"]["sha256"] == file.stem
        assert candidate["latency"]["ratio_to_first"]["median"] == pytest.approx(candidate["costs"]["latency"])
        assert candidate["foretold"]["costs"]["latency"]["value"] > 0
    last = report["candidates"][-1]
    again = workbench(
        desk, "compress", "model.onnx", "--recipe", last["recipe_path"], "--out", "again.onnx", "--no-latency", "--json"
    ).json
    assert again["candidate"]["sha256"] == last["candidate"]["sha256"]
    assert again["recipe_sha256"] == last["recipe_sha256"]
    assert json.loads((desk / "found" / "front.json").read_text())["chosen"] == report["chosen"]
    with Document.open(desk / "p.mcw") as project:
        assert len(project.state.candidates) == 2

    # The same command finds everything done, and records nothing twice.
    done = workbench(desk, *searched(desk, STUDY, "--json", "--project", "p.mcw"))
    assert [one["candidate"]["sha256"] for one in done.json["candidates"]] == [
        one["candidate"]["sha256"] for one in report["candidates"]
    ]
    assert "Building" not in done.err
    with Document.open(desk / "p.mcw") as project:
        assert len(project.state.candidates) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_search_goes_on_and_builds_nothing_twice(desk: Path, workbench, environment) -> None:
    study = STUDY.replace("size, latency", "size").replace("candidates: 2", "candidates: 3") + "strategy: random\n"
    arguments = searched(desk, study)
    command = [sys.executable, "-m", "workbench", *arguments]
    process = subprocess.Popen(command, cwd=desk, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with process:
        for line in process.stderr:
            if line.startswith("Candidate 1"):
                process.kill()
                break
    assert process.returncode == -9
    journal = desk / "found" / "journal.jsonl"
    # A write that the kill cut short.
    with journal.open("a") as file:
        file.write('{"type": "fin')
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done = workbench(desk, *arguments, "--json")
        if done.status != 2:  # the killed one's own process may still hold its worker
            break
    report = done.json
    assert len(report["candidates"]) == 3
    assert done.err.count("Building") == 2
    finished = [json.loads(line) for line in journal.read_text().splitlines()]
    assert sum(line["type"] == "finished" for line in finished) == 3
    assert not list((desk / "found" / "candidates").glob("building-*"))


@pytest.fixture
def moody(tmp_path: Path) -> dict[str, str]:
    """Environment with a plugin that has moods."""
    folder = tmp_path / "plugins" / "mine"
    folder.mkdir(parents=True)
    (folder / "plugin.toml").write_text(MANIFEST, encoding="utf-8")
    (folder / "moody.py").write_text(MOODS, encoding="utf-8")
    return {"WORKBENCH_PLUGINS": str(folder.parent)}


def test_trials_that_raise_die_or_lose_their_numbers_are_recorded_and_the_study_goes_on(
    desk: Path, workbench, moody: dict[str, str]
) -> None:
    # Numbers that are lost show in what compares outputs; the largest of none is still some class.
    data = "task: outputs\nmetric: cosine\ntest: {reader: npz, path: samples.npz, inputs: x}\n"
    (desk / "data.yaml").write_text(data, encoding="utf-8")
    study = """\
version: 1
data: data.yaml
steps: [{method: mine.moody}]
knobs: {mood: [raise, die, nan, ruin]}
layers: [Conv_0]
objectives: [metric, size]
reference: {metric: -2}
strategy: random
stop: {stagnation: 30}
"""
    done = workbench(desk, *searched(desk, study, "--json"), env=moody)
    report = done.json
    assert len(report["candidates"]) == 1
    reasons = " | ".join(failed["reason"] for failed in report["failed"])
    assert "ValueError: not today" in reasons
    assert "SIGKILL" in reasons
    assert "outputs is nan" in reasons


@pytest.mark.slow
def test_a_budget_that_nothing_can_meet_is_refused_before_anything_is_built(desk: Path, workbench) -> None:
    done = workbench(desk, *searched(desk, STUDY + "budgets: {size_ratio: 0.01}\n"))
    assert done.status == 2
    assert "no candidate can be within the budget of size" in done.err
    assert "with everything that is in play" in done.err
    assert "Building" not in done.err


@pytest.mark.slow
def test_a_budget_that_no_candidate_meets_ends_with_what_came_closest(
    desk: Path, workbench, moody: dict[str, str]
) -> None:
    study = """\
version: 1
data: data.yaml
steps: [{method: mine.moody}]
knobs: {mood: {values: [ruin], required: true}}
layers: [Conv_0]
objectives: [metric, size]
strategy: random
budgets: {metric_drop: 0.01}
"""
    done = workbench(desk, *searched(desk, study), env=moody)
    assert done.status == 1
    assert "no candidate is within the budgets (metric_drop 0.01)" in done.err
    assert "closest, candidate 1" in done.err
    assert "beyond metric" in done.err


@pytest.mark.slow
def test_another_study_does_not_go_into_the_same_folder(desk: Path, workbench) -> None:
    workbench(desk, *searched(desk, STUDY.replace("candidates: 2", "candidates: 1")))
    done = workbench(desk, *searched(desk, STUDY + "seed: 7\n"))
    assert done.status == 2
    assert "the folder holds the results of another study" in done.err
