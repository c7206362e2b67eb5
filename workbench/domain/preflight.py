"""What is foretold before a recipe runs: which precisions this device is fast at, and what the plan will take."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from workbench.domain.measurements import DeviceDescription, Interval, Latency, Noise, Ratio

# Packed are 8- or 4-bit weights alone, in blocks that a matrix product unpacks while it multiplies.
KernelForm = Literal["float32", "uint8", "int8", "packed8", "packed4"]
FORM_TITLES: dict[KernelForm, str] = {
    "float32": "float",
    "uint8": "integers, unsigned activations",
    "int8": "integers, signed activations",
    "packed8": "packed weights of 8 bits",
    "packed4": "packed weights of 4 bits",
}
INTEGER_FORMS: frozenset[KernelForm] = frozenset({"uint8", "int8"})
PACKED_BITS: dict[KernelForm, int] = {"packed8": 8, "packed4": 4}

# The runtime's clock counts whole microseconds.
_CLOCK_STEP = 1.0


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KernelTime(_Value):
    """How long one layer takes by itself, its layout changes not counted, in microseconds with a 95 % interval."""

    form: KernelForm
    microseconds: float
    ci95: Interval


class LayerOutlook(_Value):
    """One layer of the model.

    Attributes:
        layer, op: Its name and operator.
        size: In words, such as "16×3×3×3 on 1×3×32×32".
        weight_bits, activation_bits: Of the plan; 32 is untouched.
        form: What the plan makes of its arithmetic.
        kernels: Times by form; empty where the operator has no integer kernel or its size is not known.
        refused: Forms that its operator has, but not the device's runtime.
        reason: Why there are no times.
    """

    layer: str
    op: str
    size: str
    weight_bits: int
    activation_bits: int
    form: KernelForm
    kernels: tuple[KernelTime, ...] = ()
    refused: tuple[KernelForm, ...] = ()
    reason: str = ""

    def time(self, form: KernelForm) -> KernelTime | None:
        """Return the time of one form."""
        return next((entry for entry in self.kernels if entry.form == form), None)

    def ratio(self, form: KernelForm) -> float | None:
        """Return the time of a form over that in float; None where one is not known or too short for the clock."""
        plain, other = self.time("float32"), self.time(form)
        if plain is None or other is None or plain.microseconds <= 0:
            return None
        return other.microseconds / plain.microseconds

    @property
    def slower(self) -> bool:
        """Whether what the plan makes of it is surely slower than float."""
        return self.surely_slower(self.form)

    def surely_slower(self, form: KernelForm) -> bool:
        """Return whether a form is slower than float beyond both intervals and the clock's step."""
        plain, other = self.time("float32"), self.time(form)
        return plain is not None and other is not None and other.ci95[0] > plain.ci95[1] + _CLOCK_STEP


class Prediction(_Value):
    """What a candidate was foretold to take, for comparison with what was measured; `left_out` as in Preflight."""

    latency: Latency
    ratio: Ratio
    left_out: tuple[str, ...] = ()


class Preflight(_Value):
    """What is foretold of a recipe.

    Attributes:
        device: Where it was measured.
        batch: Samples in one inference.
        original: Latency of the original.
        predicted: Latency of a stand-in with the plan's structure and made-up values; None if none could be made.
        ratio: Of the two, of the same run.
        quantizing_share: Share (0-1) of the stand-in's time that goes into quantizers and dequantizers that nothing
            fused; layout_share: into changes of layout.
        layers: In graph order.
        left_out: Steps whose structure can't be foretold, which the stand-in lacks.
        warnings: In words, the gravest first.
        noise: Of the machine while measuring.
    """

    device: DeviceDescription
    batch: int
    original: Latency
    predicted: Latency | None
    ratio: Ratio | None
    quantizing_share: float | None
    layout_share: float | None
    layers: tuple[LayerOutlook, ...]
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    noise: Noise

    @property
    def prediction(self) -> Prediction | None:
        """What is foretold of the whole."""
        if self.predicted is None or self.ratio is None:
            return None
        return Prediction(latency=self.predicted, ratio=self.ratio, left_out=self.left_out)
