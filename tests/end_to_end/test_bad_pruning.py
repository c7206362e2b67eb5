"""Prunings that can't be done as asked are refused before a sample is read, naming layer or setting and the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench.data.description_file import read_data_description
from workbench.domain.errors import WorkbenchError
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob
from workbench.worker.dispatch import run_job

HALF = {"prune_ratio": 0.5}
Refused = Callable[..., str]


@pytest.fixture
def refused(desk: Path) -> Refused:
    """Return a function that has a job refused and returns the message; no step may have begun, no file be left."""

    def job(method: str, layers: Mapping[str, Any], *, data: str = "data.yaml", **parameters: Any) -> str:
        recipe = Recipe(
            data=read_data_description(desk / data) if data else None,
            plan=Plan(layers=layers),
            steps=(Step(method=method, parameters=parameters),),
        )
        out, lines = desk / "out.onnx", []
        spec = CompressJob(model=str(desk / "model.onnx"), recipe=recipe, out=str(out), measure_latency=False)
        with pytest.raises(WorkbenchError) as error:
            run_job(spec, JobContext(log=lines.append))
        assert not out.exists()
        assert not lines
        return str(error.value)

    return job


def says(message: str, *words: str) -> None:
    assert "\n" not in message
    assert [word for word in words if word not in message] == [], message


@pytest.mark.parametrize("ratio", [0.96, 1.0])
def test_ratio_that_would_remove_every_channel(refused: Refused, ratio: float) -> None:
    message = refused("prune.l1", {"Conv_0": {"prune_ratio": ratio}})
    says(message, "'Conv_0'", f"prune_ratio is {ratio:g}" if ratio < 1 else "prune_ratio is 1", "from 0 to 0.95")


@pytest.mark.parametrize("other", [0.0, 0.25])
def test_settings_that_contradict_each_other_inside_one_group(refused: Refused, other: float) -> None:
    message = refused("prune.l1", {"Conv_0": HALF, "Conv_2": {"prune_ratio": other}})
    says(
        message, f"'Conv_2' (prune_ratio {other:g})", "'Conv_0' (prune_ratio 0.5)", "share their channels", "same value"
    )


def test_layer_that_can_not_be_pruned_at_all(refused: Refused) -> None:
    says(refused("prune.l1", {"Gemm_7": HALF}), "'Gemm_7'", "reaches graph output 'y'")


def test_target_that_lines_of_the_plan_put_out_of_reach(refused: Refused) -> None:
    message = refused("prune.l1", {"Conv_0": {"prune_ratio": 0.0}}, target="macs", target_ratio=0.3)
    says(message, "target_ratio", "0.3 of the original's multiplications can't be met", "lines for Conv_0")


@pytest.mark.parametrize("method", ["prune.taylor", "prune.fisher", "prune.apoz", "prune.lasso", "prune.feature_rank"])
def test_criterion_without_the_data_that_it_needs(refused: Refused, method: str) -> None:
    says(refused(method, {"Conv_0": HALF}, data=""), f"{method} needs data", "DATA.yaml")


@pytest.mark.parametrize("method", ["prune.taylor", "prune.fisher"])
def test_criterion_without_the_labels_that_it_needs(refused: Refused, desk: Path, method: str) -> None:
    text = (desk / "data.yaml").read_text(encoding="utf-8")
    (desk / "blind.yaml").write_text(text.replace(", targets: y", "", 1), encoding="utf-8")
    message = refused(method, {"Conv_0": HALF}, data="blind.yaml")
    says(message, f"{method} needs labels", "train.targets", "without labels")


def test_criterion_without_a_train_split(refused: Refused, desk: Path) -> None:
    lines = (desk / "data.yaml").read_text(encoding="utf-8").splitlines()
    (desk / "test.yaml").write_text("\n".join(line for line in lines if not line.startswith("train")), encoding="utf-8")
    says(refused("prune.taylor", {"Conv_0": HALF}, data="test.yaml"), "no train split", "Add `train:")


def test_operator_without_gradient_behind_the_layer(refused: Refused, desk: Path) -> None:
    rng = np.random.default_rng(0)
    weights = {"w1": (8, 3, 3, 3), "w2": (5, 8)}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], name="first"),
        helper.make_node("GlobalAveragePool", ["a"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w2"], ["s"], name="head", transB=1),
        helper.make_node("Sign", ["s"], ["y"], name="steps"),
    ]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])]
    ends.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5]))
    arrays = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), name) for name, s in weights.items()]
    graph = helper.make_graph(nodes, "steps", ends[:1], ends[1:], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), desk / "model.onnx")
    message = refused("prune.taylor", {"first": HALF})
    says(message, "'first'", "Sign (node 'steps') has no gradient")
