"""Reads from a model's outputs what it predicts of each sample, and how far that is from the original's outputs.

One class for each kind of task. Notation: n samples of a batch, C classes; o outputs (n, …) of the original, c of
another model on the same samples.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from workbench.data.preview import label_text


class Reading(Protocol):
    """How the outputs of a task are read."""

    def predictions(self, outputs: np.ndarray) -> np.ndarray | None:
        """Return what is predicted of each sample (n,), or None where that is more than one thing."""
        ...

    def moved(self, original: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return how far each sample's output went (n,), as ComparedSample says; 0 where it predicts the same."""
        ...

    def text(self, prediction: np.ndarray, classes: tuple[str, ...]) -> str:
        """Return a prediction in words."""
        ...


class ClassReading:
    """One class a sample: the one with the highest score, or the one that the model names itself."""

    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Return the classes (n,)."""
        flat = outputs.reshape(len(outputs), -1)
        return np.asarray(flat[:, 0].astype(np.int64) if flat.shape[1] == 1 else flat.argmax(axis=1))

    def moved(self, original: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return by how much the original preferred its own class to the one that is predicted now."""
        before, after = self.predictions(original), self.predictions(other)
        flat = original.reshape(len(original), -1)
        if flat.shape[1] == 1:
            return np.asarray(before != after, np.float64)
        rows = np.arange(len(flat))
        return np.asarray(np.nan_to_num(flat[rows, before].astype(np.float64) - flat[rows, after]))

    def text(self, prediction: np.ndarray, classes: tuple[str, ...]) -> str:
        """Return the class by name."""
        return label_text(prediction, classes)


class PlacesReading:
    """A class at each of many places of a sample, pixels or tokens: the share of places that changed.

    Args:
        axis: Of the classes.
    """

    def __init__(self, axis: int) -> None:
        self._axis = axis

    def predictions(self, outputs: np.ndarray) -> None:
        """There is no single one."""

    def moved(self, original: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return the share of places that are predicted otherwise; of a single score, how far it went."""
        if original.shape[self._axis] == 1:
            return ValuesReading().moved(original, other)
        changed = original.argmax(axis=self._axis) != other.argmax(axis=self._axis)
        return np.asarray(changed.reshape(len(original), -1).mean(axis=1))

    def text(self, prediction: np.ndarray, classes: tuple[str, ...]) -> str:
        """There is nothing to say in a word."""
        return ""


class ValuesReading:
    """Numbers: the energy of their difference as a share of the original's."""

    def predictions(self, outputs: np.ndarray) -> np.ndarray | None:
        """Return the number (n,) of models that give one."""
        flat = outputs.reshape(len(outputs), -1)
        return flat[:, 0] if flat.shape[1] == 1 else None

    def moved(self, original: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Return sum (o - c)² / sum o² of each sample."""
        n = len(original)
        before, after = (array.reshape(n, -1).astype(np.float64) for array in (original, other))
        energy = np.maximum(np.square(before).sum(axis=1), np.finfo(np.float64).tiny)
        moved = np.square(after - before).sum(axis=1) / energy
        return np.asarray(np.nan_to_num(moved, posinf=np.finfo(np.float64).max))

    def text(self, prediction: np.ndarray, classes: tuple[str, ...]) -> str:
        """Return the number."""
        return label_text(np.asarray(prediction), ())


def reading_of(task: str) -> Reading:
    """Return how the outputs of a task are read."""
    readings: dict[str, Reading] = {
        "classification": ClassReading(),
        "segmentation": PlacesReading(1),
        "language": PlacesReading(-1),
    }
    return readings.get(task) or ValuesReading()
