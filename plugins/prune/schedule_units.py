"""Reaches the weights of single channels while they are trained: to zero, hide, shrink and weigh whole units.

Notation: a group has u units; every entry says which unit each position along one axis of a weight belongs to.
Weights are torch tensors; they are used through their own functions only, so that loading the plugin needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from workbench.api import WeightChannels

Tensor = Any
Which = Literal["all", "makes", "reads", "filters"]


class LiveUnits:
    """The units of groups in the weights of a running training.

    Args:
        places: By group where its units lie.
        units: Number of units by group.
        weights: Torch parameters by initializer name; places in others are passed over, they are never trained.
    """

    def __init__(
        self, places: Mapping[str, Sequence[WeightChannels]], units: Mapping[str, int], weights: Mapping[str, Tensor]
    ) -> None:
        self.units = dict(units)
        self.weights = weights
        self._places = {group: [entry for entry in places[group] if entry.weight in weights] for group in units}
        self._indices = {
            (entry.weight, entry.axis, entry.units): weights[entry.weight].detach().new_tensor(entry.units).long()
            for entries in self._places.values()
            for entry in entries
        }
        self._hidden: dict[str, Tensor] = {}

    def zero(self, removal: Mapping[str, Sequence[int]]) -> None:
        """Put zeros wherever the removed units are."""
        for group, gone in removal.items():
            self._multiply(group, gone, "all")

    def zero_filters(self, removal: Mapping[str, Sequence[int]]) -> None:
        """Put zeros into the filters that make the removed units, and leave their normalisation and readers."""
        for group, gone in removal.items():
            self._multiply(group, gone, "filters")

    def hide(self, removal: Mapping[str, Sequence[int]], which: Which = "all") -> None:
        """Put zeros wherever the units are, until `show` puts back what was there."""
        for group, gone in removal.items():
            for entry in self._entries(group, which):
                if entry.weight not in self._hidden:
                    self._hidden[entry.weight] = self.weights[entry.weight].detach().clone()
            self._multiply(group, gone, which)

    def show(self) -> None:
        """Put back what `hide` took."""
        for name, before in self._hidden.items():
            self.weights[name].copy_(before)
        self._hidden = {}

    def zero_gradients(self, removal: Mapping[str, Sequence[int]], which: Which = "all") -> None:
        """Let the optimizer see no gradient where the units are."""
        for group, gone in removal.items():
            for entry in self._entries(group, which):
                gradient = self.weights[entry.weight].grad
                if gradient is not None and gone:
                    gradient.mul_(self._spread(entry, _without(gone, self.units[group])))

    def norms(self, group: str) -> np.ndarray:
        """Return the Euclidean length of all that belongs to each unit, (u,)."""
        total = np.zeros(self.units[group])
        for entry in self._entries(group, "all"):
            total += self._gathered(entry, self.weights[entry.weight].detach().square(), self.units[group])
        return np.asarray(np.sqrt(total))

    def slopes(self, group: str) -> np.ndarray:
        """Return the derivative of the batch's loss by a factor on each unit, (u,).

        A factor on a channel is the same factor on all weights that read it.
        """
        which: Which = "reads" if self._entries(group, "reads") else "makes"
        total = np.zeros(self.units[group])
        for entry in self._entries(group, which):
            weight = self.weights[entry.weight]
            if weight.grad is not None:
                total += self._gathered(entry, weight.grad * weight.detach(), self.units[group])
        return total

    def pull(self, group: str, strength: np.ndarray) -> None:
        """Add to the gradients of each unit its weights times a strength (u,): pulls them towards zero."""
        if not strength.any():
            return
        for entry in self._entries(group, "all"):
            weight = self.weights[entry.weight]
            if weight.grad is not None:
                weight.grad.add_(weight.detach() * self._spread(entry, strength, elsewhere=0.0))

    def pull_signs(self, group: str, names: frozenset[str], strength: float) -> None:
        """Add to the gradients of the named weights, where units of the group are, their sign times a strength."""
        for entry in self._entries(group, "all"):
            weight = self.weights[entry.weight]
            if entry.weight in names and weight.grad is not None:
                there = self._spread(entry, np.ones(self.units[group]), elsewhere=0.0)
                weight.grad.add_(weight.detach().sign() * there * strength)

    def arrays(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Return copies of the named weights that are trained."""
        return {
            name: self.weights[name].detach().cpu().contiguous().numpy().copy()
            for name in names
            if name in self.weights
        }

    def state(self) -> dict[str, Tensor]:
        """Return what is hidden."""
        return {name: tensor.cpu() for name, tensor in self._hidden.items()}

    def restore(self, hidden: Mapping[str, Tensor]) -> None:
        """Take over what was hidden when a state was taken."""
        self._hidden = {
            name: self.weights[name].detach().new_tensor(tensor.tolist()) for name, tensor in hidden.items()
        }

    def _entries(self, group: str, which: Which) -> list[WeightChannels]:
        return list(self._selected(self._places[group], which))

    def _selected(self, entries: Iterable[WeightChannels], which: Which) -> Iterator[WeightChannels]:
        for entry in entries:
            filters = not entry.reads and self.weights[entry.weight].dim() > 1
            kinds = {"all": True, "makes": not entry.reads, "reads": entry.reads, "filters": filters}
            if kinds[which]:
                yield entry

    def _multiply(self, group: str, gone: Sequence[int], which: Which) -> None:
        if gone:
            for entry in self._entries(group, which):
                self.weights[entry.weight].mul_(self._spread(entry, _without(gone, self.units[group])))

    def _spread(self, entry: WeightChannels, values: np.ndarray, elsewhere: float = 1.0) -> Tensor:
        """Return values (u,) along the entry's axis, with `elsewhere` where no unit of the group is."""
        weight = self.weights[entry.weight].detach()
        table = weight.new_tensor([*values.tolist(), elsewhere])
        # The index -1 of positions without a unit meets the last number.
        spread = table[self._indices[entry.weight, entry.axis, entry.units]]
        return spread.reshape([-1 if axis == entry.axis else 1 for axis in range(weight.dim())])

    def _gathered(self, entry: WeightChannels, values: Tensor, units: int) -> np.ndarray:
        """Return the sums of values (like the weight) over all that belongs to each unit, (u,)."""
        others = [axis for axis in range(values.dim()) if axis != entry.axis]
        along = values.sum(dim=others) if others else values
        index = self._indices[entry.weight, entry.axis, entry.units]
        total = along.new_zeros(units + 1).index_add_(0, index.where(index >= 0, index.new_tensor(units)), along)
        return np.asarray(total[:units].cpu().numpy(), dtype=np.float64)


def _without(gone: Sequence[int], units: int) -> np.ndarray:
    factors = np.ones(units)
    factors[list(gone)] = 0.0
    return factors
