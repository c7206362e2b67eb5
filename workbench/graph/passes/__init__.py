"""Passes: pure functions from one model graph to the next, one a file, each followed by a check."""
