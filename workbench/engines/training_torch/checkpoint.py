"""Stores a training after every epoch, so that one that was killed or cancelled goes on where it was.

The file holds tensors and plain numbers only and is read with torch's restricted reader: nothing in it is executed.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.domain.errors import StorageError
from workbench.engines.contracts import EpochRecord, TrainingSettings


@dataclass(frozen=True)
class Checkpoint:
    """A training after some epochs.

    Attributes:
        weights: Everything that changes in training, by name.
        optimizer: State of the optimizer.
        best: The same names as `weights`, at the best epoch; None before there is one.
        best_epoch, best_score: Which one that was, and its score.
        history: Of all epochs so far.
        hook: State of the hook.
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    best: dict[str, Tensor] | None
    best_epoch: int | None
    best_score: float | None
    history: tuple[EpochRecord, ...]
    hook: dict[str, Any]


def save(path: Path, checkpoint: Checkpoint, settings: TrainingSettings) -> None:
    """Write a checkpoint, whole or not at all.

    Raises:
        StorageError: the folder can't be written to.
    """
    content = {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}
    # The restricted reader knows plain numbers only, and scores may be numpy's.
    content["best_score"] = _plain(checkpoint.best_score)
    content["history"] = [
        (entry.epoch, float(entry.loss), _plain(entry.score), float(entry.seconds)) for entry in checkpoint.history
    ]
    content["settings"] = repr(settings)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.save(content, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:
        raise StorageError(f"the training can't be stored in {path.parent}", found=str(error)) from error


def load(path: Path, settings: TrainingSettings) -> Checkpoint | None:
    """Return the checkpoint of a training with these settings; None where there is none that can be used."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("settings") != repr(settings):
            return None
        content["history"] = tuple(EpochRecord(*entry) for entry in content["history"])
        return Checkpoint(**content)
    # A damaged file raises whatever its bytes happen to spell; the training then starts anew, as without it.
    except Exception:
        return None


def _plain(score: float | None) -> float | None:
    return None if score is None else float(score)
