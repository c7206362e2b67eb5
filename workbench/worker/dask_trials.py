"""Builds a study's candidates on a Dask cluster, whose workers may come and go: model and data travel by content hash.

Every file goes to a worker once and is kept there under its hash. A task whose worker dies is run again by the
scheduler on another one; its result comes back once. The files are results of tasks themselves, which the scheduler
can repeat: what was only scattered would be lost with the worker that holds it. Latency is never measured there.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import secrets
import tarfile
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.errors import BadInputError, CancelledError, ClusterLostError, DataError, JobError, WorkbenchError
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateReport
from workbench.domain.study import Study
from workbench.graph.storage import model_files
from workbench.jobs.context import JobContext
from workbench.jobs.specs import CompressJob
from workbench.methods.search.trials import Trial
from workbench.project.places import cache_folder

_CONNECT_SECONDS = 15
_POLL_SECONDS = 1.0
_RETRIES = 2
_FOLDER = "folder:"


class DaskTrials:
    """A TrialBuilder on the cluster behind a scheduler.

    Args:
        address: Of the scheduler, such as tcp://host:8786.
        model: The original's file.
        study: With its data embedded.
        log: Takes lines.

    Raises:
        BadInputError: dask.distributed is not installed here, or no scheduler answers.
        DataError: a file of the data can't be read.
    """

    def __init__(self, address: str, model: Path, study: Study, log: Callable[[str], None]) -> None:
        try:
            dask = _distributed()
        except ImportError as error:
            raise BadInputError(
                "dask.distributed is not installed",
                where="--scheduler",
                action="Install the extra `dask`, or search without a scheduler.",
            ) from error
        try:
            self._client = dask.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise BadInputError(
                f"no Dask scheduler answers at {address}",
                where="--scheduler",
                found=str(error) or type(error).__name__,
                action="Start one with `dask scheduler`, or correct the address.",
            ) from error
        self._log = log
        self._data = study.data if isinstance(study.data, DataDescription) else None
        self._stop_name = f"workbench-{secrets.token_hex(8)}"
        self._stop = dask.Event(self._stop_name, client=self._client)
        self._executor = self._client.get_executor(pure=False, retries=_RETRIES)
        self._names: dict[str, str] = {}
        self._blobs: dict[str, Any] = {}
        for part in model_files(model):
            self._send(f"model/{part.name}", part.read_bytes())
        if self._data is not None:
            for name, split in (("train", self._data.train), ("test", self._data.test)):
                if split is not None:
                    self._send_split(name, split, self._data)
        self._model = model.name
        self._address = address
        workers = len(self._client.nthreads())
        log(f"Candidates are built by {workers} worker(s) of {address}.")

    @property
    def capacity(self) -> int:
        """One for each worker that is there now."""
        try:
            return max(1, len(self._client.nthreads()))
        except Exception as error:  # whatever a connection that broke raises
            raise self._lost(error) from error

    def submit(self, trial: Trial, progress: Progress, cancel: CancelToken) -> Future[CandidateReport]:
        """See TrialBuilder; ClusterLostError where the scheduler is gone."""
        try:
            return self._submitted(trial, progress, cancel)
        except WorkbenchError:
            raise
        except Exception as error:
            if self._client.status == "running":
                raise
            raise self._lost(error) from error

    def _submitted(self, trial: Trial, progress: Progress, cancel: CancelToken) -> Future[CandidateReport]:
        outer: Future[CandidateReport] = Future()
        progress.update(0.0, "on the cluster")
        if trial.baseline.exists() and "baseline.npz" not in self._names:
            self._send("baseline.npz", trial.baseline.read_bytes())
        recipe = trial.recipe.model_dump(mode="json")
        inner: Future[Any] = self._executor.submit(
            build_there,
            recipe,
            self._model,
            dict(self._names),
            dict(self._blobs),
            trial.dimensions,
            self._stop_name,
            trial.out.name,
        )
        unhook = cancel.on_cancel(self._stop.set)

        def done(finished: Future[Any]) -> None:
            unhook()
            try:
                outer.set_result(_received(finished.result(), trial.out, self._log))
            except WorkbenchError as error:
                outer.set_exception(error)
            except FutureCancelledError as error:  # nobody here cancels it so: the scheduler forgot it, or is gone
                outer.set_exception(self._lost(error))
            except BaseException as error:  # whatever else the cluster raises is this trial's failure
                outer.set_exception(JobError(f"the cluster gave it up: {type(error).__name__}: {error}"))

        inner.add_done_callback(done)
        return outer

    def _lost(self, error: BaseException) -> ClusterLostError:
        return ClusterLostError(
            "the Dask scheduler no longer answers",
            where=self._address,
            found=f"{type(error).__name__}: {error}".rstrip(": .").splitlines()[0],
            action="What is finished is kept. Start the scheduler and the same search again: it goes on where it was.",
        )

    def close(self) -> None:
        """See TrialBuilder."""
        if self._client.status == "running":
            with contextlib.suppress(OSError):  # it went a moment ago; nobody is there to be told
                self._stop.set()
        self._executor.shutdown(wait=False)
        self._client.close()

    def _send_split(self, name: str, split: Split, data: DataDescription) -> None:
        for place in _paths(split, data):
            path = Path(data.folder) / place
            try:
                if path.is_dir():
                    packed = io.BytesIO()
                    with tarfile.open(fileobj=packed, mode="w") as archive:
                        archive.add(path, arcname=".")
                    self._send(f"{_FOLDER}data/{name}/{path.name}", packed.getvalue())
                elif path.exists():
                    self._send(f"data/{name}/{path.name}", path.read_bytes())
            except OSError as error:
                raise DataError(f"can't be read: {error.strerror or error}", where=str(path)) from error

    def _send(self, name: str, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        self._names[name] = digest
        if digest not in self._blobs:
            # A study's data is meant to be that large.
            with _dask().config.set({"distributed.admin.large-graph-warning-threshold": "1TiB"}):
                self._blobs[digest] = self._client.submit(_as_it_is, content, key=f"workbench-{digest}")


def _as_it_is(content: bytes) -> bytes:
    return content


def _dask() -> Any:
    import dask

    return dask


def _distributed() -> Any:
    """Return dask.distributed, which carries no types; ImportError where it is not installed."""
    import distributed

    return distributed


def _paths(split: Split, data: DataDescription) -> list[str]:
    """Return the paths that a split names: its own, and labels in a file beside it."""
    others = [split.targets] if split.targets and (Path(data.folder) / split.targets).is_file() else []
    return [path for path in (split.path, *others) if path]


def build_there(
    recipe: dict[str, Any],
    model: str,
    names: Mapping[str, str],
    blobs: Mapping[str, bytes],
    dimensions: dict[str, int],
    stop: str,
    name: str,
) -> dict[str, Any]:
    """Build one candidate on the worker that this runs on → {"report"} with {"file"}, or {"error"}.

    Args:
        recipe: As JSON; its data's paths are those of the sender.
        model: Name of the original's file.
        names: Hashes by the name of what was sent.
        blobs: Contents by hash.
        dimensions: Sizes of dynamic dimensions besides the batch.
        stop: Name of the event that is set when the study is cancelled.
        name: Of the candidate's file; external data is known by it.
    """
    from workbench.worker.dispatch import run_job

    home = _unpacked(names, blobs)
    cancel = CancelToken()
    watching = _watch(stop, cancel)
    lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="workbench-trial-") as folder:
        out = Path(folder) / name
        baseline = home / "baseline.npz"
        spec = CompressJob(
            model=str(home / "model" / model),
            recipe=_here(Recipe.model_validate(recipe), home, names),
            out=str(out),
            cache=str(cache_folder() / "cluster" / "steps"),
            baseline=str(baseline) if baseline.exists() else None,
            measure_latency=False,
            dimensions=dimensions,
        )
        try:
            report = run_job(spec, JobContext(cancel=cancel, log=lines.append))
        except WorkbenchError as error:
            return {"error": error.to_json(), "log": lines}
        finally:
            watching.set()
        parts = {part.name: part.read_bytes() for part in model_files(out)}
    return {"report": report, "files": parts, "log": lines}


def _unpacked(names: Mapping[str, str], blobs: Mapping[str, bytes]) -> Path:
    """Write what was sent under a folder by its hash, where it is not there yet."""
    digest = hashlib.sha256(json.dumps(dict(names), sort_keys=True).encode()).hexdigest()
    home = cache_folder() / "cluster" / digest
    for name, content in names.items():
        folder = name.startswith(_FOLDER)
        place = home / name.removeprefix(_FOLDER)
        if place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
        if folder:
            with tarfile.open(fileobj=io.BytesIO(blobs[content])) as archive:
                archive.extractall(part, filter="data")
        else:
            part.write_bytes(blobs[content])
        try:
            os.replace(part, place)
        except OSError:
            # Another trial on this worker was quicker: a full folder can't be replaced.
            if not place.exists():
                raise
    return home


def _here(recipe: Recipe, home: Path, names: Mapping[str, str]) -> Recipe:
    """Return the recipe with its data where it was unpacked; labels that lie in the data's own file stay."""
    if not isinstance(recipe.data, DataDescription):
        return recipe
    changed: dict[str, Any] = {"folder": str(home)}
    for name in ("train", "test"):
        split: Split | None = getattr(recipe.data, name)
        if split is None:
            continue
        sent = {Path(key).name: f"data/{name}/{Path(key).name}" for key in names if f"data/{name}/" in key}
        update = {
            key: sent[Path(value).name]
            for key, value in (("path", split.path), ("targets", split.targets))
            if value is not None and Path(value).name in sent
        }
        changed[name] = split.model_copy(update=update)
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=changed)})


def _watch(stop: str, cancel: CancelToken) -> threading.Event:
    """Cancel once the study's event is set; returns what ends the watching."""
    dask = _distributed()
    over = threading.Event()
    event = dask.Event(stop, client=dask.get_client())

    def watch() -> None:
        while not over.wait(_POLL_SECONDS):
            try:
                if event.is_set():
                    cancel.cancel()
                    return
            except Exception:  # the scheduler is gone, and with it whoever wanted the result
                cancel.cancel()
                return

    threading.Thread(target=watch, name="study-watch", daemon=True).start()
    return over


def _received(payload: dict[str, Any], out: Path, log: Callable[[str], None]) -> CandidateReport:
    """Write a candidate that came back and return its report.

    Raises:
        WorkbenchError: the trial failed where it ran.
    """
    for line in payload["log"]:
        log(f"    {line}")
    if "error" in payload:
        error = WorkbenchError.from_json(payload["error"])
        raise CancelledError() if isinstance(error, CancelledError) else error
    report = CandidateReport.model_validate(payload["report"])
    for name, content in payload["files"].items():
        out.with_name(name).write_bytes(content)
    return report.model_copy(update={"candidate": report.candidate.model_copy(update={"path": str(out)})})
