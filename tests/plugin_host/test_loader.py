"""Plugin code that is good, bad, late, rude: named, and nobody else's problem."""

from __future__ import annotations

import pytest

from workbench.plugin_host.loader import load_plugins
from workbench.plugin_host.manifests import find_plugins, read_manifest


def load(*folders):
    return load_plugins([read_manifest(folder) for folder in folders])


def test_methods_are_registered_under_their_plugin(tmp_path, make_plugin):
    registry, failures = load(make_plugin(tmp_path, "one"), make_plugin(tmp_path, "two"))
    assert failures == ()
    assert len(registry) == 2
    assert registry.get("one.zero").plugin == "one"
    assert registry.get("two.zero").method.title == "Zero small weights"
    assert [schema.plugin for schema in registry.schemas()] == ["one", "two"]


def test_relative_imports_work_with_and_without_an_init_file(tmp_path, make_plugin):
    code = "from .parts import Zero\n"
    parts = "from . import name\nfrom workbench.api import *\n" + (
        "class Zero(Method):\n    id = name.ID\n    title = 'Zero'\n    stage = Stage.PRUNE\n"
        "    def apply(self, graph, plan, tools): return MethodResult(graph)\n"
    )
    plain = make_plugin(tmp_path, "plain", code, parts=parts, name="ID = 'plain.zero'")
    whole = make_plugin(tmp_path, "whole", code, parts=parts, name="ID = 'whole.zero'", __init__="'''Mine.'''\n")
    registry, failures = load(plain, whole)
    assert failures == ()
    assert registry.get("whole.zero").method.__module__ == "workbench_plugins.whole.parts"


def test_edited_code_is_loaded_anew(tmp_path, make_plugin):
    folder = make_plugin(tmp_path)
    load(folder)
    code = folder / "code.py"
    code.write_text(code.read_text().replace("Zero small weights", "Another and longer title"))
    registry, _ = load(folder)
    assert registry.get("mine.zero").method.title == "Another and longer title"


METHOD = "from workbench.api import *\nclass Zero(Method):\n    "


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_module", r"ModuleNotFoundError: No module named 'no_such_module' \(code\.py, line 1\)"),
        ("x = (", r"SyntaxError.*\(code\.py\)"),
        ("x = 1\nraise RuntimeError('no\\nlicence')", r"RuntimeError: no licence \(code\.py, line 2\)"),
        ("raise SystemExit(3)", r"SystemExit: 3 \(code\.py, line 1\)"),
        ("x = 1", r"code\.py has no Zero"),
        ("Zero = 3", "not a subclass"),
        ("class Zero: pass", "not a subclass"),
        (METHOD + "pass", "does not define apply"),
        (METHOD + "apply = lambda *a: None", "has no `id`"),
        (METHOD + "apply = lambda *a: None\n    id = 'mine.zero'\n    title = 'x'", "has no `stage`"),
        (
            METHOD + "apply = lambda *a: None\n    id = 'other.zero'\n    title = 'x'\n    stage = Stage.PRUNE",
            r"its id is 'other\.zero', the manifest says 'mine\.zero'",
        ),
        (
            METHOD + "apply = lambda *a: None\n    id = 'mine.zero'\n    title = 'x'\n    stage = Stage.PRUNE\n"
            "    knobs = ('weight_bits',)",
            r"not a workbench\.api\.Knob",
        ),
        (
            METHOD + "apply = lambda *a: None\n    id = 'mine.zero'\n    title = 'x'\n    stage = Stage.PRUNE\n"
            "    Parameters = dict",
            r"not a subclass of workbench\.api\.Parameters",
        ),
    ],
)
def test_a_faulty_plugin_is_named_and_the_rest_goes_on(tmp_path, make_plugin, code, said):
    bad, good = make_plugin(tmp_path, "mine", code), make_plugin(tmp_path, "good")
    registry, (failure,) = load(bad, good)
    assert "good.zero" in registry
    assert "mine.zero" not in registry
    assert "plugin 'mine'" in failure.where
    with pytest.raises(type(failure), match=said):
        raise failure


def test_two_plugins_that_claim_one_method_are_told_apart(tmp_path, make_plugin):
    first = make_plugin(tmp_path / "a", "mine")
    code = (first / "code.py").read_text()
    manifest = (first / "plugin.toml").read_text().replace('id = "mine"', 'id = "other"')
    second = make_plugin(tmp_path / "b", "other", code, manifest)
    registry, (failure,) = load(first, second)
    assert registry.get("mine.zero").plugin == "mine"
    assert "other" in str(failure)


def test_the_programs_own_plugins_load_without_failures():
    found = find_plugins()
    own = [manifest for manifest in found.manifests if manifest.origin == "first-party"]
    registry, failures = load_plugins(own)
    assert failures == ()
    assert len(registry) == sum(len(manifest.methods) for manifest in own)
