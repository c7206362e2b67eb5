"""The packed size stands beside the file's, never in its place."""

from __future__ import annotations

from workbench.ui.models.candidate_model import size_tip
from workbench.ui.models.candidate_table import CandidateRow


def row(packed_bytes: int | None) -> CandidateRow:
    return CandidateRow(
        id="a",
        name="A",
        metric=None,
        difference=None,
        latency=None,
        ratio=None,
        size_bytes=382_392,
        macs=1,
        params=1,
        packed_bytes=packed_bytes,
    )


def test_a_container_wider_than_its_bits_is_told() -> None:
    assert "packed to its bits (counted)" in size_tip(row(248_060))
    assert size_tip(row(248_060)).startswith(size_tip(row(None)))
    assert "packed" not in size_tip(row(None))
