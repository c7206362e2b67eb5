"""A recipe: everything needed to make a candidate again, bit for bit."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from workbench.domain.data_description import DataDescription
from workbench.domain.plan import Plan


class Step(BaseModel):
    """One method with its parameters; a disabled step is kept but skipped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    enabled: bool = True


class Evaluation(BaseModel):
    """How a candidate's metric is measured: the number of test samples, or all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int | Literal["all"] = "all"


class Recipe(BaseModel):
    """Ordered steps, plan, data and seed.

    Attributes:
        data: Path of a DATA.yaml relative to the recipe, or the description itself, or None for a recipe without data.
        device: Name of the device that latency is measured on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: str | DataDescription | None = None
    plan: Plan = Plan()
    steps: tuple[Step, ...] = ()
    evaluate: Evaluation = Evaluation()
    device: str = "local"

    def sha256(self) -> str:
        """Return the hash of the canonical JSON; the order of the plan's lines counts, the data's folder does not."""
        content = self.model_dump(mode="json")
        content["plan"]["layers"] = list(content["plan"]["layers"].items())
        if isinstance(content["data"], dict):
            del content["data"]["folder"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
