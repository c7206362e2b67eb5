"""What people really give by mistake: each case sets a desk up wrongly and names the job and the words to expect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from workbench.data.description_file import read_data_description
from workbench.jobs.specs import CompressJob, EvaluateJob, InspectJob, JobSpec, ProfileJob, SweepJob
from workbench.methods.recipe_file import read_recipe


@dataclass(frozen=True)
class BadInput:
    """One mistake.

    Attributes:
        prepare: Makes the mistake in a good desk.
        arguments: Of the command line.
        kind: Of the error (`WorkbenchError.kind`).
        words: Parts of the message: what, where, expected, found, what to do.
        status: Of the process.
        spec: The same job as the window asks for it; None where the window reads the faulty file itself.
        worker_only: Another case shows already that the command line passes such an error on; processes cost a second.
    """

    prepare: Callable[[Path], None]
    arguments: tuple[str, ...]
    kind: str
    words: tuple[str, ...]
    status: int = 2
    spec: Callable[[Path], JobSpec] | None = None
    worker_only: bool = False


INSPECT = ("inspect", "model.onnx")
EVALUATE = ("evaluate", "model.onnx", "--data", "data.yaml")
COMPRESS = ("compress", "model.onnx", "--recipe", "recipe.yaml", "--out", "out.onnx", "--no-latency")
SWEEP = ("sweep", "model.onnx", "--data", "data.yaml", "--method", "quantize.ptq", "--knob", "weight_bits")


def inspect_job(desk: Path) -> JobSpec:
    return InspectJob(model=str(desk / "model.onnx"), drawing=True)


def evaluate_job(desk: Path) -> JobSpec:
    return EvaluateJob(model=str(desk / "model.onnx"), data=read_data_description(desk / "data.yaml"))


def profile_job(desk: Path) -> JobSpec:
    return ProfileJob(models=(str(desk / "model.onnx"),))


def compress_job(desk: Path) -> JobSpec:
    return CompressJob(
        model=str(desk / "model.onnx"),
        recipe=read_recipe(desk / "recipe.yaml"),
        out=str(desk / "out.onnx"),
        measure_latency=False,
    )


def sweep_job(knob: str, value: float, method: str = "quantize.ptq") -> Callable[[Path], JobSpec]:
    def spec(desk: Path) -> JobSpec:
        data = read_data_description(desk / "data.yaml")
        return SweepJob(model=str(desk / "model.onnx"), data=data, method=method, knob=knob, values=(value,))

    return spec


def model_bytes(content: bytes) -> Callable[[Path], None]:
    return lambda desk: (desk / "model.onnx").write_bytes(content) and None


def truncate(desk: Path) -> None:
    path = desk / "model.onnx"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def save_graph(desk: Path, nodes: list[onnx.NodeProto], shape: list[int | str], *domains: str) -> None:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)] if nodes else [],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), desk / "model.onnx")


def empty_graph(desk: Path) -> None:
    save_graph(desk, [], ["batch", 3, 8, 8])


def foreign_operator(desk: Path) -> None:
    node = helper.make_node("Sharpen", ["x"], ["y"], name="sharpen_1", domain="com.example")
    save_graph(desk, [node], ["batch", 3, 8, 8], "com.example")


def open_dimensions(desk: Path) -> None:
    save_graph(desk, [helper.make_node("Relu", ["x"], ["y"], name="relu")], ["batch", 3, "height", "width"])


def samples(**arrays: np.ndarray) -> Callable[[Path], None]:
    def prepare(desk: Path) -> None:
        with np.load(desk / "samples.npz") as good:
            changed = {**good, **arrays}
        np.savez(desk / "samples.npz", **changed)

    return prepare


def replace_text(name: str, old: str, new: str) -> Callable[[Path], None]:
    def prepare(desk: Path) -> None:
        text = (desk / name).read_text(encoding="utf-8")
        assert old in text
        (desk / name).write_text(text.replace(old, new), encoding="utf-8")

    return prepare


def data(old: str, new: str) -> Callable[[Path], None]:
    return replace_text("data.yaml", old, new)


def recipe(old: str, new: str) -> Callable[[Path], None]:
    return replace_text("recipe.yaml", old, new)


def nothing(desk: Path) -> None:
    """Leave the desk as it is: the mistake is in the arguments."""


RNG = np.random.default_rng(0)

BAD_INPUTS: dict[str, BadInput] = {
    "no such model": BadInput(
        lambda desk: (desk / "model.onnx").unlink(),
        INSPECT,
        "model_file",
        ("model.onnx", "there is no such file", "Check the path"),
        spec=inspect_job,
    ),
    "not an ONNX file": BadInput(
        model_bytes(b"PK\x03\x04 weights"),
        INSPECT,
        "model_file",
        ("model.onnx", "is not an ONNX file", "zip archive"),
        spec=inspect_job,
    ),
    "text as a model": BadInput(
        model_bytes(b"These are my notes on the model.\n"),
        EVALUATE,
        "model_file",
        ("model.onnx", "is not an ONNX file", "Expected"),
        spec=evaluate_job,
        worker_only=True,
    ),
    "empty file": BadInput(
        model_bytes(b""), INSPECT, "model_file", ("is empty (0 bytes)",), spec=inspect_job, worker_only=True
    ),
    "truncated": BadInput(
        truncate, COMPRESS, "model_file", ("model.onnx", "it ends after", "copy it again"), spec=compress_job
    ),
    "empty graph": BadInput(
        empty_graph, INSPECT, "model_file", ("model.onnx", "its graph is empty", "at least one"), spec=inspect_job
    ),
    "foreign operator": BadInput(
        foreign_operator,
        EVALUATE,
        "unsupported_graph",
        ("com.example", "Sharpen", "sharpen_1", "Export the model with standard"),
        spec=evaluate_job,
    ),
    "open dimensions": BadInput(
        open_dimensions,
        ("profile", "model.onnx", "--seconds", "0.1"),
        "open_dimensions",
        ("model.onnx", "height"),
        spec=profile_job,
    ),
    "open dimensions of what latency is measured on": BadInput(
        open_dimensions,
        COMPRESS[:-1],
        "open_dimensions",
        ("model.onnx", "height, width", "--dimension height="),
        spec=lambda desk: CompressJob(
            model=str(desk / "model.onnx"), recipe=read_recipe(desk / "recipe.yaml"), out=str(desk / "out.onnx")
        ),
        worker_only=True,
    ),
    "wrong shape": BadInput(
        samples(x=RNG.normal(size=(200, 8, 8, 3)).astype(np.float32)),
        EVALUATE,
        "data",
        ("(8, 8, 3)", "Expected (3, 8, 8)", "preprocess.layout: NHWC->NCHW"),
        spec=evaluate_job,
    ),
    "wrong element type": BadInput(
        data("metric: top1", "metric: top1\npreprocess: {dtype: int64}"),
        EVALUATE,
        "data",
        ("'x' gets int64", "Expected float32", "preprocess.dtype"),
        spec=evaluate_job,
    ),
    "words as samples": BadInput(
        samples(x=np.array(["one"] * 200)),
        EVALUATE,
        "data",
        ("x",),
        spec=evaluate_job,
        worker_only=True,
    ),
    "too many classes": BadInput(
        samples(y=np.arange(200) % 10),
        EVALUATE,
        "data",
        ("labels go up to 9", "5 classes", "Expected labels from 0 to 4"),
        spec=evaluate_job,
    ),
    "labels missing": BadInput(
        data(", targets: y}", "}"),
        EVALUATE,
        "data",
        ("test.targets", "labels are missing", "Add test.targets"),
        spec=evaluate_job,
    ),
    "fewer labels than samples": BadInput(
        samples(y=np.zeros(150, np.int64)), EVALUATE, "data", ("150", "200"), spec=evaluate_job, worker_only=True
    ),
    "no such array": BadInput(
        data("targets: y", "targets: labels"), EVALUATE, "data", ("'labels'", "x"), spec=evaluate_job, worker_only=True
    ),
    "no such data file": BadInput(
        data("samples.npz", "other.npz"),
        EVALUATE,
        "data",
        ("other.npz", "does not exist"),
        spec=evaluate_job,
        worker_only=True,
    ),
    "no such data description": BadInput(
        lambda desk: (desk / "data.yaml").unlink(), EVALUATE, "data", ("data.yaml", "there is no data description")
    ),
    "data description is not YAML": BadInput(
        data("test: {reader", "test: {{reader"), EVALUATE, "data", ("data.yaml line", "not valid YAML")
    ),
    "unknown key": BadInput(
        data("metric: top1", "metrik: top1"), EVALUATE, "data", ("data.yaml", "metrik", "no such key")
    ),
    "unknown metric": BadInput(
        data("metric: top1", "metric: top9"), EVALUATE, "data", ("top9", "top5"), spec=evaluate_job, worker_only=True
    ),
    "unknown method": BadInput(
        recipe("prune.l1", "prune.l3"),
        COMPRESS,
        "recipe",
        ("step 1", "unknown method 'prune.l3'", "prune.l1", "install the plugin"),
        spec=compress_job,
    ),
    "unknown knob": BadInput(
        recipe("prune_ratio", "prune_share"),
        COMPRESS,
        "recipe",
        ("plan.default", "unknown knob 'prune_share'", "prune_ratio"),
        spec=compress_job,
    ),
    "glob that matches nothing": BadInput(
        recipe("activation_bits: 8}}", "activation_bits: 8}, layers: {'*attention*': {weight_bits: 8}}}"),
        COMPRESS,
        "recipe",
        ("'*attention*'", "matches no layer", "Conv_0", "workbench inspect"),
        spec=compress_job,
    ),
    "value out of range": BadInput(
        recipe("prune_ratio: 0.25", "prune_ratio: 1.5"),
        COMPRESS,
        "recipe",
        ("plan.default", "prune_ratio is 1.5", "from 0 to 0.95"),
        spec=compress_job,
    ),
    "value of the wrong type": BadInput(
        recipe("weight_bits: 8", "weight_bits: few"),
        COMPRESS,
        "recipe",
        ("weight_bits is 'few'", "one of 1, 2, 3"),
        spec=compress_job,
        worker_only=True,
    ),
    "parameter out of range": BadInput(
        recipe("calibration_samples: 32", "calibration_samples: -1"),
        COMPRESS,
        "recipe",
        ("step 2 (quantize.ptq)", "calibration_samples", "-1"),
        spec=compress_job,
        worker_only=True,
    ),
    "unknown parameter": BadInput(
        recipe("calibration_samples: 32", "calibration: 32"),
        COMPRESS,
        "recipe",
        ("step 2 (quantize.ptq)", "calibration", "no such key"),
        spec=compress_job,
        worker_only=True,
    ),
    "recipe of another version": BadInput(recipe("version: 1", "version: 7"), COMPRESS, "recipe", ("version", "7")),
    "recipe without the data that it needs": BadInput(
        recipe("data: data.yaml\n", ""),
        COMPRESS,
        "recipe",
        ("quantize.ptq needs data", "step"),
        spec=compress_job,
        worker_only=True,
    ),
    "no such recipe": BadInput(
        lambda desk: (desk / "recipe.yaml").unlink(), COMPRESS, "recipe", ("there is no recipe", "recipe.yaml")
    ),
    "sweep of an unknown method": BadInput(
        nothing,
        (*SWEEP[:5], "magic", *SWEEP[6:], "--values", "4"),
        "recipe",
        ("unknown method 'magic'", "quantize.ptq"),
        spec=sweep_job("weight_bits", 4, "magic"),
        worker_only=True,
    ),
    "sweep of a knob that the method does not read": BadInput(
        nothing,
        (*SWEEP[:6], "--knob", "prune_ratio", "--values", "0.5"),
        "recipe",
        ("quantize.ptq does not read prune_ratio", "prune.l1"),
        spec=sweep_job("prune_ratio", 0.5),
        worker_only=True,
    ),
    "sweep of a value out of range": BadInput(
        nothing,
        (*SWEEP, "--values", "4,77"),
        "recipe",
        ("weight_bits is 77", "one of 1, 2, 3"),
        spec=sweep_job("weight_bits", 77),
        worker_only=True,
    ),
    "candidate in place of the original": BadInput(
        nothing,
        ("compress", "model.onnx", "--recipe", "recipe.yaml", "--out", "model.onnx"),
        "bad_input",
        ("model.onnx", "would replace the original"),
    ),
    "folder that does not exist": BadInput(
        nothing,
        ("compress", "model.onnx", "--recipe", "recipe.yaml", "--out", "nowhere/out.onnx"),
        "storage",
        ("nowhere", "does not exist"),
        status=1,
    ),
    "unknown device of a recipe": BadInput(
        recipe("seed: 3", "seed: 3\ndevice: moon"),
        COMPRESS[:-1],
        "device",
        ("no device 'moon'", "local"),
        spec=lambda desk: CompressJob(
            model=str(desk / "model.onnx"), recipe=read_recipe(desk / "recipe.yaml"), out=str(desk / "out.onnx")
        ),
        worker_only=True,
    ),
    "unknown device": BadInput(
        nothing, ("profile", "model.onnx", "--device", "moon"), "device", ("no device 'moon'", "local")
    ),
}
