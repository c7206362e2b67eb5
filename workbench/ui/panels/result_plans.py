"""The one act behind "Use these ratios as plan", the same from a candidate's menu and from the inspector."""

from __future__ import annotations

from workbench.project.state import Candidate
from workbench.ui.models.result_plan import take_over
from workbench.ui.session import Session


def use_results(session: Session, candidate: Candidate) -> None:
    """Put what a candidate's run decided for each layer into the plan, in one step of the undo history."""
    command = take_over(session.state, candidate)
    if command is None:
        session.said.emit(f"The plan says what {candidate.name} came to already")
    else:
        session.do(command)
