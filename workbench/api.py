"""Everything a plugin may import; pinned by a test, so that a change here is a decision."""

from workbench.data.metrics._base import Metric, class_scores, same_shape
from workbench.data.readers._base import ArraySource, Reader, ReaderOptions, Request, Source, checked_arrays
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.channel_counts import kept_units, unit_step
from workbench.domain.errors import (
    BadInputError,
    CancelledError,
    DataError,
    JobError,
    ModelFileError,
    RecipeError,
    UnsupportedGraphError,
    WorkbenchError,
)
from workbench.domain.interface import API_VERSION
from workbench.domain.knobs import (
    ACTIVATION_BITS,
    KEEP,
    PRUNE_RATIO,
    RANK_RATIO,
    SPARSITY,
    SPARSITY_PATTERN,
    WEIGHT_BITS,
    Knob,
    Setting,
)
from workbench.domain.operator_kinds import computes_in_integers
from workbench.domain.plan import LayerSettings, Origin, Plan
from workbench.domain.reports import LayerReport
from workbench.engines.contracts import (
    Batch,
    ChannelAxis,
    InferenceEngine,
    Observer,
    SlopeObserver,
    TrainingData,
    TrainingHook,
    TrainingResult,
    TrainingSettings,
)
from workbench.engines.inference_ort.calibration import CALIBRATORS, Calibrator
from workbench.engines.reconstruction import RoundingResult, RoundingSettings, RoundingTask
from workbench.graph.binary import MOST_BRANCHES, highest_odd, last_jump, odd_levels, odd_scales
from workbench.graph.branches import Branch, find_branches
from workbench.graph.channels import (
    ChannelGroup,
    Member,
    WeightChannels,
    channel_groups,
    coupled_weights,
    folded_graph,
)
from workbench.graph.cost import graph_cost
from workbench.graph.layers import layer_nodes
from workbench.graph.model import ModelGraph, Node, ValueInfo
from workbench.graph.passes.convolve_shortcuts import PaddedShortcut, convolve_shortcuts, padded_shortcuts
from workbench.graph.passes.cut_out import cut_out
from workbench.graph.passes.factorize import (
    FACTOR_NOTE,
    Factor,
    Factors,
    factorize,
    layer_weight,
    linear_bias,
    why_not_factorizable,
)
from workbench.graph.passes.fold_batch_norm import fold_batch_norm
from workbench.graph.passes.fold_constants import fold_constants
from workbench.graph.passes.half_precision import HalfType, store_half
from workbench.graph.passes.insert_qdq import Placement, insert_qdq
from workbench.graph.passes.join_quantizers import ROUND_TO_SCALE, join_quantizers
from workbench.graph.passes.merge_affine import merge_affine
from workbench.graph.passes.merge_affine_ahead import merge_affine_ahead
from workbench.graph.passes.merge_branches import merge_branches
from workbench.graph.passes.merge_slices import merge_slices
from workbench.graph.passes.note_sparsity import note_sparsity
from workbench.graph.passes.note_weight_bits import note_weight_bits
from workbench.graph.passes.pad_channels import pad_input_channels, pad_output_channels, paddable_outputs
from workbench.graph.passes.remove_branches import remove_branches
from workbench.graph.passes.remove_channels import remove_channels
from workbench.graph.passes.remove_idle import remove_idle
from workbench.graph.passes.remove_quantizers import remove_quantizers
from workbench.graph.passes.scale_inputs import InputScale, scale_inputs
from workbench.graph.passes.shift_bias import shift_biases, takes_shift
from workbench.graph.passes.store_blocks import store_blocks, why_not_blocks
from workbench.graph.passes.store_codebook import Codebook, store_codebooks, unpack_codebooks
from workbench.graph.passes.store_narrow import Narrow, narrow_trial, store_narrow
from workbench.graph.passes.trainable_qdq import TrainingForm, rescaled_weights, trainable_qdq
from workbench.graph.passes.upgrade_opset import upgrade_opset
from workbench.graph.passes.widen_half import widen_half
from workbench.graph.quantization import (
    ActivationQuantization,
    BlockQuantization,
    WeightQuantization,
    affine_levels,
    container_bits,
    weight_levels,
)
from workbench.graph.sparsity import Sparsity, sparsity_of
from workbench.graph.units import Unit, find_units
from workbench.graph.weights import RECURRENT_WEIGHTS
from workbench.methods.budget import Choice, Chosen, Tie, allocate
from workbench.methods.calibration import needed_data, not_finite, observe_samples, parts_within
from workbench.methods.keep_zeros import sparse_weights
from workbench.methods.latency_trials import LatencyTrials
from workbench.methods.method import Method, MethodData, MethodResult, Parameters, Requirement, Stage, Tools
from workbench.methods.moments import MeanSquares, RowMoments, RowObserver
from workbench.methods.normalisation import normalised, with_new_statistics
from workbench.methods.patches import ChannelRows, LayerRows, SampledRows, Windows
from workbench.methods.search.forecast import Result as FinishedTrial
from workbench.methods.search.space import Dimension, Proposal, Space
from workbench.methods.search.strategy import SearchTask, Strategy
from workbench.methods.surgeon import inverse_root, settle_columns
from workbench.methods.training import Training, TrainingParameters, training_history
from workbench.methods.watched_inputs import InputWatch, watched
from workbench.methods.weight_layout import WeightLayout
from workbench.methods.weight_slopes import SlopeSource, hessian_traces, weight_slopes

