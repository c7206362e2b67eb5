"""Building candidates, apart from measuring their time: what may run on any machine, against what may not."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateReport


@dataclass(frozen=True)
class Trial:
    """One candidate to build.

    Attributes:
        model: The original's file.
        recipe: With its data embedded.
        out: Where the candidate is written.
        cache: Folder of step results.
        baseline: File of the original's metric, sample by sample, so that no trial takes it again.
        dimensions: Sizes of dynamic dimensions besides the batch.
    """

    model: Path
    recipe: Recipe
    out: Path
    cache: Path
    baseline: Path
    dimensions: dict[str, int]


class TrialBuilder(Protocol):
    """Builds trials, some at the same time, anywhere."""

    @property
    def capacity(self) -> int:
        """How many trials it builds at the same time."""
        ...

    def submit(self, trial: Trial, progress: Progress, cancel: CancelToken) -> Future[CandidateReport]:
        """Begin a trial; its future raises WorkbenchError, also where its process died.

        The report has no latency.
        """
        ...

    def close(self) -> None:
        """Give up what is under way and let go of processes and connections."""
        ...
