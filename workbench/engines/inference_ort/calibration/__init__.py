"""Finds the range that each value is quantized over, from batches that stream by."""

from collections.abc import Callable

from workbench.engines.inference_ort.calibration._base import Calibrator
from workbench.engines.inference_ort.calibration.automatic import Automatic
from workbench.engines.inference_ort.calibration.min_max import MinMax
from workbench.engines.inference_ort.calibration.mse import LeastSquares
from workbench.engines.inference_ort.calibration.percentile import Percentile

CALIBRATORS: dict[str, Callable[[str], Calibrator]] = {
    "auto": Automatic,
    "minmax": MinMax,
    "percentile": Percentile,
    "mse": LeastSquares,
}

__all__ = ["CALIBRATORS", "Automatic", "Calibrator", "LeastSquares", "MinMax", "Percentile"]
