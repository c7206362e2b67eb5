"""Leaves the exporter's debugging notes out of deployed files: source paths and code of whoever exported, and bytes."""

from __future__ import annotations

from workbench.graph.model import ModelGraph

# Module hierarchy (layer paths) and the workbench's own notes stay.
_TRACES = frozenset(
    {
        "namespace",
        "pkg.torch.onnx.stack_trace",
        "pkg.torch.onnx.fx_node",
        "pkg.torch.onnx.class_hierarchy",
        "pkg.torch.onnx.original_node_name",
        "pkg.onnxscript.rewriter.rule_name",
        "pkg.onnxscript.optimizer.folded_from",
    }
)


def drop_traces(graph: ModelGraph) -> ModelGraph:
    """Return the graph without stack traces and other notes of the exporter; layer paths stay. Nothing else changes."""
    model = graph.edit()
    for body in model.graphs():
        for node in body:
            node.doc_string = None
            for notes in (node.metadata_props, *(value.metadata_props for value in node.outputs)):
                for key in _TRACES & set(notes):
                    del notes[key]
    return graph.edited(model)
