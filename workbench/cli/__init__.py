"""Every job without a window, for scripts and servers; CONTRACT: commands, JSON and exit statuses are public."""

from __future__ import annotations

from workbench.cli.main import main

__all__ = ["main"]
