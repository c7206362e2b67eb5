"""What is not measured yet but on its way: running compressions, and what a search builds and thinks of next."""

from __future__ import annotations

from workbench.jobs.record import JobRecord
from workbench.jobs.specs import CompressJob
from workbench.ui.models import numbers
from workbench.ui.models.candidate_table import Axis, CandidateTable
from workbench.ui.models.foretold_points import foretold_ghosts
from workbench.ui.models.pareto_scene import Ghost
from workbench.ui.search import search_of
from workbench.ui.session import Session


def ghosts_of(session: Session, table: CandidateTable, cost: Axis, score: Axis) -> tuple[Ghost, ...]:
    """Return the ghosts of a project: those without a place first, which wait in the corner."""
    jobs, search = session.jobs, search_of(session)
    running = tuple(_compression(record) for record in jobs.active if isinstance(jobs.spec(record.id), CompressJob))
    record = search.record
    if record is None:
        return running
    return (*running, *foretold_ghosts(search.outlook, record.id, table, cost, score))


def _compression(record: JobRecord) -> Ghost:
    lines = (
        record.title,
        record.text or ("Waiting" if record.state == "queued" else ""),
        "" if record.seconds_left is None else f"{numbers.duration_text(record.seconds_left)} left",
        "It moves to its place once its file is measured.",
    )
    return Ghost(record.id, record.title, record.fraction, "\n".join(filter(None, lines)))
