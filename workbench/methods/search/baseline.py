"""Keeps the original's metric, sample by sample, in a file, so that no candidate takes it again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from workbench.domain.errors import StorageError
from workbench.domain.measurements import MetricMeasurement
from workbench.methods.evaluation import Evaluated


def write_baseline(evaluated: Evaluated, path: Path) -> None:
    """Write a metric with its records, whole or not at all.

    Raises:
        StorageError: the file can't be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, records=evaluated.per_sample, measurement=np.array(evaluated.measurement.model_dump_json()))
        os.replace(part, path)
    except OSError as error:
        raise StorageError(f"{path} can't be written", found=error.strerror or str(error)) from error


def read_baseline(path: Path) -> Evaluated:
    """Return what `write_baseline` wrote.

    Raises:
        StorageError: the file can't be read.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return Evaluated(
                MetricMeasurement.model_validate_json(str(content["measurement"])), np.asarray(content["records"])
            )
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"the original's metric in {path} can't be read", found=str(error)) from error
