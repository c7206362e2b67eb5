"""What all methods that quantize share: how ranges are found, and what the file is made of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workbench.api import Parameters


class QuantizationParameters(Parameters):
    """How a network is calibrated, and which rewritings make its integers fast."""

    calibrator: Literal["auto", "minmax", "percentile", "mse"] = Field(
        default="auto",
        description="How the range of an activation is found from the calibration samples; auto is minmax at 8 bits "
        "unless outliers cost a bit of resolution, and mse below.",
    )
    calibration_samples: int = Field(default=256, ge=1, description="Training samples that the ranges are taken from.")
    weight_range: Literal["auto", "minmax", "mse"] = Field(
        default="auto", description="Range of each output channel's weights; auto is minmax at 8 bits, mse below."
    )
    activation_type: Literal["uint8", "int8"] = Field(
        default="uint8", description="Container of activations; uint8 with int8 weights is the fast pair on x86."
    )
    pad_channels: bool = Field(
        default=True,
        description="Let integer convolutions of fewer than 16 channels read and make zeros as further channels, up to "
        "what the runtime computes fast: exact, and up to twice as fast. The file's multiplications count them.",
    )
    convolve_shortcuts: bool = Field(
        default=True,
        description="Compute padded shortcuts (a strided slice with zeros as further channels) as one integer "
        "convolution where that is faster; exact.",
    )
