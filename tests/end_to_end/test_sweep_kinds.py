"""The sweep verb's kinds: tables and JSON of each, and what doesn't go together."""

from __future__ import annotations

from pathlib import Path

import pytest

SWEEP = ("sweep", "model.onnx", "--data", "data.yaml", "--method", "quantize.ptq", "--knob", "weight_bits")
FEW = ("--set", "calibration_samples=16")


def test_estimates_are_labelled_and_compared_with_what_the_project_has(desk: Path, workbench) -> None:
    first = workbench(desk, *SWEEP, "--values", "8,4,2", *FEW, "--estimate")
    assert first.status == 0
    assert "ESTIMATE" in first.out
    assert "not compared with measured drops yet" in first.out
    assert workbench(desk, *SWEEP, "--values", "8,4,2", *FEW, "--project", "p.mcw").status == 0
    report = workbench(desk, *SWEEP, "--values", "8,4,2", *FEW, "--estimate", "--project", "p.mcw", "--json").json
    assert report["compared"] == 9
    assert {"layer", "value", "divergence"} == set(report["points"][0])


def test_what_a_project_is_told_is_stored_as_it_comes(desk: Path, workbench) -> None:
    """The project itself learns of a sweep at its end; a killed one must not begin anew."""
    sweep = (*SWEEP, "--values", "7,3", *FEW, "--json")
    first = workbench(desk, *sweep, "--project", "one.mcw").json
    assert first["evaluations"] > 1
    again = workbench(desk, *sweep, "--project", "two.mcw").json
    assert again["points"] == first["points"]
    assert again["evaluations"] == 1  # the original's own


@pytest.mark.slow
def test_an_estimate_says_what_it_looked_at(desk: Path, workbench) -> None:
    done = workbench(desk, *SWEEP, "--values", "4,2", *FEW, "--estimate", "--estimator", "fisher")
    assert done.status == 0
    assert "ESTIMATE by fisher" in done.out
    report = workbench(desk, *SWEEP, "--values", "4", *FEW, "--estimate", "--estimator", "hessian", "--json").json
    assert report["estimator"] == "hessian"
    assert len(report["points"]) == 3


@pytest.mark.slow
def test_pairs_and_all_but_one(desk: Path, workbench) -> None:
    pairs = workbench(desk, *SWEEP, "--values", "2", *FEW, "--pairs", "--json").json
    assert len(pairs["pairs"]) == 3
    shown = workbench(desk, *SWEEP, "--values", "2", *FEW, "--all-but", "--all-samples")
    assert "all layers but one set" in shown.out
    assert any(line.startswith("all layers ") for line in shown.out.splitlines())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--values", "8,2", "--pairs"), "--values names 2 values"),
        (("--values", "8", "--pairs", "--estimate"), "--estimate and --pairs ask for different things"),
        (("--values", "8", "--estimate", "--all-samples"), "an estimate keeps nothing"),
        (("--values", "8", "--estimator", "sqnr"), "Give --estimate too"),
        (("--values", "8", "--budget", "0.01", "--all-samples"), "--budget ends settings of a sweep early"),
        (("--values", "8", "--budget", "-1"), "a drop of 0 or more"),
    ],
)
def test_what_does_not_go_together_is_refused(desk: Path, workbench, options: tuple[str, ...], words: str) -> None:
    done = workbench(desk, *SWEEP, *options)
    assert (done.status, done.out) == (2, "")
    assert words in done.err
