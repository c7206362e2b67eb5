"""What all decompositions share: which layers the plan names, what is refused, what is worth it, and the report."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from pydantic import Field, model_validator

from workbench.api import (
    FACTOR_NOTE,
    RANK_RATIO,
    Factor,
    Factors,
    Knob,
    LayerReport,
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Node,
    Parameters,
    Progress,
    RecipeError,
    Requirement,
    Stage,
    Tools,
    factorize,
    fold_constants,
    layer_nodes,
    layer_weight,
    why_not_factorizable,
)

from .fitting import Fitted, fitting_scale
from .ranks import RankRule

_FOLDED: WeakKeyDictionary[ModelGraph, ModelGraph] = WeakKeyDictionary()


class FactorizationParameters(Parameters):
    """Parameters of every decomposition."""

    energy: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share of a layer's energy that must stay, such as 0.95: each layer gets the smallest rank that "
        "keeps it, and rank_ratio is the most it may get. 0 leaves the rank to rank_ratio.",
    )
    rank_multiple: int = Field(
        default=1, ge=1, le=256, description="Ranks are whole multiples of this; runtimes like 8 or 16."
    )
    shrink_only: bool = Field(
        default=True,
        description="Leave a layer as it is where its factors would not have fewer parameters and operations.",
    )
    latency_ratio: float = Field(
        default=0.0,
        ge=0.0,
        le=10.0,
        title="Latency ratio",
        description="Time that the network may take as a share of the original's, such as 0.8: all rank ratios are "
        "scaled by one factor, which is found by timing at most eight networks on the device. 0 leaves ranks to "
        "rank_ratio and energy.",
        json_schema_extra={"unit": "share"},
    )

    @model_validator(mode="after")
    def _one_rule(self) -> FactorizationParameters:
        if self.energy and self.latency_ratio:
            raise ValueError("energy and latency_ratio both decide the ranks; set one of them to 0")
        return self


@dataclass(frozen=True, eq=False)
class Subject:
    """One layer to factorise.

    Attributes:
        graph: The graph, without computed constants.
        node: The layer.
        rule: Decides its ranks.
        shape: Of its weight: a matrix (in, out), a convolution (out, in, k …).
    """

    graph: ModelGraph
    node: Node
    rule: RankRule
    shape: tuple[int, ...]

    def weight(self) -> np.ndarray:
        """Return the weight in double precision; made anew, so that only one layer's is held at a time."""
        return layer_weight(self.graph, self.node.name)


@dataclass(frozen=True, eq=False)
class Split:
    """A layer's factors.

    Attributes:
        factors: What takes its place.
        ranks: That were chosen.
        full_ranks: That would reproduce the layer.
        energy: Share of the energy that stays, of the weights or of the result, as the method measures it.
    """

    factors: Factors
    ranks: tuple[int, ...]
    full_ranks: tuple[int, ...]
    energy: float


class _Splits(NamedTuple):
    """Factors by layer, figures by layer, and the layers that stay as they are."""

    replaced: dict[str, Factors]
    layers: dict[str, Any]
    left: list[str]


