"""Automated gradual pruning: many channels go early, while there is much to spare, few late (Zhu and Gupta, 2017)."""

from __future__ import annotations

from pydantic import Field

from .schedule_base import Ground
from .schedule_hook import HookedPruning, PruningHook
from .schedule_parameters import ExaminedParameters


class GradualParameters(ExaminedParameters):
    """Parameters of AGP."""

    exponent: float = Field(
        3.0,
        ge=1,
        le=10,
        title="Exponent",
        description="After a share t of the schedule 1 - (1 - t) to this power of the final ratio is masked; 1 grows "
        "evenly.",
    )


class GradualHook(PruningHook):
    """Masks more and more channels; what is masked stays zero."""

    def __init__(self, ground: Ground, parameters: GradualParameters) -> None:
        super().__init__(ground)
        self._examinations, self._exponent = parameters.examinations, parameters.exponent

    def after_step(self, step: int) -> None:
        """Mask the next channels where it is time, and keep all masked ones at zero."""
        every = max(self.steps // self._examinations, 1)
        if (step + 1) % every == 0:
            share = 1 - (1 - (step + 1) / self.steps) ** self._exponent
            self.removal = self.chosen_anew(share)
        super().after_step(step)

    def after_epoch(self, epoch: int) -> None:
        """Note how far it is."""
        super().after_epoch(epoch)
        masked = sum(map(len, self.removal.values()))
        self.record.append({"epoch": epoch + 1, "masked_units": masked})

    def decided(self) -> dict[str, tuple[int, ...]]:
        """Return the masked units, and what is still missing to the final ratio."""
        return self.chosen_anew()


class GradualPruning(HookedPruning):
    """Masks channels along a cubic curve while training, then removes them."""

    id = "schedule.agp"
    title = "Gradual pruning (AGP)"
    summary = "Masks more and more channels while training, fast at first and slowly in the end, then removes them."
    source = "Zhu and Gupta, 2017, To Prune, or Not to Prune: Exploring the Efficacy of Pruning for Model Compression"
    Parameters = GradualParameters

    def hook(self, ground: Ground) -> GradualHook:
        """Return the masking."""
        return GradualHook(ground, self.parameters)
