"""Measures the original, which every candidate is compared with: its metric, and its latency where sizes are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.domain.dimensions import unset_dimensions

if TYPE_CHECKING:
    from workbench.ui.session import Session


def measure_original(session: Session) -> str | None:
    """Begin to measure the original and return the job of its metric; None without a model or data.

    Its latency follows unless it is known, or sizes are still to be set, which is asked when somebody wants it.
    """
    job, state = session.evaluate_baseline(), session.state
    sized = state.inspect is not None and not unset_dimensions(state.inspect.inputs, state.dimensions)
    if job is not None and sized and state.baseline_latency is None:
        session.profile_baseline()
    return job
