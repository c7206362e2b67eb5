"""What can be turned on a layer; table columns, sweeps, search dimensions and forms are all written over this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.domain.errors import RecipeError

Setting = float | int | str


@dataclass(frozen=True)
class Knob:
    """One thing that can be turned on a layer.

    Attributes:
        name: Key in plans and recipes, e.g. "weight_bits".
        title: Column heading, e.g. "Weight bits".
        unit: Unit shown beside values ("bits", "share of channels", …).
        untouched: The value that leaves a layer as it is.
        low, high: Inclusive range of a numeric knob, else None.
        step: Granularity of a slider over the range, else None.
        choices: Allowed values where a range is not enough.
        sweep: Values that a sensitivity sweep tries when the user names none.
        coupling: Which layers can only be set together: those of one channel group, of one branch, or none.
        doc: One sentence for the tooltip.
    """

    name: str
    title: str
    unit: str
    untouched: Setting
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[Setting, ...] = ()
    sweep: tuple[Setting, ...] = ()
    coupling: Literal["none", "channels", "branch"] = "none"
    doc: str = ""

    def check(self, value: object, where: str) -> Setting:
        """Return `value` in the knob's own type.

        Raises:
            RecipeError: the value has the wrong type or lies outside range and choices; `where` names its place.
        """
        expected = self.describe_range()
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise RecipeError(f"{self.name} is {value!r}", where=where, expected=expected)
        if isinstance(self.untouched, str) != isinstance(value, str):
            raise RecipeError(f"{self.name} is {value!r}", where=where, expected=expected)
        if self.choices:
            for choice in self.choices:
                if choice == value:
                    return choice
            raise RecipeError(f"{self.name} is {value!r}", where=where, expected=expected)
        if isinstance(value, str):
            return value
        below = self.low is not None and value < self.low
        above = self.high is not None and value > self.high
        if value != value or below or above:
            raise RecipeError(f"{self.name} is {value!r}", where=where, expected=expected)
        return int(value) if isinstance(self.untouched, int) else float(value)

    def describe_range(self) -> str:
        """Return the allowed values in words."""
        if self.choices:
            return "one of " + ", ".join(str(choice) for choice in self.choices)
        if self.low is not None and self.high is not None:
            return f"a number from {self.low:g} to {self.high:g}"
        return "text" if isinstance(self.untouched, str) else "a number"


_BITS: tuple[Setting, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32)

PRUNE_RATIO = Knob(
    "prune_ratio",
    "Prune",
    "share of output channels",
    untouched=0.0,
    low=0.0,
    high=0.95,
    step=0.05,
    sweep=(0.25, 0.5, 0.75),
    coupling="channels",
    doc="Share of the layer's output channels that is removed, together with all channels coupled to them.",
)
WEIGHT_BITS = Knob(
    "weight_bits",
    "W bits",
    "bits",
    untouched=32,
    choices=_BITS,
    sweep=(8, 4, 2),
    doc="Bits of one stored weight; 32 leaves the layer in float, 16 is half precision, 1 is its sign.",
)
ACTIVATION_BITS = Knob(
    "activation_bits",
    "A bits",
    "bits",
    untouched=32,
    choices=_BITS,
    sweep=(8, 4),
    doc="Bits of the layer's input activations; 32 leaves them in float, 16 is half precision.",
)
RANK_RATIO = Knob(
    "rank_ratio",
    "Rank",
    "share of the full rank",
    untouched=1.0,
    low=0.0,
    high=1.0,
    step=0.05,
    sweep=(0.4, 0.25, 0.1),
    doc="Rank of the layer's factors as a share of its weight's full rank; 1 leaves the layer as it is. A layer is "
    "replaced by two or three smaller ones where that takes fewer parameters: square matrices from below 0.5.",
)

KEEP = Knob(
    "keep",
    "Keep",
    "",
    untouched="yes",
    choices=("yes", "no"),
    sweep=("no",),
    coupling="branch",
    doc="Whether the layer stays; no leaves out the whole branch (a residual block, or a run of layers that keeps its "
    "shape), which shortens the run in proportion.",
)
SPARSITY = Knob(
    "sparsity",
    "Sparsity",
    "share of zero weights",
    untouched=0.0,
    low=0.0,
    high=0.95,
    step=0.05,
    sweep=(0.5, 0.75, 0.9),
    doc="Share of the layer's weights that become zero; its shape stays. The compressed file becomes smaller, but this "
    "computer's runtime multiplies zeros like other numbers, so that its time usually stays as it is.",
)
SPARSITY_PATTERN = Knob(
    "sparsity_pattern",
    "Pattern",
    "",
    untouched="unstructured",
    choices=("unstructured", "2:4", "1:4", "block"),
    sweep=("2:4", "1:4"),
    doc="Where zeros may lie: anywhere; 2:4 and 1:4 keep 2 or 1 of every 4 consecutive input channels and set the "
    "sparsity by themselves (0.5, 0.75); block sets 4 consecutive output channels at one input to zero together.",
)

FIRST_PARTY_KNOBS: tuple[Knob, ...] = (
    PRUNE_RATIO,
    WEIGHT_BITS,
    ACTIVATION_BITS,
    RANK_RATIO,
    SPARSITY,
    SPARSITY_PATTERN,
    KEEP,
)
