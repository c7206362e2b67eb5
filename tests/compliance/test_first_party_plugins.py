"""The program's own plugins keep the promises that it demands of strangers."""

from __future__ import annotations

import pytest

from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.plugin_host.compliance import check_plugin
from workbench.plugin_host.manifests import find_plugins

OWN = [manifest for manifest in find_plugins().manifests if manifest.origin == "first-party"]


@pytest.mark.parametrize("manifest", OWN, ids=lambda manifest: manifest.id)
def test_it_passes_the_compliance_suite(manifest):
    failed = [check for check in check_plugin(manifest.folder, OrtEngine(), TorchEngine()) if not check.passed]
    assert failed == []
