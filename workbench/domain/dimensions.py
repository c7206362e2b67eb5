"""Which sizes of a model's inputs its file leaves open, and the keys under which everything else gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.domain.reports import TensorReport

_NAMELESS = frozenset({"", "?", "None", "none", "-1", "unknown"})


@dataclass(frozen=True)
class Place:
    """An axis of an input."""

    input: str
    axis: int

    @property
    def key(self) -> str:
        """How its size can be given whatever the size is called."""
        return f"{self.input}:{self.axis}"


@dataclass(frozen=True)
class FreeDimension:
    """A size that the file leaves open.

    Attributes:
        key: How to give it a value: its name, or "input:axis" where it has none.
        places: All axes that have it, in the order of the inputs.
        batch: Whether it counts samples (the first axis of an input of rank 2 or more).
    """

    key: str
    places: tuple[Place, ...]
    batch: bool

    def given(self, sizes: dict[str, int]) -> int | None:
        """Return the value that `sizes` gives it, by its key or by one of its places; None without one."""
        return next((sizes[key] for key in (self.key, *(p.key for p in self.places)) if key in sizes), None)


def dimension_keys(input: str, axis: int, size: int | str | None) -> tuple[str, ...]:
    """Return the keys by which the size of an axis can be given, the usual one first: its name, "input:axis"."""
    place = Place(input, axis).key
    return (size, place) if isinstance(size, str) and size not in _NAMELESS else (place,)


def free_dimensions(inputs: Sequence[TensorReport]) -> tuple[FreeDimension, ...]:
    """Return the open sizes of a model's inputs, each once, in the order in which they first occur."""
    places: dict[str, list[Place]] = {}
    batch: set[str] = set()
    for tensor in inputs:
        for axis, size in enumerate(tensor.shape):
            if isinstance(size, int):
                continue
            key = dimension_keys(tensor.name, axis, size)[0]
            places.setdefault(key, []).append(Place(tensor.name, axis))
            if axis == 0 and len(tensor.shape) > 1:
                batch.add(key)
    return tuple(FreeDimension(key, tuple(found), key in batch) for key, found in places.items())


def unset_dimensions(inputs: Sequence[TensorReport], sizes: dict[str, int]) -> tuple[FreeDimension, ...]:
    """Return the open sizes besides the batch to which `sizes` gives no value."""
    return tuple(entry for entry in free_dimensions(inputs) if not entry.batch and entry.given(sizes) is None)
