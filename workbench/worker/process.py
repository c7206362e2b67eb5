"""The child process that does the window's heavy work: reads job specs, runs them, sends messages."""

from __future__ import annotations

from workbench.jobs.channel import serve
from workbench.worker.dispatch import run_job


def main() -> int:
    """Serve jobs until the parent closes the line; returns the exit status."""
    serve(run_job)
    return 0
