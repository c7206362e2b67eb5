"""What every panel gets: the one document, the one selection, the jobs, and the actions that start them.

No widget in here, so that the whole course from an opened model to a candidate is tested without a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from workbench.domain.data_description import DataDescription
from workbench.domain.data_reports import DataPreview
from workbench.domain.errors import BadInputError, RecipeError, WorkbenchError
from workbench.domain.knobs import FIRST_PARTY_KNOBS, Knob, Setting
from workbench.domain.measurements import LatencyReport, MetricMeasurement, SensitivityPoint
from workbench.domain.plan import LayerSettings
from workbench.domain.recipe import Recipe
from workbench.domain.reports import CandidateReport, InspectReport, LayerDetail, ParameterSchema, SweepReport
from workbench.domain.search_reports import OfferedStrategy
from workbench.jobs.specs import (
    CompressJob,
    EvaluateJob,
    InspectJob,
    LayerDetailJob,
    ListMethodsJob,
    PreviewDataJob,
    ProfileJob,
    SweepJob,
)
from workbench.project import results
from workbench.project.commands import Command, ReplaceRecipe, SetData, SetModel, SetSteps
from workbench.project.copying import copy_whole
from workbench.project.device_book import DeviceBook
from workbench.project.document import Document
from workbench.project.state import Candidate, Change, ModelReference, ProjectState
from workbench.ui import reasons, workflow
from workbench.ui.arrivals import Arrivals
from workbench.ui.bridge import JobsBridge
from workbench.ui.devices import Devices
from workbench.ui.models.data_offers import DataOffers
from workbench.ui.models.reason import Reason
from workbench.ui.originals import measure_original
from workbench.ui.selection import Selection
from workbench.ui.theme import Theme

ALL_CHANGES = ~Change.NONE


class Session(QObject):
    """One open project and everything that can be done with it.

    Signals:
        documentChanged: A `Change`; the document's state is already the new one. Opening another project sends all.
        methodsChanged: `methods`, `knobs` and `data_offers` were read from the plugins.
        failed: A WorkbenchError for the banner.
        said: A line for the status bar.
    """

    documentChanged = Signal(object)
    methodsChanged = Signal()
    failed = Signal(object)
    said = Signal(str)

    def __init__(
        self,
        document: Document,
        jobs: JobsBridge,
        theme: Theme,
        scratch: Path,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.jobs = jobs
        self.theme = theme
        self.selection = Selection(self)
        self.devices = Devices(DeviceBook(), self)
        self.methods: tuple[ParameterSchema, ...] = ()
        self.strategies: tuple[OfferedStrategy, ...] = ()
        self.knobs: tuple[Knob, ...] = FIRST_PARTY_KNOBS
        self.data_offers = DataOffers()
        self.scratch = scratch
        self._document = document
        self._unsubscribe = document.subscribe(self._document_changed)
        jobs.setParent(self)
        jobs.jobFailed.connect(self._job_failed)

    # --- the document -------------------------------------------------------------------------------------------

    @property
    def document(self) -> Document:
        """The open project; another object after another project was opened."""
        return self._document

    @property
    def state(self) -> ProjectState:
        """The document's current value."""
        return self._document.state

    def set_document(self, document: Document) -> None:
        """Show another project."""
        self._unsubscribe()
        self._document = document
        self._unsubscribe = document.subscribe(self._document_changed)
        self.selection.set_layers(())
        self.selection.set_candidate(None)
        self.documentChanged.emit(ALL_CHANGES)

    def do(self, command: Command) -> None:
        """Apply an edit; a fault is shown in the banner and changes nothing."""
        try:
            self._document.do(command)
        except WorkbenchError as error:
            self.failed.emit(error)

    def settings(self) -> LayerSettings | None:
        """Return every layer's settings under the plan; None without a model or while the plan does not fit it."""
        if self.state.inspect is None:
            return None
        try:
            return workflow.settings_of(self.state.plan, self.state.inspect, self.knobs)
        except RecipeError:
            return None

    def knob(self, name: str) -> Knob | None:
        """Return the knob called `name`, or None if no plugin brings it."""
        return next((knob for knob in self.knobs if knob.name == name), None)

    def missing(self, *needs: str) -> Reason | None:
        """Return why an action can't start, in words that say what enables it, or None; for `needs` see `reasons`."""
        return reasons.missing(self.state, self.methods, self.selection.candidate, needs)

    # --- jobs ---------------------------------------------------------------------------------------------------

    def list_methods(self) -> str:
        """Read the plugins' methods in a worker."""
        return self.jobs.submit(ListMethodsJob(), "Read plugins", "interactive", on_result=self._methods_listed)

    def open_model(self, path: Path, then: Callable[[], object] | None = None) -> str:
        """Inspect a model file; it becomes the project's model once it turns out to be one, and `then` goes on."""
        title = f"Open {path.name}"

        def opened(payload: dict[str, Any]) -> None:
            report = InspectReport.model_validate(payload)
            reference = ModelReference(path=str(path.absolute()), sha256=report.model.sha256)
            self.do(SetModel(reference, title=title))
            # Panels have enough to do for two turns of the event loop.
            QTimer.singleShot(0, self, partial(described, reference, report))

        def described(reference: ModelReference, report: InspectReport) -> None:
            if self.state.model != reference:
                return
            self._record(Change.MODEL, inspect=report)
            self.said.emit(f"{path.name}: {len(report.layers)} layers")
            if then is not None:
                then()

        return self.jobs.submit(
            InspectJob(model=str(path.absolute()), drawing=True), title, "interactive", on_result=opened
        )

    def open_data(self, description: DataDescription, folder: Path) -> str | None:
        """Choose the data and measure the original on it."""
        self.do(SetData(description, str(folder)))
        return measure_original(self)

    def preview_data(
        self,
        description: DataDescription,
        on_preview: Callable[[DataPreview], None],
        on_failed: Callable[[WorkbenchError], None],
    ) -> str:
        """Look at data, with the model's predictions where there is one."""
        model = None if self.state.model is None else self.state.model.path
        return self.jobs.submit(
            PreviewDataJob(model=model, data=description),
            "Preview data",
            "interactive",
            on_result=lambda payload: on_preview(DataPreview.model_validate(payload)),
            on_failed=on_failed,
        )

    def layer_detail(
        self,
        layer: str,
        on_detail: Callable[[LayerDetail], None],
        on_failed: Callable[[WorkbenchError], None] | None = None,
    ) -> str | None:
        """Read a layer's weight statistics; without `on_failed` a fault is shown in the banner."""
        if self.state.model is None:
            return None
        return self.jobs.submit(
            LayerDetailJob(model=self.state.model.path, layer=layer),
            f"Read weights of {layer}",
            "interactive",
            on_result=lambda payload: on_detail(LayerDetail.model_validate(payload)),
            on_failed=on_failed,
        )

    def evaluate_baseline(self) -> str | None:
        """Measure the original's metric on the test data."""
        state = self.state
        if (data := self._data()) is None or state.model is None:
            return None

        def evaluated(payload: dict[str, Any]) -> None:
            if self.state.data == state.data and self._same_model(state):
                self._record(Change.BASELINE, baseline=MetricMeasurement.model_validate(payload))

        spec = EvaluateJob(
            model=state.model.path, model_sha256=state.model.sha256, data=data, samples=state.evaluate.samples
        )
        return self.jobs.submit(spec, "Evaluate the original", "batch", on_result=evaluated)

    def profile_baseline(self) -> str | None:
        """Measure the original's latency, operator by operator."""
        state = self.state
        if state.model is None:
            return None

        def profiled(payload: dict[str, Any]) -> None:
            if self._same_model(state):
                self._record(Change.BASELINE, baseline_latency=LatencyReport.model_validate(payload))

        spec = ProfileJob(models=(state.model.path,), device=state.latency.device, **workflow.measured_as(state))
        return self.jobs.submit(spec, "Measure latency of the original", "batch", on_result=profiled)

    def sweep(
        self, method: str, knob: str, values: tuple[Setting, ...] = (), layers: Iterable[str] = (), samples: int = 2000
    ) -> str | None:
        """Measure sensitivities; every point is stored as it comes, and points that exist are not repeated."""
        state = self.state
        chosen = self.knob(knob)
        if (data := self._data()) is None or state.model is None or chosen is None:
            return None
        metric = data.metric

        def fits() -> bool:
            return self._same_model(state) and self.state.data == state.data

        def add(points: tuple[SensitivityPoint, ...], baseline: MetricMeasurement | None = None) -> None:
            if fits():
                merged = results.with_points(self.state.sensitivities, method, knob, metric, points, baseline)
                self._record(Change.SENSITIVITY, sensitivities=merged)

        arriving = Arrivals[SensitivityPoint](add)

        def finished(payload: dict[str, Any]) -> None:
            arriving.flush()
            report = SweepReport.model_validate(payload)
            add(report.points, report.baseline)

        spec = SweepJob(
            model=state.model.path,
            model_sha256=state.model.sha256,
            data=data,
            method=method,
            knob=knob,
            values=values or workflow.sweep_values(chosen),
            layers=tuple(layers),
            samples=samples,
            seed=state.seed,
            done=results.finished_points(state, method, knob),
            store=str(self.scratch / "sensitivities.jsonl"),
        )
        return self.jobs.submit(
            spec,
            f"Sensitivity: {chosen.title} ({method})",
            "batch",
            on_result=finished,
            on_partial=lambda name, payload: arriving.add(SensitivityPoint.model_validate(payload)),
        )

    def run(self, name: str | None = None) -> str | None:
        """Compress with the current plan and steps; the result becomes a candidate."""
        state = self.state
        if state.model is None:
            return None
        steps = workflow.steps_for(state.plan, state.steps, self.methods)
        if steps != state.steps:
            self.do(SetSteps(steps, title="Add steps for the plan"))
        return self.compress(self.state.recipe(), name)

    def compress(self, recipe: Recipe, name: str | None = None) -> str | None:
        """Run a recipe on the project's model; the result becomes a candidate."""
        state = self.state
        if state.model is None:
            return None
        out = self.scratch / "runs" / f"{recipe.sha256()[:16]}.onnx"
        out.parent.mkdir(parents=True, exist_ok=True)

        def finished(payload: dict[str, Any]) -> None:
            report = CandidateReport.model_validate(payload)
            candidate = results.new_candidate(self.state, recipe, report, name)
            self._keep_artifact(candidate, out)
            self._record(Change.CANDIDATES, candidates=(*self.state.candidates, candidate))
            self.selection.set_candidate(candidate.id)

        spec = CompressJob(
            model=state.model.path,
            model_sha256=state.model.sha256,
            recipe=recipe,
            out=str(out),
            cache=str(self.scratch / "steps"),
            **workflow.measured_as(state),
        )
        return self.jobs.submit(spec, f"Compress: {name or _steps_in_words(recipe.steps)}", "batch", on_result=finished)

    # --- candidates ---------------------------------------------------------------------------------------------

    def candidate(self) -> Candidate | None:
        """Return the selected candidate, or None."""
        chosen = self.selection.candidate
        return next((entry for entry in self.state.candidates if entry.id == chosen), None)

    def artifact_path(self, id: str) -> Path:
        """Return where a candidate's file lies.

        Raises:
            BadInputError: the file is gone.
        """
        candidate = self.state.candidate(id)
        artifacts = self._document.artifacts
        if artifacts is not None and candidate.artifact in artifacts:
            return artifacts.path(candidate.artifact)
        path = Path(candidate.report.candidate.path)
        if not path.is_file():
            raise BadInputError(
                f"The file of {candidate.name} is gone",
                where=str(path),
                action="Restore its settings as plan and run it again.",
            )
        return path

    def export_candidate(self, id: str, path: Path) -> None:
        """Copy a candidate's file to where the user wants it; a fault is shown in the banner."""
        try:
            copy_whole(self.artifact_path(id), path)
        except WorkbenchError as error:
            self.failed.emit(error)
            return
        self.said.emit(f"Exported {path.name}")

    def restore_candidate_plan(self, id: str) -> None:
        """Take over a candidate's plan and steps as the current ones; undo brings the old ones back."""
        candidate = self.state.candidate(id)
        recipe = candidate.recipe
        self.do(ReplaceRecipe(recipe.plan, recipe.steps, title=f"Restore plan of {candidate.name}"))

    # --- within -------------------------------------------------------------------------------------------------

    def _data(self) -> DataDescription | None:
        data = self.state.data
        return None if data is None else data.model_copy(update={"folder": self.state.data_folder})

    def _same_model(self, before: ProjectState) -> bool:
        now = self.state.model
        return now is not None and before.model is not None and now.sha256 == before.model.sha256

    def _keep_artifact(self, candidate: Candidate, path: Path) -> None:
        """Put the exported file among the project's artifacts; what can't be stored stays where it was exported."""
        artifacts = self._document.artifacts
        if artifacts is not None:
            try:
                artifacts.adopt(path, candidate.artifact)
            except WorkbenchError as error:
                self.failed.emit(error)

    def _record(self, change: Change, **facts: Any) -> None:
        """Keep what a job found; a fault of the disk is shown, the facts are there all the same."""
        try:
            self._document.record(change, **facts)
        except WorkbenchError as error:
            self.failed.emit(error)

    def _methods_listed(self, payload: dict[str, Any]) -> None:
        self.methods = tuple(ParameterSchema.model_validate(entry) for entry in payload.get("methods", ()))
        self.knobs = workflow.known_knobs(payload.get("knobs", ()))
        self.data_offers = DataOffers.of_listing(payload)
        self.strategies = tuple(OfferedStrategy.model_validate(entry) for entry in payload.get("strategies", ()))
        self.methodsChanged.emit()
        for failure in payload.get("failures", ()):
            self.failed.emit(WorkbenchError.from_json(failure))

    def _document_changed(self, change: Change) -> None:
        self.documentChanged.emit(change)

    def _job_failed(self, job: str, error: WorkbenchError) -> None:
        self.failed.emit(error)


def _steps_in_words(steps: tuple[Any, ...]) -> str:
    enabled = [step.method for step in steps if step.enabled]
    return ", ".join(enabled) if enabled else "export unchanged"
