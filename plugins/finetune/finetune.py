"""Fine-tuning: what pruning and quantization took away comes back by training beside the original."""

from __future__ import annotations

from typing import Any

from workbench.api import (
    LayerSettings,
    Method,
    MethodResult,
    ModelGraph,
    Stage,
    Tools,
    Training,
    TrainingParameters,
    training_history,
)


class FineTune(Method):
    """Trains all weights with SGD on labels and on the original model's outputs; keeps the best epoch."""

    id = "train.finetune"
    title = "Fine-tuning"
    summary = "Trains the compressed model on labels and on the original's outputs and keeps the best epoch."
    source = "Hinton et al., 2015, Distilling the Knowledge in a Neural Network; Romero et al., 2015, FitNets"
    stage = Stage.TRAIN
    needs_data = True
    Parameters = TrainingParameters

    def check(self, graph: ModelGraph, plan: LayerSettings) -> tuple[str, ...]:
        """Warn of settings that have no effect."""
        settings: TrainingParameters = self.parameters
        if settings.epochs == 0:
            return ("Fine-tuning has 0 epochs and changes nothing.",)
        if settings.distillation == 0 and settings.feature_distillation == 0:
            return ("Distillation is off: the original model is not used.",)
        return ()

    def apply(self, graph: ModelGraph, plan: LayerSettings, tools: Tools) -> MethodResult:
        """Return the graph of the best epoch.

        Raises:
            RecipeError: the recipe names no data.
            UnsupportedGraphError: the graph or the original has an operator that can't be trained.
            DataError: the labels don't fit the model.
            JobError: the training diverged.
            CancelledError: cancelled before one epoch was complete.
        """
        if self.parameters.epochs == 0:
            return MethodResult(graph, notes=("0 epochs: nothing was trained.",))
        result = Training.of(self.parameters, tools, self.id).fit(graph)
        best = next((record for record in result.history if record.epoch == result.best_epoch), None)
        notes = [f"Epoch {result.best_epoch} of {len(result.history)} kept."]
        if best is not None and best.score is not None:
            notes[0] = f"Epoch {result.best_epoch} of {len(result.history)} kept, validation {best.score:.4f}."
        details: dict[str, Any] = {
            "history": training_history(result),
            "best_epoch": result.best_epoch,
            "stopped_early": result.stopped_early,
        }
        return MethodResult(result.graph, notes=(*notes, *result.notes), details=details)
