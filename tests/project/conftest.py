"""Values to fill a project with, and folders of the user that belong to the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.domain.data_description import DataDescription, Split
from workbench.domain.measurements import MetricMeasurement, SensitivityPoint
from workbench.domain.plan import Plan
from workbench.domain.recipe import Recipe, Step
from workbench.domain.reports import CandidateFile, CandidateReport, InspectReport, LayerReport, ModelSummary
from workbench.project import places
from workbench.project.state import Candidate, ModelReference, Sensitivities


class Samples:
    """Makes small values that are told apart by a name or number."""

    def model(self, name: str = "a") -> ModelReference:
        return ModelReference(path=f"/models/{name}.onnx", sha256=name * 8)

    def summary(self, name: str = "a") -> ModelSummary:
        return ModelSummary(path=f"/models/{name}.onnx", sha256=name * 8, opset=17, params=10, macs=20, size_bytes=30)

    def inspect(self, name: str = "a") -> InspectReport:
        layer = LayerReport(
            name="conv1", op="Conv", weight="w", weight_shape=(4, 3, 3, 3), output_shape=("N", 4, 8, 8), params=108,
            macs=6912, weight_bytes=432, knobs=("prune_ratio",),
        )  # fmt: skip
        return InspectReport(model=self.summary(name), layers=(layer,), groups=())

    def data(self, name: str = "a") -> DataDescription:
        split = Split(reader="npz", path=f"{name}.npz", inputs="x", targets="y", extra={"key": 1})
        return DataDescription(train=split, test=split, augment=("flip",))

    def metric(self, value: float = 0.9) -> MetricMeasurement:
        return MetricMeasurement(metric="top1", value=value, samples=100, ci95=(float("-inf"), float("inf")))

    def point(self, layer: str, value: float = 4) -> SensitivityPoint:
        return SensitivityPoint(layer=layer, value=value, metric=0.8, drop=0.1, ci95=(0.0, 0.2), samples=100)

    def sensitivities(self, *layers: str, knob: str = "weight_bits") -> Sensitivities:
        points = tuple(self.point(layer) for layer in layers)
        return Sensitivities(method="quantize.ptq", knob=knob, metric="top1", baseline=self.metric(), points=points)

    def candidate(self, name: str, artifact: str = "0" * 64) -> Candidate:
        data = self.data().model_copy(update={"folder": "/somewhere/else"})
        recipe = Recipe(
            data=data,
            plan=Plan(default={"weight_bits": 8}, layers={"*": {"prune_ratio": 0.25}}),
            steps=(Step(method="quantize.ptq", parameters={"calibration_samples": 256}),),
        )
        file = CandidateFile(path=f"/runs/{name}.onnx", sha256=artifact, size_bytes=1, params=2, macs=3)
        report = CandidateReport(
            model=self.summary(), candidate=file, metric=self.metric(), recipe_sha256=recipe.sha256()
        )
        return Candidate(
            id=name, name=name, recipe=recipe, report=report, artifact=artifact, created="2026-01-01T00:00:00Z"
        )


@pytest.fixture(scope="session")
def samples() -> Samples:
    return Samples()


@pytest.fixture
def user_folders(tmp_path, monkeypatch) -> Path:
    """Folders of the user within the test's own."""
    monkeypatch.setattr(places.platformdirs, "user_data_path", lambda *args, **kwargs: tmp_path / "data")
    monkeypatch.setattr(places.platformdirs, "user_config_path", lambda *args, **kwargs: tmp_path / "config")
    return tmp_path
