"""Torch executes the same graph with gradients and writes weights back by name."""

from workbench.engines.training_torch.engine import TorchEngine

__all__ = ["TorchEngine"]
