"""Metrics and readers come from plugins as methods do: found, loaded, checked, named when they fail."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.data.dataset import open_split
from workbench.data.metrics.registry import metric_named, metric_owner, metrics
from workbench.data.readers.registry import reader_owner, readers
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.errors import DataError, PluginError
from workbench.plugin_host.compliance import check_plugin
from workbench.plugin_host.loader import load_plugins
from workbench.plugin_host.manifests import read_manifest


def load(*folders):
    return load_plugins([read_manifest(folder) for folder in folders])


def edit(folder, old, new):
    code = folder / "code.py"
    text = code.read_text(encoding="utf-8")
    assert old in text
    code.write_text(text.replace(old, new), encoding="utf-8")


def described(tmp_path, **keys):
    (tmp_path / "samples.count").write_text("12", encoding="utf-8")
    test = Split.model_validate({"reader": "counted", "path": "samples.count", **keys})
    return DataDescription(metric="balanced", test=test, folder=str(tmp_path))


def test_a_plugins_metric_and_reader_work_like_the_programs_own(tmp_path, data_plugin):
    registry, failures = load(data_plugin)
    assert (len(registry), failures) == (0, ())
    found = {metric.name: metric_owner(metric.name) for metric in metrics()}
    assert {name: plugin for name, plugin in found.items() if plugin} == {"balanced": "figures"}
    found = {reader.name: reader_owner(reader.name) for reader in readers()}
    assert {name: plugin for name, plugin in found.items() if plugin} == {"counted": "figures"}
    dataset = open_split(described(tmp_path, scale=2), "test")
    assert len(dataset) == 12
    (batch,) = dataset.batches(12)
    metric = metric_named("balanced")
    metric.update(np.eye(5)[[0, 1, 2, 3, 0, 0, 1, 2, 3, 0, 0, 1]], batch.targets)
    assert metric.value() == pytest.approx(0.8)
    low, high = metric.interval_of(metric.per_sample)
    assert low <= 0.8 <= high
    with pytest.raises(DataError, match=r"test\.stretch: not a setting of the reader 'counted'"):
        open_split(described(tmp_path, stretch=2), "test")


def test_edited_code_is_taken_and_taken_names_are_refused(tmp_path, data_plugin, make_plugin):
    load(data_plugin)
    edit(data_plugin, '"Balanced accuracy"', '"Mean recall"')
    assert load(data_plugin)[1] == ()
    assert metric_named("balanced").title == "Mean recall"

    code, manifest = ((data_plugin / name).read_text() for name in ("code.py", "plugin.toml"))
    other = make_plugin(tmp_path / "more", "other", code, manifest.replace('"figures"', '"other"'))
    messages = [str(failure) for failure in load(other)[1]]
    assert len(messages) == 2
    assert "the metric name 'balanced' is already taken. Found it in plugin 'figures'" in messages[0]
    own = make_plugin(
        tmp_path / "own",
        "own",
        code.replace('"balanced"', '"top1"'),
        manifest.replace('"figures"', '"own"').replace('"balanced"', '"top1"'),
    )
    assert "Found a metric of the program" in str(load(own)[1][0])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("class Balanced(Metric)", "class Balanced", r"plugin 'figures', metric 'balanced': .*workbench\.api\.Metric"),
        ('name = "balanced"', 'name = "even"', "its name is 'even', the manifest says 'balanced'"),
        ('title = "Balanced accuracy"', "", "has no `title` of type str"),
        ('title = "Balanced accuracy"', 'title = "B"; against = "labels"', "`against` = 'labels'"),
        ("def records", "def rows", "does not define records"),
        ("class Counted(Reader)", "class Counted", r"plugin 'figures', reader 'counted': .*workbench\.api\.Reader"),
        ("class Options(ReaderOptions)", "class Options", r"`Options` that are not .*ReaderOptions"),
    ],
)
def test_what_is_no_metric_or_reader_is_refused(data_plugin, old, new, said):
    edit(data_plugin, old, new)
    (failure,) = load(data_plugin)[1]
    with pytest.raises(PluginError, match=said):
        raise failure


def test_what_they_raise_names_them(tmp_path, data_plugin):
    edit(data_plugin, "rows = np.zeros", "rows = 1 / 0 + np.zeros")
    edit(data_plugin, "options = self.options(request)", "options = self.options(request); {}['x']")
    load(data_plugin)
    with pytest.raises(PluginError, match="metric 'balanced' raised ZeroDivisionError"):
        metric_named("balanced").update(np.eye(5), np.arange(5))
    with pytest.raises(DataError, match="test: the reader 'counted' of plugin 'figures' raised KeyError"):
        open_split(described(tmp_path), "test")


def test_records_of_the_wrong_shape_are_refused(data_plugin):
    edit(data_plugin, "return rows", "return rows.sum(axis=1)")
    load(data_plugin)
    with pytest.raises(PluginError, match=r"'balanced' gives no records.*\(5, k\).*Found float64 of shape \(5,\)"):
        metric_named("balanced").update(np.eye(5), np.arange(5))


def test_manifest_must_offer_something_once(data_plugin):
    manifest = data_plugin / "plugin.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("counted", "balanced").replace("[[reader]]", "[[metric]]"), encoding="utf-8")
    with pytest.raises(PluginError, match="the metric 'balanced' is listed twice"):
        read_manifest(data_plugin)
    manifest.write_text(text.replace('"balanced"', '"Balanced!"'), encoding="utf-8")
    with pytest.raises(PluginError, match=r"the manifest's metric\.0\.name is wrong"):
        read_manifest(data_plugin)
    manifest.write_text(text.split("[[metric]]")[0], encoding="utf-8")
    with pytest.raises(PluginError, match="the manifest offers nothing"):
        read_manifest(data_plugin)


def checked(folder):
    # No method, so that neither engine is asked for anything.
    checks = check_plugin(folder, None, None)
    assert not any(metric_owner(metric.name) for metric in metrics())
    return {check.name: check for check in checks}


def test_compliance_suite_tries_metrics_and_readers(data_plugin):
    checks = checked(data_plugin)
    assert [check.name for check in checks.values() if not check.passed] == []
    assert checks["metric balanced: batches give what the whole gives"].message.endswith("for random class scores")
    assert "does not exist" in checks["reader counted: refuses a missing file"].message


@pytest.mark.parametrize(
    ("old", "new", "name", "said"),
    [
        ("return rows", "return rows - rows.mean()", "batches give what the whole gives", "other samples of its batch"),
        ("return np.mean(", "return np.nan * np.mean(", "batches give what the whole gives", "its value is nan"),
        (
            "    def records",
            "    def update(self, outputs, targets):\n        pass\n\n    def records",
            "refuses sizes that differ",
            "were taken with 6 targets",
        ),
        ("self.options(request)", "self.Options()", "refuses unknown keys", "an unknown key was accepted"),
        (
            "path = request.path()\n",
            "import pathlib\n        path = pathlib.Path(request.split.path)\n",
            "refuses a missing file",
            "FileNotFoundError",
        ),
    ],
)
def test_compliance_suite_finds_broken_promises(data_plugin, old, new, name, said):
    edit(data_plugin, old, new)
    (failed,) = [check for check in checked(data_plugin).values() if not check.passed and check.name.endswith(name)]
    assert said in failed.message