class Factorization(Method):
    """Replaces the layers whose rank_ratio the plan sets below 1.

    Where an energy is asked for, every layer that the method can factorise takes part, unless a line of the plan for
    this layer alone sets its rank_ratio to 1.
    """

    stage = Stage.DECOMPOSE
    knobs = (RANK_RATIO,)
    Parameters = FactorizationParameters
    operators: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def split(self, subject: Subject, tools: Tools) -> Split:
        """Return the layer's factors."""

    def measure(self, subjects: tuple[Subject, ...], tools: Tools) -> None:
        """Look at samples before the layers are split; what looks at the weights alone has nothing to do."""

    def requirements(self, graph: ModelGraph) -> frozenset[Requirement]:
        """Return what the method needs, and a device where time is limited."""
        needed = super().requirements(graph)
        return needed | {Requirement.LATENCY} if self.parameters.latency_ratio else needed

    def sweep_obstacle(self) -> str | None:
        """Return that a target would hide what one layer's ratio does."""
        return "latency_ratio scales all ratios; set it to 0" if self.parameters.latency_ratio else None

    @classmethod
    def unfit(cls, shape: tuple[int, ...]) -> str | None:
        """Return why a layer of the right operator with a weight of this (stored) shape can't be split, or None."""
        return None

    @classmethod
    def blocked(cls, knob: Knob, layer: LayerReport) -> str | None:
        """Return why rank_ratio can't be turned on a layer, or None."""
        if layer.op not in cls.operators:
            return f"{cls.id} factorises {' and '.join(cls.operators)}"
        channels = layer.input_shape[1] if layer.input_shape is not None and len(layer.input_shape) > 1 else None
        if layer.op == "Conv" and isinstance(channels, int) and channels != layer.weight_shape[1]:
            return "it is a grouped convolution, whose groups are small already"
        if layer.op != "Conv" and len(layer.weight_shape) != 2:
            return f"its weight has {len(layer.weight_shape)} dimensions instead of 2"
        return cls.unfit(layer.weight_shape)

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse lines that can't be honoured; returns notes on layers that are left alone.

        Raises:
            RecipeError: a line for a layer that can't be factorised; names layer and reason.
        """
        whole = _folded(graph)
        chosen, notes = self._chosen(whole, plan, whole)
        if not chosen:
            notes = (*notes, f"No layer that {self.id} factorises has a rank_ratio below 1: nothing is factorised.")
        return notes

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph with the chosen layers factorised.

        Raises:
            RecipeError: as `check`.
            DataError: calibration samples are needed and missing, or not finite.
            JobError: latency can't be measured, or its target can't be met.
            CancelledError: tools.cancel was set.
        """
        tools.cancel.raise_if_cancelled()
        tools.progress.update(0.0, "choosing layers")
        whole = _folded(graph)
        chosen, notes = self._chosen(whole, plan, tools.reference)
        if not chosen:
            return MethodResult(graph, notes=("No layer is to be factorised.", *notes))
        subjects = tuple(Subject(whole, node, rule, _shape(whole, node)) for node, rule in chosen)
        self.measure(subjects, tools)
        fitted: Fitted | None = None
        allowed = self.parameters.latency_ratio
        if allowed:
            timing = replace(tools, progress=tools.progress.part(0.4, 0.9, "choosing ranks"))
            silent = replace(tools, progress=Progress())

            def build(scale: float) -> ModelGraph:
                return factorize(whole, self._split(_scaled(subjects, scale), silent).replaced)

            fitted = fitting_scale(build, allowed, timing, self.id)
            subjects = _scaled(subjects, fitted.chosen.scale)
        replaced, layers, left = self._split(subjects, tools)
        if left:
            shown = ", ".join(left[:6]) + (f" and {len(left) - 6} more" if len(left) > 6 else "")
            notes = (f"Left as they are, since their factors would not be smaller: {shown}.", *notes)
        if not replaced:
            return MethodResult(graph, notes=("No layer was factorised.", *notes))
        total = [
            sum(entry[key] for entry in layers.values()) for key in ("weight_params_before", "weight_params_after")
        ]
        done = f"{len(replaced)} layers factorised; parameters of their weights {total[0]:,} → {total[1]:,}."
        details = {"layers": layers, "weight_params_before": total[0], "weight_params_after": total[1]}
        if fitted is not None:
            notes = (fitted.note(allowed), *notes)
            ratios = {subject.node.name: {RANK_RATIO.name: subject.rule.ratio} for subject in subjects}
            details |= {**fitted.details(allowed), "plan": {"layers": ratios}, "settled": {"latency_ratio": 0.0}}
        return MethodResult(factorize(whole, replaced), notes=(done, *notes), details=details)

    def _split(self, subjects: tuple[Subject, ...], tools: Tools) -> _Splits:
        replaced: dict[str, Factors] = {}
        left: list[str] = []
        layers: dict[str, Any] = {}
        for number, subject in enumerate(subjects):
            tools.cancel.raise_if_cancelled()
            name = subject.node.name
            tools.progress.update(0.6 + 0.4 * number / len(subjects), name)
            split = self.split(subject, tools)
            before, after = prod(subject.shape), sum(factor.weight.size for factor in split.factors.factors)
            macs = _relative_macs(subject, split.factors.factors)
            if self.parameters.shrink_only and (after >= before or macs >= 1.0):
                left.append(f"{name} (rank {_listed(split.ranks)} of {_listed(split.full_ranks)})")
                continue
            replaced[name] = _narrowed(split.factors)
            layers[name] = {
                "ranks": list(split.ranks),
                "full_ranks": list(split.full_ranks),
                "energy": round(split.energy, 6),
                "weight_params_before": before,
                "weight_params_after": after,
                "macs_ratio": round(macs, 6),
            }
        return _Splits(replaced, layers, left)

    def _chosen(
        self, graph: ModelGraph, plan: LayerSettings, reference: ModelGraph
    ) -> tuple[list[tuple[Node, RankRule]], tuple[str, ...]]:
        """Return the layers to split with their rules, and notes on those that default settings can't reach."""
        chosen: list[tuple[Node, RankRule]] = []
        reasons: dict[str, list[str]] = {}
        known = {node.name: node for node in reference.nodes}
        for node, weight in layer_nodes(graph):
            if node.name not in plan or not self._wanted(plan, node.name):
                continue
            ratio, explicit = plan.number(node.name, RANK_RATIO), plan.explicit(node.name, RANK_RATIO)
            if node.op not in self.operators:
                if explicit and ratio < 1:
                    reasons.setdefault(f"{self.id} factorises {' and '.join(self.operators)}", []).append(node.name)
                continue
            if FACTOR_NOTE in node.metadata and FACTOR_NOTE not in getattr(known.get(node.name), "metadata", {}):
                reasons.setdefault("an earlier step factorised them", []).append(node.name)
                continue
            reason = why_not_factorizable(graph, node.name) or self.unfit(weight.shape)
            if reason is None:
                rule = RankRule(ratio, self.parameters.energy, self.parameters.rank_multiple)
                chosen.append((node, rule))
            elif explicit and ratio < 1:
                raise RecipeError(
                    f"{RANK_RATIO.name} {ratio:g} can't be honoured: {reason}",
                    where=f"layer {node.name!r}",
                    action=f"Set {RANK_RATIO.name} of this layer to 1.",
                )
            else:
                reasons.setdefault(reason, []).append(node.name)
        return chosen, tuple(f"Not factorised: {', '.join(names)} ({reason})." for reason, names in reasons.items())

    def _wanted(self, plan: LayerSettings, layer: str) -> bool:
        if plan.number(layer, RANK_RATIO) < 1:
            return True
        return bool(self.parameters.energy) and RANK_RATIO.name in plan[layer] and not plan.explicit(layer, RANK_RATIO)


