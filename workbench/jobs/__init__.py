"""Job specs, messages and the supervisor that runs them in child processes."""
