"""The truth ladder: what a candidate is worth simulated, executed literally, and executed as deployed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.integer_sums import saturation
from workbench.domain.measurements import MetricMeasurement

RungName = Literal["simulated", "literal", "deployed"]
RUNG_TITLES: dict[RungName, str] = {
    "simulated": "Simulated in torch",
    "literal": "ONNX Runtime, node by node",
    "deployed": "ONNX Runtime, as deployed",
}
# Where nothing differs the ratio is infinite, which JSON can't say.
IDENTICAL_DB = 200.0


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rung(_Value):
    """One way to execute the file.

    Attributes:
        name: "simulated" (the training engine), "literal" (the runtime without fusing anything) or "deployed".
        metric: On the test samples; None where this way can't execute the file.
        reason: Why it can't, naming the operator.
    """

    name: RungName
    metric: MetricMeasurement | None = None
    reason: str = ""

    @property
    def title(self) -> str:
        """How tables call it."""
        return RUNG_TITLES[self.name]


class Agreement(_Value):
    """How well a rung reproduces the rung before it at one value.

    Attributes:
        sqnr_db: Signal to difference in decibel, over all elements and samples; IDENTICAL_DB where nothing differs.
        max_error: Largest difference, in steps of the quantizer for integers and in the value's own unit otherwise.
    """

    sqnr_db: float
    max_error: float


class ValueAgreement(_Value):
    """One value of the file.

    Attributes:
        value: Its name.
        node: The node that makes it (before its quantizer).
        op: Operator of that node.
        steps: Whether it consists of integers, so that errors are in steps.
        literal: Literal execution against the simulation; None where the simulation can't run.
        deployed: Deployed execution against the literal one; None for floats inside, which would not exist once
            operators are fused.
    """

    value: str
    node: str
    op: str
    steps: bool
    literal: Agreement | None = None
    deployed: Agreement | None = None


class LadderReport(_Value):
    """All rungs of one file.

    Attributes:
        path: The file.
        sha256: Of its content.
        rungs: From the simulation to the deployed file.
        values: In the order of the graph.
        compared_samples: How many samples the values were compared on.
        parts_below_db: Ratio below which a sudden fall is said to be a parting of two rungs, another one a drift.
        parts_literal, parts_deployed: The first node where a rung parts from the one before, or None.
        saturating: Layers whose sums of two products can exceed 16 bits on a processor without integer dot products.
        notes: What else there is to say.
    """

    path: str
    sha256: str
    rungs: tuple[Rung, ...]
    values: tuple[ValueAgreement, ...] = ()
    compared_samples: int = 0
    parts_below_db: float
    parts_literal: str | None = None
    parts_deployed: str | None = None
    saturating: tuple[str, ...] = Field(default=())
    notes: tuple[str, ...] = ()

    def rung(self, name: RungName) -> Rung | None:
        """Return the rung of that name."""
        return next((rung for rung in self.rungs if rung.name == name), None)

    @property
    def verdict(self) -> str:
        """What the ladder says, in a sentence or two."""
        parted = []
        for name, node in _partings(self):
            sunk = self._sunk(name)
            if node is not None:
                parted.append(f"{RUNG_TITLES[name]} parts from the execution before it at node {node}")
            elif sunk is not None:
                parted.append(
                    f"{RUNG_TITLES[name]} drifts from the execution before it, step by step: first below "
                    f"{self.parts_below_db:g} dB at node {sunk}"
                )
        executed = [rung for rung in self.rungs if rung.metric is not None]
        agree = f"The {len(executed)} executions agree: none falls below {self.parts_below_db:g} dB."
        said = [". ".join(parted) + "." if parted else agree]
        if self.saturating:
            said.append(saturation(self.saturating))
        return " ".join(said)

    def _sunk(self, name: RungName) -> str | None:
        """Return the first node at which a rung is below the ratio, however it came there."""
        for value in self.values:
            agreement = value.literal if name == "literal" else value.deployed
            if agreement is not None and agreement.sqnr_db < self.parts_below_db:
                return value.node
        return None


def _partings(report: LadderReport) -> tuple[tuple[RungName, str | None], ...]:
    return ("literal", report.parts_literal), ("deployed", report.parts_deployed)
