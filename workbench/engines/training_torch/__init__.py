"""Torch executes the same graph with gradients and writes weights back by name."""
