"""Tries a plugin on a small network before users do: what every method promises, checked for each one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from workbench.data.metrics._base import Metric
from workbench.data.metrics.registry import require_free_metric
from workbench.data.readers._base import Reader
from workbench.data.readers.registry import require_free_reader
from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.errors import CancelledError, PluginError, WorkbenchError
from workbench.engines.contracts import InferenceEngine, TrainingEngine
from workbench.graph.trial_graph import CLASSES, INPUT_SHAPE
from workbench.methods.method import Method
from workbench.methods.registry import MethodRegistry
from workbench.methods.search.strategy import Strategy
from workbench.plugin_host.imports import foreign_imports
from workbench.plugin_host.loader import Offer, describe, load_plugin
from workbench.plugin_host.manifests import Manifest, read_manifest
from workbench.plugin_host.strategy_trial import StrategyTrial
from workbench.plugin_host.trial import Rejected, Trial
from workbench.plugin_host.trial_data import MetricTrial, ReaderTrial

_SAMPLES = 64


@dataclass(frozen=True)
class Check:
    """One promise: `message` says what was seen if it passed, what to repair if not."""

    name: str
    passed: bool
    message: str = ""


def check_plugin(
    folder: Path,
    inference: InferenceEngine,
    training: TrainingEngine,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Check, ...]:
    """Check a plugin folder; a plugin that passes everything works in recipes, sweeps, forms and searches.

    Args:
        folder: With a `plugin.toml`.
        inference: Runs the results.
        training: Must be able to run them too.
        progress: Of the whole suite.
        cancel: Ends the suite between and within checks.

    Raises:
        CancelledError: `cancel` was set.
    """
    return _Suite(folder, inference, training, progress or Progress(), cancel or CancelToken()).run()


class _Suite:
    def __init__(
        self,
        folder: Path,
        inference: InferenceEngine,
        training: TrainingEngine,
        progress: Progress,
        cancel: CancelToken,
    ) -> None:
        self._folder = folder.absolute()
        self._inference = inference
        self._training = training
        self._progress = progress
        self._cancel = cancel
        self._checks: list[Check] = []

    def run(self) -> tuple[Check, ...]:
        """Go from the manifest to the methods, as far as it makes sense."""
        manifest = self._manifest()
        if manifest is None:
            return tuple(self._checks)
        self._try("imports only workbench.api", self._imports)
        offer = self._load(manifest)
        with tempfile.TemporaryDirectory() as place:
            data = _random_data(Path(place))
            registry = MethodRegistry()
            for method in offer.methods:
                if self._try(f"{method.id}: registers", partial(registry.register, method, manifest.id)):
                    self._method(method, registry, data, len(offer.methods))
            for metric in offer.metrics:
                self._metric(metric, manifest.id)
            for reader in offer.readers:
                self._reader(reader, manifest.id, Path(place))
            for strategy in offer.strategies:
                self._strategy(strategy)
        self._progress.update(1.0)
        return tuple(self._checks)

    def _manifest(self) -> Manifest | None:
        try:
            manifest = read_manifest(self._folder)
        except PluginError as error:
            self._checks.append(Check("manifest", False, str(error)))
            return None
        self._checks.append(Check("manifest", True, f"{manifest.id} {manifest.version}"))
        return manifest

    def _imports(self) -> str:
        found = foreign_imports(self._folder)
        if found:
            raise Rejected(f"{'; '.join(found)}. Import from workbench.api only, its names are what stays")
        return ""

    def _load(self, manifest: Manifest) -> Offer:
        try:
            offer = load_plugin(manifest)
        except PluginError as error:
            self._checks.append(Check("loads as the manifest says", False, str(error)))
            return Offer()
        named = [method.id for method in offer.methods]
        named += [metric.name for metric in offer.metrics] + [reader.name for reader in offer.readers]
        named += [strategy.name for strategy in offer.strategies]
        self._checks.append(Check("loads as the manifest says", True, ", ".join(named)))
        return offer

    def _strategy(self, strategy: type[Strategy]) -> None:
        trial = StrategyTrial(strategy)
        self._try(f"strategy {strategy.name}: proposes what the space has, each once", trial.proposes)
        self._try(f"strategy {strategy.name}: proposes the same for the same seed and results", trial.repeats)

    def _metric(self, metric: type[Metric], plugin: str) -> None:
        trial = MetricTrial(metric)
        if self._try(f"metric {metric.name}: registers", partial(require_free_metric, metric.name, plugin)):
            self._try(f"metric {metric.name}: batches give what the whole gives", trial.same_in_parts)
            self._try(f"metric {metric.name}: refuses sizes that differ", trial.sizes_refused)

    def _reader(self, reader: type[Reader], plugin: str, place: Path) -> None:
        trial = ReaderTrial(reader)
        if self._try(f"reader {reader.name}: registers", partial(require_free_reader, reader.name, plugin)):
            self._try(f"reader {reader.name}: refuses a missing file", partial(trial.missing_file_refused, place))
            self._try(f"reader {reader.name}: refuses unknown keys", partial(trial.unknown_option_refused, place))

    def _method(self, method: type[Method], registry: MethodRegistry, data: DataDescription, count: int) -> None:
        trial = Trial(method, registry, data, self._inference, self._training, self._cancel)
        steps = (
            ("parameters have titles and defaults", trial.parameters),
            ("bad parameters are refused", trial.bad_parameters),
            ("runs on the trial network", trial.first_run),
            ("leaves the input graph untouched", trial.input_untouched),
            ("gives a valid graph with the same inputs and outputs", trial.valid_graph),
            ("result runs in both engines", trial.both_engines),
            ("same seed, same bytes", trial.deterministic),
            ("reports progress", trial.progress_reported),
            ("honours cancel", trial.cancel_honoured),
            ("reports in JSON", trial.report_in_json),
            ("8-bit sums stay within 16 bits where it says so", trial.within_16_bits),
        )
        start = len(self._checks) / (len(steps) * count + 4)
        part = self._progress.part(min(start, 1.0), min(start + 1 / count, 1.0), method.id)
        for number, (name, step) in enumerate(steps):
            part.update(number / len(steps), name)
            self._try(f"{method.id}: {name}", step)

    def _try(self, name: str, step: Callable[[], str | None]) -> bool:
        self._cancel.raise_if_cancelled()
        try:
            check = Check(name, True, step() or "")
        except CancelledError:
            self._cancel.raise_if_cancelled()
            check = Check(name, False, "it raised CancelledError though nobody cancelled")
        except (Rejected, WorkbenchError) as error:
            check = Check(name, False, str(error))
        except (Exception, SystemExit) as error:  # the plugin's border: anything may come out of it
            check = Check(name, False, describe(error, self._folder))
        self._checks.append(check)
        return check.passed


def _random_data(place: Path) -> DataDescription:
    rng = np.random.default_rng(0)
    path = place / "trial.npz"
    np.savez(
        path,
        x=rng.standard_normal((_SAMPLES, *INPUT_SHAPE)).astype(np.float32),
        y=rng.integers(0, CLASSES, _SAMPLES).astype(np.int64),
    )
    split = Split(reader="npz", path=path.name, inputs="x", targets="y")
    return DataDescription(task="classification", metric="top1", train=split, test=split, folder=str(place))


def as_json(folder: Path, checks: tuple[Check, ...]) -> dict[str, object]:
    """Return the checks as the JSON of `workbench plugin check`."""
    content = {"plugin": str(folder), "checks": [vars(check) for check in checks]}
    plain: dict[str, object] = json.loads(json.dumps(content))
    return plain
