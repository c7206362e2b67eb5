"""Made-up inputs have the sizes that were asked for, by name or by place."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.domain.errors import BadInputError
from workbench.engines.inference_ort.sample_inputs import random_inputs
from workbench.graph.shapes import require_dimensions
from workbench.graph.storage import open_model


def test_nameless_sizes_are_given_by_their_place_in_measurements_too(shared: Path) -> None:
    graph = open_model(shared / "data" / "zoo" / "ppocr_v1_det.onnx")
    with pytest.raises(BadInputError, match=r"without a value: image:2, image:3\. .*--dimension image:2=224"):
        random_inputs(graph.inputs)
    sizes = {"image:2": 64, "image:3": 96}
    require_dimensions(graph, sizes)
    assert random_inputs(graph.inputs, dimensions=sizes)["image"].shape == (1, 3, 64, 96)
