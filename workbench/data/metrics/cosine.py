"""Cosine similarity to the original model's outputs, for embeddings, where direction is what counts."""

from __future__ import annotations

import numpy as np

from workbench.data.metrics._base import Metric, same_shape


class Cosine(Metric):
    """Mean over samples of the cosine between output and original output; two zero outputs agree fully."""

    name = "cosine"
    title = "Output cosine similarity"
    against = "reference"

    def records(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the cosine of each sample."""
        found, wanted = same_shape(outputs, targets)
        norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
        products = (found * wanted).sum(axis=1)
        both_zero = (found == 0).all(axis=1) & (wanted == 0).all(axis=1)
        return np.where(both_zero, 1.0, products / np.where(norms == 0, 1.0, norms))[:, None]
