"""Perplexity, the usual figure for language models."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from workbench.data.metrics._base import Metric, class_scores


class Perplexity(Metric):
    """The exponential of the mean negative log-likelihood of a token."""

    name = "perplexity"
    title = "Perplexity"
    higher_is_better = False

    def records(self, outputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Return the summed negative log-likelihood and the number of tokens of each sample, from logits."""
        scores = class_scores(outputs, targets).astype(np.float64)
        own = np.take_along_axis(scores, targets[..., None].astype(np.int64), axis=-1)[..., 0]
        losses = (logsumexp(scores, axis=-1) - own).reshape(len(targets), -1)
        return np.stack([losses.sum(axis=1), np.full(len(targets), float(losses.shape[1]))], axis=1)

    def combine(self, sums: np.ndarray, samples: int) -> np.ndarray:
        """Return exp(loss / tokens); beyond what a float holds it is infinite."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(sums[..., 0] / sums[..., 1]))
