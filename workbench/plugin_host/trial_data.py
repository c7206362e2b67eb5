"""A plugin's metric or reader on made-up data: the checks of the compliance suite that are not about methods."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workbench.data.metrics._base import Metric
from workbench.data.readers._base import Reader, Request
from workbench.domain.data_description import Split
from workbench.domain.errors import DataError
from workbench.plugin_host.trial import Rejected

_SAMPLES = 48
_CLASSES = 5


class MetricTrial:
    """Takes a metric on the first kind of outputs that it accepts: scores, score maps, or plain numbers."""

    def __init__(self, metric: type[Metric]) -> None:
        self._metric = metric

    def same_in_parts(self) -> str:
        """Check that batches give what the whole gives, a finite number within its own interval."""
        taken = self._taken((_SAMPLES,))
        if taken is None:
            return "not tried: it refuses class scores, score maps and plain numbers"
        kind, whole = taken
        second = self._taken((7, 1, 20, _SAMPLES - 28))
        if second is None:
            raise Rejected(f"it takes {_SAMPLES} samples of {kind} at once, but not in smaller batches")
        parts = second[1]
        if not np.allclose(whole.per_sample, parts.per_sample, equal_nan=True):
            raise Rejected("a sample's record depends on the other samples of its batch")
        value = whole.value()
        if not np.isfinite(value):
            raise Rejected(f"its value is {value} for random outputs")
        low, high = whole.interval_of(whole.per_sample)
        if not low - 1e-9 <= value <= high + 1e-9:
            raise Rejected(f"its value {value:g} lies outside its own interval {low:g} to {high:g}")
        return f"{value:.4g} for random {kind}"

    def sizes_refused(self) -> None:
        """Check that outputs for other samples than the targets' are refused as an error in the data."""
        for _, outputs, targets in _random_outputs(self._metric.against):
            try:
                self._metric({}).update(outputs[:5], targets[:6])
            except DataError:
                return
        raise Rejected("outputs for 5 samples were taken with 6 targets; call Metric.update unchanged")

    def _taken(self, sizes: Sequence[int]) -> tuple[str, Metric] | None:
        for kind, outputs, targets in _random_outputs(self._metric.against):
            metric, start = self._metric({}), 0
            try:
                for size in sizes:
                    metric.update(outputs[start : start + size], targets[start : start + size])
                    start += size
            except DataError:
                continue
            return kind, metric
        return None


def _random_outputs(against: str) -> tuple[tuple[str, np.ndarray, np.ndarray], ...]:
    """Return (kind, outputs, targets) of every kind of model there is data for."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((_SAMPLES, _CLASSES)).astype(np.float32)
    if against == "reference":
        return (("outputs", scores, scores + 0.1 * rng.standard_normal(scores.shape).astype(np.float32)),)
    maps = rng.standard_normal((_SAMPLES, _CLASSES, 6, 6)).astype(np.float32)
    return (
        ("class scores", scores, rng.integers(0, _CLASSES, _SAMPLES)),
        ("score maps", maps, rng.integers(0, _CLASSES, (_SAMPLES, 6, 6))),
        ("numbers", scores, rng.standard_normal(scores.shape).astype(np.float32)),
    )


class ReaderTrial:
    """Asks a reader for what is not there."""

    def __init__(self, reader: type[Reader]) -> None:
        self._reader = reader

    def missing_file_refused(self, place: Path) -> str:
        """Check that a missing file is an error in the data; a reader that needs no file must hold samples."""
        split = Split(reader=self._reader.name, path="no such file", inputs="x")
        reader = self._reader()
        try:
            source = reader.open(Request(split=split, where="test", folder=place, keys=("x",)))
        except DataError as error:
            return f"refused: {error.message}"
        read = source.read(np.arange(min(2, len(source))))
        lengths = {key: len(array) for key, array in read.items()}
        if not read or set(lengths.values()) != {min(2, len(source))}:
            raise Rejected(f"it opened a missing file and gave {lengths}; raise workbench.api.DataError")
        return f"{len(source)} samples without a file"

    def unknown_option_refused(self, place: Path) -> None:
        """Check that a key which the reader does not know is not passed over."""
        split = Split.model_validate({"reader": self._reader.name, "path": ".", "no_such_option": 1})
        try:
            self._reader().open(Request(split=split, where="test", folder=place))
        except DataError as error:
            if "no_such_option" in str(error):
                return
        except Exception:  # whatever it stumbled over, it was not the key
            pass
        raise Rejected("an unknown key was accepted; begin `open` with self.options(request)")
