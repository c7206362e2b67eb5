"""What the data wizard can offer: the program's metrics and readers, and those that a worker found in plugins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench.domain.data_reports import OfferedMetric, OfferedReader

TASKS = {
    "classification": ("Classification", ("top1", "top5")),
    "regression": ("Regression", ("mse", "psnr")),
    "segmentation": ("Segmentation", ("miou",)),
    "language": ("Language", ("perplexity",)),
    "outputs": ("Compare outputs with the original", ("sqnr", "cosine", "mse")),
}
"""Title of every task, and the program's metrics that suit it, the usual one first."""
READERS = {
    "npz": "NumPy archive (.npz)",
    "npy": "NumPy arrays (.npy)",
    "idx": "MNIST files (IDX, also .gz)",
    "image_folder": "Image folder, one folder a class",
    "csv": "CSV manifest: file, label",
    "text": "Text",
    "random": "Random numbers, no labels",
}
"""The program's readers, which are there before a worker answers."""


@dataclass(frozen=True)
class DataOffers:
    """Metrics and readers as a worker listed them; empty until it did."""

    metrics: tuple[OfferedMetric, ...] = ()
    readers: tuple[OfferedReader, ...] = ()

    @classmethod
    def of_listing(cls, payload: Mapping[str, Any]) -> DataOffers:
        """Return what the answer to a ListMethodsJob says of data."""
        return cls(
            tuple(OfferedMetric.model_validate(entry) for entry in payload.get("metrics", ())),
            tuple(OfferedReader.model_validate(entry) for entry in payload.get("readers", ())),
        )

    def plugin_metrics(self, task: str) -> tuple[OfferedMetric, ...]:
        """Return plugins' metrics that can be taken for a task: without labels only those that need none."""
        return tuple(m for m in self.metrics if m.plugin and (task != "outputs" or m.against == "reference"))

    def plugin_readers(self) -> tuple[OfferedReader, ...]:
        """Return plugins' readers."""
        return tuple(reader for reader in self.readers if reader.plugin)

    def reader(self, name: str) -> OfferedReader | None:
        """Return a reader, or None if no worker listed it."""
        return next((reader for reader in self.readers if reader.name == name), None)

    def reader_for(self, path: str) -> str | None:
        """Return the reader of files that end like `path`, the longest ending first; None if nobody claims it."""
        ending = [
            (len(suffix), reader.name)
            for reader in self.readers
            for suffix in reader.suffixes
            if path.lower().endswith(suffix.lower())
        ]
        return max(ending)[1] if ending else None


def origin(plugin: str) -> str:
    """Return where a metric or reader comes from, for tooltips."""
    return f"From the plugin {plugin}" if plugin else "Comes with the program"
