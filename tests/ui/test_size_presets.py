"""Suggested sizes: by the data, else by what names and places say."""

from __future__ import annotations

import pytest

from tests.fakes.projects import resnet20_state
from workbench.domain.data_description import DataDescription, Split
from workbench.domain.dimensions import free_dimensions
from workbench.domain.reports import TensorReport
from workbench.project.state import LatencySetting
from workbench.ui.models.size_presets import guess_size, size_rows, sizes_of_sample


def tensor(*shape: int | str, name: str = "image", dtype: str = "float32") -> TensorReport:
    return TensorReport(name=name, dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (("batch", 3, "height", "width"), {"batch": 1, "height": 224, "width": 224}),
        (("?", 3, "?", "?"), {"image:0": 1, "image:2": 224, "image:3": 224}),
        (("N", "?", "?", 3), {"N": 1, "image:1": 224, "image:2": 224}),
        (("batch", "max_seq_len_in_batch"), {"batch": 1, "max_seq_len_in_batch": 128}),
        (("batch", "sequenceLength"), {"batch": 1, "sequenceLength": 128}),
        (("batch", "unk__12"), {"batch": 1, "unk__12": 128}),
        ((2, "?", 64), {"image:1": 1}),
        (("num_bytes",), {"num_bytes": 128}),
        ((2, "batch_size", 2, "seq_len", 2), {"batch_size": 1, "seq_len": 128}),
    ],
)
def test_names_and_places_suggest_sizes(shape, expected):
    inputs = (tensor(*shape),)
    assert {entry.key: guess_size(entry, inputs) for entry in free_dimensions(inputs)} == expected


def test_the_data_knows_better():
    data = DataDescription(test=Split(reader="npz", path="x.npz"))
    inputs = (tensor("batch", 3, "height", "width"),)
    assert sizes_of_sample(inputs, data, (3, 480, 640)) == {"height": 480, "width": 640}
    assert sizes_of_sample(inputs, data, (480, 640, 3)) == {}
    assert sizes_of_sample(inputs, data, (480, 640)) == {}
    assert sizes_of_sample(inputs, data, None) == {}
    two = (tensor("N", "length", name="ids"), tensor("N", "length", name="mask"))
    assert sizes_of_sample(two, data, (64,)) == {}
    mapped = data.model_copy(update={"test": Split(reader="npz", path="x.npz", inputs={"mask": "m", "ids": "i"})})
    assert sizes_of_sample(two, mapped, (64,)) == {"length": 64}


def test_rows_begin_with_what_was_set_before():
    state = resnet20_state()
    inspect = state.inspect.model_copy(update={"inputs": (tensor("batch", 3, "height", "width"),)})
    state = state.model_copy(
        update={"inspect": inspect, "dimensions": {"image:2": 96}, "latency": LatencySetting(batch=4)}
    )
    rows = {row.dimension.key: (row.places, row.value, row.known) for row in size_rows(state)}
    assert rows == {
        "batch": ("axis 0 of image", 4, False),
        "height": ("axis 2 of image", 96, True),
        "width": ("axis 3 of image", 224, False),
    }
    assert size_rows(state.model_copy(update={"inspect": None})) == ()
