"""Every criterion passes the suite and does what sets it apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.plugins.prune.suite import WIDTH, WORTHLESS, CriterionSuite
from workbench.api import Method, ModelGraph, Stage

HEADER = '<ir_version: 9, opset_import: ["" : 17]>\n'


@pytest.fixture(scope="module")
def planted(graph_from: Callable[..., ModelGraph]) -> ModelGraph:
    """A network with three channels that do nothing: tiny filters, tiny readers, a bias that keeps them off."""
    rng = np.random.default_rng(4)
    first = rng.normal(size=(WIDTH, 3, 3, 3)).astype(np.float32)
    first /= np.linalg.norm(first.reshape(WIDTH, -1), axis=1)[:, None, None, None]
    bias = rng.uniform(0.2, 0.6, WIDTH).astype(np.float32)
    second = rng.normal(size=(WIDTH, WIDTH, 3, 3)).astype(np.float32) * 0.2
    shared = rng.normal(size=first.shape[1:]).astype(np.float32)
    for index, channel in enumerate(WORTHLESS):
        first[channel] = (shared + 0.1 * index) * 1e-3
        bias[channel] = -1.0
        second[:, channel] *= 1e-3
    return graph_from(
        HEADER
        + """net (float[batch,3,8,8] x) => (float[batch,5] y) {
            c1 = Conv <pads = [1,1,1,1]> (x, w1, b1)
            r1 = Relu (c1)
            c2 = Conv <pads = [1,1,1,1]> (r1, w2, b2)
            r2 = Relu (c2)
            p = GlobalAveragePool (r2)
            f = Flatten (p)
            y = Gemm <transB = 1> (f, w3, b3)
        }""",
        {
            "w1": first,
            "b1": bias,
            "w2": second,
            "b2": rng.uniform(0.1, 0.3, WIDTH).astype(np.float32),
            "w3": rng.normal(size=(5, WIDTH)).astype(np.float32),
            "b3": np.zeros(5, np.float32),
        },
    )


class TestL1(CriterionSuite):
    id, needs_data = "prune.l1", False


class TestL2(CriterionSuite):
    id, needs_data = "prune.l2", False


class TestRandom(CriterionSuite):
    id, needs_data, finds_worthless = "prune.random", False, False


class TestGeometricMedian(CriterionSuite):
    id, needs_data, finds_worthless = "prune.geometric_median", False, False


class TestBatchNormScale(CriterionSuite):
    id = "prune.bn_scale"


class TestZeroShare(CriterionSuite):
    id = "prune.apoz"


class TestMeanActivation(CriterionSuite):
    id = "prune.mean_activation"


class TestFeatureRank(CriterionSuite):
    id = "prune.feature_rank"


class TestTaylor(CriterionSuite):
    id = "prune.taylor"


class TestFisher(CriterionSuite):
    id = "prune.fisher"


class TestOptimalBrainDamage(CriterionSuite):
    id = "prune.obd"


class TestOptimalBrainSurgeon(CriterionSuite):
    id = "prune.obs"


class TestLassoSelection(CriterionSuite):
    id = "prune.lasso"


def test_every_method_has_passed_the_suite(methods: dict[str, type[Method]]) -> None:
    tested = {case.id for case in CriterionSuite.__subclasses__()}
    assert tested == {name for name, method in methods.items() if method.stage is Stage.PRUNE}
