"""What the inspector asks a worker for when it shows a layer's levels, or why it can't; no widgets in here."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.domain.data_description import DataDescription
from workbench.domain.distribution import DistributionReport, Subject
from workbench.domain.errors import WorkbenchError
from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS
from workbench.domain.recipe import Step
from workbench.domain.reports import LayerReport
from workbench.jobs.specs import DistributionJob
from workbench.project.state import Candidate
from workbench.ui.models import numbers
from workbench.ui.models.layer_settings import not_settable
from workbench.ui.models.reason import Reason
from workbench.ui.session import Session
from workbench.ui.workflow import RECOMMENDED

SAMPLES = 64
_BITS = {"weights": WEIGHT_BITS, "activations": ACTIVATION_BITS}


@dataclass(frozen=True)
class Asked:
    """What a picture of levels is of.

    Attributes:
        layer: The layer.
        of: Its weights, or what it reads.
        candidate: Whose file the levels are read from; None for the plan.
        channel: Output channel that is shown alone.
    """

    layer: LayerReport
    of: Subject = "weights"
    candidate: Candidate | None = None
    channel: int | None = None


def distribution_job(session: Session, asked: Asked) -> DistributionJob | Reason:
    """Return the job that finds it out, or why there can't be one yet."""
    state, layer = session.state, asked.layer
    if state.model is None:
        return Reason("Open a model first", "model.open")
    knob = _BITS[asked.of]
    if asked.of == "activations":
        reason = not_settable(layer, knob)
        if reason is not None:
            return Reason(reason)
        if state.data is None:
            return Reason("Choose data first: activations are those of a few training samples", "data.choose")
        if state.data.train is None:
            return Reason("The data has no train split, which samples for calibration are taken from", "data.choose")
    data: DataDescription | None = None
    if state.data is not None:
        data = state.data.model_copy(update={"folder": state.data_folder})
    job = DistributionJob(
        model=state.model.path,
        model_sha256=state.model.sha256,
        layer=layer.name,
        of=asked.of,
        channel=asked.channel if asked.of == "weights" else None,
        data=data,
        samples=SAMPLES,
        seed=state.seed,
    )
    if asked.candidate is not None:
        return _of_file(session, asked.candidate, layer, job)
    settings = session.settings()
    if settings is None:
        return Reason("The plan does not fit the model: see the lines below the layer table")
    line = settings.get(layer.name, {})
    bits = {each.name: line[each.name] for each in (WEIGHT_BITS, ACTIVATION_BITS) if each.name in line}
    if asked.of == "weights" and ACTIVATION_BITS.name in bits:
        # Without activations no samples are needed, so that the levels are there at once.
        bits[ACTIVATION_BITS.name] = ACTIVATION_BITS.untouched
    step = quantizing_step(session)
    if bits.get(knob.name, knob.untouched) == knob.untouched or step is None:
        return job
    return job.model_copy(update={"settings": bits, "step": step})


def quantizing_step(session: Session) -> Step | None:
    """Return the step that would round weights: the recipe's last one that reads their bits, or the usual one."""
    readers = {method.id for method in session.methods if WEIGHT_BITS.name in method.knobs}
    own = [step for step in session.state.steps if step.enabled and step.method in readers]
    if own:
        return own[-1]
    usual = sorted(readers, key=lambda id: (id not in RECOMMENDED, id))
    return Step(method=usual[0]) if usual else None


def in_words(report: DistributionReport) -> str:
    """Return what a picture of levels says, in sentences."""
    spread = report.spread
    what = "weights" if report.of == "weights" else "numbers"
    if not report.quantizer:
        return f"In float, {_number(spread.minimum)} to {_number(spread.maximum)}."
    said = [f"{report.bits:g} bits"]
    if spread.levels and report.bits < 16:
        used = sum(count > 0 for count in spread.level_counts)
        said.append(f"{used} of {max(2 ** round(report.bits), used)} levels used")
    if report.scope == "block":
        said.append("a scale for every block of inputs")
    elif report.scales > 1:
        reach = f"{_number(report.least_scale)} to {_number(report.most_scale)}"
        said.append(f"a scale for each of {report.scales} channels ({reach})")
    elif report.scales == 1:
        said.append(f"scale {_number(report.least_scale)} for the whole tensor")
    text = ", ".join(said) + "."
    if spread.clip is not None and spread.total:
        share = numbers.fixed(100 * spread.clipped / spread.total, 2)
        text += f" {share}\N{NO-BREAK SPACE}% of {numbers.count_text(spread.total)} {what} are clipped."
    if spread.sqnr_db is not None:
        exact = spread.sqnr_db >= 200
        text += " Nothing is lost." if exact else f" SQNR {numbers.fixed(spread.sqnr_db, 1)}\N{NO-BREAK SPACE}dB."
    notes = "".join(f" {note}." for note in report.notes)
    return text + notes


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", numbers.MINUS)


def _of_file(
    session: Session, candidate: Candidate, layer: LayerReport, job: DistributionJob
) -> DistributionJob | Reason:
    change = next((change for change in candidate.report.layers if change.name == layer.name), None)
    if change is None or change.after is None:
        return Reason(f"{candidate.name} has no such layer any more")
    try:
        path = session.artifact_path(candidate.id)
    except WorkbenchError as error:
        return Reason(str(error))
    return job.model_copy(update={"candidate": str(path), "name": candidate.name})
