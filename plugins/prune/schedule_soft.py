"""Soft filter pruning: filters are zeroed after every epoch but go on learning, so that a wrong choice can be mended.

Batch norm brings a filter that begins to grow to full strength at once, so each epoch begins with noise in all zeroed
channels: soft pruning wants many epochs, and loses to the others in a few (see tests/benchmarks/pruning_schedules.py).

Between epochs a zeroed channel is wholly absent, its normalisation and readers included; these are back with the first
step of the next epoch, and with them the gradients by which the filter may grow again.
"""

from __future__ import annotations

from .schedule_base import Ground
from .schedule_hook import HookedPruning, PruningHook


class SoftHook(PruningHook):
    """Zeroes the least important filters after each epoch, all over again."""

    def after_backward(self, step: int) -> None:
        """Bring normalisation and readers of zeroed filters back, after one step without them."""
        self.live.show()
        super().after_backward(step)

    def after_step(self, step: int) -> None:
        """Let zeroed filters grow."""

    def after_epoch(self, epoch: int) -> None:
        """Choose anew, without regard to what was zero before."""
        before = self.removal
        self.removal = self.ground.chosen(self.ranked())
        self.live.zero_filters(self.removal)
        self.live.hide(self.removal)
        returned = sum(len(set(gone) - set(self.removal.get(group, ()))) for group, gone in before.items())
        self.record.append(
            {"epoch": epoch + 1, "zeroed_units": sum(map(len, self.removal.values())), "grown_back": returned}
        )

    def decided(self) -> dict[str, tuple[int, ...]]:
        """Return what was zeroed last."""
        return self.removal

    def notes(self) -> tuple[str, ...]:
        """Return how many channels came back."""
        returned = sum(int(entry["grown_back"]) for entry in self.record)
        return (f"Zeroed after each of {len(self.record)} epochs; {returned} times a channel grew back.",)


class SoftFilterPruning(HookedPruning):
    """Zeroes filters after every epoch, lets them grow back, and removes those that are zero in the end."""

    id = "schedule.soft"
    title = "Soft filter pruning (SFP)"
    summary = "Zeroes the least important filters after every epoch but trains them on; wants many epochs."
    source = "He et al., 2018, Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks"

    def hook(self, ground: Ground) -> SoftHook:
        """Return the zeroing."""
        return SoftHook(ground)
