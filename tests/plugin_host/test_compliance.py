"""The suite finds each way in which a plugin can break its word, and says what to do."""

from __future__ import annotations

import pytest

from workbench.domain.cancel import CancelToken, Progress
from workbench.domain.errors import CancelledError
from workbench.engines.inference_ort import OrtEngine
from workbench.engines.training_torch import TorchEngine
from workbench.plugin_host.compliance import as_json, check_plugin
from workbench.plugin_host.imports import foreign_imports

HEAD = """
import numpy as np
from workbench.api import *

class Zero(Method):
    id = "mine.zero"
    title = "Zero"
    stage = Stage.PRUNE
"""
BODY = """
    def apply(self, graph, plan, tools):
        tools.cancel.raise_if_cancelled()
        tools.progress.update(1.0)
        return MethodResult(graph)
"""


@pytest.fixture(scope="module")
def engines():
    return OrtEngine(), TorchEngine()


@pytest.fixture
def failed(tmp_path, make_plugin, engines):
    """Return a function (code) -> the failed checks' messages by name."""

    def run(code: str) -> dict[str, str]:
        checks = check_plugin(make_plugin(tmp_path, code=code), *engines)
        return {check.name.removeprefix("mine.zero: "): check.message for check in checks if not check.passed}

    return run


def test_an_honest_method_passes(failed):
    assert failed(HEAD + BODY) == {}


@pytest.mark.parametrize(
    ("code", "name", "said"),
    [
        (
            "class Parameters(Parameters):\n        size: int",
            "parameters have titles and defaults",
            "size has no default",
        ),
        (
            "import pydantic\n    class Parameters(pydantic.BaseModel):\n        size: int = 1",
            "bad parameters are refused",
            "workbench.api.Parameters",
        ),
        (
            "class Parameters(Parameters):\n        size: object = 1",
            None,
            None,
        ),
    ],
)
def test_parameters(failed, code, name, said):
    found = failed(f"{HEAD}\n    {code}\n{BODY}")
    if name is None:
        assert found == {}
    else:
        assert said in found[name]


@pytest.mark.parametrize(
    ("apply", "name", "said"),
    [
        ("raise ValueError('odd shapes')", "runs on the trial network", "ValueError: odd shapes (code.py, line 13)"),
        ("raise SystemExit(2)", "runs on the trial network", "SystemExit: 2"),
        ("raise CancelledError()", "runs on the trial network", "nobody cancelled"),
        ("return graph", "runs on the trial network", "expected a workbench.api.MethodResult"),
        ("return MethodResult(3)", "runs on the trial network", "int, expected a workbench.api.ModelGraph"),
        (
            "model = graph._model; model.graph.name = 'changed'; return MethodResult(graph)",
            "leaves the input graph untouched",
            "edit a copy",
        ),
        (
            "return MethodResult(graph.with_outputs(['f']))",
            "gives a valid graph with the same inputs and outputs",
            "['f'], expected ['scores']",
        ),
        (
            "w = graph.constant('fc_weight'); return MethodResult(graph.with_initializers({'fc_weight': w * np.nan}))",
            "result runs in both engines",
            "not finite",
        ),
        (
            "w = graph.constant('fc_weight'); noise = np.random.default_rng().random(w.shape, np.float32); "
            "return MethodResult(graph.with_initializers({'fc_weight': w + noise}))",
            "same seed, same bytes",
            "tools.rng",
        ),
        ("tools.progress.update(0.5); return MethodResult(graph)", "reports progress", "backwards"),
        ("return MethodResult(graph, details={'a': object()})", "reports in JSON", "not JSON"),
        ("return MethodResult(graph, details={'a': float('nan')})", "reports in JSON", "not JSON"),
        ("return MethodResult(graph, notes=(1,))", "reports in JSON", "not text"),
    ],
)
def test_a_broken_promise_is_named(failed, apply, name, said):
    found = failed(HEAD + BODY.replace("return MethodResult(graph)", apply))
    assert said in found[name]


def test_silent_and_deaf_methods_are_found(failed):
    found = failed(HEAD + BODY.replace("tools.progress.update(1.0)", "pass"))
    assert list(found) == ["reports progress"]


def test_a_method_that_never_polls_is_found(failed):
    found = failed(HEAD + BODY.replace("tools.cancel.raise_if_cancelled()", "pass"))
    assert list(found) == ["honours cancel"]


def test_a_broken_manifest_or_module_ends_the_suite_with_its_reason(tmp_path, make_plugin, engines):
    checks = check_plugin(make_plugin(tmp_path, "one", manifest="[plugin]"), *engines)
    assert [(check.name, check.passed) for check in checks] == [("manifest", False)]
    checks = check_plugin(make_plugin(tmp_path, "two", code="import no_such_module"), *engines)
    assert [check.passed for check in checks] == [True, True, False]
    assert "no_such_module" in checks[-1].message
    assert as_json(tmp_path, checks)["checks"][0] == {"name": "manifest", "passed": True, "message": "two 1.0"}


def test_the_suite_itself_reports_progress_and_can_be_cancelled(tmp_path, make_plugin, engines):
    folder = make_plugin(tmp_path, code=HEAD + BODY)
    token, seen = CancelToken(), []

    def stop_in_the_middle(fraction: float, text: str) -> None:
        seen.append(fraction)
        if fraction > 0.4:
            token.cancel()

    with pytest.raises(CancelledError):
        check_plugin(folder, *engines, progress=Progress(stop_in_the_middle), cancel=token)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import workbench.graph.model", "code.py, line 1: import workbench.graph.model"),
        ("from workbench.domain.knobs import Knob", "from workbench.domain.knobs import …"),
        ("from workbench import graph", "from workbench import graph"),
        ("from .. import other", "from .. import …"),
        ("import importlib\nimportlib.import_module('workbench.ui')", "line 2: import_module('workbench.ui')"),
        ("from workbench.api import API_VERSION, secret", "secret, which is not in workbench.api.__all__"),
    ],
)
def test_imports_of_the_programs_inside_are_found_without_running_code(tmp_path, make_plugin, code, said):
    found = foreign_imports(make_plugin(tmp_path, code=code))
    assert len(found) == 1
    assert said in found[0]


def test_other_imports_are_the_plugins_own_business(tmp_path, make_plugin):
    code = "from workbench import api\nfrom workbench.api import *\nimport workbenches, numpy as np\nfrom . import x\n"
    folder = make_plugin(tmp_path, code=code)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text("import workbench.graph.model")
    assert foreign_imports(folder) == ()