def _folded(graph: ModelGraph) -> ModelGraph:
    """Return the graph without computed constants, the same one for the same graph."""
    if graph not in _FOLDED:
        _FOLDED[graph] = fold_constants(graph)
    return _FOLDED[graph]


def _scaled(subjects: tuple[Subject, ...], scale: float) -> tuple[Subject, ...]:
    return tuple(
        replace(subject, rule=replace(subject.rule, ratio=round(subject.rule.ratio * scale, 6))) for subject in subjects
    )


def _shape(graph: ModelGraph, node: Node) -> tuple[int, ...]:
    shape = graph.constant_shape(node.inputs[1]) or ()
    return shape[::-1] if node.op == "Gemm" and node.attribute("transB", 0) else shape


def _narrowed(factors: Factors) -> Factors:
    """Return the factors in single precision, in which they wait for all layers to be done."""
    narrow = (replace(factor, weight=factor.weight.astype(np.float32)) for factor in factors.factors)
    return replace(factors, factors=tuple(narrow))


def _relative_macs(subject: Subject, factors: tuple[Factor, ...]) -> float:
    """Return the factors' multiply-accumulates over those of the layer, borders aside.

    A factor works at the positions of the input along every axis whose stride a later one makes.
    """
    rank = len(subject.shape) - 2 if subject.node.op == "Conv" else 0
    strides: Mapping[int, int] = dict(enumerate(subject.node.attribute("strides", (1,) * rank)))
    open_axes = set(range(rank))
    total = 0
    for factor in factors:
        open_axes -= set(factor.axes)
        total += factor.weight.size * prod(strides[axis] for axis in open_axes)
    return total / prod(subject.shape)


def _listed(ranks: tuple[int, ...]) -> str:
    return "×".join(str(rank) for rank in ranks)
