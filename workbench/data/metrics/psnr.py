"""Peak signal-to-noise ratio, for models that make pictures (super-resolution, denoising)."""

from __future__ import annotations

import numpy as np

from workbench.data.metrics._base import Metric, decibel, same_shape

_IDENTICAL_DB = 100.0


class Psnr(Metric):
    """Mean over pictures of 10·log₁₀(peak² / MSE); `options.peak` defaults to 1, a perfect picture counts 100 dB."""

    name = "psnr"
    title = "PSNR"
    unit = "dB"

    def records(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the PSNR of each picture."""
        found, wanted = same_shape(outputs, targets)
        peak = float(self.options.get("peak", 1.0))
        with np.errstate(divide="ignore"):
            ratio = peak**2 / ((found - wanted) ** 2).mean(axis=1, keepdims=True)
        return decibel(ratio, _IDENTICAL_DB)
