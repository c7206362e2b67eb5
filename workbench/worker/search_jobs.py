"""The job that searches: brings a study together with engines, methods, builders and the device."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from workbench.devices._base import Device
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import BadInputError, ProjectLockedError, StorageError
from workbench.domain.measurements import LatencyReport, Ratio
from workbench.domain.study import Study
from workbench.graph.model import ModelGraph
from workbench.graph.storage import save_model
from workbench.jobs.context import JobContext
from workbench.jobs.specs import SearchJob
from workbench.methods.search.study_run import Means, run_study
from workbench.methods.search.trials import TrialBuilder
from workbench.project.lock import ProjectLock
from workbench.worker.device_jobs import device_named, saturates
from workbench.worker.engines import DeferredTrainingEngine, inference_engine
from workbench.worker.installed_methods import loaded_methods
from workbench.worker.local_trials import LocalTrials
from workbench.worker.measuring_jobs import check_measurable
from workbench.worker.model_jobs import onnx_file
from workbench.worker.staircase_jobs import paying_counts

_STAND_IN_SECONDS = 0.8


def search(spec: SearchJob, context: JobContext) -> dict[str, Any]:
    """Search → SearchReport; every candidate also comes as a partial result "candidate", the report so far.

    What is being built, and what promises most after it, come as partial results "outlook".
    """
    study, folder = spec.study, Path(spec.out)
    path = onnx_file(spec.model, context, spec.model_sha256)
    check_measurable(path, device=study.device, batch=study.batch, dimensions=study.dimensions)
    registry = loaded_methods(context)
    lock = _lock(folder)
    try:
        with closing(_builder(spec, context)) as builder:
            report = run_study(
                path,
                study,
                folder,
                Means(
                    registry,
                    inference_engine(),
                    DeferredTrainingEngine(threads=1),
                    builder,
                    DeviceStopwatch(path, lambda: device_named(study.device), study),
                    _measure(study),
                    paying_counts(path, study, spec.staircases),
                    # Asked only where the search chooses the steps: another device takes seconds to answer.
                    not study.steps and saturates(study.device),
                ),
                on_candidate=lambda so_far: context.partial("candidate", so_far.model_dump(mode="json")),
                on_outlook=lambda outlook: context.partial("outlook", outlook.model_dump(mode="json")),
                progress=context.progress,
                cancel=context.cancel,
                log=context.log,
            )
    finally:
        lock.release()
    return report.model_dump(mode="json")


def _builder(spec: SearchJob, context: JobContext) -> TrialBuilder:
    if spec.scheduler is None:
        return LocalTrials(spec.study.workers, context.log)
    from workbench.worker.dask_trials import DaskTrials

    return DaskTrials(spec.scheduler, Path(spec.model), spec.study, context.log)


def _lock(folder: Path) -> ProjectLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = ProjectLock(folder / "study")
        lock.acquire()
    except ProjectLockedError as error:
        raise BadInputError(
            "another search is at work in this folder",
            where=str(folder),
            found=error.message,
            action="Wait for it, or choose another --out.",
        ) from error
    except FileExistsError as error:
        raise BadInputError("this is a file", where=str(folder), expected="a folder for the study") from error
    except OSError as error:
        raise StorageError(f"the folder {folder} can't be written", found=error.strerror or str(error)) from error
    return lock


def _measure(study: Study) -> Callable[[Sequence[Path], Progress, CancelToken], LatencyReport]:
    memory = "memory" in study.costs or any(name.startswith("memory") for name in study.budgets.limits())

    def measure(paths: Sequence[Path], progress: Progress, cancel: CancelToken) -> LatencyReport:
        return device_named(study.device).measure(
            paths,
            threads=study.threads,
            batch=study.batch,
            seconds=study.latency_seconds,
            operators=False,
            memory=memory,
            dimensions=study.dimensions,
            progress=progress,
            cancel=cancel,
        )

    return measure


class DeviceStopwatch:
    """A Stopwatch on a device.

    Args:
        original: Model file that ratios refer to.
        device: Returns the device.
        study: Says threads, batch and sizes.
    """

    def __init__(self, original: Path, device: Callable[[], Device], study: Study) -> None:
        self._original, self._device, self._study = original, device, study

    def ratios(self, graphs: Sequence[ModelGraph], cancel: CancelToken) -> tuple[Ratio, ...]:
        """See Stopwatch."""
        sizes: Mapping[str, int] = self._study.dimensions
        with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            files = []
            for number, graph in enumerate(graphs):
                files.append(Path(folder) / f"{number}.onnx")
                save_model(graph, files[-1])
            report = self._device().measure(
                (self._original, *files),
                threads=self._study.threads,
                batch=self._study.batch,
                seconds=_STAND_IN_SECONDS * (len(files) + 1),
                operators=False,
                memory=False,
                dimensions=sizes,
                cancel=cancel,
            )
        return tuple(model.ratio_to_first for model in report.models[1:])
