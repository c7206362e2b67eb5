"""Plugins are found as data, and what is wrong with one is said without hiding the others."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from workbench.domain.errors import PluginError
from workbench.plugin_host import manifests
from workbench.plugin_host.manifests import find_plugins, read_manifest


def test_plugins_of_all_places_are_found_in_their_order(places, make_plugin):
    for origin in ("user", "environment", "first"):
        make_plugin(places / origin, f"{origin}_one")
    found = find_plugins()
    assert [(manifest.id, manifest.origin) for manifest in found.manifests] == [
        ("first_one", "first-party"),
        ("environment_one", "environment"),
        ("user_one", "user"),
    ]
    assert found.problems == ()
    manifest = found.manifests[0]
    assert (manifest.title, manifest.version, manifest.folder) == ("Mine", "1.0", places / "first" / "first_one")
    assert (manifest.methods[0].id, manifest.methods[0].object) == ("first_one.zero", "code:Zero")


def test_no_code_is_imported(places, make_plugin):
    make_plugin(
        places / "user", "untouched", code="raise SystemExit('imported')", __init__="raise SystemExit('imported')"
    )
    assert len(find_plugins().manifests) == 1
    assert not [name for name in sys.modules if name.startswith("workbench_plugins.untouched")]


def test_finding_plugins_needs_no_runtime():
    script = (
        "import sys; from workbench.plugin_host.manifests import find_plugins; find_plugins()\n"
        "print([name for name in ('torch', 'onnx', 'onnxruntime', 'numpy') if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"


def test_of_two_plugins_with_one_id_the_first_party_one_is_taken_and_the_other_named(places, make_plugin):
    make_plugin(places / "first")
    other = make_plugin(places / "user")
    found = find_plugins()
    assert [manifest.origin for manifest in found.manifests] == ["first-party"]
    (problem,) = found.problems
    assert problem.where == str(other)
    assert "'mine'" in str(problem)
    assert str(places / "first" / "mine") in str(problem)


def test_the_same_folder_named_twice_is_one_plugin(places, make_plugin, monkeypatch):
    folder = make_plugin(places / "user")
    monkeypatch.setenv(manifests.FOLDERS_VARIABLE, os.pathsep.join([str(places / "user"), str(folder)]))
    found = find_plugins()
    assert len(found.manifests) == 1
    assert found.problems == ()


def test_a_broken_manifest_and_a_missing_folder_leave_the_others(places, make_plugin, monkeypatch):
    make_plugin(places / "user", "good")
    make_plugin(places / "user", "bad", manifest="[plugin")
    monkeypatch.setenv(manifests.FOLDERS_VARIABLE, str(places / "nowhere"))
    found = find_plugins()
    assert [manifest.id for manifest in found.manifests] == ["good"]
    said = " ".join(map(str, found.problems))
    assert "nowhere" in said
    assert "not TOML" in said


HEAD = '[plugin]\nid = "mine"\ntitle = "Mine"\nversion = "1.0"\napi = 1\n'
METHOD = '[[method]]\nid = "mine.zero"\nobject = "code:Zero"\n'


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (METHOD, r"no \[plugin\] section"),
        (HEAD, r"offers nothing.*\[\[method\]\], \[\[metric\]\], \[\[reader\]\] or \[\[strategy\]\]"),
        (HEAD + "[method]\nid = 3\n", "method is wrong"),
        (HEAD.replace("api = 1\n", "") + METHOD, r"Expected api = 1\. Found none\. Write `api = 1`"),
        (HEAD.replace("api = 1", "api = 2") + METHOD, r"Found api = 2\. Install a newer version"),
        (HEAD.replace("api = 1", "api = true") + METHOD, "another plugin interface"),
        (HEAD.replace('"mine"', '"Mine Own"') + METHOD, r"manifest's id is wrong.*'Mine Own'"),
        (HEAD.replace('version = "1.0"\n', "") + METHOD, "version is wrong: field required"),
        (HEAD + "author = 'me'\n" + METHOD, r"unknown key 'author'"),
        (HEAD + METHOD.replace("mine.zero", "zero"), r"method\.0\.id is wrong.*'zero'"),
        (HEAD + METHOD.replace("code:Zero", "code.Zero"), r"method\.0\.object is wrong"),
        (HEAD + METHOD.replace("code:Zero", "../code:Zero"), r"method\.0\.object is wrong"),
        (HEAD + METHOD + METHOD, "'mine.zero' is listed twice"),
        (HEAD + METHOD + '[[device]]\nid = "mine.iou"\n', r"section 'device' that this version does not know"),
        (HEAD + METHOD + 'folder = "/"\n', r"method\.0\.folder is wrong: extra"),
    ],
)
def test_what_is_wrong_with_a_manifest_is_said_with_its_place(tmp_path, make_plugin, manifest, said):
    folder = make_plugin(tmp_path, manifest=manifest)
    with pytest.raises(PluginError, match=said) as caught:
        read_manifest(folder)
    assert caught.value.where == str(folder / "plugin.toml")


def test_a_folder_without_manifest_is_no_plugin(places, tmp_path):
    (places / "user" / "__pycache__").mkdir()
    (places / "user" / "README.md").touch()
    assert find_plugins().manifests == ()
    with pytest.raises(PluginError, match="no manifest"):
        read_manifest(tmp_path)


def test_installed_packages_are_found_by_entry_point_without_importing(places, make_plugin, monkeypatch, tmp_path):
    site = tmp_path / "site"
    folder = make_plugin(site / "their_package" / "plugins", "theirs")
    (site / "their_package" / "__init__.py").write_text("raise SystemExit('imported')")
    (site / "theirs-1.0.dist-info").mkdir()
    (site / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    points = "[workbench.plugins]\ntheirs = their_package.plugins.theirs\ngone = no_such_package.plugin\n"
    (site / "theirs-1.0.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    found = find_plugins()
    assert [(manifest.id, manifest.origin, manifest.folder) for manifest in found.manifests] == [
        ("theirs", "package", folder)
    ]
    (problem,) = found.problems
    assert "'gone'" in str(problem)
    assert "Reinstall theirs" in str(problem)
