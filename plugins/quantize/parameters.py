"""What all methods that quantize share: how ranges are found, and what the file is made of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from workbench.api import CALIBRATORS, Calibrator, ModelGraph, Parameters

from .grids import Rounding
from .layers import takes_zero_points


class QuantizationParameters(Parameters):
    """How a network is calibrated, and which rewritings make its integers fast."""

    calibrator: Literal["auto", "minmax", "moving_average", "percentile", "mse", "entropy"] = Field(
        default="auto",
        title="Calibrator",
        description="How the range of an activation is found from the calibration samples; auto is minmax at 8 bits "
        "unless outliers cost a bit of resolution, and mse below.",
    )
    calibration_samples: int = Field(
        default=512, ge=1, title="Calibration samples", description="Training samples that the ranges are taken from."
    )
    percentile: float = Field(
        default=99.999,
        gt=50.0,
        le=100.0,
        title="Percentile",
        description="Share of values, in percent, that stays within the range; read by the percentile calibrator.",
    )
    momentum: float = Field(
        default=0.9,
        ge=0.0,
        lt=1.0,
        title="Momentum",
        description="Share of the average that stays when 32 more samples are averaged in; read by the moving average.",
    )
    weight_range: Literal["auto", "minmax", "mse"] = Field(
        default="auto",
        title="Weight range",
        description="Range of each output channel's weights; auto is minmax at 8 bits, mse below.",
    )
    weight_scales: Literal["channel", "tensor"] = Field(
        default="channel",
        title="Scales of weights",
        description="One scale for each output channel, or one for the whole weight, as some devices want: much less "
        "accurate below 8 bits where channels differ in size (put quantize.equalize first).",
    )
    weight_scheme: Literal["symmetric", "affine"] = Field(
        default="symmetric",
        title="Scheme of weights",
        description="symmetric takes the same range on both sides of zero; affine the range as it is, with a zero "
        "point: 0.4 points more on ResNet-20 at 4 bits without training. Convolutions stay on integers but lose the "
        "runtime's fastest kernels (1.1 to 1.3 times the time); matrix products lose nothing; depthwise convolutions "
        "stay symmetric, because zero points make them up to 70 times slower.",
    )
    activation_scheme: Literal["affine", "symmetric"] = Field(
        default="affine",
        title="Scheme of activations",
        description="affine takes the range as it is; symmetric the same range on both sides of zero, as some devices "
        "want, which wastes a bit behind rectifiers and fuses less here. Activations of 1 bit are affine.",
    )
    activation_type: Literal["uint8", "int8"] = Field(
        default="uint8",
        title="Activation type",
        description="Container of activations; uint8 with int8 weights is the fast pair on x86.",
    )
    reduce_range: bool = Field(
        default=False,
        title="Reduce the range of weights",
        description="Give 8-bit weights 7 bits, so that two products with unsigned activations stay within 16 bits: "
        "for processors without integer dot products (x86 without VNNI), where larger sums saturate. Costs a little "
        "accuracy, and nothing is gained elsewhere.",
    )
    pad_channels: bool = Field(
        default=True,
        title="Pad channels",
        description="Let integer convolutions of fewer than 16 channels read and make zeros as further channels, up to "
        "what the runtime computes fast: exact, and up to twice as fast. The file's multiplications count them.",
    )
    storage: Literal["fast", "small"] = Field(
        default="fast",
        title="Storage of weights",
        description="How weights of fewer than 8 bits lie in the file: fast keeps them in int8, which every runtime "
        "from opset 13 on reads; small stores them in 4 or 2 bits (int4, int2, or codes with a table), which the "
        "runtime unpacks while it loads the file: the same results at the same speed from a smaller file of opset 21 "
        "or 25. Where runtime or model can't, they stay in int8 and a note says so.",
    )
    linear_resize: Literal["float", "integer"] = Field(
        default="float",
        title="Linear resizing",
        description="Between integer layers, float is faster and finer (integers took 1.2 to 1.9 times as long in ONNX "
        "Runtime 1.31 and were up to 6 levels off, which float is not); integer is for devices that compute on "
        "integers alone. Nearest resizing always runs on integers.",
    )
    half_type: Literal["float16", "bfloat16"] = Field(
        default="float16",
        title="16-bit type",
        description="What weights of 16 bits are stored as: float16 is finer, bfloat16 has float32's range.",
    )
    convolve_shortcuts: bool = Field(
        default=True,
        title="Convolve shortcuts",
        description="Compute padded shortcuts (a strided slice with zeros as further channels) as one integer "
        "convolution where that is faster; exact.",
    )

    def calibration(self) -> QuantizationParameters:
        """Return what of this concerns calibration and rounding alone."""
        return self

    @property
    def levels(self) -> Rounding:
        """How weights are rounded beyond their range."""
        return Rounding()

    def quick(self) -> QuantizationParameters:
        """Return the same for a stand-in: one sample and plain ranges, which change no node and no number format."""
        update = {"calibration_samples": 1, "calibrator": "minmax", "weight_range": "minmax"}
        return self.calibration().model_copy(update=update)

    def with_zero_points(self, graph: ModelGraph, layer: str) -> bool:
        """Whether a layer's weight gets zero points if it is rounded."""
        return self.weight_scheme == "affine" and takes_zero_points(graph, layer)

    def reach(self, low: float, high: float, bits: int) -> tuple[float, float]:
        """Return the range that activations of so many bits get where [low, high] was found."""
        if self.activation_scheme == "affine" or bits == 1:
            return low, high
        farthest, positive = max(-low, high), 2 ** (bits - 1) - 1
        # Below zero there is one level more.
        return -farthest * (positive + 1) / positive, farthest

    def calibrator_of(self, value: str) -> Calibrator:
        """Return a new calibrator for the value of that name."""
        own: dict[str, dict[str, float]] = {
            "percentile": {"percentile": self.percentile},
            "moving_average": {"momentum": self.momentum},
        }
        return CALIBRATORS[self.calibrator](value, **own.get(self.calibrator, {}))


class CorrectedParameters(QuantizationParameters):
    """Of methods that can take the mean error of rounding out of the biases when all is rounded."""

    bias_correction: bool = Field(
        default=True,
        title="Bias correction",
        description="Take the mean error of every layer's outputs on the calibration samples out of its bias, layer by "
        "layer: up to 12 dB nearer to the original at 8 bits in models that were tried, and worth more below. The file "
        "gets no slower. Biases stay as they are where no mean error reaches 1 % of its layer's deviation.",
    )
