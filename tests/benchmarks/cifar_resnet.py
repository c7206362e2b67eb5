"""The CIFAR ResNet with padded shortcuts as a torch module, so that torch tools can prune what the shared files hold.

He et al., 2016, section 4.2; shortcuts that change width are option A: every second position, zeros for new channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.engines.training_torch.importing import import_model
from workbench.graph.model import ModelGraph
from workbench.graph.storage import open_model


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut."""

    def __init__(self, narrow: int, wide: int) -> None:
        super().__init__()
        self.stride = 1 if narrow == wide else 2
        self.new_channels = wide - narrow
        self.conv1 = nn.Conv2d(narrow, wide, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (n, wide, h / stride, w / stride)."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        if self.stride > 1:
            half = self.new_channels // 2
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        return functional.relu(self.bn2(self.conv2(inner)) + x)


class ResNet(nn.Module):
    """6·n + 2 layers for n blocks a stage, of 16, 32 and 64 channels."""

    def __init__(self, blocks_of_a_stage: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [16, *(width for width in (16, 32, 64) for _ in range(blocks_of_a_stage))]
        self.blocks = nn.Sequential(*(Block(*pair) for pair in pairwise(widths)))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (n, 10) of pictures (n, 3, 32, 32)."""
        x = self.blocks(functional.relu(self.bn1(self.conv1(x))))
        return self.linear(x.mean((2, 3)))

    def convolutions(self) -> list[nn.Conv2d]:
        """Return the convolutions in the order of execution."""
        inner = [conv for block in self.blocks for conv in (block.conv1, block.conv2)]
        return [self.conv1, *inner]

    def normalisations(self) -> list[nn.BatchNorm2d]:
        """Return the batch norm behind every convolution, in the same order."""
        return [self.bn1, *(norm for block in self.blocks for norm in (block.bn1, block.bn2))]


def loaded(graph: ModelGraph) -> ResNet:
    """Return the module with the weights of a graph with batch norm; nodes are taken in the order of execution."""
    convolutions = [node for node in graph.nodes if node.op == "Conv"]
    normalisations = [node for node in graph.nodes if node.op == "BatchNormalization"]
    net = ResNet((len(convolutions) - 1) // 6)
    pairs = list(zip(net.convolutions(), net.normalisations(), strict=True))
    with torch.no_grad():
        for (conv, norm), conv_node, norm_node in zip(pairs, convolutions, normalisations, strict=True):
            _copy(graph, conv.weight, conv_node.inputs[1])
            if len(conv_node.inputs) > 2 and conv_node.inputs[2]:
                raise SystemExit(f"{conv_node.name} has a bias, which this module has not")
            tensors = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            for tensor, name in zip(tensors, norm_node.inputs[1:], strict=True):
                assert tensor is not None
                _copy(graph, tensor, name)
        head = next(node for node in graph.nodes if node.op == "Gemm")
        _copy(graph, net.linear.weight, head.inputs[1])
        _copy(graph, net.linear.bias, head.inputs[2])
    return net.eval()


def exported(net: nn.Module, path: Path) -> ModelGraph:
    """Return the module as a graph with batch norm, through the workbench's own door for torch models."""
    archive = path.with_suffix(".pt2")
    batch = {0: torch.export.Dim("batch")}
    example = torch.rand(2, 3, 32, 32)
    torch.export.save(torch.export.export(net.eval(), (example,), dynamic_shapes=(batch,)), archive)
    import_model(archive, path, trusted=True)
    return open_model(path)


def zeroed(net: ResNet, gone: Mapping[int, Sequence[int]]) -> ResNet:
    """Return a copy in which some channels are zero.

    Args:
        net: At its full size.
        gone: By number of the convolution, its output channels to zero: weights, scale and shift.
    """
    copy = copied(net)
    with torch.no_grad():
        for number, channels in gone.items():
            positions = list(channels)
            copy.convolutions()[number].weight[positions] = 0
            copy.normalisations()[number].weight[positions] = 0
            copy.normalisations()[number].bias[positions] = 0
    return copy


def copied(net: ResNet) -> ResNet:
    """Return the module anew, in evaluation, with the same weights."""
    copy = ResNet(len(net.blocks) // 3)
    copy.load_state_dict(net.state_dict())
    return copy.eval()


def _copy(graph: ModelGraph, tensor: Tensor, name: str) -> None:
    array = graph.constant(name)
    assert array is not None, name
    tensor.copy_(torch.from_numpy(array.copy()))
