"""Finds the range that each value is quantized over, from batches that stream by."""

from collections.abc import Callable

from workbench.engines.inference_ort.calibration._base import Calibrator
from workbench.engines.inference_ort.calibration.min_max import MinMax
from workbench.engines.inference_ort.calibration.mse import MeanSquaredError
from workbench.engines.inference_ort.calibration.percentile import Percentile

CALIBRATORS: dict[str, Callable[[str], Calibrator]] = {
    "minmax": MinMax,
    "percentile": Percentile,
    "mse": MeanSquaredError,
}

__all__ = ["CALIBRATORS", "Calibrator", "MeanSquaredError", "MinMax", "Percentile"]
