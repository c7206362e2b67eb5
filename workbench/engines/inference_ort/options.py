"""The settings with which every session runs, on this computer and on devices alike, so that their times compare.

A device gets this very file: it needs nothing but onnxruntime, and Python 3.9.
"""

from __future__ import annotations

import os

import onnxruntime as ort

PROVIDER = "CPUExecutionProvider"
# Messages above "error" are raised as exceptions, which the workbench translates; the runtime's own copy on
# standard error would only repeat them with C++ source lines.
FATAL_ONLY = 4


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def session_options(*, threads: int = 0, optimize: bool = True) -> ort.SessionOptions:
    """Return the options that all sessions of the workbench share.

    Args:
        threads: Threads within an operator; 0 takes all cores that the process may use.
        optimize: Whether the runtime fuses operators, as it does when deployed.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = FATAL_ONLY
    # Threads that keep spinning after a run steal time from whatever runs next: another model of an interleaved
    # measurement, or torch.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
    return options
