"""Turns an integer, half-precision or codebook model back into float32, so that other steps can begin with it."""

from __future__ import annotations

from typing import ClassVar

from workbench.api import (
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Stage,
    Tools,
    remove_quantizers,
    unpack_codebooks,
    widen_half,
)


class BackToFloat(Method):
    """Takes quantizers out and widens half precision; weights keep the values that they were rounded to."""

    id: ClassVar[str] = "quantize.to_float"
    title: ClassVar[str] = "Back to float"
    summary: ClassVar[str] = (
        "Takes the quantizers out of a model that is quantized already, and widens half precision, so that it can be "
        "compressed anew. What rounding took from the weights does not come back."
    )
    stage: ClassVar[Stage] = Stage.DECOMPOSE

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Refuse integer operators.

        Raises:
            UnsupportedGraphError: an operator has no float form.
        """
        if self.foreseen(graph) is graph:
            return ("The model is in float32 already: this step changes nothing.",)
        return ()

    def foreseen(self, graph: ModelGraph) -> ModelGraph:
        """Return the float graph, which is what later steps are checked against."""
        return widen_half(unpack_codebooks(remove_quantizers(graph)))

    def outline(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> ModelGraph:
        """Return the float graph itself, which is quickly made."""
        return self.apply(graph, plan, tools).graph

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the model in float32.

        Raises:
            UnsupportedGraphError: an operator has no float form.
        """
        tools.cancel.raise_if_cancelled()
        bare = remove_quantizers(graph)
        plain = unpack_codebooks(bare)
        wide = widen_half(plain)
        tools.progress.update(1.0)
        if wide is graph:
            return MethodResult(graph, ("in float32 already",))
        notes = []
        if bare is not graph:
            gone = sum(node.op in ("QuantizeLinear", "DequantizeLinear") for node in graph.nodes)
            notes.append(f"{gone} quantizers and dequantizers taken out; values keep their limits")
        if plain is not bare:
            notes.append("weights of codebooks stored plainly")
        if wide is not plain:
            notes.append("half precision widened to float32")
        return MethodResult(wide, tuple(notes))
