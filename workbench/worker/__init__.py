"""The child process that brings engines and methods together."""
