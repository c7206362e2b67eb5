"""Everything a plugin may import; pinned by a test, so that a change here is a decision."""

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import (
    BadInputError,
    CancelledError,
    DataError,
    JobError,
    RecipeError,
    UnsupportedGraphError,
    WorkbenchError,
)
from workbench.domain.knobs import ACTIVATION_BITS, PRUNE_RATIO, WEIGHT_BITS, Knob, Setting
from workbench.domain.plan import LayerSettings
from workbench.engines.contracts import Batch, Observer, TrainingData, TrainingResult, TrainingSettings
from workbench.graph.model import ModelGraph, Node, ValueInfo
from workbench.methods.method import Method, MethodResult, Parameters, Stage, Tools

API_VERSION = 1

__all__ = [
    "ACTIVATION_BITS",
    "API_VERSION",
    "PRUNE_RATIO",
    "WEIGHT_BITS",
    "BadInputError",
    "Batch",
    "CancelToken",
    "CancelledError",
    "DataError",
    "JobError",
    "Knob",
    "LayerSettings",
    "Method",
    "MethodResult",
    "ModelGraph",
    "Node",
    "Observer",
    "Parameters",
    "Progress",
    "RecipeError",
    "Setting",
    "Stage",
    "Tools",
    "TrainingData",
    "TrainingResult",
    "TrainingSettings",
    "UnsupportedGraphError",
    "ValueInfo",
    "WorkbenchError",
]
