"""A new plugin works as it is written."""

from __future__ import annotations

import pytest

from workbench.domain.errors import BadInputError, StorageError
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.plugin_host.compliance import check_plugin
from workbench.plugin_host.template import new_plugin


def test_a_new_plugin_passes_the_compliance_suite(tmp_path):
    folder = tmp_path / "my_idea"
    written = new_plugin(folder, "my_idea")
    assert [str(path.relative_to(folder)) for path in written[:3]] == ["plugin.toml", "method.py", "README.md"]
    checks = check_plugin(folder, OrtEngine(), TorchEngine())
    assert [check for check in checks if not check.passed] == []
    assert "my_idea.smallest: same seed, same bytes" in [check.name for check in checks]


@pytest.mark.parametrize(
    ("id", "suggestion"), [("My-Idea", "my_idea"), ("3d", "d"), ("_", "my_plugin"), ("a\n", "'a'")]
)
def test_an_id_that_is_none_is_refused_with_a_better_one(tmp_path, id, suggestion):
    with pytest.raises(BadInputError, match=suggestion):
        new_plugin(tmp_path / "new", id)
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(BadInputError, match="not empty"):
        new_plugin(tmp_path, "mine")
    with pytest.raises(StorageError):
        new_plugin(tmp_path / "mine.txt" / "below", "mine")
