"""Quantization-aware training: weights and ranges learn what rounding does; the file is what was trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from workbench.api import (
    WEIGHT_BITS,
    LayerSettings,
    MethodResult,
    ModelGraph,
    Parameters,
    RecipeError,
    Requirement,
    Stage,
    Tools,
    Training,
    TrainingForm,
    TrainingHook,
    layer_nodes,
    normalised,
    rescaled_weights,
    sparsity_of,
    trainable_qdq,
    training_history,
)

from .base import Quantization
from .prepared import Prepared, prepare
from .qat_binary import BinaryHook, with_ends, with_fine_biases
from .qat_hook import Damping, QuantizerHook
from .qat_parameters import QatParameters, StageBits
from .qat_stages import Begun, following

_DAMPED_BITS = 3
_DAMPING = 0.03
# ResNet-20 at 0.01 with activations in float, 8 epochs of 19,000: 0.8858 without, 0.8870 with.
_BINARY_MIXING = 0.5
_STATISTICS_SAMPLES = 2048


class QuantizationAwareTraining(Quantization):
    """Trains the rounded network beside the original; every epoch is scored as the file that it would become."""

    id: ClassVar[str] = "quantize.qat"
    title: ClassVar[str] = "Quantization-aware training"
    summary: ClassVar[str] = "Trains weights and ranges with rounding in place; for 4 bits and fewer, down to 1."
    source: ClassVar[str] = (
        "Esser et al., 2020 (LSQ); Bhalgat et al., 2020 (LSQ+); Choi et al., 2018 (PACT); Zhou et al., 2016 (DoReFa); "
        "Nagel et al., 2022 (damping); Rastegari et al., 2016 (XNOR-Net); Qin et al., 2020 (IR-Net); Xu et al., 2021 "
        "(ReCU); Liu et al., 2018 (Bi-Real Net); Lin et al., 2017 (ABC-Net); Li et al., 2017 (residual binarization)"
    )
    stage: ClassVar[Stage] = Stage.QUANTIZE
    Parameters: ClassVar[type[Parameters]] = QatParameters
    least_bits: ClassVar[int] = 1

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return that samples and gradients are needed."""
        return super().requirements(graph) | {Requirement.GRADIENTS}

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse what can't be honoured; warn of settings without effect.

        Raises:
            RecipeError: as for every quantization.
        """
        settings: QatParameters = self.parameters
        plan, ends = with_ends(plan, settings.ends)
        warnings = super().check(graph, plan)
        self._refuse_sparse(graph, plan)
        if ends:
            given = "8 bits" if settings.ends == "8bit" else "float"
            warnings = (*warnings, f"{' and '.join(ends)} get {given} in place of 1 bit; parameter ends says so.")
        if settings.binary_branches > 1 and all(plan.number(name, WEIGHT_BITS) != 1 for name in plan):
            warnings = (*warnings, "binary_branches is for layers with weight_bits 1, and there are none.")
        if settings.epochs == 0:
            warnings = (*warnings, "There are 0 epochs: this is post-training quantization.")
        if settings.distillation == 0 and settings.feature_distillation == 0:
            warnings = (*warnings, "Distillation is off: the original model is not used.")
        return warnings

    def _refuse_sparse(self, graph: ModelGraph, plan: LayerSettings) -> None:
        for node, weight in layer_nodes(graph):
            if node.name in plan and plan.number(node.name, WEIGHT_BITS) == 1 and sparsity_of(node) is not None:
                raise RecipeError(
                    f"weight_bits is 1, but weight {weight.name!r} is sparse and signs have no zero",
                    where=node.name,
                    expected="2 or more",
                    action="Take more bits, or leave the step before out that made the zeros.",
                )

    def saturating(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Return the layers whose sums can exceed 16 bits, among them the ends that get 8 bits in place of 1."""
        return super().saturating(graph, with_ends(plan, self.parameters.ends)[0])

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph | None:
        """Return what rounding alone leads to, with the bits of the first and the last layer as they will be.

        Raises:
            RecipeError: as requested_bits.
            DataError: made-up values lead to NaN.
        """
        return super().outline(graph, with_ends(plan, self.parameters.ends)[0], tools)

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Prepare, train at the bits of every stage, and deploy the best epoch of the last.

        Raises:
            RecipeError: the recipe names no data.
            UnsupportedGraphError: the graph or the original has an operator that can't be trained.
            DataError: the labels don't fit the model, or calibration finds nothing or NaN.
            JobError: the training diverged.
            CancelledError: cancelled before one epoch at the plan's bits was complete.
        """
        settings: QatParameters = self.parameters
        plan, _ = with_ends(plan, settings.ends)
        training = Training.of(settings, tools, self.id)
        stages, epochs = (*settings.stage_bits, StageBits(0)), settings.stage_epochs()
        notes: list[str] = []
        histories: list[dict[str, Any]] = []
        reached: Begun | None = None
        done = 0
        for number, (stage, count) in enumerate(zip(stages, epochs, strict=True)):
            begins, ends = (share / max(settings.epochs, 1) for share in (done, done + count))
            progress = tools.progress.part(begins, max(ends, 1e-9))
            here = replace(tools, progress=progress)
            part = progress.part(0.0, 0.05 if count else 1.0, "calibration")
            bits, calibration = stage.of(plan), settings.calibration()
            if reached is None:
                prepared = prepare(graph, bits, here, calibration, self.id, part, settings.levels)
                if prepared is None:
                    return MethodResult(graph, ("nothing quantized",))
                if not count:
                    return prepared.result()
                begun = Begun(prepared)
            else:
                begun = following(reached, bits, here, calibration, self.id, part, settings.levels)
            last = number == len(stages) - 1
            run = _Run(self, training, here, begun, plan)
            reached, found = run.trained(count, "" if last else f"{stage.name}bit", keep_best=last)
            histories.append({"least_bits": stage.least, "weights_only": stage.weights_only, **found})
            done += count
        assert reached is not None, "there is a stage for the plan's own bits"
        notes.extend(run.notes)
        result = reached.prepared.result()
        details = {**result.details, "stages": histories, "scales": run.scales(reached.prepared)}
        details.pop("ranges", None)
        return MethodResult(result.graph, (*result.notes, *notes), details)


class _Run:
    """The training of one stage."""

    def __init__(
        self, method: Quantization, training: Training, tools: Tools, begun: Begun, plan: LayerSettings
    ) -> None:
        self._settings: QatParameters = method.parameters
        prepared = begun.prepared
        self._training, self._tools, self._prepared = training, tools, prepared
        self.notes: list[str] = []
        # Shortcuts that are computed as convolutions pass integers through unchanged; there is nothing to learn.
        held = [name for name in prepared.layers if name not in plan]
        graph = prepared.graph if begun.source is None else begun.source
        if begun.source is None and self._settings.restore_batch_norm:
            measuring = replace(tools, progress=tools.progress.part(0.05, 0.1, "statistics"))
            graph = normalised(graph, measuring, self._settings.statistics_samples or 1000, self.notes, held)
        self._fixed = {graph.node(name).inputs[prepared.layers[name].weight] for name in held}
        self._form = self._training_form(graph)

    def _training_form(self, graph: ModelGraph) -> TrainingForm:
        prepared, estimator = self._prepared, self._settings.estimator
        return trainable_qdq(
            graph,
            prepared.activations,
            rescaled_weights(prepared.weights, prepared.graph, graph),
            prepared.placement,
            fixed=self._fixed,
            slope="clip" if estimator == "pact" else None,
            bent=estimator in ("pact", "dorefa"),
            balanced=self._settings.binary != "xnor",
            binary_slope="polynomial" if self._settings.binary_slope == "polynomial" else None,
        )

    def trained(self, epochs: int, name: str, *, keep_best: bool) -> tuple[Begun, dict[str, Any]]:
        """Return what is to be deployed with the graph that was trained, and the training's history.

        Raises:
            CancelledError: cancelled before one epoch was complete, or in a stage before the last.
        """
        settings, form = self._settings, self._form
        strength = _DAMPING if settings.damping is None else settings.damping
        damping = Damping(strength, _DAMPED_BITS if settings.damping is None else 8)
        hook: TrainingHook = QuantizerHook(
            form, damping, settings.weight_decay if settings.estimator == "pact" else 0.0
        )
        if form.binary:
            hook = BinaryHook(form, settings.binary, hook)
            many = settings.binary_branches
            bases = f" on {many} bases" if many > 1 else ""
            self.notes.append(f"{len(form.binary)} weights of 1 bit{bases}, trained as {settings.binary} does.")
        result = self._training.fit(
            form.graph,
            epochs=epochs,
            name=name,
            progress=self._tools.progress.part(0.1, 1.0),
            hook=hook,
            keep_best=keep_best,
            also=self._learned_settings(),
            also_rate=settings.scale_rate,
            deployed=lambda trained: self._reached(trained).prepared.deployed(),
            zeros_of=form.source,
            mixing=self._mixing(),
        )
        if result.stopped_early and not keep_best:
            self._tools.cancel.raise_if_cancelled()
        best = next((record for record in result.history if record.epoch == result.best_epoch), None)
        kept = f"Epoch {result.best_epoch} of {len(result.history)} kept"
        if best is not None and best.score is not None:
            kept = f"{kept}, validation {best.score:.4f}"
        self.notes.extend((f"{kept}.", *result.notes))
        history = {
            "history": training_history(result),
            "best_epoch": result.best_epoch,
            "stopped_early": result.stopped_early,
        }
        return self._reached(result.graph), history

    def scales(self, trained: Prepared) -> dict[str, list[float]]:
        """Return the scale of every value before and after training."""
        before = self._prepared.activations
        return {name: [before[name].scale, entry.scale] for name, entry in trained.activations.items()}

    def _learned_settings(self) -> tuple[str, ...]:
        form, estimator = self._form, self._settings.estimator
        values = dict.fromkeys(entry.scale for entry in form.activations.values())
        weights = dict.fromkeys(entry.scale for entry in form.weights.values())
        zeros = dict.fromkeys(entry.zero_point for entry in form.activations.values())
        learned: dict[str, tuple[str, ...]] = {
            "lsq": (*values, *weights),
            "lsq+": (*values, *weights, *zeros),
            "pact": tuple(values),
            "dorefa": (),
            "fixed": (),
        }
        # Not learned but moved by the hook, which sees only what is trained.
        return (*learned[estimator], form.sharpness) if form.sharpness else learned[estimator]

    def _reached(self, trained: ModelGraph) -> Begun:
        """Return what is deployed of a trained form, and from where another stage goes on."""
        prepared = self._prepared
        learned = self._form.learned(self._with_statistics(trained))
        weights = {**prepared.weights, **learned.weights}
        found = learned.activations
        deployable = replace(
            prepared,
            graph=learned.graph,
            weights={name: weights[name] for name in prepared.weights},
            activations={name: found.get(entry, entry) for name, entry in prepared.activations.items()},
            placement=replace(
                prepared.placement,
                narrower={place: found.get(entry, entry) for place, entry in prepared.placement.narrower.items()},
            ),
        )
        return Begun(with_fine_biases(deployable), learned.source)

    def _mixing(self) -> float:
        chosen = self._settings.mixing
        return chosen if chosen is not None else _BINARY_MIXING if self._form.binary else 0.0

    def _with_statistics(self, trained: ModelGraph) -> ModelGraph:
        samples = self._settings.statistics_samples
        if samples is None:
            samples = _STATISTICS_SAMPLES if self._mixing() else 0
        if not samples or self._settings.batch_norm != "train":
            return trained
        return self._tools.training.reestimate_batch_norm(
            trained, self._training.statistics_batches(samples), cancel=self._tools.cancel
        )
