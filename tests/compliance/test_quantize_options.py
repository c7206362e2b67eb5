"""Every choice that the quantizing methods offer keeps the promises that the compliance suite tries with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import pytest

from workbench.domain.cancel import CancelToken
from workbench.domain.data_description import DataDescription
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.inference_ort.calibration import CALIBRATORS
from workbench.engines.training_torch import TorchEngine
from workbench.graph.trial_graph import CLASSES, INPUT_SHAPE
from workbench.methods.registry import MethodRegistry
from workbench.plugin_host.loader import load_methods
from workbench.plugin_host.manifests import find_plugins
from workbench.plugin_host.trial import Trial

(MANIFEST,) = [manifest for manifest in find_plugins().manifests if manifest.id == "quantize"]
METHODS = {method.id: method for method in load_methods(MANIFEST)}


@dataclass(frozen=True)
class Case:
    """A method with parameters that are not its defaults, and the bits of all layers."""

    method: str
    weight_bits: int = 8
    activation_bits: int = 8
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        words = [f"{name}={value}" for name, value in self.parameters.items() if name not in _BRIEF]
        return " ".join([f"{self.method}-w{self.weight_bits}a{self.activation_bits}", *words])


_TRAINING = {"epochs": 1, "batch_size": 32, "threads": 1, "calibration_samples": 32}
_LEARNING = {"samples": 32, "iterations": 8, "threads": 1}
_BRIEF = {*_TRAINING, *_LEARNING, "sensitivity_samples"}


def choices(method: str, parameter: str) -> list[Any]:
    """Return what a parameter may be, its default too."""
    return list(get_args(METHODS[method].Parameters.model_fields[parameter].annotation))


def ptq(weight: int = 8, activation: int = 8, **parameters: Any) -> Case:
    return Case("quantize.ptq", weight, activation, parameters)


def qat(weight: int = 4, activation: int = 4, **parameters: Any) -> Case:
    return Case("quantize.qat", weight, activation, {**_TRAINING, **parameters})


def mixed(**parameters: Any) -> Case:
    return Case("quantize.mixed", parameters={"sensitivity_samples": 32, **parameters})


CASES = [
    *(ptq(bits, bits, calibrator=name) for name in choices("quantize.ptq", "calibrator") for bits in (8, 4)),
    *(ptq(4, 8, weight_range=rule) for rule in choices("quantize.ptq", "weight_range")),
    *(ptq(4, 8, grid=grid) for grid in choices("quantize.ptq", "grid")),
    *(ptq(bits, 8, storage="small") for bits in (1, 2, 4)),
    *(ptq(16, 32, half_type=kind) for kind in choices("quantize.ptq", "half_type")),
    ptq(2, 8, grid="ternary", storage="small"),
    ptq(power_of_two_scales=True),
    ptq(activation_type="int8"),
    ptq(reduce_range=True),
    *(ptq(bits, 8, weight_scales="tensor") for bits in (8, 4, 1)),
    *(ptq(8, bits, activation_scheme="symmetric") for bits in (8, 4, 1)),
    ptq(activation_scheme="symmetric", activation_type="int8"),
    Case("quantize.gptq", 4, 8, {"weight_scales": "tensor"}),
    *(ptq(bits, 8, weight_scheme="affine") for bits in (8, 2)),
    ptq(4, 8, weight_scheme="affine", weight_scales="tensor", storage="small"),
    Case("quantize.gptq", 4, 8, {"weight_scheme": "affine"}),
    Case("quantize.reconstruct", 4, 8, {**_LEARNING, "weight_scheme": "affine"}),
    *(qat(4, 4, weight_scheme="affine", estimator=name) for name in ("lsq", "dorefa")),
    mixed(weight_scheme="affine", rounding="gptq"),
    ptq(pad_channels=False, convolve_shortcuts=False),
    ptq(4, 4, bias_correction=False),
    ptq(1, 1),
    Case("quantize.gptq", 3, 8, {"activation_order": False, "damping": 0.1}),
    Case("quantize.gptq", 4, 4, {"storage": "small", "bias_correction": False}),
    *(Case("quantize.reconstruct", 4, 8, {**_LEARNING, "unit": unit}) for unit in ("layer", "block")),
    Case("quantize.reconstruct", 4, 4, {**_LEARNING, "weight_scales": "tensor", "activation_scheme": "symmetric"}),
    Case("quantize.reconstruct", 4, 4, {**_LEARNING, "drop": 0.0, "scale_learning_rate": 0.0, "storage": "small"}),
    *(qat(estimator=name) for name in choices("quantize.qat", "estimator")),
    *(qat(1, 8, binary=name) for name in choices("quantize.qat", "binary")),
    *(qat(1, 8, binary=name, binary_branches=3) for name in choices("quantize.qat", "binary")),
    *(qat(1, 1, binary_slope=slope, binary_branches=2) for slope in choices("quantize.qat", "binary_slope")),
    *(qat(1, 8, ends=ends) for ends in choices("quantize.qat", "ends")),
    qat(2, 2, stages="w8, 4", epochs=3),
    qat(restore_batch_norm=False, learning_rate=0.001),
    qat(4, 4, weight_scales="tensor", activation_scheme="symmetric", restore_batch_norm=False, learning_rate=0.001),
    qat(2, 8, damping=1.0, storage="small"),
    qat(3, 3, statistics_samples=32, mixing=0.5),
    *(
        Case("quantize.weight_only", 4, 32, {name: value})
        for name in ("block_size", "weight_range", "rounding", "scaling", "arithmetic")
        for value in choices("quantize.weight_only", name)
    ),
    *(Case("quantize.weight_only", bits, 32, {"symmetric": False}) for bits in (2, 4, 8)),
    Case("quantize.weight_only", 4, 32, {"rounding": "gptq", "scaling": "awq", "activation_order": False}),
    *(Case("quantize.codebook", parameters={"start": start}) for start in choices("quantize.codebook", "start")),
    Case("quantize.codebook", parameters={"rounding": "gptq"}),
    Case("quantize.equalize", parameters={"rounds": 1, "tolerance": 0.1}),
    *(Case("quantize.smooth", parameters={"scope": "all", "alpha": alpha}) for alpha in (0.0, 1.0)),
    Case("quantize.smooth", parameters={"scope": "all", "insert": False}),
    *(mixed(sensitivity=name) for name in choices("quantize.mixed", "sensitivity")),
    *(mixed(rounding=name, average_bits=3.0) for name in choices("quantize.mixed", "rounding")),
    mixed(budget="plan"),
    mixed(budget="latency", latency_ratio=0.6),
    *(mixed(budget="bit_operations", activations=which, bit_operations=0.3) for which in ("plan", "chosen")),
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataDescription:
    """Made-up images with labels, to train, to calibrate and to choose by."""
    folder = tmp_path_factory.mktemp("trial")
    rng = np.random.default_rng(0)
    images = rng.standard_normal((64, *INPUT_SHAPE)).astype(np.float32)
    np.savez(folder / "d.npz", x=images, y=rng.integers(0, CLASSES, 64))
    split = {"reader": "npz", "path": "d.npz", "inputs": "x", "targets": "y"}
    return DataDescription.model_validate({"train": split, "test": split, "folder": str(folder)})


@pytest.fixture(scope="module")
def registry() -> MethodRegistry:
    """The plugin's methods."""
    found = MethodRegistry()
    for method in METHODS.values():
        found.register(method, MANIFEST.id)
    return found


def test_every_calibrator_and_every_method_is_among_the_cases() -> None:
    assert {case.parameters.get("calibrator") for case in CASES} >= {"auto", *CALIBRATORS}
    # It takes a quantized graph, has no parameters, and passes the suite as it is.
    assert {case.method for case in CASES} == set(METHODS) - {"quantize.to_float"}


_LONG = {"quantize.qat", "quantize.mixed"}  # a second or two each


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if case.method in _LONG else (), id=str(case)) for case in CASES],
)
def test_it_keeps_every_promise(case: Case, data: DataDescription, registry: MethodRegistry) -> None:
    settings = {"weight_bits": case.weight_bits, "activation_bits": case.activation_bits}
    knobs = {knob.name for knob in METHODS[case.method].knobs}
    trial = Trial(
        METHODS[case.method],
        registry,
        data,
        OrtEngine(threads=1),
        TorchEngine(threads=1),
        CancelToken(),
        parameters=case.parameters,
        settings={name: bits for name, bits in settings.items() if name in knobs},
    )
    trial.first_run()
    trial.input_untouched()
    trial.valid_graph()
    trial.both_engines()
    trial.deterministic()
    trial.progress_reported()
    trial.cancel_honoured()
    trial.report_in_json()
