"""One method on the trial network: the checks of the compliance suite that run it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic import ValidationError

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription
from workbench.domain.errors import CancelledError
from workbench.domain.knobs import ACTIVATION_BITS, WEIGHT_BITS, Knob, Setting
from workbench.domain.plan import LayerSettings, Plan, resolve
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.check import check
from workbench.graph.compared_values import saturating_layers
from workbench.graph.model import ModelGraph
from workbench.graph.trial_graph import INPUT_SHAPE, trial_graph
from workbench.methods.applicability import layer_knobs
from workbench.methods.method import Method, MethodResult, Tools
from workbench.methods.preparation import RecipeData
from workbench.methods.registry import MethodRegistry

_SEED = 7
_FLOAT_TOLERANCE = 1e-3
# A value that lies on the edge between two steps may round either way in two engines.
_QUANTIZED_TOLERANCE = 0.1
_ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear", "Cast"})


class Rejected(Exception):  # noqa: N818
    """A promise that was not kept, in words for the plugin's author."""


class Trial:
    """Runs one method with a medium setting of each of its knobs; each public function is one check.

    A check returns what it saw and raises Rejected, or whatever the plugin raised.

    Args:
        method: On trial.
        registry: Knows it and the knobs.
        data: Samples of the trial network.
        inference: Runs the results.
        training: Must be able to run them too.
        cancel: Ends a check.
        parameters: In place of the defaults.
        settings: Of all layers, in place of the medium ones; by knob.
    """

    def __init__(
        self,
        method: type[Method],
        registry: MethodRegistry,
        data: DataDescription,
        inference: InferenceEngine,
        training: TrainingEngine,
        cancel: CancelToken,
        *,
        parameters: Mapping[str, object] | None = None,
        settings: Mapping[str, Setting] | None = None,
    ) -> None:
        self._method = method
        self._parameters, self._chosen = dict(parameters or {}), dict(settings or {})
        self._registry = registry
        self._inference = inference
        self._training = training
        self._cancel = cancel
        self._graph = trial_graph()
        self._before = self._graph.to_bytes()
        self._data = RecipeData(data, self._graph.inputs, inference, self._graph, seed=_SEED, cancel=cancel)
        self._fractions: list[float] = []
        self._result: MethodResult | None = None

    def parameters(self) -> str:
        """Check that a form can be made and filled in."""
        properties = self._method.Parameters.model_json_schema().get("properties", {})
        untitled = [name for name, schema in properties.items() if not schema.get("title") and "$ref" not in schema]
        if untitled:
            raise Rejected(f"{untitled[0]} has no title")
        try:
            self._method.Parameters()
        except ValidationError as error:
            name = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise Rejected(f"{name} has no default; a new step starts with the defaults") from error
        return f"{len(properties)} parameters" if properties else "no parameters"

    def bad_parameters(self) -> str:
        """Check that unknown and ill-typed parameters raise ValidationError, and nothing else."""
        properties = self._method.Parameters.model_json_schema().get("properties", {})
        tried: list[dict[str, object]] = [{"no_such_parameter": 1}]
        tried += [
            {name: "not a value of it"}
            for name, schema in properties.items()
            if schema.get("type") in ("integer", "number", "boolean") or "enum" in schema
        ]
        for values in tried:
            try:
                self._method.Parameters.model_validate(values)
            except ValidationError:
                continue
            raise Rejected(f"{values} was accepted; derive Parameters from workbench.api.Parameters and give types")
        return f"{len(tried)} refused"

    def first_run(self) -> str:
        """Run it once; the next checks look at the result."""
        settings = self._settings()
        instance = self._instance()
        instance.check(self._graph, settings)
        result = instance.apply(self._graph, settings, self._tools(self._fractions))
        if not isinstance(result, MethodResult):
            raise Rejected(f"apply returned {type(result).__name__}, expected a workbench.api.MethodResult")
        if not isinstance(result.graph, ModelGraph):
            raise Rejected(f"the result's graph is {type(result.graph).__name__}, expected a workbench.api.ModelGraph")
        self._result = result
        return "; ".join(result.notes)

    def input_untouched(self) -> None:
        """Check that apply is pure."""
        self._ran()
        if self._graph.to_bytes() != self._before:
            raise Rejected("the input graph was changed; edit a copy and return it")

    def valid_graph(self) -> None:
        """Check structure and interface of the result."""
        graph = self._ran().graph
        check(graph)
        for side in ("inputs", "outputs"):
            before = [value.name for value in getattr(self._graph, side)]
            after = [value.name for value in getattr(graph, side)]
            if before != after:
                raise Rejected(f"the {side} are {after}, expected {before}")

    def both_engines(self) -> str:
        """Check that the result is deployable and trainable, and means the same to both engines."""
        graph = self._ran().graph
        images = np.random.default_rng(1).standard_normal((4, *INPUT_SHAPE)).astype(np.float32)
        inputs = {graph.inputs[0].name: images}
        deployed = self._inference.open(graph, threads=1, cancel=self._cancel).run(inputs)
        missing = self._training.unsupported(graph)
        if missing:
            raise Rejected(f"the training engine lacks {', '.join(missing[:3])}")
        trained = self._training.run(graph, inputs)
        tolerance = _QUANTIZED_TOLERANCE if any(node.op in _ROUNDING for node in graph.nodes) else _FLOAT_TOLERANCE
        return _agreement(deployed, trained, tolerance)

    def deterministic(self) -> None:
        """Check that a recipe gives the same bytes again."""
        first = self._ran().graph.to_bytes()
        again = self._instance().apply(self._graph, self._settings(), self._tools([]))
        if again.graph.to_bytes() != first:
            raise Rejected("a second run with the same seed gave other bytes; draw random numbers from tools.rng only")

    def progress_reported(self) -> str:
        """Check that the user sees it move."""
        self._ran()
        seen = self._fractions
        if not seen:
            raise Rejected("tools.progress.update was never called")
        if any(later < earlier for earlier, later in itertools.pairwise(seen)):
            raise Rejected("the progress went backwards")
        return f"{len(seen)} updates"

    def cancel_honoured(self) -> None:
        """Check that a cancelled method stops: the token is set from the start, so that the first poll must raise."""
        self._ran()
        token = CancelToken()
        token.cancel()
        try:
            self._instance().apply(self._graph, self._settings(), self._tools([], token))
        except CancelledError:
            self._cancel.raise_if_cancelled()
            return
        raise Rejected("it went on to the end; call tools.cancel.raise_if_cancelled() for every layer or batch")

    def report_in_json(self) -> str:
        """Check that notes and details can be stored."""
        result = self._ran()
        if not all(isinstance(note, str) for note in result.notes):
            raise Rejected("a note is not text")
        try:
            json.dumps(result.details, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise Rejected(f"details are not JSON: {error}") from error
        return f"{len(result.notes)} notes, {len(result.details)} details"

    def within_16_bits(self) -> str:
        """Check that each of the ways to keep sums of 8-bit products within 16 bits does so."""
        eights = {WEIGHT_BITS.name: 8, ACTIVATION_BITS.name: 8}
        bits = {knob.name: eights[knob.name] for knob in self._method.knobs if knob.name in eights}
        for way in self._method.within_16_bits:
            instance = self._method(self._method.Parameters.model_validate({**self._parameters, **way}))
            settings = self._settings(bits)
            if layers := instance.saturating(self._graph, settings):
                raise Rejected(f"with {dict(way)} it says itself that {layers[0]} can exceed 16 bits")
            graph = instance.apply(self._graph, settings, self._tools([])).graph
            if layers := saturating_layers(graph):
                raise Rejected(f"with {dict(way)} {layers[0]} can exceed 16 bits")
        return f"{len(self._method.within_16_bits)} ways" if self._method.within_16_bits else "makes no such sums"

    def _ran(self) -> MethodResult:
        if self._result is None:
            raise Rejected("it could not be tried, because the method did not run")
        return self._result

    def _instance(self) -> Method:
        return self._method(self._method.Parameters.model_validate(self._parameters))

    def _settings(self, others: Mapping[str, Setting] | None = None) -> LayerSettings:
        default = {knob.name: _medium(knob) for knob in self._method.knobs} | self._chosen | dict(others or {})
        return resolve(Plan(default=default), layer_knobs(self._graph, self._registry), self._registry.knobs)

    def _tools(self, fractions: list[float], token: CancelToken | None = None) -> Tools:
        return Tools(
            reference=self._graph,
            data=self._data,
            inference=self._inference,
            training=self._training,
            rng=np.random.default_rng(_SEED),
            seed=_SEED,
            progress=Progress(lambda fraction, text: fractions.append(fraction)),
            cancel=token or self._cancel,
            # A clock that says the same every time, or no method that aims at a latency could be deterministic.
            latency_ratio=lambda graph: graph.weight_bytes / self._graph.weight_bytes,
        )


def _medium(knob: Knob) -> Setting:
    """Return a value that turns the knob, away from the ends of its range."""
    for value in knob.sweep:
        if value != knob.untouched:
            return value
    others = [choice for choice in knob.choices if choice != knob.untouched]
    if others:
        return others[len(others) // 2]
    if knob.low is not None and knob.high is not None:
        middle = (knob.low + knob.high) / 2
        return int(middle) if isinstance(knob.untouched, int) else middle
    return knob.untouched


def _agreement(deployed: dict[str, np.ndarray], trained: dict[str, np.ndarray], tolerance: float) -> str:
    worst = 0.0
    for name, expected in deployed.items():
        found = trained[name]
        if not np.isfinite(expected).all():
            raise Rejected(f"output {name!r} is not finite")
        if found.shape != expected.shape:
            raise Rejected(
                f"output {name!r} is {_shape(found.shape)} in torch, {_shape(expected.shape)} in ONNX Runtime"
            )
        scale = float(np.abs(expected).max()) or 1.0
        worst = max(worst, float(np.abs(expected - found).max()) / scale)
    if worst > tolerance:
        raise Rejected(f"the engines differ by {worst:.2g} of the largest output, expected at most {tolerance:g}")
    return f"they differ by {worst:.1g} of the largest output"


def _shape(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))