__all__ = [
    "ACTIVATION_BITS",
    "API_VERSION",
    "CALIBRATORS",
    "FACTOR_NOTE",
    "KEEP",
    "MOST_BRANCHES",
    "PRUNE_RATIO",
    "RANK_RATIO",
    "RECURRENT_WEIGHTS",
    "ROUND_TO_SCALE",
    "SPARSITY",
    "SPARSITY_PATTERN",
    "WEIGHT_BITS",
    "ActivationQuantization",
    "ArraySource",
    "BadInputError",
    "Batch",
    "BlockQuantization",
    "Branch",
    "Calibrator",
    "CancelToken",
    "CancelledError",
    "ChannelAxis",
    "ChannelGroup",
    "ChannelRows",
    "Choice",
    "Chosen",
    "Codebook",
    "DataError",
    "Dimension",
    "Factor",
    "Factors",
    "FinishedTrial",
    "HalfType",
    "InferenceEngine",
    "InputScale",
    "InputWatch",
    "JobError",
    "Knob",
    "LatencyTrials",
    "LayerReport",
    "LayerRows",
    "LayerSettings",
    "MeanSquares",
    "Member",
    "Method",
    "MethodData",
    "MethodResult",
    "Metric",
    "ModelFileError",
    "ModelGraph",
    "Narrow",
    "Node",
    "Observer",
    "Origin",
    "PaddedShortcut",
    "Parameters",
    "Placement",
    "Plan",
    "Progress",
    "Proposal",
    "Reader",
    "ReaderOptions",
    "RecipeError",
    "Request",
    "Requirement",
    "RoundingResult",
    "RoundingSettings",
    "RoundingTask",
    "RowMoments",
    "RowObserver",
    "SampledRows",
    "SearchTask",
    "Setting",
    "SlopeObserver",
    "SlopeSource",
    "Source",
    "Space",
    "Sparsity",
    "Stage",
    "Strategy",
    "Tie",
    "Tools",
    "Training",
    "TrainingData",
    "TrainingForm",
    "TrainingHook",
    "TrainingParameters",
    "TrainingResult",
    "TrainingSettings",
    "Unit",
    "UnsupportedGraphError",
    "ValueInfo",
    "WeightChannels",
    "WeightLayout",
    "WeightQuantization",
    "Windows",
    "WorkbenchError",
    "affine_levels",
    "allocate",
    "channel_groups",
    "checked_arrays",
    "class_scores",
    "computes_in_integers",
    "container_bits",
    "convolve_shortcuts",
    "coupled_weights",
    "cut_out",
    "factorize",
    "find_branches",
    "find_units",
    "fold_batch_norm",
    "fold_constants",
    "folded_graph",
    "graph_cost",
    "hessian_traces",
    "highest_odd",
    "insert_qdq",
    "inverse_root",
    "join_quantizers",
    "kept_units",
    "last_jump",
    "layer_nodes",
    "layer_weight",
    "linear_bias",
    "merge_affine",
    "merge_affine_ahead",
    "merge_branches",
    "merge_slices",
    "narrow_trial",
    "needed_data",
    "normalised",
    "not_finite",
    "note_sparsity",
    "note_weight_bits",
    "observe_samples",
    "odd_levels",
    "odd_scales",
    "pad_input_channels",
    "pad_output_channels",
    "paddable_outputs",
    "padded_shortcuts",
    "parts_within",
    "remove_branches",
    "remove_channels",
    "remove_idle",
    "remove_quantizers",
    "rescaled_weights",
    "same_shape",
    "scale_inputs",
    "settle_columns",
    "shift_biases",
    "sparse_weights",
    "sparsity_of",
    "store_blocks",
    "store_codebooks",
    "store_half",
    "store_narrow",
    "takes_shift",
    "trainable_qdq",
    "training_history",
    "unit_step",
    "unpack_codebooks",
    "upgrade_opset",
    "watched",
    "weight_levels",
    "weight_slopes",
    "why_not_blocks",
    "why_not_factorizable",
    "widen_half",
    "with_new_statistics",
]
