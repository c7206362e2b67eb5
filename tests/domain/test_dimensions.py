"""Open sizes of inputs: each once, by name or place, batch told from the rest."""

from __future__ import annotations

from workbench.domain.dimensions import Place, free_dimensions, unset_dimensions
from workbench.domain.reports import TensorReport


def tensor(name: str, *shape: int | str) -> TensorReport:
    return TensorReport(name=name, dtype="float32", shape=shape)


INPUTS = (tensor("ids", "batch", "length"), tensor("mask", "batch", "length"), tensor("state", 2, "?", 64))


def test_each_size_is_found_once_with_all_its_places():
    found = {entry.key: entry for entry in free_dimensions(INPUTS)}
    assert list(found) == ["batch", "length", "state:1"]
    assert found["length"].places == (Place("ids", 1), Place("mask", 1))
    assert [entry.batch for entry in found.values()] == [True, False, False]


def test_a_size_is_set_by_name_or_by_place():
    assert [entry.key for entry in unset_dimensions(INPUTS, {})] == ["length", "state:1"]
    assert [entry.key for entry in unset_dimensions(INPUTS, {"length": 7})] == ["state:1"]
    assert unset_dimensions(INPUTS, {"mask:1": 7, "state:1": 1}) == ()


def test_a_first_axis_counts_samples_only_where_there_are_more():
    assert [entry.batch for entry in free_dimensions((tensor("bytes", "n"),))] == [False]
    assert free_dimensions((tensor("x", 1, 3),)) == ()
