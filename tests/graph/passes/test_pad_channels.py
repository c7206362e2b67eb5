from __future__ import annotations

import numpy as np
import pytest

from workbench.domain.errors import UnsupportedGraphError
from workbench.engines.inference_ort import open_session
from workbench.graph.passes.pad_channels import pad_input_channels


def test_padded_convolutions_compute_the_same(small_cnn):
    padded = pad_input_channels(small_cnn, ["Conv_0", "Conv_2"])
    assert padded.constant("w1").shape == (8, 4, 3, 3)
    assert padded.constant("w2").shape == (8, 8, 3, 3)
    assert small_cnn.constant("w1").shape == (8, 3, 3, 3)
    x = {"x": np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)}
    expected = open_session(small_cnn).run(x)["y"]
    np.testing.assert_allclose(open_session(padded).run(x)["y"], expected, atol=1e-5)


def test_what_is_not_a_plain_convolution_is_refused(small_cnn):
    with pytest.raises(UnsupportedGraphError, match="Gemm_7"):
        pad_input_channels(small_cnn, ["Gemm_7"])
