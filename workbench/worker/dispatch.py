"""Brings a job spec to the code that does it; the worker process and the command line share this one door."""

from __future__ import annotations

from typing import Any

from workbench.jobs.context import JobContext
from workbench.jobs.specs import (
    CheckDeviceJob,
    CheckPluginJob,
    CompareJob,
    CompressJob,
    DistributionJob,
    DrawJob,
    EnergyJob,
    EstimateJob,
    EvaluateJob,
    ImportJob,
    InspectJob,
    InteractionsJob,
    JobSpec,
    LadderJob,
    LayerDetailJob,
    ListArraysJob,
    ListMethodsJob,
    PreflightJob,
    PreviewDataJob,
    ProfileJob,
    RooflineJob,
    SearchJob,
    StaircaseJob,
    SweepJob,
    ThroughputJob,
)
from workbench.worker import (
    comparison_jobs,
    compression_jobs,
    device_jobs,
    distribution_jobs,
    energy_jobs,
    measuring_jobs,
    model_jobs,
    plugin_jobs,
    preflight_jobs,
    roofline_jobs,
    search_jobs,
    staircase_jobs,
    throughput_jobs,
)


def run_job(spec: JobSpec, context: JobContext) -> dict[str, Any]:
    """Do one job and return its report as JSON.

    Raises:
        WorkbenchError: what the job ran into, in words for the user.
    """
    match spec:
        case InspectJob():
            return model_jobs.inspect(spec, context)
        case LayerDetailJob():
            return model_jobs.layer_statistics(spec, context)
        case DistributionJob():
            return distribution_jobs.distribution(spec, context)
        case DrawJob():
            return model_jobs.draw(spec, context)
        case ImportJob():
            return model_jobs.import_source(spec, context)
        case PreviewDataJob():
            return measuring_jobs.preview(spec, context)
        case ListArraysJob():
            return measuring_jobs.list_data_arrays(spec, context)
        case EvaluateJob():
            return measuring_jobs.evaluate_file(spec, context)
        case LadderJob():
            return measuring_jobs.climb_ladder(spec, context)
        case CompareJob():
            return comparison_jobs.compare(spec, context)
        case ProfileJob():
            return measuring_jobs.profile(spec, context)
        case SweepJob():
            return compression_jobs.sweep_layers(spec, context)
        case InteractionsJob():
            return compression_jobs.measure_interactions(spec, context)
        case EstimateJob():
            return compression_jobs.estimate_sensitivities(spec, context)
        case CompressJob():
            return compression_jobs.compress(spec, context)
        case SearchJob():
            return search_jobs.search(spec, context)
        case PreflightJob():
            return preflight_jobs.foretell(spec, context)
        case StaircaseJob():
            return staircase_jobs.climb(spec, context)
        case RooflineJob():
            return roofline_jobs.place_layers(spec, context)
        case ThroughputJob():
            return throughput_jobs.count_samples(spec, context)
        case EnergyJob():
            return energy_jobs.take_energy(spec, context)
        case ListMethodsJob():
            return plugin_jobs.list_methods(spec, context)
        case CheckDeviceJob():
            return device_jobs.check_device(spec, context)
        case CheckPluginJob():
            return plugin_jobs.check(spec, context)
