"""Finds the range that each value is quantized over, from batches that stream by."""

from collections.abc import Callable

from workbench.engines.inference_ort.calibration._base import Calibrator
from workbench.engines.inference_ort.calibration.automatic import Automatic
from workbench.engines.inference_ort.calibration.entropy import Entropy
from workbench.engines.inference_ort.calibration.min_max import MinMax
from workbench.engines.inference_ort.calibration.moving_average import MovingAverage
from workbench.engines.inference_ort.calibration.mse import LeastSquares
from workbench.engines.inference_ort.calibration.percentile import Percentile

# Each takes the name of its value; settings of its own have defaults.
CALIBRATORS: dict[str, Callable[..., Calibrator]] = {
    "auto": Automatic,
    "minmax": MinMax,
    "moving_average": MovingAverage,
    "percentile": Percentile,
    "mse": LeastSquares,
    "entropy": Entropy,
}

__all__ = [
    "CALIBRATORS",
    "Automatic",
    "Calibrator",
    "Entropy",
    "LeastSquares",
    "MinMax",
    "MovingAverage",
    "Percentile",
]
